//! The rules of [`OrderLedger`]: transitions by version, units back once, and the reads that the
//! saga lives on (protocol 1.4, step 5; 2.2).

pub mod append;
pub mod payment_line;
pub mod read;

use std::sync::Arc;

use flashsale_core::order::{Append, Appended, Input, OrderLedger, Policy, Units, Verdict, step};
use flashsale_core::stock::{Order, Update};

use crate::Fixture;
use crate::sample::order;
use crate::suite::stock_ledger::Open;
use crate::suite::suite;

suite! {
    $
    /// Makes a test of each rule of an order ledger: `order_ledger_suite!(fixture)`. Its stock rules are another suite.
    order_ledger_suite = order_ledger {
        append:
            a_transition_is_written_where_the_version_matches
            what_was_decided_at_acceptance_stays
            a_stale_transition_leaves_no_trace
            stale_transitions_do_not_hold_up_the_others
            a_transition_of_an_unknown_order_is_stale
            a_transition_through_another_sale_is_stale
            of_two_transitions_at_once_one_is_written
            a_transition_that_keeps_units_is_no_version
            units_come_back_with_the_transition_that_ends_the_order
            a_repeated_transition_restores_once
            units_that_are_back_do_not_come_back_again
            a_batch_that_gives_back_is_one_version
            the_update_tells_what_came_back
            a_coupon_comes_back_with_the_units
            a_return_keeps_its_units_where_the_policy_says_so
            a_gate_is_not_told_of_transitions_that_move_no_units
            what_is_being_paid_or_was_paid_is_not_cancelled
            a_decided_order_answers_its_id_in_every_state
            a_durable_ledger_keeps_transitions;
        payment_line:
            an_order_is_in_the_line_until_the_gateway_has_answered
            an_order_that_ends_has_left_the_line
            an_order_leaves_the_line_once
            orders_that_leave_at_once_are_all_counted
            a_stale_transition_is_not_counted
            a_durable_ledger_keeps_the_line;
        read:
            orders_are_loaded_in_the_order_asked_for
            loading_tells_the_ledgers_time
            a_loaded_order_is_the_one_that_was_written
            an_order_is_due_at_its_deadline
            the_most_overdue_come_first_and_no_more_than_asked_for
            a_moved_deadline_is_the_only_one
            a_buyers_orders_are_listed_latest_first
            a_list_goes_on_after_its_last_order
            a_list_is_one_buyers_alone
            orders_that_wait_for_a_person_are_listed;
    }
}

/// A fixture of order ledgers.
pub trait Orders: Fixture<Port: OrderLedger> {}
impl<T: Fixture<Port: OrderLedger>> Orders for T {}

impl<P: OrderLedger> Open<P> {
    /// The row as it is.
    pub(crate) async fn load(&self, id: &str) -> Arc<Order> {
        let (mut rows, _) = self.ledger.load(&[order(id)]).await.expect("load");
        rows.remove(0).expect("the order is there")
    }

    /// The transition that the saga makes of this input now.
    pub(crate) async fn transition(&self, id: &str, input: &Input) -> Append {
        self.transition_by(id, input, &Policy::default()).await
    }

    pub(crate) async fn transition_by(&self, id: &str, input: &Input, policy: &Policy) -> Append {
        let (mut rows, now) = self.ledger.load(&[order(id)]).await.expect("load");
        let row = rows.remove(0).expect("the order is there");
        match step(Some(&row), input, now, policy) {
            Verdict::Move(append) => *append,
            other => panic!("{id} is {:?} and does not move: {other:?}", row.state),
        }
    }

    pub(crate) async fn append(&self, batch: &[Append]) -> (Vec<Appended>, Option<Update>) {
        let (answers, update) = self.ledger.append(&self.sale, batch).await.expect("append");
        assert_eq!(answers.len(), batch.len(), "one answer per transition");
        (answers, update)
    }

    /// Makes the saga's transition, which must be written.
    pub(crate) async fn go(&self, id: &str, input: Input) -> Arc<Order> {
        let transition = self.transition(id, &input).await;
        match self.append(&[transition]).await.0.remove(0) {
            Appended::Done(order) => order,
            Appended::Stale => panic!("{id} is stale"),
        }
    }
}

/// A transition that gives units back although it need not.
pub(crate) fn giving_back(append: Append) -> Append {
    Append { units: Units::GiveBack, ..append }
}
