//! Following: what is due, and copying the ledger's state by version (protocol 1.4, steps 4, 7 and 8; table 2.1).

use std::time::Duration;

use flashsale_core::id::ContentHash;
use flashsale_core::sale::SaleState;
use flashsale_core::stock::{
    HoldNo, Nonce, OrderState, ReserveRefusal, Reserved, Settled, StockGate, Synced, Update, Version,
};

use super::{Gates, all_held, deciding, is_held, opened, outlast, sold_out, update};
use crate::sample::{self, HOLD, item, level, settled, version};

/// Nothing is due of a gate that knows nothing or is being loaded.
pub async fn a_gate_that_is_not_open_has_nothing_due(fixture: &impl Gates) {
    let gate = fixture.fresh().await;
    let sale = sample::sale_id("drop");
    assert_eq!(gate.due(&sale).await.expect("due"), None);
    gate.begin(&sale, Nonce(7)).await.expect("begin");
    assert_eq!(gate.due(&sale).await.expect("due"), None);
}

/// G5: a hold does not lapse before its deadline.
pub async fn nothing_is_due_before_its_deadline(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 5, 5)]).await;
    assert_eq!(drop.lapsed().await, 0);
    let Ok(Reserved::Held(hold)) = drop.reserve("ann~1", &[("a", 1)]).await else { panic!("not held") };
    let lapsed = drop.lapsed().await;
    // Where the clock cannot be stopped, the answer may be late; it may never be early.
    assert!(lapsed == 0 || drop.level().await.now >= hold.deadline);
}

/// G5, G6: what is due is a run of numbers from the first, ending before the first hold whose time is not over.
pub async fn what_is_due_ends_before_the_first_live_deadline(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 9, 9)]).await;
    drop.hold("ann~1", &[("a", 1)]).await;
    drop.hold("bob~1", &[("a", 1)]).await;
    outlast(fixture).await;
    let Ok(Reserved::Held(third)) = drop.reserve("cid~1", &[("a", 1)]).await else { panic!("not held") };
    let lapsed = drop.lapsed().await;
    assert!(lapsed == 2 || drop.level().await.now >= third.deadline, "{lapsed} are due");
    outlast(fixture).await;
    assert_eq!(drop.lapsed().await, 3);
    fixture.advance(HOLD).await;
    assert_eq!(drop.lapsed().await, 3, "being due changes nothing");
    assert_eq!(drop.shelf("a").await, (9, 3), "a hold that is due still holds");
}

/// Protocol 1.4, step 7a: the follower is told where the gate stands.
pub async fn due_names_the_nonce_and_the_version(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 5, 5)]).await;
    let due = drop.gate.due(&drop.sale).await.expect("due").expect("open");
    assert_eq!((due.nonce, due.version), (Nonce(7), version(1)));
    drop.sync(&update(1, &[])).await;
    let due = drop.gate.due(&drop.sale).await.expect("due").expect("open");
    assert_eq!(due.version, version(2));
}

/// Version test: an update from another number, older or newer, has no effect.
pub async fn a_sync_from_another_number_is_refused(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 5, 5)]).await;
    assert_eq!(drop.sync(&update(2, &[level("a", 1, 5)])).await, Synced::Refused);
    drop.sync(&update(1, &[level("a", 4, 5)])).await;
    drop.sync(&update(2, &[level("a", 3, 5)])).await;
    assert_eq!(drop.sync(&update(1, &[level("a", 4, 5)])).await, Synced::Refused);
    assert_eq!(drop.shelf("a").await, (3, 0));
    assert_eq!(drop.level().await.version, Some(version(3)));
}

/// Hole 19: the number alone is not a version; another tag is another history.
pub async fn a_sync_from_another_tag_is_refused(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 5, 5)]).await;
    let other = Update { from: Version { v: 1, tag: 0xBAD }, ..update(1, &[level("a", 1, 5)]) };
    assert_eq!(drop.sync(&other).await, Synced::Refused);
    assert_eq!(drop.shelf("a").await, (5, 0));
}

/// Table 2.1: an update for a gate that was replaced has no effect.
pub async fn a_sync_for_another_nonce_is_refused(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 5, 5)]).await;
    let other = Update { nonce: Some(Nonce(8)), ..update(1, &[level("a", 1, 5)]) };
    assert_eq!(drop.sync(&other).await, Synced::Refused);
    assert_eq!(drop.shelf("a").await, (5, 0));
}

/// An update that names no gate is for whichever stands at its version.
pub async fn a_sync_that_names_no_nonce_is_taken(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 5, 5)]).await;
    let unnamed = Update { nonce: None, ..update(1, &[level("a", 1, 5)]) };
    assert_eq!(drop.sync(&unnamed).await, Synced::Done);
    assert_eq!(drop.shelf("a").await, (1, 0));
}

/// A gate that is empty or being loaded takes no update.
pub async fn a_sync_is_refused_by_a_gate_that_is_not_open(fixture: &impl Gates) {
    let gate = fixture.fresh().await;
    let sale = sample::sale_id("drop");
    assert_eq!(gate.sync(&sale, &update(1, &[])).await.expect("sync"), Synced::Refused);
    gate.begin(&sale, Nonce(7)).await.expect("begin");
    assert_eq!(gate.sync(&sale, &update(1, &[])).await.expect("sync"), Synced::Refused);
}

/// A late copy of an update that was taken has no effect.
pub async fn a_repeated_sync_changes_nothing(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 5, 5)]).await;
    let first = update(1, &[level("a", 2, 5)]);
    assert_eq!(drop.sync(&first).await, Synced::Done);
    drop.hold("ann~1", &[("a", 1)]).await;
    assert_eq!(drop.sync(&first).await, Synced::Refused);
    assert_eq!(drop.shelf("a").await, (2, 1));
}

/// Invariant (a): levels are copied, not added; items that are not listed stay.
pub async fn a_sync_sets_levels_absolutely(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 5, 5), level("b", 5, 5)]).await;
    drop.sync(&update(1, &[level("a", 2, 3)])).await;
    drop.sync(&update(2, &[level("a", 2, 3)])).await;
    assert_eq!((drop.shelf("a").await, drop.shelf("b").await), ((2, 0), (5, 0)));
    assert!(sold_out(&drop.reserve("ann~1", &[("a", 3)]).await));
    assert!(matches!(drop.reserve("ann~1", &[("a", 4)]).await, Err(ReserveRefusal::Limit { limit: 3, .. })));
}

/// Pausing, resuming and closing arrive with the version.
pub async fn a_sync_sets_the_door(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 5, 5)]).await;
    for (from, state, code) in [(1, SaleState::Paused, "paused"), (2, SaleState::Closed, "closed")] {
        let mut turned = update(from, &[]);
        turned.door.state = state;
        drop.sync(&turned).await;
        assert_eq!(drop.reserve("ann~1", &[("a", 1)]).await.map_err(|no| no.code()), Err(code));
    }
    let mut again = update(3, &[]);
    again.door.hold = HOLD * 10;
    drop.sync(&again).await;
    let before = drop.level().await.now;
    let Ok(Reserved::Held(hold)) = drop.reserve("ann~1", &[("a", 1)]).await else { panic!("not held") };
    assert!(hold.deadline >= before.after(HOLD * 10), "the hold time is copied, too");
}

/// Invariant (c), table 2.1: no live hold belongs to an order that the copied version lists.
pub async fn a_listed_order_is_done_and_its_hold_is_gone(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 5, 5)]).await;
    drop.hold("ann~1", &[("a", 2)]).await;
    drop.hold("bob~1", &[("a", 1)]).await;
    let orders = [settled("ann~1", &[("a", 2)], OrderState::Accepted, 2)];
    drop.sync(&deciding(1, &[level("a", 3, 5)], &orders, &[("ann", "a", 2)])).await;
    assert_eq!(drop.shelf("a").await, (3, 1));
    assert_eq!(drop.level().await.holds, 1);
    assert_eq!(drop.reserve("ann~1", &[("a", 2)]).await, Ok(Reserved::Done(OrderState::Accepted)));
}

/// Protocol 1.4, step 4: accepted and not yet synced counts the same as accepted and synced.
pub async fn accepting_a_held_order_leaves_as_much_available(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 3, 5)]).await;
    drop.hold("ann~1", &[("a", 2)]).await;
    assert!(all_held(&drop.reserve("bob~1", &[("a", 2)]).await));
    let orders = [settled("ann~1", &[("a", 2)], OrderState::Accepted, 2)];
    drop.sync(&deciding(1, &[level("a", 1, 5)], &orders, &[("ann", "a", 2)])).await;
    assert!(sold_out(&drop.reserve("bob~1", &[("a", 2)]).await));
    drop.hold("bob~2", &[("a", 1)]).await;
}

/// G7, hole 22: a win is told even after sell-out.
pub async fn a_decided_winner_is_told_so_after_sell_out(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 1, 1)]).await;
    drop.hold("ann~1", &[("a", 1)]).await;
    let orders = [settled("ann~1", &[("a", 1)], OrderState::Accepted, 2)];
    drop.sync(&deciding(1, &[level("a", 0, 1)], &orders, &[("ann", "a", 1)])).await;
    assert!(sold_out(&drop.reserve("bob~1", &[("a", 1)]).await));
    assert_eq!(drop.reserve("ann~1", &[("a", 1)]).await, Ok(Reserved::Done(OrderState::Accepted)));
}

/// G7, table 2.1: the same id with other content is a conflict after the decision as before it.
pub async fn other_content_of_a_decided_order_is_a_conflict(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 5, 5)]).await;
    let orders = [settled("ann~1", &[("a", 1)], OrderState::Accepted, 2)];
    drop.sync(&deciding(1, &[level("a", 4, 5)], &orders, &[("ann", "a", 1)])).await;
    assert_eq!(drop.reserve("ann~1", &[("a", 2)]).await, Err(ReserveRefusal::Conflict));
}

/// Table 2.1, hole 17: `Done(cancelled | refused)` is that outcome, not a new try.
pub async fn a_decided_order_is_not_tried_again(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 5, 5)]).await;
    let orders = [
        settled("ann~1", &[("a", 1)], OrderState::Cancelled, 2),
        settled("bob~1", &[("a", 1)], OrderState::Refused, 2),
    ];
    drop.sync(&deciding(1, &[], &orders, &[])).await;
    assert_eq!(drop.reserve("ann~1", &[("a", 1)]).await, Ok(Reserved::Done(OrderState::Cancelled)));
    assert_eq!(drop.reserve("bob~1", &[("a", 1)]).await, Ok(Reserved::Done(OrderState::Refused)));
    assert_eq!(drop.shelf("a").await, (5, 0));
}

/// An order that another gate held, or that came without one, is known from the update alone.
pub async fn an_order_that_the_gate_never_held_is_remembered(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 5, 2)]).await;
    let orders = [settled("ann~1", &[("a", 2)], OrderState::Paying, 2)];
    drop.sync(&deciding(1, &[level("a", 3, 2)], &orders, &[("ann", "a", 2)])).await;
    assert_eq!(drop.reserve("ann~1", &[("a", 2)]).await, Ok(Reserved::Done(OrderState::Paying)));
    assert!(matches!(drop.reserve("ann~2", &[("a", 1)]).await, Err(ReserveRefusal::Limit { have: 2, .. })));
}

/// Hole 9: an id that was fenced before anybody asked for it is cancelled, whatever is asked for.
pub async fn a_fence_answers_whatever_is_asked_for(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 5, 2)]).await;
    let fence = Settled { id: sample::order("ann~1"), hash: ContentHash::FENCE, state: OrderState::Cancelled, v: 2 };
    drop.sync(&deciding(1, &[], &[fence], &[])).await;
    assert_eq!(drop.reserve("ann~1", &[("a", 1)]).await, Ok(Reserved::Done(OrderState::Cancelled)));
    assert_eq!(drop.reserve("ann~1", &[("a", 2)]).await, Ok(Reserved::Done(OrderState::Cancelled)));
}

/// Hole 5: the state is copied, not merely the presence: an accepted order that was cancelled is cancelled.
pub async fn a_newer_state_of_an_order_replaces_the_older(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 2, 2)]).await;
    drop.hold("ann~1", &[("a", 2)]).await;
    let accepted = [settled("ann~1", &[("a", 2)], OrderState::Accepted, 2)];
    drop.sync(&deciding(1, &[level("a", 0, 2)], &accepted, &[("ann", "a", 2)])).await;
    let cancelled = [settled("ann~1", &[("a", 2)], OrderState::Cancelled, 3)];
    drop.sync(&deciding(2, &[level("a", 2, 2)], &cancelled, &[("ann", "a", 0)])).await;
    assert_eq!(drop.reserve("ann~1", &[("a", 2)]).await, Ok(Reserved::Done(OrderState::Cancelled)));
    assert_eq!(drop.shelf("a").await, (2, 0));
    drop.hold("ann~2", &[("a", 2)]).await;
}

/// G5, step 8: a sealed hold is gone, its units and its share of the limit are back.
pub async fn sealed_holds_give_their_units_back(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 2, 2)]).await;
    drop.hold("ann~1", &[("a", 2)]).await;
    outlast(fixture).await;
    let sealed = HoldNo(drop.lapsed().await);
    assert_eq!(sealed, HoldNo(1));
    assert_eq!(drop.sync(&Update { sealed, to: version(1), ..update(1, &[]) }).await, Synced::Done);
    assert_eq!(drop.shelf("a").await, (2, 0));
    assert_eq!((drop.level().await.holds, drop.lapsed().await), (0, 0));
    drop.hold("ann~2", &[("a", 2)]).await;
}

/// Table 2.1: only holds up to the seal end.
pub async fn a_hold_above_the_seal_stays(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 19, 9)]).await;
    for n in 1..=4 {
        drop.hold(&format!("b{n}~1"), &[("a", n)]).await;
    }
    drop.sync(&Update { sealed: HoldNo(2), ..update(1, &[]) }).await;
    assert_eq!(drop.shelf("a").await, (19, 7));
    assert!(is_held(&drop.reserve("b3~1", &[("a", 3)]).await));
    drop.sync(&Update { sealed: HoldNo(1), ..update(2, &[]) }).await;
    assert_eq!(drop.shelf("a").await, (19, 7), "an older seal takes nothing back");
}

/// Table 2.1: a sealed id is absent: it is held again behind those who came meanwhile, and numbers are never used twice.
pub async fn a_sealed_id_may_be_held_again_under_a_new_number(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 9, 9)]).await;
    drop.hold("ann~1", &[("a", 1)]).await;
    drop.sync(&Update { sealed: HoldNo(1), ..update(1, &[]) }).await;
    assert_eq!(drop.hold("bob~1", &[("a", 1)]).await, 2);
    assert_eq!(drop.hold("ann~1", &[("a", 1)]).await, 3);
    drop.sync(&Update { sealed: HoldNo(3), ..update(2, &[]) }).await;
    assert_eq!(drop.hold("ann~1", &[("a", 1)]).await, 4);
}

/// G5, step 8: a hold ends either accepted or sealed; listed *and* below the seal, it was accepted.
pub async fn an_order_accepted_at_the_last_moment_is_done_not_lapsed(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 4, 4)]).await;
    drop.hold("ann~1", &[("a", 2)]).await;
    drop.hold("bob~1", &[("a", 1)]).await;
    outlast(fixture).await;
    let orders = [settled("ann~1", &[("a", 2)], OrderState::Accepted, 2)];
    let both = Update { sealed: HoldNo(2), ..deciding(1, &[level("a", 2, 4)], &orders, &[("ann", "a", 2)]) };
    drop.sync(&both).await;
    assert_eq!(drop.shelf("a").await, (2, 0));
    assert_eq!(drop.reserve("ann~1", &[("a", 2)]).await, Ok(Reserved::Done(OrderState::Accepted)));
    assert_eq!(drop.hold("bob~1", &[("a", 1)]).await, 3);
}

/// All lines of a hold end together, by decision as by seal.
pub async fn a_held_order_of_several_lines_ends_as_one(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 9, 9), level("b", 9, 9)]).await;
    drop.hold("ann~1", &[("a", 2), ("b", 3)]).await;
    drop.hold("bob~1", &[("b", 1), ("a", 4)]).await;
    assert_eq!((drop.shelf("a").await, drop.shelf("b").await), ((9, 6), (9, 4)));
    drop.sync(&Update { sealed: HoldNo(1), ..update(1, &[]) }).await;
    assert_eq!((drop.shelf("a").await, drop.shelf("b").await), ((9, 4), (9, 1)));
    let orders = [settled("bob~1", &[("b", 1), ("a", 4)], OrderState::Accepted, 3)];
    let listed = deciding(2, &[level("a", 5, 9), level("b", 8, 9)], &orders, &[("bob", "a", 4), ("bob", "b", 1)]);
    drop.sync(&listed).await;
    assert_eq!((drop.shelf("a").await, drop.shelf("b").await), ((5, 0), (8, 0)));
}

/// G3: what a buyer has is copied, up and down, not added up.
pub async fn bought_units_are_set_absolutely(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 9, 3)]).await;
    for (from, have) in [(1, 3), (2, 3), (3, 1)] {
        drop.sync(&deciding(from, &[], &[], &[("ann", "a", have)])).await;
    }
    assert!(matches!(drop.reserve("ann~1", &[("a", 3)]).await, Err(ReserveRefusal::Limit { have: 1, .. })));
    drop.hold("ann~2", &[("a", 2)]).await;
}

/// Step 10: a lowered limit counts for requests from then on; holds stay.
pub async fn a_limit_that_was_lowered_counts_at_once(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 9, 3)]).await;
    drop.hold("ann~1", &[("a", 3)]).await;
    drop.sync(&update(1, &[level("a", 9, 1)])).await;
    assert!(is_held(&drop.reserve("ann~1", &[("a", 3)]).await));
    assert!(matches!(drop.reserve("bob~1", &[("a", 2)]).await, Err(ReserveRefusal::Limit { limit: 1, .. })));
    assert!(matches!(drop.reserve("ann~2", &[("a", 1)]).await, Err(ReserveRefusal::Limit { have: 3, .. })));
    drop.hold("bob~2", &[("a", 1)]).await;
}

/// Step 10: a shrink may leave fewer free than held.
pub async fn shrinking_below_what_is_held_refuses_and_does_not_wrap(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 5, 9)]).await;
    drop.hold("ann~1", &[("a", 4)]).await;
    drop.sync(&update(1, &[level("a", 2, 9)])).await;
    assert_eq!(drop.shelf("a").await, (2, 4));
    assert!(all_held(&drop.reserve("bob~1", &[("a", 1)]).await));
    assert!(sold_out(&drop.reserve("bob~1", &[("a", 3)]).await));
    drop.sync(&Update { sealed: HoldNo(1), ..update(2, &[]) }).await;
    drop.hold("bob~1", &[("a", 2)]).await;
}

/// Hole 7: a restock is one absolute level; it opens what was sold out.
pub async fn a_restock_is_for_sale_at_once(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 0, 9)]).await;
    assert!(sold_out(&drop.reserve("ann~1", &[("a", 1)]).await));
    drop.sync(&update(1, &[level("a", 10, 9)])).await;
    assert_eq!(drop.hold("ann~1", &[("a", 1)]).await, 1);
}

/// Step 9: the flag travels with the version, in both directions.
pub async fn the_last_waiter_leaves_and_the_item_opens(fixture: &impl Gates) {
    let mut waited_for = level("a", 5, 5);
    waited_for.waiting = true;
    let drop = opened(fixture, &[waited_for]).await;
    let refused = drop.reserve("ann~1", &[("a", 1)]).await;
    assert_eq!(refused, Err(ReserveRefusal::Waitlist { item: item("a"), after: HoldNo(0) }));
    fixture.advance(Duration::from_millis(1)).await;
    drop.sync(&update(1, &[level("a", 5, 5)])).await;
    drop.hold("ann~1", &[("a", 1)]).await;
}
