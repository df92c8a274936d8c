//! Whether there will be something left when one's turn comes.
//!
//! Owns the rule. Does not own the levels: whoever knows the stock tells the room ([`Horizon`]).

/// What there is to be had behind the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Horizon {
    /// Units that nobody has.
    pub left: u64,
    /// Units of requests and orders that are not final: they may come back.
    pub coming: u64,
    /// The most that one member can take.
    pub each: u32,
}

/// What a member is told of his chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Chance {
    /// If all before him take all they may, there is still one for him.
    Likely,
    /// Only if some of those before him do not buy.
    Unlikely,
    /// Nothing is left, and nothing can come back.
    NoneLeft,
}

impl Chance {
    /// The stable word.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Likely => "likely",
            Self::Unlikely => "unlikely",
            Self::NoneLeft => "none_left",
        }
    }

    /// The chance of one with `before` people before him: in line, and with a turn. Never a promise, and *none left* is said only when it is certain.
    #[must_use]
    pub fn of(before: u64, horizon: Horizon) -> Self {
        if horizon.left.saturating_add(horizon.coming) == 0 {
            Self::NoneLeft
        } else if before.saturating_mul(u64::from(horizon.each.max(1))) < horizon.left {
            Self::Likely
        } else {
            Self::Unlikely
        }
    }
}

impl Horizon {
    /// Up to which number of the line the chance is *likely*, with `inside` people before the first of it.
    #[must_use]
    pub fn likely_until(self, serving: u64, inside: u64) -> u64 {
        let likely = self.left.div_ceil(u64::from(self.each.max(1))).saturating_sub(inside);
        serving.saturating_add(likely)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn likely_means_even_if_everybody_before_takes_all_he_may() {
        let horizon = Horizon { left: 10, coming: 0, each: 2 };
        assert_eq!(Chance::of(4, horizon), Chance::Likely);
        assert_eq!(Chance::of(5, horizon), Chance::Unlikely);
    }

    #[test]
    fn none_left_is_said_only_when_nothing_can_come_back() {
        assert_eq!(Chance::of(0, Horizon { left: 0, coming: 1, each: 1 }), Chance::Unlikely);
        assert_eq!(Chance::of(0, Horizon { left: 0, coming: 0, each: 1 }), Chance::NoneLeft);
        assert_eq!(Chance::of(1_000_000, Horizon { left: 1, coming: 0, each: 1 }), Chance::Unlikely);
    }

    proptest! {
        #[test]
        fn the_public_bound_agrees_with_the_personal_answer(
            left in 1_u64..500, each in 1_u32..5, serving in 0_u64..100, inside in 0_u64..50, no in 1_u64..800
        ) {
            prop_assume!(no > serving);
            let horizon = Horizon { left, coming: 0, each };
            let before = no - serving - 1 + inside;
            prop_assert_eq!(no <= horizon.likely_until(serving, inside), Chance::of(before, horizon) == Chance::Likely);
        }
    }
}
