//! A gate that is new, empty, restarted or replaced (protocol 1.5).

use flashsale_core::stock::{
    Answers, Begun, Bought, Epoch, HoldNo, Load, Nonce, OrderState, Reservation, ReserveRefusal, Reserved, StockGate,
    Synced, Update,
};

use super::{Gates, Loaded, deciding, opened, sold_out, update};
use crate::sample::{self, buyer, item, level, load, reserve, settled, version};

/// A gate that knows nothing takes the nonce of who begins.
pub async fn begin_takes_the_first_nonce(fixture: &impl Gates) {
    let (gate, sale) = (fixture.fresh().await, sample::sale_id("drop"));
    assert_eq!(gate.begin(&sale, Nonce(7)).await.expect("begin"), Begun::Loading(Nonce(7)));
    assert_eq!(gate.level(&sale).await.expect("level").nonce, Some(Nonce(7)));
}

/// Hole 3: of two who begin, both load the gate of the first.
pub async fn begin_tells_the_nonce_that_was_first(fixture: &impl Gates) {
    let (gate, sale) = (fixture.fresh().await, sample::sale_id("drop"));
    gate.begin(&sale, Nonce(7)).await.expect("begin");
    assert_eq!(gate.begin(&sale, Nonce(8)).await.expect("begin"), Begun::Loading(Nonce(7)));
}

/// Beginning again on an open gate neither closes it nor forgets a hold.
pub async fn begin_on_an_open_gate_changes_nothing(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 5, 5)]).await;
    let first = drop.reserve("ann~1", &[("a", 1)]).await;
    assert_eq!(drop.gate.begin(&drop.sale, Nonce(8)).await.expect("begin"), Begun::Open(Nonce(7)));
    assert_eq!(drop.reserve("ann~1", &[("a", 1)]).await, first);
}

/// A load for a gate that was replaced meanwhile has no effect.
pub async fn a_load_with_another_nonce_is_refused(fixture: &impl Gates) {
    let (gate, sale) = (fixture.fresh().await, sample::sale_id("drop"));
    gate.begin(&sale, Nonce(7)).await.expect("begin");
    let other = Load { nonce: Nonce(8), ..load(&[level("a", 5, 5)]) };
    assert_eq!(gate.load(&sale, &other).await.expect("load"), Synced::Refused);
    assert!(!gate.level(&sale).await.expect("level").open);
}

/// Hole 8: stock is not set a second time under the live holds.
pub async fn a_load_of_an_open_gate_is_refused(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 5, 5)]).await;
    drop.hold("ann~1", &[("a", 1)]).await;
    let again = drop.gate.load(&drop.sale, &load(&[level("a", 99, 5)])).await.expect("load");
    assert_eq!(again, Synced::Refused);
    assert_eq!(drop.shelf("a").await, (5, 1));
    assert_eq!(drop.hold("bob~1", &[("a", 1)]).await, 2);
}

/// A gate that nobody began is not loaded.
pub async fn a_load_without_begin_is_refused(fixture: &impl Gates) {
    let (gate, sale) = (fixture.fresh().await, sample::sale_id("drop"));
    assert_eq!(gate.load(&sale, &load(&[level("a", 5, 5)])).await.expect("load"), Synced::Refused);
}

/// Hole 3: a hold names the epoch that the ledger gave, and numbers begin at 1 in each.
pub async fn holds_carry_the_epoch_and_begin_at_one(fixture: &impl Gates) {
    let (gate, sale) = (fixture.fresh().await, sample::sale_id("drop"));
    gate.begin(&sale, Nonce(7)).await.expect("begin");
    let fifth = Load { epoch: Epoch(5), version: version(40), ..load(&[level("a", 5, 5)]) };
    assert_eq!(gate.load(&sale, &fifth).await.expect("load"), Synced::Done);
    let drop = Loaded { gate, sale };
    let Ok(Reserved::Held(hold)) = drop.reserve("ann~1", &[("a", 1)]).await else { panic!("not held") };
    assert_eq!((hold.epoch, hold.no), (Epoch(5), HoldNo(1)));
    let level = drop.level().await;
    assert_eq!((level.epoch, level.version, level.next), (Epoch(5), Some(version(40)), HoldNo(2)));
}

/// A superseded gate is wiped by its own nonce; nobody wipes another's.
pub async fn forget_wipes_the_gate_of_that_nonce_only(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 5, 5)]).await;
    drop.hold("ann~1", &[("a", 1)]).await;
    drop.gate.forget(&drop.sale, Nonce(8)).await.expect("forget");
    assert_eq!(drop.shelf("a").await, (5, 1));
    drop.gate.forget(&drop.sale, Nonce(7)).await.expect("forget");
    let answer = drop.gate.reserve(&drop.sale, &[reserve("ann~1", &[("a", 1)])]).await.expect("reserve");
    assert_eq!(answer, Reservation::NotLoaded);
    assert_eq!(drop.gate.begin(&drop.sale, Nonce(9)).await.expect("begin"), Begun::Loading(Nonce(9)));
}

fn page(id: &str, state: OrderState, v: u64, have: u32) -> Answers {
    Answers {
        orders: vec![settled(id, &[("a", 1)], state, v)],
        bought: vec![Bought { item: item("a"), buyer: buyer("ann"), units: have, v }],
        next: None,
    }
}

/// A page for a gate that was replaced has no effect.
pub async fn answers_for_another_nonce_are_refused(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 5, 5)]).await;
    let other = page("ann~1", OrderState::Accepted, 1, 1);
    assert_eq!(drop.gate.answers(&drop.sale, Nonce(8), &other).await.expect("answers"), Synced::Refused);
    drop.hold("ann~1", &[("a", 1)]).await;
}

/// G7, hole 23: a gate that is loaded knows what was decided before.
pub async fn answers_before_the_load_are_known_after_it(fixture: &impl Gates) {
    let drop = Loaded { gate: fixture.fresh().await, sale: sample::sale_id("drop") };
    drop.gate.begin(&drop.sale, Nonce(7)).await.expect("begin");
    for (id, state) in [("ann~1", OrderState::Accepted), ("ann~2", OrderState::Refused)] {
        let page = page(id, state, 1, 1);
        assert_eq!(drop.gate.answers(&drop.sale, Nonce(7), &page).await.expect("answers"), Synced::Done);
    }
    drop.begin_and_load(&[level("a", 0, 1)]).await;
    assert_eq!(drop.reserve("ann~1", &[("a", 1)]).await, Ok(Reserved::Done(OrderState::Accepted)));
    assert_eq!(drop.reserve("ann~2", &[("a", 1)]).await, Ok(Reserved::Done(OrderState::Refused)));
    assert_eq!(drop.reserve("ann~1", &[("a", 2)]).await, Err(ReserveRefusal::Conflict));
    assert!(sold_out(&drop.reserve("bob~1", &[("a", 1)]).await));
}

/// G3: what buyers have is part of the load.
pub async fn bought_units_of_a_page_count_against_the_limit(fixture: &impl Gates) {
    let drop = Loaded { gate: fixture.fresh().await, sale: sample::sale_id("drop") };
    drop.gate.begin(&drop.sale, Nonce(7)).await.expect("begin");
    let page = page("ann~1", OrderState::Accepted, 1, 2);
    drop.gate.answers(&drop.sale, Nonce(7), &page).await.expect("answers");
    drop.begin_and_load(&[level("b", 5, 5), level("a", 5, 2)]).await;
    assert!(matches!(drop.reserve("ann~2", &[("a", 1)]).await, Err(ReserveRefusal::Limit { have: 2, .. })));
    drop.hold("bob~1", &[("a", 2)]).await;
}

/// A page that was read early and written late does not overwrite what an update has set since.
pub async fn only_newer_answers_overwrite(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 5, 3)]).await;
    let orders = [settled("ann~1", &[("a", 1)], OrderState::Cancelled, 2)];
    drop.sync(&deciding(1, &[], &orders, &[("ann", "a", 0)])).await;
    let old = page("ann~1", OrderState::Accepted, 1, 3);
    drop.gate.answers(&drop.sale, Nonce(7), &old).await.expect("answers");
    assert_eq!(drop.reserve("ann~1", &[("a", 1)]).await, Ok(Reserved::Done(OrderState::Cancelled)));
    drop.hold("ann~2", &[("a", 1)]).await;
    let new = page("ann~1", OrderState::Refunded, 3, 2);
    drop.gate.answers(&drop.sale, Nonce(7), &new).await.expect("answers");
    assert_eq!(drop.reserve("ann~1", &[("a", 1)]).await, Ok(Reserved::Done(OrderState::Refunded)));
    assert!(matches!(drop.reserve("ann~3", &[("a", 1)]).await, Err(ReserveRefusal::Limit { have: 3, .. })));
}

/// Step 7c: early pages are harmless: they drop no hold; the next sync drops every hold that is decided.
pub async fn a_page_leaves_live_holds_until_the_next_sync(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 5, 5)]).await;
    drop.hold("ann~1", &[("a", 1)]).await;
    drop.hold("bob~1", &[("a", 1)]).await;
    let early = page("ann~1", OrderState::Accepted, 2, 1);
    drop.gate.answers(&drop.sale, Nonce(7), &early).await.expect("answers");
    assert_eq!(drop.shelf("a").await, (5, 2));
    assert_eq!(drop.reserve("ann~1", &[("a", 1)]).await, Ok(Reserved::Done(OrderState::Accepted)));
    drop.sync(&update(1, &[level("a", 4, 5)])).await;
    assert_eq!(drop.shelf("a").await, (4, 1));
    assert_eq!(drop.level().await.holds, 1);
}

/// A page of a later version (a slow loader's, another follower's) keeps its holds through a sync that does not know them yet:
/// dropping them would show units that are taken.
pub async fn a_page_of_a_later_version_keeps_its_hold_until_that_version(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 2, 5)]).await;
    drop.hold("ann~1", &[("a", 1)]).await;
    drop.hold("bob~1", &[("a", 1)]).await;
    let later = page("bob~1", OrderState::Accepted, 3, 1);
    drop.gate.answers(&drop.sale, Nonce(7), &later).await.expect("answers");
    drop.sync(&update(1, &[level("a", 2, 5)])).await;
    assert_eq!(drop.shelf("a").await, (2, 2));
    drop.sync(&update(2, &[level("a", 1, 5)])).await;
    assert_eq!(drop.shelf("a").await, (1, 1));
}

/// Holes 2 and 3: what was meant for the gate before has no effect on its successor, even at the same version.
pub async fn an_update_for_a_gate_that_was_replaced_is_refused(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 5, 5)]).await;
    drop.gate.forget(&drop.sale, Nonce(7)).await.expect("forget");
    drop.gate.begin(&drop.sale, Nonce(8)).await.expect("begin");
    let next = Load { nonce: Nonce(8), epoch: Epoch(2), ..load(&[level("a", 5, 5)]) };
    drop.gate.load(&drop.sale, &next).await.expect("load");
    assert_eq!(drop.sync(&update(1, &[level("a", 99, 5)])).await, Synced::Refused);
    let mine = Update { nonce: Some(Nonce(8)), ..update(1, &[level("a", 4, 5)]) };
    assert_eq!(drop.sync(&mine).await, Synced::Done);
    assert_eq!(drop.shelf("a").await, (4, 0));
}

/// `level` shows every item with what is free and what is held, the number of holds, and the next number.
pub async fn levels_show_what_is_free_and_held(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 5, 5), level("b", 3, 5)]).await;
    drop.hold("ann~1", &[("a", 2), ("b", 1)]).await;
    let shown = drop.level().await;
    let mut items = shown.items.clone();
    items.sort_unstable();
    assert_eq!(items, [(item("a"), 5, 2), (item("b"), 3, 1)]);
    assert_eq!((shown.open, shown.holds, shown.next), (true, 1, HoldNo(2)));
    assert_eq!((shown.nonce, shown.version), (Some(Nonce(7)), Some(version(1))));
}

/// A sale that the gate has never heard of is shown closed; asking about it makes nothing.
pub async fn an_unknown_sale_shows_a_closed_gate(fixture: &impl Gates) {
    let (gate, sale) = (fixture.fresh().await, sample::sale_id("drop"));
    let shown = gate.level(&sale).await.expect("level");
    assert_eq!((shown.open, shown.nonce, shown.holds), (false, None, 0));
    assert_eq!(gate.begin(&sale, Nonce(7)).await.expect("begin"), Begun::Loading(Nonce(7)));
}

/// Hole 1: a restart is noticed by the first call; the answer is not "sold out".
pub async fn a_restarted_gate_is_not_loaded(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 1, 1)]).await;
    drop.hold("ann~1", &[("a", 1)]).await;
    let Some(gate) = fixture.restart(drop.gate).await else {
        println!("not run: this fixture cannot restart its gate");
        return;
    };
    let answer = gate.reserve(&drop.sale, &[reserve("bob~1", &[("a", 1)])]).await.expect("reserve");
    assert_eq!(answer, Reservation::NotLoaded);
    assert_eq!(gate.begin(&drop.sale, Nonce(8)).await.expect("begin"), Begun::Loading(Nonce(8)));
}

/// G7, hole 23: after a restart the winner of the last unit is still told so, and nobody else gets it.
pub async fn a_reloaded_gate_still_knows_its_winners(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 1, 1)]).await;
    drop.hold("ann~1", &[("a", 1)]).await;
    let Some(gate) = fixture.restart(drop.gate).await else {
        println!("not run: this fixture cannot restart its gate");
        return;
    };
    let drop = Loaded { gate, sale: drop.sale };
    drop.gate.begin(&drop.sale, Nonce(7)).await.expect("begin");
    let page = page("ann~1", OrderState::Accepted, 2, 1);
    drop.gate.answers(&drop.sale, Nonce(7), &page).await.expect("answers");
    drop.begin_and_load(&[level("a", 0, 1)]).await;
    assert_eq!(drop.reserve("ann~1", &[("a", 1)]).await, Ok(Reserved::Done(OrderState::Accepted)));
    assert!(sold_out(&drop.reserve("bob~1", &[("a", 1)]).await));
}
