//! The payment line: a number for each order that is to be paid, in the order in which the ledger accepts; cancelled is through.

use flashsale_core::stock::{Accept, Acceptance, Reason, StockLedger, Then};

use super::{Ledgers, Open, opened};
use crate::sample::{accept, claim, coupon, sale, sale_id};

/// The numbers of the orders that were decided now or before.
fn numbers(answers: &[Acceptance]) -> Vec<Option<u64>> {
    let number = |answer: &Acceptance| match answer {
        Acceptance::Decided(order) | Acceptance::Already(order) => order.pay_no,
        _ => None,
    };
    answers.iter().map(number).collect()
}

/// From 1; who is refused takes none.
pub async fn orders_to_be_paid_are_numbered_in_order_of_arrival(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 0, 5)])).await;
    let batch = [("cid~1", 2), ("ann~1", 2), ("bob~1", 3), ("dan~1", 1)].map(|(id, units)| accept(id, &[("a", units)]));
    assert_eq!(numbers(&drop.batch(&batch).await.answers), [Some(1), Some(2), None, Some(3)]);
    assert_eq!(drop.line().await, (3, 0));
}

/// Also after one that recorded refusals alone.
pub async fn numbers_go_on_with_the_next_batch(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 3, 0, 5)])).await;
    assert_eq!(drop.take(accept("ann~1", &[("a", 1)])).await.pay_no, Some(1));
    assert_eq!(drop.refusal(accept("bob~1", &[("a", 3)])).await, Reason::SoldOut);
    assert_eq!(drop.take(accept("cid~1", &[("a", 2)])).await.pay_no, Some(2));
    assert_eq!(drop.line().await, (2, 0));
}

/// Neither what the embedder keeps nor an issued coupon is charged for.
pub async fn who_is_not_to_be_paid_has_no_number(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 0, 5), ("coupon", 5, 0, 1)])).await;
    let kept = Accept { then: Then::Keep, ..accept("ann~1", &[("a", 1)]) };
    let issued = claim("c", coupon("drop~w1~ann", flashsale_core::Timestamp::FAR));
    let answers = drop.batch(&[kept, issued, accept("bob~1", &[("a", 1)])]).await.answers;
    assert_eq!(numbers(&answers), [None, None, Some(1)]);
    drop.cancel("ann~1").await;
    assert_eq!(drop.line().await, (1, 0));
}

/// G7: the number is part of the answer, also within a batch.
pub async fn a_repeat_keeps_its_number(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 0, 5)])).await;
    let (ann, bob) = (accept("ann~1", &[("a", 1)]), accept("bob~1", &[("a", 1)]));
    assert_eq!(numbers(&drop.batch(&[ann.clone(), ann.clone()]).await.answers), [Some(1), Some(1)]);
    assert_eq!(numbers(&drop.batch(&[bob, ann]).await.answers), [Some(2), Some(1)]);
    assert_eq!(drop.line().await, (2, 0));
}

/// Numbers are a sale's own.
pub async fn every_sale_has_a_line_of_its_own(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 0, 5)])).await;
    drop.ledger.open(&sale("other", &[("a", 5, 0, 5)])).await.expect("open").expect("new");
    drop.take(accept("ann~1", &[("a", 1)])).await;
    drop.take(accept("bob~1", &[("a", 1)])).await;
    drop.cancel("ann~1").await;
    let other = Open { ledger: drop.ledger, sale: sale_id("other") };
    assert_eq!(other.take(accept("ann~2", &[("a", 1)])).await.pay_no, Some(1));
    assert_eq!(other.line().await, (1, 0));
    assert_eq!(Open { sale: drop.sale, ..other }.line().await, (2, 1));
}

/// It is counted with the units that come back; an id that was fenced was never in the line.
pub async fn a_cancelled_order_leaves_the_line_once(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 0, 5)])).await;
    for id in ["ann~1", "bob~1", "cid~1"] {
        drop.take(accept(id, &[("a", 1)])).await;
    }
    drop.cancels(&["bob~1", "bob~1", "dan~1"]).await;
    assert_eq!(drop.line().await, (3, 1));
    drop.cancels(&["bob~1", "dan~1"]).await;
    assert_eq!(drop.line().await, (3, 1));
    crate::together(["ann~1", "cid~1"].map(|id| drop.cancel(id))).await;
    assert_eq!(drop.line().await, (3, 3));
}
