//! What is measured of a line of people: who came before whom, how many went through in a second, how good what they were told was.
//!
//! Pure: no clock, no server. Owns the sums; what must be true of them is the scenario's.

use std::time::Instant;

use serde::Serialize;

/// A join that gave a new place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Joined {
    /// When it was sent.
    pub(crate) sent: Instant,
    /// When it was answered.
    pub(crate) answered: Instant,
    /// The number that it gave.
    pub(crate) number: u64,
}

/// How many joins have a smaller number than one that was answered before they were sent. Of two that were under way at the same time either may be first.
pub(crate) fn overtaken(joins: &[Joined]) -> usize {
    let (mut by_sent, mut by_answer) = (joins.to_vec(), joins.to_vec());
    by_sent.sort_by_key(|join| join.sent);
    by_answer.sort_by_key(|join| join.answered);
    let (mut answered, mut largest) = (by_answer.iter().peekable(), 0);
    let mut behind = |join: &&Joined| {
        while let Some(earlier) = answered.next_if(|earlier| earlier.answered < join.sent) {
            largest = largest.max(earlier.number);
        }
        join.number < largest
    };
    by_sent.iter().filter(|join| behind(join)).count()
}

/// The most of these moments within any span of so many milliseconds, one end included.
pub(crate) fn most_within(moments_ms: &[i64], span_ms: i64) -> usize {
    let mut sorted = moments_ms.to_vec();
    sorted.sort_unstable();
    let mut from = 0;
    let within = sorted.iter().enumerate().map(|(to, at)| {
        while at - sorted[from] >= span_ms {
            from += 1;
        }
        to - from + 1
    });
    within.max().unwrap_or(0)
}

/// The most spans, each from its first to before its last millisecond, that go on at the same time.
pub(crate) fn most_at_once(spans_ms: &[(i64, i64)]) -> usize {
    let edges = spans_ms.iter().filter(|(from, to)| from < to).flat_map(|(from, to)| [(*from, 1_i64), (*to, -1)]);
    let mut edges: Vec<(i64, i64)> = edges.collect();
    // At one moment ends come first.
    edges.sort_unstable();
    let mut going_on = 0_i64;
    let levels = edges.iter().map(|(_, change)| {
        going_on += change;
        going_on
    });
    levels.max().unwrap_or(0).unsigned_abs().try_into().unwrap_or(usize::MAX)
}

/// A wait that somebody was told, and the one that came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told {
    /// About how long, in seconds.
    pub(crate) about_s: f64,
    /// At most how long.
    pub(crate) at_most_s: f64,
    /// How long it was.
    pub(crate) came_s: f64,
}

/// How far what waiters were told was from what came.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct EstimateError {
    /// Waiters who were told a wait that had been measured.
    pub(crate) waiters: usize,
    /// The error in seconds that half of them did not exceed, and nine of ten.
    pub(crate) p50_s: f64,
    pub(crate) p90_s: f64,
    /// The same as a part of the wait that came; of waits below a second, of a second.
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    /// The part of them who did not wait longer than they were told at most: to a second, because whole ones are told.
    pub(crate) within_most: f64,
}

impl EstimateError {
    /// The errors of these; `None` if nobody was told anything.
    pub(crate) fn of(told: &[Told]) -> Option<Self> {
        let by = |error: &dyn Fn(&Told) -> f64| {
            let mut errors: Vec<f64> = told.iter().map(error).collect();
            errors.sort_by(f64::total_cmp);
            errors
        };
        let seconds = by(&|told| (told.about_s - told.came_s).abs());
        let parts = by(&|told| (told.about_s - told.came_s).abs() / told.came_s.max(1.0));
        let kept = told.iter().filter(|told| told.came_s <= told.at_most_s + 1.0).count();
        Some(Self {
            waiters: told.len(),
            p50_s: hundredth(quantile(&seconds, 50)?),
            p90_s: hundredth(quantile(&seconds, 90)?),
            p50: hundredth(quantile(&parts, 50)?),
            p90: hundredth(quantile(&parts, 90)?),
            within_most: hundredth(kept as f64 / told.len() as f64),
        })
    }
}

/// What so many percent of these do not exceed; they are in order.
fn quantile(sorted: &[f64], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

fn hundredth(figure: f64) -> f64 {
    (figure * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_number_below_one_that_was_given_before_is_seen() {
        let zero = Instant::now();
        let join = |sent, answered, number| {
            let at = |ms| zero + Duration::from_millis(ms);
            Joined { sent: at(sent), answered: at(answered), number }
        };
        assert_eq!(overtaken(&[]), 0);
        assert_eq!(overtaken(&[join(0, 5, 1), join(6, 9, 2), join(10, 12, 3)]), 0);
        // Both under way at once: either may be first.
        assert_eq!(overtaken(&[join(0, 5, 2), join(1, 6, 1)]), 0);
        assert_eq!(overtaken(&[join(0, 5, 2), join(6, 9, 1)]), 1);
        assert_eq!(overtaken(&[join(0, 5, 7), join(6, 9, 1), join(7, 9, 8), join(20, 21, 2)]), 2);
    }

    #[test]
    fn a_second_slides_and_has_one_end() {
        assert_eq!(most_within(&[], 1_000), 0);
        assert_eq!(most_within(&[5_000, 4_001, 4_000, 6_000], 1_000), 2);
        assert_eq!(most_within(&[0, 999, 1_000], 1_000), 2);
        // Three on either side of a full second: no calendar second has more than three.
        assert_eq!(most_within(&[900, 950, 999, 1_000, 1_050, 1_100], 1_000), 6);
    }

    #[test]
    fn what_ends_makes_room_for_what_begins_then() {
        assert_eq!(most_at_once(&[]), 0);
        assert_eq!(most_at_once(&[(0, 10), (10, 20), (20, 20)]), 1);
        assert_eq!(most_at_once(&[(0, 10), (9, 20), (5, 6), (30, 31)]), 2);
    }

    #[test]
    fn errors_are_those_of_the_worst_half_and_tenth() {
        assert_eq!(EstimateError::of(&[]), None);
        let told = |about_s, came_s| Told { about_s, at_most_s: about_s + 1.0, came_s };
        let exact = EstimateError::of(&[told(10.0, 10.0)]).unwrap();
        assert_eq!((exact.waiters, exact.p90_s, exact.p90, exact.within_most), (1, 0.0, 0.0, 1.0));
        // Nine are off by a tenth, one by half.
        let mut ten = vec![told(11.0, 10.0); 9];
        ten.push(told(5.0, 10.0));
        let errors = EstimateError::of(&ten).unwrap();
        assert_eq!((errors.p50_s, errors.p90_s, errors.p50, errors.p90), (1.0, 1.0, 0.1, 0.1));
        assert!((errors.within_most - 0.9).abs() < 1e-9, "the last was told 6 s at most");
        ten.push(told(5.0, 10.0));
        assert!((EstimateError::of(&ten).unwrap().p90 - 0.5).abs() < 1e-9);
        // A wait of nothing does not divide by it.
        assert!((EstimateError::of(&[told(1.0, 0.0)]).unwrap().p50 - 1.0).abs() < 1e-9);
    }
}
