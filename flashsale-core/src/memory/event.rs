//! [`Outbox`] and [`DeadLetters`] in memory. Facts are written by the steps that make them true.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;

use super::MemoryLedger;
use crate::error::BackendError;
use crate::event::{DeadLetter, DeadLetters, Event, Outbox, OutboxNo, Replay};
use crate::time::Timestamp;

/// The rows of the outbox: unsent ones, and sent ones as the history of their subjects.
#[derive(Debug, Clone, Default)]
pub(super) struct OutboxRows {
    last: u64,
    unsent: BTreeMap<OutboxNo, Event>,
    sent: BTreeMap<OutboxNo, Event>,
    by_id: HashMap<String, OutboxNo>,
    by_subject: BTreeMap<String, Vec<OutboxNo>>,
}

impl OutboxRows {
    /// Writes events, once per event id.
    pub(super) fn tell(&mut self, events: impl IntoIterator<Item = Event>) {
        for event in events {
            let no = OutboxNo(self.last + 1);
            if let std::collections::hash_map::Entry::Vacant(free) = self.by_id.entry(event.id()) {
                self.last = no.0;
                free.insert(no);
                self.by_subject.entry(event.subject.clone()).or_default().push(no);
                self.unsent.insert(no, event);
            }
        }
    }
}

#[async_trait]
impl Outbox for MemoryLedger {
    async fn unsent(&self, after: Option<OutboxNo>, limit: usize) -> Result<Vec<(OutboxNo, Event)>, BackendError> {
        let tables = self.tables();
        let from = OutboxNo(after.map_or(0, |no| no.0.saturating_add(1)));
        Ok(tables.outbox.unsent.range(from..).take(limit).map(|(no, event)| (*no, event.clone())).collect())
    }

    async fn sent(&self, rows: &[OutboxNo]) -> Result<(), BackendError> {
        let outbox = &mut self.tables().outbox;
        for no in rows {
            if let Some(event) = outbox.unsent.remove(no) {
                outbox.sent.insert(*no, event);
            }
        }
        Ok(())
    }

    async fn put(&self, events: &[Event]) -> Result<(), BackendError> {
        self.tables().outbox.tell(events.iter().cloned());
        Ok(())
    }

    async fn history(&self, subject: &str) -> Result<Vec<Event>, BackendError> {
        let outbox = &self.tables().outbox;
        let numbers = outbox.by_subject.get(subject).map_or(&[][..], Vec::as_slice);
        let row = |no| outbox.unsent.get(no).or_else(|| outbox.sent.get(no)).cloned();
        let mut events: Vec<Event> = numbers.iter().filter_map(row).collect();
        events.sort_by_key(|event| event.version);
        Ok(events)
    }

    async fn prune(&self, before: Timestamp, limit: usize) -> Result<usize, BackendError> {
        let outbox = &mut self.tables().outbox;
        let old = outbox.sent.iter().filter(|(_, event)| event.time < before).map(|(no, _)| *no);
        let old: Vec<OutboxNo> = old.take(limit).collect();
        for no in &old {
            let Some(event) = outbox.sent.remove(no) else { continue };
            outbox.by_id.remove(&event.id());
            if let Some(numbers) = outbox.by_subject.get_mut(&event.subject) {
                numbers.retain(|other| other != no);
            }
        }
        Ok(old.len())
    }
}

/// The letters, by consumer and event id.
#[derive(Debug, Clone, Default)]
pub(super) struct DeadRows {
    last: u64,
    letters: BTreeMap<(String, String), DeadRow>,
}

#[derive(Debug, Clone)]
struct DeadRow {
    no: u64,
    letter: DeadLetter,
    settled: Option<Replay>,
}

#[async_trait]
impl DeadLetters for MemoryLedger {
    async fn bury(&self, letters: &[DeadLetter]) -> Result<(), BackendError> {
        let dead = &mut self.tables().dead;
        for letter in letters {
            let name = (letter.consumer.clone(), letter.event.id());
            // A letter that was replayed and failed again must be seen again; any other repeat is the same letter.
            let known = dead.letters.get(&name).map(|row| &row.settled);
            if matches!(known, None | Some(Some(Replay::Replayed))) {
                dead.last += 1;
                dead.letters.insert(name, DeadRow { no: dead.last, letter: letter.clone(), settled: None });
            }
        }
        Ok(())
    }

    async fn letters(&self, limit: usize) -> Result<Vec<DeadLetter>, BackendError> {
        let tables = self.tables();
        let mut open: Vec<&DeadRow> = tables.dead.letters.values().filter(|row| row.settled.is_none()).collect();
        open.sort_unstable_by_key(|row| (row.letter.at, row.no));
        Ok(open.into_iter().take(limit).map(|row| row.letter.clone()).collect())
    }

    async fn letter(&self, consumer: &str, event: &str) -> Result<Option<(DeadLetter, Option<Replay>)>, BackendError> {
        let tables = self.tables();
        let row = tables.dead.letters.get(&(consumer.to_owned(), event.to_owned()));
        Ok(row.map(|row| (row.letter.clone(), row.settled.clone())))
    }

    async fn settle(&self, consumer: &str, event: &str, how: Replay) -> Result<Option<DeadLetter>, BackendError> {
        let dead = &mut self.tables().dead;
        let row = dead.letters.get_mut(&(consumer.to_owned(), event.to_owned()));
        Ok(row.filter(|row| row.settled.is_none()).map(|row| {
            row.settled = Some(how);
            row.letter.clone()
        }))
    }
}
