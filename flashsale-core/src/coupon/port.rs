//! The ledger's rows of campaigns and coupons. Issuing, redeeming and restoring happen inside the stock transactions.

use std::fmt::Debug;

use async_trait::async_trait;

use crate::coupon::{Campaign, Coupon};
use crate::error::BackendError;
use crate::id::{BuyerId, CampaignId, CouponId};

/// Campaigns and issued coupons. Beside it, a coupon ledger is a [`StockLedger`](crate::stock::StockLedger): claims are accepted there.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait CouponLedger: Debug + Send + Sync {
    /// Writes down campaigns; the terms of a known one are replaced (windows that are open keep theirs).
    async fn campaigns_put(&self, campaigns: &[Campaign]) -> Result<(), BackendError>;

    /// All campaigns, in order of name.
    async fn campaigns(&self) -> Result<Vec<Campaign>, BackendError>;

    /// The campaign of this name.
    async fn campaign(&self, id: &CampaignId) -> Result<Option<Campaign>, BackendError>;

    /// These coupons, in the order asked for.
    async fn coupons(&self, ids: &[CouponId]) -> Result<Vec<Option<Coupon>>, BackendError>;

    /// At most `limit` coupons of a member with names above `after`, in order of name.
    async fn coupons_of<'a>(
        &self,
        member: &BuyerId,
        after: Option<&'a CouponId>,
        limit: usize,
    ) -> Result<Vec<Coupon>, BackendError>;
}
