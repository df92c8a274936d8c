//! Payments of orders from wallets, each under its fixed key: paid, fenced, captured, given back, once each.

use std::collections::BTreeMap;
use std::sync::Arc;

use flashsale_core::payment::{Capture, Charge, DeclineReason, EntryKind, Fenced, Outcome, PaymentKey};
use flashsale_core::{BuyerId, Money, OrderId};

use super::minor;
use super::till::{Till, platform};
use crate::tx::{End, Fault, Fields, Tx};
use crate::value::{Rows, Value};

const KNOWN: &str = "SELECT order_id, attempt, state, buyer, amount, reason, seller, seller_gets, funded \
                     FROM payment WHERE order_id {in} ORDER BY order_id, attempt{lock}";
const NEW: &str = "INSERT INTO payment (order_id, attempt, state, buyer, amount, reason, at) \
                   SELECT r.order_id, r.attempt, r.state, r.buyer, r.amount, r.reason, ? \
                   FROM {rows order_id:text attempt:int state:text buyer:text amount:int reason:text} r";
const MOVED: &str = "UPDATE payment SET state = r.state, seller = r.seller, seller_gets = r.seller_gets, funded = r.funded, \
                     at = r.at FROM {rows order_id:text attempt:int state:text seller:text seller_gets:int funded:int at:int} r \
                     WHERE payment.order_id = r.order_id AND payment.attempt = r.attempt";

/// The name of a key: the order and the attempt. How it is paid is no part of it.
type Name = (OrderId, u32);

fn name(key: &PaymentKey) -> Name {
    (key.order.clone(), key.attempt)
}

/// What became of a key.
#[derive(Debug, Clone)]
enum Payment {
    Approved { buyer: BuyerId, amount: Money, then: Then },
    Declined(DeclineReason),
    Fenced,
}

/// Where approved money went.
#[derive(Debug, Clone)]
enum Then {
    /// Nowhere yet: it is neither the buyer's nor the seller's.
    Waits,
    Captured {
        seller: BuyerId,
        seller_gets: Money,
        funded: Money,
    },
    GivenBack,
}

/// The keys of a batch; those in `new` have no row yet, those in `moved` have one that changed.
#[derive(Debug, Default)]
struct Keys {
    rows: BTreeMap<Name, Payment>,
    new: Vec<Name>,
    moved: Vec<Name>,
}

fn decode(row: &mut Fields<'_>) -> Result<(Name, Payment), Fault> {
    let key: Name = (row.id()?, row.number()?);
    let state = row.text()?;
    let (buyer, amount, reason) = (row.maybe_id()?, row.maybe_int()?, row.maybe_text()?);
    let (seller, seller_gets, funded) = (row.maybe_id()?, row.maybe_int()?, row.maybe_int()?);
    let money = |minor: Option<i64>| {
        let minor = minor.and_then(|minor| u64::try_from(minor).ok()).and_then(|minor| Money::new(minor).ok());
        minor.ok_or_else(|| Fault::corrupt(format!("a payment of {} has no amount", key.0)))
    };
    let nobody = || Fault::corrupt(format!("a payment of {} is nobody's", key.0));
    let then = match state {
        "declined" => return Ok((key, Payment::Declined(DeclineReason::from_code(reason.unwrap_or_default())))),
        "fenced" => return Ok((key, Payment::Fenced)),
        "approved" => Then::Waits,
        "captured" => Then::Captured {
            seller: seller.ok_or_else(nobody)?,
            seller_gets: money(seller_gets)?,
            funded: money(funded)?,
        },
        "refunded" => Then::GivenBack,
        word => return Err(Fault::corrupt(format!("nobody knows the word {word}"))),
    };
    let payment = Payment::Approved { buyer: buyer.ok_or_else(nobody)?, amount: money(amount)?, then };
    Ok((key, payment))
}

impl Payment {
    fn state(&self) -> &'static str {
        match self {
            Self::Declined(_) => "declined",
            Self::Fenced => "fenced",
            Self::Approved { then: Then::Waits, .. } => "approved",
            Self::Approved { then: Then::Captured { .. }, .. } => "captured",
            Self::Approved { then: Then::GivenBack, .. } => "refunded",
        }
    }

    fn outcome(&self, key: &PaymentKey) -> Outcome {
        match self {
            Self::Approved { amount, .. } => Outcome::Approved { amount: *amount, reference: key.to_string() },
            Self::Declined(reason) => Outcome::Declined(*reason),
            Self::Fenced => Outcome::Declined(DeclineReason::Refused),
        }
    }

    fn buyer(&self) -> Option<&BuyerId> {
        match self {
            Self::Approved { buyer, .. } => Some(buyer),
            Self::Declined(_) | Self::Fenced => None,
        }
    }

    fn seller(&self) -> Option<&BuyerId> {
        match self {
            Self::Approved { then: Then::Captured { seller, .. }, .. } => Some(seller),
            _ => None,
        }
    }
}

impl Keys {
    async fn read(tx: &mut Tx<'_>, keys: Vec<&PaymentKey>) -> Result<Self, Fault> {
        let orders = Value::list(keys.into_iter().map(|key| key.order.as_str()));
        let rows = tx.rows(KNOWN, vec![orders]).await?;
        let rows = rows.iter().map(|row| decode(&mut row.fields())).collect::<Result<_, _>>()?;
        Ok(Self { rows, ..Self::default() })
    }

    fn put(&mut self, key: &PaymentKey, payment: Payment) {
        let name = name(key);
        if self.rows.insert(name.clone(), payment).is_none() {
            self.new.push(name);
        } else if !self.new.contains(&name) && !self.moved.contains(&name) {
            self.moved.push(name);
        }
    }

    fn write(&self, tx: &mut Tx<'_>) {
        let now = Value::from(tx.now());
        let of = |names: &[Name]| -> Vec<(Name, Payment)> {
            names.iter().filter_map(|name| Some((name.clone(), self.rows.get(name)?.clone()))).collect()
        };
        let new = Rows::of(of(&self.new), |((order, attempt), payment)| {
            let (buyer, amount, reason) = match &payment {
                Payment::Approved { buyer, amount, .. } => (Some(buyer.as_str()), Some(minor(*amount)), None),
                Payment::Declined(reason) => (None, None, Some(reason.code())),
                Payment::Fenced => (None, None, None),
            };
            let state = payment.state().into();
            [order.as_str().into(), attempt.into(), state, buyer.into(), amount.into(), reason.into()]
        });
        tx.bulk_exactly(NEW, std::slice::from_ref(&now), new, &[]);
        let moved = Rows::of(of(&self.moved), |((order, attempt), payment)| {
            let (seller, gets, funded) = match &payment {
                Payment::Approved { then: Then::Captured { seller, seller_gets, funded }, .. } => {
                    (Some(seller.as_str()), Some(minor(*seller_gets)), Some(minor(*funded)))
                }
                _ => (None, None, None),
            };
            let state = payment.state().into();
            [order.as_str().into(), attempt.into(), state, seller.into(), gets.into(), funded.into(), now.clone()]
        });
        tx.bulk_exactly(MOVED, &[], moved, &[]);
    }
}

/// Takes the money of orders from the wallets of their buyers.
pub(super) async fn pay(mut tx: Tx<'_>, batch: Arc<[Charge]>) -> Result<End<Vec<Outcome>>, Fault> {
    let tx = &mut tx;
    let mut keys = Keys::read(tx, batch.iter().map(|charge| &charge.key).collect()).await?;
    let mut till = Till::open(tx, batch.iter().map(|charge| charge.buyer.clone()).collect()).await?;
    let mut answers = Vec::with_capacity(batch.len());
    for charge in &*batch {
        if !keys.rows.contains_key(&name(&charge.key)) {
            let payment = if till.balance(&charge.buyer) < minor(charge.amount) {
                Payment::Declined(DeclineReason::Insufficient)
            } else {
                till.move_money(&charge.buyer, EntryKind::Paid, -minor(charge.amount), &charge.key.to_string());
                Payment::Approved { buyer: charge.buyer.clone(), amount: charge.amount, then: Then::Waits }
            };
            keys.put(&charge.key, payment);
        }
        answers
            .push(keys.rows.get(&name(&charge.key)).map_or(Outcome::Unknown, |payment| payment.outcome(&charge.key)));
    }
    close(tx, &keys, till, answers)
}

/// What became of keys.
pub(super) async fn paid(mut tx: Tx<'_>, batch: Arc<[PaymentKey]>) -> Result<Vec<Option<Outcome>>, Fault> {
    let keys = Keys::read(&mut tx, batch.iter().collect()).await?;
    Ok(batch.iter().map(|key| keys.rows.get(&name(key)).map(|payment| payment.outcome(key))).collect())
}

/// Fences keys: nothing is taken under them any more.
pub(super) async fn fence(mut tx: Tx<'_>, batch: Arc<[PaymentKey]>) -> Result<End<Vec<Fenced>>, Fault> {
    let tx = &mut tx;
    let mut keys = Keys::read(tx, batch.iter().collect()).await?;
    let mut answers = Vec::with_capacity(batch.len());
    for key in &*batch {
        if !keys.rows.contains_key(&name(key)) {
            keys.put(key, Payment::Fenced);
        }
        answers.push(match keys.rows.get(&name(key)) {
            Some(Payment::Approved { amount, .. }) => Fenced::Approved { amount: *amount, reference: key.to_string() },
            _ => Fenced::Cancelled,
        });
    }
    if keys.new.is_empty() {
        return Ok(End::Nothing(answers));
    }
    keys.write(tx);
    Ok(End::Commit(answers))
}

/// Pays the seller of captured orders; the platform funds what coupons took off.
pub(super) async fn settle(mut tx: Tx<'_>, seller: BuyerId, batch: Arc<[Capture]>) -> Result<End<()>, Fault> {
    let tx = &mut tx;
    let mut keys = Keys::read(tx, batch.iter().map(|capture| &capture.key).collect()).await?;
    let mut till = Till::open(tx, vec![seller.clone()]).await?;
    for Capture { key, seller_gets, funded } in &*batch {
        let Some(Payment::Approved { buyer, amount, then }) = keys.rows.get(&name(key)).cloned() else {
            return Err(Fault::data(format!("{key} was never approved")));
        };
        // Money that went back to the buyer is not paid to the seller as well.
        if !matches!(then, Then::Waits) {
            continue;
        }
        let then = Then::Captured { seller: seller.clone(), seller_gets: *seller_gets, funded: *funded };
        keys.put(key, Payment::Approved { buyer, amount, then });
        let cause = key.to_string();
        till.move_money(&seller, EntryKind::Received, minor(*seller_gets), &cause);
        till.move_money(&platform(), EntryKind::Funded, -minor(*funded), &cause);
    }
    close(tx, &keys, till, ())
}

/// Gives money back to buyers, once per key; what a seller had already is taken from him.
pub(super) async fn give_back(mut tx: Tx<'_>, batch: Arc<[PaymentKey]>) -> Result<End<()>, Fault> {
    let tx = &mut tx;
    let mut keys = Keys::read(tx, batch.iter().collect()).await?;
    let members = keys.rows.values().flat_map(|payment| [payment.buyer(), payment.seller()]).flatten().cloned();
    let mut till = Till::open(tx, members.collect::<Vec<_>>()).await?;
    for key in &*batch {
        let Some(Payment::Approved { buyer, amount, then }) = keys.rows.get(&name(key)).cloned() else { continue };
        let cause = key.to_string();
        match then {
            Then::GivenBack => continue,
            Then::Waits => {}
            Then::Captured { seller, seller_gets, funded } => {
                till.move_money(&seller, EntryKind::Refunded, -minor(seller_gets), &cause);
                till.move_money(&platform(), EntryKind::Refunded, minor(funded), &cause);
            }
        }
        till.move_money(&buyer, EntryKind::Refunded, minor(amount), &cause);
        keys.put(key, Payment::Approved { buyer, amount, then: Then::GivenBack });
    }
    close(tx, &keys, till, ())
}

/// Writes what changed, if anything did.
fn close<T>(tx: &mut Tx<'_>, keys: &Keys, till: Till, answer: T) -> Result<End<T>, Fault> {
    if keys.new.is_empty() && keys.moved.is_empty() {
        return Ok(End::Nothing(answer));
    }
    keys.write(tx);
    till.close(tx)?;
    Ok(End::Commit(answer))
}
