//! The rules of [`StockLedger`]: acceptance in precedence order, the fence, cancelling, following
//! and changing terms (protocol 1.3 to 1.5, 2.2).

pub mod accept;
pub mod cancel;
pub mod change;
pub mod coupon;
pub mod follow;
pub mod payment_line;
pub mod refuse;
pub mod retain;

use std::sync::Arc;

use flashsale_core::stock::{
    Accept, Acceptance, Accepted, Adopted, Cancel, Cancelled, Epoch, Followed, HoldNo, ItemTotals, Load, Nonce, Order,
    OrderState, PaymentLine, Reason, Settled, StockLedger, Update, Version,
};
use flashsale_core::{Sale, SaleId};

use crate::Fixture;
use crate::sample::{item, order};
use crate::suite::suite;

suite! {
    $
    /// Makes a test of each rule of a stock ledger: `stock_ledger_suite!(fixture)`.
    stock_ledger_suite = stock_ledger {
        accept:
            an_accepted_order_takes_its_units
            an_accepted_order_tells_all_that_was_decided
            the_same_id_again_is_already_decided
            the_same_id_twice_in_one_batch_is_one_order
            other_content_under_the_same_id_is_a_conflict
            an_id_is_unique_over_all_sales
            ids_are_compared_byte_by_byte
            a_batch_is_accepted_up_to_the_last_unit
            all_lines_are_taken_or_none
            who_asks_for_less_may_win_what_is_left
            a_batch_answers_as_its_requests_would_one_by_one
            a_large_batch_over_several_items_adds_up
            an_empty_batch_changes_nothing
            at_once_the_last_unit_is_sold_once
            at_once_a_buyer_stays_within_his_limit
            a_held_order_is_accepted_by_the_gate_that_holds_it
            an_order_to_keep_has_no_deadline
            the_update_tells_what_changed
            the_update_lists_refused_orders_and_no_item
            every_batch_that_records_is_one_version
            a_durable_ledger_keeps_what_it_accepted;
        refuse:
            a_refusal_for_want_of_units_stands_for_ever
            a_refusal_for_the_limit_stands_for_ever
            units_of_earlier_orders_count_against_the_limit
            the_same_buyer_twice_in_one_batch_stays_within_the_limit
            another_total_than_the_buyer_saw_is_refused
            an_amount_above_the_maximum_is_refused
            the_price_is_told_before_the_limit
            the_limit_is_told_before_the_stock
            an_unknown_item_is_not_recorded
            a_sale_that_is_not_open_accepts_nothing_and_records_nothing
            a_known_id_is_answered_while_the_sale_is_closed
            an_unknown_sale_accepts_nothing
            without_a_gate_the_ledger_minds_the_window
            a_hold_of_another_epoch_has_expired
            a_hold_without_a_gate_has_expired
            a_missing_hold_is_refused_once_a_gate_serves
            a_sealed_hold_has_expired
            an_expired_hold_is_not_recorded
            a_known_id_is_answered_before_its_hold_is_looked_at
            the_hold_is_looked_at_before_the_item
            an_answer_that_was_given_is_kept_whatever_the_hold_and_the_door
            an_answer_that_was_given_changes_no_decision;
        coupon:
            a_coupon_takes_its_amount_off
            a_used_coupon_is_refused
            the_same_coupon_twice_in_one_batch_is_used_once
            somebody_elses_coupon_is_unknown
            an_expired_coupon_is_refused
            a_total_below_the_minimum_is_refused
            a_coupon_asks_for_its_way_to_pay
            a_refused_coupon_is_never_a_full_price
            a_coupon_is_refused_before_want_of_stock
            an_issued_coupon_is_a_confirmed_order
            never_more_coupons_than_the_cap
            never_two_coupons_to_one_member
            a_second_row_for_a_coupon_is_bad_data;
        cancel:
            a_cancelled_order_gives_its_units_back
            a_second_cancel_restores_nothing
            the_same_cancel_twice_in_one_batch_restores_once
            two_cancels_at_once_restore_once
            a_cancelled_order_frees_the_limit
            a_cancelled_order_gives_its_coupon_back
            a_cancelled_id_is_never_accepted_again
            an_unknown_id_is_fenced
            a_fence_answers_whatever_is_asked_for
            accept_and_cancel_at_once_agree
            a_refused_order_has_ended_already
            an_issued_coupon_is_not_cancelled
            an_order_of_another_sale_is_left_alone
            the_update_tells_what_came_back
            a_cancel_that_ends_nothing_is_no_version;
        follow:
            the_first_gate_is_epoch_one
            the_same_nonce_gets_the_same_epoch
            a_late_adopter_is_superseded
            of_two_adopters_one_wins
            adopting_voids_the_holds_of_the_gate_before
            adopting_clears_the_seal_and_is_no_version
            adopting_tells_the_levels_of_that_moment
            a_gate_with_everything_is_current
            another_nonce_is_superseded
            an_unknown_tag_is_a_rewound_ledger
            an_unknown_number_is_a_rewound_ledger
            a_rewound_ledger_that_knows_another_gate_is_rewound
            a_sale_that_is_gone_is_a_rewound_ledger
            follow_tells_everything_since_a_version
            follow_tells_each_order_as_it_is_now
            sealing_is_told_and_is_no_version
            a_seal_only_grows
            a_seal_whose_answer_was_lost_is_told_again
            sealed_holds_are_refused_and_later_ones_are_not
            answers_are_paged_in_order_of_id
            answers_tell_what_buyers_have_now;
        change:
            the_same_terms_again_change_nothing
            other_terms_under_a_known_name_are_a_conflict
            terms_that_are_no_sale_are_bad_data
            sales_are_listed_in_order_of_name
            an_unknown_sale_has_no_totals
            totals_tell_the_terms
            a_restock_adds_units
            a_shrink_stops_at_what_is_allocated
            no_number_wraps_a_total
            a_change_is_made_once_per_id
            the_same_id_for_another_change_is_a_conflict
            a_refused_change_is_not_recorded
            changes_of_what_is_not_there_are_refused
            a_paused_sale_resumes
            a_closed_sale_stays_closed
            a_price_counts_for_orders_from_then_on
            a_limit_counts_for_orders_from_then_on
            a_window_ends_after_it_begins
            a_change_is_a_version_and_tells_the_gate;
        payment_line:
            orders_to_be_paid_are_numbered_in_order_of_arrival
            numbers_go_on_with_the_next_batch
            who_is_not_to_be_paid_has_no_number
            a_repeat_keeps_its_number
            every_sale_has_a_line_of_its_own
            a_cancelled_order_leaves_the_line_once;
        retain:
            only_old_versions_are_forgotten
            versions_are_forgotten_a_bounded_number_at_once
            a_gate_that_has_everything_is_current_however_old
            a_gate_at_a_forgotten_version_begins_anew
            a_decided_id_outlives_its_version;
    }
}

/// A fixture of stock ledgers.
pub trait Ledgers: Fixture<Port: StockLedger> {}
impl<T: Fixture<Port: StockLedger>> Ledgers for T {}

/// A ledger in which this sale was opened.
pub(crate) async fn opened<F: Ledgers>(fixture: &F, sale: &Sale) -> Open<F::Port> {
    let open = Open { ledger: fixture.fresh().await, sale: sale.id.clone() };
    open.ledger.open(sale).await.expect("open").expect("no other terms");
    open
}

/// A ledger under test, and the sale in question.
pub(crate) struct Open<P> {
    pub(crate) ledger: P,
    pub(crate) sale: SaleId,
}

impl<P: StockLedger> Open<P> {
    pub(crate) async fn batch(&self, batch: &[Accept]) -> Accepted {
        let accepted = self.ledger.accept(&self.sale, batch).await.expect("accept");
        assert_eq!(accepted.answers.len(), batch.len(), "one answer per request");
        accepted
    }

    pub(crate) async fn ask(&self, accept: Accept) -> Acceptance {
        self.batch(&[accept]).await.answers.remove(0)
    }

    /// Asks for what is decided now.
    pub(crate) async fn decide(&self, accept: Accept) -> Arc<Order> {
        match self.ask(accept).await {
            Acceptance::Decided(order) => order,
            other => panic!("not decided now: {other:?}"),
        }
    }

    /// Asks for what must be accepted.
    pub(crate) async fn take(&self, accept: Accept) -> Arc<Order> {
        let order = self.decide(accept).await;
        assert!(order.state.holds_units(), "{} is {:?} for {:?}", order.id, order.state, order.reason);
        order
    }

    /// Asks for what must be refused.
    pub(crate) async fn refusal(&self, accept: Accept) -> Reason {
        let order = self.decide(accept).await;
        assert_eq!(order.state, OrderState::Refused, "{}", order.id);
        order.reason.expect("a refusal has a reason")
    }

    pub(crate) async fn cancel(&self, id: &str) -> Cancelled {
        self.cancels(&[id]).await.0.remove(0)
    }

    pub(crate) async fn cancels(&self, ids: &[&str]) -> (Vec<Cancelled>, Option<Update>) {
        let batch: Vec<Cancel> = ids.iter().map(|id| Cancel { id: order(id), reason: Reason::Operator }).collect();
        let (answers, update) = self.ledger.cancel(&self.sale, &batch).await.expect("cancel");
        assert_eq!(answers.len(), ids.len(), "one answer per id");
        (answers, update)
    }

    pub(crate) async fn row(&self, name: &str) -> ItemTotals {
        let totals = self.ledger.totals(&self.sale).await.expect("totals").expect("the sale is known");
        totals.items.into_iter().find(|row| row.item == item(name)).expect("the item is known")
    }

    pub(crate) async fn allocated(&self, name: &str) -> u32 {
        self.row(name).await.allocated
    }

    pub(crate) async fn version(&self) -> Version {
        self.ledger.totals(&self.sale).await.expect("totals").expect("the sale is known").version
    }

    /// The last number of the payment line, and how many have left it.
    pub(crate) async fn line(&self) -> (u64, u64) {
        let PaymentLine { issued, served } =
            self.ledger.totals(&self.sale).await.expect("totals").expect("the sale is known").line;
        (issued, served)
    }

    /// Adopts a gate; the epoch is the one before.
    pub(crate) async fn adopt(&self, nonce: u64, epoch: u64) -> Load {
        match self.ledger.adopt(&self.sale, Nonce(nonce), Epoch(epoch)).await.expect("adopt") {
            Adopted::Yes(load) => load,
            Adopted::Superseded(epoch) => panic!("superseded by {epoch:?}"),
        }
    }

    pub(crate) async fn follow(&self, nonce: u64, at: Version, lapsed: u64) -> Followed {
        self.ledger.follow(&self.sale, Nonce(nonce), at, HoldNo(lapsed)).await.expect("follow")
    }

    pub(crate) async fn update(&self, nonce: u64, at: Version, lapsed: u64) -> Update {
        match self.follow(nonce, at, lapsed).await {
            Followed::Update(update) => update,
            other => panic!("no update: {other:?}"),
        }
    }

    /// The order as the ledger has it now, seen through its answers.
    pub(crate) async fn settled(&self, id: &str) -> Option<Settled> {
        let all = self.ledger.answers(&self.sale, None, 10_000).await.expect("answers");
        all.orders.into_iter().find(|settled| settled.id == order(id))
    }

    pub(crate) async fn state(&self, id: &str) -> Option<OrderState> {
        self.settled(id).await.map(|settled| settled.state)
    }
}

/// What was decided, as a word: the state, or the kind of answer.
pub(crate) fn word(answer: &Acceptance) -> &'static str {
    match answer {
        Acceptance::Decided(order) => order.state.code(),
        Acceptance::Already(_) => "already",
        Acceptance::Conflict => "conflict",
        Acceptance::NotOpen(_) => "not_open",
        Acceptance::HoldExpired => "hold_expired",
        Acceptance::UnknownItem(_) => "unknown_item",
        Acceptance::NotOffered(_) => "not_offered",
    }
}

pub(crate) fn words(answers: &[Acceptance]) -> Vec<&'static str> {
    answers.iter().map(word).collect()
}
