//! The rules of [`Notifier`]: an answer for each notice, at least once under the same key, one by one.

pub mod telling;

use async_trait::async_trait;
use flashsale_core::notice::{NoticeKey, Notifier};

use crate::Fixture;
use crate::suite::suite;

suite! {
    $
    /// Makes a test of each rule of a notifier: `notifier_suite!(fixture)`.
    notifier_suite = notifier {
        telling:
            every_notice_gets_an_answer_in_order
            nothing_is_said_for_nothing
            what_is_handed_over_arrives_under_its_key
            a_repeat_arrives_under_the_same_key
            one_that_is_refused_keeps_no_other_from_going
            batches_at_once_all_arrive;
    }
}

/// A fixture of notifiers that reach `ann` and `bob`.
#[async_trait]
pub trait Notifiers: Fixture<Port: Notifier> {
    /// The keys of all that arrived, in any order, as whoever is told sees them; a repeat stands twice.
    async fn arrived(&self, port: &Self::Port) -> Vec<NoticeKey>;

    /// A member whom the notifier refuses for good, where there is one.
    fn refused(&self) -> Option<&'static str> {
        None
    }
}
