//! What many clients asked a gate at once, what they were told, and whether one order of single steps explains it all.
//!
//! [`record`] runs clients and followers against a gate and writes every call down; [`check`] decides whether the gate was
//! *linearizable*: whether the calls can be put into one order, each between its beginning and its end, in which the sequential
//! model of the gate gives the very same answers (invariant I15 of the protocol). Over that order it checks G6 by its formula.
//!
//! ```
//! use std::sync::Arc;
//! use flashsale_core::memory::MemoryStockGate;
//! use flashsale_testkit::history;
//!
//! let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build()?;
//! let gate = Arc::new(MemoryStockGate::new(Arc::new(history::TickingClock::every(8))));
//! let plan = history::Plan::of(2_000);
//! let history = runtime.block_on(history::record(gate, &plan, 7))?;
//! let report = history::check(&history)?;
//! assert!(report.operations >= 2_000, "{report}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! **What is compared.** Every answer, whole: numbers, deadlines, `after`, what a buyer has, levels, versions. A batch is one step.
//!
//! **Order in time.** One counter of the process is read before each call and after each answer. A call that was answered before
//! another was made comes first; calls that overlap have no order. A call whose answer was lost may have happened at any later
//! moment, or never; where it is known when it was over, not after that.
//!
//! **The gate's time** is not the checker's. Deadlines tell at which time of the gate a hold was given, and `level` tells its time; from
//! these points each call gets the least and the latest time that the gate may have had, on the one assumption that its clock
//! does not go back between calls that do not overlap (that it does is a violation of its own). So `due` may name a hold only if
//! its deadline *can* have passed, and must name it if it *must* have passed. A hold that nobody was ever told of has no known
//! deadline and lapses when it likes. A batch without a hold is tried at each side of the window's edges that are in reach.
//!
//! **Within one epoch.** A gate that is lost in the middle answers `NotLoaded`, and that is a violation here: each life of a gate is a
//! history of its own.

mod check;
mod clock;
mod excerpt;
mod first_come;
mod follower;
mod place;
mod plan;
mod record;
mod search;
mod witness;

use std::sync::Arc;

use flashsale_core::SaleId;
use flashsale_core::stock::{Answers, Due, Level, Load, Nonce, Reservation, Reserve, Synced, Update};

pub use check::{Broken, Report, Violation, check, check_within};
pub use clock::TickingClock;
pub use plan::Plan;
pub use record::record;

/// The calls of one life of a gate, from the moment it was loaded.
#[derive(Debug, Clone)]
pub struct History {
    /// Of which sale.
    pub sale: SaleId,
    /// What the gate was opened with, before any of the calls.
    pub load: Load,
    /// The calls, in any order. No two of their moments are the same.
    pub calls: Vec<Call>,
}

/// One call of a method of the gate.
#[derive(Debug, Clone)]
pub struct Call {
    /// Who called.
    pub by: Caller,
    /// The moment before the call.
    pub called: Moment,
    /// What was asked.
    pub asked: Asked,
    /// What came of it.
    pub reply: Reply,
}

/// What came of a call.
#[derive(Debug, Clone)]
pub enum Reply {
    /// It was told this; the moment is the one after.
    Told(Moment, Told),
    /// The answer was lost: it happened once, or never. If it is known to have been over by a moment, not after that; else at any
    /// later time.
    Lost(Option<Moment>),
}

/// A reading of the one counter of a recording: a later reading is a larger number.
pub type Moment = u64;

/// Who made a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Caller {
    /// One of the clients, by number.
    Client(usize),
    /// Plays the ledger, and carries its versions to the gate.
    Follower,
    /// Carries the same versions too, late.
    Straggler,
}

/// What a gate was asked.
#[derive(Debug, Clone)]
pub enum Asked {
    /// [`StockGate::reserve`](flashsale_core::stock::StockGate::reserve).
    Reserve(Vec<Reserve>),
    /// [`StockGate::due`](flashsale_core::stock::StockGate::due).
    Due,
    /// [`StockGate::sync`](flashsale_core::stock::StockGate::sync).
    Sync(Arc<Update>),
    /// [`StockGate::answers`](flashsale_core::stock::StockGate::answers).
    Answers(Nonce, Arc<Answers>),
    /// [`StockGate::level`](flashsale_core::stock::StockGate::level).
    Level,
}

/// What a gate told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// To [`Asked::Reserve`].
    Reserve(Reservation),
    /// To [`Asked::Due`].
    Due(Option<Due>),
    /// To [`Asked::Sync`] and [`Asked::Answers`].
    Synced(Synced),
    /// To [`Asked::Level`].
    Level(Level),
}

impl Call {
    /// What it was told, and the moment after.
    fn told(&self) -> Option<(Moment, &Told)> {
        match &self.reply {
            Reply::Told(moment, told) => Some((*moment, told)),
            Reply::Lost(_) => None,
        }
    }

    /// The moment by which it had happened, if it ever did.
    fn over(&self) -> Moment {
        match &self.reply {
            Reply::Told(moment, _) | Reply::Lost(Some(moment)) => *moment,
            Reply::Lost(None) => Moment::MAX,
        }
    }

    /// How many operations it counts for: each request of a batch is one.
    fn operations(&self) -> u64 {
        match &self.asked {
            Asked::Reserve(batch) => batch.len() as u64,
            _ => 1,
        }
    }
}
