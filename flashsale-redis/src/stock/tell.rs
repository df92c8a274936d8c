//! Words to answers. A reply that is none of ours is [`ErrorKind::Corrupt`](flashsale_core::error::ErrorKind::Corrupt), never a refusal.

use std::str::SplitAsciiWhitespace;

use flashsale_core::error::BackendError;
use flashsale_core::id::{ContentHash, ItemId, OrderId};
use flashsale_core::stock::{
    Begun, Counted, Due, Epoch, Hold, HoldNo, Level, Nonce, OrderState, Recalled, Reservation, Reserve, ReserveRefusal,
    Reserved, Settled, Synced, Version,
};
use flashsale_core::time::Timestamp;
use redis::Value;

use crate::reply::{foreign, list, next, number, word};

pub(super) fn begun(told: &Value) -> Result<Begun, BackendError> {
    let read = || {
        let [open, nonce] = list(told)? else { return None };
        let nonce = Nonce(number(nonce)?);
        Some(if number::<u8>(open)? == 1 { Begun::Open(nonce) } else { Begun::Loading(nonce) })
    };
    read().ok_or_else(|| foreign("gate.begin", told))
}

pub(super) fn synced(operation: &'static str, told: &Value) -> Result<Synced, BackendError> {
    match told {
        Value::Int(1) => Ok(Synced::Done),
        Value::Int(0) => Ok(Synced::Refused),
        _ => Err(foreign(operation, told)),
    }
}

pub(super) fn due(told: &Value) -> Result<Option<Due>, BackendError> {
    let read = || {
        let [nonce, v, tag, lapsed] = list(told)? else { return None };
        let version = Version { v: number(v)?, tag: number(tag)? };
        Some(Due { nonce: Nonce(number(nonce)?), version, lapsed: HoldNo(number(lapsed)?) })
    };
    match list(told) {
        Some([]) => Ok(None),
        _ => read().map(Some).ok_or_else(|| foreign("gate.due", told)),
    }
}

pub(super) fn level(told: &Value) -> Result<Level, BackendError> {
    read_level(told).ok_or_else(|| foreign("gate.level", told))
}

pub(super) fn recalled(told: &Value) -> Result<Recalled, BackendError> {
    let read = || {
        let (next_part, words) = list(told)?.split_first()?;
        let mut orders = Vec::with_capacity(words.len() / 2);
        for pair in words.chunks(2) {
            let [id, answer] = pair else { return None };
            let mut answer = word(answer)?.split_ascii_whitespace();
            let v = next(&mut answer)?;
            let state = OrderState::from_code(answer.next()?)?;
            let hash = ContentHash(next(&mut answer)?);
            orders.push(Settled { id: OrderId::new(word(id)?).ok()?, hash, state, v });
        }
        Some(Recalled { orders, next: Some(number(next_part)?).filter(|next| *next != 0) })
    };
    read().ok_or_else(|| foreign("gate.recall", told))
}

fn read_level(told: &Value) -> Option<Level> {
    let values = list(told)?;
    let (now, rest) = values.split_first()?;
    let now = Timestamp::from_ms(number(now)?);
    if rest.is_empty() {
        let (epoch, next) = (Epoch(0), HoldNo(1));
        return Some(Level { now, open: false, nonce: None, epoch, version: None, holds: 0, next, items: vec![] });
    }
    let [open, nonce, epoch, v, tag, holds, next_no, items @ ..] = rest else { return None };
    let version = match word(v) {
        Some("") => None,
        _ => Some(Version { v: number(v)?, tag: number(tag)? }),
    };
    let mut shelves = Vec::with_capacity(items.len() / 2);
    for pair in items.chunks(2) {
        let [item, value] = pair else { return None };
        let mut words = word(value)?.split_ascii_whitespace();
        shelves.push((ItemId::new(word(item)?).ok()?, next(&mut words)?, next(&mut words)?));
    }
    Some(Level {
        now,
        open: number::<u8>(open)? == 1,
        nonce: Some(Nonce(number(nonce)?)),
        epoch: Epoch(number(epoch)?),
        version,
        holds: number(holds)?,
        next: HoldNo(number(next_no)?),
        items: shelves,
    })
}

pub(super) fn reservation(batch: &[Reserve], told: &Value) -> Result<Reservation, BackendError> {
    match list(told) {
        Some([]) => Ok(Reservation::NotLoaded),
        _ => answers(batch, told).map(Reservation::Answers).ok_or_else(|| foreign("gate.reserve", told)),
    }
}

/// The answers of a batch: runs of requests that are told the same.
fn answers(batch: &[Reserve], told: &Value) -> Option<Vec<Result<Reserved, ReserveRefusal>>> {
    let [epoch, deadline, runs @ ..] = list(told)? else { return None };
    let (epoch, deadline) = (Epoch(number(epoch)?), Timestamp::from_ms(number(deadline)?));
    let mut answers = Vec::with_capacity(batch.len());
    let mut left = batch;
    for run in runs.chunks(2) {
        let [count, answer] = run else { return None };
        let (these, others) = left.split_at_checked(number(count)?)?;
        left = others;
        if let Value::Int(first) = answer {
            let numbers = u64::try_from(*first).ok()?..;
            answers
                .extend(numbers.zip(these).map(|(no, _)| Ok(Reserved::Held(Hold { epoch, no: HoldNo(no), deadline }))));
        } else {
            for request in these {
                answers.push(words(request, epoch, word(answer)?)?);
            }
        }
    }
    left.is_empty().then_some(answers)
}

/// What is told in words.
fn words(request: &Reserve, epoch: Epoch, told: &str) -> Option<Result<Reserved, ReserveRefusal>> {
    let mut words = told.split_ascii_whitespace();
    let verb = words.next()?;
    let words = &mut words;
    let item = |words: &mut SplitAsciiWhitespace<'_>| Some(request.lines.get(next::<usize>(words)?)?.item.clone());
    Some(Err(match verb {
        "held" => {
            let (no, deadline) = (HoldNo(next(words)?), Timestamp::from_ms(next(words)?));
            return Some(Ok(Reserved::Held(Hold { epoch, no, deadline })));
        }
        "done" => return Some(Ok(Reserved::Done(OrderState::from_code(words.next()?)?))),
        "key_reused" => ReserveRefusal::Conflict,
        "paused" => ReserveRefusal::Paused,
        "not_open" => ReserveRefusal::NotOpen { opens_at: Timestamp::from_ms(next(words)?) },
        "closed" => ReserveRefusal::Closed,
        "unknown_item" => ReserveRefusal::UnknownItem { item: item(words)? },
        "buyer_limit" => ReserveRefusal::Limit {
            item: item(words)?,
            have: next(words)?,
            limit: next(words)?,
            by: match words.next()? {
                "bought" => Counted::Bought,
                "held" => Counted::Held,
                _ => return None,
            },
        },
        "waitlist" => ReserveRefusal::Waitlist { item: item(words)?, after: HoldNo(next(words)?) },
        "sold_out" => ReserveRefusal::SoldOut { item: item(words)?, after: HoldNo(next(words)?) },
        "all_held" => ReserveRefusal::AllHeld { item: item(words)?, after: HoldNo(next(words)?) },
        _ => return None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flashsale_core::error::ErrorKind;

    #[test]
    fn a_foreign_reply_is_never_a_refusal() {
        let replies = [
            Value::Nil,
            Value::Okay,
            Value::Int(7),
            Value::BulkString(b"sold_out".to_vec()),
            Value::Array(vec![Value::Int(1), Value::Int(2), Value::Int(3)]),
        ];
        for told in replies {
            assert_eq!(reservation(&[], &told).unwrap_err().kind(), ErrorKind::Corrupt, "{told:?}");
            assert!(begun(&told).is_err() && due(&told).is_err() && level(&told).is_err(), "{told:?}");
        }
        assert!(synced("gate.sync", &Value::Int(2)).is_err());
        // Answers for more requests than were asked.
        for count in [1, -1] {
            let told = Value::Array([1, 2, count, 3].map(Value::Int).to_vec());
            assert_eq!(reservation(&[], &told).unwrap_err().kind(), ErrorKind::Corrupt);
        }
    }
}
