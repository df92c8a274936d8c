//! The audit of a [`MemoryLedger`](super::MemoryLedger): rows that must agree, compared.

use std::collections::{BTreeMap, BTreeSet};

use super::payment::{Payment, Then};
use super::stock::SaleRow;
use super::{OrderRow, Tables};
use crate::id::{ItemId, SaleId};
use crate::stock::{OrderState, PaymentLine};
use crate::waitlist::WishState;

impl Tables {
    /// Each violation of I1 to I7 and I19 (protocol 4) in a sentence.
    pub(super) fn audit(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (id, sale) in &self.sales {
            self.audit_sale(id, sale, &mut found);
            self.audit_payment_line(id, sale, &mut found);
        }
        for row in self.orders.values() {
            audit_order(row, self.sales.get(&row.order.sale), &mut found);
        }
        self.audit_coupons(&mut found);
        self.audit_wishes(&mut found);
        self.audit_money(&mut found);
        found
    }

    fn audit_sale(&self, id: &SaleId, sale: &SaleRow, found: &mut Vec<String>) {
        let mut live: BTreeMap<&ItemId, u64> = BTreeMap::new();
        let mut per_buyer: BTreeMap<(ItemId, String), u64> = BTreeMap::new();
        for row in self.orders.values().filter(|row| row.live && row.order.sale == *id) {
            for line in row.order.lines.iter() {
                let units = u64::from(line.units.units());
                *live.entry(&line.item).or_default() += units;
                *per_buyer.entry((line.item.clone(), row.order.id.buyer_str().to_owned())).or_default() += units;
            }
        }
        for (item, row) in &sale.items {
            let (allocated, lines) = (row.allocated, live.get(item).copied().unwrap_or(0));
            if allocated > row.total {
                found.push(format!("I1: {id}/{item} has {allocated} of {} units allocated", row.total));
            }
            if u64::from(allocated) != lines {
                found.push(format!("I2: {id}/{item} has {allocated} units allocated and {lines} in live lines"));
            }
        }
        for ((item, buyer), units) in &per_buyer {
            let limit = sale.limits.get(item).map_or(0, |limit| limit.units());
            if *units > u64::from(limit) {
                found.push(format!("I3: {buyer} has {units} of {id}/{item}, at most {limit} were ever allowed"));
            }
        }
        let counted: BTreeMap<(ItemId, String), u64> =
            sale.bought.iter().filter(|(_, n)| **n > 0).map(|(pair, n)| (pair.clone(), u64::from(*n))).collect();
        if counted != per_buyer {
            found.push(format!("I3: what buyers of {id} have is not the sum of their live lines"));
        }
        let tags: BTreeSet<u64> = sale.tags.iter().copied().collect();
        if sale.tags.is_empty() || tags.len() != sale.tags.len() {
            found.push(format!("I4: {id} has {} versions and {} tags", sale.tags.len(), tags.len()));
        }
    }

    /// I19: the numbers of a payment line are 1 to the last without a gap; who has one and does not stand in the line was counted.
    fn audit_payment_line(&self, id: &SaleId, sale: &SaleRow, found: &mut Vec<String>) {
        let orders = self.orders.values().map(|row| &row.order).filter(|order| order.sale == *id);
        let mut counted = PaymentLine::default();
        let mut numbers = BTreeSet::new();
        for order in orders.filter(|order| order.pay_no.is_some()) {
            counted.issued += 1;
            counted.served += u64::from(!order.is_in_payment_line());
            numbers.extend(order.pay_no);
        }
        if sale.line != counted || !numbers.into_iter().eq(1..=counted.issued) {
            found.push(format!("I19: {id} has {:?}, its orders say {counted:?}", sale.line));
        }
    }

    fn audit_coupons(&self, found: &mut Vec<String>) {
        for coupon in self.coupons.values() {
            let Some(by) = &coupon.used_by else { continue };
            let by_order =
                self.orders.get(by).is_some_and(|row| row.live && row.order.coupon.as_ref() == Some(&coupon.id));
            if !by_order && !self.wallet.redeems(by, &coupon.id) {
                found.push(format!("I5: {} is used by {by}, which does not use it", coupon.id));
            }
        }
        for row in self.orders.values().filter(|row| row.live) {
            let order = &row.order;
            let coupon = order.coupon.as_ref().and_then(|id| self.coupons.get(id));
            if coupon.is_some_and(|coupon| coupon.used_by.as_ref() != Some(&order.id)) {
                found.push(format!("I5: {} uses a coupon that is not marked as used by it", order.id));
            }
        }
    }

    /// I7: a wish is offered exactly while its order is; and an item is closed to the public exactly while somebody waits for it.
    fn audit_wishes(&self, found: &mut Vec<String>) {
        let is_offer = |id| self.orders.get(id).is_some_and(|row: &OrderRow| row.order.state == OrderState::Offered);
        for wish in self.wishes.wishes.values() {
            if (wish.state == WishState::Offered) != is_offer(&wish.offer) {
                found.push(format!(
                    "I7: {} is {}, its order is an offer: {}",
                    wish.offer,
                    wish.state.code(),
                    is_offer(&wish.offer)
                ));
            }
            let line = self.wishes.lines.get(&(wish.sale.clone(), wish.item.clone()));
            let in_line = line.is_some_and(|line| line.get(&wish.number) == Some(&wish.offer));
            if in_line != (wish.state == WishState::Waiting) {
                found.push(format!("I7: {} is {} and in the line: {in_line}", wish.offer, wish.state.code()));
            }
        }
        for row in self.orders.values().filter(|row| row.order.state == OrderState::Offered) {
            if !self.wishes.wishes.contains_key(&row.order.id) {
                found.push(format!("I7: {} is offered and nobody wished for it", row.order.id));
            }
        }
        for (sale, row) in &self.sales {
            for item in row.items.values() {
                let waits = self.wishes.somebody_waits(sale, &item.item);
                if item.waiting != waits {
                    found.push(format!(
                        "I7: {sale}/{} has waiting {}, somebody waits: {waits}",
                        item.item, item.waiting
                    ));
                }
            }
        }
    }

    fn audit_money(&self, found: &mut Vec<String>) {
        let mut sum: i64 = self.wallet.balances.values().sum();
        for payment in self.wallet.payments.values() {
            match payment {
                Payment::Approved { amount, then: Then::Waits, .. } => {
                    sum += i64::try_from(amount.minor()).unwrap_or(i64::MAX);
                }
                Payment::Approved { .. } | Payment::Declined(_) | Payment::Fenced => {}
            }
        }
        if sum != self.wallet.put_in {
            found.push(format!("I6: the wallets hold {sum}, {} was put in", self.wallet.put_in));
        }
    }
}

fn audit_order(row: &OrderRow, sale: Option<&SaleRow>, found: &mut Vec<String>) {
    let OrderRow { order, live } = row;
    let Some(sale) = sale else {
        found.push(format!("I4: {} is an order of no sale", order.id));
        return;
    };
    // Units of a returned order stay allocated where the policy says so; no other ended order has any.
    let kept = matches!(order.state, OrderState::Refunding | OrderState::Refunded);
    if (order.state.holds_units() && !live) || (*live && !order.state.holds_units() && !kept) {
        found.push(format!("I2: {} is {} and its lines are live: {live}", order.id, order.state.code()));
    }
    if order.v == 0 || order.v > sale.version().v {
        found.push(format!("I4: {} changed at version {}, the sale is at {}", order.id, order.v, sale.version().v));
    }
}
