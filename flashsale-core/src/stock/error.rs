//! Refusals of stock: business answers, in precedence order, each with a stable code.

use std::time::Duration;

use crate::id::ItemId;
use crate::stock::HoldNo;
use crate::time::Timestamp;

/// Which of the buyer's units filled his limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Counted {
    /// Units that he has for good.
    Bought,
    /// Units that are held for another request of his: it may still be refused (hole 25 of the protocol).
    Held,
}

/// Why the gate does not hold units, in precedence order. It speaks of this moment: the same id may win later.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReserveRefusal {
    /// The same id stands for something else.
    #[error("this key was used for something else")]
    Conflict,
    /// The sale is stopped for the moment.
    #[error("the sale is paused")]
    Paused,
    /// The sale begins later.
    #[error("the sale opens at {opens_at}")]
    NotOpen {
        /// When.
        opens_at: Timestamp,
    },
    /// The sale is over.
    #[error("the sale is closed")]
    Closed,
    /// The gate knows no such item.
    #[error("the sale has no item {item}")]
    UnknownItem {
        /// Which.
        item: ItemId,
    },
    /// The buyer would have more than he may.
    #[error("at most {limit} of {item} per buyer, you have {have}")]
    Limit {
        /// Of what.
        item: ItemId,
        /// What he has, bought and held.
        have: u32,
        /// What he may have.
        limit: u32,
        /// What fills it.
        by: Counted,
    },
    /// People wait for this item: what comes back is theirs.
    #[error("{item} is sold out, people wait for it")]
    Waitlist {
        /// Which.
        item: ItemId,
        /// The last number given before this answer.
        after: HoldNo,
    },
    /// Fewer units are left than asked for, and none of them is merely held.
    #[error("{item} is sold out")]
    SoldOut {
        /// Which.
        item: ItemId,
        /// The last number given before this answer.
        after: HoldNo,
    },
    /// All that is left is held by others; some of it may come back.
    #[error("all that is left of {item} is being bought right now")]
    AllHeld {
        /// Which.
        item: ItemId,
        /// The last number given before this answer.
        after: HoldNo,
    },
}

impl ReserveRefusal {
    /// The stable word for this refusal.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Conflict => "key_reused",
            Self::Paused => "paused",
            Self::NotOpen { .. } => "not_open",
            Self::Closed => "closed",
            Self::UnknownItem { .. } => "unknown_item",
            Self::Limit { .. } => "buyer_limit",
            Self::Waitlist { .. } | Self::SoldOut { .. } => "sold_out",
            Self::AllHeld { .. } => "all_held",
        }
    }

    /// When trying again may help, counted from `now`.
    #[must_use]
    pub fn retry_after(&self, now: Timestamp) -> Option<Duration> {
        match self {
            Self::Paused | Self::AllHeld { .. } => Some(Duration::from_secs(1)),
            Self::NotOpen { opens_at } => Some(opens_at.since(now)),
            _ => None,
        }
    }

    /// The last number given before this answer, where the refusal is for want of units (G6).
    #[must_use]
    pub fn after(&self) -> Option<HoldNo> {
        match self {
            Self::Waitlist { after, .. } | Self::SoldOut { after, .. } | Self::AllHeld { after, .. } => Some(*after),
            _ => None,
        }
    }
}

/// Why the ledger does not change a sale's terms, in precedence order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeRefusal {
    /// There is no such sale.
    #[error("there is no such sale")]
    UnknownSale,
    /// The same id stands for another change, or other terms.
    #[error("this id was used for another change")]
    Conflict,
    /// The sale is closed for good.
    #[error("the sale is closed")]
    Closed,
    /// There is no such item.
    #[error("the sale has no item {0}")]
    UnknownItem(ItemId),
    /// Fewer units than are allocated, or more than a sale can have.
    #[error("{item} can be changed by {least} to {most} units")]
    OutOfRange {
        /// Which.
        item: ItemId,
        /// The largest decrease that is possible, as a negative number.
        least: i64,
        /// The largest increase that is possible.
        most: i64,
    },
    /// It would close before it opens.
    #[error("a sale closes after it opens")]
    Window,
}

impl ChangeRefusal {
    /// The stable word for this refusal.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownSale => "unknown_sale",
            Self::Conflict => "key_reused",
            Self::Closed => "closed",
            Self::UnknownItem(_) => "unknown_item",
            Self::OutOfRange { .. } => "out_of_range",
            Self::Window => "window",
        }
    }
}
