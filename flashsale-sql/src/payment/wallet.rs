//! Requests to wallets: charge, withdraw, trade, each once under its id. A refusal changes nothing and is not recorded.

use std::collections::HashMap;
use std::sync::Arc;

use flashsale_core::coupon::Coupon;
use flashsale_core::discount::CouponRefusal;
use flashsale_core::event::Fact;
use flashsale_core::payment::{EntryKind, Split, WalletAct, WalletDone, WalletRefusal, WalletRequest};
use flashsale_core::{BuyerId, CouponId, Method, Money, OrderId, Timestamp};

use super::till::{Till, platform};
use super::{minor, shown};
use crate::coupon;
use crate::tx::{End, Fault, Tx, json};
use crate::value::{Rows, Value};

const KNOWN: &str =
    "SELECT id, content, balance, buyer_pays, seller_gets, funded, at FROM wallet_request WHERE id {in}";
const RECORD: &str = "INSERT INTO wallet_request (id, content, balance, buyer_pays, seller_gets, funded, at) \
                      SELECT r.id, r.content, r.balance, r.buyer_pays, r.seller_gets, r.funded, r.at \
                      FROM {rows id:text content:text balance:int buyer_pays:int seller_gets:int funded:int at:int} r";

type Answer = Result<WalletDone, WalletRefusal>;

/// What a batch of requests reads and does.
struct Counter {
    till: Till,
    known: HashMap<OrderId, (WalletAct, WalletDone)>,
    coupons: HashMap<CouponId, Coupon>,
    redeemed: Vec<(CouponId, OrderId)>,
    now: Timestamp,
}

pub(super) async fn wallet(mut tx: Tx<'_>, batch: Arc<[WalletRequest]>) -> Result<End<Vec<Answer>>, Fault> {
    let tx = &mut tx;
    let trades = || {
        batch.iter().filter_map(|request| match &request.act {
            WalletAct::Trade { seller, coupon, .. } => Some((seller, coupon.as_ref())),
            WalletAct::Charge { .. } | WalletAct::Withdraw { .. } => None,
        })
    };
    let buyers = batch.iter().map(|request| request.id.buyer());
    // First, because it locks: what a repeated request did is there once the lock is had.
    let till = Till::open(tx, buyers.chain(trades().map(|(seller, _)| seller.clone())).collect()).await?;
    let known = known(tx, &batch).await?;
    let coupons = coupon::by_id(tx, trades().filter_map(|(_, coupon)| coupon).collect()).await?;
    let mut counter = Counter { till, known, coupons, redeemed: vec![], now: tx.now() };
    let (mut answers, mut done) = (Vec::with_capacity(batch.len()), Rows(vec![]));
    for request in &*batch {
        let answer = counter.request(request);
        if let Ok(first) = answer.as_ref().map_err(drop).and_then(|done| if done.replayed { Err(()) } else { Ok(done) })
        {
            done.0.push(record(request, first)?);
        }
        answers.push(answer);
    }
    if done.is_empty() {
        return Ok(End::Nothing(answers));
    }
    tx.bulk_exactly(RECORD, &[], done, &[]);
    coupon::redeem(tx, counter.redeemed.iter().map(|(coupon, by)| (coupon, by)).collect());
    counter.till.close(tx)?;
    Ok(End::Commit(answers))
}

fn record(request: &WalletRequest, done: &WalletDone) -> Result<[Value; 7], Fault> {
    let Split { buyer_pays, seller_gets, funded } = done.split;
    let [balance, buyer_pays, seller_gets, funded] =
        [done.balance, buyer_pays, seller_gets, funded].map(|amount| Value::from(amount.minor()));
    Ok([request.id.as_str().into(), json(&request.act)?, balance, buyer_pays, seller_gets, funded, done.at.into()])
}

async fn known(tx: &mut Tx<'_>, batch: &[WalletRequest]) -> Result<HashMap<OrderId, (WalletAct, WalletDone)>, Fault> {
    let ids = Value::list(batch.iter().map(|request| request.id.as_str()));
    let rows = tx.rows(KNOWN, vec![ids]).await?;
    let mut known = HashMap::with_capacity(rows.len());
    for row in &rows {
        let mut row = row.fields();
        let (id, act) = (row.id()?, row.json()?);
        let balance = row.checked()?;
        let split = Split { buyer_pays: row.checked()?, seller_gets: row.checked()?, funded: row.checked()? };
        known.insert(id, (act, WalletDone { balance, split, at: row.time()?, replayed: true }));
    }
    Ok(known)
}

impl Counter {
    fn request(&mut self, request: &WalletRequest) -> Answer {
        if let Some((act, done)) = self.known.get(&request.id) {
            return if *act == request.act { Ok(done.clone()) } else { Err(WalletRefusal::Conflict) };
        }
        let (member, cause) = (request.id.buyer(), request.id.as_str());
        let split = match &request.act {
            WalletAct::Charge { amount } | WalletAct::Withdraw { amount } if *amount == Money::ZERO => {
                return Err(WalletRefusal::Zero);
            }
            WalletAct::Charge { amount } => {
                if !self.till.can_take(&member, *amount) {
                    return Err(WalletRefusal::TooMuch);
                }
                self.till.move_money(&member, EntryKind::Charged, minor(*amount), cause);
                Split::of(*amount, Money::ZERO)
            }
            WalletAct::Withdraw { amount } => {
                if self.till.balance(&member) < minor(*amount) {
                    return Err(WalletRefusal::Insufficient);
                }
                self.till.move_money(&member, EntryKind::Withdrawn, -minor(*amount), cause);
                Split::of(*amount, Money::ZERO)
            }
            WalletAct::Trade { seller, amount, coupon } => {
                self.trade(&request.id, &member, seller, *amount, coupon.as_ref())?
            }
        };
        let done = WalletDone { balance: shown(self.till.balance(&member)), split, at: self.now, replayed: false };
        let again = WalletDone { replayed: true, ..done.clone() };
        self.known.insert(request.id.clone(), (request.act.clone(), again));
        Ok(done)
    }

    fn trade(
        &mut self,
        id: &OrderId,
        buyer: &BuyerId,
        seller: &BuyerId,
        amount: Money,
        coupon: Option<&CouponId>,
    ) -> Result<Split, WalletRefusal> {
        if amount == Money::ZERO {
            return Err(WalletRefusal::Zero);
        }
        if seller == buyer {
            return Err(WalletRefusal::SameMember);
        }
        let method = Method::new("wallet").expect("a constant id");
        let off = match coupon.map(|id| self.coupons.get(id)) {
            None => Ok(Money::ZERO),
            Some(None) => Err(CouponRefusal::NotYours),
            Some(Some(coupon)) => coupon.off(buyer.as_str(), amount, Some(&method), self.now),
        };
        let split = Split::of(amount, off.map_err(WalletRefusal::Coupon)?);
        if self.till.balance(buyer) < minor(split.buyer_pays) {
            return Err(WalletRefusal::Insufficient);
        }
        if !self.till.can_take(seller, split.seller_gets) {
            return Err(WalletRefusal::TooMuch);
        }
        if let Some(coupon) = coupon.and_then(|id| self.coupons.get_mut(id)) {
            coupon.used_by = Some(id.clone());
            self.redeemed.push((coupon.id.clone(), id.clone()));
            let fact = Fact::CouponRedeemed { coupon: coupon.id.clone(), used_by: id.clone(), funded: split.funded };
            self.till.tell(id.as_str(), 1, fact);
        }
        self.till.move_money(buyer, EntryKind::Paid, -minor(split.buyer_pays), id.as_str());
        self.till.move_money(seller, EntryKind::Received, minor(split.seller_gets), id.as_str());
        self.till.move_money(&platform(), EntryKind::Funded, -minor(split.funded), id.as_str());
        Ok(split)
    }
}
