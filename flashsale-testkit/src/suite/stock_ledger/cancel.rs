//! Cancelling and fencing: once, whoever else is at it (G5, G7; table 2.2, row "buyer cancels"; holes 4, 5, 9).

use flashsale_core::Timestamp;
use flashsale_core::stock::{Acceptance, Cancelled, OrderState, Reason, StockLedger};

use super::{Ledgers, Open, opened, word, words};
use crate::sample::{accept, claim, coupon, hash, held, item, order, sale, sale_id, with_coupon};

/// G5: units come back in the transaction that ends the order.
pub async fn a_cancelled_order_gives_its_units_back(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 7, 5), ("b", 5, 7, 5)])).await;
    let accepted = drop.take(accept("ann~1", &[("a", 2), ("b", 1)])).await;
    drop.take(accept("bob~1", &[("a", 1)])).await;
    let before = drop.version().await;
    let Cancelled::Done(order) = drop.cancel("ann~1").await else { panic!("not cancelled") };
    assert_eq!((order.state, order.reason), (OrderState::Cancelled, Some(Reason::Operator)));
    assert_eq!((order.ver, order.v, order.due_at), (2, before.v + 1, None));
    assert_eq!((&order.lines, order.amounts), (&accepted.lines, accepted.amounts), "what was decided stays");
    assert_eq!((drop.allocated("a").await, drop.allocated("b").await), (1, 0));
    drop.take(accept("cid~1", &[("a", 4), ("b", 5)])).await;
}

/// Cancel is no check-then-act: a second one answers, and restores nothing.
pub async fn a_second_cancel_restores_nothing(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 0, 5)])).await;
    drop.take(accept("ann~1", &[("a", 2)])).await;
    drop.take(accept("bob~1", &[("a", 2)])).await;
    let Cancelled::Done(first) = drop.cancel("ann~1").await else { panic!("not cancelled") };
    let before = drop.version().await;
    assert_eq!(drop.cancel("ann~1").await, Cancelled::Already(first));
    assert_eq!((drop.allocated("a").await, drop.version().await), (2, before));
}

/// Hole 13, for the way back.
pub async fn the_same_cancel_twice_in_one_batch_restores_once(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 0, 5)])).await;
    drop.take(accept("ann~1", &[("a", 2)])).await;
    drop.take(accept("bob~1", &[("a", 2)])).await;
    let (answers, update) = drop.cancels(&["ann~1", "ann~1", "new~1", "new~1"]).await;
    let kinds: Vec<bool> = answers.iter().map(|answer| matches!(answer, Cancelled::Done(_))).collect();
    assert_eq!(kinds, [true, false, true, false]);
    assert_eq!(update.expect("an update").orders.len(), 2);
    assert_eq!(drop.allocated("a").await, 2);
}

/// The same from several sides at the same moment.
pub async fn two_cancels_at_once_restore_once(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 9, 0, 9)])).await;
    drop.take(accept("ann~1", &[("a", 3)])).await;
    drop.take(accept("bob~1", &[("a", 3)])).await;
    let answers = crate::together((0..6).map(|_| drop.cancel("ann~1"))).await;
    assert_eq!(answers.iter().filter(|answer| matches!(answer, Cancelled::Done(_))).count(), 1);
    assert_eq!(drop.allocated("a").await, 3);
}

/// G3: units that came back do not count against the buyer any more.
pub async fn a_cancelled_order_frees_the_limit(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 9, 0, 2)])).await;
    drop.take(accept("ann~1", &[("a", 2)])).await;
    assert_eq!(drop.refusal(accept("ann~2", &[("a", 1)])).await, Reason::BuyerLimit);
    drop.cancel("ann~1").await;
    drop.take(accept("ann~3", &[("a", 2)])).await;
    assert_eq!(drop.refusal(accept("ann~4", &[("a", 1)])).await, Reason::BuyerLimit);
}

/// G4: the coupon comes back with the units, once: the order that uses it next keeps it.
pub async fn a_cancelled_order_gives_its_coupon_back(fixture: &impl Ledgers) {
    const MINE: &str = "plant~w1~ann";
    let drop = opened(fixture, &sale("drop", &[("a", 9, 10_000, 9)])).await;
    drop.ledger.open(&sale("plant:w1", &[("coupon", 9, 0, 1)])).await.expect("open").expect("new");
    let window = Open { ledger: drop.ledger, sale: sale_id("plant:w1") };
    window.take(claim("c", coupon(MINE, Timestamp::FAR))).await;
    let drop = Open { ledger: window.ledger, sale: drop.sale };
    drop.take(with_coupon(MINE, accept("ann~1", &[("a", 1)]))).await;
    drop.cancel("ann~1").await;
    drop.take(with_coupon(MINE, accept("ann~2", &[("a", 1)]))).await;
    drop.cancel("ann~1").await;
    drop.refusal(with_coupon(MINE, accept("ann~3", &[("a", 1)]))).await;
}

/// G7: a cancelled id is never accepted again.
pub async fn a_cancelled_id_is_never_accepted_again(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 0, 5)])).await;
    drop.take(accept("ann~1", &[("a", 2)])).await;
    let Cancelled::Done(ended) = drop.cancel("ann~1").await else { panic!("not cancelled") };
    assert_eq!(drop.ask(accept("ann~1", &[("a", 2)])).await, Acceptance::Already(ended));
    assert_eq!(drop.ask(accept("ann~1", &[("a", 1)])).await, Acceptance::Conflict);
    assert_eq!(drop.allocated("a").await, 0);
}

/// Protocol 1.4, step 6: an id that was never decided gets a row, so that it can never be accepted.
pub async fn an_unknown_id_is_fenced(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 0, 5)])).await;
    let load = drop.adopt(7, 0).await;
    let Cancelled::Done(fence) = drop.cancel("ann~1").await else { panic!("not fenced") };
    assert_eq!((fence.state, fence.reason, fence.ver), (OrderState::Cancelled, Some(Reason::Operator), 1));
    assert!(fence.lines.is_empty());
    assert_eq!(drop.state("ann~1").await, Some(OrderState::Cancelled));
    let told = drop.update(7, load.version, 0).await;
    assert_eq!(told.orders.len(), 1, "the gate learns of it");
    let Cancelled::Already(again) = drop.cancel("ann~1").await else { panic!("fenced twice") };
    assert_eq!(again, fence);
}

/// Hole 9: a late accept finds the fence, whatever it asks for: there is one key and one row.
pub async fn a_fence_answers_whatever_is_asked_for(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 0, 5)])).await;
    let Cancelled::Done(fence) = drop.cancel("ann~1").await else { panic!("not fenced") };
    for n in [1, 2] {
        assert_eq!(drop.ask(accept("ann~1", &[("a", n)])).await, Acceptance::Already(fence.clone()));
    }
    assert_eq!(drop.allocated("a").await, 0);
}

/// Hole 9: accept and cancel at the same moment: whichever was first, one row says so and the units agree with it.
pub async fn accept_and_cancel_at_once_agree(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 9, 0, 9)])).await;
    let ids: Vec<String> = (0..6).map(|n| format!("b{n}~1")).collect();
    let accepts = async { crate::together(ids.iter().map(|id| drop.ask(accept(id, &[("a", 1)])))).await };
    let cancels = async { crate::together(ids.iter().map(|id| drop.cancel(id))).await };
    let (accepted, cancelled) = tokio::join!(accepts, cancels);
    for (id, (accepted, cancelled)) in ids.iter().zip(accepted.iter().zip(&cancelled)) {
        assert!(matches!(cancelled, Cancelled::Done(_)), "{id}: {cancelled:?}");
        assert!(matches!(word(accepted), "accepted" | "already"), "{id}: {accepted:?}");
        assert_eq!(drop.state(id).await, Some(OrderState::Cancelled), "{id}");
    }
    assert_eq!(drop.allocated("a").await, 0);
}

/// Table 2.2: a refused order has nothing to give back.
pub async fn a_refused_order_has_ended_already(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 1, 0, 5)])).await;
    drop.refusal(accept("ann~1", &[("a", 2)])).await;
    let Cancelled::Already(order) = drop.cancel("ann~1").await else { panic!("not ended") };
    assert_eq!((order.state, order.reason), (OrderState::Refused, Some(Reason::SoldOut)));
    assert_eq!(drop.allocated("a").await, 0);
}

/// Table 2.2: what is confirmed can only be returned.
pub async fn an_issued_coupon_is_not_cancelled(fixture: &impl Ledgers) {
    let window = opened(fixture, &sale("plant:w1", &[("coupon", 9, 0, 1)])).await;
    let order = window.take(claim("c", coupon("plant~w1~ann", Timestamp::FAR))).await;
    let name = order.id.as_str().to_owned();
    assert_eq!(window.cancel(&name).await, Cancelled::NotCancellable(order));
    assert_eq!(window.allocated("coupon").await, 1);
}

/// Hole 16: ids are unique over all sales; nobody ends an order through a sale that is not its own.
pub async fn an_order_of_another_sale_is_left_alone(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 0, 5)])).await;
    drop.ledger.open(&sale("other", &[("a", 5, 0, 5)])).await.expect("open").expect("new");
    let order = drop.take(accept("ann~1", &[("a", 2)])).await;
    let other = Open { ledger: drop.ledger, sale: sale_id("other") };
    assert_eq!(other.cancel("ann~1").await, Cancelled::NotCancellable(order));
    assert_eq!((other.allocated("a").await, other.version().await.v), (0, 1));
    let drop = Open { ledger: other.ledger, sale: sale_id("drop") };
    assert_eq!((drop.allocated("a").await, drop.state("ann~1").await), (2, Some(OrderState::Accepted)));
}

/// What the transaction returns is what a gate at the version before lacks: one version for the whole batch.
pub async fn the_update_tells_what_came_back(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 9, 0, 5), ("b", 9, 0, 5)])).await;
    drop.adopt(7, 0).await;
    let batch = [("ann~1", 2), ("ann~2", 1), ("bob~1", 1), ("cid~1", 1)];
    let accepts: Vec<_> = (1..).zip(batch).map(|(no, (id, n))| held(1, no, accept(id, &[("a", n)]))).collect();
    assert_eq!(words(&drop.batch(&accepts).await.answers), ["accepted"; 4]);
    let from = drop.version().await;
    let (_, update) = drop.cancels(&["ann~1", "bob~1"]).await;
    let update = update.expect("an update");
    assert_eq!((update.from, update.to, update.to.v), (from, drop.version().await, from.v + 1));
    assert!(update.items.iter().any(|level| level.item == item("a") && level.free == 7));
    let mut orders: Vec<_> = update.orders.iter().map(|o| (o.id.clone(), o.hash, o.state, o.v)).collect();
    orders.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    let cancelled = |id, n| (order(id), hash(&[("a", n)]), OrderState::Cancelled, update.to.v);
    assert_eq!(orders, [cancelled("ann~1", 2), cancelled("bob~1", 1)]);
    let mut bought: Vec<_> = update.bought.iter().map(|b| (b.buyer.as_str(), b.item.as_str(), b.units)).collect();
    bought.sort_unstable();
    assert_eq!(bought, [("ann", "a", 1), ("bob", "a", 0)]);
}

/// A cancel that finds everything ended writes nothing.
pub async fn a_cancel_that_ends_nothing_is_no_version(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 1, 0, 5)])).await;
    drop.refusal(accept("ann~1", &[("a", 2)])).await;
    drop.cancel("bob~1").await;
    let before = drop.version().await;
    let (_, update) = drop.cancels(&["ann~1", "bob~1"]).await;
    assert_eq!((update, drop.version().await), (None, before));
    let (none, update) = drop.cancels(&[]).await;
    assert_eq!((none.len(), update), (0, None));
}
