//! The ports of notices: who carries them, and where those wait that are not carried yet.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;

use crate::error::BackendError;
use crate::id::BuyerId;
use crate::notice::{Notice, NoticeKey};
use crate::time::Timestamp;

/// How a member can be told things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reach {
    /// By this notifier: notices to him are kept until they are handed over.
    Here,
    /// By this notifier, but he gave no address. Nothing is kept for him; an offer is reported as failed, since its time cannot run.
    Nowhere,
    /// In another way, that is not this notifier's: a notice counts as handed over as soon as it is made.
    Elsewhere,
}

/// Why a notice can never be handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unsendable {
    /// The member gave no address.
    NoAddress,
    /// What he gave is none.
    BadAddress,
    /// Whoever carries it refuses it for good.
    Rejected,
    /// It could not be handed over for too long; said by the engine.
    GaveUp,
}

impl Unsendable {
    /// The stable word.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::NoAddress => "no_address",
            Self::BadAddress => "bad_address",
            Self::Rejected => "rejected",
            Self::GaveUp => "gave_up",
        }
    }
}

/// What became of one notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Whoever carries it has taken it on.
    HandedOver,
    /// Not now, or nobody knows whether: it is sent again under the same key.
    NotNow,
    /// Never.
    Refused(Unsendable),
}

/// Carries notices to members: mail, push, a message to an embedder's own system.
///
/// - **At least once.** A notice comes again after a crash, a lost answer or a [`Outcome::NotNow`], always under the same
///   [`Notice::key`]; who can tell repeats by it should.
/// - **One by one.** The answer has as many outcomes as the batch has notices, in the same order; one that fails keeps no other from going.
///   There is no order between batches: a later notice of an order may arrive before an earlier one.
/// - **In bounded time.** It keeps deadlines of its own. The engine waits a minute for a batch and counts what has no answer then as
///   not now.
/// - What it says about a member stays with it: outcomes carry no address.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Notifier: Debug + Send + Sync {
    /// How each of these members can be told things, in their order.
    async fn reach(&self, members: &[BuyerId]) -> Result<Vec<Reach>, BackendError>;

    /// Hands notices over.
    ///
    /// # Cancel safety
    /// Dropping the future leaves open what was handed over; the whole batch comes again.
    async fn send(&self, notices: &[Notice]) -> Vec<Outcome>;
}

/// A notice that waits, taken for one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The notice.
    pub notice: Notice,
    /// Which attempt this is, from 1.
    pub tries: u32,
}

/// What becomes of a notice that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It is handed over, or never will be.
    Gone,
    /// It is due again at this time.
    Later(Timestamp),
}

/// Keeps the notices that are not handed over yet, in the ledger's database. One call is one transaction for the whole batch.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait NoticeLedger: Debug + Send + Sync {
    /// Keeps notices, due at once; one whose key is there stays as it is.
    async fn keep(&self, notices: &[Notice]) -> Result<(), BackendError>;

    /// Takes at most `limit` notices that are due by the ledger's clock, longest due first, and makes them due again after `lease`: no two
    /// callers get the same one within it, and one whose taker died comes again.
    async fn take(&self, limit: usize, lease: Duration) -> Result<Vec<Taken>, BackendError>;

    /// Writes what became of notices. One that is not there any more is left out.
    async fn settle(&self, batch: &[(NoticeKey, Settled)]) -> Result<(), BackendError>;
}
