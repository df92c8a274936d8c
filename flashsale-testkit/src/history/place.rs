//! One call, placed at the model's present state: does the model give the answer that the gate gave?
//!
//! Owns the comparison, and the time at which a call is placed. Does not own which call is placed when, nor the way back: where the
//! answer is another, the model is left half-way and whoever searches takes it back.

use flashsale_core::Timestamp;
use flashsale_core::stock::{Due, Hold, HoldNo, Level, Reservation, Reserve, ReserveRefusal, Reserved, Synced, Update};

use super::witness::{Witness, before};
use super::{Asked, Call, Told};
use crate::model::{Loaded, ModelSale};

/// What the model would have told instead.
#[derive(Debug)]
pub(super) enum Otherwise {
    /// To this request of the batch.
    Request(usize, Result<Reserved, ReserveRefusal>),
    /// To the whole call.
    Told(Told),
    /// Something that no time of the gate explains.
    Words(String),
}

/// Places a call: the model takes the step, if it gives the same answer.
pub(super) fn place(model: &mut ModelSale, call: &Call, n: usize, witness: &Witness<'_>) -> Result<(), Otherwise> {
    match (&call.asked, call.told().map(|(_, told)| told)) {
        (Asked::Reserve(batch), Some(Told::Reserve(Reservation::Answers(answers)))) => {
            reserve(model, batch, answers, witness.times[n])
        }
        (Asked::Reserve(batch), None) => reserve_unseen(model, batch, witness, witness.times[n].0),
        (Asked::Due, Some(Told::Due(Some(told)))) => due(model, told, witness, witness.times[n]),
        (Asked::Sync(update), told) => synced(told, |_| model.sync(update)),
        (Asked::Answers(nonce, page), told) => synced(told, |_| {
            if model.nonce() != *nonce {
                return Synced::Refused;
            }
            model.note(&page.orders, &page.bought);
            Synced::Done
        }),
        (Asked::Level, Some(Told::Level(told))) => {
            let mine = model.level(told.now);
            let mut items = told.items.clone();
            items.sort_unstable();
            let told = Level { items, ..told.clone() };
            if mine == told { Ok(()) } else { Err(Otherwise::Told(Told::Level(mine))) }
        }
        // An answer that was lost, to a question that changes nothing.
        (Asked::Due | Asked::Level, None) => Ok(()),
        _ => Err(Otherwise::Words("an answer of this kind".to_owned())),
    }
}

fn synced(told: Option<&Told>, step: impl FnOnce(()) -> Synced) -> Result<(), Otherwise> {
    let mine = Told::Synced(step(()));
    if told.is_none_or(|told| *told == mine) { Ok(()) } else { Err(Otherwise::Told(mine)) }
}

/// A batch: all of it at one time of the gate.
fn reserve(
    model: &mut ModelSale,
    batch: &[Reserve],
    answers: &[Result<Reserved, ReserveRefusal>],
    (least, latest): (Timestamp, Timestamp),
) -> Result<(), Otherwise> {
    let Some(Loaded { door, .. }) = model.loaded() else { return Err(Otherwise::Told(not_loaded())) };
    if batch.len() != answers.len() {
        return Err(Otherwise::Words(format!("{} answers", batch.len())));
    }
    let next = model.next();
    let new = answers.iter().find_map(|answer| match answer {
        Ok(Reserved::Held(hold)) if hold.no >= next => Some(hold),
        _ => None,
    });
    if let Some(Hold { deadline, .. }) = new {
        // A new hold tells the time at which it was given.
        let now = before(*deadline, door.hold);
        if now < least || now > latest {
            return Err(Otherwise::Words(format!("a hold given between {least} and {latest}, not at {now}")));
        }
        return compare(model, batch, answers, now);
    }
    let mark = model.mark();
    let told = compare(model, batch, answers, least);
    for edge in [door.window.opens_at, door.window.closes_at] {
        if told.is_err() && edge > least && edge <= latest && edge < Timestamp::FAR {
            model.back_to(mark);
            if compare(model, batch, answers, edge).is_ok() {
                return Ok(());
            }
        }
    }
    told
}

fn compare(
    model: &mut ModelSale,
    batch: &[Reserve],
    answers: &[Result<Reserved, ReserveRefusal>],
    now: Timestamp,
) -> Result<(), Otherwise> {
    for (n, (request, answer)) in batch.iter().zip(answers).enumerate() {
        let mine = model.reserve(request, now);
        if mine != *answer {
            return Err(Otherwise::Request(n, mine));
        }
    }
    Ok(())
}

/// A batch whose answers were lost: numbers that others were told of must be theirs.
fn reserve_unseen(
    model: &mut ModelSale,
    batch: &[Reserve],
    witness: &Witness<'_>,
    least: Timestamp,
) -> Result<(), Otherwise> {
    let Some(Loaded { door, .. }) = model.loaded() else { return Err(Otherwise::Told(not_loaded())) };
    let mark = model.mark();
    let mut now = least.max(door.window.opens_at);
    // The first of its numbers that anybody was told of tells the time of all.
    let mut told = false;
    let mut n = 0;
    while let Some(request) = batch.get(n) {
        let next = model.next();
        let mine = model.reserve(request, now);
        n += 1;
        let Ok(Reserved::Held(hold)) = mine else { continue };
        let Some(number) = witness.numbers.get(&hold.no).filter(|_| hold.no == next) else { continue };
        if *number.id != request.id || (told && number.hold != hold) {
            return Err(Otherwise::Request(n - 1, mine));
        }
        if number.hold != hold {
            (told, now, n) = (true, before(number.hold.deadline, door.hold), 0);
            model.back_to(mark);
        }
    }
    Ok(())
}

/// `due` at some time between the two: the least that lets all lapse that is told to have lapsed.
fn due(
    model: &ModelSale,
    told: &Due,
    witness: &Witness<'_>,
    (least, latest): (Timestamp, Timestamp),
) -> Result<(), Otherwise> {
    let Some(loaded) = model.loaded() else { return Err(Otherwise::Told(Told::Due(None))) };
    let known = |hold: &Hold| witness.numbers.contains_key(&hold.no);
    let lapsed = |hold: &Hold| hold.no <= told.lapsed;
    let last = model.live().take_while(lapsed).last().map_or(HoldNo(0), |hold| hold.no);
    if told.nonce != model.nonce() || told.version != loaded.version || told.lapsed != last {
        return Err(Otherwise::Told(Told::Due(Some(Due {
            version: loaded.version,
            nonce: model.nonce(),
            lapsed: last,
        }))));
    }
    let passed = model.live().take_while(lapsed).filter(known).map(|hold| hold.deadline).max();
    let now = passed.map_or(least, |passed| passed.max(least));
    if now > latest {
        return Err(Otherwise::Words(format!("a lapse after {now}, which it was not before {latest}")));
    }
    match model.live().find(|hold| hold.no > told.lapsed) {
        Some(next) if known(&next) && next.deadline <= now => {
            let lapsed = next.no;
            Err(Otherwise::Told(Told::Due(Some(Due { lapsed, ..*told }))))
        }
        _ => Ok(()),
    }
}

fn not_loaded() -> Told {
    Told::Reserve(Reservation::NotLoaded)
}

/// Whether a call can have changed the gate: only those need to be tried at more than one place.
pub(super) fn may_change(call: &Call) -> bool {
    match (&call.asked, call.told().map(|(_, told)| told)) {
        (Asked::Due | Asked::Level, _) => false,
        (_, None) => true,
        (_, Some(Told::Synced(synced))) => *synced == Synced::Done,
        (_, Some(Told::Reserve(Reservation::Answers(answers)))) => {
            answers.iter().any(|answer| matches!(answer, Ok(Reserved::Held(_))))
        }
        (_, Some(_)) => false,
    }
}

/// Whether a lost update could have been copied now.
pub(super) fn fits(model: &ModelSale, update: &Update) -> bool {
    model.loaded().is_some_and(|loaded| loaded.version == update.from)
}
