//! The coupon as the ledger sees it under its lock: whose it is, what it takes off, whether it is used.
//!
//! Owns the row and the one rule that the accepting transaction and the wallet's trade both ask. It stands outside the
//! nouns because stock and payment need it and may not import [`coupon`](crate::coupon), which owns campaigns and windows.

use serde::{Deserialize, Serialize};

use crate::id::{BuyerId, CampaignId, CouponId, Method, OrderId};
use crate::time::Timestamp;
use crate::unit::Money;

/// What a coupon takes off, and from what total on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discount {
    /// Taken off the list total; never more than that total.
    pub takes_off: Money,
    /// The smallest list total that it may be used on.
    pub from: Money,
    /// The only way to pay with which it may be used, if there is one.
    pub only_with: Option<Method>,
}

/// An issued coupon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coupon {
    /// `campaign~window~member`.
    pub id: CouponId,
    /// The campaign that issued it.
    pub campaign: CampaignId,
    /// The label of the window in which it was issued, such as `2026-11-22`.
    pub window: String,
    /// To whom it was issued.
    pub member: BuyerId,
    /// What it is worth.
    pub discount: Discount,
    /// The first moment at which it is no longer valid.
    pub expires_at: Timestamp,
    /// The order or trade that uses it.
    pub used_by: Option<OrderId>,
}

/// Why a coupon cannot be used on an order, in precedence order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum CouponRefusal {
    /// There is no such coupon, or it is somebody else's: the two are not told apart.
    #[error("there is no such coupon")]
    NotYours,
    /// Another order uses it.
    #[error("the coupon is used already")]
    Used,
    /// It is no longer valid.
    #[error("the coupon has expired")]
    Expired,
    /// The list total is below its minimum.
    #[error("the total is below the coupon's minimum")]
    BelowMinimum,
    /// It may only be used with another way to pay.
    #[error("the coupon cannot be used with this way to pay")]
    Method,
}

impl Coupon {
    /// How much this coupon takes off a list total, for this buyer, paying this way, now.
    ///
    /// # Errors
    /// The first [`CouponRefusal`] that applies, in the enum's order.
    pub fn off(
        &self,
        buyer: &str,
        list: Money,
        method: Option<&Method>,
        now: Timestamp,
    ) -> Result<Money, CouponRefusal> {
        if self.member.as_str() != buyer {
            return Err(CouponRefusal::NotYours);
        }
        if self.used_by.is_some() {
            return Err(CouponRefusal::Used);
        }
        if now >= self.expires_at {
            return Err(CouponRefusal::Expired);
        }
        if list < self.discount.from {
            return Err(CouponRefusal::BelowMinimum);
        }
        match &self.discount.only_with {
            Some(only) if Some(only) != method => Err(CouponRefusal::Method),
            _ => Ok(self.discount.takes_off.min(list)),
        }
    }
}
