//! Refusals of the wallet, in precedence order.

use crate::discount::CouponRefusal;

/// Why a wallet does not do what it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum WalletRefusal {
    /// The same id stands for something else.
    #[error("this key was used for something else")]
    Conflict,
    /// An amount of nothing.
    #[error("an amount is at least 1")]
    Zero,
    /// A member cannot trade with himself.
    #[error("buyer and seller are the same member")]
    SameMember,
    /// The coupon cannot be used.
    #[error(transparent)]
    Coupon(CouponRefusal),
    /// There is too little money in the wallet.
    #[error("there is too little money in the wallet")]
    Insufficient,
    /// The balance would exceed what a wallet can hold.
    #[error("a wallet cannot hold so much")]
    TooMuch,
}

impl WalletRefusal {
    /// The stable word for this refusal.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Conflict => "key_reused",
            Self::Zero => "amount_zero",
            Self::SameMember => "same_member",
            Self::Coupon(CouponRefusal::NotYours) => "coupon_unknown",
            Self::Coupon(CouponRefusal::Used) => "coupon_used",
            Self::Coupon(CouponRefusal::Expired) => "coupon_expired",
            Self::Coupon(CouponRefusal::BelowMinimum) => "coupon_minimum",
            Self::Coupon(CouponRefusal::Method) => "coupon_method",
            Self::Insufficient => "insufficient",
            Self::TooMuch => "too_much",
        }
    }
}
