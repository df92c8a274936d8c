//! Which versions of a sale's stock a ledger keeps, and what it says of one that it forgot. Pure.
//!
//! Decided ids are kept for ever (**G7**): they are the orders. Versions are kept so that a ledger that was put back is told from a gate that
//! is late. A gate stands at the newest version within seconds, so it is late by what *became* the newest since, not by its age.

use crate::stock::Followed;
use crate::time::Timestamp;

/// Tells up to which version a ledger may forget: all before the number returned, none of the others.
///
/// `kept` are the oldest versions that it has, in order, each with the time of its making; `newest` is the version of now. A
/// version goes when the one after it was made before `before`, from the old end without a gap. So the version that was the newest at
/// `before` stays, for a gate that is one change late after a quiet week, and the newest of now stays however old it is.
#[must_use]
pub fn forget_before(kept: impl IntoIterator<Item = (u64, Timestamp)>, newest: u64, before: Timestamp) -> u64 {
    let old = kept.into_iter().take_while(|(_, at)| *at < before);
    old.map(|(v, _)| v).last().unwrap_or(0).min(newest)
}

/// Tells what to answer to a gate at a version that is not there, where `oldest` is the oldest that is.
///
/// Below it nothing is known any more, neither that it was there nor that it was not: the gate is late by days, and begins anew as a gate that
/// another one replaced does. Anything else was never told by this ledger.
#[must_use]
pub fn unknown_version(asked: u64, oldest: u64) -> Followed {
    if (1..oldest).contains(&asked) { Followed::Superseded } else { Followed::Rewound }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(times: &[i64]) -> Vec<(u64, Timestamp)> {
        times.iter().zip(3..).map(|(at, v)| (v, Timestamp::from_ms(*at))).collect()
    }

    #[test]
    fn only_the_old_end_is_forgotten_without_a_gap() {
        let before = Timestamp::from_ms(10);
        assert_eq!(forget_before(made(&[1, 2, 10, 11]), 6, before), 4, "the newest of then stays");
        assert_eq!(forget_before(made(&[10, 2, 3]), 6, before), 0, "a clock that went back leaves no gap");
        assert_eq!(forget_before(made(&[1, 2]), 6, before), 4, "of a page of old ones the last stays");
        assert_eq!(forget_before(made(&[]), 6, before), 0);
    }

    #[test]
    fn the_newest_version_is_never_forgotten() {
        assert_eq!(forget_before(made(&[1, 2, 3]), 5, Timestamp::FAR), 5);
        assert_eq!(forget_before(made(&[1]), 3, Timestamp::FAR), 3);
    }

    #[test]
    fn what_was_forgotten_is_no_rewound_ledger_and_what_was_never_there_is() {
        for (asked, oldest, says) in [
            (1, 2, Followed::Superseded),
            (2, 2, Followed::Rewound),
            (3, 2, Followed::Rewound),
            (0, 2, Followed::Rewound),
            (1, 1, Followed::Rewound),
        ] {
            assert_eq!(unknown_version(asked, oldest), says, "{asked} of {oldest}");
        }
    }
}
