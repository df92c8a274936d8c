//! For the author of a backend: proof that it keeps the promises.
//!
//! - [`suite`]: a conformance suite per port, one named test per rule. The whole of a test file is a [`Fixture`] and a line per suite.
//! - [`model`]: obvious reference models of the gate and of the waiting room; [`differential`]: two backends given the same random steps must answer alike.
//! - [`history`]: what many clients asked a gate at once, and whether one order of single steps explains every answer.
//! - [`planted`]: backends with one bug each, and tests that a rule catches it.
//! - [`everything`]: one ledger told everything once: rows in every table, and a text of what is read back.
//!
//! The words of a rule (ids, lines, requests) are in [`sample`].

// A test may end the process's thread with a reason; that is what a rule is for.
#![allow(clippy::missing_panics_doc)]

pub mod differential;
pub mod everything;
pub mod fixture;
pub mod history;
pub mod model;
pub mod planted;
pub mod sample;
pub mod sim;
pub mod suite;

pub use fixture::{Fixture, MemoryGates, MemoryLedgers, MemoryLogs, MemoryRooms};
pub use suite::{run, together};
