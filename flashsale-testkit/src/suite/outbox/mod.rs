//! The rules of [`Outbox`]: facts are rows of the transactions that made them true (G9; hole 20).

pub mod relay;
pub mod told;

use flashsale_core::event::{Event, Outbox};
use flashsale_core::order::OrderLedger;

use crate::Fixture;
use crate::suite::suite;

suite! {
    $
    /// Makes a test of each rule of an outbox: `outbox_suite!(fixture)`.
    outbox_suite = outbox {
        told:
            an_accepted_order_is_told_with_its_rows
            a_refused_order_tells_nothing
            a_batch_that_records_nothing_tells_nothing
            the_last_unit_is_told_as_sold_out
            units_that_come_back_to_a_sold_out_item_are_told
            a_cancelled_order_is_told_once
            a_fence_tells_nothing
            a_transition_tells_its_facts_with_its_row
            a_stale_transition_tells_nothing
            a_sale_is_told_when_it_opens
            each_change_of_terms_is_told_once
            coupons_are_told_issued_redeemed_and_restored
            a_histories_versions_grow
            the_facts_of_a_request_carry_its_trace;
        relay:
            unsent_rows_come_in_order_of_number
            unsent_rows_go_on_after_a_number
            a_sent_row_does_not_come_again
            rows_are_sent_one_by_one
            an_event_is_put_once
            an_event_that_was_sent_is_not_put_again
            an_event_comes_back_as_it_was_put
            a_history_is_one_subjects_alone
            sent_rows_stay_in_the_history
            only_old_sent_rows_are_pruned
            pruning_stops_at_its_limit;
    }
}

/// A fixture of outboxes, with the ledger whose facts they hold.
pub trait Outboxes: Fixture<Port: Outbox + OrderLedger> {}
impl<T: Fixture<Port: Outbox + OrderLedger>> Outboxes for T {}

/// The ids of all unsent events.
pub(crate) async fn unsent<P: Outbox>(ledger: &P) -> Vec<String> {
    ledger.unsent(None, 10_000).await.expect("unsent").iter().map(|(_, event)| event.id()).collect()
}

/// Marks everything as sent, so that what follows is seen alone.
pub(crate) async fn clear<P: Outbox>(ledger: &P) {
    let rows = ledger.unsent(None, 10_000).await.expect("unsent");
    let numbers: Vec<_> = rows.into_iter().map(|(no, _)| no).collect();
    ledger.sent(&numbers).await.expect("sent");
}

/// The kinds of a subject's history.
pub(crate) async fn history<P: Outbox>(ledger: &P, subject: &str) -> Vec<Event> {
    ledger.history(subject).await.expect("history")
}

pub(crate) fn kinds(events: &[Event]) -> Vec<&'static str> {
    events.iter().map(|event| event.fact.kind()).collect()
}
