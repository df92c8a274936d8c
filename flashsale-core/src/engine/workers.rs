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

/// A kind of work beside the requests, for a process that does not do all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Work {
    /// Lets people through in the waiting rooms, and ends the turns of those who ordered.
    Admit,
    /// Carries the ledger to the gate. Every process that takes orders does it for its own.
    Follow,
    /// Brings facts from the outbox to the bus.
    Relay,
    /// Takes up facts that move orders.
    Saga,
    /// Asks the gateway for payments.
    Charge,
    /// Looks after orders whose time has come.
    Recover,
    /// Has the ledger decide what a log recorded.
    Intake,
    /// Offers what came back to those who wait.
    Offer,
    /// Keeps what members are to be told, and hands it over.
    Notices,
    /// Forgets what is old.
    Prune,
    /// Takes up facts for the handlers of [`Events::on`](crate::engine::Events::on).
    Handlers,
}

impl Work {
    /// All of it.
    pub const ALL: [Self; 11] = [
        Self::Admit,
        Self::Follow,
        Self::Relay,
        Self::Saga,
        Self::Charge,
        Self::Recover,
        Self::Intake,
        Self::Offer,
        Self::Notices,
        Self::Prune,
        Self::Handlers,
    ];

    /// What a pass of this name does.
    fn of(pass: &str) -> Option<Self> {
        Some(match pass {
            "admit" | "consume:queue" => Self::Admit,
            "follow" => Self::Follow,
            "relay" => Self::Relay,
            "consume:order" => Self::Saga,
            "charge" => Self::Charge,
            // A waitlist alone has no saga that ends offers.
            "recover" | "lapse" => Self::Recover,
            "intake" => Self::Intake,
            "offer" => Self::Offer,
            "consume:notices" | "notify" => Self::Notices,
            "prune" => Self::Prune,
            handler if handler.starts_with("consume:") => Self::Handlers,
            _ => return None,
        })
    }
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

    /// Only these kinds of work; other processes do the rest.
    ///
    /// On a bus across processes, such as Kafka, each kind must be done by at least one of them; what nobody does waits. The bus within a
    /// process has no other processes: on it, nothing is relayed before all groups have taken it up.
    #[must_use]
    pub fn only(mut self, work: &[Work]) -> Self {
        self.passes.retain(|pass| Work::of(&pass.name()).is_some_and(|of| work.contains(&of)));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FlashSale;
    use crate::payment::Scripted;

    fn names(workers: &Workers) -> Vec<String> {
        workers.passes.iter().map(|pass| pass.name()).collect()
    }

    #[test]
    fn every_pass_is_one_kind_of_work_and_all_kinds_together_are_all_passes() {
        let shop = FlashSale::in_memory(Scripted::approves());
        shop.events.on("mailer", |_| async { Ok::<(), String>(()) });
        let mut all = names(&shop.workers());
        assert_eq!(names(&shop.workers().only(&Work::ALL)), all);
        let mut one_by_one: Vec<String> =
            Work::ALL.iter().flat_map(|work| names(&shop.workers().only(&[*work]))).collect();
        all.sort_unstable();
        one_by_one.sort_unstable();
        assert_eq!(one_by_one, all);
        assert_eq!(names(&shop.workers().only(&[Work::Saga])), ["consume:order"]);
        assert_eq!(names(&shop.workers().only(&[Work::Handlers])), ["consume:mailer"]);
        assert_eq!(names(&shop.workers().only(&[])), [""; 0]);
    }
}
