//! What is said to a ledger, and what a ledger says: acceptances, changes, cancellations, totals.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::discount::Coupon;
use crate::id::{ContentHash, CouponId, ItemId, Method, OrderId};
use crate::sale::{Lines, SaleState, Window};
use crate::stock::{Door, Epoch, HoldNo, Load, Note, Order, PaymentLine, Reason, Update, Version};
use crate::time::Timestamp;
use crate::trace::TraceParent;
use crate::unit::{Money, Quantity};

/// Asks the ledger to decide an order, for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accept {
    /// Its name.
    pub id: OrderId,
    /// What was asked for.
    pub hash: ContentHash,
    /// All of these units, or none.
    pub lines: Lines,
    /// The gate's hold. `None` is taken only while no gate serves the sale.
    pub hold: Option<(Epoch, HoldNo)>,
    /// The total that the buyer saw; another one is refused. `None`: he takes the price as it is.
    pub expect: Option<Money>,
    /// The coupon to use.
    pub coupon: Option<CouponId>,
    /// How the buyer pays.
    pub method: Option<Method>,
    /// The embedder's own text.
    pub note: Option<Note>,
    /// What the order is when accepted.
    pub then: Then,
    /// The trace of the request, for its facts. No part of what is asked for.
    pub trace: Option<TraceParent>,
}

impl Accept {
    /// Whether it is an offer to one on the waitlist.
    #[must_use]
    pub fn is_offer(&self) -> bool {
        matches!(self.then, Then::Offer { .. })
    }
}

/// What an order becomes in the moment of its acceptance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Then {
    /// To be paid: `accepted`, with a deadline.
    Pay {
        /// How long the buyer has.
        within: Duration,
    },
    /// The embedder's own business: `accepted`, without a deadline.
    Keep,
    /// A coupon, issued in the same transaction: `confirmed` at once.
    Issue(Box<Coupon>),
    /// Refused for good, for this reason, unless the id was decided before. It asks for no hold and for no open sale: for a request that was
    /// told that it will be decided, and that nothing but the ledger may tell *no*.
    Refuse(Reason),
    /// For one on the waitlist, whose wish has the order's name: `offered`, and his wish moves in the same transaction.
    Offer {
        /// How long he may stay untold: his time to take it begins when he was told.
        tell_within: Duration,
    },
}

/// What became of an [`Accept`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acceptance {
    /// Decided now: its state says whether it was accepted or refused.
    Decided(Arc<Order>),
    /// Decided earlier, with the same content.
    Already(Arc<Order>),
    /// The same id stands for something else.
    Conflict,
    /// The sale is paused, closed, or (without a gate) outside its window. Not recorded.
    NotOpen(SaleState),
    /// The hold is sealed, or of another epoch, or missing. Not recorded: reserve again, then ask again.
    HoldExpired,
    /// The sale has no such item. Not recorded.
    UnknownItem(ItemId),
    /// An offer cannot be made now, for this reason. Not recorded: his wish stays as it is.
    NotOffered(Reason),
}

/// The answers of one accepting transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// One per request, in the order of the batch.
    pub answers: Vec<Acceptance>,
    /// What the gate may copy, if anything was recorded.
    pub update: Option<Update>,
}

/// What [`StockLedger::adopt`](crate::stock::StockLedger::adopt) decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Adopted {
    /// The gate is the sale's gate. Load it with this.
    Yes(Load),
    /// Another gate was adopted meanwhile; the ledger is at this epoch.
    Superseded(Epoch),
}

/// What the ledger says to a follower.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Followed {
    /// The gate has everything.
    Current,
    /// What it lacks.
    Update(Update),
    /// Another gate serves the sale; or the gate is so late that its version was forgotten. It begins anew.
    Superseded,
    /// The ledger never had this version: it was put back. The sale halts.
    Rewound,
}

/// What the ledger shows of a sale.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// The ledger's time.
    pub now: Timestamp,
    /// The version of these figures.
    pub version: Version,
    /// The epoch of the gate that serves it.
    pub epoch: Epoch,
    /// The door.
    pub door: Door,
    /// How long a buyer has to pay.
    pub pay_within: Duration,
    /// Its payment line.
    pub line: PaymentLine,
    /// Per item.
    pub items: Vec<ItemTotals>,
}

/// What the ledger shows of an item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemTotals {
    /// Which.
    pub item: ItemId,
    /// Units for sale.
    pub total: u32,
    /// Units allocated to orders.
    pub allocated: u32,
    /// Price of one.
    pub price: Money,
    /// Units per buyer.
    pub limit: Quantity,
    /// Whether somebody waits for it.
    pub waiting: bool,
}

/// A change of a sale's terms, made once under its own id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// More or fewer units of an item.
    Adjust {
        /// Which item.
        item: ItemId,
        /// By how many: positive restocks, negative shrinks.
        by: i64,
    },
    /// Another price of an item, for orders from now on.
    Price {
        /// Which item.
        item: ItemId,
        /// The new price.
        price: Money,
    },
    /// Another limit per buyer, for orders from now on.
    Limit {
        /// Which item.
        item: ItemId,
        /// The new limit.
        per_buyer: Quantity,
    },
    /// Another window.
    Window(Window),
    /// Open, pause or close.
    State(SaleState),
}

/// Asks the ledger to end an order that nobody pays for, or to fence an id that must never be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cancel {
    /// Which.
    pub id: OrderId,
    /// Why.
    pub reason: Reason,
}

/// What became of a [`Cancel`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cancelled {
    /// Cancelled now; units and coupon are back. An id without a row has one now, so that it can never be accepted.
    Done(Arc<Order>),
    /// It had ended before.
    Already(Arc<Order>),
    /// A payment is, or was, under way: the saga has to end it.
    NotCancellable(Arc<Order>),
}
