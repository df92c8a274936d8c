//! Backends with one bug each: the mistakes of the field, planted on purpose. A suite whose rules pass on one of them is no suite.
//!
//! Each is a decorator over a memory backend that is right. `tests/planted.rs` names the rules that catch each bug, and checks
//! that the same rules pass where [`GateBug::Nothing`], [`LedgerBug::Nothing`] or [`WalletBug::Nothing`] is planted. A quantity of
//! zero cannot be planted: [`Quantity`](flashsale_core::Quantity) has no such value. The bugs of [`StepGate`] are found in histories of
//! many clients: `tests/history.rs`.

mod gate;
mod ledger;
mod room;
mod step;
mod waitlist;
mod wallet;

pub use gate::{GateBug, PlantedGate, PlantedGates};
pub use ledger::{LedgerBug, PlantedLedger, PlantedLedgers};
pub use room::{PlantedRoomStore, PlantedRooms, RoomBug};
pub use step::{StepBug, StepGate};
pub use waitlist::{PlantedWaitlist, PlantedWaitlists, WaitlistBug};
pub use wallet::{PlantedWallet, PlantedWallets, WalletBug};
