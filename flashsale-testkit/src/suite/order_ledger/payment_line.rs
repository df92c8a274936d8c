//! The payment line: an order leaves it, once, when the gateway has said something or it has ended.

use flashsale_core::Timestamp;
use flashsale_core::order::Input;
use flashsale_core::payment::DeclineReason;
use flashsale_core::stock::{Durability, StockLedger};

use super::Orders;
use crate::sample::{accept, sale};
use crate::suite::stock_ledger::{Open, opened};

const APPROVED: Input = Input::Approved { amount: flashsale_core::won(100) };
const DECLINED: Input = Input::Declined(DeclineReason::Refused);

fn needs_buyer() -> Input {
    Input::NeedsBuyer { action: "page".to_owned(), until: Timestamp::FAR }
}

/// A sale in which these accepted orders wait.
async fn line<F: Orders>(fixture: &F, ids: &[&str]) -> Open<F::Port> {
    let drop = opened(fixture, &sale("drop", &[("a", 90, 100, 5)])).await;
    for id in ids {
        drop.take(accept(id, &[("a", 1)])).await;
    }
    drop
}

/// Being asked for is not yet through; not knowing is no answer.
pub async fn an_order_is_in_the_line_until_the_gateway_has_answered(fixture: &impl Orders) {
    let drop = line(fixture, &["ann~1", "bob~1", "cid~1"]).await;
    for (id, answer, served) in [("ann~1", APPROVED, 1), ("bob~1", DECLINED, 2), ("cid~1", needs_buyer(), 3)] {
        drop.go(id, Input::TurnToPay).await;
        drop.go(id, Input::Unknown).await;
        assert_eq!(drop.line().await, (3, served - 1), "{id}");
        drop.go(id, answer).await;
        assert_eq!(drop.line().await, (3, served), "{id}");
    }
}

/// Whether it was asked for or not.
pub async fn an_order_that_ends_has_left_the_line(fixture: &impl Orders) {
    let drop = line(fixture, &["ann~1", "bob~1"]).await;
    drop.go("ann~1", Input::BuyerCancels).await;
    assert_eq!(drop.line().await, (2, 1));
    drop.go("bob~1", Input::TurnToPay).await;
    drop.go("bob~1", Input::BuyerCancels).await;
    assert_eq!(drop.line().await, (2, 2));
}

/// What becomes of it later is not counted again.
pub async fn an_order_leaves_the_line_once(fixture: &impl Orders) {
    let drop = line(fixture, &["ann~1", "bob~1"]).await;
    for input in [Input::TurnToPay, needs_buyer(), Input::Unknown, APPROVED, Input::Return, Input::Refunded] {
        drop.go("ann~1", input).await;
    }
    drop.cancel("ann~1").await;
    assert_eq!(drop.line().await, (2, 1));
    assert_eq!(drop.load("ann~1").await.pay_no, Some(1));
}

/// In batches that meet, of orders that give their units back and of others.
pub async fn orders_that_leave_at_once_are_all_counted(fixture: &impl Orders) {
    let ids: Vec<String> = (0..12).map(|n| format!("b{n}~1")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let drop = line(fixture, &ids).await;
    let mut batches = Vec::new();
    for three in ids.chunks(3) {
        let mut batch = Vec::new();
        for (id, end) in three.iter().zip([APPROVED, DECLINED, needs_buyer()]) {
            drop.go(id, Input::TurnToPay).await;
            batch.push(drop.transition(id, &end).await);
        }
        batches.push(batch);
    }
    crate::together(batches.iter().map(|batch| drop.append(batch))).await;
    assert_eq!(drop.line().await, (12, 12));
}

/// Of two answers at once one is written, and one is counted.
pub async fn a_stale_transition_is_not_counted(fixture: &impl Orders) {
    let drop = line(fixture, &["ann~1", "bob~1"]).await;
    drop.go("ann~1", Input::TurnToPay).await;
    let both = [vec![drop.transition("ann~1", &APPROVED).await], vec![drop.transition("ann~1", &DECLINED).await]];
    crate::together(both.iter().map(|batch| drop.append(batch))).await;
    assert_eq!(drop.line().await, (2, 1));
}

/// G2: numbers and places survive a stop without warning, if the ledger says that it survives one.
pub async fn a_durable_ledger_keeps_the_line(fixture: &impl Orders) {
    let drop = line(fixture, &["ann~1", "bob~1", "cid~1"]).await;
    drop.go("ann~1", Input::BuyerCancels).await;
    let bob = drop.load("bob~1").await;
    if drop.ledger.durability() == Durability::Volatile {
        println!("not run: this ledger is volatile and says so");
        return;
    }
    let ledger = fixture.restart(drop.ledger).await.expect("a durable ledger can be restarted");
    let drop = Open { ledger, sale: drop.sale };
    assert_eq!((drop.load("bob~1").await.pay_no, drop.load("bob~1").await), (Some(2), bob));
    assert_eq!(drop.line().await, (3, 1));
    assert_eq!(drop.take(accept("dan~1", &[("a", 1)])).await.pay_no, Some(4));
}
