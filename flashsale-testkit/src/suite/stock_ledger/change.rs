//! The terms of a sale: written down once, changed once per id (protocol 1.4, step 10; holes 7, 8).

use std::time::Duration;

use flashsale_core::error::ErrorKind;
use flashsale_core::sale::{SaleState, Window};
use flashsale_core::stock::{
    Accept, Acceptance, Change, ChangeRefusal, Epoch, Nonce, OrderState, Reason, StockLedger, Update,
};
use flashsale_core::{Sale, Timestamp};

use super::{Ledgers, Open, opened};
use crate::sample::{HOLD, PAY_WITHIN, accept, amount, held, item, key, sale, sale_id, units};

async fn change<P: StockLedger>(drop: &Open<P>, id: &str, change: &Change) -> Result<Option<Update>, ChangeRefusal> {
    drop.ledger.change(&drop.sale, &key(id), change).await.expect("change")
}

fn adjust(name: &str, by: i64) -> Change {
    Change::Adjust { item: item(name), by }
}

/// Opening is idempotent: what was sold stays sold.
pub async fn the_same_terms_again_change_nothing(fixture: &impl Ledgers) {
    let terms = sale("drop", &[("a", 5, 7, 5), ("b", 1, 2, 1)]);
    let drop = opened(fixture, &terms).await;
    drop.take(accept("ann~1", &[("a", 2)])).await;
    let before = drop.ledger.totals(&drop.sale).await.expect("totals");
    assert_eq!(drop.ledger.open(&terms).await.expect("open"), Ok(()));
    assert_eq!(
        drop.ledger.totals(&drop.sale).await.expect("totals").map(|t| (t.version, t.items)),
        before.map(|t| (t.version, t.items))
    );
    change(&drop, "more", &adjust("a", 1)).await.expect("allowed");
    assert_eq!(drop.ledger.open(&terms).await.expect("open"), Ok(()), "compared with the terms as they were written");
    assert_eq!(drop.row("a").await.total, 6);
}

/// Hole 8: a known sale is not opened again with other terms.
pub async fn other_terms_under_a_known_name_are_a_conflict(fixture: &impl Ledgers) {
    let terms = sale("drop", &[("a", 5, 7, 5)]);
    let drop = opened(fixture, &terms).await;
    let others = [
        sale("drop", &[("a", 6, 7, 5)]),
        sale("drop", &[("a", 5, 8, 5)]),
        sale("drop", &[("a", 5, 7, 4)]),
        sale("drop", &[("b", 5, 7, 5)]),
        sale("drop", &[("a", 5, 7, 5), ("b", 5, 7, 5)]),
        terms.clone().hold(HOLD * 2),
        terms.clone().pay_within(PAY_WITHIN * 2),
        terms.window(Timestamp::from_ms(1), Timestamp::FAR),
    ];
    for other in others {
        assert_eq!(drop.ledger.open(&other).await.expect("open"), Err(ChangeRefusal::Conflict), "{other:?}");
    }
    assert_eq!(drop.row("a").await.total, 5);
}

/// Terms are checked as a whole; nothing of bad ones is written.
pub async fn terms_that_are_no_sale_are_bad_data(fixture: &impl Ledgers) {
    let ledger = fixture.fresh().await;
    let good = sale("drop", &[("a", 5, 7, 5)]);
    let bad: [Sale; 6] = [
        sale("drop", &[]),
        sale("drop", &[("a", 5, 7, 5), ("a", 5, 7, 5)]),
        good.clone().window(Timestamp::from_ms(5), Timestamp::from_ms(5)),
        good.clone().hold(Duration::ZERO),
        good.clone().hold(Duration::from_secs(3601)),
        good.pay_within(Duration::MAX),
    ];
    for terms in bad {
        let error = ledger.open(&terms).await.expect_err("bad terms");
        assert_eq!(error.kind(), ErrorKind::Data, "{terms:?}");
    }
    assert!(ledger.sales().await.expect("sales").is_empty());
}

/// All sales, in order of name.
pub async fn sales_are_listed_in_order_of_name(fixture: &impl Ledgers) {
    let ledger = fixture.fresh().await;
    assert!(ledger.sales().await.expect("sales").is_empty());
    for name in ["b", "a", "C", "a-1"] {
        ledger.open(&sale(name, &[("a", 5, 7, 5)])).await.expect("open").expect("new");
    }
    let names: Vec<String> = ledger.sales().await.expect("sales").iter().map(ToString::to_string).collect();
    assert_eq!(names, ["C", "a", "a-1", "b"], "byte by byte");
}

/// A sale that does not exist has no totals.
pub async fn an_unknown_sale_has_no_totals(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 7, 5)])).await;
    assert_eq!(drop.ledger.totals(&sale_id("none")).await.expect("totals"), None);
}

/// What was opened is what is shown.
pub async fn totals_tell_the_terms(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 7, 3), ("b", 1_000_000, 0, 1)])).await;
    let totals = drop.ledger.totals(&drop.sale).await.expect("totals").expect("a sale");
    assert_eq!((totals.version.v, totals.epoch, totals.pay_within), (1, Epoch(0), PAY_WITHIN));
    assert_eq!((totals.door.state, totals.door.window, totals.door.hold), (SaleState::Open, Window::ALWAYS, HOLD));
    let mut items = totals.items;
    items.sort_by(|a, b| a.item.cmp(&b.item));
    let shown: Vec<_> =
        items.iter().map(|i| (i.item.as_str(), i.total, i.allocated, i.price, i.limit, i.waiting)).collect();
    let expected = [("a", 5, 0, amount(7), units(3), false), ("b", 1_000_000, 0, amount(0), units(1), false)];
    assert_eq!(shown, expected);
}

/// Hole 7: there is one total, in the ledger.
pub async fn a_restock_adds_units(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 1, 0, 9)])).await;
    drop.take(accept("ann~1", &[("a", 1)])).await;
    change(&drop, "more", &adjust("a", 10)).await.expect("allowed");
    assert_eq!((drop.row("a").await.total, drop.allocated("a").await), (11, 1));
    drop.take(accept("bob~1", &[("a", 9)])).await;
}

/// Step 10: `total >= allocated`; the refusal says how far it can go.
pub async fn a_shrink_stops_at_what_is_allocated(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 10, 0, 9)])).await;
    drop.take(accept("ann~1", &[("a", 4)])).await;
    let refused = ChangeRefusal::OutOfRange { item: item("a"), least: -6, most: 999_990 };
    assert_eq!(change(&drop, "less-1", &adjust("a", -7)).await, Err(refused));
    change(&drop, "less-2", &adjust("a", -6)).await.expect("allowed");
    assert_eq!(drop.row("a").await.total, 4);
    assert_eq!(drop.refusal(accept("bob~1", &[("a", 1)])).await, Reason::SoldOut);
}

/// Numbers at the edges are refused, not wrapped.
pub async fn no_number_wraps_a_total(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 10, 0, 9)])).await;
    for (n, by) in [i64::MIN, i64::MAX, 999_991, -11, i64::from(u32::MAX)].into_iter().enumerate() {
        let refused = change(&drop, &format!("c{n}"), &adjust("a", by)).await;
        assert!(
            matches!(refused, Err(ChangeRefusal::OutOfRange { least: -10, most: 999_990, .. })),
            "{by}: {refused:?}"
        );
    }
    change(&drop, "most", &adjust("a", 999_990)).await.expect("allowed");
    assert_eq!(drop.row("a").await.total, 1_000_000);
}

/// Hole 7: a lost reply is asked for again; the units are added once.
pub async fn a_change_is_made_once_per_id(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 10, 0, 9)])).await;
    assert!(change(&drop, "more", &adjust("a", 5)).await.expect("allowed").is_some());
    let before = drop.version().await;
    assert_eq!(change(&drop, "more", &adjust("a", 5)).await, Ok(None));
    assert_eq!((drop.row("a").await.total, drop.version().await), (15, before));
    let once = adjust("a", 1);
    let twice = crate::together((0..4).map(|_| change(&drop, "again", &once))).await;
    assert_eq!(twice.iter().filter(|made| matches!(made, Ok(Some(_)))).count(), 1);
    assert_eq!(drop.row("a").await.total, 16);
}

/// G7, for operators: the same id with other content.
pub async fn the_same_id_for_another_change_is_a_conflict(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 10, 0, 9), ("b", 10, 0, 9)])).await;
    change(&drop, "c", &adjust("a", 5)).await.expect("allowed");
    for other in [adjust("a", 6), adjust("b", 5), Change::State(SaleState::Paused)] {
        assert_eq!(change(&drop, "c", &other).await, Err(ChangeRefusal::Conflict));
    }
    change(&drop, "close", &Change::State(SaleState::Closed)).await.expect("allowed");
    assert_eq!(change(&drop, "c", &adjust("a", 6)).await, Err(ChangeRefusal::Conflict), "told before closed");
    assert_eq!(change(&drop, "c", &adjust("a", 5)).await, Ok(None));
}

/// An id whose change was refused may be used for one that is possible.
pub async fn a_refused_change_is_not_recorded(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 10, 0, 9)])).await;
    let before = drop.version().await;
    change(&drop, "c", &adjust("a", -11)).await.expect_err("too far");
    assert_eq!(drop.version().await, before);
    change(&drop, "c", &adjust("a", -10)).await.expect("allowed");
}

/// Refusals, in precedence order: no such sale, no such item.
pub async fn changes_of_what_is_not_there_are_refused(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 10, 0, 9)])).await;
    let nowhere = drop.ledger.change(&sale_id("none"), &key("c"), &adjust("a", 1)).await.expect("change");
    assert_eq!(nowhere, Err(ChangeRefusal::UnknownSale));
    let unknown = Err(ChangeRefusal::UnknownItem(item("b")));
    assert_eq!(change(&drop, "c1", &adjust("b", 1)).await, unknown);
    assert_eq!(change(&drop, "c2", &Change::Price { item: item("b"), price: amount(1) }).await, unknown);
    assert_eq!(change(&drop, "c3", &Change::Limit { item: item("b"), per_buyer: units(1) }).await, unknown);
}

/// A pause ends when it is told to.
pub async fn a_paused_sale_resumes(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 10, 0, 9)])).await;
    change(&drop, "pause", &Change::State(SaleState::Paused)).await.expect("allowed");
    assert_eq!(drop.ask(accept("ann~1", &[("a", 1)])).await, Acceptance::NotOpen(SaleState::Paused));
    change(&drop, "go", &Change::State(SaleState::Open)).await.expect("allowed");
    drop.take(accept("ann~1", &[("a", 1)])).await;
}

/// Closed is for good; nothing about the sale changes any more.
pub async fn a_closed_sale_stays_closed(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 10, 0, 9)])).await;
    change(&drop, "close", &Change::State(SaleState::Closed)).await.expect("allowed");
    for (n, next) in [Change::State(SaleState::Open), adjust("a", 1), adjust("nothing", 1)].iter().enumerate() {
        assert_eq!(change(&drop, &format!("c{n}"), next).await, Err(ChangeRefusal::Closed));
    }
}

/// Hole 18: accepted orders keep their price.
pub async fn a_price_counts_for_orders_from_then_on(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 10, 100, 9)])).await;
    let before = drop.take(accept("ann~1", &[("a", 1)])).await;
    change(&drop, "dearer", &Change::Price { item: item("a"), price: amount(150) }).await.expect("allowed");
    let seen = Accept { expect: Some(amount(100)), ..accept("bob~1", &[("a", 1)]) };
    assert_eq!(drop.refusal(seen).await, Reason::PriceChanged);
    assert_eq!(drop.take(accept("bob~2", &[("a", 2)])).await.amounts.pays, amount(300));
    assert_eq!(drop.ask(accept("ann~1", &[("a", 1)])).await, Acceptance::Already(before));
}

/// Step 10: who has more than a lowered limit keeps it, and gets no more.
pub async fn a_limit_counts_for_orders_from_then_on(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 10, 0, 3)])).await;
    drop.take(accept("ann~1", &[("a", 3)])).await;
    change(&drop, "fewer", &Change::Limit { item: item("a"), per_buyer: units(1) }).await.expect("allowed");
    assert_eq!(drop.state("ann~1").await, Some(OrderState::Accepted));
    assert_eq!(drop.refusal(accept("ann~2", &[("a", 1)])).await, Reason::BuyerLimit);
    assert_eq!(drop.refusal(accept("bob~1", &[("a", 2)])).await, Reason::BuyerLimit);
    drop.take(accept("bob~2", &[("a", 1)])).await;
    change(&drop, "more", &Change::Limit { item: item("a"), per_buyer: units(4) }).await.expect("allowed");
    drop.take(accept("ann~3", &[("a", 1)])).await;
}

/// A window that ends before it begins is refused; one that is over closes the sale to those without a gate.
pub async fn a_window_ends_after_it_begins(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 10, 0, 3)])).await;
    let at = Timestamp::from_ms;
    let backwards = Change::Window(Window { opens_at: at(5), closes_at: at(5) });
    assert_eq!(change(&drop, "w1", &backwards).await, Err(ChangeRefusal::Window));
    let past = Window { opens_at: at(1), closes_at: at(2) };
    change(&drop, "w2", &Change::Window(past)).await.expect("allowed");
    assert_eq!(drop.ask(accept("ann~1", &[("a", 1)])).await, Acceptance::NotOpen(SaleState::Open));
    change(&drop, "w3", &Change::Window(Window::ALWAYS)).await.expect("allowed");
    drop.take(accept("ann~1", &[("a", 1)])).await;
}

/// Step 10: one version, told at once and by the next follow, with the door as it is now.
pub async fn a_change_is_a_version_and_tells_the_gate(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 10, 0, 3), ("b", 10, 0, 3)])).await;
    let load = drop.adopt(7, 0).await;
    drop.take(held(1, 1, accept("ann~1", &[("a", 2)]))).await;
    let from = drop.version().await;
    let told = change(&drop, "more", &adjust("a", 5)).await.expect("allowed").expect("an update");
    assert_eq!((told.nonce, told.from, told.to), (Some(Nonce(7)), from, drop.version().await));
    assert_eq!(told.to.v, from.v + 1);
    assert!(told.items.iter().any(|level| level.item == item("a") && level.free == 13));
    let limit = Change::Limit { item: item("b"), per_buyer: units(2) };
    let told = change(&drop, "fewer", &limit).await.expect("allowed").expect("an update");
    assert!(told.items.iter().any(|level| level.item == item("b") && level.limit == units(2)));
    let told = change(&drop, "pause", &Change::State(SaleState::Paused)).await.expect("allowed").expect("an update");
    assert_eq!((told.door.state, told.to.v), (SaleState::Paused, from.v + 3));
    let followed = drop.update(7, load.version, 0).await;
    assert_eq!((followed.to, followed.door.state), (told.to, SaleState::Paused));
    for (name, free, limit) in [("a", 13, 3), ("b", 10, 2)] {
        let level = followed.items.iter().find(|level| level.item == item(name)).expect("a level");
        assert_eq!((level.free, level.limit), (free, units(limit)));
    }
}
