//! What must be true of the rows when everything has settled (protocol 4), and of what buyers heard on the way.

use std::collections::{BTreeMap, BTreeSet};

use flashsale_core::engine::notice_of;
use flashsale_core::event::Outbox;
use flashsale_core::memory::{MemoryLedger, MemoryStockGate};
use flashsale_core::notice::{NoticeKey, Recorded};
use flashsale_core::order::{Order, OrderState, Reason};
use flashsale_core::payment::Scripted;
use flashsale_core::stock::{StockGate, StockLedger};
use flashsale_core::{BackendError, Fact, OrderId, SaleId};
use futures_util::FutureExt;

use super::buyers::{Attempt, Heard, History};
use super::marks::Marks;
use super::plan::Plan;
use super::room::WatchedRooms;

/// What an audit looks at.
#[derive(Debug)]
pub struct Evidence {
    /// The plan of the run.
    pub plan: Plan,
    /// The rows.
    pub ledger: MemoryLedger,
    /// The gate as it stands.
    pub gate: MemoryStockGate,
    /// The provider's own books.
    pub payment: Scripted,
    /// Whoever carries notices.
    pub notices: Recorded,
    /// The store of rooms, as all nodes reach it.
    pub rooms: WatchedRooms,
    /// What buyers heard.
    pub history: History,
    /// All sales.
    pub sales: Vec<SaleId>,
    /// What was noted of the waitlist.
    pub marks: Marks,
}

fn now<T>(call: impl Future<Output = Result<T, BackendError>>) -> T {
    call.now_or_never().expect("memory answers at once").expect("memory does not fail")
}

/// How many orders are neither final nor reported stuck.
pub(crate) fn open_orders(ledger: &MemoryLedger) -> usize {
    let open = |order: &&Order| {
        let final_ = matches!(
            order.state,
            OrderState::Refused | OrderState::Confirmed | OrderState::Cancelled | OrderState::Refunded
        );
        !final_ && order.stuck.is_none()
    };
    ledger.orders().iter().map(AsRef::as_ref).filter(open).count()
}

/// Tells each promise that was not kept in a sentence.
#[must_use]
pub fn audit(evidence: &Evidence) -> Vec<String> {
    let mut wrong = evidence.ledger.audit();
    money(evidence, &mut wrong);
    gate(evidence, &mut wrong);
    heard(evidence, &mut wrong);
    fair(evidence, &mut wrong);
    told(evidence, &mut wrong);
    waitlist(evidence, &mut wrong);
    wrong.extend(evidence.rooms.wrong());
    wrong
}

/// I6: confirmed is one approval that was not refunded; everything else is none.
fn money(evidence: &Evidence, wrong: &mut Vec<String>) {
    let approved: BTreeMap<OrderId, u64> =
        evidence.payment.approved().into_iter().map(|(key, amount)| (key.order, amount.minor())).collect();
    let orders = evidence.ledger.orders();
    for order in orders.iter().filter(|order| order.pay_by.is_some() && order.stuck.is_none()) {
        let paid = approved.get(&order.id).copied();
        match (order.state, paid) {
            (OrderState::Confirmed, Some(amount)) if amount == order.amounts.pays.minor() => {}
            (OrderState::Confirmed, paid) => {
                wrong.push(format!("I6: {} is confirmed for {} but {paid:?} was paid", order.id, order.amounts.pays));
            }
            (state, Some(amount)) => {
                wrong.push(format!("I6: {} is {} but {amount} was paid and not refunded", order.id, state.code()));
            }
            (_, None) => {}
        }
    }
    let known: BTreeSet<&OrderId> = orders.iter().map(|order| &order.id).collect();
    for id in approved.keys().filter(|id| !known.contains(id)) {
        wrong.push(format!("I6: money was taken for {id}, which has no row"));
    }
}

/// I16: what the gate shows is what the ledger has.
fn gate(evidence: &Evidence, wrong: &mut Vec<String>) {
    for sale in &evidence.sales {
        let level = now(evidence.gate.level(sale));
        let Some(totals) = now(evidence.ledger.totals(sale)) else { continue };
        if !level.open {
            continue;
        }
        if level.holds != 0 {
            wrong.push(format!("G5: {} holds of {sale} never ended", level.holds));
        }
        for item in &totals.items {
            let free = item.total.saturating_sub(item.allocated);
            match level.items.iter().find(|(id, ..)| *id == item.item) {
                Some((_, seen, held)) if *seen == free && *held == 0 => {}
                seen => wrong.push(format!("I16: {sale} has {free} of {} free, the gate shows {seen:?}", item.item)),
            }
        }
    }
}

/// I12: what was told stands.
fn heard(evidence: &Evidence, wrong: &mut Vec<String>) {
    let rows: BTreeMap<OrderId, _> =
        evidence.ledger.orders().into_iter().map(|order| (order.id.clone(), order)).collect();
    let mut won: BTreeSet<OrderId> = BTreeSet::new();
    let mut lost: BTreeSet<OrderId> = BTreeSet::new();
    for Attempt { id, heard, .. } in evidence.history.attempts() {
        match heard {
            Heard::Accepted(_) => {
                if lost.contains(&id) {
                    wrong.push(format!("G7: {id} was refused for good and accepted later"));
                }
                match rows.get(&id) {
                    Some(row) if row.state != OrderState::Refused => {}
                    _ => wrong.push(format!("G2: {id} was accepted and has no such row")),
                }
                won.insert(id);
            }
            Heard::RefusedForGood(code) => {
                if won.contains(&id) {
                    wrong.push(format!("G7: {id} was accepted and refused later with {code}"));
                }
                lost.insert(id);
            }
            Heard::Refused(code, _) => {
                // A winner's retry may be told so only where the gate was put back unnoticed.
                if won.contains(&id) && evidence.plan.exact() {
                    wrong.push(format!("G7: {id} was accepted, its repeat was told {code}"));
                }
            }
            Heard::Nothing => {}
        }
    }
    for id in evidence.history.recorded().iter().filter(|id| !rows.contains_key(id)) {
        wrong.push(format!("G2: {id} was recorded and never decided"));
    }
    for coupon in evidence.history.coupons() {
        let row = now(flashsale_core::coupon::CouponLedger::coupons(&evidence.ledger, std::slice::from_ref(&coupon)));
        if row.first().is_none_or(Option::is_none) {
            wrong.push(format!("G4: coupon {coupon} was told and has no row"));
        }
    }
    if evidence.plan.exact() {
        // Without a hold it was recorded, and its hold had ended when its turn came.
        for row in rows.values().filter(|row| row.reason == Some(Reason::SoldOut) && row.hold.is_some()) {
            wrong.push(format!("I13: {} was held and then refused as sold out", row.id));
        }
    }
}

/// G9: what a fact says to a member was handed over, waits to be, or is reported to be none, under the fact's own name; and nothing else was said.
fn told(evidence: &Evidence, wrong: &mut Vec<String>) {
    let subjects = evidence.ledger.orders().into_iter().map(|order| order.id.as_str().to_owned());
    let subjects = subjects.chain(evidence.history.coupons().into_iter().map(|coupon| coupon.as_str().to_owned()));
    let facts = subjects.flat_map(|subject| now(evidence.ledger.history(&subject)));
    let expected: BTreeMap<NoticeKey, _> =
        facts.filter_map(|event| notice_of(&event)).map(|notice| (notice.key.clone(), notice)).collect();
    let over = evidence.notices.handed_over();
    let waiting = evidence.ledger.notices();
    let said: BTreeSet<&NoticeKey> = over.iter().chain(&waiting).map(|notice| &notice.key).collect();
    let failed = |key: &NoticeKey| {
        let facts = now(evidence.ledger.history(key.as_str()));
        facts.iter().any(|event| matches!(event.fact, Fact::NoticeFailed { .. }))
    };
    for key in expected.keys().filter(|key| !said.contains(key) && !failed(key)) {
        wrong.push(format!("G9: the notice {key} was lost"));
    }
    for notice in over.iter().filter(|notice| expected.get(&notice.key).is_some_and(|fact| fact != *notice)) {
        wrong.push(format!("G9: the notice {} says something else than its fact", notice.key));
    }
}

/// I14: nobody of the public passed those who waited, and nobody was told of an offer that is none.
fn waitlist(evidence: &Evidence, wrong: &mut Vec<String>) {
    // A gate that was put back unnoticed does not know what it was told.
    if evidence.plan.exact() {
        for (id, item) in evidence.marks.passed() {
            wrong.push(format!("I14: {id} was held though people wait for {item}"));
        }
    }
    let orders = evidence.ledger.orders();
    let over = evidence.notices.handed_over();
    for offer in over.iter().filter_map(|notice| notice.message.offer()) {
        if !orders.iter().any(|order| order.id == *offer && !order.lines.is_empty()) {
            wrong.push(format!("I14: somebody was told of the offer {offer}, which has no row"));
        }
    }
}

/// G6, where no unit came back: whoever won came before everybody who asked for no more and lost.
fn fair(evidence: &Evidence, wrong: &mut Vec<String>) {
    let plan = &evidence.plan;
    let calm = plan.chances.decline == 0.0
        && plan.chances.leave == 0.0
        && plan.fickle == 0
        && plan.crashes == 0
        && plan.forgets == 0
        && plan.loses_tail == 0
        && plan.rates == (super::faults::Rates { slow_ms: plan.rates.slow_ms, ..super::faults::Rates::NONE });
    if !calm {
        return;
    }
    let refused = evidence.ledger.orders().iter().any(|order| order.state == OrderState::Refused);
    if refused {
        return;
    }
    let attempts = evidence.history.attempts();
    let wins = attempts.iter().filter_map(|a| match a.heard {
        Heard::Accepted(Some(no)) => Some((a, no)),
        _ => None,
    });
    for (winner, no) in wins {
        for loser in &attempts {
            let Heard::Refused(_, Some(after)) = loser.heard else { continue };
            let covers = loser
                .units
                .iter()
                .all(|(item, units)| winner.units.iter().any(|(other, had)| other == item && had >= units));
            if covers && no > after {
                wrong.push(format!("G6: {} came after {} and won", winner.id, loser.id));
            }
        }
    }
}
