//! Tests of the tests: each planted bug is caught by the rules that are named here, and by no accident: where nothing is planted,
//! the same rules pass.

use std::panic::{AssertUnwindSafe, catch_unwind};

use flashsale_core::Quantity;
use flashsale_testkit::model::{ModelGate, ModelRooms};
use flashsale_testkit::planted::{
    GateBug, LedgerBug, PlantedGates, PlantedLedgers, PlantedRooms, PlantedWaitlists, PlantedWallets, RoomBug,
    WaitlistBug, WalletBug,
};
use flashsale_testkit::suite::{room_store, stock_gate, stock_ledger, waitlist_ledger, wallet_ledger};
use flashsale_testkit::{Fixture, differential, run};

fn broken(rule: impl Future<Output = ()>) -> bool {
    catch_unwind(AssertUnwindSafe(|| run(rule))).is_err()
}

/// Each rule fails on the bug, and passes without it.
macro_rules! caught {
    ($name:ident: $fixtures:ident($bugs:ident::$bug:ident) by $($($rule:ident)::+),+ $(,)?) => {
        #[test]
        fn $name() {
            $(
                let rule = concat!($("::", stringify!($rule)),+);
                assert!(!broken($($rule)::+(&$fixtures::with($bugs::Nothing))), "{rule} fails where nothing is planted");
                assert!(broken($($rule)::+(&$fixtures::with($bugs::$bug))), "{rule} does not catch {:?}", $bugs::$bug);
            )+
        }
    };
}

caught!(a_gate_that_looks_at_the_stock_before_the_duplicate: PlantedGates(GateBug::StockBeforeDuplicate) by
    stock_gate::reserve::the_winner_of_the_last_unit_is_told_so_again,
    stock_gate::follow::a_decided_winner_is_told_so_after_sell_out,
);
caught!(a_gate_that_copies_an_update_of_any_version: PlantedGates(GateBug::SyncWithoutVersionTest) by
    stock_gate::follow::a_sync_from_another_number_is_refused,
    stock_gate::follow::a_sync_from_another_tag_is_refused,
    stock_gate::follow::a_repeated_sync_changes_nothing,
);
caught!(a_gate_that_copies_an_update_for_another_gate: PlantedGates(GateBug::SyncWithoutNonceTest) by
    stock_gate::follow::a_sync_for_another_nonce_is_refused,
    stock_gate::load::an_update_for_a_gate_that_was_replaced_is_refused,
);
caught!(a_gate_that_keeps_sealed_holds: PlantedGates(GateBug::SealIgnored) by
    stock_gate::follow::sealed_holds_give_their_units_back,
    stock_gate::follow::a_sealed_id_may_be_held_again_under_a_new_number,
);
caught!(a_gate_that_forgets_decisions: PlantedGates(GateBug::DecisionsForgotten) by
    stock_gate::follow::a_listed_order_is_done_and_its_hold_is_gone,
    stock_gate::follow::accepting_a_held_order_leaves_as_much_available,
    stock_gate::follow::a_decided_order_is_not_tried_again,
);
caught!(a_gate_that_lets_the_public_pass_those_who_wait: PlantedGates(GateBug::WaitlistIgnored) by
    stock_gate::reserve::an_item_that_people_wait_for_is_closed_to_the_public,
);
caught!(a_gate_that_is_emptied_by_beginning_again: PlantedGates(GateBug::BeginWipes) by
    stock_gate::load::begin_on_an_open_gate_changes_nothing,
    stock_gate::load::begin_tells_the_nonce_that_was_first,
);

caught!(a_ledger_that_accepts_sealed_holds: PlantedLedgers(LedgerBug::SealNotChecked) by
    stock_ledger::refuse::a_sealed_hold_has_expired,
    stock_ledger::follow::sealed_holds_are_refused_and_later_ones_are_not,
    stock_ledger::follow::a_seal_only_grows,
);
caught!(a_ledger_that_does_not_write_the_seal: PlantedLedgers(LedgerBug::SealNotWritten) by
    stock_ledger::refuse::a_sealed_hold_has_expired,
    stock_ledger::follow::sealing_is_told_and_is_no_version,
);
caught!(a_ledger_that_accepts_holds_of_any_epoch: PlantedLedgers(LedgerBug::EpochNotChecked) by
    stock_ledger::refuse::a_hold_of_another_epoch_has_expired,
    stock_ledger::follow::adopting_voids_the_holds_of_the_gate_before,
);
caught!(a_cap_that_is_off_by_one: PlantedLedgers(LedgerBug::CapOffByOne) by
    stock_ledger::coupon::never_more_coupons_than_the_cap,
    stock_ledger::accept::a_batch_is_accepted_up_to_the_last_unit,
    stock_ledger::accept::at_once_the_last_unit_is_sold_once,
);
caught!(a_limit_that_is_off_by_one: PlantedLedgers(LedgerBug::LimitOffByOne) by
    stock_ledger::refuse::units_of_earlier_orders_count_against_the_limit,
    stock_ledger::refuse::the_same_buyer_twice_in_one_batch_stays_within_the_limit,
    stock_ledger::accept::at_once_a_buyer_stays_within_his_limit,
    stock_ledger::coupon::never_two_coupons_to_one_member,
);
caught!(a_cancel_that_restores_twice: PlantedLedgers(LedgerBug::RestoreTwice) by
    stock_ledger::cancel::a_second_cancel_restores_nothing,
    stock_ledger::cancel::the_same_cancel_twice_in_one_batch_restores_once,
    stock_ledger::cancel::two_cancels_at_once_restore_once,
);
caught!(a_refusal_that_is_not_recorded: PlantedLedgers(LedgerBug::RefusalNotRecorded) by
    stock_ledger::refuse::a_refusal_for_want_of_units_stands_for_ever,
    stock_ledger::refuse::a_refusal_for_the_limit_stands_for_ever,
);
caught!(an_order_that_is_torn_apart: PlantedLedgers(LedgerBug::LinesTornApart) by
    stock_ledger::accept::all_lines_are_taken_or_none,
);
caught!(a_ledger_that_compares_numbers_without_tags: PlantedLedgers(LedgerBug::TagNotCompared) by
    stock_ledger::follow::an_unknown_tag_is_a_rewound_ledger,
    stock_ledger::follow::an_unknown_number_is_a_rewound_ledger,
);
caught!(an_adoption_without_comparison: PlantedLedgers(LedgerBug::AdoptWithoutCompare) by
    stock_ledger::follow::a_late_adopter_is_superseded,
    stock_ledger::follow::of_two_adopters_one_wins,
);
caught!(a_change_that_is_made_twice: PlantedLedgers(LedgerBug::ChangeMadeTwice) by
    stock_ledger::change::a_change_is_made_once_per_id,
);
caught!(a_follower_that_is_not_told_of_orders: PlantedLedgers(LedgerBug::FollowForgetsOrders) by
    stock_ledger::follow::follow_tells_everything_since_a_version,
    stock_ledger::cancel::an_unknown_id_is_fenced,
);
caught!(versions_that_are_forgotten_early: PlantedLedgers(LedgerBug::VersionsForgottenEarly) by
    stock_ledger::retain::only_old_versions_are_forgotten,
);
caught!(numbers_that_each_batch_begins_anew: PlantedLedgers(LedgerBug::NumbersBegunAnew) by
    stock_ledger::payment_line::numbers_go_on_with_the_next_batch,
    stock_ledger::payment_line::a_repeat_keeps_its_number,
);
caught!(an_order_that_leaves_the_payment_line_twice: PlantedLedgers(LedgerBug::ServedTwice) by
    stock_ledger::payment_line::a_cancelled_order_leaves_the_line_once,
);

caught!(a_repeated_charge_that_is_done_again: PlantedWallets(WalletBug::RepeatIsDoneAgain) by
    wallet_ledger::account::a_request_is_made_once_per_key,
    wallet_ledger::account::a_thousand_repeats_are_one_charge,
    wallet_ledger::trade::a_trade_is_made_once_per_key,
);
caught!(a_fence_that_is_forgotten: PlantedWallets(WalletBug::FenceForgotten) by
    wallet_ledger::payment::a_fenced_key_is_declined,
    wallet_ledger::payment::attempts_have_keys_of_their_own,
);
caught!(money_that_is_given_back_twice: PlantedWallets(WalletBug::GivenBackTwice) by
    wallet_ledger::payment::money_is_given_back_once,
    wallet_ledger::payment::payments_neither_make_nor_lose_money,
);

caught!(a_rejoin_that_moves_to_the_end: PlantedRooms(RoomBug::RejoinMovesToEnd) by
    room_store::enter::a_repeated_join_keeps_the_place,
);
caught!(a_room_that_keeps_capacity_and_no_rate: PlantedRooms(RoomBug::RateIgnored) by
    room_store::admit::never_more_in_any_second_than_the_rate,
    room_store::admit::a_pause_saves_no_crowd,
);
caught!(a_room_that_keeps_the_rate_and_no_capacity: PlantedRooms(RoomBug::CapacityIgnored) by
    room_store::admit::never_more_turns_than_the_capacity,
    room_store::turn::a_turn_that_went_by_frees_its_capacity_when_cleared_away,
);
caught!(absentees_that_take_turns: PlantedRooms(RoomBug::AbsenceIgnored) by
    room_store::admit::an_absentee_is_passed_over_and_blocks_nobody,
    room_store::admit::asking_is_a_sign_of_life,
);
caught!(an_absence_that_costs_the_number: PlantedRooms(RoomBug::AbsenceCostsTheNumber) by
    room_store::admit::an_absentee_who_is_back_goes_first_under_his_number,
    room_store::admit::an_absentee_who_joins_again_keeps_his_number,
);
caught!(turns_for_those_who_left: PlantedRooms(RoomBug::LeaversGetTurns) by
    room_store::admit::who_left_is_passed_and_takes_no_turn,
    room_store::turn::who_leaves_gives_his_turn_back,
);
caught!(a_window_that_never_slides: PlantedRooms(RoomBug::WindowNeverSlides) by
    room_store::door::arrivals_before_the_window_do_not_count,
    room_store::door::it_closes_when_few_arrive_and_nobody_waits,
);
caught!(a_window_that_is_too_short: PlantedRooms(RoomBug::WindowTooShort) by
    room_store::door::arrivals_on_both_sides_of_any_edge_count_together,
);
caught!(a_room_without_hysteresis: PlantedRooms(RoomBug::NoHysteresis) by
    room_store::door::between_the_thresholds_the_room_stays_open,
);
caught!(a_finish_that_frees_nothing: PlantedRooms(RoomBug::FinishFreesNothing) by
    room_store::turn::finishing_frees_the_capacity_at_once,
);
caught!(turns_that_never_lapse: PlantedRooms(RoomBug::TurnsNeverLapse) by
    room_store::turn::a_turn_that_went_by_frees_its_capacity_when_cleared_away,
);
caught!(tickets_that_are_not_looked_at: PlantedRooms(RoomBug::TicketIgnored) by
    room_store::ticket::a_ticket_above_the_counter_makes_it_jump,
    room_store::ticket::a_lost_place_goes_before_later_numbers,
    room_store::ticket::older_generations_go_first_in_their_order,
);
caught!(extensions_without_end: PlantedRooms(RoomBug::ExtensionsUncounted) by
    room_store::turn::an_extension_moves_the_end_as_often_as_allowed,
);

caught!(a_unit_that_is_visible_to_the_public_before_it_is_offered: PlantedWaitlists(WaitlistBug::FlagNotTold) by
    waitlist_ledger::join::the_first_wish_closes_the_item_to_the_public,
    waitlist_ledger::join::a_follower_is_told_that_people_wait,
    waitlist_ledger::offer::a_unit_that_comes_back_is_not_visible_to_the_public,
);
caught!(a_join_that_reads_and_writes_in_two_steps: PlantedWaitlists(WaitlistBug::JoinInTwoSteps) by
    waitlist_ledger::join::a_join_and_a_return_at_once_leave_nobody_beside_a_free_unit,
    waitlist_ledger::join::members_who_join_at_once_have_numbers_of_their_own,
);
caught!(an_offer_that_is_made_again: PlantedWaitlists(WaitlistBug::OfferedTwice) by
    waitlist_ledger::offer::an_offer_is_made_once,
);
caught!(one_unit_that_is_offered_to_two: PlantedWaitlists(WaitlistBug::OneUnitForTwo) by
    waitlist_ledger::offer::one_unit_is_offered_to_one,
);
caught!(a_wish_that_goes_on_waiting_when_it_is_offered: PlantedWaitlists(WaitlistBug::WishNotMoved) by
    waitlist_ledger::offer::an_offer_is_an_order_with_its_units_allocated,
    waitlist_ledger::offer::an_offer_is_made_once,
);
caught!(a_wish_that_stays_offered_when_its_offer_ended: PlantedWaitlists(WaitlistBug::WishNotFollowed) by
    waitlist_ledger::offer::a_taken_offer_moves_no_unit,
    waitlist_ledger::offer::a_declined_offer_gives_its_units_back_to_the_line,
    waitlist_ledger::offer::an_offer_that_an_operator_undid_has_ended_its_wish,
);
caught!(a_flag_that_stays_when_nobody_waits: PlantedWaitlists(WaitlistBug::FlagKept) by
    waitlist_ledger::leave::the_last_wish_that_leaves_opens_the_item,
    waitlist_ledger::offer::the_last_offer_opens_the_item,
);

/// A quantity of zero cannot be planted: there is no such value, neither by construction nor from text.
#[test]
fn a_quantity_of_zero_is_impossible_by_type() {
    assert!(Quantity::new(0).is_err());
    assert!(Quantity::new(1_000_001).is_err());
    for text in ["0", "-1", "1.5", "1000001", "null", "\"1\""] {
        assert!(serde_json::from_str::<Quantity>(text).is_err(), "{text}");
    }
    assert!(Quantity::MIN.units() == 1 && serde_json::from_str::<Quantity>("1").is_ok());
}

/// Random steps find what the rules find: each bug that a gate's own answers show.
#[test]
fn random_steps_find_the_planted_gates() {
    let agrees = |bug| {
        (0..5).all(|seed| {
            let fixture = PlantedGates::with(bug);
            !broken(async {
                let model = ModelGate::new(fixture.clock());
                let gate = fixture.fresh().await;
                differential::gates(&gate, &model, &fixture.clock(), 400, seed).await;
            })
        })
    };
    assert!(agrees(GateBug::Nothing));
    let bugs = [
        GateBug::StockBeforeDuplicate,
        GateBug::SyncWithoutVersionTest,
        GateBug::SyncWithoutNonceTest,
        GateBug::SealIgnored,
        GateBug::DecisionsForgotten,
        GateBug::WaitlistIgnored,
        GateBug::BeginWipes,
    ];
    for bug in bugs {
        assert!(!agrees(bug), "{bug:?} was not found");
    }
}

/// The same of the waiting room: each bug that does not show only in its terms.
#[test]
fn random_steps_find_the_planted_rooms() {
    let agrees = |bug| {
        (0..8).all(|seed| {
            let fixture = PlantedRooms::with(bug);
            !broken(async {
                let model = ModelRooms::new(fixture.clock());
                let store = fixture.fresh().await;
                differential::rooms(&store, &model, &fixture.clock(), 500, seed).await;
            })
        })
    };
    assert!(agrees(RoomBug::Nothing));
    let bugs = [
        RoomBug::RejoinMovesToEnd,
        RoomBug::AbsenceCostsTheNumber,
        RoomBug::LeaversGetTurns,
        RoomBug::FinishFreesNothing,
        RoomBug::TurnsNeverLapse,
        RoomBug::TicketIgnored,
    ];
    for bug in bugs {
        assert!(!agrees(bug), "{bug:?} was not found");
    }
}
