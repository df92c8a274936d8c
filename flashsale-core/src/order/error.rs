//! Refusals of orders, in precedence order, each with a stable code.

use std::sync::Arc;
use std::time::Duration;

use crate::id::ItemId;
use crate::sale::TermsError;
use crate::stock::{HoldNo, Order, OrderState, Reason, ReserveRefusal};
use crate::time::Timestamp;

/// Why an order is not accepted, in precedence order.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum OrderRefusal {
    /// No line, too many, or one item twice.
    #[error(transparent)]
    Lines(#[from] TermsError),
    /// There is no such sale.
    #[error("there is no such sale")]
    UnknownSale,
    /// The sale has no such item.
    #[error("the sale has no item {item}")]
    UnknownItem {
        /// Which.
        item: ItemId,
    },
    /// The gate refuses: a conflict, the window, the limit or the stock.
    #[error(transparent)]
    Gate(#[from] ReserveRefusal),
    /// The ledger refused it, for good: the same id gets this answer for ever.
    #[error("refused: {}", .0.reason.map_or("no reason", Reason::code))]
    Ledger(Arc<Order>),
    /// An offer to one on the waitlist is not made now, for this reason; his wish stays as it is.
    #[error("not offered: {}", .0.code())]
    NotOffered(Reason),
    /// The same id was decided before, and the order has ended since.
    #[error("this order is {}", .0.state.code())]
    Ended(Arc<Order>),
}

impl OrderRefusal {
    /// The stable word for this refusal.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Lines(_) => "lines",
            Self::UnknownSale => "unknown_sale",
            Self::UnknownItem { .. } => "unknown_item",
            Self::Gate(refusal) => refusal.code(),
            Self::Ledger(order) => order.reason.map_or("refused", Reason::code),
            Self::NotOffered(reason) => reason.code(),
            Self::Ended(order) => order.state.code(),
        }
    }

    /// When trying again may help, counted from `now`.
    #[must_use]
    pub fn retry_after(&self, now: Timestamp) -> Option<Duration> {
        match self {
            Self::Gate(refusal) => refusal.retry_after(now),
            _ => None,
        }
    }

    /// The last number given before this answer, where the gate refused for want of units (G6).
    #[must_use]
    pub fn after(&self) -> Option<HoldNo> {
        match self {
            Self::Gate(refusal) => refusal.after(),
            _ => None,
        }
    }
}

/// Why an order is not cancelled, in precedence order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum CancelRefusal {
    /// There is no such order.
    #[error("there is no such order")]
    Unknown,
    /// It is paid: return it instead.
    #[error("the order is paid; return it instead")]
    NotCancellable,
}

impl CancelRefusal {
    /// The stable word for this refusal.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Unknown => "not_found",
            Self::NotCancellable => "not_cancellable",
        }
    }
}

/// Why an order is not taken back, in precedence order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ReturnRefusal {
    /// There is no such order.
    #[error("there is no such order")]
    Unknown,
    /// It was never paid.
    #[error("the order is {}, it was not bought", .0.code())]
    NotBought(OrderState),
    /// The time for returns is over.
    #[error("the time for returns is over since {0}")]
    PeriodPassed(Timestamp),
}

impl ReturnRefusal {
    /// The stable word for this refusal.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Unknown => "not_found",
            Self::NotBought(_) => "not_bought",
            Self::PeriodPassed(_) => "return_period_passed",
        }
    }
}
