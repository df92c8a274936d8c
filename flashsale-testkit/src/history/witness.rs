//! What the answers of a history say by themselves: whose each number is, and which times the gate may have had.
//!
//! Owns what can be read without a search. Does not own the order of calls.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use flashsale_core::stock::{Hold, HoldNo, Reservation, Reserved};
use flashsale_core::{OrderId, Timestamp};

use super::check::{Broken, Violation};
use super::{Asked, Call, History, Moment, Told};

/// What the answers say.
#[derive(Debug)]
pub(super) struct Witness<'a> {
    /// Each number that was told, and the hold that it is.
    pub(super) numbers: HashMap<HoldNo, Number<'a>>,
    /// The batches whose answer was lost, by the ids in them.
    pub(super) lost: HashMap<&'a OrderId, Vec<usize>>,
    /// Per call, the largest number that can have been given before it: what its refusals and levels name.
    pub(super) given: Vec<HoldNo>,
    /// The largest number that any answer tells or names.
    pub(super) last: HoldNo,
    /// Per call, the least and the latest time that the gate may have had.
    pub(super) times: Vec<(Timestamp, Timestamp)>,
}

/// A hold as it was told, and the calls around it.
#[derive(Debug)]
pub(super) struct Number<'a> {
    pub(super) id: &'a OrderId,
    pub(super) hold: Hold,
    /// The least moment at which it had been told.
    told: Moment,
    /// The least moment at which it had been asked for.
    asked: Moment,
}

/// A time of the gate's clock, read between two moments.
#[derive(Debug, Clone, Copy)]
struct Reading {
    after: Moment,
    before: Moment,
    time: Timestamp,
}

impl<'a> Witness<'a> {
    /// Reads the answers of calls that are in order of beginning.
    pub(super) fn read(history: &'a History, calls: &[&'a Call]) -> Result<Self, Violation> {
        let mut witness = Self {
            numbers: HashMap::new(),
            lost: HashMap::new(),
            given: Vec::new(),
            last: HoldNo(0),
            times: Vec::new(),
        };
        for (n, call) in calls.iter().enumerate() {
            match (&call.asked, call.told()) {
                (Asked::Reserve(batch), Some((moment, Told::Reserve(Reservation::Answers(answers))))) => {
                    for (request, answer) in batch.iter().zip(answers) {
                        if let Ok(Reserved::Held(hold)) = answer {
                            witness.note(&request.id, *hold, call.called, moment)?;
                        }
                    }
                }
                (Asked::Reserve(batch), None) => {
                    for request in batch {
                        let lost = witness.lost.entry(&request.id).or_default();
                        if lost.last() != Some(&n) {
                            lost.push(n);
                        }
                    }
                }
                _ => {}
            }
        }
        witness.given = calls.iter().map(|call| named(call).min().unwrap_or(HoldNo(u64::MAX))).collect();
        let named = calls.iter().flat_map(|call| named(call));
        witness.last = named.chain(witness.numbers.keys().copied()).max().unwrap_or_default();
        let readings = witness.readings(history, calls);
        witness.times = times(calls, &readings)?;
        Ok(witness)
    }

    fn note(&mut self, id: &'a OrderId, hold: Hold, asked: Moment, told: Moment) -> Result<(), Violation> {
        match self.numbers.entry(hold.no) {
            Entry::Vacant(place) => _ = place.insert(Number { id, hold, told, asked }),
            Entry::Occupied(mut place) => {
                let number = place.get_mut();
                if number.id != id || number.hold != hold {
                    let says = format!(
                        "number {}: {} was told it until {}, and {id} until {}",
                        hold.no.0, number.id, number.hold.deadline, hold.deadline
                    );
                    return Err(Violation::new(Broken::Number, says));
                }
                number.told = number.told.min(told);
                number.asked = number.asked.min(asked);
            }
        }
        Ok(())
    }

    /// Every time of the gate's clock that is known, and between which moments it was read.
    fn readings(&self, history: &History, calls: &[&Call]) -> Vec<Reading> {
        let mut readings = Vec::new();
        let mut wait = Some(history.load.door.hold);
        for call in calls {
            match (&call.asked, call.told()) {
                (Asked::Level, Some((before, Told::Level(level)))) => {
                    readings.push(Reading { after: call.called, before, time: level.now });
                }
                // Where holds are not of one length, a deadline does not say when it was given.
                (Asked::Sync(update), _) => wait = wait.filter(|wait| *wait == update.door.hold),
                _ => {}
            }
        }
        if let Some(wait) = wait {
            for number in self.numbers.values() {
                // It may have been given to a call that was never answered.
                let lost = self.lost.get(number.id).and_then(|lost| lost.first()).map(|n| calls[*n].called);
                let after = lost.map_or(number.asked, |lost| lost.min(number.asked));
                let time = before(number.hold.deadline, wait);
                readings.push(Reading { after, before: number.told, time });
            }
        }
        readings
    }
}

/// The last numbers given, where refusals and levels name them.
fn named(call: &Call) -> impl Iterator<Item = HoldNo> {
    let level = match call.told() {
        Some((_, Told::Level(level))) => Some(HoldNo(level.next.0.saturating_sub(1))),
        _ => None,
    };
    let answers = match call.told() {
        Some((_, Told::Reserve(Reservation::Answers(answers)))) => answers.as_slice(),
        _ => &[],
    };
    level.into_iter().chain(answers.iter().filter_map(|answer| answer.as_ref().err()?.after()))
}

/// The time so long before another.
pub(super) fn before(time: Timestamp, wait: std::time::Duration) -> Timestamp {
    Timestamp::from_ms(time.ms() - i64::try_from(wait.as_millis()).unwrap_or(i64::MAX))
}

/// Per call, the latest time that was read before it began, and the least that was read after it had ended.
fn times(calls: &[&Call], readings: &[Reading]) -> Result<Vec<(Timestamp, Timestamp)>, Violation> {
    let mut past = readings.to_vec();
    past.sort_unstable_by_key(|reading| reading.before);
    for n in 1..past.len() {
        past[n].time = past[n].time.max(past[n - 1].time);
    }
    let mut coming = readings.to_vec();
    coming.sort_unstable_by_key(|reading| reading.after);
    for n in (1..coming.len()).rev() {
        coming[n - 1].time = coming[n - 1].time.min(coming[n].time);
    }
    let least = |began: Moment| {
        let n = past.partition_point(|reading| reading.before < began);
        n.checked_sub(1).map_or(Timestamp::from_ms(0), |n| past[n].time)
    };
    let latest = |ended: Moment| {
        let n = coming.partition_point(|reading| reading.after <= ended);
        coming.get(n).map_or(Timestamp::FAR, |reading| reading.time)
    };
    if let Some(reading) = readings.iter().find(|reading| reading.time < least(reading.after)) {
        let says = format!(
            "it showed {} between moments {} and {}, after it had shown {}",
            reading.time,
            reading.after,
            reading.before,
            least(reading.after)
        );
        return Err(Violation::new(Broken::Clock, says));
    }
    Ok(calls.iter().map(|call| (least(call.called), latest(call.over()))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Caller, Reply};

    fn call(called: Moment, replied: Moment) -> Call {
        let reply = Reply::Told(replied, Told::Due(None));
        Call { by: Caller::Follower, called, asked: Asked::Due, reply }
    }

    fn reading(after: Moment, before: Moment, ms: i64) -> Reading {
        Reading { after, before, time: Timestamp::from_ms(ms) }
    }

    #[test]
    fn a_call_has_a_time_between_those_read_before_and_after_it() {
        let (a, b) = (call(10, 20), call(15, 40));
        let readings = [reading(0, 5, 100), reading(2, 12, 150), reading(25, 30, 200), reading(41, 50, 300)];
        let between = |from, to| (Timestamp::from_ms(from), Timestamp::from_ms(to));
        assert_eq!(times(&[&a, &b], &readings).unwrap(), [between(100, 200), between(150, 300)]);
    }

    #[test]
    fn a_clock_that_goes_back_is_a_violation() {
        let error = times(&[], &[reading(0, 5, 100), reading(6, 9, 99)]).unwrap_err();
        assert_eq!(error.broken(), Broken::Clock);
        assert!(times(&[], &[reading(0, 5, 100), reading(4, 9, 99)]).is_ok(), "calls that overlap have no order");
    }
}
