//! Payment: what is asked of a gateway, what it may answer, and the wallet that is one.
//!
//! An *unknown* outcome is asked again under the same key, never treated as a refusal; a payment in doubt is *fenced* before
//! its order ends ([`PaymentGateway::cancel`]). **G9**: payments at least once, under a fixed key. This noun imports no other.

mod error;
mod memory;
mod port;
mod split;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{BuyerId, CouponId, Key, Method, OrderId};
use crate::time::Timestamp;
use crate::unit::Money;

pub use error::WalletRefusal;
pub use memory::{Chances, Scripted};
#[cfg(feature = "mock")]
pub use port::{MockPaymentGateway, MockWalletLedger};
pub use port::{PaymentGateway, WalletLedger};
pub use split::Split;

/// The fixed key of one attempt to pay an order: `order#attempt`. Everything said to a gateway about it carries this key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PaymentKey {
    /// The order.
    pub order: OrderId,
    /// The attempt, from 1.
    pub attempt: u32,
    /// How the order is paid: it leads to the provider, it is no part of the key's text.
    pub method: Option<Method>,
}

impl fmt::Display for PaymentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.order, self.attempt)
    }
}

/// What is to be paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    /// The fixed key.
    pub key: PaymentKey,
    /// Who pays.
    pub buyer: BuyerId,
    /// How much.
    pub amount: Money,
    /// Until when the buyer may be kept busy with it.
    pub until: Timestamp,
}

/// Why a payment was declined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeclineReason {
    /// The provider says no.
    Refused,
    /// The buyer has too little money.
    Insufficient,
    /// The buyer left the payment page.
    BuyerLeft,
}

impl DeclineReason {
    /// The stable word.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Insufficient => "insufficient",
            Self::BuyerLeft => "buyer_left",
        }
    }

    /// The reason of a stable word; a word that nobody knows is a refusal.
    #[must_use]
    pub fn from_code(code: &str) -> Self {
        match code {
            "insufficient" => Self::Insufficient,
            "buyer_left" => Self::BuyerLeft,
            _ => Self::Refused,
        }
    }
}

/// What a gateway says about a payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The money is the shop's.
    Approved {
        /// How much.
        amount: Money,
        /// The provider's name for it.
        reference: String,
    },
    /// It is not, and will not be under this key.
    Declined(DeclineReason),
    /// The buyer has to do something, such as visit a page.
    NeedsBuyer {
        /// What, such as a URL.
        action: String,
        /// Until when.
        until: Timestamp,
    },
    /// The gateway does not know, or did not answer: ask again.
    Unknown,
}

/// What a gateway says to the fencing of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fenced {
    /// Nothing was charged under this key, and nothing ever will be.
    Cancelled,
    /// It had been approved before.
    Approved {
        /// How much.
        amount: Money,
        /// The provider's name for it.
        reference: String,
    },
    /// The gateway does not know, or did not answer: ask again.
    Unknown,
}

/// What a gateway says to a refund or a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moved {
    /// Done, now or before.
    Done,
    /// The gateway does not know, or did not answer: ask again.
    Unknown,
}

/// Pays the seller of a confirmed order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capture {
    /// The key under which it was approved.
    pub key: PaymentKey,
    /// What the seller gets: the undiscounted price.
    pub seller_gets: Money,
    /// What the platform adds, because a coupon took it off.
    pub funded: Money,
}

/// One movement of money in a wallet, as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalletEntry {
    /// Its number within the ledger, growing.
    pub no: u64,
    /// Whose wallet.
    pub member: BuyerId,
    /// What happened.
    pub kind: EntryKind,
    /// By how much the balance changed, in minor units: negative when money left.
    pub amount: i64,
    /// The balance after it.
    pub balance: Money,
    /// Under which name it was done: that of an order, a charge, a trade.
    pub cause: String,
    /// When.
    pub at: Timestamp,
}

/// What happened to a wallet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// Money was put in.
    Charged,
    /// Money was taken out again.
    Withdrawn,
    /// An order or a trade was paid.
    Paid,
    /// A seller was paid.
    Received,
    /// A payment came back.
    Refunded,
    /// The platform paid for a coupon.
    Funded,
}

impl EntryKind {
    /// All kinds.
    pub const ALL: [Self; 6] =
        [Self::Charged, Self::Withdrawn, Self::Paid, Self::Received, Self::Refunded, Self::Funded];

    /// The stable word for this kind.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Charged => "charged",
            Self::Withdrawn => "withdrawn",
            Self::Paid => "paid",
            Self::Received => "received",
            Self::Refunded => "refunded",
            Self::Funded => "funded",
        }
    }

    /// The kind of a stable word.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

/// Something to do with a wallet, once under its own id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalletRequest {
    /// Its name, derived from the member and his key: `member~wallet~key`.
    pub id: OrderId,
    /// What.
    pub act: WalletAct,
}

impl WalletRequest {
    /// Names a request of `member` under `key`.
    #[must_use]
    pub fn new(member: &BuyerId, key: &Key, act: WalletAct) -> Self {
        let id = OrderId::scoped(member, "wallet", key).expect("the scope is an id");
        Self { id, act }
    }
}

/// What is to be done with a wallet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WalletAct {
    /// Put money in.
    Charge {
        /// How much.
        amount: Money,
    },
    /// Take money out.
    Withdraw {
        /// How much.
        amount: Money,
    },
    /// Pay a seller, with a coupon if there is one.
    Trade {
        /// Who gets the full amount.
        seller: BuyerId,
        /// The full amount.
        amount: Money,
        /// The coupon.
        coupon: Option<CouponId>,
    },
}

/// What a request to a wallet did, the first time it was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalletDone {
    /// The requester's balance after it.
    pub balance: Money,
    /// How the amount of a trade was split; of other acts, what moved.
    pub split: Split,
    /// When it was done.
    pub at: Timestamp,
    /// Whether this answer repeats an earlier one.
    pub replayed: bool,
}
