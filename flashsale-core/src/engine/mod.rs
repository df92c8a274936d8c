//! The engine: the only code in this crate that awaits.
//!
//! A request takes one lane per sale (`reserve` in batches, `accept` in batches, answer). Everything after the answer is a pass:
//! *follow* carries the ledger to the gate, *relay* the outbox to the bus, *consume* an event to the saga, *charge* a request to
//! the gateway, *offer* what came back to those who wait, *recover* what is due, *intake* the log to the ledger, *admit* the next in the
//! waiting room (whose turn an order ends), *notify* notices to whoever carries them. All passes are one future that the embedder runs. Time, sleep, randomness and spawning
//! come from a [`Host`].

mod batch;
mod coupons;
mod drive;
mod flashsale;
mod follow;
mod handler;
mod host;
mod intake;
mod lane;
mod letters;
mod load;
mod lost;
mod notices;
mod orders;
mod pass;
mod room;
mod rooms;
mod stock;
mod street;
mod turns;
mod waitlist;
mod wallet;
mod workers;

pub use coupons::{CampaignView, Claimed, Coupons, TakenClaim};
pub use flashsale::{Events, FlashSale};
pub use host::{Host, Task, TokioHost};
pub use intake::{Status, Taken};
pub use lane::{Answer, Placed};
pub use letters::{Dealt, LetterRefusal, Letters};
pub use notices::notice_of;
pub use orders::{Orders, PayRefusal};
pub use room::{Admission, Entrance, PlaceView, RoomBuilder, Tick, WaitingRoom};
pub use rooms::Rooms;
pub use stock::{Drained, Held, Stock};
pub use waitlist::{Offer, Waitlist, Wished};
pub use wallet::{Wallet, WalletGateway};
pub use workers::{PassReport, Work, Workers};
