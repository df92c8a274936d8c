//! Refusing: the precedence of protocol 1.3, what is recorded and what is not (G3, G7; holes 5, 16 to 18).

use std::time::Duration;

use flashsale_core::sale::SaleState;
use flashsale_core::stock::{Accept, Acceptance, Cancelled, Change, OrderState, Reason, StockLedger, Then};

use super::{Ledgers, Open, opened, word, words};
use crate::sample::{accept, amount, held, item, key, sale, sale_id, units};

/// G7, hole 17: an id that was refused stays refused, even when there are units again.
pub async fn a_refusal_for_want_of_units_stands_for_ever(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 1, 0, 5)])).await;
    assert_eq!(drop.refusal(accept("ann~1", &[("a", 2)])).await, Reason::SoldOut);
    let more = Change::Adjust { item: item("a"), by: 10 };
    drop.ledger.change(&drop.sale, &key("more"), &more).await.expect("change").expect("allowed");
    let Acceptance::Already(order) = drop.ask(accept("ann~1", &[("a", 2)])).await else { panic!("decided twice") };
    assert_eq!((order.state, order.reason), (OrderState::Refused, Some(Reason::SoldOut)));
    assert_eq!(drop.allocated("a").await, 0);
    drop.take(accept("ann~2", &[("a", 2)])).await;
}

/// G7, hole 17: the same for a refusal over the limit, once there is room again.
pub async fn a_refusal_for_the_limit_stands_for_ever(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 0, 1)])).await;
    drop.take(accept("ann~1", &[("a", 1)])).await;
    assert_eq!(drop.refusal(accept("ann~2", &[("a", 1)])).await, Reason::BuyerLimit);
    assert!(matches!(drop.cancel("ann~1").await, Cancelled::Done(_)));
    assert_eq!(word(&drop.ask(accept("ann~2", &[("a", 1)])).await), "already");
    assert_eq!(drop.state("ann~2").await, Some(OrderState::Refused));
}

/// G3, hole 10: units of earlier orders count, per item and per buyer, up to the limit and not beyond.
pub async fn units_of_earlier_orders_count_against_the_limit(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 50, 0, 3), ("b", 50, 0, 1)])).await;
    drop.take(accept("ann~1", &[("a", 2)])).await;
    assert_eq!(drop.refusal(accept("ann~2", &[("a", 2)])).await, Reason::BuyerLimit);
    drop.take(accept("ann~3", &[("a", 1), ("b", 1)])).await;
    assert_eq!(drop.refusal(accept("ann~4", &[("b", 1)])).await, Reason::BuyerLimit);
    drop.take(accept("bob~1", &[("a", 3), ("b", 1)])).await;
    assert_eq!((drop.allocated("a").await, drop.allocated("b").await), (6, 2));
}

/// Hole 13: two orders of one buyer in one batch see each other.
pub async fn the_same_buyer_twice_in_one_batch_stays_within_the_limit(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 50, 0, 3)])).await;
    let batch = [accept("ann~1", &[("a", 2)]), accept("ann~2", &[("a", 2)]), accept("ann~3", &[("a", 1)])];
    assert_eq!(words(&drop.batch(&batch).await.answers), ["accepted", "refused", "accepted"]);
    assert_eq!(drop.allocated("a").await, 3);
}

/// Hole 18: the price is read under the lock; who saw another total is refused, never charged it in silence.
pub async fn another_total_than_the_buyer_saw_is_refused(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 9, 100, 5), ("b", 9, 7, 5)])).await;
    let seen = |id: &str, total| Accept { expect: Some(amount(total)), ..accept(id, &[("a", 2), ("b", 1)]) };
    drop.take(seen("ann~1", 207)).await;
    let dearer = Change::Price { item: item("a"), price: amount(101) };
    drop.ledger.change(&drop.sale, &key("dearer"), &dearer).await.expect("change").expect("allowed");
    assert_eq!(drop.refusal(seen("bob~1", 207)).await, Reason::PriceChanged);
    assert_eq!(drop.take(seen("bob~2", 209)).await.amounts.pays, amount(209));
    assert_eq!(drop.take(accept("cid~1", &[("a", 1)])).await.amounts.pays, amount(101), "the price as it is");
}

/// No sum wraps: an amount above the maximum is a refusal.
pub async fn an_amount_above_the_maximum_is_refused(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 9, 1_000_000_000_000_000, 9), ("b", 9, 1, 9)])).await;
    assert_eq!(drop.refusal(accept("ann~1", &[("a", 2)])).await, Reason::AmountTooLarge);
    assert_eq!(drop.refusal(accept("ann~2", &[("a", 1), ("b", 1)])).await, Reason::AmountTooLarge);
    drop.take(accept("ann~3", &[("a", 1)])).await;
}

/// Precedence: a changed price is told before the limit.
pub async fn the_price_is_told_before_the_limit(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 1, 100, 1)])).await;
    let both = Accept { expect: Some(amount(1)), ..accept("ann~1", &[("a", 2)]) };
    assert_eq!(drop.refusal(both).await, Reason::PriceChanged);
}

/// Precedence: the limit is told before the stock (409 before 429).
pub async fn the_limit_is_told_before_the_stock(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 1, 0, 1)])).await;
    drop.take(accept("ann~1", &[("a", 1)])).await;
    assert_eq!(drop.refusal(accept("ann~2", &[("a", 1)])).await, Reason::BuyerLimit);
    assert_eq!(drop.refusal(accept("bob~1", &[("a", 1)])).await, Reason::SoldOut);
}

/// An unknown item takes nothing of the others, and the id stays free.
pub async fn an_unknown_item_is_not_recorded(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 0, 5)])).await;
    let answer = drop.ask(accept("ann~1", &[("a", 1), ("nothing", 1)])).await;
    assert_eq!(answer, Acceptance::UnknownItem(item("nothing")));
    assert_eq!((drop.allocated("a").await, drop.state("ann~1").await), (0, None));
    drop.take(accept("ann~1", &[("a", 1)])).await;
}

/// A paused or closed sale decides nothing; a paused one decides the same id later.
pub async fn a_sale_that_is_not_open_accepts_nothing_and_records_nothing(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 0, 5)])).await;
    let turn = |id: &'static str, state| {
        let (ledger, sale) = (&drop.ledger, &drop.sale);
        async move { ledger.change(sale, &key(id), &Change::State(state)).await.expect("change").expect("allowed") }
    };
    turn("pause", SaleState::Paused).await;
    assert_eq!(drop.ask(accept("ann~1", &[("a", 1)])).await, Acceptance::NotOpen(SaleState::Paused));
    turn("resume", SaleState::Open).await;
    drop.take(accept("ann~1", &[("a", 1)])).await;
    turn("close", SaleState::Closed).await;
    assert_eq!(drop.ask(accept("bob~1", &[("a", 1)])).await, Acceptance::NotOpen(SaleState::Closed));
    assert_eq!(drop.state("bob~1").await, None);
}

/// G7: the duplicate is looked for before the door: a winner is told so after the sale has closed.
pub async fn a_known_id_is_answered_while_the_sale_is_closed(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 1, 0, 5)])).await;
    let won = drop.take(accept("ann~1", &[("a", 1)])).await;
    let close = Change::State(SaleState::Closed);
    drop.ledger.change(&drop.sale, &key("close"), &close).await.expect("change").expect("allowed");
    assert_eq!(drop.ask(accept("ann~1", &[("a", 1)])).await, Acceptance::Already(won));
    assert_eq!(drop.ask(accept("ann~1", &[("a", 2)])).await, Acceptance::Conflict);
}

/// A sale that does not exist is closed.
pub async fn an_unknown_sale_accepts_nothing(fixture: &impl Ledgers) {
    let none = Open { ledger: fixture.fresh().await, sale: sale_id("none") };
    let accepted = none.batch(&[accept("ann~1", &[("a", 1)]), accept("bob~1", &[("a", 1)])]).await;
    assert_eq!(accepted.answers, vec![Acceptance::NotOpen(SaleState::Closed); 2]);
    assert_eq!(accepted.update, None);
}

/// Without a gate the ledger minds the window by its own clock: the first moment is inside, the end is not.
pub async fn without_a_gate_the_ledger_minds_the_window(fixture: &impl Ledgers) {
    let terms = sale("drop", &[("a", 5, 0, 5)]);
    let drop = opened(fixture, &terms).await;
    let now = drop.ledger.totals(&drop.sale).await.expect("totals").expect("a sale").now;
    let (opens_at, closes_at) = (now.after(Duration::from_secs(2)), now.after(Duration::from_secs(4)));
    let later = sale("later", &[("a", 5, 0, 5)]).window(opens_at, closes_at);
    drop.ledger.open(&later).await.expect("open").expect("new");
    let later = Open { ledger: drop.ledger, sale: later.id };
    assert_eq!(later.ask(accept("ann~1", &[("a", 1)])).await, Acceptance::NotOpen(SaleState::Open));
    let left = |to: flashsale_core::Timestamp, now| to.since(now);
    let now = later.ledger.totals(&later.sale).await.expect("totals").expect("a sale").now;
    fixture.advance(left(opens_at, now)).await;
    later.take(accept("ann~1", &[("a", 1)])).await;
    let now = later.ledger.totals(&later.sale).await.expect("totals").expect("a sale").now;
    fixture.advance(left(closes_at, now)).await;
    assert_eq!(later.ask(accept("bob~1", &[("a", 1)])).await, Acceptance::NotOpen(SaleState::Open));
}

/// Holes 2 and 3: no hold of another epoch is accepted, neither an older nor a made-up newer one.
pub async fn a_hold_of_another_epoch_has_expired(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 0, 5)])).await;
    drop.adopt(7, 0).await;
    drop.adopt(8, 1).await;
    for epoch in [0, 1, 3] {
        assert_eq!(drop.ask(held(epoch, 5, accept("ann~1", &[("a", 1)]))).await, Acceptance::HoldExpired, "{epoch}");
    }
    drop.take(held(2, 5, accept("ann~1", &[("a", 1)]))).await;
}

/// A hold of a sale that no gate serves is no hold.
pub async fn a_hold_without_a_gate_has_expired(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 0, 5)])).await;
    assert_eq!(drop.ask(held(0, 1, accept("ann~1", &[("a", 1)]))).await, Acceptance::HoldExpired);
    drop.take(accept("ann~1", &[("a", 1)])).await;
}

/// G6: once a gate serves the sale, nobody passes it.
pub async fn a_missing_hold_is_refused_once_a_gate_serves(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 0, 5)])).await;
    drop.take(accept("ann~1", &[("a", 1)])).await;
    drop.adopt(7, 0).await;
    assert_eq!(drop.ask(accept("bob~1", &[("a", 1)])).await, Acceptance::HoldExpired);
}

/// Hole 5, G5: a hold at or below the seal is void; one above is not.
pub async fn a_sealed_hold_has_expired(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 0, 5)])).await;
    let load = drop.adopt(7, 0).await;
    drop.update(7, load.version, 5).await;
    for no in [1, 4, 5] {
        assert_eq!(drop.ask(held(1, no, accept("ann~1", &[("a", 1)]))).await, Acceptance::HoldExpired, "{no}");
    }
    drop.take(held(1, 6, accept("ann~1", &[("a", 1)]))).await;
}

/// Protocol 1.3: an expired hold leaves no row; the id may be held and accepted again.
pub async fn an_expired_hold_is_not_recorded(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 0, 5)])).await;
    drop.adopt(7, 0).await;
    let before = drop.version().await;
    let accepted = drop.batch(&[held(9, 1, accept("ann~1", &[("a", 1)]))]).await;
    assert_eq!((words(&accepted.answers), accepted.update), (vec!["hold_expired"], None));
    assert_eq!((drop.version().await, drop.state("ann~1").await), (before, None));
    drop.take(held(1, 1, accept("ann~1", &[("a", 1)]))).await;
}

/// G7, hole 23: a winner's repeat is answered whatever became of his hold and his gate.
pub async fn a_known_id_is_answered_before_its_hold_is_looked_at(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 1, 0, 5)])).await;
    let load = drop.adopt(7, 0).await;
    let won = drop.take(held(1, 1, accept("ann~1", &[("a", 1)]))).await;
    drop.update(7, load.version, 9).await;
    drop.adopt(8, 1).await;
    for hold in [
        held(1, 1, accept("ann~1", &[("a", 1)])),
        held(2, 4, accept("ann~1", &[("a", 1)])),
        accept("ann~1", &[("a", 1)]),
    ] {
        assert_eq!(drop.ask(hold).await, Acceptance::Already(won.clone()));
    }
}

/// Precedence: a void hold is told before an unknown item, and both before what is recorded.
pub async fn the_hold_is_looked_at_before_the_item(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 0, 5)])).await;
    drop.adopt(7, 0).await;
    assert_eq!(drop.ask(held(9, 1, accept("ann~1", &[("nothing", 1)]))).await, Acceptance::HoldExpired);
    let over = Accept { expect: Some(amount(1)), ..held(1, 1, accept("ann~1", &[("a", 6), ("nothing", 1)])) };
    assert_eq!(drop.ask(over).await, Acceptance::UnknownItem(item("nothing")));
    assert_eq!(drop.row("a").await.limit, units(5));
}

/// Hole 35: a recorded request gets a definite *no*: without a hold, of a closed sale, for an item that is not there.
pub async fn an_answer_that_was_given_is_kept_whatever_the_hold_and_the_door(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 0, 5)])).await;
    drop.adopt(7, 0).await;
    let close = Change::State(SaleState::Closed);
    drop.ledger.change(&drop.sale, &key("close"), &close).await.expect("change").expect("allowed");
    let refuse = |id, of: &[(&str, u64)], reason| Accept { then: Then::Refuse(reason), ..accept(id, of) };
    assert_eq!(drop.refusal(refuse("ann~1", &[("a", 2)], Reason::SoldOut)).await, Reason::SoldOut);
    assert_eq!(drop.refusal(refuse("bob~1", &[("nothing", 1)], Reason::UnknownItem)).await, Reason::UnknownItem);
    let Acceptance::Already(order) = drop.ask(accept("ann~1", &[("a", 2)])).await else { panic!("decided twice") };
    assert_eq!((order.state, order.reason), (OrderState::Refused, Some(Reason::SoldOut)));
    assert_eq!(drop.ask(accept("ann~1", &[("a", 1)])).await, Acceptance::Conflict, "it is kept with its content");
    assert_eq!(drop.allocated("a").await, 0);
}

/// G2: of two that decide the same request, the one that comes late with a *no* undoes nothing.
pub async fn an_answer_that_was_given_changes_no_decision(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 0, 5)])).await;
    let won = drop.take(accept("ann~1", &[("a", 1)])).await;
    let late = Accept { then: Then::Refuse(Reason::SoldOut), ..accept("ann~1", &[("a", 1)]) };
    assert_eq!(drop.ask(late).await, Acceptance::Already(won));
    assert_eq!(drop.allocated("a").await, 1);
}
