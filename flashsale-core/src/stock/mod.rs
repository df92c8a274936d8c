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
//! `available = free - held`: `free` is copied from the ledger by version, `held` is the gate's own. Words and messages
//! are here; the rule is in [`decide`]; the atomic steps are in [`StockGate`] and [`StockLedger`].
//! This noun imports no other.

mod decide;
mod error;
mod port;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::discount::{Coupon, CouponRefusal};
use crate::id::{BuyerId, ContentHash, CouponId, ItemId, Method, OrderId, SaleId};
use crate::sale::{Lines, SaleState, Window};
use crate::time::Timestamp;
use crate::unit::{Money, Quantity};

pub use decide::{Books, Decision, decide};
pub use error::{ChangeRefusal, Counted, ReserveRefusal};
pub use port::{Durability, StockGate, StockLedger};
#[cfg(feature = "mock")]
pub use port::{MockStockGate, MockStockLedger};

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

/// In whose name units are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Anybody: refused while somebody waits for the item.
    Public,
    /// The next on the waitlist.
    Offer,
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
    /// The gate is empty, was restarted or is being loaded: nothing changed. It needs [`StockGate::begin`].
    NotLoaded,
}

/// The states of an order in the ledger. No row is the tenth: *none*.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderState {
    /// Refused by the ledger, for good.
    Refused,
    /// Held for one on the waitlist until he takes it or lets it lapse.
    Offered,
    /// Durable: it is the buyer's if he pays.
    Accepted,
    /// A payment is under way.
    Paying,
    /// It must end, but a payment is in doubt; its units stay allocated until the gateway has fenced the key.
    Closing,
    /// Paid.
    Confirmed,
    /// Ended without a sale; everything was given back.
    Cancelled,
    /// Money is on its way back to the buyer.
    Refunding,
    /// Money is back.
    Refunded,
}

impl OrderState {
    /// All states, in the order of the protocol's table.
    pub const ALL: [Self; 9] = [
        Self::Refused,
        Self::Offered,
        Self::Accepted,
        Self::Paying,
        Self::Closing,
        Self::Confirmed,
        Self::Cancelled,
        Self::Refunding,
        Self::Refunded,
    ];

    /// Whether an order in this state has its units allocated.
    #[must_use]
    pub fn holds_units(self) -> bool {
        matches!(self, Self::Offered | Self::Accepted | Self::Paying | Self::Closing | Self::Confirmed)
    }

    /// The stable word for this state.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Offered => "offered",
            Self::Accepted => "accepted",
            Self::Paying => "paying",
            Self::Closing => "closing",
            Self::Confirmed => "confirmed",
            Self::Cancelled => "cancelled",
            Self::Refunding => "refunding",
            Self::Refunded => "refunded",
        }
    }

    /// The state of a stable word.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.code() == code)
    }
}

/// Why an order is in its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Refused: fewer units left than asked for.
    SoldOut,
    /// Refused: the buyer would have more than the limit.
    BuyerLimit,
    /// Refused: the total is not the one that the buyer saw.
    PriceChanged,
    /// Refused: the total is above [`Money::MAX`].
    AmountTooLarge,
    /// Refused: the coupon cannot be used, as [`CouponRefusal`] tells.
    Coupon(CouponRefusal),
    /// Cancelled, closing or refunding: the buyer changed his mind.
    Buyer,
    /// Cancelled: an operator, or the embedder's own code, undid it.
    Operator,
    /// Cancelled: the payment was declined.
    Declined,
    /// Cancelled: the buyer has too little money.
    Insufficient,
    /// Cancelled: the buyer left the payment page.
    BuyerLeft,
    /// Cancelled or closing: not paid in time.
    Timeout,
    /// Cancelled: the offer was not taken in time.
    Lapsed,
    /// Cancelled: the gateway fenced the payment's key.
    Fenced,
    /// Refunding: the approval came after the order had ended.
    LateApproval,
    /// Refunding: the approved amount is not the order's.
    WrongAmount,
    /// Refunding: the buyer returned it.
    Returned,
}

impl Reason {
    /// All reasons.
    pub const ALL: [Self; 20] = [
        Self::SoldOut,
        Self::BuyerLimit,
        Self::PriceChanged,
        Self::AmountTooLarge,
        Self::Coupon(CouponRefusal::NotYours),
        Self::Coupon(CouponRefusal::Used),
        Self::Coupon(CouponRefusal::Expired),
        Self::Coupon(CouponRefusal::BelowMinimum),
        Self::Coupon(CouponRefusal::Method),
        Self::Buyer,
        Self::Operator,
        Self::Declined,
        Self::Insufficient,
        Self::BuyerLeft,
        Self::Timeout,
        Self::Lapsed,
        Self::Fenced,
        Self::LateApproval,
        Self::WrongAmount,
        Self::Returned,
    ];

    /// The stable word for this reason.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::SoldOut => "sold_out",
            Self::BuyerLimit => "buyer_limit",
            Self::PriceChanged => "price_changed",
            Self::AmountTooLarge => "amount_too_large",
            Self::Coupon(CouponRefusal::NotYours) => "coupon_unknown",
            Self::Coupon(CouponRefusal::Used) => "coupon_used",
            Self::Coupon(CouponRefusal::Expired) => "coupon_expired",
            Self::Coupon(CouponRefusal::BelowMinimum) => "coupon_minimum",
            Self::Coupon(CouponRefusal::Method) => "coupon_method",
            Self::Buyer => "buyer",
            Self::Operator => "operator",
            Self::Declined => "declined",
            Self::Insufficient => "insufficient",
            Self::BuyerLeft => "buyer_left",
            Self::Timeout => "timeout",
            Self::Lapsed => "lapsed",
            Self::Fenced => "fenced",
            Self::LateApproval => "late_approval",
            Self::WrongAmount => "wrong_amount",
            Self::Returned => "returned",
        }
    }

    /// The reason of a stable word.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }
}

/// What an order costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Amounts {
    /// The sum of the prices: what the seller gets.
    pub list: Money,
    /// What a coupon takes off: what the platform pays.
    pub discount: Money,
    /// What the buyer pays: `list - discount`.
    pub pays: Money,
}

/// Up to [`Note::BYTES_MAX`] bytes of the embedder's own, such as an address. It rides in the order; we never read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Note(Arc<str>);

/// The note is longer than [`Note::BYTES_MAX`], or holds a NUL, which not every database stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a note has at most {max} bytes and no NUL", max = Note::BYTES_MAX)]
pub struct NoteError;

impl Note {
    /// The bound: 4 KiB.
    pub const BYTES_MAX: usize = 4096;

    /// Checks and takes the text.
    ///
    /// # Errors
    /// [`NoteError`].
    pub fn new(text: &str) -> Result<Self, NoteError> {
        if text.len() > Self::BYTES_MAX || text.contains('\0') { Err(NoteError) } else { Ok(Self(text.into())) }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Note {
    type Error = NoteError;
    fn try_from(text: String) -> Result<Self, NoteError> {
        Self::new(&text)
    }
}

impl From<Note> for String {
    fn from(note: Note) -> Self {
        note.0.to_string()
    }
}

/// A decided order: one row of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Its name.
    pub id: OrderId,
    /// The sale.
    pub sale: SaleId,
    /// What was asked for.
    pub hash: ContentHash,
    /// Where it stands.
    pub state: OrderState,
    /// Why it stands there.
    pub reason: Option<Reason>,
    /// Why it waits for a person, if it does: a contradiction that no rule may resolve.
    pub stuck: Option<String>,
    /// Its own version: 1 when decided, one more with every change. The number in its events.
    pub ver: u32,
    /// The stock version at its last change of units.
    pub v: u64,
    /// The hold with which it came; `None` without a gate.
    pub hold: Option<(Epoch, HoldNo)>,
    /// What it consists of.
    pub lines: Lines,
    /// What it costs.
    pub amounts: Amounts,
    /// The coupon that it uses.
    pub coupon: Option<CouponId>,
    /// How the buyer pays.
    pub method: Option<Method>,
    /// The embedder's own text.
    pub note: Option<Note>,
    /// When the ledger decided it, by the ledger's clock.
    pub decided_at: Timestamp,
    /// When it entered its state.
    pub since: Timestamp,
    /// Until when it can be paid.
    pub pay_by: Option<Timestamp>,
    /// When it next wants attention.
    pub due_at: Option<Timestamp>,
    /// How often the gateway was asked in this state.
    pub tries: u32,
    /// What the buyer must do to pay, such as a page to visit.
    pub action: Option<String>,
}

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
}

/// The answers of one accepting transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// One per request, in the order of the batch.
    pub answers: Vec<Acceptance>,
    /// What the gate may copy, if anything was recorded.
    pub update: Option<Update>,
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

/// What [`StockGate::begin`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// The gate waits to be loaded under this nonce: ours, or that of another node that was first.
    Loading(Nonce),
    /// The gate is open under this nonce; nothing to do.
    Open(Nonce),
}

/// What [`StockLedger::adopt`] decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Adopted {
    /// The gate is the sale's gate. Load it with this.
    Yes(Load),
    /// Another gate was adopted meanwhile; the ledger is at this epoch.
    Superseded(Epoch),
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
    pub lapsed: HoldNo,
}

/// What the ledger says to a follower.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Followed {
    /// The gate has everything.
    Current,
    /// What it lacks.
    Update(Update),
    /// Another gate serves the sale.
    Superseded,
    /// The ledger never had this version: it was put back. The sale halts.
    Rewound,
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
