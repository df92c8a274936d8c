//! The verdict on a history: a report, or what is broken and the calls around it.

use std::fmt;

use flashsale_core::stock::{Reservation, ReserveRefusal, Reserved, Synced};

use super::search::{End, Search};
use super::witness::Witness;
use super::{Asked, Call, History, Told, excerpt, first_come};
use crate::differential::Seen;

/// Placements that may be tried per call. A history of a right gate takes about four.
const STEPS_PER_CALL: u64 = 100;
/// How many moments after its beginning a lost call is looked for first, before it is looked for everywhere.
const REACH: u64 = 4_096;
/// Placements that may be tried in any history.
const STEPS_MIN: u64 = 1_000_000;

/// What a history that passed consists of.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Report {
    /// Operations: requests of batches, and other calls.
    pub operations: u64,
    /// Calls.
    pub calls: u64,
    /// Calls whose answer was lost.
    pub lost: u64,
    /// The largest number of calls under way at once, lost ones not counted.
    pub at_once: u64,
    /// Placements that the search tried.
    pub steps: u64,
    /// Pairs of a hold and a refusal of which G6 was asked.
    pub pairs: u64,
    /// How often each answer was told.
    pub seen: Seen,
}

/// What a gate did that it must not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Broken {
    /// I15: no order of the calls explains all answers.
    Order,
    /// One number was given to two holds.
    Number,
    /// The gate's clock went back between calls that do not overlap.
    Clock,
    /// G6: somebody passed one who had been refused.
    FirstCome,
    /// The search was given up: this is no verdict, and no pass.
    Undecided,
}

/// Why a history does not pass, with the calls around it.
#[derive(Debug, Clone)]
pub struct Violation {
    broken: Broken,
    says: String,
}

impl Violation {
    pub(super) fn new(broken: Broken, says: String) -> Self {
        Self { broken, says }
    }

    /// What is broken.
    #[must_use]
    pub fn broken(&self) -> Broken {
        self.broken
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Order => "not linearizable (I15): no order of single steps explains these answers",
            Self::Number => "one number for two holds",
            Self::Clock => "the gate's clock went back",
            Self::FirstCome => "not first come, first served (G6)",
            Self::Undecided => "undecided: the search was given up, which is no pass",
        })
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.broken, self.says)
    }
}

impl std::error::Error for Violation {}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "linearizable: {} operations in {} calls, up to {} at once, {} answers lost; {} placements; G6 of {} pairs; {:?}",
            self.operations, self.calls, self.at_once, self.lost, self.steps, self.pairs, self.seen
        )
    }
}

/// Decides whether a gate was linearizable in a history, and kept G6.
///
/// # Errors
/// A [`Violation`]; also where the search takes too many steps.
pub fn check(history: &History) -> Result<Report, Violation> {
    check_within(history, STEPS_MIN + STEPS_PER_CALL * history.calls.len() as u64)
}

/// The same with a bound of one's own on the placements that may be tried.
///
/// # Errors
/// A [`Violation`]; [`Broken::Undecided`] where it takes more steps.
pub fn check_within(history: &History, steps_max: u64) -> Result<Report, Violation> {
    let mut calls: Vec<&Call> = history.calls.iter().collect();
    calls.sort_unstable_by_key(|call| call.called);
    let witness = Witness::read(history, &calls)?;
    let mut search = Search::new(history, &calls, &witness, steps_max).within(REACH);
    let mut end = search.run();
    let mut steps = search.steps();
    if let End::None(_) = end {
        search = Search::new(history, &calls, &witness, steps_max.saturating_sub(steps));
        end = search.run();
        steps += search.steps();
    }
    drop(search);
    let broken = |broken, best: &[usize]| Err(Violation::new(broken, excerpt::around(history, &calls, best, &witness)));
    let order = match end {
        End::Found(order) => order,
        End::None(best) => return broken(Broken::Order, &best),
        End::Undecided(best) => return broken(Broken::Undecided, &best),
    };
    let pairs = first_come::walk(history, &calls, &order, &witness)?;
    let mut report = Report {
        operations: calls.iter().map(|call| call.operations()).sum(),
        calls: calls.len() as u64,
        lost: calls.iter().filter(|call| call.told().is_none()).count() as u64,
        at_once: at_once(&calls),
        steps,
        pairs,
        seen: Seen::default(),
    };
    calls.iter().for_each(|call| count(call, &mut report.seen));
    Ok(report)
}

fn at_once(calls: &[&Call]) -> u64 {
    let mut edges: Vec<(u64, i64)> = Vec::new();
    for call in calls {
        if let Some((replied, _)) = call.told() {
            edges.extend([(call.called, 1), (replied, -1)]);
        }
    }
    edges.sort_unstable();
    let mut open = 0_i64;
    let most = edges.iter().map(|(_, step)| {
        open += step;
        open
    });
    most.max().unwrap_or(0).unsigned_abs()
}

fn count(call: &Call, seen: &mut Seen) {
    match (&call.asked, call.told().map(|(_, told)| told)) {
        (_, None) => {}
        (Asked::Answers(..), Some(Told::Synced(Synced::Done))) => seen.note("early answers"),
        (Asked::Sync(update), Some(Told::Synced(Synced::Done))) => {
            seen.note(if update.sealed.0 > 0 { "synced and sealed" } else { "synced" });
        }
        (_, Some(Told::Synced(_))) => seen.note("not synced"),
        (_, Some(Told::Due(due))) => {
            seen.note(if due.is_some_and(|due| due.lapsed.0 > 0) { "due" } else { "nothing due" });
        }
        (_, Some(Told::Level(_))) => seen.note("level"),
        (_, Some(Told::Reserve(Reservation::NotLoaded))) => seen.note("not loaded"),
        (_, Some(Told::Reserve(Reservation::Answers(answers)))) => {
            for answer in answers {
                seen.note(match answer {
                    Ok(Reserved::Held(_)) => "held",
                    Ok(Reserved::Done(_)) => "done",
                    Err(ReserveRefusal::Waitlist { .. }) => "waitlist",
                    Err(refusal) => refusal.code(),
                });
            }
        }
    }
}
