//! The rule of acceptance: a pure function of what the transaction read under the lock.
//!
//! Shared by every ledger. It decides in order of arrival with running totals, so that a batch answers exactly as the same
//! requests would one by one. Reading and writing are the ledger's.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::discount::{Coupon, CouponRefusal};
use crate::id::{CouponId, ItemId, OrderId, SaleId};
use crate::sale::SaleState;
use crate::stock::{Accept, Acceptance, Amounts, Door, Epoch, HoldNo, ItemTotals, Order, OrderState, Reason, Then};
use crate::time::Timestamp;
use crate::trace::TraceParent;
use crate::unit::Money;

/// What the transaction read, after it had the lock. [`decide`] keeps its running totals here.
#[derive(Debug)]
pub struct Books {
    /// The sale.
    pub sale: SaleId,
    /// Its door.
    pub door: Door,
    /// The epoch of the adopted gate.
    pub epoch: Epoch,
    /// Whether a gate was ever adopted: from then on only held orders are taken.
    pub gated: bool,
    /// Every hold up to this number is void.
    pub sealed: HoldNo,
    /// The version that this transaction will write.
    pub next_v: u64,
    /// The last number that was given in the payment line.
    pub issued: u64,
    /// The ledger's time.
    pub now: Timestamp,
    /// The rows of the batch's ids, whatever their sale.
    pub known: HashMap<OrderId, Arc<Order>>,
    /// The rows of the batch's items.
    pub items: HashMap<ItemId, ItemTotals>,
    /// Live units by item and buyer, for the batch's items and buyers.
    pub bought: HashMap<(ItemId, String), u32>,
    /// The rows of the batch's coupons.
    pub coupons: HashMap<CouponId, Coupon>,
    /// Those of the batch's offers that somebody waits for: a wish of this name is in the line.
    pub wished: HashSet<OrderId>,
}

/// What is to be written: the answers, and among them the orders decided now.
#[derive(Debug)]
pub struct Decision {
    /// One per request, in the order of the batch.
    pub answers: Vec<Acceptance>,
    /// Orders to insert, accepted and refused.
    pub orders: Vec<Arc<Order>>,
    /// Coupons to insert.
    pub issued: Vec<Coupon>,
    /// Coupons to mark as used.
    pub redeemed: Vec<(CouponId, OrderId)>,
    /// The traces of the requests that were decided now, where they told one: by the name of the order, and of a coupon that it issues.
    pub traces: HashMap<String, TraceParent>,
}

/// Decides a batch in order of arrival (protocol 1.3, step 4).
///
/// For each order, the first that applies: known id, closed sale, void hold, unknown item, changed price, limit, coupon, stock.
/// An offer asks before the price whether somebody waits; where it is refused, no row is written.
///
/// ```
/// # use flashsale_core::stock::{decide, Books, Acceptance};
/// # fn example(books: &mut Books, batch: &[flashsale_core::stock::Accept]) {
/// let decision = decide(batch, books);
/// assert_eq!(decision.answers.len(), batch.len());
/// # }
/// ```
#[must_use]
pub fn decide(batch: &[Accept], books: &mut Books) -> Decision {
    let mut decision = Decision {
        answers: Vec::with_capacity(batch.len()),
        orders: vec![],
        issued: vec![],
        redeemed: vec![],
        traces: HashMap::new(),
    };
    for accept in batch {
        let answer = match stop(accept, books) {
            Some(answer) => answer,
            None => {
                let order = Arc::new(judge(accept, books));
                // A row would take the name of the wish, which waits on.
                if let (true, OrderState::Refused, Some(reason)) = (accept.is_offer(), order.state, order.reason) {
                    decision.answers.push(Acceptance::NotOffered(reason));
                    continue;
                }
                trace(accept, &mut decision);
                if order.state.holds_units() {
                    book(accept, &order, books, &mut decision);
                }
                books.known.insert(order.id.clone(), order.clone());
                decision.orders.push(order.clone());
                Acceptance::Decided(order)
            }
        };
        decision.answers.push(answer);
    }
    decision
}

/// Notes from which request the facts of an order come.
fn trace(accept: &Accept, decision: &mut Decision) {
    let Some(trace) = accept.trace else { return };
    decision.traces.insert(accept.id.as_str().to_owned(), trace);
    if let Then::Issue(coupon) = &accept.then {
        decision.traces.insert(coupon.id.as_str().to_owned(), trace);
    }
}

/// Answers that leave no row.
fn stop(accept: &Accept, books: &Books) -> Option<Acceptance> {
    if let Some(order) = books.known.get(&accept.id) {
        return Some(if order.hash.answers(accept.hash) {
            Acceptance::Already(order.clone())
        } else {
            Acceptance::Conflict
        });
    }
    // The answer is given; it only has to be kept, unless the ledger gave one before.
    if let Then::Refuse(_) = accept.then {
        return None;
    }
    if books.door.state != SaleState::Open {
        return Some(Acceptance::NotOpen(books.door.state));
    }
    match accept.hold {
        // Without a gate the ledger minds the window; with one, the hold was given inside it.
        None if !books.gated => {
            let window = books.door.window;
            if books.now < window.opens_at || books.now >= window.closes_at {
                return Some(Acceptance::NotOpen(books.door.state));
            }
        }
        Some((epoch, no)) if epoch == books.epoch && no > books.sealed && books.gated => {}
        _ => return Some(Acceptance::HoldExpired),
    }
    accept
        .lines
        .iter()
        .find(|line| !books.items.contains_key(&line.item))
        .map(|line| Acceptance::UnknownItem(line.item.clone()))
}

/// The order as it will stand in the ledger, accepted or refused.
fn judge(accept: &Accept, books: &mut Books) -> Order {
    let (amounts, reason) = match &accept.then {
        Then::Refuse(reason) => (Amounts::default(), Some(*reason)),
        Then::Offer { .. } if !books.wished.contains(&accept.id) => (Amounts::default(), Some(Reason::NotWaiting)),
        _ => match price(accept, books) {
            Ok(amounts) => (amounts, stock(accept, books)),
            Err(reason) => (Amounts::default(), Some(reason)),
        },
    };
    let state = match (&reason, &accept.then) {
        (Some(_), _) | (None, Then::Refuse(_)) => OrderState::Refused,
        (None, Then::Issue(_)) => OrderState::Confirmed,
        (None, Then::Offer { .. }) => OrderState::Offered,
        (None, Then::Pay { .. } | Then::Keep) => OrderState::Accepted,
    };
    let pay_by = match &accept.then {
        Then::Pay { within } if state == OrderState::Accepted => Some(books.now.after(*within)),
        _ => None,
    };
    let pay_no = pay_by.map(|_| {
        books.issued += 1;
        books.issued
    });
    let due_at = match &accept.then {
        Then::Offer { tell_within } if state == OrderState::Offered => Some(books.now.after(*tell_within)),
        _ => pay_by,
    };
    Order {
        id: accept.id.clone(),
        sale: books.sale.clone(),
        hash: accept.hash,
        state,
        reason,
        stuck: None,
        ver: 1,
        v: books.next_v,
        hold: accept.hold,
        lines: accept.lines.clone(),
        amounts,
        coupon: accept.coupon.clone(),
        method: accept.method.clone(),
        note: accept.note.clone(),
        decided_at: books.now,
        since: books.now,
        pay_by,
        pay_no,
        due_at,
        tries: 0,
        action: None,
    }
}

/// What it costs, by the rows under the lock; or why not: price, then limit, then coupon.
fn price(accept: &Accept, books: &Books) -> Result<Amounts, Reason> {
    let mut list = Money::ZERO;
    for line in accept.lines.iter() {
        let cost = books.items[&line.item].price.times(line.units).and_then(|cost| list.plus(cost));
        list = cost.ok_or(Reason::AmountTooLarge)?;
    }
    let buyer = accept.id.buyer_str();
    let coupon = accept.coupon.as_ref().map(|id| match books.coupons.get(id) {
        Some(coupon) => coupon.off(buyer, list, accept.method.as_ref(), books.now),
        None => Err(CouponRefusal::NotYours),
    });
    let discount = match coupon {
        Some(Ok(off)) => off,
        _ => Money::ZERO,
    };
    let pays = list.minus(discount).unwrap_or(Money::ZERO);
    // A coupon that cannot be used is its own refusal, so the price is compared only where its discount is certain.
    if !matches!(coupon, Some(Err(_))) && accept.expect.is_some_and(|seen| seen != pays) {
        return Err(Reason::PriceChanged);
    }
    let over = |line: &crate::sale::Line| {
        let have = books.bought.get(&(line.item.clone(), buyer.to_owned())).copied().unwrap_or(0);
        u64::from(have) + u64::from(line.units.units()) > u64::from(books.items[&line.item].limit.units())
    };
    if accept.lines.iter().any(over) {
        return Err(Reason::BuyerLimit);
    }
    match coupon {
        Some(Err(refusal)) => Err(Reason::Coupon(refusal)),
        _ => Ok(Amounts { list, discount, pays }),
    }
}

/// Whether there are too few units of any line, or people wait for them. A gate minds the latter; what it holds came before them.
fn stock(accept: &Accept, books: &Books) -> Option<Reason> {
    let passes = accept.hold.is_some() || accept.is_offer();
    let lacks = |line: &crate::sale::Line| {
        let item = &books.items[&line.item];
        (item.waiting && !passes) || u64::from(item.allocated) + u64::from(line.units.units()) > u64::from(item.total)
    };
    accept.lines.iter().any(lacks).then_some(Reason::SoldOut)
}

/// Adds an accepted order to the running totals.
fn book(accept: &Accept, order: &Order, books: &mut Books, decision: &mut Decision) {
    for line in accept.lines.iter() {
        if let Some(item) = books.items.get_mut(&line.item) {
            item.allocated += line.units.units();
        }
        *books.bought.entry((line.item.clone(), order.id.buyer_str().to_owned())).or_default() += line.units.units();
    }
    if let Some(id) = &accept.coupon {
        if let Some(coupon) = books.coupons.get_mut(id) {
            coupon.used_by = Some(order.id.clone());
        }
        decision.redeemed.push((id.clone(), order.id.clone()));
    }
    if let Then::Issue(coupon) = &accept.then {
        decision.issued.push((**coupon).clone());
    }
}
