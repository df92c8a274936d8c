//! [`IntakeLog`] within one process: what it keeps is gone with the process. For tests, simulations and a first look.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::Notify;

use crate::error::BackendError;
use crate::order::{IntakeLog, Polled, Recorded, SetAside};
use crate::stock::Durability;

/// The most records that wait to be decided; more are told to come again.
const RECORDS_MAX: usize = 65_536;
/// The most records that are set aside; the pass waits where there are more.
const ASIDE_MAX: usize = 10_000;

/// A log in memory, of one partition. A clone is the same process, [`MemoryIntakeLog::another`] is another process over the same log.
///
/// One process has all records at a time: the first that polls, until its last clone is dropped or [`MemoryIntakeLog::rebalance`] says so.
#[derive(Debug, Clone)]
pub struct MemoryIntakeLog(Arc<Process>);

#[derive(Debug)]
struct Process {
    number: u64,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    log: Mutex<Log>,
    /// Woken when records were added, or somebody left.
    moved: Notify,
}

#[derive(Debug, Default)]
struct Log {
    processes: u64,
    /// The place of the first of `records`.
    base: u64,
    records: VecDeque<Recorded>,
    committed: u64,
    delivered: u64,
    /// Who is delivered to.
    owner: Option<u64>,
    /// Up to where each process has watched.
    watched: BTreeMap<u64, u64>,
    aside: VecDeque<SetAside>,
}

impl Log {
    fn end(&self) -> u64 {
        self.base + self.records.len() as u64
    }

    /// At most `max` records from a place on, and the place behind them.
    fn from(&self, place: u64, max: usize) -> (Vec<Recorded>, u64) {
        let place = place.max(self.base);
        let skip = usize::try_from(place - self.base).unwrap_or(usize::MAX);
        let records: Vec<Recorded> = self.records.iter().skip(skip).take(max).cloned().collect();
        let behind = place + records.len() as u64;
        (records, behind)
    }

    fn release(&mut self) {
        self.owner = None;
        self.delivered = self.committed;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut log = self.shared.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.watched.remove(&self.number);
        if log.owner == Some(self.number) {
            log.release();
        }
        drop(log);
        self.shared.moved.notify_waiters();
    }
}

impl Default for MemoryIntakeLog {
    fn default() -> Self {
        Self::over(Arc::default())
    }
}

impl MemoryIntakeLog {
    fn over(shared: Arc<Shared>) -> Self {
        let mut log = shared.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.processes += 1;
        let (number, end) = (log.processes, log.end());
        log.watched.insert(number, end);
        drop(log);
        Self(Arc::new(Process { number, shared }))
    }

    /// Another process over the same log.
    #[must_use]
    pub fn another(&self) -> Self {
        Self::over(self.0.shared.clone())
    }

    /// Takes the records from whoever has them; the next that polls gets them, from the last place that was committed.
    pub fn rebalance(&self) {
        self.log().release();
        self.0.shared.moved.notify_waiters();
    }

    /// How many records were not committed, and how many are set aside: for audits of tests.
    #[must_use]
    pub fn left(&self) -> (u64, usize) {
        let log = self.log();
        (log.end() - log.committed, log.aside.len())
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.0.shared.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `look` finds something.
    async fn wait<T>(&self, mut look: impl FnMut(&mut Log) -> Option<T> + Send) -> T {
        loop {
            let moved = self.0.shared.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            let found = look(&mut self.log());
            if let Some(found) = found {
                return found;
            }
            moved.await;
        }
    }
}

#[async_trait]
impl IntakeLog for MemoryIntakeLog {
    fn durability(&self) -> Durability {
        Durability::Volatile
    }

    async fn append(&self, batch: &[Recorded]) -> Result<(), BackendError> {
        {
            let mut log = self.log();
            if log.records.len() + batch.len() > RECORDS_MAX {
                return Err(BackendError::unavailable("intake.append", "too many records wait to be decided"));
            }
            log.records.extend(batch.iter().cloned());
        }
        self.0.shared.moved.notify_waiters();
        Ok(())
    }

    async fn poll(&self, max: usize) -> Result<Polled, BackendError> {
        let me = self.0.number;
        let next = |log: &mut Log| {
            if *log.owner.get_or_insert(me) != me {
                return None;
            }
            let (records, position) = log.from(log.delivered, max);
            log.delivered = position;
            (!records.is_empty()).then_some(Polled { position, records })
        };
        Ok(self.wait(next).await)
    }

    async fn commit(&self, position: u64) -> Result<(), BackendError> {
        let mut log = self.log();
        if log.owner == Some(self.0.number) {
            log.committed = log.committed.max(position.min(log.end()));
            while log.base < log.committed && log.records.pop_front().is_some() {
                log.base += 1;
            }
        }
        Ok(())
    }

    async fn rewind(&self) -> Result<(), BackendError> {
        let mut log = self.log();
        if log.owner == Some(self.0.number) {
            log.delivered = log.committed;
        }
        Ok(())
    }

    async fn watch(&self, max: usize) -> Result<Vec<Recorded>, BackendError> {
        let me = self.0.number;
        let next = |log: &mut Log| {
            let (records, behind) = log.from(log.watched.get(&me).copied().unwrap_or(0), max);
            log.watched.insert(me, behind);
            (!records.is_empty()).then_some(records)
        };
        Ok(self.wait(next).await)
    }

    async fn set_aside(&self, records: &[SetAside]) -> Result<(), BackendError> {
        let mut log = self.log();
        if log.aside.len() + records.len() > ASIDE_MAX {
            return Err(BackendError::unavailable("intake.set_aside", "too many records are set aside"));
        }
        log.aside.extend(records.iter().cloned());
        Ok(())
    }

    async fn recall(&self, max: usize) -> Result<usize, BackendError> {
        let recalled = {
            let mut log = self.log();
            let count = max.min(log.aside.len());
            let again: Vec<Recorded> = log.aside.drain(..count).map(|aside| aside.record).collect();
            log.records.extend(again);
            count
        };
        self.0.shared.moved.notify_waiters();
        Ok(recalled)
    }
}
