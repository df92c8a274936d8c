//! Words to answers. A reply that is none of ours is [`ErrorKind::Corrupt`](flashsale_core::error::ErrorKind::Corrupt), never a refusal.

use std::str::SplitAsciiWhitespace;
use std::sync::Arc;
use std::time::Duration;

use flashsale_core::error::BackendError;
use flashsale_core::queue::{
    Admitted, Door, Ended, EnterRefusal, Entered, Entry, Expired, Generation, Levels, Mode, Number, Pace, Phase, Place,
    Places, SERVED_SLICE, Schedule, Standing, Tally, Terms, Turn, Why,
};
use flashsale_core::time::Timestamp;
use redis::Value;

use crate::reply::{foreign, list, next, number, word};

/// Reads what stands behind the levels; `None` if there is no such room.
fn told<T>(
    operation: &'static str,
    told: &Value,
    read: impl FnOnce(Levels, &[Value]) -> Option<T>,
) -> Result<Option<T>, BackendError> {
    match list(told) {
        Some([]) => Ok(None),
        Some(values) => read_levels(values)
            .and_then(|(levels, rest)| read(levels, rest))
            .map(Some)
            .ok_or_else(|| foreign(operation, told)),
        None => Err(foreign(operation, told)),
    }
}

pub(super) fn opened(operation: &'static str, reply: &Value) -> Result<Levels, BackendError> {
    levels(operation, reply)?.ok_or_else(|| foreign(operation, reply))
}

pub(super) fn levels(operation: &'static str, reply: &Value) -> Result<Option<Levels>, BackendError> {
    told(operation, reply, |levels, rest| rest.is_empty().then_some(levels))
}

pub(super) fn places(operation: &'static str, asked: usize, reply: &Value) -> Result<Option<Places>, BackendError> {
    told(operation, reply, |levels, rest| {
        let place = |value: &Value| match value {
            Value::Nil => Some(None),
            other => read_place(&mut word(other)?.split_ascii_whitespace(), &levels).map(Some),
        };
        let places: Option<Vec<_>> = rest.iter().map(place).collect();
        Some(Places { places: places.filter(|places| places.len() == asked)?, levels })
    })
}

pub(super) fn admitted(operation: &'static str, reply: &Value) -> Result<Option<Admitted>, BackendError> {
    told(operation, reply, |levels, rest| {
        let [admitted, skipped, next] = rest else { return None };
        let next = match word(next)? {
            "" => None,
            ms => Some(Duration::from_millis(ms.parse().ok()?)),
        };
        Some(Admitted { levels, admitted: number(admitted)?, skipped: number(skipped)?, next })
    })
}

pub(super) fn expired(operation: &'static str, reply: &Value) -> Result<Option<Expired>, BackendError> {
    told(operation, reply, |levels, rest| {
        let [lapsed, forgotten] = rest else { return None };
        Some(Expired { levels, lapsed: number(lapsed)?, forgotten: number(forgotten)? })
    })
}

pub(super) fn entered(operation: &'static str, asked: usize, reply: &Value) -> Result<Option<Entered>, BackendError> {
    told(operation, reply, |levels, rest| {
        let answers = read_entries(asked, &levels, rest)?;
        Some(Entered { levels, answers })
    })
}

/// The answers of a batch: runs of members who are told the same, or have numbers that follow each other.
fn read_entries(asked: usize, levels: &Levels, runs: &[Value]) -> Option<Vec<Entry>> {
    let mut answers = Vec::with_capacity(asked);
    for run in runs.chunks(2) {
        let [count, answer] = run else { return None };
        let count: usize = number(count)?;
        if count > asked - answers.len() {
            return None;
        }
        let mut words = word(answer)?.split_ascii_whitespace();
        let words = &mut words;
        let same = match words.next()? {
            "new" => {
                let (first, early): (u64, u64) = (next(words)?, next(words)?);
                for no in (first..).take(count) {
                    answers.push(Entry::New(in_line(no, early, levels)?));
                }
                continue;
            }
            "first" => Entry::New(read_place(words, levels)?),
            "same" => Entry::Same(read_place(words, levels)?),
            "through" => Entry::Through,
            "too_early" => match levels.terms.phase(levels.now) {
                Phase::Before { places_from } => Entry::Refused(EnterRefusal::TooEarly { places_from }),
                Phase::Prejoin | Phase::Running | Phase::Over => return None,
            },
            "closed" => Entry::Refused(EnterRefusal::Over),
            "room_full" => Entry::Refused(EnterRefusal::Full),
            _ => return None,
        };
        answers.extend(std::iter::repeat_n(same, count));
    }
    (answers.len() == asked).then_some(answers)
}

fn in_line(no: u64, early: u64, levels: &Levels) -> Option<Place> {
    let ahead = no.checked_sub(levels.serving)?.checked_sub(1)? + early;
    Some(Place { number: Number { generation: levels.generation, no }, standing: Standing::Waiting { ahead } })
}

/// A place, as `room_members.lua` tells it.
fn read_place(words: &mut SplitAsciiWhitespace<'_>, levels: &Levels) -> Option<Place> {
    let (state, no) = (words.next()?, next(words)?);
    if state == "L" {
        return in_line(no, next(words)?, levels);
    }
    let generation = match words.next()? {
        "-" => levels.generation,
        older => Generation(older.parse().ok()?),
    };
    let standing = match state {
        "E" => Standing::Waiting { ahead: next(words)? },
        "A" => Standing::Absent { ahead: next(words)? },
        "T" => Standing::Turn(Turn { until: moment(words)?, extensions_left: next(words)? }),
        "F" => Standing::Ended(Ended::Finished),
        "G" => Standing::Ended(Ended::Left),
        "P" => Standing::Ended(Ended::Passed),
        _ => return None,
    };
    Some(Place { number: Number { generation, no }, standing })
}

fn moment(words: &mut SplitAsciiWhitespace<'_>) -> Option<Timestamp> {
    next(words).map(Timestamp::from_ms)
}

fn millis(words: &mut SplitAsciiWhitespace<'_>) -> Option<Duration> {
    next(words).map(Duration::from_millis)
}

/// How the room stands, and what is told after that.
fn read_levels(values: &[Value]) -> Option<(Levels, &[Value])> {
    let [now, terms, set, message, state, arrivals, served, rest @ ..] = values else { return None };
    let terms = read_terms(word(terms)?, word(set)?, word(message)?)?;
    let mut words = word(state)?.split_ascii_whitespace();
    let words = &mut words;
    let door = match words.next()? {
        "closed" => Door::Closed,
        why => Door::Open([Why::Arrivals, Why::Schedule, Why::Operator].into_iter().find(|known| known.code() == why)?),
    };
    let (edition, generation) = (next(words)?, Generation(next(words)?));
    let (serving, issued) = (next(words)?, next(words)?);
    let (line, early, absent): (u64, u64, u64) = (next(words)?, next(words)?, next(words)?);
    let (turns, ended): (u32, u64) = (next(words)?, next(words)?);
    let levels = Levels {
        now: Timestamp::from_ms(number(now)?),
        generation,
        edition,
        door,
        serving,
        issued,
        waiting: line + early,
        returned: early,
        absent,
        turns,
        places: line + early + absent + u64::from(turns) + ended,
        arrivals: read_tally(terms.slice(), word(arrivals)?)?,
        served: read_tally(SERVED_SLICE, word(served)?)?,
        terms: Arc::new(terms),
    };
    Some((levels, rest))
}

fn read_tally<const N: usize>(slice: Duration, text: &str) -> Option<Tally<N>> {
    let mut words = text.split_ascii_whitespace();
    let newest = next(&mut words)?;
    let counts: Option<Vec<u32>> = words.map(|word| word.parse().ok()).collect();
    Some(Tally::of(slice, newest, &counts?))
}

fn read_terms(terms: &str, set: &str, message: &str) -> Option<Terms> {
    let (mut terms, mut set) = (terms.split_ascii_whitespace(), set.split_ascii_whitespace());
    let (terms, set) = (&mut terms, &mut set);
    let mode = set.next()?;
    let mode = [Mode::Auto, Mode::Hold, Mode::Off].into_iter().find(|known| known.code() == mode)?;
    let pace = Pace { admits: next(set)?, per: millis(set)? };
    // What follows from the pace is for the scripts.
    let [_saved, _in_a_second]: [u64; 2] = [next(set)?, next(set)?];
    let capacity = next(set)?;
    Some(Terms {
        opens_above: next(terms)?,
        within: millis(terms)?,
        closes_below: next(terms)?,
        turn: millis(terms)?,
        extensions: next(terms)?,
        absent_after: millis(terms)?,
        remembers: millis(terms)?,
        places_max: next(terms)?,
        schedule: match terms.next() {
            None => None,
            Some(_places_from) => {
                Some(Schedule { opens_at: moment(terms)?, prejoin: millis(terms)?, closes_at: moment(terms)? })
            }
        },
        pace,
        capacity,
        mode,
        message: match message.split_at_checked(1)? {
            ("+", text) => Some(text.to_owned()),
            ("-", "") => None,
            _ => return None,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use flashsale_core::error::ErrorKind;

    fn reply(rest: &[&str]) -> Value {
        let levels = [
            "1800000000000",
            "500 10000 200 180000 1 300000 86400000 2000000 1799999999000 1800000000000 1000 253402207200000",
            "auto 600 60000 210000 10 300",
            "+soon",
            "arrivals 2 1799999990000 3 9 4 2 1 5 6 2",
            "1799999999 0 0 0 0 0 0 0 0 1 7",
            "359999999 0 0 0 0 0 0 0 0 0 0 0 0 3",
        ];
        Value::Array(levels.iter().chain(rest).map(|word| Value::BulkString(word.as_bytes().to_vec())).collect())
    }

    #[test]
    fn levels_are_read_as_they_were_kept() {
        let levels = levels("room.levels", &reply(&[])).unwrap().unwrap();
        let schedule = Schedule {
            opens_at: Timestamp::from_ms(1_800_000_000_000),
            prejoin: Duration::from_secs(1),
            closes_at: Timestamp::FAR,
        };
        let message = Some("soon".to_owned());
        assert_eq!(*levels.terms, Terms { schedule: Some(schedule), message, ..Terms::default() });
        assert_eq!((levels.waiting, levels.returned, levels.absent), (6, 2, 1));
        assert_eq!((levels.turns, levels.places, levels.serving, levels.issued), (5, 18, 3, 9));
        assert_eq!(levels.arrivals.sum(levels.now), 8);
        assert_eq!(levels.served.sum(levels.now), 3);
    }

    #[test]
    fn a_foreign_reply_is_never_a_refusal() {
        let replies = [
            Value::Nil,
            Value::Okay,
            Value::Int(7),
            Value::BulkString(b"room_full".to_vec()),
            Value::Array(vec![Value::Int(1), Value::Int(2), Value::Int(3)]),
            reply(&["2", "through"]),
            reply(&["1", "new 3 0"]),
            reply(&["1", "too_early"]),
            reply(&["1", "same X 4 -"]),
        ];
        for told in replies {
            assert_eq!(entered("room.enter", 1, &told).unwrap_err().kind(), ErrorKind::Corrupt, "{told:?}");
            assert!(places("room.place", 2, &told).is_err() && levels("room.levels", &told).is_err(), "{told:?}");
            assert!(admitted("room.admit", &told).is_err() && expired("room.expire", &told).is_err(), "{told:?}");
        }
        assert!(opened("room.open", &Value::Array(vec![])).is_err(), "an opened room is there");
        assert_eq!(levels("room.levels", &Value::Array(vec![])).unwrap(), None);
    }
}
