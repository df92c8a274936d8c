//! A complete first-come-first-served shop on `flashsale`: a gate in memory or on Redis, a ledger on SQLite, PostgreSQL or MariaDB.
//!
//! [`start`] serves what [`config`] says; the binary is a command line around it. The way of a request: `serve` lets it in,
//! a route in `routes/` reads it by `extract`, calls the library, and answers by `problem` or its own view. `board` keeps what public
//! pages show, so that watching a sale never reads the ledger; `pages/` draws them. `mail/` tells members what concerns them. `rooms` keeps which sales
//! have a waiting room before them.

mod app;
mod board;
mod clock;
pub mod config;
mod contacts;
mod events;
mod extract;
mod gate;
mod language;
mod ledger;
mod mail;
mod meters;
mod own;
mod pages;
mod problem;
mod rooms;
mod routes;
mod seed;
mod serve;
mod settled;
mod stream;
mod wiring;

pub use app::openapi;
pub use clock::ShiftedClock;
pub use events::EventsError;
pub use gate::GateError;
pub use ledger::LedgerError;
pub use problem::{CODES, CodeNo, Problem};
pub use serve::{Running, StartError, start};
