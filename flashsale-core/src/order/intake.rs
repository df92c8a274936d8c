//! Intake by log: requests that a gate holds and a log keeps until the ledger has decided them, and the port of that log.
//!
//! Owns the record and the steps of the log. What becomes of a record is decided by the ledger alone, in the pass *intake*; who is
//! told what, and when, is the engine's.

use std::fmt::Debug;

use async_trait::async_trait;

use crate::error::BackendError;
use crate::id::{OrderId, SaleId};
use crate::stock::{Accept, Durability, HoldNo};
use crate::time::Timestamp;

/// A request that is held by the gate and stands in the log: weaker than *accepted*, stronger than *held*.
///
/// It has everything that the ledger needs to decide it, also where the gate that held it is gone. A claim of a coupon is one, too; an offer to
/// one on the waitlist never is: the engine makes offers itself, and asks again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The sale.
    pub sale: SaleId,
    /// What the ledger is asked, with the hold that the gate gave.
    pub accept: Accept,
    /// When it was recorded, by the clock of the node that did it.
    pub at: Timestamp,
}

impl Recorded {
    /// The name of the order that it becomes.
    #[must_use]
    pub fn id(&self) -> &OrderId {
        &self.accept.id
    }

    /// The number of its hold; `None` without a gate.
    #[must_use]
    pub fn no(&self) -> Option<HoldNo> {
        self.accept.hold.map(|(_, no)| no)
    }
}

/// Records as a log delivers them to the one who decides them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Polled {
    /// Where the log stands after them: hand it back to [`IntakeLog::commit`].
    pub position: u64,
    /// The records, those of one sale in the order in which they were appended.
    pub records: Vec<Recorded>,
}

/// A record that cannot be decided, with the reason, until a person has it decided again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// Which.
    pub record: Recorded,
    /// Why it could not be decided.
    pub reason: String,
    /// How often it was tried.
    pub tries: u32,
}

/// Keeps requests in order until the ledger has decided them. All records of a sale are in one order.
///
/// A value of this type is one process. All processes over the same log share its records as one group: a sale's records come to one
/// of them at a time, and when they move to another, those that were not committed come again.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait IntakeLog: Debug + Send + Sync {
    /// What survives what. A log that forgets makes a lie of *recorded*: wiring refuses it unless it is asked for by name.
    fn durability(&self) -> Durability;

    /// Appends records of one sale in this order; returns when the log has all of them for good.
    ///
    /// On an error some or all of them may be in the log all the same: append them again. A record that stands there twice is decided once,
    /// by its id.
    async fn append(&self, batch: &[Recorded]) -> Result<(), BackendError>;

    /// The next records for this process, at most `max`; waits until there are some.
    ///
    /// What cannot be read is set aside by the log itself, and holds nobody up.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing: what was not committed is delivered again.
    async fn poll(&self, max: usize) -> Result<Polled, BackendError>;

    /// Keeps the place behind `position`. Only after the ledger has decided, or the log has set aside, everything up to it.
    ///
    /// Of records that went to another process meanwhile nothing is kept: they come to that one.
    async fn commit(&self, position: u64) -> Result<(), BackendError>;

    /// Gives up what was delivered to this process and not committed, so that it comes again.
    async fn rewind(&self) -> Result<(), BackendError>;

    /// The next records that anybody appended, at most `max`; waits until there are some. Every process sees all that is appended while
    /// it watches, and moves no place by it.
    ///
    /// For showing what is recorded: records may be missed, and come more than once.
    async fn watch(&self, max: usize) -> Result<Vec<Recorded>, BackendError>;

    /// Puts records aside for a person to look at, so that those behind them go on; returns when they are kept.
    async fn set_aside(&self, records: &[SetAside]) -> Result<(), BackendError>;

    /// Appends records that were set aside again, at most `max`, oldest first, and tells how many. Each is taken up once; of a call that
    /// fails some may be appended twice, which is harmless.
    async fn recall(&self, max: usize) -> Result<usize, BackendError>;
}
