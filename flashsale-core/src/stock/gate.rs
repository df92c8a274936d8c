//! What is said to a gate, and what a gate says: requests, holds, levels, updates.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::{BuyerId, ContentHash, ItemId, OrderId};
use crate::sale::{Lines, SaleState, Window};
use crate::stock::{Epoch, HoldNo, Nonce, OrderState, ReserveRefusal, Standing, Version};
use crate::time::Timestamp;
use crate::unit::Quantity;

/// Asks the gate for units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reserve {
    /// For which order; its buyer is the one whose limit counts.
    pub id: OrderId,
    /// What was asked for.
    pub hash: ContentHash,
    /// All of these units, or none.
    pub lines: Lines,
    /// From the public, or for somebody whose turn on the waitlist it is.
    pub standing: Standing,
}

/// Units that the gate keeps for an order until `deadline`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Hold {
    /// The gate's life in which it was given.
    pub epoch: Epoch,
    /// Its number.
    pub no: HoldNo,
    /// When it may lapse, by the gate's clock.
    pub deadline: Timestamp,
}

/// What the gate says to a [`Reserve`] that it does not refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reserved {
    /// Held: now, or since an earlier attempt under the same id.
    Held(Hold),
    /// The ledger has decided this id before; ask it for the order.
    Done(OrderState),
}

/// What the gate says to a batch of [`Reserve`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reservation {
    /// One answer per request, in the order of the batch.
    Answers(Vec<Result<Reserved, ReserveRefusal>>),
    /// The gate is empty, was restarted or is being loaded: nothing changed. It needs [`StockGate::begin`](crate::stock::StockGate::begin).
    NotLoaded,
}

/// The ledger's state at version `to`, as far as it differs from `from`: what a gate copies in one step.
///
/// Every figure is absolute at `to`. It is confirm, release, restore, adjust and repair in one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// The gate that the ledger has adopted.
    pub nonce: Option<Nonce>,
    /// The gate must stand here.
    pub from: Version,
    /// It will stand here.
    pub to: Version,
    /// Every hold up to this number is void.
    pub sealed: HoldNo,
    /// The sale's state, window and hold time.
    pub door: Door,
    /// Items that changed.
    pub items: Vec<ItemLevel>,
    /// Orders that changed their units.
    pub orders: Vec<Settled>,
    /// What the buyers of these orders have now.
    pub bought: Vec<Bought>,
}

/// When a gate lets requests through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Door {
    /// Open, paused or closed.
    pub state: SaleState,
    /// From when to when, by the gate's clock.
    pub window: Window,
    /// How long a hold lasts.
    pub hold: Duration,
}

/// An item as the ledger has it at some version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemLevel {
    /// Which.
    pub item: ItemId,
    /// `total - allocated`.
    pub free: u32,
    /// Units per buyer.
    pub limit: Quantity,
    /// Whether somebody waits for it: then it is closed to the public.
    pub waiting: bool,
}

/// A decided order, as far as a gate needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// Which.
    pub id: OrderId,
    /// What was asked for.
    pub hash: ContentHash,
    /// Where it stood at version `v`.
    pub state: OrderState,
    /// The stock version of its last change of units.
    pub v: u64,
}

/// How many units of an item a buyer has, absolutely.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bought {
    /// Of what.
    pub item: ItemId,
    /// Who.
    pub buyer: BuyerId,
    /// How many.
    pub units: u32,
    /// At which version.
    pub v: u64,
}

/// A page of answers for a gate that is being loaded or is far behind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answers {
    /// Decided orders.
    pub orders: Vec<Settled>,
    /// What their buyers have.
    pub bought: Vec<Bought>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<OrderId>,
}

/// A part of the decided orders that a gate remembers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recalled {
    /// Decided orders as the gate copied them.
    pub orders: Vec<Settled>,
    /// Where the next part begins; `None` after the last.
    pub next: Option<u64>,
}

/// What [`StockGate::begin`](crate::stock::StockGate::begin) found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// The gate waits to be loaded under this nonce: ours, or that of another node that was first.
    Loading(Nonce),
    /// The gate is open under this nonce; nothing to do.
    Open(Nonce),
}

/// What a new gate is opened with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Load {
    /// Its nonce.
    pub nonce: Nonce,
    /// Its number.
    pub epoch: Epoch,
    /// The version of the levels.
    pub version: Version,
    /// The door.
    pub door: Door,
    /// All items.
    pub items: Vec<ItemLevel>,
}

/// Where a gate stands and which holds may lapse: the question of the follow pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// Its nonce.
    pub nonce: Nonce,
    /// The version that it has copied.
    pub version: Version,
    /// The largest number such that all holds up to it are past their deadline; zero if none.
    /// A backend may look only so far in one step; then it is the largest that it saw.
    pub lapsed: HoldNo,
}

/// What a gate did with an [`Update`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Synced {
    /// Copied.
    Done,
    /// It stands at another version, has another nonce, or is not loaded: nothing changed.
    Refused,
}

/// What a gate shows of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Level {
    /// The gate's time.
    pub now: Timestamp,
    /// Whether it answers.
    pub open: bool,
    /// Its nonce, once begun.
    pub nonce: Option<Nonce>,
    /// Its epoch.
    pub epoch: Epoch,
    /// The version that it has copied.
    pub version: Option<Version>,
    /// The number of live holds.
    pub holds: u64,
    /// The number that the next hold gets.
    pub next: HoldNo,
    /// Per item: what is free in the ledger's view, and what is held of it.
    pub items: Vec<(ItemId, u32, u32)>,
}
