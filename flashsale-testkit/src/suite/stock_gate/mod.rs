//! The rules of [`StockGate`]: the state table 2.1 of the protocol, and steps 1, 4, 7 and 1.5 as
//! far as they concern the gate. The rules play the ledger: they write loads and updates by hand.

pub mod follow;
pub mod load;
pub mod recall;
pub mod reserve;

use std::time::Duration;

use flashsale_core::SaleId;
use flashsale_core::stock::{
    Bought, HoldNo, ItemLevel, Level, Nonce, Reservation, Reserve, ReserveRefusal, Reserved, Settled, StockGate,
    Synced, Update,
};

use crate::Fixture;
use crate::sample::{self, HOLD, buyer, door, item, version};
use crate::suite::suite;

suite! {
    $
    /// Makes a test of each rule of a stock gate: `stock_gate_suite!(fixture)`.
    stock_gate_suite = stock_gate {
        reserve:
            a_request_is_held_with_the_next_number
            the_deadline_is_the_gates_time_plus_the_hold_time
            numbers_follow_the_order_of_the_batch
            a_repeat_gets_the_same_hold_and_takes_nothing
            a_repeat_in_the_same_batch_gets_the_same_hold
            the_winner_of_the_last_unit_is_told_so_again
            a_repeat_finds_its_hold_while_the_sale_is_paused
            other_content_under_the_same_id_is_a_conflict
            a_conflict_is_told_before_any_other_refusal
            a_paused_sale_holds_nothing
            a_closed_sale_holds_nothing
            the_window_opens_at_its_first_moment
            the_window_is_closed_at_its_end
            an_unknown_item_is_named_and_nothing_is_taken
            held_units_count_against_the_limit
            bought_units_count_against_the_limit
            bought_and_held_units_count_together
            limits_are_per_buyer_and_per_item
            ids_are_compared_byte_by_byte
            the_limit_is_told_before_the_stock
            too_few_free_units_are_sold_out
            units_that_others_hold_are_all_held
            a_line_that_can_never_be_filled_is_told_first
            a_refusal_carries_the_last_number
            a_refusal_leaves_no_trace
            all_lines_are_taken_or_none
            a_batch_is_decided_with_running_totals
            who_asks_for_less_may_win_what_is_left
            an_item_that_people_wait_for_is_closed_to_the_public
            an_offer_passes_where_people_wait
            a_holder_keeps_his_hold_when_people_begin_to_wait
            an_empty_gate_is_not_loaded
            a_gate_that_is_being_loaded_is_not_loaded
            an_empty_batch_has_no_answers
            answers_come_in_the_order_of_the_batch
            sales_do_not_share_units
            the_largest_quantities_do_not_wrap;
        follow:
            a_gate_that_is_not_open_has_nothing_due
            nothing_is_due_before_its_deadline
            what_is_due_ends_before_the_first_live_deadline
            due_names_the_nonce_and_the_version
            a_sync_from_another_number_is_refused
            a_sync_from_another_tag_is_refused
            a_sync_for_another_nonce_is_refused
            a_sync_that_names_no_nonce_is_taken
            a_sync_is_refused_by_a_gate_that_is_not_open
            a_repeated_sync_changes_nothing
            a_sync_sets_levels_absolutely
            a_sync_sets_the_door
            a_listed_order_is_done_and_its_hold_is_gone
            accepting_a_held_order_leaves_as_much_available
            a_decided_winner_is_told_so_after_sell_out
            other_content_of_a_decided_order_is_a_conflict
            a_decided_order_is_not_tried_again
            an_order_that_the_gate_never_held_is_remembered
            a_fence_answers_whatever_is_asked_for
            a_newer_state_of_an_order_replaces_the_older
            sealed_holds_give_their_units_back
            a_hold_above_the_seal_stays
            a_sealed_id_may_be_held_again_under_a_new_number
            an_order_accepted_at_the_last_moment_is_done_not_lapsed
            a_held_order_of_several_lines_ends_as_one
            bought_units_are_set_absolutely
            a_limit_that_was_lowered_counts_at_once
            shrinking_below_what_is_held_refuses_and_does_not_wrap
            a_restock_is_for_sale_at_once
            the_last_waiter_leaves_and_the_item_opens;
        load:
            begin_takes_the_first_nonce
            begin_tells_the_nonce_that_was_first
            begin_on_an_open_gate_changes_nothing
            a_load_with_another_nonce_is_refused
            a_load_of_an_open_gate_is_refused
            a_load_without_begin_is_refused
            holds_carry_the_epoch_and_begin_at_one
            forget_wipes_the_gate_of_that_nonce_only
            answers_for_another_nonce_are_refused
            answers_before_the_load_are_known_after_it
            bought_units_of_a_page_count_against_the_limit
            only_newer_answers_overwrite
            a_page_leaves_live_holds_until_the_next_sync
            a_page_of_a_later_version_keeps_its_hold_until_that_version
            an_update_for_a_gate_that_was_replaced_is_refused
            levels_show_what_is_free_and_held
            an_unknown_sale_shows_a_closed_gate
            a_restarted_gate_is_not_loaded
            a_reloaded_gate_still_knows_its_winners;
        recall:
            every_answer_that_was_copied_is_recalled
            a_gate_that_knows_nothing_recalls_nothing;
    }
}

/// A fixture of stock gates.
pub trait Gates: Fixture<Port: StockGate> {}
impl<T: Fixture<Port: StockGate>> Gates for T {}

/// A gate that was loaded with these items: nonce 7, epoch 1, version 1.
pub(crate) async fn opened<F: Gates>(fixture: &F, items: &[ItemLevel]) -> Loaded<F::Port> {
    let loaded = Loaded { gate: fixture.fresh().await, sale: sample::sale_id("drop") };
    loaded.begin_and_load(items).await;
    loaded
}

/// Lets every hold that was given until now lapse.
pub(crate) async fn outlast<F: Gates>(fixture: &F) {
    fixture.advance(HOLD + Duration::from_millis(1)).await;
}

/// A gate under test, and its sale.
pub(crate) struct Loaded<P> {
    pub(crate) gate: P,
    pub(crate) sale: SaleId,
}

impl<P: StockGate> Loaded<P> {
    pub(crate) async fn begin_and_load(&self, items: &[ItemLevel]) {
        self.gate.begin(&self.sale, Nonce(7)).await.expect("begin");
        let loaded = self.gate.load(&self.sale, &sample::load(items)).await.expect("load");
        assert_eq!(loaded, Synced::Done);
    }

    pub(crate) async fn batch(&self, batch: &[Reserve]) -> Vec<Result<Reserved, ReserveRefusal>> {
        match self.gate.reserve(&self.sale, batch).await.expect("reserve") {
            Reservation::Answers(answers) => {
                assert_eq!(answers.len(), batch.len(), "one answer per request");
                answers
            }
            Reservation::NotLoaded => panic!("the gate is not loaded"),
        }
    }

    pub(crate) async fn ask(&self, request: Reserve) -> Result<Reserved, ReserveRefusal> {
        self.batch(&[request]).await.remove(0)
    }

    pub(crate) async fn reserve(&self, id: &str, of: &[(&str, u64)]) -> Result<Reserved, ReserveRefusal> {
        self.ask(sample::reserve(id, of)).await
    }

    /// Reserves what must be held; its number.
    pub(crate) async fn hold(&self, id: &str, of: &[(&str, u64)]) -> u64 {
        match self.reserve(id, of).await {
            Ok(Reserved::Held(hold)) => hold.no.0,
            other => panic!("{id} is not held: {other:?}"),
        }
    }

    pub(crate) async fn level(&self) -> Level {
        self.gate.level(&self.sale).await.expect("level")
    }

    /// What is free in the ledger's view, and what is held, of an item.
    pub(crate) async fn shelf(&self, name: &str) -> (u32, u32) {
        let level = self.level().await;
        let found = level.items.iter().find(|(id, ..)| *id == item(name));
        found.map(|(_, free, held)| (*free, *held)).expect("the item is known")
    }

    pub(crate) async fn sync(&self, update: &Update) -> Synced {
        self.gate.sync(&self.sale, update).await.expect("sync")
    }

    pub(crate) async fn lapsed(&self) -> u64 {
        self.gate.due(&self.sale).await.expect("due").expect("an open gate").lapsed.0
    }
}

/// An update from version `from` to the next one, with these levels and nothing else.
pub(crate) fn update(from: u64, items: &[ItemLevel]) -> Update {
    Update {
        nonce: Some(Nonce(7)),
        from: version(from),
        to: version(from + 1),
        sealed: HoldNo(0),
        door: door(),
        items: items.to_vec(),
        orders: vec![],
        bought: vec![],
    }
}

/// The same with decided orders, each with what its buyer has of an item now.
pub(crate) fn deciding(from: u64, items: &[ItemLevel], orders: &[Settled], bought: &[(&str, &str, u32)]) -> Update {
    let has = |(who, what, units): &(&str, &str, u32)| Bought {
        item: item(what),
        buyer: buyer(who),
        units: *units,
        v: from + 1,
    };
    Update { orders: orders.to_vec(), bought: bought.iter().map(has).collect(), ..update(from, items) }
}

/// Whether a refusal is for want of units that nobody holds.
pub(crate) fn sold_out(answer: &Result<Reserved, ReserveRefusal>) -> bool {
    matches!(answer, Err(ReserveRefusal::SoldOut { .. }))
}

/// Whether a refusal is for units that others hold.
pub(crate) fn all_held(answer: &Result<Reserved, ReserveRefusal>) -> bool {
    matches!(answer, Err(ReserveRefusal::AllHeld { .. }))
}

/// Whether units are held.
pub(crate) fn is_held(answer: &Result<Reserved, ReserveRefusal>) -> bool {
    matches!(answer, Ok(Reserved::Held(_)))
}
