//! A decided order: one row of the ledger, and the words for where it stands and why.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::discount::CouponRefusal;
use crate::id::{ContentHash, CouponId, Method, OrderId, SaleId};
use crate::sale::Lines;
use crate::stock::{Cancel, Epoch, HoldNo};
use crate::time::Timestamp;
use crate::unit::Money;

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
    /// Refused: the sale was paused or over when the turn of a recorded request came.
    Closed,
    /// Refused: a recorded request names an item that the sale does not have.
    UnknownItem,
    /// Not offered: nobody waits under this name, or not any more.
    NotWaiting,
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
    pub const ALL: [Self; 23] = [
        Self::SoldOut,
        Self::BuyerLimit,
        Self::PriceChanged,
        Self::AmountTooLarge,
        Self::Closed,
        Self::UnknownItem,
        Self::NotWaiting,
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
            Self::Closed => "closed",
            Self::UnknownItem => "unknown_item",
            Self::NotWaiting => "not_waiting",
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
    /// Its number in the sale's payment line, from 1, in the order in which the ledger accepted; only of one that is to be paid.
    pub pay_no: Option<u64>,
    /// When it next wants attention.
    pub due_at: Option<Timestamp>,
    /// How often the gateway was asked in this state.
    pub tries: u32,
    /// What the buyer must do to pay, such as a page to visit.
    pub action: Option<String>,
}

impl Order {
    /// The row of an id that nobody has asked for yet and that must never be accepted.
    #[must_use]
    pub fn fence(sale: &SaleId, cancel: &Cancel, v: u64, now: Timestamp) -> Self {
        Self {
            id: cancel.id.clone(),
            sale: sale.clone(),
            hash: ContentHash::FENCE,
            state: OrderState::Cancelled,
            reason: Some(cancel.reason),
            stuck: None,
            ver: 1,
            v,
            hold: None,
            lines: Lines::none(),
            amounts: Amounts::default(),
            coupon: None,
            method: None,
            note: None,
            decided_at: now,
            since: now,
            pay_by: None,
            pay_no: None,
            due_at: None,
            tries: 0,
            action: None,
        }
    }

    /// The row that follows this one when it is cancelled outside of the saga, at version `v` of the stock.
    #[must_use]
    pub fn cancelled(&self, reason: Reason, v: u64, now: Timestamp) -> Self {
        Self {
            state: OrderState::Cancelled,
            reason: Some(reason),
            stuck: None,
            ver: self.ver + 1,
            v,
            since: now,
            due_at: None,
            tries: 0,
            action: None,
            ..self.clone()
        }
    }
}
