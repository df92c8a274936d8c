//! Stock: units are *held* by the gate for seconds, *allocated* by the ledger for good.
//!
//! | promise | kept by |
//! |---|---|
//! | **G1** never oversell | [`decide`], inside the ledger's lock: `allocated <= total` at every commit |
//! | **G2** never lose an accepted order | [`StockLedger::accept`] answers after the commit |
//! | **G3** limits hold | [`decide`] counts what the buyer has, under the same lock |
//! | **G5** nothing leaks | a hold ends accepted or sealed, by one fact of the ledger: [`StockLedger::follow`] |
//! | **G6** first come, first served | [`StockGate::reserve`] numbers holds in order of arrival |
//! | **G7** same id, same answer | the duplicate is looked for first, in the gate and in [`decide`] |
//!
//! `available = free - held`: `free` is copied from the ledger by version, `held` is the gate's own. What is said to the two
//! stands in `gate.rs` and `ledger.rs`; the rule is in [`decide`]; the atomic steps are in [`StockGate`] and [`StockLedger`].
//! This noun imports no other.

mod decide;
mod error;
mod gate;
mod ledger;
mod lost;
mod order;
mod payment_line;
mod port;
mod retain;

use serde::{Deserialize, Serialize};

pub use decide::{Books, Decision, decide};
pub use error::{ChangeRefusal, Counted, ReserveRefusal};
pub use gate::{
    Answers, Begun, Bought, Door, Due, Hold, ItemLevel, Level, Load, Recalled, Reservation, Reserve, Reserved, Settled,
    Synced, Update,
};
pub use ledger::{
    Accept, Acceptance, Accepted, Adopted, Cancel, Cancelled, Change, Followed, ItemTotals, Then, Totals,
};
pub use lost::{Lost, Remembered};
pub use order::{Amounts, Note, NoteError, Order, OrderState, Reason};
pub use payment_line::PaymentLine;
pub use port::{Durability, StockGate, StockLedger};
#[cfg(feature = "mock")]
pub use port::{MockStockGate, MockStockLedger};
pub use retain::{forget_before, unknown_version};

/// The number of a gate's life. The ledger counts them; a hold of another epoch is never accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Epoch(pub u64);

/// The number of a hold within an epoch, from 1, in order of arrival. Zero stands before all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct HoldNo(pub u64);

/// A random word that a gate chose for itself, so that two of them are never taken for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Nonce(pub u64);

/// A version of a sale's stock: a number that grows by one with every change, and a random tag by which a ledger that
/// was put back to an older state is noticed (hole 19 of the protocol).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Version {
    /// The number.
    pub v: u64,
    /// The tag.
    pub tag: u64,
}

/// In whose name units are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Anybody: refused while somebody waits for the item.
    Public,
    /// The next on the waitlist.
    Offer,
}
