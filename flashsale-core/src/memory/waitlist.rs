//! [`WaitlistLedger`] in memory: wishes by name, lines by number. Making an offer and ending it happen in the stock and order steps.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use async_trait::async_trait;

use super::{MemoryLedger, Tables};
use crate::error::BackendError;
use crate::id::{BuyerId, ItemId, OrderId, SaleId};
use crate::stock::{ItemTotals, Order, OrderState, Update};
use crate::time::Timestamp;
use crate::waitlist::{
    Desk, Join, JoinRefusal, Joined, Leave, Left, Line, Parting, Place, Sought, Waiter, WaitlistLedger, Wish,
    WishState, enter, left, opened, wished,
};

/// An item of a sale.
type Shelf = (SaleId, ItemId);

/// The wishes, and the indexes over them.
#[derive(Debug, Clone, Default)]
pub(super) struct WishRows {
    pub(super) wishes: BTreeMap<OrderId, Wish>,
    /// Those that wait, by number.
    pub(super) lines: BTreeMap<Shelf, BTreeMap<u64, OrderId>>,
    /// The last number that was given.
    last: BTreeMap<Shelf, u64>,
    /// The latest wish of a member.
    latest: BTreeMap<(Shelf, BuyerId), OrderId>,
    of_member: BTreeMap<BuyerId, BTreeSet<(Timestamp, OrderId)>>,
}

impl WishRows {
    fn shelf(wish: &Wish) -> Shelf {
        (wish.sale.clone(), wish.item.clone())
    }

    fn insert(&mut self, wish: &Wish) {
        let (shelf, member) = (Self::shelf(wish), wish.member());
        self.lines.entry(shelf.clone()).or_default().insert(wish.number, wish.offer.clone());
        self.last.insert(shelf.clone(), wish.number);
        self.latest.insert((shelf, member.clone()), wish.offer.clone());
        self.of_member.entry(member).or_default().insert((wish.joined_at, wish.offer.clone()));
        self.wishes.insert(wish.offer.clone(), wish.clone());
    }

    /// Moves a wish on; one that does not wait any more leaves its line.
    fn turn(&mut self, offer: &OrderId, state: WishState, why: Option<Parting>, now: Timestamp) -> Option<Wish> {
        let wish = self.wishes.get_mut(offer)?;
        (wish.state, wish.why, wish.since) = (state, why, now);
        let wish = wish.clone();
        if state != WishState::Waiting
            && let Some(line) = self.lines.get_mut(&Self::shelf(&wish))
        {
            line.remove(&wish.number);
        }
        Some(wish)
    }

    pub(super) fn somebody_waits(&self, sale: &SaleId, item: &ItemId) -> bool {
        self.lines.get(&(sale.clone(), item.clone())).is_some_and(|line| !line.is_empty())
    }
}

impl Tables {
    /// Whether a wish of this name waits in the sale.
    pub(super) fn waits(&self, sale: &SaleId, offer: &OrderId) -> bool {
        let wish = self.wishes.wishes.get(offer);
        wish.is_some_and(|wish| wish.sale == *sale && wish.state == WishState::Waiting)
    }

    /// The wishes of the offers among these orders, which were accepted now, move; the version is written already.
    pub(super) fn offered(&mut self, sale: &SaleId, orders: &[Arc<Order>], now: Timestamp) {
        let offers = orders.iter().filter(|order| order.state == OrderState::Offered);
        let moved: Vec<Wish> =
            offers.filter_map(|order| self.wishes.turn(&order.id, WishState::Offered, None, now)).collect();
        let v = self.sales.get(sale).map_or(0, |row| row.version().v);
        self.open_where_nobody_waits(sale, &moved, v, now);
    }

    /// The wish of an order that is no offer any more (I7).
    pub(super) fn wish_follows(&mut self, order: &Order, now: Timestamp) {
        let offered = |wish: &Wish| wish.state == WishState::Offered;
        if let (Some(state), true) =
            (WishState::of(order.state, order.reason), self.wishes.wishes.get(&order.id).is_some_and(offered))
        {
            self.wishes.turn(&order.id, state, None, now);
        }
    }

    /// Clears the flags of items whose lines these wishes have left empty; tells which.
    fn open_where_nobody_waits(&mut self, sale: &SaleId, gone: &[Wish], v: u64, now: Timestamp) -> Vec<ItemId> {
        let items: BTreeSet<&ItemId> =
            gone.iter().map(|wish| &wish.item).filter(|item| !self.wishes.somebody_waits(sale, item)).collect();
        let Some(row) = self.sales.get_mut(sale) else { return vec![] };
        let mut open: Vec<ItemTotals> = Vec::new();
        for item in items {
            if let Some(item) = row.items.get_mut(item).filter(|item| item.waiting) {
                item.waiting = false;
                open.push(item.clone());
            }
        }
        self.outbox.tell(opened(sale, v, now, &open));
        open.into_iter().map(|item| item.item).collect()
    }

    fn join(&mut self, id: &SaleId, batch: &[Join], now: Timestamp) -> (Vec<Joined>, Option<Update>) {
        let Some(sale) = self.sales.get(id) else {
            return (vec![Joined::Refused(JoinRefusal::UnknownSale); batch.len()], None);
        };
        let from = sale.version();
        let mut desk = Desk {
            sale: id.clone(),
            door: sale.door,
            now,
            items: HashMap::new(),
            last: HashMap::new(),
            latest: HashMap::new(),
            bought: HashMap::new(),
        };
        for join in batch {
            let shelf = (id.clone(), join.item.clone());
            if let Some(item) = sale.items.get(&join.item) {
                desk.items.insert(join.item.clone(), item.clone());
            }
            desk.last.insert(join.item.clone(), self.wishes.last.get(&shelf).copied().unwrap_or(0));
            let latest = self.wishes.latest.get(&(shelf, join.member.clone()));
            if let Some(wish) = latest.and_then(|offer| self.wishes.wishes.get(offer)) {
                desk.latest.insert((join.item.clone(), join.member.clone()), wish.clone());
            }
            let pair = (join.item.clone(), join.member.as_str().to_owned());
            if let Some(units) = sale.bought.get(&pair) {
                desk.bought.insert(pair, *units);
            }
        }
        let entries = enter(batch, &mut desk);
        for wish in &entries.wishes {
            self.wishes.insert(wish);
            self.outbox.tell([wished(wish, now)]);
        }
        if entries.closed.is_empty() {
            return (entries.answers, None);
        }
        self.bump(id, now);
        let update = self.sales.get_mut(id).map(|sale| {
            for item in &entries.closed {
                if let Some(item) = sale.items.get_mut(item) {
                    item.waiting = true;
                }
            }
            sale.update(from, sale.levels_of(entries.closed.iter()), &[])
        });
        (entries.answers, update)
    }

    fn leave(&mut self, id: &SaleId, batch: &[Leave], now: Timestamp) -> (Vec<Left>, Option<Update>) {
        let (mut answers, mut gone) = (Vec::with_capacity(batch.len()), Vec::new());
        for leave in batch {
            let wish = self.wishes.wishes.get(&leave.offer).filter(|wish| wish.sale == *id).cloned();
            answers.push(match wish {
                None => Left::Unknown,
                Some(wish) if wish.state != WishState::Waiting => Left::Already(wish),
                Some(wish) => {
                    let wish = self.wishes.turn(&wish.offer, WishState::Left, Some(leave.why), now).unwrap_or(wish);
                    self.outbox.tell([left(&wish, now)]);
                    gone.push(wish.clone());
                    Left::Done(wish)
                }
            });
        }
        let update = self.reopen(id, &gone, now);
        (answers, update)
    }

    /// Opens items whose lines are empty now, as a version of its own, if there is one.
    fn reopen(&mut self, id: &SaleId, gone: &[Wish], now: Timestamp) -> Option<Update> {
        let (from, v) = self.sales.get(id).map(|sale| (sale.version(), sale.next_v()))?;
        let open = self.open_where_nobody_waits(id, gone, v, now);
        if open.is_empty() {
            return None;
        }
        self.bump(id, now);
        self.sales.get(id).map(|sale| sale.update(from, sale.levels_of(open.iter()), &[]))
    }
}

#[async_trait]
impl WaitlistLedger for MemoryLedger {
    async fn join(&self, sale: &SaleId, batch: &[Join]) -> Result<(Vec<Joined>, Option<Update>), BackendError> {
        let now = self.now();
        Ok(self.tables().join(sale, batch, now))
    }

    async fn leave(&self, sale: &SaleId, batch: &[Leave]) -> Result<(Vec<Left>, Option<Update>), BackendError> {
        let now = self.now();
        Ok(self.tables().leave(sale, batch, now))
    }

    async fn end(&self, sale: &SaleId, limit: usize) -> Result<(usize, Option<Update>), BackendError> {
        let now = self.now();
        let mut tables = self.tables();
        if !tables.sales.get(sale).is_some_and(|row| row.is_over(now)) {
            return Ok((0, None));
        }
        let lines = tables.wishes.lines.iter().filter(|((of, _), _)| of == sale);
        let first: Vec<Leave> = lines
            .flat_map(|(_, line)| line.values())
            .take(limit)
            .map(|offer| Leave { offer: offer.clone(), why: Parting::Closed })
            .collect();
        let (answers, update) = tables.leave(sale, &first, now);
        Ok((answers.len(), update))
    }

    async fn gather(&self, wishes: &[OrderId]) -> Result<(), BackendError> {
        let now = self.now();
        let mut tables = self.tables();
        for offer in wishes {
            if let Some(wish) = tables.wishes.wishes.get_mut(offer) {
                wish.gathers.get_or_insert(now);
            }
        }
        Ok(())
    }

    async fn sought(&self, limit: usize) -> Result<(Vec<Sought>, Timestamp), BackendError> {
        let now = self.now();
        let tables = self.tables();
        let items = tables.sales.iter().flat_map(|(id, sale)| sale.items.values().map(move |item| (id, sale, item)));
        let sought = items.filter(|(_, _, item)| item.waiting).take(limit).map(|(id, sale, item)| Sought {
            sale: id.clone(),
            state: sale.door.state,
            window: sale.door.window,
            item: item.clone(),
        });
        Ok((sought.collect(), now))
    }

    async fn line(&self, sale: &SaleId, item: &ItemId, limit: usize) -> Result<Option<Line>, BackendError> {
        let now = self.now();
        let tables = self.tables();
        let Some(row) = tables.sales.get(sale) else { return Ok(None) };
        let Some(totals) = row.items.get(item) else { return Ok(None) };
        let free = totals.total.saturating_sub(totals.allocated);
        let line = tables.wishes.lines.get(&(sale.clone(), item.clone()));
        let waiting = line.into_iter().flat_map(BTreeMap::values).filter_map(|offer| tables.wishes.wishes.get(offer));
        let front = waiting.enumerate().filter(|(n, wish)| *n == 0 || wish.units.units() <= free);
        let waiters = front.take(limit).map(|(_, wish)| {
            let pair = (item.clone(), wish.offer.buyer_str().to_owned());
            Waiter { wish: wish.clone(), have: row.bought.get(&pair).copied().unwrap_or(0) }
        });
        Ok(Some(Line { now, item: totals.clone(), waiters: waiters.collect() }))
    }

    async fn place(&self, sale: &SaleId, item: &ItemId, member: &BuyerId) -> Result<Option<Place>, BackendError> {
        let tables = self.tables();
        let shelf = (sale.clone(), item.clone());
        let latest = tables.wishes.latest.get(&(shelf.clone(), member.clone()));
        let Some(wish) = latest.and_then(|offer| tables.wishes.wishes.get(offer)).cloned() else { return Ok(None) };
        let line = tables.wishes.lines.get(&shelf).filter(|_| wish.state == WishState::Waiting);
        let ahead = line.map_or(0, |line| line.range(..wish.number).count());
        Ok(Some(Place { wish, ahead: ahead as u64 }))
    }

    async fn wishes(&self, member: &BuyerId, limit: usize) -> Result<Vec<Wish>, BackendError> {
        let tables = self.tables();
        let his = tables.wishes.of_member.get(member).into_iter().flatten().rev().take(limit);
        Ok(his.filter_map(|(_, offer)| tables.wishes.wishes.get(offer)).cloned().collect())
    }
}
