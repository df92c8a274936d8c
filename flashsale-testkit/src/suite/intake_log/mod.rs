//! The rules of [`IntakeLog`]: in order, until committed; to one process at a time; what is set aside comes again when it is asked for.

pub mod aside;
pub mod delivery;
pub mod watch;

use async_trait::async_trait;
use flashsale_core::order::{IntakeLog, Recorded};
use flashsale_core::{SaleId, Timestamp};

use crate::Fixture;
use crate::sample::{accept, held, sale_id};
use crate::suite::suite;

suite! {
    $
    /// Makes a test of each rule of a log of recorded requests: `intake_log_suite!(fixture)`.
    intake_log_suite = intake_log {
        delivery:
            a_record_arrives_as_it_was
            records_of_a_sale_arrive_in_the_order_of_the_log
            a_delivery_has_no_more_than_asked_for
            what_was_not_committed_comes_again
            a_rewind_does_not_undo_a_commit
            a_process_waits_until_there_is_something
            a_dropped_poll_loses_nothing
            what_a_process_leaves_behind_comes_to_another;
        watch:
            every_process_sees_what_is_appended_while_it_watches
            watching_moves_no_place;
        aside:
            what_is_set_aside_comes_again_once_when_it_is_recalled;
    }
}

/// A fixture of logs, which may be shared by several processes.
#[async_trait]
pub trait Logs: Fixture<Port = Self::Log> {
    /// The log, as one process has it.
    type Log: IntakeLog;

    /// The same log, as another process has it.
    async fn another(&self, log: &Self::Log) -> Self::Log;
}

fn sale() -> SaleId {
    sale_id("drop")
}

/// The `n`th request of a sale.
fn record_of(sale: &SaleId, n: u64) -> Recorded {
    let accept = held(1, n, accept(&format!("ann~k-{n}"), &[("hat", 1)]));
    Recorded { sale: sale.clone(), accept, at: Timestamp::from_ms(7) }
}

fn records(numbers: impl IntoIterator<Item = u64>) -> Vec<Recorded> {
    numbers.into_iter().map(|n| record_of(&sale(), n)).collect()
}

fn number(record: &Recorded) -> u64 {
    record.no().expect("a number").0
}

/// Takes `n` records, committing each delivery.
async fn take(log: &impl IntakeLog, n: usize) -> Vec<u64> {
    let mut seen = Vec::new();
    while seen.len() < n {
        let polled = log.poll(100).await.expect("poll");
        seen.extend(polled.records.iter().map(number));
        log.commit(polled.position).await.expect("commit");
    }
    seen
}
