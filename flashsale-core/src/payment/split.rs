//! Who pays what when a coupon is used: a pure rule.

use serde::{Deserialize, Serialize};

use crate::unit::Money;

/// The split of an amount: the buyer pays less, the seller gets all of it, the platform funds the difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Split {
    /// What the buyer pays.
    pub buyer_pays: Money,
    /// What the seller gets: the undiscounted amount.
    pub seller_gets: Money,
    /// What the platform adds.
    pub funded: Money,
}

impl Split {
    /// Splits `amount` when `off` is taken off; never more than all of it.
    ///
    /// ```
    /// use flashsale_core::{payment::Split, won};
    /// let split = Split::of(won(10_000), won(3_000));
    /// assert_eq!((split.buyer_pays, split.seller_gets, split.funded), (won(7_000), won(10_000), won(3_000)));
    /// ```
    #[must_use]
    pub fn of(amount: Money, off: Money) -> Self {
        let funded = off.min(amount);
        Self { buyer_pays: amount.minus(funded).unwrap_or(Money::ZERO), seller_gets: amount, funded }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_split_neither_makes_nor_loses_money(amount in 0..=Money::MAX.minor(), off in 0..=Money::MAX.minor()) {
            let split = Split::of(Money::new(amount).unwrap(), Money::new(off).unwrap());
            prop_assert_eq!(split.buyer_pays.minor() + split.funded.minor(), split.seller_gets.minor());
            prop_assert_eq!(split.seller_gets.minor(), amount);
        }
    }
}
