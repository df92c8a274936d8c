//! Events within one process: a short log in memory whose publisher waits until every group has committed.
//!
//! Because [`EventSink::publish`] returns only then, an outbox row is cleared after its effects, and a crash loses nothing: the
//! rows are relayed again. It is the same path as over a broker, so splitting a service off changes no meaning.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::Notify;

use crate::error::BackendError;
use crate::event::{Delivery, Event, EventSink, EventSource};

/// The in-process bus: sink and source in one. A clone is the same bus.
#[derive(Debug, Clone, Default)]
pub struct InProcess(Arc<Bus>);

#[derive(Debug, Default)]
struct Bus {
    log: Mutex<Log>,
    /// Woken when events were added, or a group committed.
    moved: Notify,
}

#[derive(Debug, Default)]
struct Log {
    /// The position of the first entry of `events`.
    base: u64,
    events: VecDeque<Event>,
    groups: BTreeMap<String, Group>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Group {
    delivered: u64,
    committed: u64,
}

impl Log {
    fn end(&self) -> u64 {
        self.base + self.events.len() as u64
    }

    /// Forgets what every group has committed.
    fn trim(&mut self) {
        let done = self.groups.values().map(|g| g.committed).min().unwrap_or(self.end());
        while self.base < done && self.events.pop_front().is_some() {
            self.base += 1;
        }
    }
}

impl InProcess {
    /// A bus to which these groups listen. A publisher waits for each of them.
    #[must_use]
    pub fn with_groups<'a>(groups: impl IntoIterator<Item = &'a str>) -> Self {
        let bus = Self::default();
        for group in groups {
            bus.join(group);
        }
        bus
    }

    fn log(&self) -> std::sync::MutexGuard<'_, Log> {
        self.0.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl EventSink for InProcess {
    async fn publish(&self, events: &[Event]) -> Result<(), BackendError> {
        let upto = {
            let mut log = self.log();
            log.events.extend(events.iter().cloned());
            let end = log.end();
            log.trim();
            end
        };
        self.0.moved.notify_waiters();
        loop {
            let moved = self.0.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            if self.log().groups.values().all(|group| group.committed >= upto) {
                return Ok(());
            }
            moved.await;
        }
    }
}

#[async_trait]
impl EventSource for InProcess {
    fn join(&self, group: &str) {
        let mut log = self.log();
        let end = log.end();
        log.groups.entry(group.to_owned()).or_insert(Group { delivered: end, committed: end });
    }

    async fn poll(&self, group: &str, max: usize) -> Result<Delivery, BackendError> {
        loop {
            let moved = self.0.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            {
                let mut log = self.log();
                let Some(at) = log.groups.get(group).copied() else {
                    return Err(BackendError::new(
                        crate::error::ErrorKind::Misconfigured,
                        "source.poll",
                        format!("no group {group} joined this bus"),
                    ));
                };
                let from = usize::try_from(at.delivered.saturating_sub(log.base)).unwrap_or(usize::MAX);
                let events: Vec<Event> = log.events.iter().skip(from).take(max).cloned().collect();
                if !events.is_empty() {
                    let position = log.base + (from + events.len()) as u64;
                    log.groups.insert(group.to_owned(), Group { delivered: position, ..at });
                    return Ok(Delivery { position, events });
                }
            }
            moved.await;
        }
    }

    async fn commit(&self, group: &str, position: u64) -> Result<(), BackendError> {
        {
            let mut log = self.log();
            if let Some(at) = log.groups.get_mut(group) {
                at.committed = at.committed.max(position);
            }
            log.trim();
        }
        self.0.moved.notify_waiters();
        Ok(())
    }

    async fn rewind(&self, group: &str) -> Result<(), BackendError> {
        {
            let mut log = self.log();
            if let Some(at) = log.groups.get_mut(group) {
                at.delivered = at.committed;
            }
        }
        self.0.moved.notify_waiters();
        Ok(())
    }
}
