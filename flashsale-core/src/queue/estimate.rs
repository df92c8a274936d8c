//! The wait that is shown: measured from how the line really moves, *unknown* until it is.
//!
//! Owns the sum. **G10**: no wait is made up.

use std::time::Duration;

use crate::queue::Tally;
use crate::time::Timestamp;

/// How many places the line passed (let through, left, absent), by slices of five seconds over a minute.
pub type Served = Tally<13>;

/// The length of a slice of [`Served`].
pub const SERVED_SLICE: Duration = Duration::from_secs(5);
/// Two whole slices with movement: less is no measurement.
const MEASURED_SLICES: usize = 2;

/// The slices that tell how the line moves, from the oldest.
fn measured(served: &Served, now: Timestamp) -> Vec<u32> {
    let mut slices: Vec<u32> = served.whole(now).collect();
    match slices.iter().position(|passed| *passed > 0) {
        // It moved all the time that is known.
        Some(0) => slices,
        Some(began) => slices.split_off(began + 1),
        None => Vec::new(),
    }
}

/// How long it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Nothing was measured yet.
    Unknown,
    /// Measured.
    Measured {
        /// As fast as the line moved over the last minute.
        about: Duration,
        /// As slow as it moved over its slowest quarter; at least [`Wait::Measured::about`].
        at_most: Duration,
    },
}

impl Wait {
    /// The wait of one with `ahead` people before him, by how the line moved.
    ///
    /// Slices before the first movement within the minute are no measurement of a line that has just begun, nor is the one within which it
    /// began; slices without movement after it are.
    #[must_use]
    pub fn estimate(ahead: u64, served: &Served, now: Timestamp) -> Self {
        let slices = measured(served, now);
        let moved: u64 = slices.iter().map(|passed| u64::from(*passed)).sum();
        if slices.len() < MEASURED_SLICES || moved == 0 {
            return Self::Unknown;
        }
        let slice_ms = u64::try_from(served.slice().as_millis()).unwrap_or(u64::MAX);
        let about = (ahead + 1).saturating_mul(slices.len() as u64).saturating_mul(slice_ms) / moved;
        // The slowest run of a quarter of the slices (at least two).
        let run = (slices.len() / 4).max(MEASURED_SLICES);
        let slowest = slices.windows(run).map(|w| w.iter().map(|n| u64::from(*n)).sum()).min().unwrap_or(0_u64);
        // A run without movement says nothing about how slow: half the mean is taken.
        let at_most = match slowest {
            0 => about.saturating_mul(2),
            slowest => (ahead + 1).saturating_mul(run as u64).saturating_mul(slice_ms) / slowest,
        };
        Self::Measured { about: Duration::from_millis(about), at_most: Duration::from_millis(at_most.max(about)) }
    }
}

/// How many places the line passes in a minute, by the same measurement; `None` until there is one.
#[must_use]
pub fn per_minute(served: &Served, now: Timestamp) -> Option<u64> {
    let slices = measured(served, now);
    let moved: u64 = slices.iter().map(|passed| u64::from(*passed)).sum();
    let over_ms = slices.len() as u64 * u64::try_from(served.slice().as_millis()).unwrap_or(u64::MAX);
    (slices.len() >= MEASURED_SLICES && moved > 0).then(|| moved * 60_000 / over_ms)
}

/// When a member should ask again: a tenth of his wait, or (while that is unknown) five milliseconds a head; from one second to
/// half a minute, and often enough not to be taken for absent. `dice` (any number) moves it by up to a fifth either way, so that a crowd does not
/// ask in step.
#[must_use]
pub fn refresh_after(ahead: u64, wait: Wait, absent_after: Duration, dice: u64) -> Duration {
    let distance = match wait {
        Wait::Unknown => Duration::from_millis(ahead.saturating_mul(5)),
        Wait::Measured { about, .. } => about / 10,
    };
    let longest = Duration::from_secs(30).min(absent_after / 4);
    let shortest = Duration::from_secs(1).min(longest);
    let base = distance.clamp(shortest, longest);
    let ms = u64::try_from(base.as_millis()).unwrap_or(u64::MAX);
    let jitter = ms.saturating_mul(dice % 401) / 1_000;
    Duration::from_millis(ms.saturating_mul(8) / 10 + jitter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(counts: &[u32]) -> (Served, Timestamp) {
        let mut served = Served::new(SERVED_SLICE);
        let mut now = Timestamp::from_ms(1_000_000);
        for count in counts {
            served.add(now, *count);
            now = now.after(SERVED_SLICE);
        }
        (served, now)
    }

    #[test]
    fn g10_a_wait_is_unknown_until_it_is_measured() {
        let (nothing, now) = served(&[]);
        assert_eq!(Wait::estimate(5, &nothing, now), Wait::Unknown);
        let (little, now) = served(&[50]);
        assert_eq!(Wait::estimate(5, &little, now), Wait::Unknown);
        let (two, now) = served(&[50, 50]);
        assert_eq!(Wait::estimate(5, &two, now), Wait::Unknown, "it began some time within the first slice");
        let (old, now) = served(&[50, 50, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Wait::estimate(5, &old, now), Wait::Unknown, "a line that stands has no pace");
    }

    #[test]
    fn a_steady_line_is_foretold_exactly() {
        let (steady, now) = served(&[50; 12]);
        let Wait::Measured { about, at_most } = Wait::estimate(99, &steady, now) else { panic!("measured") };
        assert_eq!((about, at_most), (Duration::from_secs(10), Duration::from_secs(10)));
        assert_eq!(per_minute(&steady, now), Some(600));
    }

    #[test]
    fn a_line_that_began_late_in_a_slice_is_not_taken_for_a_slow_one() {
        let (late, now) = served(&[1, 50, 50]);
        let Wait::Measured { about, .. } = Wait::estimate(99, &late, now) else { panic!("measured") };
        assert_eq!((about, per_minute(&late, now)), (Duration::from_secs(10), Some(600)));
    }

    #[test]
    fn a_slow_stretch_makes_the_most_longer() {
        let (uneven, now) = served(&[90, 90, 10, 10, 10, 90, 90, 90]);
        let Wait::Measured { about, at_most } = Wait::estimate(99, &uneven, now) else { panic!("measured") };
        assert!(about < at_most);
        assert_eq!(at_most, Duration::from_secs(50));
    }

    #[test]
    fn what_is_far_asks_seldom_and_nobody_is_taken_for_absent() {
        let soon = refresh_after(3, Wait::Unknown, Duration::from_secs(300), 200);
        let far = refresh_after(100_000, Wait::Unknown, Duration::from_secs(300), 200);
        assert!(soon < far);
        for dice in 0..1_000 {
            let short = refresh_after(100_000, Wait::Unknown, Duration::from_secs(10), dice);
            assert!(short <= Duration::from_secs(3), "{short:?}");
            assert!(refresh_after(0, Wait::Unknown, Duration::from_secs(300), dice) >= Duration::from_millis(800));
        }
    }
}
