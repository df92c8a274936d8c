//! `CouponLedger` on SQL: campaigns and issued coupons. Issuing, redeeming and restoring are statements of the stock
//! steps and of the wallet's trades (**G4**).

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use flashsale_core::coupon::{Campaign, Coupon, CouponLedger, Discount};
use flashsale_core::error::BackendError;
use flashsale_core::{BuyerId, CampaignId, CouponId, OrderId};

use crate::ledger::{Backend, SqlLedger};
use crate::order::most;
use crate::tx::{End, Fault, Row, Tx, json};
use crate::value::{Rows, Value};

/// Selects coupons with the columns that [`decode`] reads.
macro_rules! select_coupons {
    ($rest:literal) => {
        concat!(
            "SELECT id, campaign, \"window\", member, takes_off, from_total, only_with, expires_at, used_by FROM coupon ",
            $rest
        )
    };
}

const ISSUE: &str = "INSERT INTO coupon (id, campaign, \"window\", member, takes_off, from_total, only_with, expires_at) \
                     SELECT r.id, r.campaign, r.label, r.member, r.takes_off, r.from_total, r.only_with, r.expires_at \
                     FROM {rows id:text campaign:text label:text member:text takes_off:int from_total:int only_with:text \
                     expires_at:int} r";
const REDEEM: &str = "UPDATE coupon SET used_by = r.used FROM {rows id:text used:text} r \
                      WHERE coupon.id = r.id AND coupon.used_by IS NULL";
const RESTORE: &str = "UPDATE coupon SET used_by = NULL FROM {rows id:text used:text} r \
                       WHERE coupon.id = r.id AND coupon.used_by = r.used";

fn decode(row: &Row) -> Result<Coupon, Fault> {
    let mut row = row.fields();
    Ok(Coupon {
        id: row.id()?,
        campaign: row.id()?,
        window: row.text()?.to_owned(),
        member: row.id()?,
        discount: Discount { takes_off: row.checked()?, from: row.checked()?, only_with: row.maybe_id()? },
        expires_at: row.time()?,
        used_by: row.maybe_id()?,
    })
}

/// The rows of these coupons. Without coupons no statement is sent.
pub(crate) async fn by_id(tx: &mut Tx<'_>, ids: Vec<&CouponId>) -> Result<HashMap<CouponId, Coupon>, Fault> {
    let ids: BTreeSet<&str> = ids.into_iter().map(CouponId::as_str).collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = tx.rows(select_coupons!("WHERE id {in} ORDER BY id{lock}"), vec![Value::list(ids)]).await?;
    rows.iter().map(|row| decode(row).map(|coupon| (coupon.id.clone(), coupon))).collect()
}

/// Writes coupons that were issued. A second one for the same member and window is refused by its own name.
pub(crate) fn issue(tx: &mut Tx<'_>, coupons: &[Coupon]) {
    let rows = Rows::of(coupons, |coupon| {
        [
            coupon.id.as_str().into(),
            coupon.campaign.as_str().into(),
            coupon.window.as_str().into(),
            coupon.member.as_str().into(),
            coupon.discount.takes_off.minor().into(),
            coupon.discount.from.minor().into(),
            coupon.discount.only_with.as_ref().map(|method| method.as_str()).into(),
            coupon.expires_at.into(),
        ]
    });
    tx.bulk_exactly(ISSUE, &[], rows, &[]);
}

fn uses(uses: Vec<(&CouponId, &OrderId)>) -> Rows<2> {
    Rows::of(uses, |(coupon, order)| [coupon.as_str().into(), order.as_str().into()])
}

/// Marks coupons as used, each of which must be free.
pub(crate) fn redeem(tx: &mut Tx<'_>, redeemed: Vec<(&CouponId, &OrderId)>) {
    tx.bulk_exactly(REDEEM, &[], uses(redeemed), &[]);
}

/// Frees coupons that these orders use.
pub(crate) fn restore(tx: &mut Tx<'_>, restored: Vec<(&CouponId, &OrderId)>) {
    tx.bulk(RESTORE, &[], uses(restored), &[]);
}

async fn put(mut tx: Tx<'_>, campaigns: Arc<[Campaign]>) -> Result<End<()>, Fault> {
    // The last of a name wins, as if they came one by one.
    let last: HashMap<&str, &Campaign> = campaigns.iter().map(|campaign| (campaign.id.as_str(), campaign)).collect();
    let names = Value::list(last.keys().copied());
    let mut rows = Rows::default();
    for (id, campaign) in last {
        rows.0.push([Value::from(id), json(campaign)?]);
    }
    tx.write("DELETE FROM campaign WHERE id {in}", vec![names]);
    let text = "INSERT INTO campaign (id, terms) SELECT r.id, r.terms FROM {rows id:text terms:text} r";
    tx.bulk_exactly(text, &[], rows, &[]);
    Ok(End::Commit(()))
}

async fn campaigns(mut tx: Tx<'_>, text: &'static str, values: Vec<Value>) -> Result<Vec<Campaign>, Fault> {
    let rows = tx.rows(text, values).await?;
    rows.iter().map(|row| row.fields().json()).collect()
}

async fn list(mut tx: Tx<'_>, text: &'static str, values: Vec<Value>) -> Result<Vec<Coupon>, Fault> {
    let rows = tx.rows(text, values).await?;
    rows.iter().map(decode).collect()
}

async fn coupons(mut tx: Tx<'_>, ids: Vec<CouponId>) -> Result<Vec<Option<Coupon>>, Fault> {
    let known = by_id(&mut tx, ids.iter().collect()).await?;
    Ok(ids.iter().map(|id| known.get(id).cloned()).collect())
}

#[async_trait]
impl<D: Backend> CouponLedger for SqlLedger<D> {
    async fn campaigns_put(&self, campaigns: &[Campaign]) -> Result<(), BackendError> {
        let campaigns: Arc<[Campaign]> = campaigns.into();
        self.write("ledger.campaigns_put", move |tx| Box::pin(put(tx, campaigns.clone()))).await
    }

    async fn campaigns(&self) -> Result<Vec<Campaign>, BackendError> {
        let text = "SELECT terms FROM campaign ORDER BY id";
        self.look("ledger.campaigns", move |tx| Box::pin(campaigns(tx, text, vec![]))).await
    }

    async fn campaign(&self, id: &CampaignId) -> Result<Option<Campaign>, BackendError> {
        let (text, values) = ("SELECT terms FROM campaign WHERE id = ?", vec![id.as_str().into()]);
        Ok(self.look("ledger.campaign", move |tx| Box::pin(campaigns(tx, text, values.clone()))).await?.pop())
    }

    async fn coupons(&self, ids: &[CouponId]) -> Result<Vec<Option<Coupon>>, BackendError> {
        let ids = ids.to_vec();
        self.look("ledger.coupons", move |tx| Box::pin(coupons(tx, ids.clone()))).await
    }

    async fn coupons_of<'a>(
        &self,
        member: &BuyerId,
        after: Option<&'a CouponId>,
        limit: usize,
    ) -> Result<Vec<Coupon>, BackendError> {
        let text = select_coupons!("WHERE member = ? AND id > ? ORDER BY id LIMIT ?");
        let after = after.map_or("", CouponId::as_str);
        let values = vec![member.as_str().into(), after.into(), most(limit)];
        self.look("ledger.coupons_of", move |tx| Box::pin(list(tx, text, values.clone()))).await
    }
}
