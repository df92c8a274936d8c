//! Quantities and money: bounded on construction, checked in arithmetic, never a bare number in a signature.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Says why a number is not a quantity or an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Not within [`Quantity::MIN`]..=[`Quantity::MAX`].
    #[error("a quantity is from 1 to 1,000,000, not {0}")]
    Quantity(u64),
    /// Above [`Money::MAX`].
    #[error("an amount is at most {max} minor units", max = Money::MAX.minor())]
    Money,
}

/// A number of units of an item, 1 to 1,000,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u32")]
pub struct Quantity(u32);

impl Quantity {
    /// One unit.
    pub const MIN: Self = Self(1);
    /// A million units: a bound that keeps every sum of a batch far from overflow.
    pub const MAX: Self = Self(1_000_000);

    /// Checks and takes the number.
    ///
    /// # Errors
    /// [`UnitError::Quantity`] outside 1 to 1,000,000.
    pub fn new(units: u64) -> Result<Self, UnitError> {
        match u32::try_from(units) {
            Ok(n) if (Self::MIN.0..=Self::MAX.0).contains(&n) => Ok(Self(n)),
            _ => Err(UnitError::Quantity(units)),
        }
    }

    /// The number of units.
    #[must_use]
    pub const fn units(self) -> u32 {
        self.0
    }
}

impl TryFrom<u64> for Quantity {
    type Error = UnitError;
    fn try_from(units: u64) -> Result<Self, UnitError> {
        Self::new(units)
    }
}

impl From<Quantity> for u32 {
    fn from(q: Quantity) -> Self {
        q.0
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An amount in minor units of the shop's one currency (won, cents), 0 to 10^15.
///
/// One ledger has one currency; it is the embedder's to name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Money(u64);

/// An amount of Korean won, which has no smaller unit. Amounts above [`Money::MAX`] are cut to it.
#[must_use]
pub const fn won(amount: u64) -> Money {
    if amount > Money::MAX.0 { Money::MAX } else { Money(amount) }
}

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// 10^15 minor units. Sums of a batch (500 orders of 16 lines) stay inside 64 bits.
    pub const MAX: Self = Self(1_000_000_000_000_000);

    /// Checks and takes the number of minor units.
    ///
    /// # Errors
    /// [`UnitError::Money`] above [`Money::MAX`].
    pub fn new(minor: u64) -> Result<Self, UnitError> {
        if minor <= Self::MAX.0 { Ok(Self(minor)) } else { Err(UnitError::Money) }
    }

    /// The number of minor units.
    #[must_use]
    pub const fn minor(self) -> u64 {
        self.0
    }

    /// Adds, or `None` above [`Money::MAX`].
    #[must_use]
    pub fn plus(self, other: Self) -> Option<Self> {
        Self::new(self.0.checked_add(other.0)?).ok()
    }

    /// Subtracts, or `None` below zero.
    #[must_use]
    pub fn minus(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// The price of `quantity` units, or `None` above [`Money::MAX`].
    #[must_use]
    pub fn times(self, quantity: Quantity) -> Option<Self> {
        Self::new(self.0.checked_mul(u64::from(quantity.0))?).ok()
    }
}

impl TryFrom<u64> for Money {
    type Error = UnitError;
    fn try_from(minor: u64) -> Result<Self, UnitError> {
        Self::new(minor)
    }
}

impl From<Money> for u64 {
    fn from(m: Money) -> Self {
        m.0
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_number_panics_or_wraps(a in any::<u64>(), b in any::<u64>(), n in any::<u64>()) {
            let quantity = Quantity::new(n);
            prop_assert_eq!(quantity.is_ok(), (1..=1_000_000).contains(&n));
            if let (Ok(x), Ok(y)) = (Money::new(a), Money::new(b)) {
                prop_assert_eq!(x.plus(y).map(|m| m.minor()), (a + b <= Money::MAX.minor()).then(|| a + b));
                prop_assert_eq!(x.minus(y).map(|m| m.minor()), a.checked_sub(b));
                if let Ok(q) = quantity {
                    let exact = u128::from(a) * u128::from(n);
                    prop_assert_eq!(x.times(q).map(|m| u128::from(m.minor())), (exact <= u128::from(Money::MAX.minor())).then_some(exact));
                }
            }
            prop_assert!(won(a) <= Money::MAX);
        }
    }

    #[test]
    fn zero_units_are_no_quantity() {
        assert_eq!(Quantity::new(0), Err(UnitError::Quantity(0)));
        assert!(serde_json::from_str::<Quantity>("0").is_err());
        assert!(serde_json::from_str::<Quantity>("-1").is_err());
        assert!(serde_json::from_str::<Quantity>("1.5").is_err());
    }
}
