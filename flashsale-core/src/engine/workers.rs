//! The workers: passes that the embedder runs as one future. The library spawns none behind his back.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{self, Either};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::watch;

use crate::engine::host::Host;
use crate::time::Timestamp;

/// Work that goes on beside the requests.
#[async_trait]
pub(crate) trait Pass: Send + Sync {
    /// Its name in reports.
    fn name(&self) -> String;
    /// Works until told to stop; finishes what it has begun.
    async fn run(&self, stop: Stop, board: Board);
}

/// Passes that are run as one future.
pub struct Workers {
    host: Arc<dyn Host>,
    passes: Vec<Box<dyn Pass>>,
    board: Board,
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.passes.iter().map(|pass| pass.name())).finish()
    }
}

impl Workers {
    pub(crate) fn new(host: Arc<dyn Host>) -> Self {
        Self { host, passes: Vec::new(), board: Board::default() }
    }

    pub(crate) fn with(mut self, pass: impl Pass + 'static) -> Self {
        self.passes.push(Box::new(pass));
        self
    }

    pub(crate) fn on_board(mut self, board: &Board) -> Self {
        self.board = board.clone();
        self
    }

    /// These passes and those of another entry type.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.passes.extend(other.passes);
        self
    }

    /// Runs all passes until `stop` ends; each finishes what it has begun.
    ///
    /// # Cancel safety
    /// Dropping the future tears no transaction; what was not done is done by the next run.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) {
        let (tell, told) = watch::channel(Told::GoOn);
        let mut passes: FuturesUnordered<_> = self
            .passes
            .iter()
            .map(|pass| pass.run(Stop { told: told.clone(), host: self.host.clone() }, self.board.clone()))
            .collect();
        let all = async { while passes.next().await.is_some() {} };
        let stop = std::pin::pin!(stop);
        let all = std::pin::pin!(all);
        if let Either::Left((_, all)) = future::select(stop, all).await {
            let _ = tell.send(Told::Stop);
            all.await;
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    GoOn,
    Stop,
}

/// Tells a pass when to stop.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    told: watch::Receiver<Told>,
    host: Arc<dyn Host>,
}

impl Stop {
    pub(crate) fn asked(&self) -> bool {
        *self.told.borrow() == Told::Stop
    }

    /// Ends when the pass should stop.
    pub(crate) async fn wanted(&self) {
        let mut told = self.told.clone();
        // An error means that the workers are gone, which is a stop as well.
        let _ = told.wait_for(|told| *told == Told::Stop).await;
    }

    /// Waits; ends early when the pass should stop.
    pub(crate) async fn rest(&self, wait: Duration) {
        let wanted = std::pin::pin!(self.wanted());
        future::select(wanted, self.host.sleep(wait)).await;
    }

    /// The value of a future, or `None` if the pass should stop first.
    pub(crate) async fn unless<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let wanted = std::pin::pin!(self.wanted());
        let work = std::pin::pin!(work);
        match future::select(wanted, work).await {
            Either::Left(_) => None,
            Either::Right((value, _)) => Some(value),
        }
    }
}

/// What a pass last did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassReport {
    /// How often it ran.
    pub runs: u64,
    /// How many things it moved: orders, events, payments.
    pub moved: u64,
    /// How often it failed.
    pub failures: u64,
    /// When it last ran.
    pub last_run: Timestamp,
    /// Why it last failed.
    pub last_error: Option<String>,
}

/// Where passes report: name to report. A clone is the same board.
#[derive(Debug, Clone, Default)]
pub(crate) struct Board(Arc<Mutex<BTreeMap<String, PassReport>>>);

impl Board {
    /// Writes down what one run did.
    pub(crate) fn report(&self, name: &str, now: Timestamp, ran: Result<u64, String>) {
        let mut board = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !board.contains_key(name) {
            let new = PassReport { runs: 0, moved: 0, failures: 0, last_run: now, last_error: None };
            board.insert(name.to_owned(), new);
        }
        let Some(report) = board.get_mut(name) else { return };
        report.runs += 1;
        report.last_run = now;
        match ran {
            Ok(moved) => report.moved += moved,
            Err(why) => {
                tracing::warn!(pass = name, %why, "a pass failed; it will try again");
                report.failures += 1;
                report.last_error = Some(why);
            }
        }
    }

    pub(crate) fn all(&self) -> BTreeMap<String, PassReport> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
