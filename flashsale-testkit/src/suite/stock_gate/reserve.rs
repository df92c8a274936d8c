//! Reserving: precedence, numbers, limits, all or none (protocol 1.4, step 1).

use std::time::Duration;

use flashsale_core::sale::{SaleState, Window};
use flashsale_core::stock::{
    Counted, Door, HoldNo, Nonce, OrderState, Reservation, Reserve, ReserveRefusal, Reserved, Standing, StockGate,
    Synced,
};

use super::{Gates, all_held, deciding, is_held, opened, outlast, sold_out, update};
use crate::sample::{self, HOLD, item, level, reserve, settled};

/// G6: the first hold has number 1, the next 2.
pub async fn a_request_is_held_with_the_next_number(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 5, 5)]).await;
    assert_eq!(drop.hold("ann~1", &[("a", 1)]).await, 1);
    assert_eq!(drop.hold("bob~1", &[("a", 2)]).await, 2);
    assert_eq!(drop.shelf("a").await, (5, 3));
}

/// G5: a hold lasts as long as the door says, by the gate's own clock.
pub async fn the_deadline_is_the_gates_time_plus_the_hold_time(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 5, 5)]).await;
    let before = drop.level().await.now;
    let Ok(Reserved::Held(hold)) = drop.reserve("ann~1", &[("a", 1)]).await else { panic!("not held") };
    let after = drop.level().await.now;
    assert!(hold.deadline >= before.after(HOLD) && hold.deadline <= after.after(HOLD));
}

/// G6: within a batch and over batches, numbers are given in order of arrival.
pub async fn numbers_follow_the_order_of_the_batch(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 100, 5)]).await;
    let first: Vec<Reserve> = (0..20).map(|n| reserve(&format!("b{n}~1"), &[("a", 1)])).collect();
    let second: Vec<Reserve> = (20..40).map(|n| reserve(&format!("b{n}~1"), &[("a", 1)])).collect();
    let mut answers = drop.batch(&first).await;
    answers.extend(drop.batch(&second).await);
    for (n, answer) in answers.iter().enumerate() {
        let Ok(Reserved::Held(hold)) = answer else { panic!("{n} is not held: {answer:?}") };
        assert_eq!(hold.no, HoldNo(n as u64 + 1));
    }
}

/// G7, table 2.1: the same id has the same hold, its deadline is not moved, no second unit is taken.
pub async fn a_repeat_gets_the_same_hold_and_takes_nothing(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 5, 5)]).await;
    let first = drop.reserve("ann~1", &[("a", 2)]).await;
    assert!(is_held(&first));
    fixture.advance(Duration::from_millis(20)).await;
    assert_eq!(drop.reserve("ann~1", &[("a", 2)]).await, first);
    assert_eq!(drop.shelf("a").await, (5, 2));
    assert_eq!(drop.level().await.holds, 1);
}

/// Hole 13: the same id twice in one batch is one hold.
pub async fn a_repeat_in_the_same_batch_gets_the_same_hold(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 5, 5)]).await;
    let answers = drop.batch(&[reserve("ann~1", &[("a", 1)]), reserve("ann~1", &[("a", 1)])]).await;
    assert!(is_held(&answers[0]));
    assert_eq!(answers[0], answers[1]);
    assert_eq!(drop.shelf("a").await, (5, 1));
}

/// G7, hole 22: the duplicate is looked for before the stock.
pub async fn the_winner_of_the_last_unit_is_told_so_again(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 1, 1)]).await;
    let won = drop.reserve("ann~1", &[("a", 1)]).await;
    assert!(is_held(&won));
    assert!(all_held(&drop.reserve("bob~1", &[("a", 1)]).await));
    assert_eq!(drop.reserve("ann~1", &[("a", 1)]).await, won);
}

/// G7: the duplicate is looked for before the window.
pub async fn a_repeat_finds_its_hold_while_the_sale_is_paused(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 5, 5)]).await;
    let first = drop.reserve("ann~1", &[("a", 1)]).await;
    let mut paused = update(1, &[]);
    paused.door.state = SaleState::Paused;
    assert_eq!(drop.sync(&paused).await, Synced::Done);
    assert_eq!(drop.reserve("ann~1", &[("a", 1)]).await, first);
    assert_eq!(drop.reserve("bob~1", &[("a", 1)]).await, Err(ReserveRefusal::Paused));
}

/// G7, table 2.1: the same id with other content is a conflict, and changes nothing.
pub async fn other_content_under_the_same_id_is_a_conflict(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 5, 5)]).await;
    let first = drop.reserve("ann~1", &[("a", 1)]).await;
    assert_eq!(drop.reserve("ann~1", &[("a", 2)]).await, Err(ReserveRefusal::Conflict));
    assert_eq!(drop.shelf("a").await, (5, 1));
    assert_eq!(drop.reserve("ann~1", &[("a", 1)]).await, first);
}

/// Precedence: conflict before pause, unknown item, limit and stock.
pub async fn a_conflict_is_told_before_any_other_refusal(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 1, 1)]).await;
    drop.hold("ann~1", &[("a", 1)]).await;
    assert_eq!(drop.reserve("ann~1", &[("a", 9)]).await, Err(ReserveRefusal::Conflict));
    assert_eq!(drop.reserve("ann~1", &[("nothing", 1)]).await, Err(ReserveRefusal::Conflict));
    let mut paused = update(1, &[]);
    paused.door.state = SaleState::Paused;
    drop.sync(&paused).await;
    assert_eq!(drop.reserve("ann~1", &[("a", 2)]).await, Err(ReserveRefusal::Conflict));
}

/// A paused sale holds nothing, whatever is asked for.
pub async fn a_paused_sale_holds_nothing(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 5, 5)]).await;
    let mut paused = update(1, &[]);
    paused.door.state = SaleState::Paused;
    drop.sync(&paused).await;
    assert_eq!(drop.reserve("ann~1", &[("a", 1)]).await, Err(ReserveRefusal::Paused));
    assert_eq!(drop.reserve("ann~2", &[("nothing", 1)]).await, Err(ReserveRefusal::Paused));
    assert_eq!(drop.shelf("a").await, (5, 0));
}

/// A closed sale holds nothing.
pub async fn a_closed_sale_holds_nothing(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 5, 5)]).await;
    let mut closed = update(1, &[]);
    closed.door.state = SaleState::Closed;
    drop.sync(&closed).await;
    assert_eq!(drop.reserve("ann~1", &[("a", 1)]).await, Err(ReserveRefusal::Closed));
}

/// Hole 37: the gate tests the window by its own clock; the first moment is inside.
pub async fn the_window_opens_at_its_first_moment(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 5, 5)]).await;
    let opens_at = drop.level().await.now.after(Duration::from_millis(500));
    let mut later = update(1, &[]);
    later.door = Door { window: Window { opens_at, ..Window::ALWAYS }, ..sample::door() };
    drop.sync(&later).await;
    assert_eq!(drop.reserve("ann~1", &[("a", 1)]).await, Err(ReserveRefusal::NotOpen { opens_at }));
    let left = opens_at.since(drop.level().await.now);
    fixture.advance(left).await;
    assert!(is_held(&drop.reserve("ann~1", &[("a", 1)]).await));
}

/// Hole 37: the moment of closing is outside.
pub async fn the_window_is_closed_at_its_end(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 5, 5)]).await;
    let closes_at = drop.level().await.now.after(Duration::from_millis(500));
    let mut short = update(1, &[]);
    short.door = Door { window: Window { closes_at, ..Window::ALWAYS }, ..sample::door() };
    drop.sync(&short).await;
    assert!(is_held(&drop.reserve("ann~1", &[("a", 1)]).await));
    let left = closes_at.since(drop.level().await.now);
    fixture.advance(left).await;
    assert_eq!(drop.reserve("bob~1", &[("a", 1)]).await, Err(ReserveRefusal::Closed));
}

/// An unknown item is named; nothing of the other lines is taken.
pub async fn an_unknown_item_is_named_and_nothing_is_taken(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 5, 5)]).await;
    let answer = drop.reserve("ann~1", &[("a", 1), ("nothing", 1)]).await;
    assert_eq!(answer, Err(ReserveRefusal::UnknownItem { item: item("nothing") }));
    assert_eq!(drop.shelf("a").await, (5, 0));
}

/// G3, hole 25: units held for the buyer's other requests count, and the refusal says that they are held.
pub async fn held_units_count_against_the_limit(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 9, 3)]).await;
    drop.hold("ann~1", &[("a", 2)]).await;
    let refused = ReserveRefusal::Limit { item: item("a"), have: 2, limit: 3, by: Counted::Held };
    assert_eq!(drop.reserve("ann~2", &[("a", 2)]).await, Err(refused));
    assert!(is_held(&drop.reserve("ann~3", &[("a", 1)]).await), "up to the limit is allowed");
}

/// G3, hole 25: units that the buyer has for good count, and the refusal says that they are bought.
pub async fn bought_units_count_against_the_limit(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 9, 2)]).await;
    let bought =
        deciding(1, &[level("a", 7, 2)], &[settled("ann~1", &[("a", 2)], OrderState::Accepted, 2)], &[("ann", "a", 2)]);
    drop.sync(&bought).await;
    let refused = ReserveRefusal::Limit { item: item("a"), have: 2, limit: 2, by: Counted::Bought };
    assert_eq!(drop.reserve("ann~2", &[("a", 1)]).await, Err(refused));
}

/// G3: bought, held and asked for together stay within the limit.
pub async fn bought_and_held_units_count_together(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 9, 4)]).await;
    let bought =
        deciding(1, &[level("a", 8, 4)], &[settled("ann~1", &[("a", 1)], OrderState::Accepted, 2)], &[("ann", "a", 1)]);
    drop.sync(&bought).await;
    drop.hold("ann~2", &[("a", 2)]).await;
    let refused = ReserveRefusal::Limit { item: item("a"), have: 3, limit: 4, by: Counted::Held };
    assert_eq!(drop.reserve("ann~3", &[("a", 2)]).await, Err(refused));
    drop.hold("ann~4", &[("a", 1)]).await;
}

/// G3: one buyer's units count against nobody else, those of one item against no other.
pub async fn limits_are_per_buyer_and_per_item(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 9, 1), level("b", 9, 2)]).await;
    drop.hold("ann~1", &[("a", 1), ("b", 1)]).await;
    drop.hold("bob~1", &[("a", 1), ("b", 2)]).await;
    drop.hold("ann~2", &[("b", 1)]).await;
    let refused = ReserveRefusal::Limit { item: item("a"), have: 1, limit: 1, by: Counted::Held };
    assert_eq!(drop.reserve("ann~3", &[("b", 1), ("a", 1)]).await.map_err(|e| e.code()), Err("buyer_limit"));
    assert_eq!(drop.reserve("ann~4", &[("a", 1)]).await, Err(refused));
}

/// `ann` is not `Ann`, and `ann~1` of one is not `ann~1` of the other.
pub async fn ids_are_compared_byte_by_byte(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 9, 1), level("A", 9, 1)]).await;
    assert_eq!(drop.hold("ann~k", &[("a", 1)]).await, 1);
    assert_eq!(drop.hold("Ann~k", &[("a", 1)]).await, 2);
    assert_eq!(drop.hold("ann~K", &[("A", 1)]).await, 3);
    assert_eq!((drop.shelf("a").await, drop.shelf("A").await), ((9, 2), (9, 1)));
}

/// G4: "you have one" is told before "all are gone" (409 before 429).
pub async fn the_limit_is_told_before_the_stock(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 1, 1)]).await;
    drop.hold("ann~1", &[("a", 1)]).await;
    assert!(matches!(drop.reserve("ann~2", &[("a", 1)]).await, Err(ReserveRefusal::Limit { .. })));
    assert!(all_held(&drop.reserve("bob~1", &[("a", 1)]).await));
}

/// Hole 24: sold out means that the ledger has too few units, whoever holds them.
pub async fn too_few_free_units_are_sold_out(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 2, 9), level("b", 0, 9)]).await;
    assert_eq!(
        drop.reserve("ann~1", &[("a", 3)]).await,
        Err(ReserveRefusal::SoldOut { item: item("a"), after: HoldNo(0) })
    );
    assert!(sold_out(&drop.reserve("ann~2", &[("b", 1)]).await));
}

/// Hole 24: units that others merely hold may come back, and the answer says so.
pub async fn units_that_others_hold_are_all_held(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 2, 9)]).await;
    drop.hold("ann~1", &[("a", 2)]).await;
    assert_eq!(
        drop.reserve("bob~1", &[("a", 1)]).await,
        Err(ReserveRefusal::AllHeld { item: item("a"), after: HoldNo(1) })
    );
}

/// Hole 24: where one line can never be filled, waiting for the other does not help.
pub async fn a_line_that_can_never_be_filled_is_told_first(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 1, 9), level("b", 0, 9)]).await;
    drop.hold("ann~1", &[("a", 1)]).await;
    let answer = drop.reserve("bob~1", &[("a", 1), ("b", 1)]).await;
    assert_eq!(answer, Err(ReserveRefusal::SoldOut { item: item("b"), after: HoldNo(1) }));
}

/// G6: `after` is the last number that was given before the refusal, also within a batch.
pub async fn a_refusal_carries_the_last_number(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 3, 9)]).await;
    drop.hold("ann~1", &[("a", 1)]).await;
    let answers = drop
        .batch(&[
            reserve("b1~1", &[("a", 4)]),
            reserve("b2~1", &[("a", 1)]),
            reserve("b3~1", &[("a", 2)]),
            reserve("b4~1", &[("a", 1)]),
            reserve("b5~1", &[("a", 1)]),
        ])
        .await;
    let after: Vec<_> = answers.iter().map(|answer| answer.as_ref().err().and_then(ReserveRefusal::after)).collect();
    assert_eq!(after, [Some(HoldNo(1)), None, Some(HoldNo(2)), None, Some(HoldNo(3))]);
}

/// Table 2.1: a refused id is absent: it may win later, and with other content.
pub async fn a_refusal_leaves_no_trace(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 1, 9)]).await;
    let before = drop.level().await;
    assert!(sold_out(&drop.reserve("ann~1", &[("a", 2)]).await));
    let after = drop.level().await;
    assert_eq!((before.next, before.holds, before.items), (after.next, after.holds, after.items));
    assert_eq!(drop.hold("ann~1", &[("a", 1)]).await, 1);
}

/// All lines are taken, or none: one that fails takes nothing, whatever its place.
pub async fn all_lines_are_taken_or_none(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 5, 5), level("b", 1, 5), level("c", 5, 5)]).await;
    assert!(sold_out(&drop.reserve("ann~1", &[("a", 1), ("b", 2), ("c", 1)]).await));
    assert!(sold_out(&drop.reserve("ann~2", &[("a", 1), ("c", 1), ("b", 2)]).await));
    assert_eq!((drop.shelf("a").await, drop.shelf("b").await, drop.shelf("c").await), ((5, 0), (1, 0), (5, 0)));
    drop.hold("ann~3", &[("a", 2), ("b", 1), ("c", 3)]).await;
    assert_eq!((drop.shelf("a").await, drop.shelf("b").await, drop.shelf("c").await), ((5, 2), (1, 1), (5, 3)));
}

/// G1: requests of one batch are not compared with the same undecremented number.
pub async fn a_batch_is_decided_with_running_totals(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 3, 2)]).await;
    let batch: Vec<Reserve> = (0..6).map(|n| reserve(&format!("b{n}~1"), &[("a", 1)])).collect();
    let answers = drop.batch(&batch).await;
    assert_eq!(answers.iter().map(is_held).collect::<Vec<_>>(), [true, true, true, false, false, false]);
    let mine = opened(fixture, &[level("a", 9, 2)]).await;
    let batch: Vec<Reserve> = (0..4).map(|n| reserve(&format!("ann~{n}"), &[("a", 1)])).collect();
    let answers = mine.batch(&batch).await;
    assert_eq!(answers.iter().map(is_held).collect::<Vec<_>>(), [true, true, false, false]);
}

/// Hole 21: who asks for two when one is left is refused; who asks for one later wins.
pub async fn who_asks_for_less_may_win_what_is_left(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 3, 9)]).await;
    let answers =
        drop.batch(&[reserve("b1~1", &[("a", 2)]), reserve("b2~1", &[("a", 2)]), reserve("b3~1", &[("a", 1)])]).await;
    assert_eq!(answers.iter().map(is_held).collect::<Vec<_>>(), [true, false, true]);
}

/// G11, hole 33: while people wait, nothing is held for the public, however much is free.
pub async fn an_item_that_people_wait_for_is_closed_to_the_public(fixture: &impl Gates) {
    let mut a = level("a", 5, 5);
    a.waiting = true;
    let drop = opened(fixture, &[a, level("b", 5, 5)]).await;
    let refused = ReserveRefusal::Waitlist { item: item("a"), after: HoldNo(0) };
    assert_eq!(drop.reserve("ann~1", &[("a", 1)]).await, Err(refused.clone()));
    assert_eq!(drop.reserve("ann~2", &[("b", 1), ("a", 1)]).await, Err(refused));
    drop.hold("ann~3", &[("b", 1)]).await;
    assert_eq!((drop.shelf("a").await, drop.shelf("b").await), ((5, 0), (5, 1)));
}

/// G11: the next in line passes where the public does not; limit and stock hold for him as well.
pub async fn an_offer_passes_where_people_wait(fixture: &impl Gates) {
    let mut a = level("a", 2, 1);
    a.waiting = true;
    let drop = opened(fixture, &[a]).await;
    let offer = |id: &str, n| Reserve { standing: Standing::Offer, ..reserve(id, &[("a", n)]) };
    assert!(is_held(&drop.ask(offer("ann~1", 1)).await));
    assert!(matches!(drop.ask(offer("bob~1", 2)).await, Err(ReserveRefusal::Limit { .. })));
    assert!(is_held(&drop.ask(offer("bob~2", 1)).await));
    assert!(all_held(&drop.ask(offer("cid~1", 1)).await));
}

/// G7: what was held before people began to wait stays held.
pub async fn a_holder_keeps_his_hold_when_people_begin_to_wait(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 5, 5)]).await;
    let first = drop.reserve("ann~1", &[("a", 1)]).await;
    let mut a = level("a", 5, 5);
    a.waiting = true;
    drop.sync(&update(1, &[a])).await;
    assert_eq!(drop.reserve("ann~1", &[("a", 1)]).await, first);
    assert!(matches!(drop.reserve("bob~1", &[("a", 1)]).await, Err(ReserveRefusal::Waitlist { .. })));
}

/// A gate that knows nothing says so, rather than "sold out".
pub async fn an_empty_gate_is_not_loaded(fixture: &impl Gates) {
    let gate = fixture.fresh().await;
    let sale = sample::sale_id("drop");
    let answer = gate.reserve(&sale, &[reserve("ann~1", &[("a", 1)])]).await.expect("reserve");
    assert_eq!(answer, Reservation::NotLoaded);
}

/// Protocol 1.5: a gate that has begun and is not loaded yet holds nothing.
pub async fn a_gate_that_is_being_loaded_is_not_loaded(fixture: &impl Gates) {
    let gate = fixture.fresh().await;
    let sale = sample::sale_id("drop");
    gate.begin(&sale, Nonce(7)).await.expect("begin");
    let answer = gate.reserve(&sale, &[reserve("ann~1", &[("a", 1)])]).await.expect("reserve");
    assert_eq!(answer, Reservation::NotLoaded);
    assert!(!gate.level(&sale).await.expect("level").open);
}

/// An empty batch has no answers and changes nothing.
pub async fn an_empty_batch_has_no_answers(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 5, 5)]).await;
    assert!(drop.batch(&[]).await.is_empty());
    assert_eq!(drop.level().await.next, HoldNo(1));
}

/// Each answer stands at the place of its request, whatever the others are.
pub async fn answers_come_in_the_order_of_the_batch(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 2, 1)]).await;
    drop.hold("old~1", &[("a", 1)]).await;
    let answers = drop
        .batch(&[
            reserve("b1~1", &[("nothing", 1)]),
            reserve("old~1", &[("a", 1)]),
            reserve("b2~1", &[("a", 1)]),
            reserve("b2~2", &[("a", 1)]),
            reserve("b3~1", &[("a", 1)]),
            reserve("old~1", &[("nothing", 1)]),
        ])
        .await;
    let codes: Vec<&str> = answers.iter().map(|a| a.as_ref().map_or_else(ReserveRefusal::code, |_| "held")).collect();
    assert_eq!(codes, ["unknown_item", "held", "held", "buyer_limit", "all_held", "key_reused"]);
}

/// Two sales with items of the same name have nothing to do with each other.
pub async fn sales_do_not_share_units(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 1, 1)]).await;
    let other = super::Loaded { gate: drop.gate, sale: sample::sale_id("other") };
    other.begin_and_load(&[level("a", 1, 1)]).await;
    other.hold("ann~1", &[("a", 1)]).await;
    let drop = super::Loaded { gate: other.gate, sale: sample::sale_id("drop") };
    assert_eq!(drop.shelf("a").await, (1, 0));
    assert_eq!(drop.hold("bob~1", &[("a", 1)]).await, 1);
}

/// A million units at once, again and again: no sum wraps.
pub async fn the_largest_quantities_do_not_wrap(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 1_000_000, 1_000_000)]).await;
    drop.hold("ann~1", &[("a", 1_000_000)]).await;
    assert!(matches!(drop.reserve("ann~2", &[("a", 1_000_000)]).await, Err(ReserveRefusal::Limit { .. })));
    assert!(all_held(&drop.reserve("bob~1", &[("a", 1_000_000)]).await));
    outlast(fixture).await;
    let mut sealing = update(1, &[level("a", 0, 1)]);
    sealing.sealed = HoldNo(drop.lapsed().await);
    drop.sync(&sealing).await;
    assert_eq!(drop.shelf("a").await, (0, 0));
}
