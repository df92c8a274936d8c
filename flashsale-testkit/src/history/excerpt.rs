//! The calls around a violation, in order, as a person reads them.
//!
//! Owns the text. It takes the longest beginning of an order that was found, and says of each call that could come next what the
//! model would have answered.

use std::fmt::Write;

use flashsale_core::stock::{Due, Level, Reservation, ReserveRefusal, Reserved, Update};

use super::place::{Otherwise, place};
use super::witness::Witness;
use super::{Asked, Call, Caller, History, Moment, Told};

/// Calls shown before the violation.
const BEFORE: usize = 10;
/// Calls shown that could come next.
const NEXT: usize = 16;
/// Requests shown of a batch.
const REQUESTS: usize = 4;

/// Shows the end of the best order, and why nothing can follow it.
pub(super) fn around(history: &History, calls: &[&Call], best: &[usize], witness: &Witness<'_>) -> String {
    let mut model = super::search::loaded(history);
    let mut placed = vec![false; calls.len()];
    for n in best {
        let _ = place(&mut model, calls[*n], *n, witness);
        model.settle();
        placed[*n] = true;
    }
    let mut text = format!("{} of {} calls can be put in order; the last of them:\n", best.len(), calls.len());
    for n in &best[best.len().saturating_sub(BEFORE)..] {
        let _ = writeln!(text, "  {}", line(calls[*n]));
    }
    let version = model.loaded().map_or(0, |loaded| loaded.version.v);
    let _ = writeln!(text, "then the gate stands at version {version}, its next number is {}.", model.next().0);
    let _ = writeln!(text, "None of these can come next:");
    let mut horizon = Moment::MAX;
    let open = calls.iter().enumerate().filter(|(n, call)| {
        let open = !placed[*n] && call.told().is_some() && call.called < horizon;
        if open {
            horizon = horizon.min(call.over());
        }
        open
    });
    for (n, call) in open.take(NEXT) {
        let mark = model.mark();
        let otherwise = place(&mut model, call, n, witness);
        model.back_to(mark);
        let _ = writeln!(text, "  {}", line(call));
        let _ = match otherwise {
            Ok(()) => writeln!(text, "      fits, but leads nowhere"),
            Err(Otherwise::Request(at, mine)) => writeln!(text, "      {}", of_request(call, at, &mine)),
            Err(Otherwise::Told(told)) => writeln!(text, "      but the model tells: {}", answer(&told)),
            Err(Otherwise::Words(words)) => writeln!(text, "      but the model allows only {words}"),
        };
    }
    text
}

/// One call in one line.
fn line(call: &Call) -> String {
    let by = match call.by {
        Caller::Client(n) => format!("client {n}"),
        Caller::Follower => "follower".to_owned(),
        Caller::Straggler => "straggler".to_owned(),
    };
    let asked = match &call.asked {
        Asked::Reserve(batch) => format!("reserve {}", batch.len()),
        Asked::Due => "due".to_owned(),
        Asked::Sync(update) => sync(update),
        Asked::Answers(_, page) => format!("answers of {} orders", page.orders.len()),
        Asked::Level => "level".to_owned(),
    };
    match (&call.asked, call.told()) {
        (_, None) => format!("{by} [{}..] {asked}: the answer was lost", call.called),
        (Asked::Reserve(batch), Some((moment, Told::Reserve(Reservation::Answers(answers))))) => {
            let pairs = batch.iter().zip(answers).take(REQUESTS);
            let mut told: Vec<String> = pairs.map(|(ask, got)| format!("{} {}", ask.id, said(got))).collect();
            if answers.len() > REQUESTS {
                told.push(format!("and {} more", answers.len() - REQUESTS));
            }
            format!("{by} [{}..{moment}] {asked}: {}", call.called, told.join(", "))
        }
        (_, Some((moment, told))) => format!("{by} [{}..{moment}] {asked}: {}", call.called, answer(told)),
    }
}

fn sync(update: &Update) -> String {
    let items: Vec<String> = update.items.iter().map(|level| format!("{} {} free", level.item, level.free)).collect();
    format!(
        "sync {} to {}, sealed {}, {} orders, {}",
        update.from.v,
        update.to.v,
        update.sealed.0,
        update.orders.len(),
        items.join(", ")
    )
}

fn answer(told: &Told) -> String {
    match told {
        Told::Reserve(reservation) => format!("{reservation:?}"),
        Told::Due(None) => "not open".to_owned(),
        Told::Due(Some(Due { version, lapsed, .. })) => format!("version {}, lapsed {}", version.v, lapsed.0),
        Told::Synced(synced) => format!("{synced:?}").to_lowercase(),
        Told::Level(Level { version, holds, next, items, .. }) => {
            let version = version.map_or(0, |version| version.v);
            let items: Vec<String> = items.iter().map(|(item, free, held)| format!("{item} {free}-{held}")).collect();
            format!("version {version}, {holds} holds, next {}, {}", next.0, items.join(", "))
        }
    }
}

fn of_request(call: &Call, at: usize, mine: &Result<Reserved, ReserveRefusal>) -> String {
    let (Asked::Reserve(batch), mine) = (&call.asked, said(mine)) else { return String::new() };
    let lines: Vec<String> = batch[at].lines.iter().map(|line| format!("{} of {}", line.units, line.item)).collect();
    let told = match call.told() {
        Some((_, Told::Reserve(Reservation::Answers(answers)))) => said(&answers[at]),
        _ => "nothing".to_owned(),
    };
    format!("request {} ({}, {}) was told: {told}; the model tells: {mine}", at + 1, batch[at].id, lines.join(" and "))
}

fn said(answer: &Result<Reserved, ReserveRefusal>) -> String {
    match answer {
        Ok(Reserved::Held(hold)) => format!("held {} until {}", hold.no.0, hold.deadline),
        Ok(Reserved::Done(state)) => format!("done {}", state.code()),
        Err(ReserveRefusal::Limit { item, have, limit, by }) => format!("limit of {item}: {have} of {limit}, {by:?}"),
        Err(refusal) => match refusal.after() {
            Some(after) => format!("{} after {}", refusal.code(), after.0),
            None => refusal.code().to_owned(),
        },
    }
}
