//! [`CouponLedger`] in memory: campaigns, and coupons by name and member. Issuing and redeeming happen in the stock steps.

use std::ops::Bound;

use async_trait::async_trait;

use super::MemoryLedger;
use crate::coupon::{Campaign, Coupon, CouponLedger};
use crate::error::BackendError;
use crate::id::{BuyerId, CampaignId, CouponId};

#[async_trait]
impl CouponLedger for MemoryLedger {
    async fn campaigns_put(&self, campaigns: &[Campaign]) -> Result<(), BackendError> {
        let rows = campaigns.iter().map(|campaign| (campaign.id.clone(), campaign.clone()));
        self.tables().campaigns.extend(rows);
        Ok(())
    }

    async fn campaigns(&self) -> Result<Vec<Campaign>, BackendError> {
        Ok(self.tables().campaigns.values().cloned().collect())
    }

    async fn campaign(&self, id: &CampaignId) -> Result<Option<Campaign>, BackendError> {
        Ok(self.tables().campaigns.get(id).cloned())
    }

    async fn coupons(&self, ids: &[CouponId]) -> Result<Vec<Option<Coupon>>, BackendError> {
        let tables = self.tables();
        Ok(ids.iter().map(|id| tables.coupons.get(id).cloned()).collect())
    }

    async fn coupons_of<'a>(
        &self,
        member: &BuyerId,
        after: Option<&'a CouponId>,
        limit: usize,
    ) -> Result<Vec<Coupon>, BackendError> {
        let tables = self.tables();
        // The smallest name that a coupon can have: `-` is the first character of the alphabet.
        let Ok(first) = CouponId::new("-~-~-") else { return Ok(vec![]) };
        let from = match after {
            Some(after) => Bound::Excluded((member.clone(), after.clone())),
            None => Bound::Included((member.clone(), first)),
        };
        let names = tables.coupons_of.range((from, Bound::Unbounded)).take_while(|(whose, _)| whose == member);
        Ok(names.take(limit).filter_map(|(_, id)| tables.coupons.get(id)).cloned().collect())
    }
}
