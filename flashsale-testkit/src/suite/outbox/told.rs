//! What the transactions of a ledger tell: each fact with the row that made it true, and nothing without one.

use flashsale_core::Timestamp;
use flashsale_core::event::Fact;
use flashsale_core::order::{Appended, Input};
use flashsale_core::payment::DeclineReason;
use flashsale_core::sale::{SaleState, Window};
use flashsale_core::stock::{Accept, Change, StockLedger};

use super::{Outboxes, clear, history, kinds, unsent};
use crate::sample::{accept, amount, claim, coupon, held, item, key, sale, sale_id, trace, units, with_coupon};
use crate::suite::stock_ledger::{Open, opened};

/// I8: the event carries what the row says: lines, amounts, deadline, place in the order of arrival.
pub async fn an_accepted_order_is_told_with_its_rows(fixture: &impl Outboxes) {
    let drop = opened(fixture, &sale("drop", &[("a", 9, 100, 9)])).await;
    drop.adopt(7, 0).await;
    clear(&drop.ledger).await;
    let order = drop.take(held(1, 4, accept("ann~1", &[("a", 2)]))).await;
    let rows = flashsale_core::event::Outbox::unsent(&drop.ledger, None, 10).await.expect("unsent");
    let [(_, event)] = &rows[..] else { panic!("one event, not {rows:?}") };
    assert_eq!(event.id(), "ann~1/1/order.accepted");
    assert_eq!((event.sale.as_ref(), event.time), (Some(&drop.sale), order.decided_at));
    let Fact::OrderAccepted(fact) = &event.fact else { panic!("{event:?}") };
    assert_eq!((&fact.order, fact.buyer.as_str(), &fact.lines), (&order.id, "ann", &order.lines));
    assert_eq!((fact.list, fact.discount, fact.pays), (amount(200), amount(0), amount(200)));
    assert_eq!((fact.pay_by, fact.no), (order.pay_by, Some(4)));
}

/// Nobody but the buyer needs to know a refusal.
pub async fn a_refused_order_tells_nothing(fixture: &impl Outboxes) {
    let drop = opened(fixture, &sale("drop", &[("a", 2, 100, 9)])).await;
    clear(&drop.ledger).await;
    let answers = drop.batch(&[accept("ann~1", &[("a", 3)]), accept("bob~1", &[("a", 1)])]).await.answers;
    assert_eq!(answers.len(), 2);
    assert_eq!(unsent(&drop.ledger).await, ["bob~1/1/order.accepted"]);
    assert!(history(&drop.ledger, "ann~1").await.is_empty());
}

/// A repeat, a conflict and an expired hold leave no event, as they leave no row.
pub async fn a_batch_that_records_nothing_tells_nothing(fixture: &impl Outboxes) {
    let drop = opened(fixture, &sale("drop", &[("a", 2, 100, 9)])).await;
    drop.take(accept("ann~1", &[("a", 1)])).await;
    clear(&drop.ledger).await;
    let batch = [
        accept("ann~1", &[("a", 1)]),
        accept("ann~1", &[("a", 2)]),
        held(3, 1, accept("bob~1", &[("a", 1)])),
        accept("cid~1", &[("nothing", 1)]),
    ];
    drop.batch(&batch).await;
    assert!(unsent(&drop.ledger).await.is_empty());
}

/// The page learns of the last unit by a fact, once.
pub async fn the_last_unit_is_told_as_sold_out(fixture: &impl Outboxes) {
    let drop = opened(fixture, &sale("drop", &[("a", 3, 0, 9), ("b", 9, 0, 9)])).await;
    clear(&drop.ledger).await;
    drop.take(accept("ann~1", &[("a", 2), ("b", 1)])).await;
    assert!(!unsent(&drop.ledger).await.iter().any(|id| id.contains("sold_out")));
    drop.take(accept("bob~1", &[("a", 1)])).await;
    drop.refusal(accept("cid~1", &[("a", 1)])).await;
    let told: Vec<String> = unsent(&drop.ledger).await.into_iter().filter(|id| id.contains("sold_out")).collect();
    assert_eq!(told, [format!("drop/a/{}/stock.sold_out", drop.version().await.v - 1)]);
}

/// Units that come back are news only where there were none.
pub async fn units_that_come_back_to_a_sold_out_item_are_told(fixture: &impl Outboxes) {
    let drop = opened(fixture, &sale("drop", &[("a", 3, 0, 9)])).await;
    for id in ["ann~1", "bob~1", "cid~1"] {
        drop.take(accept(id, &[("a", 1)])).await;
    }
    clear(&drop.ledger).await;
    drop.cancels(&["ann~1", "bob~1"]).await;
    drop.cancel("cid~1").await;
    let events = history(&drop.ledger, "drop/a").await;
    let back: Vec<_> = events
        .iter()
        .filter_map(|event| match &event.fact {
            Fact::StockAvailable { item, units } => Some((item.clone(), *units, event.version)),
            _ => None,
        })
        .collect();
    assert_eq!(back, [(item("a"), 2, drop.version().await.v - 1)]);
}

/// G5: one fact for the end of an order, with the units' return; a second cancel tells nothing.
pub async fn a_cancelled_order_is_told_once(fixture: &impl Outboxes) {
    let drop = opened(fixture, &sale("drop", &[("a", 3, 0, 9)])).await;
    drop.take(accept("ann~1", &[("a", 1)])).await;
    clear(&drop.ledger).await;
    drop.cancels(&["ann~1", "ann~1"]).await;
    drop.cancel("ann~1").await;
    assert_eq!(unsent(&drop.ledger).await, ["ann~1/2/order.cancelled"]);
}

/// An id that nobody asked for was no order: nobody is told that it ended.
pub async fn a_fence_tells_nothing(fixture: &impl Outboxes) {
    let drop = opened(fixture, &sale("drop", &[("a", 3, 0, 9)])).await;
    clear(&drop.ledger).await;
    drop.cancel("ann~1").await;
    assert!(unsent(&drop.ledger).await.is_empty());
}

/// I8: the facts of a transition are written with it.
pub async fn a_transition_tells_its_facts_with_its_row(fixture: &impl Outboxes) {
    let drop = opened(fixture, &sale("drop", &[("a", 3, 100, 9)])).await;
    drop.take(accept("ann~1", &[("a", 1)])).await;
    clear(&drop.ledger).await;
    drop.go("ann~1", Input::TurnToPay).await;
    assert_eq!(unsent(&drop.ledger).await, ["ann~1/2/order.payment_requested"]);
    drop.go("ann~1", Input::Approved { amount: amount(100) }).await;
    let events = history(&drop.ledger, "ann~1").await;
    assert_eq!(kinds(&events), ["order.accepted", "order.payment_requested", "order.confirmed"]);
}

/// What was not written was not true.
pub async fn a_stale_transition_tells_nothing(fixture: &impl Outboxes) {
    let drop = opened(fixture, &sale("drop", &[("a", 3, 100, 9)])).await;
    drop.take(accept("ann~1", &[("a", 1)])).await;
    drop.take(accept("bob~1", &[("a", 1)])).await;
    let slow = drop.transition("ann~1", &Input::BuyerCancels).await;
    drop.go("ann~1", Input::TurnToPay).await;
    clear(&drop.ledger).await;
    let fresh = drop.transition("bob~1", &Input::TurnToPay).await;
    let (answers, _) = drop.append(&[slow, fresh]).await;
    assert!(matches!(answers[..], [Appended::Stale, Appended::Done(_)]));
    assert_eq!(unsent(&drop.ledger).await, ["bob~1/2/order.payment_requested"]);
}

/// A sale and each of its items, once: opening it again tells nothing.
pub async fn a_sale_is_told_when_it_opens(fixture: &impl Outboxes) {
    let terms = sale("drop", &[("a", 3, 100, 9), ("b", 3, 100, 9)]);
    let drop = opened(fixture, &terms).await;
    let mut told = unsent(&drop.ledger).await;
    told.sort_unstable();
    assert_eq!(told, ["drop/1/sale.opened", "drop/a/1/stock.opened", "drop/b/1/stock.opened"]);
    clear(&drop.ledger).await;
    drop.ledger.open(&terms).await.expect("open").expect("the same terms");
    assert!(unsent(&drop.ledger).await.is_empty());
}

/// One fact per change; a repeat and a refusal tell nothing.
pub async fn each_change_of_terms_is_told_once(fixture: &impl Outboxes) {
    let drop = opened(fixture, &sale("drop", &[("a", 3, 100, 9)])).await;
    clear(&drop.ledger).await;
    let changes = [
        ("c1", Change::Adjust { item: item("a"), by: 5 }),
        ("c1", Change::Adjust { item: item("a"), by: 5 }),
        ("c2", Change::Adjust { item: item("a"), by: -50 }),
        ("c3", Change::Price { item: item("a"), price: amount(5) }),
        ("c4", Change::Limit { item: item("a"), per_buyer: units(5) }),
        ("c5", Change::Window(Window::ALWAYS)),
        ("c6", Change::State(SaleState::Paused)),
        ("c7", Change::State(SaleState::Open)),
        ("c8", Change::State(SaleState::Closed)),
    ];
    for (id, change) in changes {
        let _ = drop.ledger.change(&drop.sale, &key(id), &change).await.expect("change");
    }
    let expected = [
        "drop/a/2/stock.adjusted",
        "drop/3/sale.changed",
        "drop/4/sale.changed",
        "drop/5/sale.changed",
        "drop/6/sale.paused",
        "drop/7/sale.resumed",
        "drop/8/sale.closed",
    ];
    assert_eq!(unsent(&drop.ledger).await, expected);
}

/// G4: the life of a coupon, from the events alone.
pub async fn coupons_are_told_issued_redeemed_and_restored(fixture: &impl Outboxes) {
    const MINE: &str = "plant~w1~ann";
    let window = opened(fixture, &sale("plant:w1", &[("coupon", 9, 0, 1)])).await;
    window.ledger.open(&sale("drop", &[("a", 9, 10_000, 9)])).await.expect("open").expect("new");
    clear(&window.ledger).await;
    window.take(claim("c", coupon(MINE, Timestamp::FAR))).await;
    assert!(unsent(&window.ledger).await.contains(&format!("{MINE}/1/coupon.issued")));
    let drop = Open { ledger: window.ledger, sale: sale_id("drop") };
    drop.take(with_coupon(MINE, accept("ann~1", &[("a", 1)]))).await;
    let ordered = history(&drop.ledger, "ann~1").await;
    let redeemed = ordered.iter().find_map(|event| match &event.fact {
        Fact::CouponRedeemed { coupon, used_by, funded } => Some((coupon.to_string(), used_by.to_string(), *funded)),
        _ => None,
    });
    assert_eq!(redeemed, Some((MINE.to_owned(), "ann~1".to_owned(), amount(3_000))));
    drop.go("ann~1", Input::TurnToPay).await;
    drop.go("ann~1", Input::Declined(DeclineReason::Refused)).await;
    let told = kinds(&history(&drop.ledger, "ann~1").await);
    assert_eq!(told.iter().filter(|kind| **kind == "coupon.restored").count(), 1, "{told:?}");
}

/// "Numbered per order": a consumer can go by the numbers alone.
pub async fn a_histories_versions_grow(fixture: &impl Outboxes) {
    let drop = opened(fixture, &sale("drop", &[("a", 3, 100, 9)])).await;
    drop.take(accept("ann~1", &[("a", 1)])).await;
    for input in [Input::TurnToPay, Input::Approved { amount: amount(100) }, Input::Return, Input::Refunded] {
        drop.go("ann~1", input).await;
    }
    let events = history(&drop.ledger, "ann~1").await;
    let versions: Vec<u64> = events.iter().map(|event| event.version).collect();
    assert_eq!(versions, [1, 2, 3, 4, 5]);
}

/// Order, coupon and transition: what a request caused is found by its trace, what others caused is not mistaken for it.
pub async fn the_facts_of_a_request_carry_its_trace(fixture: &impl Outboxes) {
    const MINE: &str = "plant~w1~ann";
    let window = opened(fixture, &sale("plant:w1", &[("coupon", 9, 0, 1)])).await;
    window.ledger.open(&sale("drop", &[("a", 9, 10_000, 9)])).await.expect("open").expect("new");
    clear(&window.ledger).await;
    let traced = |accept: Accept| Accept { trace: Some(trace()), ..accept };
    window.take(traced(claim("c", coupon(MINE, Timestamp::FAR)))).await;
    let issued = history(&window.ledger, MINE).await;
    assert_eq!(issued.iter().map(|event| event.trace).collect::<Vec<_>>(), [Some(trace())]);
    let drop = Open { ledger: window.ledger, sale: sale_id("drop") };
    let mine = traced(with_coupon(MINE, accept("ann~1", &[("a", 1)])));
    drop.batch(&[accept("bob~1", &[("a", 1)]), mine.clone(), traced(accept("cid~1", &[("a", 10)]))]).await;
    // A repeat without it, or with another one, is the same order, and tells nothing.
    drop.batch(&[Accept { trace: None, ..mine }]).await;
    let his = history(&drop.ledger, "ann~1").await;
    assert_eq!(kinds(&his), ["order.accepted", "coupon.redeemed"]);
    assert!(his.iter().all(|event| event.trace == Some(trace())), "{his:?}");
    assert_eq!(history(&drop.ledger, "bob~1").await[0].trace, None);
    let mut paying = drop.transition("ann~1", &Input::TurnToPay).await;
    paying.events.iter_mut().for_each(|event| event.trace = Some(trace()));
    drop.append(&[paying, drop.transition("bob~1", &Input::TurnToPay).await]).await;
    let rows = flashsale_core::event::Outbox::unsent(&drop.ledger, None, 100).await.expect("unsent");
    let traces: Vec<(String, bool)> = rows.iter().map(|(_, event)| (event.id(), event.trace.is_some())).collect();
    for (id, traced) in [
        ("ann~1/1/order.accepted", true),
        ("ann~1/2/order.payment_requested", true),
        ("bob~1/1/order.accepted", false),
        ("bob~1/2/order.payment_requested", false),
    ] {
        assert!(traces.contains(&(id.to_owned(), traced)), "{id}: {traces:?}");
    }
}
