//! The two authorities over units: the gate, which decides fast and may forget, and the ledger, which decides last.
//!
//! Every method is one atomic step of the backend, for a whole batch. No method has a default body: a backend that lacks one
//! does not compile. The steps are those of the protocol, section 1.4; a rule here has a test of the same name in the testkit.

use std::fmt::Debug;

use async_trait::async_trait;

use crate::error::BackendError;
use crate::id::{Key, OrderId, SaleId};
use crate::sale::Sale;
use crate::stock::{
    Accept, Accepted, Adopted, Answers, Begun, Cancel, Cancelled, Change, ChangeRefusal, Due, Epoch, Followed, HoldNo,
    Level, Load, Nonce, Recalled, Reservation, Reserve, Synced, Totals, Update, Version,
};
use crate::time::Timestamp;

/// Holds units for seconds, in order of arrival. Fast; may forget everything at any moment.
///
/// A backend keeps, per sale: `free`, `limit`, `waiting` per item and `done`, `got` per order and buyer, all *copied* from the
/// ledger; and its own live holds. Invariants, at every step:
///
/// - `available = free - held`, where `held` is the sum of the live holds;
/// - no live hold has a number at or below `sealed`; numbers are given in order of arrival, from 1;
/// - no live hold belongs to an order in `done` once the version that listed it is copied.
///
/// Time is the backend's own clock.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait StockGate: Debug + Send + Sync {
    /// Makes the gate ready to be loaded, unless it is loaded or being loaded.
    ///
    /// A gate that knows nothing, or that was restarted since it was loaded, is wiped and takes `nonce`.
    /// Otherwise nothing changes and its own nonce is told.
    async fn begin(&self, sale: &SaleId, nonce: Nonce) -> Result<Begun, BackendError>;

    /// Wipes the gate if it still has this nonce, so that a new one can begin. For a gate that was superseded.
    async fn forget(&self, sale: &SaleId, nonce: Nonce) -> Result<(), BackendError>;

    /// Copies a page of answers into a gate with this nonce; only a newer `v` overwrites. Live holds stay.
    async fn answers(&self, sale: &SaleId, nonce: Nonce, page: &Answers) -> Result<Synced, BackendError>;

    /// Opens a gate that still has the load's nonce and is not open: sets everything, the next number is 1.
    async fn load(&self, sale: &SaleId, load: &Load) -> Result<Synced, BackendError>;

    /// Holds units, or refuses, for each request in the order of the batch.
    ///
    /// The first that applies: an id in `done` or in a live hold (same hash: that answer, other hash: `Conflict`), paused,
    /// outside the window, unknown item, limit (`got + held + units`), waitlist, stock (`free - held`). All lines are taken, or none.
    /// A refusal leaves no trace.
    async fn reserve(&self, sale: &SaleId, batch: &[Reserve]) -> Result<Reservation, BackendError>;

    /// Tells where the gate stands and which holds may lapse; `None` if it is not open.
    async fn due(&self, sale: &SaleId) -> Result<Option<Due>, BackendError>;

    /// Copies an update, if the gate is open, has its nonce (where it names one) and stands at its `from`.
    ///
    /// Drops the holds of the listed orders, of every order in `done` that was decided at or before `to`, and every hold up to
    /// `sealed`; sets levels, door and version. An answer that was written early by a page of a later version keeps its hold: `free`
    /// does not know it yet.
    async fn sync(&self, sale: &SaleId, update: &Update) -> Result<Synced, BackendError>;

    /// Shows levels and the gate's time.
    async fn level(&self, sale: &SaleId) -> Result<Level, BackendError>;

    /// Tells decided orders that the gate remembers, a part at a time, in no order; one may come twice. The first part is at 0.
    ///
    /// For the time after a loss of the ledger, so it asks nothing: whatever is there is told, also by a gate that is not open.
    async fn recall(&self, sale: &SaleId, cursor: u64) -> Result<Recalled, BackendError>;
}

/// The durable truth about units. One row per sale is locked first by every transaction that moves them.
///
/// *Durable* means: when a method returns, what it decided survives whatever [`StockLedger::durability`] says it survives.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait StockLedger: Debug + Send + Sync {
    /// What survives what.
    fn durability(&self) -> Durability;

    /// Writes down the terms of a new sale, as version 1.
    ///
    /// The same terms again change nothing. Other terms under a known id are refused with `Conflict`; terms change by
    /// [`StockLedger::change`]. Terms that [`Sale::check`] refuses are [`ErrorKind::Data`](crate::error::ErrorKind::Data).
    async fn open(&self, sale: &Sale) -> Result<Result<(), ChangeRefusal>, BackendError>;

    /// The names of all sales, in order of name.
    async fn sales(&self) -> Result<Vec<SaleId>, BackendError>;

    /// Levels and terms, or `None` if there is no such sale. One read, without the lock.
    async fn totals(&self, sale: &SaleId) -> Result<Option<Totals>, BackendError>;

    /// Makes the gate with this nonce the sale's gate, if the ledger's epoch is still `epoch`.
    ///
    /// The same nonce again gets the same answer. From this commit on no hold of an earlier gate is accepted.
    async fn adopt(&self, sale: &SaleId, nonce: Nonce, epoch: Epoch) -> Result<Adopted, BackendError>;

    /// A page of at most `limit` decided orders of the sale, in order of id, after `after`.
    async fn answers<'a>(
        &self,
        sale: &SaleId,
        after: Option<&'a OrderId>,
        limit: usize,
    ) -> Result<Answers, BackendError>;

    /// Decides orders for good: one transaction, one lock, a number of statements that does not depend on the batch.
    ///
    /// All orders are of `sale`. The rule is [`decide`](crate::stock::decide()). What it accepts or refuses is recorded with its facts; a
    /// batch that records nothing is rolled back. Repeating a batch after an unknown outcome is safe.
    async fn accept(&self, sale: &SaleId, batch: &[Accept]) -> Result<Accepted, BackendError>;

    /// Ends orders that nobody pays for, and fences ids that were never decided.
    async fn cancel(&self, sale: &SaleId, batch: &[Cancel]) -> Result<(Vec<Cancelled>, Option<Update>), BackendError>;

    /// Seals holds up to `lapsed` and tells the gate with this nonce what changed since `version`.
    ///
    /// `Current` only if the gate stands at the ledger's version and names no lapsed hold: one read, no lock. A hold that is sealed
    /// already is told again, for the answer that told it may have been lost.
    async fn follow(
        &self,
        sale: &SaleId,
        nonce: Nonce,
        version: Version,
        lapsed: HoldNo,
    ) -> Result<Followed, BackendError>;

    /// Changes terms, once per `id`. The same change again changes nothing.
    async fn change(
        &self,
        sale: &SaleId,
        id: &Key,
        change: &Change,
    ) -> Result<Result<Option<Update>, ChangeRefusal>, BackendError>;

    /// Forgets at most `limit` of the sale's versions made before `before`, oldest first; tells how many.
    ///
    /// The rule is [`forget_before`](crate::stock::forget_before): the newest stays. Orders stay, too: an id that was decided is decided for
    /// ever. A gate that stands at a version that was forgotten is told [`Followed::Superseded`], and begins anew.
    async fn forget(&self, sale: &SaleId, before: Timestamp, limit: usize) -> Result<usize, BackendError>;
}

/// What a store's answers survive. Wiring refuses a volatile ledger unless it is asked for by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// Nothing: gone with the process.
    Volatile,
    /// A crash of the process and of the machine, not the loss of its disk.
    Crash,
}
