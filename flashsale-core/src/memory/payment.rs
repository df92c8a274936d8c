//! [`WalletLedger`] in memory: balances, entries, and what became of each request and each payment key.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{MemoryLedger, Tables};
use crate::discount::CouponRefusal;
use crate::error::{BackendError, ErrorKind};
use crate::event::{Event, Fact, WalletFact};
use crate::id::{BuyerId, CouponId, Method, OrderId};
use crate::payment::{
    Capture, Charge, DeclineReason, EntryKind, Fenced, Outcome, PaymentKey, Split, WalletAct, WalletDone, WalletEntry,
    WalletLedger, WalletRefusal, WalletRequest,
};
use crate::time::Timestamp;
use crate::unit::Money;

/// Money. Balances are signed: the platform's own account pays for coupons before it has anything.
#[derive(Debug, Clone, Default)]
pub(super) struct WalletRows {
    pub(super) balances: BTreeMap<BuyerId, i64>,
    entries: Vec<WalletEntry>,
    requests: BTreeMap<OrderId, (WalletAct, WalletDone)>,
    /// By order and attempt: how it is paid is no part of a key's name.
    pub(super) payments: BTreeMap<(OrderId, u32), Payment>,
    /// What was put in, less what was taken out.
    pub(super) put_in: i64,
}

/// What became of a payment key.
#[derive(Debug, Clone)]
pub(super) enum Payment {
    Approved { buyer: BuyerId, amount: Money, then: Then },
    Declined(DeclineReason),
    Fenced,
}

/// Where approved money went.
#[derive(Debug, Clone)]
pub(super) enum Then {
    /// Nowhere yet: it is neither the buyer's nor the seller's.
    Waits,
    Captured {
        seller: BuyerId,
        seller_gets: Money,
        funded: Money,
    },
    GivenBack,
}

/// The name of a key.
fn name(key: &PaymentKey) -> (OrderId, u32) {
    (key.order.clone(), key.attempt)
}

/// The account that pays for coupons.
fn platform() -> BuyerId {
    BuyerId::new("platform").expect("a constant id")
}

fn minor(amount: Money) -> i64 {
    i64::try_from(amount.minor()).unwrap_or(i64::MAX)
}

/// What an account shows: an account in debt has nothing.
fn shown(balance: i64) -> Money {
    u64::try_from(balance).map_or(Money::ZERO, |minor| Money::new(minor).unwrap_or(Money::MAX))
}

impl WalletRows {
    fn balance(&self, member: &BuyerId) -> i64 {
        self.balances.get(member).copied().unwrap_or(0)
    }

    /// Whether a trade of this name used the coupon.
    pub(super) fn redeems(&self, request: &OrderId, coupon: &CouponId) -> bool {
        matches!(self.requests.get(request), Some((WalletAct::Trade { coupon: Some(used), .. }, _)) if used == coupon)
    }

    fn can_take(&self, member: &BuyerId, amount: Money) -> bool {
        self.balance(member).saturating_add(minor(amount)) <= minor(Money::MAX)
    }
}

impl Tables {
    /// Moves money of one account, with its entry and its fact. Nothing is no movement.
    fn move_money(&mut self, member: &BuyerId, kind: EntryKind, amount: i64, cause: &str, now: Timestamp) {
        if amount == 0 {
            return;
        }
        let wallet = &mut self.wallet;
        let balance = wallet.balances.entry(member.clone()).or_insert(0);
        *balance = balance.saturating_add(amount);
        let (no, balance) = (wallet.entries.len() as u64 + 1, shown(*balance));
        let (member, cause) = (member.clone(), cause.to_owned());
        let told = WalletFact { member: member.clone(), amount, balance, cause: cause.clone() };
        wallet.entries.push(WalletEntry { no, member: member.clone(), kind, amount, balance, cause, at: now });
        let fact = match kind {
            EntryKind::Charged => Fact::WalletCharged(told),
            EntryKind::Withdrawn => Fact::WalletWithdrawn(told),
            EntryKind::Paid => Fact::WalletPaid(told),
            EntryKind::Received => Fact::WalletReceived(told),
            EntryKind::Refunded => Fact::WalletRefunded(told),
            EntryKind::Funded => Fact::WalletFunded(told),
        };
        self.outbox.tell([Event {
            subject: member.as_str().to_owned(),
            version: no,
            sale: None,
            time: now,
            fact,
            trace: None,
        }]);
    }

    fn request(&mut self, request: &WalletRequest, now: Timestamp) -> Result<WalletDone, WalletRefusal> {
        if let Some((act, done)) = self.wallet.requests.get(&request.id) {
            let repeated = WalletDone { replayed: true, ..done.clone() };
            return if *act == request.act { Ok(repeated) } else { Err(WalletRefusal::Conflict) };
        }
        let (member, cause) = (request.id.buyer(), request.id.as_str());
        let split = match &request.act {
            WalletAct::Charge { amount } | WalletAct::Withdraw { amount } if *amount == Money::ZERO => {
                return Err(WalletRefusal::Zero);
            }
            WalletAct::Charge { amount } => {
                if !self.wallet.can_take(&member, *amount) {
                    return Err(WalletRefusal::TooMuch);
                }
                self.move_money(&member, EntryKind::Charged, minor(*amount), cause, now);
                self.wallet.put_in = self.wallet.put_in.saturating_add(minor(*amount));
                Split::of(*amount, Money::ZERO)
            }
            WalletAct::Withdraw { amount } => {
                if self.wallet.balance(&member) < minor(*amount) {
                    return Err(WalletRefusal::Insufficient);
                }
                self.move_money(&member, EntryKind::Withdrawn, -minor(*amount), cause, now);
                self.wallet.put_in = self.wallet.put_in.saturating_sub(minor(*amount));
                Split::of(*amount, Money::ZERO)
            }
            WalletAct::Trade { seller, amount, coupon } => {
                self.trade(&request.id, &member, seller, *amount, coupon.as_ref(), now)?
            }
        };
        let done = WalletDone { balance: shown(self.wallet.balance(&member)), split, at: now, replayed: false };
        self.wallet.requests.insert(request.id.clone(), (request.act.clone(), done.clone()));
        Ok(done)
    }

    fn trade(
        &mut self,
        id: &OrderId,
        buyer: &BuyerId,
        seller: &BuyerId,
        amount: Money,
        coupon: Option<&CouponId>,
        now: Timestamp,
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
            Some(Some(coupon)) => coupon.off(buyer.as_str(), amount, Some(&method), now),
        };
        let split = Split::of(amount, off.map_err(WalletRefusal::Coupon)?);
        if self.wallet.balance(buyer) < minor(split.buyer_pays) {
            return Err(WalletRefusal::Insufficient);
        }
        if !self.wallet.can_take(seller, split.seller_gets) {
            return Err(WalletRefusal::TooMuch);
        }
        if let Some(coupon) = coupon.and_then(|id| self.coupons.get_mut(id)) {
            coupon.used_by = Some(id.clone());
            let fact = Fact::CouponRedeemed { coupon: coupon.id.clone(), used_by: id.clone(), funded: split.funded };
            let subject = id.as_str().to_owned();
            self.outbox.tell([Event { subject, version: 1, sale: None, time: now, fact, trace: None }]);
        }
        self.move_money(buyer, EntryKind::Paid, -minor(split.buyer_pays), id.as_str(), now);
        self.move_money(seller, EntryKind::Received, minor(split.seller_gets), id.as_str(), now);
        self.move_money(&platform(), EntryKind::Funded, -minor(split.funded), id.as_str(), now);
        Ok(split)
    }

    fn pay(&mut self, charge: &Charge, now: Timestamp) -> Outcome {
        if !self.wallet.payments.contains_key(&name(&charge.key)) {
            let payment = if self.wallet.balance(&charge.buyer) < minor(charge.amount) {
                Payment::Declined(DeclineReason::Insufficient)
            } else {
                let cause = charge.key.to_string();
                self.move_money(&charge.buyer, EntryKind::Paid, -minor(charge.amount), &cause, now);
                Payment::Approved { buyer: charge.buyer.clone(), amount: charge.amount, then: Then::Waits }
            };
            self.wallet.payments.insert(name(&charge.key), payment);
        }
        self.paid(&charge.key).unwrap_or(Outcome::Unknown)
    }

    fn paid(&self, key: &PaymentKey) -> Option<Outcome> {
        Some(match self.wallet.payments.get(&name(key))? {
            Payment::Approved { amount, .. } => Outcome::Approved { amount: *amount, reference: key.to_string() },
            Payment::Declined(reason) => Outcome::Declined(*reason),
            Payment::Fenced => Outcome::Declined(DeclineReason::Refused),
        })
    }

    fn fence(&mut self, key: &PaymentKey) -> Fenced {
        match self.wallet.payments.entry(name(key)).or_insert(Payment::Fenced) {
            Payment::Approved { amount, .. } => Fenced::Approved { amount: *amount, reference: key.to_string() },
            Payment::Declined(_) | Payment::Fenced => Fenced::Cancelled,
        }
    }

    fn capture(&mut self, seller: &BuyerId, capture: &Capture, now: Timestamp) {
        let Some(Payment::Approved { then, .. }) = self.wallet.payments.get_mut(&name(&capture.key)) else { return };
        // Money that went back to the buyer is not paid to the seller as well.
        if !matches!(then, Then::Waits) {
            return;
        }
        let Capture { key, seller_gets, funded } = capture;
        *then = Then::Captured { seller: seller.clone(), seller_gets: *seller_gets, funded: *funded };
        let cause = key.to_string();
        self.move_money(seller, EntryKind::Received, minor(*seller_gets), &cause, now);
        self.move_money(&platform(), EntryKind::Funded, -minor(*funded), &cause, now);
    }

    fn give_back(&mut self, key: &PaymentKey, now: Timestamp) {
        let Some(Payment::Approved { buyer, amount, then }) = self.wallet.payments.get_mut(&name(key)) else { return };
        let (buyer, amount, cause) = (buyer.clone(), *amount, key.to_string());
        match std::mem::replace(then, Then::GivenBack) {
            Then::GivenBack => return,
            Then::Waits => {}
            // The seller had it already: it is taken from him, or the refund would make money.
            Then::Captured { seller, seller_gets, funded } => {
                self.move_money(&seller, EntryKind::Refunded, -minor(seller_gets), &cause, now);
                self.move_money(&platform(), EntryKind::Refunded, minor(funded), &cause, now);
            }
        }
        self.move_money(&buyer, EntryKind::Refunded, minor(amount), &cause, now);
    }
}

#[async_trait]
impl WalletLedger for MemoryLedger {
    async fn wallet(&self, batch: &[WalletRequest]) -> Result<Vec<Result<WalletDone, WalletRefusal>>, BackendError> {
        let now = self.now();
        let mut tables = self.tables();
        Ok(batch.iter().map(|request| tables.request(request, now)).collect())
    }

    async fn balance(&self, member: &BuyerId) -> Result<Money, BackendError> {
        Ok(shown(self.tables().wallet.balance(member)))
    }

    async fn entries(
        &self,
        member: &BuyerId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<WalletEntry>, BackendError> {
        let tables = self.tables();
        let before = before.unwrap_or(u64::MAX);
        let his = tables.wallet.entries.iter().rev().filter(|entry| entry.no < before && entry.member == *member);
        Ok(his.take(limit).cloned().collect())
    }

    async fn pay(&self, batch: &[Charge]) -> Result<Vec<Outcome>, BackendError> {
        let now = self.now();
        let mut tables = self.tables();
        Ok(batch.iter().map(|charge| tables.pay(charge, now)).collect())
    }

    async fn paid(&self, batch: &[PaymentKey]) -> Result<Vec<Option<Outcome>>, BackendError> {
        let tables = self.tables();
        Ok(batch.iter().map(|key| tables.paid(key)).collect())
    }

    async fn fence(&self, batch: &[PaymentKey]) -> Result<Vec<Fenced>, BackendError> {
        let mut tables = self.tables();
        Ok(batch.iter().map(|key| tables.fence(key)).collect())
    }

    async fn settle(&self, seller: &BuyerId, batch: &[Capture]) -> Result<(), BackendError> {
        let now = self.now();
        let mut tables = self.tables();
        let approved = |capture: &&Capture| {
            matches!(tables.wallet.payments.get(&name(&capture.key)), Some(Payment::Approved { .. }))
        };
        if let Some(capture) = batch.iter().find(|capture| !approved(capture)) {
            let why = format!("{} was never approved", capture.key);
            return Err(BackendError::new(ErrorKind::Data, "wallet.settle", why));
        }
        for capture in batch {
            tables.capture(seller, capture, now);
        }
        Ok(())
    }

    async fn give_back(&self, batch: &[PaymentKey]) -> Result<(), BackendError> {
        let now = self.now();
        let mut tables = self.tables();
        for key in batch {
            tables.give_back(key, now);
        }
        Ok(())
    }
}
