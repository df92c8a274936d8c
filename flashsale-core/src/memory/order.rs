//! [`OrderLedger`] in memory: the saga's transitions, and the rows by name, deadline, buyer and trouble.

use std::ops::Bound;
use std::sync::Arc;

use async_trait::async_trait;

use super::stock::Returned;
use super::{MemoryLedger, Tables};
use crate::error::BackendError;
use crate::id::{ItemId, OrderId, SaleId};
use crate::order::{Append, Appended, OrderLedger, OrderQuery, Units};
use crate::stock::{Order, Update};
use crate::time::Timestamp;

impl Tables {
    fn append(&mut self, id: &SaleId, batch: &[Append], now: Timestamp) -> (Vec<Appended>, Option<Update>) {
        let Some(sale) = self.sales.get(id) else { return (vec![Appended::Stale; batch.len()], None) };
        let (from, next_v) = (sale.version(), sale.next_v());
        let (mut answers, mut moved, mut returned) = (Vec::with_capacity(batch.len()), Vec::new(), Returned::new());
        for append in batch {
            let row = self.orders.get(&append.order.id).filter(|row| row.order.sale == *id).cloned();
            let Some(row) = row.filter(|row| row.order.ver == append.expect) else {
                answers.push(Appended::Stale);
                continue;
            };
            // Units that are back already do not come back a second time, whatever the transition says.
            let gives_back = append.units == Units::GiveBack && row.live;
            let order = Arc::new(written(&row.order, append, if gives_back { next_v } else { row.order.v }));
            if gives_back {
                self.undo(&order, row.live, &mut returned);
                moved.push(order.clone());
            }
            self.outbox.tell(append.events.iter().cloned());
            self.wish_follows(&order, now);
            self.put_order(order.clone(), row.live && !gives_back);
            answers.push(Appended::Done(order));
        }
        if moved.is_empty() {
            return (answers, None);
        }
        let changed: Vec<ItemId> = returned.keys().cloned().collect();
        self.bump(id, now);
        self.tell_back(id, next_v, now, returned);
        let update = self.sales.get(id).map(|sale| sale.update(from, sale.levels_of(changed.iter()), &moved));
        (answers, update)
    }
}

/// The row with what a transition may change; what was decided at acceptance stays.
fn written(row: &Order, append: &Append, v: u64) -> Order {
    let next = &append.order;
    Order {
        state: next.state,
        reason: next.reason,
        stuck: next.stuck.clone(),
        ver: append.expect + 1,
        v,
        since: next.since,
        pay_by: next.pay_by,
        due_at: next.due_at,
        tries: next.tries,
        action: next.action.clone(),
        ..row.clone()
    }
}

#[async_trait]
impl OrderLedger for MemoryLedger {
    async fn append(&self, sale: &SaleId, batch: &[Append]) -> Result<(Vec<Appended>, Option<Update>), BackendError> {
        let now = self.now();
        Ok(self.tables().append(sale, batch, now))
    }

    async fn load(&self, ids: &[OrderId]) -> Result<(Vec<Option<Arc<Order>>>, Timestamp), BackendError> {
        let now = self.now();
        let tables = self.tables();
        Ok((ids.iter().map(|id| tables.orders.get(id).map(|row| row.order.clone())).collect(), now))
    }

    async fn due(&self, limit: usize) -> Result<(Vec<Arc<Order>>, Timestamp), BackendError> {
        let now = self.now();
        let tables = self.tables();
        let come = tables.due.iter().take_while(|(at, _)| *at <= now).take(limit);
        Ok((come.filter_map(|(_, id)| tables.orders.get(id)).map(|row| row.order.clone()).collect(), now))
    }

    async fn list(&self, query: &OrderQuery) -> Result<Vec<Arc<Order>>, BackendError> {
        let tables = self.tables();
        // The smallest name that an order of this buyer can have: `-` is the first character of the alphabet.
        let Ok(first) = OrderId::new(&format!("{}~-", query.buyer)) else { return Ok(vec![]) };
        let from = tables.orders.range((Bound::Included(first), Bound::Unbounded));
        let his = from.map(|(_, row)| &row.order).take_while(|order| order.id.buyer_str() == query.buyer.as_str());
        let mut orders: Vec<Arc<Order>> = his.cloned().collect();
        orders.sort_unstable_by(|a, b| (b.decided_at, &b.id).cmp(&(a.decided_at, &a.id)));
        let skip = match &query.after {
            Some(after) => orders.iter().position(|order| order.id == *after).map_or(orders.len(), |at| at + 1),
            None => 0,
        };
        Ok(orders.into_iter().skip(skip).take(query.limit).collect())
    }

    async fn stuck(&self, limit: usize) -> Result<Vec<Arc<Order>>, BackendError> {
        let tables = self.tables();
        let stuck = tables.stuck.iter().take(limit).filter_map(|id| tables.orders.get(id));
        Ok(stuck.map(|row| row.order.clone()).collect())
    }
}
