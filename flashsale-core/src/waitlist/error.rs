//! Refusals of the waitlist, in precedence order, each with a stable code.

use crate::id::{ItemId, OrderId};

/// Why somebody is not put on the waitlist, in precedence order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JoinRefusal {
    /// There is no such sale.
    #[error("there is no such sale")]
    UnknownSale,
    /// The sale has no such item.
    #[error("the sale has no item {0}")]
    UnknownItem(ItemId),
    /// The member waits already, for another number of units; the wish stays as it is.
    #[error("you wait for {units} of {item} already")]
    Already {
        /// For what.
        item: ItemId,
        /// For how many units.
        units: u32,
    },
    /// The sale is over: nothing will be offered.
    #[error("the sale is closed")]
    Closed,
    /// The member would have more than he may.
    #[error("at most {limit} of {item} per buyer, you have {have}")]
    Limit {
        /// Of what.
        item: ItemId,
        /// What he has.
        have: u32,
        /// What he may have.
        limit: u32,
    },
    /// There are enough units, and nobody waits: buy them.
    #[error("{item} is still available")]
    StillAvailable {
        /// Which.
        item: ItemId,
    },
}

impl JoinRefusal {
    /// The stable word for this refusal.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownSale => "unknown_sale",
            Self::UnknownItem(_) => "unknown_item",
            Self::Already { .. } => "already",
            Self::Closed => "closed",
            Self::Limit { .. } => "buyer_limit",
            Self::StillAvailable { .. } => "still_available",
        }
    }
}

/// Why somebody does not leave the waitlist, in precedence order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeaveRefusal {
    /// He does not wait.
    #[error("you do not wait for this")]
    Unknown,
    /// He was offered units: decline the offer instead.
    #[error("you have an offer; decline it instead")]
    Offered(OrderId),
}

impl LeaveRefusal {
    /// The stable word for this refusal.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unknown => "not_found",
            Self::Offered(_) => "offered",
        }
    }
}

/// Why an offer is not taken, declined or told, in precedence order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TakeRefusal {
    /// There is no such order.
    #[error("there is no such offer")]
    Unknown,
    /// It is no offer, or none any more.
    #[error("this is no offer")]
    NotAnOffer,
    /// It has lapsed, or was declined.
    #[error("the offer has lapsed")]
    Lapsed,
}

impl TakeRefusal {
    /// The stable word for this refusal.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Unknown => "not_found",
            Self::NotAnOffer => "not_an_offer",
            Self::Lapsed => "lapsed",
        }
    }
}
