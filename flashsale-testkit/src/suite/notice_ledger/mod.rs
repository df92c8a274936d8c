//! The rules of [`NoticeLedger`]: what waits to be told is kept until somebody says what became of it, and no two take the
//! same at once (**G9**).

pub mod waiting;

use flashsale_core::notice::NoticeLedger;

use crate::Fixture;
use crate::suite::suite;

suite! {
    $
    /// Makes a test of each rule of a ledger of notices: `notice_ledger_suite!(fixture)`.
    notice_ledger_suite = notice_ledger {
        waiting:
            what_is_kept_is_taken_whole
            a_notice_is_kept_once_per_key
            what_was_taken_comes_again_when_its_lease_ends
            the_longest_due_come_first_and_no_more_than_asked_for
            what_is_gone_stays_gone
            what_is_for_later_comes_at_its_time
            a_notice_that_is_not_there_is_left_out
            of_many_who_take_at_once_each_gets_its_own
            notices_outlive_a_restart;
    }
}

/// A fixture of ledgers of notices.
pub trait Notices: Fixture<Port: NoticeLedger> {}
impl<T: Fixture<Port: NoticeLedger>> Notices for T {}
