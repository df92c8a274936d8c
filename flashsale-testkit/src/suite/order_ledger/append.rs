//! Transitions: written only at the version that they expect; units back in the same step, once (G5, G8).

use flashsale_core::Timestamp;
use flashsale_core::order::{Appended, Input, OrderLedger, Policy, Units};
use flashsale_core::payment::DeclineReason;
use flashsale_core::stock::{Acceptance, Cancelled, Durability, Followed, OrderState, Reason, StockLedger};

use super::{Orders, giving_back};
use crate::sample::{accept, amount, claim, coupon, held, item, order, sale, sale_id, with_coupon};
use crate::suite::stock_ledger::{Open, opened};

const DECLINED: Input = Input::Declined(DeclineReason::Refused);

/// A transition is written where the row has the version that it expects.
pub async fn a_transition_is_written_where_the_version_matches(fixture: &impl Orders) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 100, 5)])).await;
    drop.take(accept("ann~1", &[("a", 2)])).await;
    let paying = drop.go("ann~1", Input::TurnToPay).await;
    assert_eq!((paying.state, paying.ver), (OrderState::Paying, 2));
    assert_eq!(drop.load("ann~1").await, paying);
    let confirmed = drop.go("ann~1", Input::Approved { amount: amount(200) }).await;
    assert_eq!((confirmed.state, confirmed.ver, confirmed.due_at), (OrderState::Confirmed, 3, None));
    assert_eq!(drop.load("ann~1").await, confirmed);
}

/// Lines, amounts, content and hold are those of the acceptance, whatever a transition carries.
pub async fn what_was_decided_at_acceptance_stays(fixture: &impl Orders) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 100, 5)])).await;
    drop.adopt(7, 0).await;
    let accepted = drop.take(held(1, 4, accept("ann~1", &[("a", 2)]))).await;
    let row = drop.go("ann~1", Input::TurnToPay).await;
    assert_eq!((&row.lines, row.amounts, row.hash), (&accepted.lines, accepted.amounts, accepted.hash));
    assert_eq!((row.hold, row.decided_at, row.v), (accepted.hold, accepted.decided_at, accepted.v));
}

/// A transition that was decided from an older row is refused, and nothing of it is written.
pub async fn a_stale_transition_leaves_no_trace(fixture: &impl Orders) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 100, 5)])).await;
    drop.take(accept("ann~1", &[("a", 2)])).await;
    let slow = drop.transition("ann~1", &Input::BuyerCancels).await;
    let paying = drop.go("ann~1", Input::TurnToPay).await;
    let before = drop.version().await;
    assert_eq!(drop.append(&[slow]).await, (vec![Appended::Stale], None));
    assert_eq!(drop.load("ann~1").await, paying);
    assert_eq!((drop.allocated("a").await, drop.version().await), (2, before));
}

/// Hole 15: a batch of transitions: the stale ones are dropped, the rest is written in one go.
pub async fn stale_transitions_do_not_hold_up_the_others(fixture: &impl Orders) {
    let drop = opened(fixture, &sale("drop", &[("a", 9, 100, 5)])).await;
    let ids = ["ann~1", "bob~1", "cid~1"];
    for id in ids {
        drop.take(accept(id, &[("a", 2)])).await;
    }
    let mut batch = Vec::new();
    for id in ids {
        batch.push(drop.transition(id, &Input::BuyerCancels).await);
    }
    drop.go("bob~1", Input::TurnToPay).await;
    let (answers, update) = drop.append(&batch).await;
    let done: Vec<bool> = answers.iter().map(|answer| matches!(answer, Appended::Done(_))).collect();
    assert_eq!(done, [true, false, true]);
    assert_eq!(update.expect("an update").orders.len(), 2);
    assert_eq!(drop.allocated("a").await, 2);
    assert_eq!(drop.state("bob~1").await, Some(OrderState::Paying));
}

/// A transition of an order that is not there (a rewound ledger) is stale.
pub async fn a_transition_of_an_unknown_order_is_stale(fixture: &impl Orders) {
    let drop = opened(fixture, &sale("drop", &[("a", 9, 100, 5)])).await;
    drop.take(accept("ann~1", &[("a", 2)])).await;
    let mut stray = drop.transition("ann~1", &Input::BuyerCancels).await;
    stray.order.id = order("bob~1");
    assert_eq!(drop.append(&[stray]).await, (vec![Appended::Stale], None));
    assert_eq!((drop.allocated("a").await, drop.state("bob~1").await), (2, None));
}

/// Hole 16: an order moves only through its own sale.
pub async fn a_transition_through_another_sale_is_stale(fixture: &impl Orders) {
    let drop = opened(fixture, &sale("drop", &[("a", 9, 100, 5)])).await;
    drop.ledger.open(&sale("other", &[("a", 9, 100, 5)])).await.expect("open").expect("new");
    drop.take(accept("ann~1", &[("a", 2)])).await;
    let stray = drop.transition("ann~1", &Input::BuyerCancels).await;
    let other = Open { ledger: drop.ledger, sale: sale_id("other") };
    assert_eq!(other.append(&[stray]).await, (vec![Appended::Stale], None));
    assert_eq!(other.version().await.v, 1);
    let drop = Open { ledger: other.ledger, sale: sale_id("drop") };
    assert_eq!(drop.allocated("a").await, 2);
}

/// G8: two nodes with two answers of the gateway: one of them is written.
pub async fn of_two_transitions_at_once_one_is_written(fixture: &impl Orders) {
    let drop = opened(fixture, &sale("drop", &[("a", 9, 100, 5)])).await;
    drop.take(accept("ann~1", &[("a", 2)])).await;
    drop.go("ann~1", Input::TurnToPay).await;
    let declined = drop.transition("ann~1", &DECLINED).await;
    let approved = drop.transition("ann~1", &Input::Approved { amount: amount(200) }).await;
    let both = [vec![declined.clone()], vec![approved], vec![declined]];
    let answers = crate::together(both.iter().map(|batch| drop.append(batch))).await;
    assert_eq!(answers.iter().filter(|answer| matches!(answer.0[..], [Appended::Done(_)])).count(), 1);
    let units = if drop.load("ann~1").await.state.holds_units() { 2 } else { 0 };
    assert_eq!(drop.allocated("a").await, units);
}

/// Step 5: the sale is locked, and its version moves, only where units move.
pub async fn a_transition_that_keeps_units_is_no_version(fixture: &impl Orders) {
    let drop = opened(fixture, &sale("drop", &[("a", 9, 100, 5)])).await;
    let accepted = drop.take(accept("ann~1", &[("a", 2)])).await;
    let before = drop.version().await;
    let transition = drop.transition("ann~1", &Input::TurnToPay).await;
    let (_, update) = drop.append(&[transition]).await;
    assert_eq!((update, drop.version().await), (None, before));
    assert_eq!(drop.load("ann~1").await.v, accepted.v);
    assert_eq!(drop.allocated("a").await, 2);
}

/// G5: declined: the units are free in the same transaction.
pub async fn units_come_back_with_the_transition_that_ends_the_order(fixture: &impl Orders) {
    let drop = opened(fixture, &sale("drop", &[("a", 2, 100, 2), ("b", 1, 100, 1)])).await;
    drop.take(accept("ann~1", &[("a", 2), ("b", 1)])).await;
    drop.go("ann~1", Input::TurnToPay).await;
    let before = drop.version().await;
    let ended = drop.go("ann~1", DECLINED).await;
    assert_eq!((ended.state, ended.reason), (OrderState::Cancelled, Some(Reason::Declined)));
    assert_eq!((ended.v, drop.version().await.v), (before.v + 1, before.v + 1));
    assert_eq!((drop.allocated("a").await, drop.allocated("b").await), (0, 0));
    drop.take(accept("ann~2", &[("a", 2), ("b", 1)])).await;
}

/// Two at once, or one answer that was lost: the second copy is stale.
pub async fn a_repeated_transition_restores_once(fixture: &impl Orders) {
    let drop = opened(fixture, &sale("drop", &[("a", 9, 100, 5)])).await;
    drop.take(accept("ann~1", &[("a", 2)])).await;
    drop.take(accept("bob~1", &[("a", 3)])).await;
    let end = drop.transition("ann~1", &Input::BuyerCancels).await;
    assert!(matches!(drop.append(std::slice::from_ref(&end)).await.0[..], [Appended::Done(_)]));
    assert_eq!(drop.append(&[end]).await, (vec![Appended::Stale], None));
    assert_eq!(drop.allocated("a").await, 3);
}

/// A state word that nobody knows restores without end: here the rows know whether the units are back.
pub async fn units_that_are_back_do_not_come_back_again(fixture: &impl Orders) {
    let drop = opened(fixture, &sale("drop", &[("a", 9, 100, 5)])).await;
    drop.take(accept("ann~1", &[("a", 2)])).await;
    drop.take(accept("bob~1", &[("a", 3)])).await;
    drop.cancel("ann~1").await;
    let before = drop.version().await;
    let late = giving_back(drop.transition("ann~1", &Input::Approved { amount: amount(200) }).await);
    let (answers, update) = drop.append(&[late]).await;
    assert!(matches!(answers[..], [Appended::Done(_)]), "the transition itself is written");
    assert_eq!((update, drop.version().await), (None, before));
    assert_eq!(drop.allocated("a").await, 3);
}

/// Hole 15: one lock and one version per batch, not per order.
pub async fn a_batch_that_gives_back_is_one_version(fixture: &impl Orders) {
    let drop = opened(fixture, &sale("drop", &[("a", 90, 100, 5)])).await;
    let ids: Vec<String> = (0..20).map(|n| format!("b{n}~1")).collect();
    let mut batch = Vec::new();
    for id in &ids {
        drop.take(accept(id, &[("a", 2)])).await;
        batch.push(drop.transition(id, &Input::BuyerCancels).await);
    }
    let before = drop.version().await;
    let (answers, _) = drop.append(&batch).await;
    for answer in answers {
        let Appended::Done(order) = answer else { panic!("stale") };
        assert_eq!((order.v, order.ver), (before.v + 1, 2));
    }
    assert_eq!((drop.version().await.v, drop.allocated("a").await), (before.v + 1, 0));
}

/// What the transaction returns is what a gate at the version before lacks.
pub async fn the_update_tells_what_came_back(fixture: &impl Orders) {
    let drop = opened(fixture, &sale("drop", &[("a", 9, 100, 5)])).await;
    drop.take(accept("ann~1", &[("a", 2)])).await;
    drop.take(accept("ann~2", &[("a", 1)])).await;
    let from = drop.version().await;
    let batch =
        [drop.transition("ann~1", &Input::BuyerCancels).await, drop.transition("ann~2", &Input::TurnToPay).await];
    let update = drop.append(&batch).await.1.expect("an update");
    assert_eq!((update.from, update.to), (from, drop.version().await));
    assert!(update.items.iter().any(|level| level.item == item("a") && level.free == 8));
    let listed: Vec<_> = update.orders.iter().map(|o| (o.id.clone(), o.state, o.v)).collect();
    assert_eq!(listed, [(order("ann~1"), OrderState::Cancelled, update.to.v)], "only what moved units");
    assert_eq!(update.bought.iter().map(|b| (b.buyer.as_str(), b.units)).collect::<Vec<_>>(), [("ann", 1)]);
}

/// G4: the coupon of a declined order can be used again, once.
pub async fn a_coupon_comes_back_with_the_units(fixture: &impl Orders) {
    const MINE: &str = "plant~w1~ann";
    let window = opened(fixture, &sale("plant:w1", &[("coupon", 9, 0, 1)])).await;
    window.take(claim("c", coupon(MINE, Timestamp::FAR))).await;
    window.ledger.open(&sale("drop", &[("a", 9, 10_000, 9)])).await.expect("open").expect("new");
    let drop = Open { ledger: window.ledger, sale: sale_id("drop") };
    drop.take(with_coupon(MINE, accept("ann~1", &[("a", 1)]))).await;
    drop.go("ann~1", Input::TurnToPay).await;
    drop.refusal(with_coupon(MINE, accept("ann~2", &[("a", 1)]))).await;
    drop.go("ann~1", DECLINED).await;
    drop.take(with_coupon(MINE, accept("ann~3", &[("a", 1)]))).await;
    let late = giving_back(drop.transition("ann~1", &Input::Approved { amount: amount(7_000) }).await);
    drop.append(&[late]).await;
    drop.refusal(with_coupon(MINE, accept("ann~4", &[("a", 1)]))).await;
}

/// Returned goods are sold again only where the policy says so.
pub async fn a_return_keeps_its_units_where_the_policy_says_so(fixture: &impl Orders) {
    let drop = opened(fixture, &sale("drop", &[("a", 9, 100, 5)])).await;
    for (id, units, left) in [("ann~1", Units::Keep, 2), ("bob~1", Units::GiveBack, 2)] {
        drop.take(accept(id, &[("a", 2)])).await;
        drop.go(id, Input::TurnToPay).await;
        drop.go(id, Input::Approved { amount: amount(200) }).await;
        let policy = Policy { returned_units: units, ..Policy::default() };
        let returning = drop.transition_by(id, &Input::Return, &policy).await;
        assert!(matches!(drop.append(&[returning]).await.0[..], [Appended::Done(_)]));
        assert_eq!(drop.go(id, Input::Refunded).await.state, OrderState::Refunded);
        assert_eq!(drop.allocated("a").await, left);
    }
}

/// Step 7: `orders.v` changes when units move, so a follower is not told of every payment.
pub async fn a_gate_is_not_told_of_transitions_that_move_no_units(fixture: &impl Orders) {
    let drop = opened(fixture, &sale("drop", &[("a", 9, 100, 5)])).await;
    drop.adopt(7, 0).await;
    drop.take(held(1, 1, accept("ann~1", &[("a", 2)]))).await;
    let at = drop.version().await;
    drop.go("ann~1", Input::TurnToPay).await;
    drop.go("ann~1", Input::Approved { amount: amount(200) }).await;
    assert_eq!(drop.follow(7, at, 0).await, Followed::Current);
    drop.go("ann~1", Input::Return).await;
    assert_eq!(drop.update(7, at, 0).await.orders.len(), 1);
}

/// Table 2.2: where a payment is, or was, under way, the saga ends the order; where it has ended, it has ended.
pub async fn what_is_being_paid_or_was_paid_is_not_cancelled(fixture: &impl Orders) {
    let drop = opened(fixture, &sale("drop", &[("a", 20, 100, 5)])).await;
    let paths: [(&str, &[Input]); 5] = [
        ("paying~1", &[Input::TurnToPay]),
        ("closing~1", &[Input::TurnToPay, Input::BuyerCancels]),
        ("confirmed~1", &[Input::TurnToPay, Input::Approved { amount: amount(200) }]),
        ("refunding~1", &[Input::TurnToPay, Input::Approved { amount: amount(200) }, Input::Return]),
        ("refunded~1", &[Input::TurnToPay, Input::Approved { amount: amount(200) }, Input::Return, Input::Refunded]),
    ];
    for (id, inputs) in paths {
        let mut row = drop.take(accept(id, &[("a", 2)])).await;
        for input in inputs {
            row = drop.go(id, input.clone()).await;
        }
        assert_eq!(row.state.code(), id.trim_end_matches("~1"));
        let (before, units) = (drop.version().await, drop.allocated("a").await);
        let expected = if row.state.holds_units() { Cancelled::NotCancellable(row) } else { Cancelled::Already(row) };
        assert_eq!(drop.cancel(id).await, expected);
        assert_eq!((drop.version().await, drop.allocated("a").await), (before, units));
    }
}

/// G7, table 2.2: accept answers `Already` in every state that an order can be in.
pub async fn a_decided_order_answers_its_id_in_every_state(fixture: &impl Orders) {
    let drop = opened(fixture, &sale("drop", &[("a", 2, 100, 5)])).await;
    let mut row = drop.take(accept("ann~1", &[("a", 2)])).await;
    let way = [Input::TurnToPay, Input::Approved { amount: amount(200) }, Input::Return, Input::Refunded];
    for input in way {
        assert_eq!(drop.ask(accept("ann~1", &[("a", 2)])).await, Acceptance::Already(row));
        assert_eq!(drop.ask(accept("ann~1", &[("a", 1)])).await, Acceptance::Conflict);
        row = drop.go("ann~1", input).await;
    }
    assert_eq!(drop.ask(accept("ann~1", &[("a", 2)])).await, Acceptance::Already(row));
}

/// G2, G8: a transition survives a stop without warning, if the ledger says that it survives one.
pub async fn a_durable_ledger_keeps_transitions(fixture: &impl Orders) {
    let drop = opened(fixture, &sale("drop", &[("a", 9, 100, 5)])).await;
    drop.take(accept("ann~1", &[("a", 2)])).await;
    drop.take(accept("bob~1", &[("a", 2)])).await;
    let paying = drop.go("ann~1", Input::TurnToPay).await;
    let ended = drop.go("bob~1", Input::BuyerCancels).await;
    if drop.ledger.durability() == Durability::Volatile {
        println!("not run: this ledger is volatile and says so");
        return;
    }
    let ledger = fixture.restart(drop.ledger).await.expect("a durable ledger can be restarted");
    let drop = Open { ledger, sale: drop.sale };
    let (rows, _) = drop.ledger.load(&[order("ann~1"), order("bob~1")]).await.expect("load");
    assert_eq!(rows, [Some(paying), Some(ended)]);
    assert_eq!(drop.allocated("a").await, 2);
}
