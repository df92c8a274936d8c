//! Events: the closed list of facts, their envelope, and how they leave the ledger.
//!
//! A fact is written in the transaction that made it true ([`Outbox`]), relayed at least once ([`EventSink`]), and taken up by
//! consumers in groups ([`EventSource`]) that keep their place only after the effect. **G9**: rows exactly once, events at least
//! once under a stable id, numbered per subject. This noun imports no other.

mod dead;
mod fact;
mod memory;
mod port;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::SaleId;
use crate::time::Timestamp;
use crate::trace::TraceParent;

pub use dead::{DeadLetter, LetterName, LetterNameError, Replay, Why, WhyError};
pub use fact::{Fact, OrderFact, StuckOver, TOPICS, WalletFact};
pub use memory::InProcess;
pub use port::{DeadLetters, Delivery, EventSink, EventSource, Outbox};
#[cfg(feature = "mock")]
pub use port::{MockDeadLetters, MockEventSink, MockEventSource, MockOutbox};

/// The number of a row in an outbox. Rows may become visible out of order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct OutboxNo(pub u64);

/// A fact with its envelope.
///
/// The id is `subject/version/kind`, made from what the fact is about, so that a repeat has the same one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// What it is about: an order, a coupon, `sale/item`, a sale, a member.
    pub subject: String,
    /// Its number per subject and topic, growing. Consumers go by it, not by the order of arrival.
    pub version: u64,
    /// The sale, where there is one.
    pub sale: Option<SaleId>,
    /// When it became true, by the ledger's clock.
    pub time: Timestamp,
    /// What became true.
    pub fact: Fact,
    /// The trace of the request that caused it, where one was told. A repeat is the same event with or without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceParent>,
}

impl Event {
    /// Its stable id.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}/{}/{}", self.subject, self.version, self.fact.kind())
    }

    /// Its type on the wire: `flashsale.<noun>.<fact>.v1`.
    #[must_use]
    pub fn wire_type(&self) -> String {
        format!("flashsale.{}.v1", self.fact.kind())
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id())
    }
}
