//! The parts of a reply, and what is said of one that is none of ours: [`ErrorKind::Corrupt`](flashsale_core::error::ErrorKind::Corrupt).

use std::str::{FromStr, SplitAsciiWhitespace};

use flashsale_core::error::BackendError;
use redis::Value;

/// A reply that no script of ours gives.
#[derive(Debug, thiserror::Error)]
#[error("the server answered what no script of ours answers: {0}")]
struct Foreign(String);

pub(crate) fn foreign(operation: &'static str, told: &Value) -> BackendError {
    let mut shown = format!("{told:?}");
    shown.truncate(shown.char_indices().nth(200).map_or(shown.len(), |(at, _)| at));
    BackendError::corrupt(operation, Foreign(shown))
}

pub(crate) fn list(value: &Value) -> Option<&[Value]> {
    match value {
        Value::Array(values) => Some(values),
        _ => None,
    }
}

pub(crate) fn word(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

/// A number, as Redis's integer or as text.
pub(crate) fn number<T: FromStr + TryFrom<i64>>(value: &Value) -> Option<T> {
    match value {
        Value::Int(number) => T::try_from(*number).ok(),
        other => word(other)?.parse().ok(),
    }
}

pub(crate) fn next<T: FromStr>(words: &mut SplitAsciiWhitespace<'_>) -> Option<T> {
    words.next()?.parse().ok()
}
