//! What everybody may know of a room: the same for all who listen.

use crate::queue::{Chance, Door, Horizon, Levels, Mode, per_minute};
use crate::time::Timestamp;

/// A room, as it is told to everybody. Who knows his number computes his own place: `number - serving - 1 + returned`, at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tick {
    /// The store's time of it; also its id.
    pub at: Timestamp,
    /// Whether people take places.
    pub door: Door,
    /// What the operator has set.
    pub mode: Mode,
    /// The last number that the line has passed.
    pub serving: u64,
    /// The last number given.
    pub issued: u64,
    /// How many stand before the line.
    pub returned: u64,
    /// How many are in line.
    pub waiting: u64,
    /// How many have a turn.
    pub turns: u32,
    /// How many places the line passes in a minute; `None` until it is measured.
    pub per_minute: Option<u64>,
    /// What is left behind the room, if that is known.
    pub left: Option<u64>,
    /// Up to which number the chance is [`Chance::Likely`], if that is known.
    pub chance_until: Option<u64>,
    /// The chance of one at the very front, if that is known.
    pub chance: Option<Chance>,
    /// The operator's words.
    pub message: Option<String>,
}

impl Tick {
    pub(super) fn of(levels: &Levels, horizon: Option<Horizon>) -> Self {
        let inside = u64::from(levels.turns) + levels.returned;
        let rate = match levels.terms.mode {
            Mode::Hold => None,
            Mode::Auto | Mode::Off => per_minute(&levels.served, levels.now),
        };
        Self {
            at: levels.now,
            door: levels.door,
            mode: levels.terms.mode,
            serving: levels.serving,
            issued: levels.issued,
            returned: levels.returned,
            waiting: levels.waiting,
            turns: levels.turns,
            per_minute: rate,
            left: horizon.map(|horizon| horizon.left),
            chance_until: horizon.map(|horizon| horizon.likely_until(levels.serving, inside)),
            chance: horizon.map(|horizon| Chance::of(u64::from(levels.turns), horizon)),
            message: levels.terms.message.clone(),
        }
    }

    /// Whether it differs from the last one, but for its time, and comes at least a second after it.
    pub(super) fn is_news(&self, last: &Self) -> bool {
        let changed = *self != Self { at: self.at, ..last.clone() };
        changed && self.at.since(last.at).as_millis() >= 1_000
    }
}
