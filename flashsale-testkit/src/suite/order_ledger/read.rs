//! Reading: by name, by deadline, by buyer, by trouble (G8).

use std::sync::Arc;
use std::time::Duration;

use flashsale_core::order::{Input, OrderLedger, OrderQuery};
use flashsale_core::stock::{Accept, Note, Order, OrderState, Then};

use super::Orders;
use crate::sample::{PAY_WITHIN, accept, amount, buyer, order, sale, wallet};
use crate::suite::stock_ledger::{Open, opened};

fn ids(orders: &[Arc<Order>]) -> Vec<&str> {
    orders.iter().map(|order| order.id.as_str()).collect()
}

async fn due<P: OrderLedger>(drop: &Open<P>, limit: usize) -> Vec<String> {
    let (orders, now) = drop.ledger.due(limit).await.expect("due");
    assert!(orders.iter().all(|order| order.due_at.is_some_and(|at| at <= now)));
    ids(&orders).into_iter().map(str::to_owned).collect()
}

/// One answer per id, at its place; what is not there is `None`.
pub async fn orders_are_loaded_in_the_order_asked_for(fixture: &impl Orders) {
    let drop = opened(fixture, &sale("drop", &[("a", 9, 100, 5)])).await;
    let ann = drop.take(accept("ann~1", &[("a", 1)])).await;
    let bob = drop.take(accept("bob~1", &[("a", 2)])).await;
    let asked = [order("bob~1"), order("none~1"), order("ann~1"), order("bob~1")];
    let (rows, _) = drop.ledger.load(&asked).await.expect("load");
    assert_eq!(rows, [Some(bob.clone()), None, Some(ann), Some(bob)]);
    assert!(drop.ledger.load(&[]).await.expect("load").0.is_empty());
}

/// Hole 30: the saga goes by the ledger's time, not by that of a node.
pub async fn loading_tells_the_ledgers_time(fixture: &impl Orders) {
    let drop = opened(fixture, &sale("drop", &[("a", 9, 100, 5)])).await;
    let (_, first) = drop.ledger.load(&[]).await.expect("load");
    fixture.advance(Duration::from_millis(50)).await;
    let (_, later) = drop.ledger.load(&[]).await.expect("load");
    assert!(later.since(first) >= Duration::from_millis(50));
    let (_, due) = drop.ledger.due(1).await.expect("due");
    assert!(due >= later);
}

/// Every field of the row comes back as it was told when it was decided.
pub async fn a_loaded_order_is_the_one_that_was_written(fixture: &impl Orders) {
    let drop = opened(fixture, &sale("drop", &[("a", 9, 100, 5), ("b", 9, 7, 5)])).await;
    let note = Note::new("ün café, 3rd floor; 'quoted' \u{1F600}").expect("a note");
    let full = Accept {
        expect: Some(amount(207)),
        method: Some(wallet()),
        note: Some(note),
        ..accept("ann~1", &[("b", 1), ("a", 2)])
    };
    let decided = drop.take(full).await;
    assert_eq!(drop.load("ann~1").await, decided);
    let refused = drop.decide(accept("bob~1", &[("a", 6)])).await;
    assert_eq!(drop.load("bob~1").await, refused);
    let action = "https://pay.example/page?id=1&x=%20".to_owned();
    drop.go("ann~1", Input::TurnToPay).await;
    let until = decided.decided_at.after(PAY_WITHIN * 2);
    let shown = drop.go("ann~1", Input::NeedsBuyer { action: action.clone(), until }).await;
    assert_eq!((shown.action.as_deref(), shown.pay_by), (Some(action.as_str()), Some(until)));
    assert_eq!(drop.load("ann~1").await, shown);
}

/// G8: an order that nobody pays for comes up at its deadline, by the ledger's clock, and not before.
pub async fn an_order_is_due_at_its_deadline(fixture: &impl Orders) {
    let drop = opened(fixture, &sale("drop", &[("a", 9, 100, 5)])).await;
    let wait = Duration::from_secs(2);
    let soon = Accept { then: Then::Pay { within: wait }, ..accept("ann~1", &[("a", 1)]) };
    let row = drop.take(soon).await;
    drop.take(Accept { then: Then::Keep, ..accept("bob~1", &[("a", 1)]) }).await;
    drop.decide(accept("cid~1", &[("a", 6)])).await;
    let (orders, now) = drop.ledger.due(10).await.expect("due");
    assert!(orders.is_empty() || now >= row.decided_at.after(wait));
    fixture.advance(wait).await;
    assert_eq!(due(&drop, 10).await, ["ann~1"]);
    drop.cancel("ann~1").await;
    assert!(due(&drop, 10).await.is_empty());
}

/// The one that has waited longest comes first; no more than asked for.
pub async fn the_most_overdue_come_first_and_no_more_than_asked_for(fixture: &impl Orders) {
    let drop = opened(fixture, &sale("drop", &[("a", 9, 100, 5)])).await;
    for (id, millis) in [("ann~1", 300), ("bob~1", 100), ("cid~1", 200)] {
        let within = Duration::from_millis(millis);
        drop.take(Accept { then: Then::Pay { within }, ..accept(id, &[("a", 1)]) }).await;
    }
    fixture.advance(Duration::from_secs(1)).await;
    assert_eq!(due(&drop, 10).await, ["bob~1", "cid~1", "ann~1"]);
    assert_eq!(due(&drop, 2).await, ["bob~1", "cid~1"]);
    assert!(due(&drop, 0).await.is_empty());
}

/// A transition replaces the deadline; the old one wakes nobody.
pub async fn a_moved_deadline_is_the_only_one(fixture: &impl Orders) {
    let drop = opened(fixture, &sale("drop", &[("a", 9, 100, 5)])).await;
    let within = Duration::from_secs(60);
    let row = drop.take(Accept { then: Then::Pay { within }, ..accept("ann~1", &[("a", 1)]) }).await;
    drop.go("ann~1", Input::TurnToPay).await;
    let until = row.decided_at.after(Duration::from_secs(600));
    drop.go("ann~1", Input::NeedsBuyer { action: "page".to_owned(), until }).await;
    fixture.advance(Duration::from_secs(61)).await;
    assert!(due(&drop, 10).await.is_empty());
    fixture.advance(Duration::from_secs(540)).await;
    assert_eq!(due(&drop, 10).await, ["ann~1"]);
    drop.go("ann~1", Input::Approved { amount: amount(100) }).await;
    assert!(due(&drop, 10).await.is_empty(), "a confirmed order has no deadline");
}

/// A buyer's history: the latest first, refused ones with it.
pub async fn a_buyers_orders_are_listed_latest_first(fixture: &impl Orders) {
    let drop = opened(fixture, &sale("drop", &[("a", 9, 100, 2)])).await;
    for id in ["ann~c", "ann~a", "ann~b"] {
        drop.decide(accept(id, &[("a", 1)])).await;
        fixture.advance(Duration::from_millis(5)).await;
    }
    let query = OrderQuery { buyer: buyer("ann"), after: None, limit: 10 };
    let orders = drop.ledger.list(&query).await.expect("list");
    assert_eq!(ids(&orders), ["ann~b", "ann~a", "ann~c"]);
    assert_eq!(orders[0].state, OrderState::Refused);
}

/// Pages follow each other without gap or overlap, also among orders of one moment.
pub async fn a_list_goes_on_after_its_last_order(fixture: &impl Orders) {
    let drop = opened(fixture, &sale("drop", &[("a", 9, 100, 9)])).await;
    let batch: Vec<Accept> = (0..4).map(|n| accept(&format!("ann~{n}"), &[("a", 1)])).collect();
    drop.batch(&batch).await;
    fixture.advance(Duration::from_millis(5)).await;
    drop.take(accept("ann~9", &[("a", 1)])).await;
    let (mut seen, mut after) = (Vec::new(), None);
    for _ in 0..4 {
        let query = OrderQuery { buyer: buyer("ann"), after: after.clone(), limit: 2 };
        let page = drop.ledger.list(&query).await.expect("list");
        seen.extend(ids(&page).into_iter().map(str::to_owned));
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
    }
    assert_eq!(seen[0], "ann~9");
    seen.sort_unstable();
    assert_eq!(seen, ["ann~0", "ann~1", "ann~2", "ann~3", "ann~9"]);
}

/// Nobody sees another's orders, however alike the names are.
pub async fn a_list_is_one_buyers_alone(fixture: &impl Orders) {
    let drop = opened(fixture, &sale("drop", &[("a", 99, 100, 9)])).await;
    let names = ["ann", "an", "Ann", "ann-1", "ann.", "ann_", "annA", "a", "zed"];
    for name in names {
        drop.take(accept(&format!("{name}~k"), &[("a", 1)])).await;
    }
    for name in names {
        let query = OrderQuery { buyer: buyer(name), after: None, limit: 10 };
        assert_eq!(ids(&drop.ledger.list(&query).await.expect("list")), [format!("{name}~k")]);
    }
    let none = OrderQuery { buyer: buyer("nobody"), after: None, limit: 10 };
    assert!(drop.ledger.list(&none).await.expect("list").is_empty());
}

/// G8: what no rule may resolve is reported, and stays so until it is resolved.
pub async fn orders_that_wait_for_a_person_are_listed(fixture: &impl Orders) {
    let drop = opened(fixture, &sale("drop", &[("a", 9, 100, 9)])).await;
    for id in ["ann~1", "bob~1", "cid~1"] {
        drop.take(accept(id, &[("a", 1)])).await;
        drop.go(id, Input::TurnToPay).await;
    }
    assert!(drop.ledger.stuck(10).await.expect("stuck").is_empty());
    for id in ["ann~1", "cid~1"] {
        drop.go(id, Input::Approved { amount: amount(99) }).await;
    }
    let stuck = drop.ledger.stuck(10).await.expect("stuck");
    let mut names = ids(&stuck);
    names.sort_unstable();
    assert_eq!(names, ["ann~1", "cid~1"]);
    assert!(stuck.iter().all(|order| order.stuck.as_deref() == Some("wrong_amount")));
    assert_eq!(drop.ledger.stuck(1).await.expect("stuck").len(), 1);
    drop.go("ann~1", Input::Approved { amount: amount(100) }).await;
    assert_eq!(ids(&drop.ledger.stuck(10).await.expect("stuck")), ["cid~1"]);
}
