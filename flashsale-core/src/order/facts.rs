//! The facts that ledger transactions tell: pure functions from what was decided to what is written into the outbox.
//!
//! Shared by every ledger, so that two of them tell the same story of the same rows.

use crate::event::{Event, Fact, OrderFact, StuckOver};
use crate::id::{ItemId, SaleId};
use crate::order::port::Units;
use crate::order::saga::ATTEMPT;
use crate::sale::{Sale, SaleState};
use crate::stock::{Books, Change, Decision, ItemTotals, Order, OrderState, Reason};
use crate::time::Timestamp;

fn about_order(order: &Order, now: Timestamp, fact: Fact) -> Event {
    Event {
        subject: order.id.as_str().to_owned(),
        version: u64::from(order.ver),
        sale: Some(order.sale.clone()),
        time: now,
        fact,
        trace: None,
    }
}

fn about_item(sale: &SaleId, item: &ItemId, v: u64, now: Timestamp, fact: Fact) -> Event {
    Event { subject: format!("{sale}/{item}"), version: v, sale: Some(sale.clone()), time: now, fact, trace: None }
}

fn about_sale(sale: &SaleId, v: u64, now: Timestamp, fact: Fact) -> Event {
    Event { subject: sale.as_str().to_owned(), version: v, sale: Some(sale.clone()), time: now, fact, trace: None }
}

fn order_fact(order: &Order) -> OrderFact {
    OrderFact {
        order: order.id.clone(),
        buyer: order.id.buyer(),
        lines: order.lines.clone(),
        list: order.amounts.list,
        discount: order.amounts.discount,
        pays: order.amounts.pays,
        coupon: order.coupon.clone(),
        method: order.method.clone(),
        pay_by: order.pay_by,
        no: order.hold.map(|(_, no)| no.0),
    }
}

/// The facts of an accepting transaction; `books` as [`decide`](crate::stock::decide()) left them.
///
/// A refusal tells no fact: nobody but the buyer needs to know it.
#[must_use]
pub fn accepting(decision: &Decision, books: &Books) -> Vec<Event> {
    let now = books.now;
    let mut events = Vec::with_capacity(decision.orders.len() + 2);
    let of = |state: OrderState| decision.orders.iter().filter(move |order| order.state == state);
    // Acceptances first: a ledger may keep those apart.
    events
        .extend(of(OrderState::Accepted).map(|order| about_order(order, now, Fact::OrderAccepted(order_fact(order)))));
    events.extend(of(OrderState::Offered).filter_map(|order| offered(order, now)));
    for coupon in &decision.issued {
        let fact = Fact::CouponIssued {
            coupon: coupon.id.clone(),
            campaign: coupon.campaign.clone(),
            window: coupon.window.clone(),
            member: coupon.member.clone(),
            until: coupon.expires_at,
        };
        events.push(Event {
            subject: coupon.id.as_str().to_owned(),
            version: 1,
            sale: Some(books.sale.clone()),
            time: now,
            fact,
            trace: None,
        });
    }
    for (coupon, order) in decision.redeemed.iter().filter_map(|(coupon, id)| Some((coupon, books.known.get(id)?))) {
        events.push(about_order(
            order,
            now,
            Fact::CouponRedeemed { coupon: coupon.clone(), used_by: order.id.clone(), funded: order.amounts.discount },
        ));
    }
    // What of an order comes from its request; that an item is sold out, from all of them.
    if !decision.traces.is_empty() {
        events.iter_mut().for_each(|event| event.trace = decision.traces.get(&event.subject).copied());
    }
    let mut sold_out: Vec<&ItemTotals> =
        books.items.values().filter(|item| sells_out(item) && sold_now(decision, &item.item)).collect();
    sold_out.sort_unstable_by(|a, b| a.item.cmp(&b.item));
    for item in sold_out {
        let fact = Fact::StockSoldOut { item: item.item.clone() };
        events.push(about_item(&books.sale, &item.item, books.next_v, now, fact));
    }
    events
}

/// An item for which people wait was sold out for everybody else before.
fn sells_out(item: &ItemTotals) -> bool {
    item.allocated >= item.total && !item.waiting
}

/// Units are allocated to one who waited. Until when he can take them is not known before he is told.
fn offered(order: &Order, now: Timestamp) -> Option<Event> {
    let line = order.lines.first()?;
    let fact = Fact::WaitlistOffered {
        offer: order.id.clone(),
        member: order.id.buyer(),
        item: line.item.clone(),
        units: line.units.units(),
        until: None,
    };
    Some(about_order(order, now, fact))
}

/// What became of an offer, besides of the order that it is.
fn answered(order: &Order) -> Option<Fact> {
    let line = order.lines.first()?;
    let (item, units) = (line.item.clone(), line.units.units());
    let (offer, member) = (order.id.clone(), order.id.buyer());
    Some(match (order.state, order.reason) {
        (OrderState::Cancelled, Some(Reason::Lapsed)) => Fact::WaitlistLapsed { offer, member, item, units },
        (OrderState::Cancelled, why) => {
            let reason = why.map_or("none", Reason::code).to_owned();
            Fact::WaitlistDeclined { offer, member, item, reason }
        }
        _ => Fact::WaitlistAccepted { offer, member, item },
    })
}

fn sold_now(decision: &Decision, item: &ItemId) -> bool {
    let sells =
        |order: &&std::sync::Arc<Order>| order.state.holds_units() && order.lines.iter().any(|line| line.item == *item);
    decision.orders.iter().any(|order| sells(&order))
}

/// The facts of an order that was cancelled outside the saga; `order` is the row as it is now, `from` its state before.
#[must_use]
pub fn ending(order: &Order, from: OrderState, now: Timestamp) -> Vec<Event> {
    moved(order, from, Units::GiveBack, None, now)
}

/// The facts of units that came back: only where an item was sold out before is it news, and not where people wait for it.
///
/// `items` are the rows *before*, with the units that come back to each.
#[must_use]
pub fn back(sale: &SaleId, v: u64, now: Timestamp, items: &[(ItemTotals, u32)]) -> Vec<Event> {
    items
        .iter()
        .filter(|(before, units)| sells_out(before) && *units > 0)
        .map(|(before, units)| {
            let fact = Fact::StockAvailable { item: before.item.clone(), units: *units };
            about_item(sale, &before.item, v, now, fact)
        })
        .collect()
}

/// The facts of a sale's opening.
#[must_use]
pub fn open_facts(sale: &Sale, now: Timestamp) -> Vec<Event> {
    let opened = Fact::SaleOpened { opens_at: sale.window.opens_at, closes_at: sale.window.closes_at };
    let stock = sale.items.iter().map(|item| {
        let fact = Fact::StockOpened { item: item.id.clone(), total: item.total.units() };
        about_item(&sale.id, &item.id, 1, now, fact)
    });
    std::iter::once(about_sale(&sale.id, 1, now, opened)).chain(stock).collect()
}

/// The facts of a change of terms, written as version `v`.
#[must_use]
pub fn change_facts(sale: &SaleId, change: &Change, v: u64, now: Timestamp) -> Vec<Event> {
    let said = |what: String| about_sale(sale, v, now, Fact::SaleChanged { what });
    vec![match change {
        Change::Adjust { item, by } => {
            about_item(sale, item, v, now, Fact::StockAdjusted { item: item.clone(), by: *by })
        }
        Change::Price { item, price } => said(format!("{item} costs {price}")),
        Change::Limit { item, per_buyer } => said(format!("at most {per_buyer} of {item} per buyer")),
        Change::Window(window) => said(format!("open from {} to {}", window.opens_at, window.closes_at)),
        Change::State(SaleState::Open) => about_sale(sale, v, now, Fact::SaleResumed {}),
        Change::State(SaleState::Paused) => about_sale(sale, v, now, Fact::SalePaused {}),
        Change::State(SaleState::Closed) => about_sale(sale, v, now, Fact::SaleClosed {}),
    }]
}

/// The facts of a transition; `order` is the row as it will be, `from` its state before.
pub(crate) fn moved(
    order: &Order,
    from: OrderState,
    units: Units,
    stuck: Option<StuckOver>,
    now: Timestamp,
) -> Vec<Event> {
    let (id, buyer) = (|| order.id.clone(), || order.id.buyer());
    let reason = || order.reason.map_or("none", Reason::code).to_owned();
    let mut facts = Vec::new();
    if from != order.state {
        if from == OrderState::Offered {
            facts.extend(answered(order));
        }
        match order.state {
            OrderState::Accepted => facts.push(Fact::OrderAccepted(order_fact(order))),
            OrderState::Paying => facts.push(Fact::OrderPaymentRequested {
                order: id(),
                buyer: buyer(),
                attempt: ATTEMPT,
                amount: order.amounts.pays,
                method: order.method.clone(),
                until: order.pay_by.unwrap_or(Timestamp::FAR),
            }),
            OrderState::Confirmed => facts.push(Fact::OrderConfirmed(order_fact(order))),
            OrderState::Cancelled => {
                facts.push(Fact::OrderCancelled { order: id(), buyer: buyer(), reason: reason() });
            }
            OrderState::Refunding => {
                facts.push(Fact::OrderReturnRequested { order: id(), buyer: buyer(), reason: reason() });
            }
            OrderState::Refunded => facts.push(Fact::OrderReturned { order: id(), buyer: buyer() }),
            OrderState::Refused | OrderState::Offered | OrderState::Closing => {}
        }
    }
    if let (Units::GiveBack, Some(coupon)) = (units, &order.coupon) {
        facts.push(Fact::CouponRestored { coupon: coupon.clone(), used_by: id() });
    }
    if let Some(over) = stuck {
        facts.push(Fact::OrderStuck { order: id(), over });
    }
    facts.into_iter().map(|fact| about_order(order, now, fact)).collect()
}
