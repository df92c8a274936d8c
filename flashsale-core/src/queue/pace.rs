//! How many may go through now: by rate and by capacity, in whole numbers.
//!
//! Owns the sum. Two guards, both needed: a bucket of credit keeps the rate over time and spreads it, and a list of what was
//! granted within the last second keeps every single second, whenever the passes run. **G10**: never more than rate and capacity allow.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// The most grants that are remembered: more within a second are not made. A pass that runs every 50 ms makes 20.
pub const GRANTS_MAX: usize = 64;
/// How much credit can be saved beside that for one, in milliseconds of the rate: what a pass that is late has missed. After a pause
/// people come as a trickle, not as a crowd.
const SAVED_MS: u64 = 250;
const SECOND_MS: i64 = 1_000;

/// A rate: so many per so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pace {
    /// How many. 1 to 1,000,000.
    pub admits: u32,
    /// Per how long. 1 s to 1 hour.
    pub per: Duration,
}

impl Pace {
    fn per_ms(self) -> u64 {
        u64::try_from(self.per.as_millis()).unwrap_or(u64::MAX).max(1)
    }

    /// The most within any second: the rate, rounded up.
    #[must_use]
    pub fn most_in_a_second(self) -> u32 {
        u32::try_from((u64::from(self.admits) * 1_000).div_ceil(self.per_ms())).unwrap_or(u32::MAX)
    }

    /// The most credit that can be saved: for one, and that of a quarter of a second.
    fn saved(self) -> u64 {
        self.per_ms() + u64::from(self.admits) * SAVED_MS
    }
}

/// What was granted lately, and what credit there is. A part of a store's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spending {
    /// Credit, in people times the milliseconds of [`Pace::per`]: one person costs `per`.
    pub credit: u64,
    /// When credit was last added.
    pub at: Timestamp,
    /// Grants of the last second, the oldest first: when, and how many.
    pub grants: Vec<(Timestamp, u32)>,
}

impl Spending {
    /// Nothing was spent yet, and all credit that can be saved is there.
    #[must_use]
    pub fn starting(now: Timestamp, pace: Pace) -> Self {
        Self { credit: pace.saved(), at: now, grants: Vec::new() }
    }

    /// Goes by another pace from now on: credit begins at nothing, what was granted stays granted.
    pub fn change(&mut self, now: Timestamp) {
        self.credit = 0;
        self.at = self.at.max(now);
    }

    /// Adds the credit of the time that passed and forgets grants older than a second. A clock that went back adds nothing.
    pub fn refill(&mut self, now: Timestamp, pace: Pace) {
        let passed = u64::try_from(now.since(self.at).as_millis()).unwrap_or(u64::MAX);
        let more = passed.saturating_mul(u64::from(pace.admits));
        self.credit = self.credit.saturating_add(more).min(pace.saved());
        self.at = self.at.max(now);
        self.grants.retain(|(at, _)| at.ms() > now.ms() - SECOND_MS);
    }

    /// How many may go through now, with `free` turns left. After [`Spending::refill`].
    #[must_use]
    pub fn allows(&self, now: Timestamp, pace: Pace, free: u32) -> u32 {
        let same = self.grants.last().is_some_and(|(at, _)| *at == now);
        if self.grants.len() >= GRANTS_MAX && !same {
            return 0;
        }
        let spent = self.grants.iter().fold(0_u32, |sum, (_, n)| sum.saturating_add(*n));
        let by_second = pace.most_in_a_second().saturating_sub(spent);
        let by_credit = u32::try_from(self.credit / pace.per_ms()).unwrap_or(u32::MAX);
        by_second.min(by_credit).min(free)
    }

    /// Writes down that `n` went through: at most what [`Spending::allows`] said.
    pub fn spend(&mut self, now: Timestamp, pace: Pace, n: u32) {
        if n == 0 {
            return;
        }
        self.credit = self.credit.saturating_sub(u64::from(n).saturating_mul(pace.per_ms()));
        match self.grants.last_mut() {
            Some((at, count)) if *at == now => *count = count.saturating_add(n),
            _ => self.grants.push((now, n)),
        }
    }

    /// How long it is until another may go through, as far as the rate is concerned; zero if one may now.
    #[must_use]
    pub fn next(&self, now: Timestamp, pace: Pace) -> Duration {
        let lacks = pace.per_ms().saturating_sub(self.credit);
        let by_credit = lacks.div_ceil(u64::from(pace.admits.max(1)));
        let spent = self.grants.iter().fold(0_u32, |sum, (_, n)| sum.saturating_add(*n));
        let full = spent >= pace.most_in_a_second() || self.grants.len() >= GRANTS_MAX;
        let by_second = match self.grants.first() {
            Some((at, _)) if full => Timestamp::from_ms(at.ms() + SECOND_MS).since(now),
            _ => Duration::ZERO,
        };
        Duration::from_millis(by_credit).max(by_second)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Runs passes at the given gaps and gives when and how many went through.
    fn run(pace: Pace, gaps: impl IntoIterator<Item = u64>) -> Vec<(i64, u32)> {
        let mut now = Timestamp::from_ms(5_000_000);
        let mut spending = Spending::starting(now, pace);
        let mut went = Vec::new();
        for gap in gaps {
            now = now.after(Duration::from_millis(gap));
            spending.refill(now, pace);
            let n = spending.allows(now, pace, u32::MAX);
            spending.spend(now, pace, n);
            if n > 0 {
                went.push((now.ms(), n));
            }
        }
        went
    }

    proptest! {
        #[test]
        fn g10_no_second_has_more_than_the_rate(
            admits in 1_u32..5_000, per in 1_u64..120, gaps in prop::collection::vec(0_u64..700, 1..200)
        ) {
            let pace = Pace { admits, per: Duration::from_secs(per) };
            let went = run(pace, gaps);
            for (from, _) in &went {
                let second: u64 = went.iter().filter(|(at, _)| (*from..from + 1_000).contains(at)).map(|(_, n)| u64::from(*n)).sum();
                prop_assert!(second <= u64::from(pace.most_in_a_second()));
                // Over any longer span: the rate, and what a quarter of a second saves.
                for (to, _) in went.iter().filter(|(to, _)| to >= from) {
                    let span: u64 = went.iter().filter(|(at, _)| (from..=to).contains(&at)).map(|(_, n)| u64::from(*n)).sum();
                    let most = u64::from(admits) * (to - from) as u64 + pace.saved();
                    prop_assert!(span * pace.per_ms() <= most);
                }
            }
        }
    }

    #[test]
    fn passes_that_run_in_time_reach_the_rate() {
        for (admits, per, every) in [(600, 60, 50), (50, 1, 20), (90, 60, 100), (1_000, 1, 50), (7, 3_600, 1_000)] {
            let pace = Pace { admits, per: Duration::from_secs(per) };
            let passes = pace.per_ms() / every * 2;
            let went: u32 =
                run(pace, std::iter::repeat_n(every, usize::try_from(passes).unwrap())).iter().map(|(_, n)| n).sum();
            assert!(went >= 2 * admits - 1 && went <= 2 * admits + admits.div_ceil(4), "{admits} per {per}: {went}");
        }
    }

    #[test]
    fn capacity_bounds_what_the_rate_allows() {
        let pace = Pace { admits: 100, per: Duration::from_secs(1) };
        let spending = Spending::starting(Timestamp::from_ms(0), pace);
        assert_eq!(spending.allows(Timestamp::from_ms(0), pace, 3), 3);
        assert_eq!(spending.allows(Timestamp::from_ms(0), pace, 0), 0);
        assert_eq!(spending.allows(Timestamp::from_ms(0), pace, 1_000), 26, "one, and a quarter of a second");
    }

    #[test]
    fn next_says_when_another_may_go() {
        let pace = Pace { admits: 10, per: Duration::from_secs(1) };
        let now = Timestamp::from_ms(1_000);
        let mut spending = Spending::starting(now, pace);
        assert_eq!(spending.next(now, pace), Duration::ZERO);
        spending.spend(now, pace, spending.allows(now, pace, u32::MAX));
        let wait = spending.next(now, pace);
        let before = Timestamp::from_ms(now.ms() + i64::try_from(wait.as_millis()).unwrap() - 1);
        let mut early = spending.clone();
        early.refill(before, pace);
        assert_eq!(early.allows(before, pace, 9), 0);
        spending.refill(now.after(wait), pace);
        assert_eq!(spending.allows(now.after(wait), pace, 9), 1);
    }

    #[test]
    fn a_long_pause_lets_no_crowd_through() {
        let pace = Pace { admits: 600, per: Duration::from_secs(60) };
        let went = run(pace, [0, 60_000, 0, 0]);
        assert_eq!(went.iter().map(|(_, n)| *n).collect::<Vec<_>>(), [3, 3]);
    }
}
