//! What is said to a room's store and what it answers: numbers, places, turns, levels.
//!
//! Owns the words. The rules are beside it; the atomic steps are in `port.rs`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::BuyerId;
use crate::queue::{Arrivals, Door, EnterRefusal, Served, Terms};
use crate::time::Timestamp;

/// The number of a store's life of a room: the millisecond of its birth, so that a life after a loss has a larger one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Generation(pub u64);

/// The number of a place: in order of arrival within a generation, from 1. Older generations stand before newer ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Number {
    /// In which life of the room it was given.
    pub generation: Generation,
    /// The number. Zero is nobody's: it stands in the admission of one who came through a closed door.
    pub no: u64,
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.no.fmt(f)
    }
}

/// One who wants to go in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enter {
    /// Who.
    pub member: BuyerId,
    /// The number of his ticket, whose signature was checked. It gives the place back if the store has lost it, and is not looked at
    /// as long as the store knows the member.
    pub ticket: Option<Number>,
}

/// What one who wants to go in is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// The door is closed: he is through.
    Through,
    /// He has a place, from now on.
    New(Place),
    /// He had one.
    Same(Place),
    /// A rule of the room says no.
    Refused(EnterRefusal),
}

/// Where a member stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// His number.
    pub number: Number,
    /// What it is worth now.
    pub standing: Standing,
}

/// What a place is worth now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// In line.
    Waiting {
        /// How many go before him, at most: those who left are counted until the line has passed them.
        ahead: u64,
    },
    /// His turn came while he was away. He kept his number, and is in line again with this answer.
    Absent {
        /// How many go before him now, at most.
        ahead: u64,
    },
    /// It is his turn.
    Turn(Turn),
    /// It is over.
    Ended(Ended),
}

/// A turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// The first moment at which it is not his any more.
    pub until: Timestamp,
    /// How often it can still be made longer.
    pub extensions_left: u8,
}

/// How a place ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// He did what he came for.
    Finished,
    /// He left.
    Left,
    /// His turn went by.
    Passed,
}

impl Ended {
    /// The stable word.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Left => "left",
            Self::Passed => "turn_passed",
        }
    }
}

/// What a batch of [`RoomStore::enter`](crate::queue::RoomStore::enter) gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entered {
    /// The room after the batch.
    pub levels: Levels,
    /// One answer per request, in their order.
    pub answers: Vec<Entry>,
}

/// What a batch of questions about members gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// The room after the batch.
    pub levels: Levels,
    /// One answer per member, in their order; `None` for one whom the room does not know.
    pub places: Vec<Option<Place>>,
}

/// What one step of letting people through did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// The room after the step.
    pub levels: Levels,
    /// How many got a turn.
    pub admitted: u32,
    /// How many absentees lost theirs.
    pub skipped: u32,
    /// When the next step may do something: zero if this one met its bound, `None` if nobody waits, no turn is free, or the door admits nobody.
    pub next: Option<Duration>,
}

/// What one step of clearing away did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expired {
    /// The room after the step.
    pub levels: Levels,
    /// How many turns had gone by.
    pub lapsed: u32,
    /// How many ended places were forgotten.
    pub forgotten: u32,
}

/// A room at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Levels {
    /// The store's time.
    pub now: Timestamp,
    /// The store's life of this room.
    pub generation: Generation,
    /// Grows by one whenever the door or the terms change, from 1.
    pub edition: u64,
    /// The terms.
    pub terms: Arc<Terms>,
    /// The door.
    pub door: Door,
    /// The last number that the line has passed: let through, left, or absent.
    pub serving: u64,
    /// The last number given.
    pub issued: u64,
    /// How many are in line.
    pub waiting: u64,
    /// How many of those stand before the line: back from absence, or with a number of a line that was lost.
    pub returned: u64,
    /// How many were passed over while away and did not come back yet.
    pub absent: u64,
    /// How many have a turn.
    pub turns: u32,
    /// How many places are kept, ended ones among them.
    pub places: u64,
    /// Arrivals, by tenths of the window.
    pub arrivals: Arrivals,
    /// How fast the line moves.
    pub served: Served,
}

impl Levels {
    /// How many people go before a number that is in the line itself, at most.
    #[must_use]
    pub fn ahead_of(&self, no: u64) -> u64 {
        no.saturating_sub(self.serving).saturating_sub(1) + self.returned
    }
}

/// What an operator changes. What is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoomChange {
    /// Hold, auto or off.
    pub mode: Option<crate::queue::Mode>,
    /// How fast.
    pub pace: Option<crate::queue::Pace>,
    /// How many turns at once. What is more than a smaller number runs out.
    pub capacity: Option<u32>,
    /// What everybody is told; `Some(None)` takes it away.
    pub message: Option<Option<String>>,
}

impl RoomChange {
    /// The terms with this change.
    #[must_use]
    pub fn to(&self, terms: &Terms) -> Terms {
        Terms {
            mode: self.mode.unwrap_or(terms.mode),
            pace: self.pace.unwrap_or(terms.pace),
            capacity: self.capacity.unwrap_or(terms.capacity),
            message: self.message.clone().unwrap_or_else(|| terms.message.clone()),
            ..terms.clone()
        }
    }
}
