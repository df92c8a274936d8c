//! The ports of events: out of the ledger, to the bus, from the bus, and aside.

use std::fmt::Debug;

use async_trait::async_trait;

use crate::error::BackendError;
use crate::event::{DeadLetter, Event, OutboxNo, Replay};

/// The facts of one database that are not known to have left it.
///
/// Rows are written by the transactions that make them true, so this port only reads and clears. A row may become visible after
/// one with a larger number (hole 20 of the protocol): `unsent` with no `after` sees all of them.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Outbox: Debug + Send + Sync {
    /// At most `limit` unsent rows with numbers above `after`, in order of number.
    async fn unsent(&self, after: Option<OutboxNo>, limit: usize) -> Result<Vec<(OutboxNo, Event)>, BackendError>;

    /// Marks rows as sent. Only after the sink has them.
    async fn sent(&self, rows: &[OutboxNo]) -> Result<(), BackendError>;

    /// Writes facts of a role that has no transaction of its own here, once per event id.
    async fn put(&self, events: &[Event]) -> Result<(), BackendError>;

    /// The events of one subject, in order of version: an order's history.
    async fn history(&self, subject: &str) -> Result<Vec<Event>, BackendError>;

    /// Deletes at most `limit` rows that were sent and became true before `before`; tells how many.
    async fn prune(&self, before: crate::time::Timestamp, limit: usize) -> Result<usize, BackendError>;
}

/// Takes events out of the process, or to its handlers.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait EventSink: Debug + Send + Sync {
    /// Hands events over; returns when the bus has them for good. An error means: send all of them again.
    async fn publish(&self, events: &[Event]) -> Result<(), BackendError>;
}

/// Some events, as a source delivers them to one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Where the source stands after them: hand it back to [`EventSource::commit`].
    pub position: u64,
    /// The events.
    pub events: Vec<Event>,
}

/// Brings events from the bus to consumers. Each group sees every event at least once.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait EventSource: Debug + Send + Sync {
    /// Makes a group known: from now on it sees every event that is published.
    fn join(&self, group: &str);

    /// The next events of a group, at most `max`; waits until there are some.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing: what was not committed is delivered again.
    async fn poll(&self, group: &str, max: usize) -> Result<Delivery, BackendError>;

    /// Keeps the group's place. Only after the effects of everything up to `position`.
    async fn commit(&self, group: &str, position: u64) -> Result<(), BackendError>;

    /// Gives up the group's uncommitted deliveries, so that they come again.
    async fn rewind(&self, group: &str) -> Result<(), BackendError>;
}

/// Keeps the events that a consumer gave up on.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait DeadLetters: Debug + Send + Sync {
    /// Keeps letters, once per consumer and event id.
    async fn bury(&self, letters: &[DeadLetter]) -> Result<(), BackendError>;

    /// At most `limit` letters that nobody has dealt with, oldest first.
    async fn letters(&self, limit: usize) -> Result<Vec<DeadLetter>, BackendError>;

    /// One letter, whatever became of it.
    async fn letter(&self, consumer: &str, event: &str) -> Result<Option<(DeadLetter, Option<Replay>)>, BackendError>;

    /// Marks one letter as dealt with; `None` if there is no such letter or it was dealt with before. `how` is kept, with its reason.
    async fn settle(&self, consumer: &str, event: &str, how: Replay) -> Result<Option<DeadLetter>, BackendError>;
}
