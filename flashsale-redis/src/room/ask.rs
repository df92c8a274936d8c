//! Requests to words: the arguments of each script, in the order that its head states.

use std::fmt::Write;
use std::time::Duration;

use flashsale_core::id::BuyerId;
use flashsale_core::queue::{Enter, Number, Pace, RoomChange, Spending, Terms};
use flashsale_core::time::Timestamp;
use redis::Cmd;

/// The largest number that Lua counts with exactly. A ticket above it was never given.
const NUMBER_MAX: u64 = (1 << 53) - 1;

pub(super) fn time(command: &mut Cmd, time: &str) {
    command.arg(time);
}

pub(super) fn open(command: &mut Cmd, time: &str, terms: &Terms) {
    let set = format!("{} {} {}", terms.mode.code(), pace(terms.pace), terms.capacity);
    command.arg(time).arg(text(terms)).arg(set).arg(message(terms.message.as_deref()));
}

pub(super) fn change(command: &mut Cmd, time: &str, change: &RoomChange) {
    command.arg(time).arg(change.mode.map_or("", |mode| mode.code())).arg(change.pace.map_or_else(String::new, pace));
    command.arg(change.capacity.map_or_else(String::new, |capacity| capacity.to_string()));
    command.arg(change.message.as_ref().map_or_else(String::new, |told| message(told.as_deref())));
}

pub(super) fn enter(command: &mut Cmd, time: &str, batch: &[Enter]) {
    command.arg(time).arg(batch.len());
    for enter in batch {
        command.arg(enter.member.as_str());
    }
    for (at, enter) in batch.iter().enumerate() {
        if let Some(Number { generation, no }) = enter.ticket.filter(|number| number.no <= NUMBER_MAX) {
            command.arg(at + 1).arg(generation.0).arg(no);
        }
    }
}

pub(super) fn members(command: &mut Cmd, time: &str, members: &[BuyerId]) {
    command.arg(time);
    for member in members {
        command.arg(member.as_str());
    }
}

pub(super) fn admit(command: &mut Cmd, time: &str, most: usize, grants: usize) {
    command.arg(time).arg(most).arg(grants);
}

pub(super) fn expire(command: &mut Cmd, time: &str, most: usize) {
    command.arg(time).arg(most);
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The pace, and what follows from it by the rules: the most that can be saved, and the most in a second.
fn pace(pace: Pace) -> String {
    let saved = Spending::starting(Timestamp::from_ms(0), pace).credit;
    format!("{} {} {saved} {}", pace.admits, ms(pace.per), pace.most_in_a_second())
}

fn message(told: Option<&str>) -> String {
    told.map_or_else(|| "-".to_owned(), |told| format!("+{told}"))
}

/// What does not change as long as the room lives.
fn text(terms: &Terms) -> String {
    let mut text = format!(
        "{} {} {} {} {} {} {} {}",
        terms.opens_above,
        ms(terms.within),
        terms.closes_below,
        ms(terms.turn),
        terms.extensions,
        ms(terms.absent_after),
        ms(terms.remembers),
        terms.places_max
    );
    if let Some(schedule) = terms.schedule {
        let prejoin = ms(schedule.prejoin);
        let early = i64::try_from(prejoin).unwrap_or(i64::MAX);
        let places_from = Timestamp::from_ms(schedule.opens_at.ms().saturating_sub(early));
        let (opens_at, closes_at) = (schedule.opens_at.ms(), schedule.closes_at.ms());
        write!(text, " {} {opens_at} {prejoin} {closes_at}", places_from.ms()).expect("a string takes all");
    }
    text
}
