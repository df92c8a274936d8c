//! The rules of [`DeadLetters`]: nothing that a consumer gave up on is lost, and a person deals
//! with each once.

pub mod letters;

use flashsale_core::event::DeadLetters;

use crate::Fixture;
use crate::suite::suite;

suite! {
    $
    /// Makes a test of each rule of dead letters: `dead_letters_suite!(fixture)`.
    dead_letters_suite = dead_letters {
        letters:
            a_buried_letter_is_kept_whole
            a_letter_is_kept_once_per_consumer_and_event
            consumers_have_letters_of_their_own
            letters_come_oldest_first_and_no_more_than_asked_for
            a_settled_letter_is_told_and_gone
            a_letter_is_settled_once
            an_unknown_letter_is_not_settled
            of_two_who_settle_at_once_one_does
            a_replayed_letter_that_fails_again_is_open_again
            a_discarded_letter_stays_discarded
            a_letter_is_found_by_its_name_whatever_became_of_it;
    }
}

/// A fixture of dead letters.
pub trait Letters: Fixture<Port: DeadLetters> {}
impl<T: Fixture<Port: DeadLetters>> Letters for T {}
