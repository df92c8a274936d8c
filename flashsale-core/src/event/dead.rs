//! Dead letters: events that a consumer could not take up, kept with the reason until a person replays or discards them.

use serde::{Deserialize, Serialize};

use crate::event::Event;
use crate::time::Timestamp;

/// An event that a consumer gave up on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Which consumer.
    pub consumer: String,
    /// Why it gave up.
    pub reason: String,
    /// How often it tried.
    pub tries: u32,
    /// When it gave up.
    pub at: Timestamp,
    /// The event, with its id as it was.
    pub event: Event,
}

/// What became of a dead letter that a person looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Replay {
    /// It goes through the same consumer again, under the same id.
    Replayed,
    /// It is kept, marked, and never replayed.
    Discarded,
}
