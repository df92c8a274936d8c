//! Dead letters: events that a consumer could not take up, kept with the reason until a person replays or discards them.

use std::fmt;
use std::str::FromStr;

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

impl DeadLetter {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> LetterName {
        LetterName { consumer: self.consumer.clone(), event: self.event.id() }
    }
}

/// Which letter: there is one per consumer and event. As a text `consumer/event`, so the name of a consumer has no slash.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LetterName {
    /// Which consumer.
    pub consumer: String,
    /// The id of the event.
    pub event: String,
}

/// Says that a text is not the name of a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the name of a dead letter is CONSUMER/EVENT")]
pub struct LetterNameError;

impl FromStr for LetterName {
    type Err = LetterNameError;

    fn from_str(text: &str) -> Result<Self, LetterNameError> {
        match text.split_once('/') {
            Some((consumer, event)) if !consumer.is_empty() && !event.is_empty() => {
                Ok(Self { consumer: consumer.to_owned(), event: event.to_owned() })
            }
            _ => Err(LetterNameError),
        }
    }
}

impl fmt::Display for LetterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.consumer, self.event)
    }
}

/// What became of a dead letter that a person looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Replay {
    /// It went through the same consumer again, under the same id.
    Replayed,
    /// It is kept, marked, and never replayed; for this reason.
    Discarded(Why),
}

/// Why a person discards a letter: one line of 1 to [`Why::CHARS_MAX`] characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Why(String);

/// Says that a text is no reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a reason is one line of 1 to {max} characters", max = Why::CHARS_MAX)]
pub struct WhyError;

impl Why {
    /// The bound: what a person writes in one line.
    pub const CHARS_MAX: usize = 200;

    /// Checks and takes the text, without blanks around it.
    ///
    /// # Errors
    /// [`WhyError`].
    pub fn new(text: &str) -> Result<Self, WhyError> {
        let text = text.trim();
        let fits = !text.is_empty() && text.chars().count() <= Self::CHARS_MAX && !text.chars().any(char::is_control);
        if fits { Ok(Self(text.to_owned())) } else { Err(WhyError) }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Why {
    type Error = WhyError;

    fn try_from(text: String) -> Result<Self, WhyError> {
        Self::new(&text)
    }
}

impl From<Why> for String {
    fn from(why: Why) -> Self {
        why.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_back_as_it_was_written() {
        let name = LetterName { consumer: "order".into(), event: "drop:1/shoe/3/stock.opened".into() };
        assert_eq!(name.to_string().parse(), Ok(name));
        for bad in ["", "order", "/x", "order/"] {
            assert_eq!(bad.parse::<LetterName>(), Err(LetterNameError), "{bad}");
        }
    }

    #[test]
    fn a_reason_is_one_line_of_a_persons_words() {
        assert_eq!(Why::new("  twice billed ").unwrap().as_str(), "twice billed");
        assert!(Why::new(&"ü".repeat(Why::CHARS_MAX)).is_ok());
        for bad in ["", "  ", "two\nlines", "\u{0}", &"x".repeat(Why::CHARS_MAX + 1)] {
            assert_eq!(Why::new(bad), Err(WhyError), "{bad:?}");
        }
    }
}
