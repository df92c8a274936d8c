//! The terms of a room: when it opens and closes, how fast it lets people through, how long a turn lasts.
//!
//! Owns their shape and bounds; defaults have a reason. They live in the store, so that all servers go by the same ones, and can
//! be changed while people wait.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::queue::Pace;
use crate::time::Timestamp;

/// The most characters of an operator's message.
pub const MESSAGE_CHARS_MAX: usize = 280;

/// What an operator has set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Opens and closes by itself.
    #[default]
    Auto,
    /// Open, and nobody is let through: places are kept.
    Hold,
    /// Out of the way: everybody is through.
    Off,
}

impl Mode {
    /// The stable word for this mode.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Hold => "hold",
            Self::Off => "off",
        }
    }
}

/// When what is behind the room begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Schedule {
    /// From when people are let through.
    pub opens_at: Timestamp,
    /// How long before that they may take a place already.
    pub prejoin: Duration,
    /// From when nobody is let in or through any more; [`Timestamp::FAR`] for never.
    pub closes_at: Timestamp,
}

/// Where a moment lies in a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Before places are given.
    Before {
        /// From when they are.
        places_from: Timestamp,
    },
    /// Places are given, nobody is let through.
    Prejoin,
    /// People are let through.
    Running,
    /// It is over.
    Over,
}

impl Schedule {
    /// Where `now` lies.
    #[must_use]
    pub fn phase(&self, now: Timestamp) -> Phase {
        let early = i64::try_from(self.prejoin.as_millis()).unwrap_or(i64::MAX);
        let places_from = Timestamp::from_ms(self.opens_at.ms().saturating_sub(early));
        if now >= self.closes_at {
            Phase::Over
        } else if now >= self.opens_at {
            Phase::Running
        } else if now >= places_from {
            Phase::Prejoin
        } else {
            Phase::Before { places_from }
        }
    }
}

/// The terms of a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// More arrivals than this within [`Terms::within`] open the room. 0 (open from the first arrival on) to 10,000,000, default 500.
    pub opens_above: u32,
    /// The window in which arrivals are counted, in slices of a tenth. 100 ms to 1 hour, default 10 s.
    pub within: Duration,
    /// The room closes when nobody waits and fewer than this arrived within the window. At most [`Terms::opens_above`], so that it does
    /// not flicker; 0 never closes it. Default 200.
    pub closes_below: u32,
    /// How fast people are let through. Default 600 a minute.
    pub pace: Pace,
    /// The most turns at once. 1 to 1,000,000, default 300.
    pub capacity: u32,
    /// How long a turn lasts. 1 s to 1 day, default 3 minutes: an address and a payment fit in.
    pub turn: Duration,
    /// How often a turn may be made longer by as much again. At most 10, default 1.
    pub extensions: u8,
    /// Who was not seen for this long loses his turn, not his number, when it comes. 1 s to 1 day, default 5 minutes: phones sleep.
    pub absent_after: Duration,
    /// How long it is remembered that a place has ended, and how long a ticket is good for. 1 s to 30 days, default 1 day.
    pub remembers: Duration,
    /// The most places that are kept, ended ones among them. 1 to 100,000,000, default 2,000,000: a bound on memory.
    pub places_max: u64,
    /// When what is behind the room begins and ends, if that is known.
    pub schedule: Option<Schedule>,
    /// What the operator has set.
    pub mode: Mode,
    /// What the operator tells everybody who waits.
    pub message: Option<String>,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            opens_above: 500,
            within: Duration::from_secs(10),
            closes_below: 200,
            pace: Pace { admits: 600, per: Duration::from_secs(60) },
            capacity: 300,
            turn: Duration::from_secs(180),
            extensions: 1,
            absent_after: Duration::from_secs(300),
            remembers: Duration::from_secs(86_400),
            places_max: 2_000_000,
            schedule: None,
            mode: Mode::Auto,
            message: None,
        }
    }
}

/// Says why terms cannot be those of a room.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RoomTermsError {
    /// Not within the bounds.
    #[error("{name} is {value}, it must be from {least} to {most}")]
    Bound {
        /// Which of the terms.
        name: &'static str,
        /// Its value.
        value: u64,
        /// The smallest value.
        least: u64,
        /// The largest value.
        most: u64,
    },
    /// It would close before it opens.
    #[error("a room closes after it opens")]
    Schedule,
    /// The message has control characters, or too many.
    #[error("a message has at most {MESSAGE_CHARS_MAX} characters on one line")]
    Message,
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Terms {
    /// Checks the bounds.
    ///
    /// # Errors
    /// [`RoomTermsError`] for the first of the terms that is out of them.
    pub fn check(&self) -> Result<(), RoomTermsError> {
        let day = 86_400_000;
        let bounds = [
            ("opens_above", u64::from(self.opens_above), 0, 10_000_000),
            ("within in ms", ms(self.within), 100, 3_600_000),
            ("closes_below", u64::from(self.closes_below), 0, u64::from(self.opens_above)),
            ("admits", u64::from(self.pace.admits), 1, 1_000_000),
            ("per in ms", ms(self.pace.per), 1_000, 3_600_000),
            ("capacity", u64::from(self.capacity), 1, 1_000_000),
            ("turn in ms", ms(self.turn), 1_000, day),
            ("extensions", u64::from(self.extensions), 0, 10),
            ("absent_after in ms", ms(self.absent_after), 1_000, day),
            ("remembers in ms", ms(self.remembers), 1_000, 30 * day),
            ("places_max", self.places_max, 1, 100_000_000),
        ];
        for (name, value, least, most) in bounds {
            if !(least..=most).contains(&value) {
                return Err(RoomTermsError::Bound { name, value, least, most });
            }
        }
        if self.schedule.is_some_and(|schedule| schedule.closes_at <= schedule.opens_at) {
            return Err(RoomTermsError::Schedule);
        }
        match &self.message {
            Some(text) if text.chars().count() > MESSAGE_CHARS_MAX || text.contains(char::is_control) => {
                Err(RoomTermsError::Message)
            }
            _ => Ok(()),
        }
    }

    /// The length of a slice in which arrivals are counted.
    #[must_use]
    pub fn slice(&self) -> Duration {
        self.within / 10
    }

    /// Where `now` lies; a room without a schedule is always running.
    #[must_use]
    pub fn phase(&self, now: Timestamp) -> Phase {
        self.schedule.map_or(Phase::Running, |schedule| schedule.phase(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_within_their_bounds() {
        assert_eq!(Terms::default().check(), Ok(()));
    }

    #[test]
    fn what_is_out_of_bounds_is_named() {
        let named = |terms: Terms| match terms.check() {
            Err(RoomTermsError::Bound { name, .. }) => name,
            other => panic!("{other:?}"),
        };
        assert_eq!(named(Terms { closes_below: 501, ..Terms::default() }), "closes_below");
        assert_eq!(named(Terms { capacity: 0, ..Terms::default() }), "capacity");
        let long = Terms { message: Some("x".repeat(281)), ..Terms::default() };
        assert_eq!(long.check(), Err(RoomTermsError::Message));
        let lines = Terms { message: Some("a\nb".into()), ..Terms::default() };
        assert_eq!(lines.check(), Err(RoomTermsError::Message));
    }

    #[test]
    fn a_schedule_has_four_phases() {
        let at = Timestamp::from_ms;
        let schedule = Schedule { opens_at: at(1_000), prejoin: Duration::from_millis(100), closes_at: at(2_000) };
        assert_eq!(schedule.phase(at(899)), Phase::Before { places_from: at(900) });
        assert_eq!(schedule.phase(at(900)), Phase::Prejoin);
        assert_eq!(schedule.phase(at(1_000)), Phase::Running);
        assert_eq!(schedule.phase(at(2_000)), Phase::Over);
    }
}
