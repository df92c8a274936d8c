//! What one member is told: where he stands, how long it takes, whether it is worth it.

use std::time::Duration;

use super::WaitingRoom;
use crate::id::BuyerId;
use crate::queue::{Chance, Horizon, Kind, Levels, Mode, Number, Place, Standing, Wait, refresh_after};
use crate::time::Timestamp;

/// What one who wants to go in is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entrance {
    /// He is through, with an admission that lasts as long as a turn.
    Through(Admission),
    /// He has a place, from now on.
    New(PlaceView),
    /// He had one.
    Same(PlaceView),
}

/// A turn, signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// The signed value, for [`WaitingRoom::check`](crate::WaitingRoom::check).
    pub token: String,
    /// The number of his place; zero for one who came through a closed door.
    pub number: Number,
    /// The first moment at which it is worth nothing.
    pub until: Timestamp,
    /// How often it can still be made longer.
    pub extensions_left: u8,
    /// The store's time.
    pub now: Timestamp,
}

/// A place, with all that is told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaceView {
    /// The number, and what it is worth.
    pub place: Place,
    /// How long it takes, for one who waits.
    pub wait: Wait,
    /// Whether there will be something left, if the room knows what it stands before.
    pub chance: Option<Chance>,
    /// The signed number, which brings the place back after the store lost it.
    pub ticket: String,
    /// When to ask again.
    pub refresh_after: Duration,
    /// The operator's words.
    pub message: Option<String>,
    /// The store's time.
    pub now: Timestamp,
}

impl PlaceView {
    /// How many go before him, at most; zero unless he waits.
    #[must_use]
    pub fn ahead(&self) -> u64 {
        match self.place.standing {
            Standing::Waiting { ahead } | Standing::Absent { ahead } => ahead,
            Standing::Turn(_) | Standing::Ended(_) => 0,
        }
    }
}

/// What the room knows of the wait: nothing while an operator holds it.
fn wait(ahead: u64, levels: &Levels) -> Wait {
    match levels.terms.mode {
        Mode::Hold => Wait::Unknown,
        Mode::Auto | Mode::Off => Wait::estimate(ahead, &levels.served, levels.now),
    }
}

fn chance(ahead: u64, levels: &Levels, horizon: Option<Horizon>) -> Option<Chance> {
    horizon.map(|horizon| Chance::of(ahead + u64::from(levels.turns), horizon))
}

impl WaitingRoom {
    pub(super) fn view(&self, member: &BuyerId, place: Place, levels: &Levels) -> PlaceView {
        let until = levels.now.after(levels.terms.remembers);
        let ticket = self.sign(Kind::Ticket, member, place.number, until);
        let (ahead, waits) = match place.standing {
            Standing::Waiting { ahead } | Standing::Absent { ahead } => (ahead, true),
            Standing::Turn(_) | Standing::Ended(_) => (0, false),
        };
        let wait = if waits { wait(ahead, levels) } else { Wait::Unknown };
        let dice = self.0.host.random();
        PlaceView {
            place,
            wait,
            chance: if waits { chance(ahead, levels, self.horizon()) } else { None },
            ticket,
            refresh_after: refresh_after(ahead, wait, levels.terms.absent_after, dice),
            message: levels.terms.message.clone(),
            now: levels.now,
        }
    }
}
