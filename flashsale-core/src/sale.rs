//! The terms of a sale: what is sold, how much of it, to whom, when, and for how long a hold lasts; and the lines of a purchase.
//!
//! Owns the shape and bounds of the terms. Does not own levels: what is left is stock's.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::{IdError, ItemId, SaleId};
use crate::time::Timestamp;
use crate::unit::{Money, Quantity, UnitError};

/// The largest number of items in one sale.
pub const ITEMS_MAX: usize = 64;
/// The largest number of lines in one purchase.
pub const LINES_MAX: usize = 16;
/// The shortest and the longest time that a gate may hold units.
pub const HOLD_RANGE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(3600));
/// The longest time that a buyer may be given to pay.
pub const PAY_WITHIN_MAX: Duration = Duration::from_secs(7 * 86_400);

/// From when (inclusive) to when (exclusive) something can be bought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Window {
    /// The first moment of the sale.
    pub opens_at: Timestamp,
    /// The first moment after the sale.
    pub closes_at: Timestamp,
}

impl Window {
    /// Always open.
    pub const ALWAYS: Self = Self { opens_at: Timestamp::from_ms(0), closes_at: Timestamp::FAR };
}

/// Whether a sale sells at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SaleState {
    /// Sells within its window.
    Open,
    /// Stopped for the moment: nothing is reserved or accepted, what was accepted goes on.
    Paused,
    /// Ended for good.
    Closed,
}

impl SaleState {
    /// The stable word for this state.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Paused => "paused",
            Self::Closed => "closed",
        }
    }
}

/// Says why terms cannot be a sale.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TermsError {
    /// A name is not an id.
    #[error(transparent)]
    Id(#[from] IdError),
    /// A number is out of bounds.
    #[error(transparent)]
    Unit(#[from] UnitError),
    /// No item, or more than [`ITEMS_MAX`].
    #[error("a sale has 1 to {ITEMS_MAX} items, not {0}")]
    Items(usize),
    /// No line, or more than [`LINES_MAX`].
    #[error("a purchase has 1 to {LINES_MAX} lines, not {0}")]
    Lines(usize),
    /// The same item twice.
    #[error("the item {0} stands there twice")]
    Twice(ItemId),
    /// It would close before it opens.
    #[error("a sale closes after it opens")]
    Window,
    /// The hold is outside [`HOLD_RANGE`].
    #[error("a hold lasts from 10 ms to one hour")]
    Hold,
    /// Longer than [`PAY_WITHIN_MAX`].
    #[error("a buyer has at most seven days to pay")]
    PayWithin,
}

/// An item of a sale.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Its name.
    pub id: ItemId,
    /// How many units are for sale.
    pub total: Quantity,
    /// What one unit costs.
    pub price: Money,
    /// How many units one buyer may have.
    pub per_buyer: Quantity,
}

impl Item {
    /// One unit of `name`, free of charge, one per buyer: change what differs.
    ///
    /// # Errors
    /// [`TermsError::Id`].
    pub fn named(name: &str) -> Result<Self, TermsError> {
        Ok(Self { id: ItemId::new(name)?, total: Quantity::MIN, price: Money::ZERO, per_buyer: Quantity::MIN })
    }

    /// Sets how many units are for sale.
    ///
    /// # Errors
    /// [`TermsError::Unit`].
    pub fn units(self, total: u64) -> Result<Self, TermsError> {
        Ok(Self { total: Quantity::new(total)?, ..self })
    }

    /// Sets what one unit costs.
    #[must_use]
    pub fn price(self, price: Money) -> Self {
        Self { price, ..self }
    }

    /// Sets how many units one buyer may have.
    ///
    /// # Errors
    /// [`TermsError::Unit`].
    pub fn per_buyer(self, units: u64) -> Result<Self, TermsError> {
        Ok(Self { per_buyer: Quantity::new(units)?, ..self })
    }
}

/// The terms of a sale.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sale {
    /// Its name.
    pub id: SaleId,
    /// When it sells.
    pub window: Window,
    /// How long the gate holds units for an order that is on its way to the ledger.
    pub hold: Duration,
    /// How long a buyer has to pay for an accepted order.
    pub pay_within: Duration,
    /// What it sells.
    pub items: Vec<Item>,
}

impl Sale {
    /// A sale without items, always open, holding for 30 s, to be paid within 10 minutes: change what differs.
    ///
    /// Thirty seconds outlast every request deadline; ten minutes suffice for a payment page.
    ///
    /// # Errors
    /// [`TermsError::Id`].
    pub fn named(name: &str) -> Result<Self, TermsError> {
        Ok(Self {
            id: SaleId::new(name)?,
            window: Window::ALWAYS,
            hold: Duration::from_secs(30),
            pay_within: Duration::from_secs(600),
            items: Vec::new(),
        })
    }

    /// Adds an item.
    #[must_use]
    pub fn item(mut self, item: Item) -> Self {
        self.items.push(item);
        self
    }

    /// Sets when it sells.
    #[must_use]
    pub fn window(self, opens_at: Timestamp, closes_at: Timestamp) -> Self {
        Self { window: Window { opens_at, closes_at }, ..self }
    }

    /// Sets how long the gate holds units.
    #[must_use]
    pub fn hold(self, hold: Duration) -> Self {
        Self { hold, ..self }
    }

    /// Sets how long a buyer has to pay.
    #[must_use]
    pub fn pay_within(self, pay_within: Duration) -> Self {
        Self { pay_within, ..self }
    }

    /// Checks the terms as a whole; every ledger calls this before it writes.
    ///
    /// # Errors
    /// [`TermsError::Items`], [`TermsError::Twice`], [`TermsError::Window`], [`TermsError::Hold`],
    /// [`TermsError::PayWithin`], in this order.
    pub fn check(&self) -> Result<(), TermsError> {
        if self.items.is_empty() || self.items.len() > ITEMS_MAX {
            return Err(TermsError::Items(self.items.len()));
        }
        for (n, item) in self.items.iter().enumerate() {
            if self.items[..n].iter().any(|other| other.id == item.id) {
                return Err(TermsError::Twice(item.id.clone()));
            }
        }
        if self.window.closes_at <= self.window.opens_at {
            return Err(TermsError::Window);
        }
        if self.hold < HOLD_RANGE.0 || self.hold > HOLD_RANGE.1 {
            return Err(TermsError::Hold);
        }
        if self.pay_within > PAY_WITHIN_MAX {
            return Err(TermsError::PayWithin);
        }
        Ok(())
    }
}

/// One line of a purchase: an item and how many units of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Line {
    /// What.
    pub item: ItemId,
    /// How many units.
    pub units: Quantity,
}

/// The lines of one purchase: 1 to [`LINES_MAX`], no item twice. All of them are taken, or none. A clone shares them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<Line>")]
pub struct Lines(Arc<[Line]>);

impl Lines {
    /// Checks and takes the lines.
    ///
    /// # Errors
    /// [`TermsError::Lines`], [`TermsError::Twice`], in this order.
    pub fn new(lines: Vec<Line>) -> Result<Self, TermsError> {
        if lines.is_empty() || lines.len() > LINES_MAX {
            return Err(TermsError::Lines(lines.len()));
        }
        for (n, line) in lines.iter().enumerate() {
            if lines[..n].iter().any(|other| other.item == line.item) {
                return Err(TermsError::Twice(line.item.clone()));
            }
        }
        Ok(Self(lines.into()))
    }

    /// No line at all: only the row of a fenced id has none.
    #[must_use]
    pub fn none() -> Self {
        Self([].into())
    }

    /// A single line.
    #[must_use]
    pub fn one(item: &ItemId, units: Quantity) -> Self {
        Self([Line { item: item.clone(), units }].into())
    }
}

impl TryFrom<Vec<Line>> for Lines {
    type Error = TermsError;
    fn try_from(lines: Vec<Line>) -> Result<Self, TermsError> {
        Self::new(lines)
    }
}

impl std::ops::Deref for Lines {
    type Target = [Line];
    fn deref(&self) -> &[Line] {
        &self.0
    }
}
