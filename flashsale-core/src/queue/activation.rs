//! When a room opens and closes: by arrivals, by schedule, by an operator.
//!
//! Owns the rule. Hysteresis: it opens above one number of arrivals and closes below a smaller one, and never while people wait.

use serde::{Deserialize, Serialize};

use crate::queue::{Mode, Phase, Tally, Terms};
use crate::time::Timestamp;

/// Arrivals, by tenths of the window.
pub type Arrivals = Tally<10>;

/// Why a room is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// More arrived than its terms allow.
    Arrivals,
    /// People may take places before the beginning.
    Schedule,
    /// An operator holds it.
    Operator,
}

impl Why {
    /// The stable word for this reason.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Arrivals => "arrivals",
            Self::Schedule => "schedule",
            Self::Operator => "operator",
        }
    }
}

/// Whether a room stands between people and what it protects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Door {
    /// Everybody is through.
    Closed,
    /// People take places.
    Open(Why),
}

impl Door {
    /// Whether people take places.
    #[must_use]
    pub fn is_open(self) -> bool {
        self != Self::Closed
    }

    /// The door as it must be now, with `arrivals` within the window and `waiting` people in line.
    ///
    /// An operator's word comes first, then the schedule. A door that is open for another reason stays open until nobody waits and fewer
    /// arrive than [`Terms::closes_below`]; whoever was held or came before the beginning is not sent away.
    #[must_use]
    pub fn settle(self, terms: &Terms, now: Timestamp, arrivals: u32, waiting: u64) -> Self {
        match (terms.mode, terms.phase(now)) {
            (Mode::Off, _) => Self::Closed,
            (Mode::Hold, _) => Self::Open(Why::Operator),
            (Mode::Auto, Phase::Prejoin) => Self::Open(Why::Schedule),
            (Mode::Auto, _) => match self {
                Self::Closed if arrivals > terms.opens_above => Self::Open(Why::Arrivals),
                // Left over from a time when the room was off.
                Self::Closed if waiting > 0 => Self::Open(Why::Arrivals),
                Self::Open(_) if waiting == 0 && arrivals < terms.closes_below => Self::Closed,
                door => door,
            },
        }
    }

    /// Whether people are let through now.
    #[must_use]
    pub fn admits(self, terms: &Terms, now: Timestamp) -> bool {
        self.is_open() && terms.mode == Mode::Auto && terms.phase(now) == Phase::Running
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::queue::Schedule;

    const NOW: Timestamp = Timestamp::from_ms(1_000_000);

    fn terms() -> Terms {
        Terms { opens_above: 10, closes_below: 4, ..Terms::default() }
    }

    #[test]
    fn it_opens_above_and_closes_below() {
        let terms = terms();
        let open = Door::Open(Why::Arrivals);
        assert_eq!(Door::Closed.settle(&terms, NOW, 10, 0), Door::Closed);
        assert_eq!(Door::Closed.settle(&terms, NOW, 11, 0), open);
        assert_eq!(open.settle(&terms, NOW, 4, 0), open, "between the two it stays as it is");
        assert_eq!(open.settle(&terms, NOW, 3, 1), open, "somebody waits");
        assert_eq!(open.settle(&terms, NOW, 3, 0), Door::Closed);
    }

    #[test]
    fn an_operator_comes_first() {
        let hold = Terms { mode: Mode::Hold, ..terms() };
        assert_eq!(Door::Closed.settle(&hold, NOW, 0, 0), Door::Open(Why::Operator));
        assert!(!Door::Open(Why::Operator).admits(&hold, NOW));
        let off = Terms { mode: Mode::Off, ..terms() };
        assert_eq!(Door::Open(Why::Arrivals).settle(&off, NOW, 99, 99), Door::Closed);
        assert_eq!(Door::Closed.settle(&terms(), NOW, 0, 99), Door::Open(Why::Arrivals), "those who wait still do");
    }

    #[test]
    fn before_the_beginning_places_are_given_and_nobody_is_let_through() {
        let opens_at = NOW.after(Duration::from_secs(60));
        let schedule = Schedule { opens_at, prejoin: Duration::from_secs(120), closes_at: Timestamp::FAR };
        let terms = Terms { schedule: Some(schedule), ..terms() };
        let door = Door::Closed.settle(&terms, NOW, 0, 0);
        assert_eq!(door, Door::Open(Why::Schedule));
        assert!(!door.admits(&terms, NOW));
        assert!(door.admits(&terms, opens_at));
        assert_eq!(door.settle(&terms, opens_at, 0, 0), Door::Closed, "nobody came early");
        assert_eq!(door.settle(&terms, opens_at, 0, 5), door);
    }
}
