//! Refusals of the room, in precedence order, each with a stable code.

use std::time::Duration;

use crate::queue::{Ended, Place, RoomTermsError};
use crate::time::Timestamp;

/// Why the room lets nobody in, in precedence order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnterRefusal {
    /// Places are given later.
    #[error("places are given from {places_from}")]
    TooEarly {
        /// From when.
        places_from: Timestamp,
    },
    /// What is behind the room is over.
    #[error("it is over")]
    Over,
    /// The room keeps as many places as it may.
    #[error("the room is full")]
    Full,
}

impl EnterRefusal {
    /// The stable word for this refusal.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooEarly { .. } => "too_early",
            Self::Over => "closed",
            Self::Full => "room_full",
        }
    }

    /// When trying again may help, counted from `now`.
    #[must_use]
    pub fn retry_after(&self, now: Timestamp) -> Option<Duration> {
        match self {
            Self::TooEarly { places_from } => Some(places_from.since(now)),
            Self::Over => None,
            Self::Full => Some(Duration::from_secs(30)),
        }
    }
}

/// Why there is no turn for a member, in precedence order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TurnRefusal {
    /// The room does not know him.
    #[error("you have no place in this room")]
    NoPlace,
    /// It is not his turn yet.
    #[error("it is not your turn yet")]
    NotYet(Place),
    /// His turn went by.
    #[error("your turn went by")]
    TurnPassed,
    /// He did what he came for, or left.
    #[error("you are done here")]
    Done(Ended),
    /// The turn was made longer as often as it may be.
    #[error("a turn cannot be made longer again")]
    NoneLeft,
}

impl TurnRefusal {
    /// The stable word for this refusal.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoPlace => "no_place",
            Self::NotYet(_) => "not_yet",
            Self::TurnPassed => "turn_passed",
            Self::Done(_) => "finished",
            Self::NoneLeft => "none_left",
        }
    }
}

/// Why a room's terms do not become what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RoomRefusal {
    /// There is no such room.
    #[error("there is no such room")]
    UnknownRoom,
    /// The terms are out of bounds.
    #[error(transparent)]
    Terms(#[from] RoomTermsError),
}

impl RoomRefusal {
    /// The stable word for this refusal.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownRoom => "unknown_room",
            Self::Terms(_) => "room_terms",
        }
    }
}

/// Why a signed value is worth nothing here, in precedence order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TokenRefusal {
    /// It is not such a value, or was signed with another key, or changed.
    #[error("this is not a value that we signed")]
    Forged,
    /// It is for another room, or another member.
    #[error("this was given to somebody else, or for something else")]
    Foreign,
    /// Its time is over.
    #[error("its time is over")]
    Expired,
    /// What it allows was done.
    #[error("it was used")]
    Used,
}

impl TokenRefusal {
    /// The stable word for this refusal.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Forged => "admission_forged",
            Self::Foreign => "admission_foreign",
            Self::Expired => "admission_expired",
            Self::Used => "admission_used",
        }
    }
}
