//! Counts what happens, by slices of time, so that "how many within the last so long" is one sum.
//!
//! Owns the sliding: a slice that is older than the window counts no more. Does not own what is counted.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Counts of the last `N` slices of time, the running one among them.
///
/// The sum looks back over the running slice and `N - 1` whole ones: never more than `N` slices, never less than `N - 1`.
///
/// ```
/// use std::time::Duration;
/// use flashsale_core::{Timestamp, queue::Tally};
/// let mut arrivals = Tally::<10>::new(Duration::from_millis(100));
/// arrivals.add(Timestamp::from_ms(50), 3);
/// assert_eq!(arrivals.sum(Timestamp::from_ms(999)), 3);
/// assert_eq!(arrivals.sum(Timestamp::from_ms(1_000)), 0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally<const N: usize> {
    slice_ms: i64,
    /// The number of the newest slice, counted from the epoch.
    newest: i64,
    /// By slice number modulo `N`.
    #[serde(with = "slices")]
    counts: [u32; N],
}

impl<const N: usize> Tally<N> {
    /// Nothing counted, by slices of this length (at least a millisecond).
    #[must_use]
    pub fn new(slice: Duration) -> Self {
        let slice_ms = i64::try_from(slice.as_millis()).unwrap_or(i64::MAX).max(1);
        Self { slice_ms, newest: 0, counts: [0; N] }
    }

    /// From its parts, as a backend keeps them: the length of a slice, the number of the newest, and the counts from the oldest slice
    /// to the newest. Counts that are too many are left out from the front.
    #[must_use]
    pub fn of(slice: Duration, newest: i64, oldest_first: &[u32]) -> Self {
        let mut tally = Self { newest, ..Self::new(slice) };
        for (back, count) in oldest_first.iter().rev().take(N).enumerate() {
            let at = tally.cell(newest - back as i64);
            tally.counts[at] = *count;
        }
        tally
    }

    /// How long a slice is.
    #[must_use]
    pub fn slice(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.slice_ms).unwrap_or(1))
    }

    /// The number of the slice in which a moment lies.
    #[must_use]
    pub fn slice_of(&self, now: Timestamp) -> i64 {
        now.ms() / self.slice_ms
    }

    fn cell(&self, slice: i64) -> usize {
        // `N` fits: it is the length of an array.
        usize::try_from(slice.rem_euclid(N as i64)).unwrap_or(0)
    }

    /// Counts `n` more at `now`. A clock that went back counts into the newest slice.
    pub fn add(&mut self, now: Timestamp, n: u32) {
        let slice = self.slice_of(now);
        if slice > self.newest {
            let skipped = (slice - self.newest).min(N as i64);
            for old in (slice - skipped + 1)..=slice {
                let at = self.cell(old);
                self.counts[at] = 0;
            }
            self.newest = slice;
        }
        let at = self.cell(self.newest);
        self.counts[at] = self.counts[at].saturating_add(n);
    }

    /// The count of a slice by its number; zero for one that is out of the window.
    #[must_use]
    pub fn in_slice(&self, slice: i64) -> u32 {
        let known = slice <= self.newest && slice > self.newest - N as i64;
        if known { self.counts[self.cell(slice)] } else { 0 }
    }

    /// How many there were within the window that ends at `now`.
    #[must_use]
    pub fn sum(&self, now: Timestamp) -> u32 {
        let last = self.slice_of(now).max(self.newest);
        ((last - N as i64 + 1)..=last).fold(0, |sum, slice| sum.saturating_add(self.in_slice(slice)))
    }

    /// The counts of the whole slices before the running one, from the oldest.
    pub fn whole(&self, now: Timestamp) -> impl DoubleEndedIterator<Item = u32> + '_ {
        let running = self.slice_of(now).max(self.newest);
        ((running - N as i64 + 1)..running).map(|slice| self.in_slice(slice))
    }
}

/// Arrays of any length, as serde's own end at 32.
mod slices {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer, const N: usize>(counts: &[u32; N], to: S) -> Result<S::Ok, S::Error> {
        counts.as_slice().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(from: D) -> Result<[u32; N], D::Error> {
        let counts = Vec::<u32>::deserialize(from)?;
        counts.try_into().map_err(|_| serde::de::Error::custom("another number of slices"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_sum_looks_back_over_the_running_slice_and_the_whole_ones_before(
            steps in prop::collection::vec((0_i64..400, 0_u32..5), 1..60)
        ) {
            let mut tally = Tally::<5>::new(Duration::from_millis(100));
            let (mut now, mut all) = (0, Vec::new());
            for (by, n) in steps {
                now += by;
                tally.add(Timestamp::from_ms(now), n);
                all.push((now / 100, n));
                let slow: u32 = all.iter().filter(|(slice, _)| *slice > now / 100 - 5).map(|(_, n)| n).sum();
                prop_assert_eq!(tally.sum(Timestamp::from_ms(now)), slow);
                let copy = Tally::<5>::of(tally.slice(), tally.newest, &((now / 100 - 4)..=now / 100).map(|s| tally.in_slice(s)).collect::<Vec<_>>());
                prop_assert_eq!(copy.sum(Timestamp::from_ms(now)), slow);
            }
        }
    }

    #[test]
    fn a_clock_that_goes_back_loses_no_count() {
        let mut tally = Tally::<3>::new(Duration::from_millis(10));
        tally.add(Timestamp::from_ms(100), 1);
        tally.add(Timestamp::from_ms(5), 1);
        assert_eq!(tally.sum(Timestamp::from_ms(5)), 2);
    }
}
