//! [`StockLedger`] in memory: versions, the fence, and the accepting, cancelling, following and changing steps.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use async_trait::async_trait;

use super::{MemoryLedger, OrderRow, Tables};
use crate::error::{BackendError, ErrorKind};
use crate::id::{ItemId, Key, OrderId, SaleId};
use crate::order::{accepting, back, change_facts, ending, open_facts};
use crate::sale::{Sale, SaleState};
use crate::stock::{
    Accept, Acceptance, Accepted, Adopted, Answers, Books, Bought, Cancel, Cancelled, Change, ChangeRefusal, Door,
    Durability, Epoch, Followed, HoldNo, ItemLevel, ItemTotals, Load, Nonce, Order, OrderState, PaymentLine, Settled,
    StockLedger, Totals, Update, Version, decide, forget_before, unknown_version,
};
use crate::time::Timestamp;
use crate::unit::Quantity;

/// A sale: its terms, its fence, and the indexes of its orders.
#[derive(Debug, Clone)]
pub(super) struct SaleRow {
    /// The terms as they were written down first: what a repeated `open` is compared with.
    terms: Sale,
    pub(super) door: Door,
    /// The tag of each version, from version 1.
    pub(super) tags: Vec<u64>,
    /// When each version was made.
    made: Vec<Timestamp>,
    /// The oldest version that is still known.
    oldest: u64,
    epoch: Epoch,
    nonce: Option<Nonce>,
    sealed: HoldNo,
    pub(super) line: PaymentLine,
    pub(super) items: BTreeMap<ItemId, ItemTotals>,
    /// The highest limit that an item ever had: what I3 is checked against.
    pub(super) limits: BTreeMap<ItemId, Quantity>,
    /// Live units by item and buyer.
    pub(super) bought: HashMap<(ItemId, String), u32>,
    pub(super) ids: BTreeSet<OrderId>,
    by_v: BTreeMap<u64, BTreeSet<OrderId>>,
    changes: BTreeMap<Key, Change>,
}

/// Units that come back in one transaction: the rows before, and how many.
pub(super) type Returned = BTreeMap<ItemId, (ItemTotals, u32)>;

impl SaleRow {
    pub(super) fn version(&self) -> Version {
        Version { v: self.tags.len() as u64, tag: self.tags.last().copied().unwrap_or(0) }
    }

    /// Whether nothing can be offered any more.
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        self.door.state == SaleState::Closed || now >= self.door.window.closes_at
    }

    pub(super) fn next_v(&self) -> u64 {
        self.tags.len() as u64 + 1
    }

    fn had(&self, version: Version) -> bool {
        let at = version.v.checked_sub(1).and_then(|at| usize::try_from(at).ok());
        version.v >= self.oldest && at.and_then(|at| self.tags.get(at)) == Some(&version.tag)
    }

    fn level(item: &ItemTotals) -> ItemLevel {
        ItemLevel {
            item: item.item.clone(),
            free: item.total.saturating_sub(item.allocated),
            limit: item.limit,
            waiting: item.waiting,
        }
    }

    fn levels(&self) -> Vec<ItemLevel> {
        self.items.values().map(Self::level).collect()
    }

    /// What the buyers of these orders have of the items of these orders, now.
    fn bought_by<'a>(&self, orders: impl Iterator<Item = &'a Order>) -> Vec<Bought> {
        let pairs: BTreeSet<(&ItemId, &str)> =
            orders.flat_map(|order| order.lines.iter().map(|line| (&line.item, order.id.buyer_str()))).collect();
        let v = self.version().v;
        let mut bought = Vec::with_capacity(pairs.len());
        for (item, buyer) in pairs {
            let units = self.bought.get(&(item.clone(), buyer.to_owned())).copied().unwrap_or(0);
            let Ok(buyer) = crate::id::BuyerId::new(buyer) else { continue };
            bought.push(Bought { item: item.clone(), buyer, units, v });
        }
        bought
    }

    /// What a gate at `from` lacks, as far as these items and orders go.
    pub(super) fn update(&self, from: Version, items: Vec<ItemLevel>, orders: &[Arc<Order>]) -> Update {
        Update {
            nonce: self.nonce,
            from,
            to: self.version(),
            sealed: self.sealed,
            door: self.door,
            items,
            orders: orders.iter().map(|order| settled(order)).collect(),
            bought: self.bought_by(orders.iter().map(|order| &**order)),
        }
    }

    pub(super) fn levels_of<'a>(&self, items: impl Iterator<Item = &'a ItemId>) -> Vec<ItemLevel> {
        items.filter_map(|item| self.items.get(item)).map(Self::level).collect()
    }

    /// Takes the units of an order out of `allocated`; notes the rows before.
    pub(super) fn give_back(&mut self, order: &Order, returned: &mut Returned) {
        for line in order.lines.iter() {
            let units = line.units.units();
            if let Some(item) = self.items.get_mut(&line.item) {
                returned.entry(line.item.clone()).or_insert_with(|| (item.clone(), 0)).1 += units;
                item.allocated = item.allocated.saturating_sub(units);
            }
            let pair = (line.item.clone(), order.id.buyer_str().to_owned());
            if let Some(have) = self.bought.get_mut(&pair) {
                *have = have.saturating_sub(units);
                if *have == 0 {
                    self.bought.remove(&pair);
                }
            }
        }
    }
}

fn settled(order: &Order) -> Settled {
    Settled { id: order.id.clone(), hash: order.hash, state: order.state, v: order.v }
}

fn no_such_sale(operation: &'static str, sale: &SaleId) -> BackendError {
    BackendError::new(ErrorKind::Data, operation, format!("there is no sale {sale}"))
}

impl Tables {
    /// Writes an order, with all indexes over it.
    pub(super) fn put_order(&mut self, order: Arc<Order>, live: bool) {
        let id = order.id.clone();
        let old = self.orders.insert(id.clone(), OrderRow { order: order.clone(), live });
        if let Some(at) = old.as_ref().and_then(|old| old.order.due_at) {
            self.due.remove(&(at, id.clone()));
        }
        if let Some(at) = order.due_at {
            self.due.insert((at, id.clone()));
        }
        match order.stuck {
            Some(_) => self.stuck.insert(id.clone()),
            None => self.stuck.remove(&id),
        };
        if let Some(sale) = self.sales.get_mut(&order.sale) {
            if let Some(old) = old {
                sale.line.serve(&old.order, &order);
                if let Some(at) = sale.by_v.get_mut(&old.order.v) {
                    at.remove(&id);
                }
            }
            sale.by_v.entry(order.v).or_default().insert(id.clone());
            sale.ids.insert(id);
        }
    }

    /// Writes the next version of a sale's stock.
    pub(super) fn bump(&mut self, sale: &SaleId, now: Timestamp) {
        let tag = self.tags.draw();
        if let Some(row) = self.sales.get_mut(sale) {
            row.tags.push(tag);
            row.made.push(now);
        }
    }

    /// Tells the facts of units that came back.
    pub(super) fn tell_back(&mut self, sale: &SaleId, v: u64, now: Timestamp, returned: Returned) {
        let items: Vec<(ItemTotals, u32)> = returned.into_values().collect();
        self.outbox.tell(back(sale, v, now, &items));
    }

    fn books(&self, sale: &SaleRow, batch: &[Accept], now: Timestamp) -> Books {
        let id = &sale.terms.id;
        let mut books = Books {
            sale: sale.terms.id.clone(),
            door: sale.door,
            epoch: sale.epoch,
            gated: sale.nonce.is_some(),
            sealed: sale.sealed,
            next_v: sale.next_v(),
            issued: sale.line.issued,
            now,
            known: HashMap::new(),
            items: HashMap::new(),
            bought: HashMap::new(),
            coupons: HashMap::new(),
            wished: batch.iter().filter(|a| a.is_offer() && self.waits(id, &a.id)).map(|a| a.id.clone()).collect(),
        };
        for accept in batch {
            if let Some(row) = self.orders.get(&accept.id) {
                books.known.insert(accept.id.clone(), row.order.clone());
            }
            for line in accept.lines.iter() {
                if let Some(item) = sale.items.get(&line.item) {
                    books.items.entry(line.item.clone()).or_insert_with(|| item.clone());
                }
                let pair = (line.item.clone(), accept.id.buyer_str().to_owned());
                if let Some(units) = sale.bought.get(&pair) {
                    books.bought.insert(pair, *units);
                }
            }
            if let Some(coupon) = accept.coupon.as_ref().and_then(|id| self.coupons.get(id)) {
                books.coupons.insert(coupon.id.clone(), coupon.clone());
            }
        }
        books
    }

    fn accept(&mut self, id: &SaleId, batch: &[Accept], now: Timestamp) -> Result<Accepted, BackendError> {
        let Some(sale) = self.sales.get(id) else {
            let answers = vec![Acceptance::NotOpen(SaleState::Closed); batch.len()];
            return Ok(Accepted { answers, update: None });
        };
        let from = sale.version();
        let mut books = self.books(sale, batch, now);
        let decision = decide(batch, &mut books);
        if decision.orders.is_empty() {
            return Ok(Accepted { answers: decision.answers, update: None });
        }
        let mut issued = BTreeSet::new();
        let twice = |coupon: &&crate::discount::Coupon| {
            self.coupons.contains_key(&coupon.id) || !issued.insert(coupon.id.clone())
        };
        if let Some(coupon) = decision.issued.iter().find(twice) {
            let why = format!("there is a coupon {} already", coupon.id);
            return Err(BackendError::new(ErrorKind::Data, "ledger.accept", why));
        }
        self.outbox.tell(accepting(&decision, &books));
        self.bump(id, now);
        let mut changed = BTreeSet::new();
        for order in &decision.orders {
            let live = order.state.holds_units();
            if live {
                changed.extend(order.lines.iter().map(|line| line.item.clone()));
            }
            self.put_order(order.clone(), live);
        }
        for coupon in decision.issued {
            self.coupons_of.insert((coupon.member.clone(), coupon.id.clone()));
            self.coupons.insert(coupon.id.clone(), coupon);
        }
        for (coupon, order) in decision.redeemed {
            if let Some(coupon) = self.coupons.get_mut(&coupon) {
                coupon.used_by = Some(order);
            }
        }
        let sale = self.sales.get_mut(id).ok_or_else(|| no_such_sale("ledger.accept", id))?;
        sale.line.issued = books.issued;
        sale.items.extend(books.items);
        sale.bought.extend(books.bought);
        self.offered(id, &decision.orders, now);
        let sale = self.sales.get(id).ok_or_else(|| no_such_sale("ledger.accept", id))?;
        let update = sale.update(from, sale.levels_of(changed.iter()), &decision.orders);
        Ok(Accepted { answers: decision.answers, update: Some(update) })
    }

    fn cancel(
        &mut self,
        id: &SaleId,
        batch: &[Cancel],
        now: Timestamp,
    ) -> Result<(Vec<Cancelled>, Option<Update>), BackendError> {
        let sale = self.sales.get(id).ok_or_else(|| no_such_sale("ledger.cancel", id))?;
        let (from, v) = (sale.version(), sale.next_v());
        let (mut answers, mut ended, mut returned) = (Vec::with_capacity(batch.len()), Vec::new(), Returned::new());
        for cancel in batch {
            let answer = match self.orders.get(&cancel.id).cloned() {
                None => {
                    let fence = Arc::new(Order::fence(id, cancel, v, now));
                    self.put_order(fence.clone(), false);
                    ended.push(fence.clone());
                    Cancelled::Done(fence)
                }
                Some(OrderRow { order, live }) => match order.state {
                    OrderState::Offered | OrderState::Accepted if order.sale == *id => {
                        let from = order.state;
                        let order = Arc::new(order.cancelled(cancel.reason, v, now));
                        self.outbox.tell(ending(&order, from, now));
                        self.wish_follows(&order, now);
                        self.undo(&order, live, &mut returned);
                        self.put_order(order.clone(), false);
                        ended.push(order.clone());
                        Cancelled::Done(order)
                    }
                    OrderState::Refused | OrderState::Cancelled | OrderState::Refunding | OrderState::Refunded => {
                        Cancelled::Already(order)
                    }
                    _ => Cancelled::NotCancellable(order),
                },
            };
            answers.push(answer);
        }
        if ended.is_empty() {
            return Ok((answers, None));
        }
        let changed: Vec<ItemId> = returned.keys().cloned().collect();
        self.bump(id, now);
        self.tell_back(id, v, now, returned);
        let update = self.sales.get(id).map(|sale| sale.update(from, sale.levels_of(changed.iter()), &ended));
        Ok((answers, update))
    }

    /// Gives the units and the coupon of an order back, once.
    pub(super) fn undo(&mut self, order: &Order, live: bool, returned: &mut Returned) {
        if !live {
            return;
        }
        if let Some(sale) = self.sales.get_mut(&order.sale) {
            sale.give_back(order, returned);
        }
        let coupon = order.coupon.as_ref().and_then(|id| self.coupons.get_mut(id));
        if let Some(coupon) = coupon.filter(|coupon| coupon.used_by.as_ref() == Some(&order.id)) {
            coupon.used_by = None;
        }
    }

    fn follow(&mut self, id: &SaleId, nonce: Nonce, version: Version, lapsed: HoldNo) -> Followed {
        // A gate speaks of a sale that the ledger does not have: the ledger was put back to before it.
        let Some(sale) = self.sales.get_mut(id) else { return Followed::Rewound };
        // First of all: a copy from before the gate was adopted knows neither its version nor its nonce.
        if !sale.had(version) {
            return unknown_version(version.v, sale.oldest);
        }
        if sale.nonce != Some(nonce) {
            return Followed::Superseded;
        }
        // Holds that were sealed before are told again: the answer that told it may have been lost.
        if version == sale.version() && lapsed == HoldNo::default() {
            return Followed::Current;
        }
        sale.sealed = sale.sealed.max(lapsed);
        let sale = &*sale;
        let later = sale.by_v.range(version.v + 1..).flat_map(|(_, ids)| ids);
        let orders: Vec<Arc<Order>> = later.filter_map(|id| self.orders.get(id)).map(|row| row.order.clone()).collect();
        Followed::Update(sale.update(version, sale.levels(), &orders))
    }

    fn change(
        &mut self,
        id: &SaleId,
        name: &Key,
        change: &Change,
        now: Timestamp,
    ) -> Result<Option<Update>, ChangeRefusal> {
        let sale = self.sales.get_mut(id).ok_or(ChangeRefusal::UnknownSale)?;
        match sale.changes.get(name) {
            Some(known) if known == change => return Ok(None),
            Some(_) => return Err(ChangeRefusal::Conflict),
            None => {}
        }
        if sale.door.state == SaleState::Closed {
            return Err(ChangeRefusal::Closed);
        }
        let (from, v) = (sale.version(), sale.next_v());
        let changed = apply(sale, change)?;
        sale.changes.insert(name.clone(), change.clone());
        self.outbox.tell(change_facts(id, change, v, now));
        self.bump(id, now);
        Ok(self.sales.get(id).map(|sale| sale.update(from, sale.levels_of(changed.iter()), &[])))
    }
}

/// Changes the terms; names the item that changed.
fn apply(sale: &mut SaleRow, change: &Change) -> Result<Option<ItemId>, ChangeRefusal> {
    match change {
        Change::Adjust { item, .. } | Change::Price { item, .. } | Change::Limit { item, .. } => {
            let row = sale.items.get_mut(item).ok_or_else(|| ChangeRefusal::UnknownItem(item.clone()))?;
            match change {
                Change::Adjust { by, .. } => {
                    let least = i64::from(row.allocated) - i64::from(row.total);
                    let most = i64::from(Quantity::MAX.units()) - i64::from(row.total);
                    let total = i64::from(row.total).checked_add(*by).and_then(|total| u32::try_from(total).ok());
                    match total {
                        Some(total) if (least..=most).contains(by) => row.total = total,
                        _ => return Err(ChangeRefusal::OutOfRange { item: item.clone(), least, most }),
                    }
                }
                Change::Price { price, .. } => row.price = *price,
                Change::Limit { per_buyer, .. } => {
                    row.limit = *per_buyer;
                    let top = sale.limits.entry(item.clone()).or_insert(*per_buyer);
                    *top = (*top).max(*per_buyer);
                }
                Change::Window(_) | Change::State(_) => {}
            }
            Ok(Some(item.clone()))
        }
        Change::Window(window) if window.closes_at <= window.opens_at => Err(ChangeRefusal::Window),
        Change::Window(window) => {
            sale.door.window = *window;
            Ok(None)
        }
        Change::State(state) => {
            sale.door.state = *state;
            Ok(None)
        }
    }
}

#[async_trait]
impl StockLedger for MemoryLedger {
    fn durability(&self) -> Durability {
        Durability::Volatile
    }

    async fn open(&self, sale: &Sale) -> Result<Result<(), ChangeRefusal>, BackendError> {
        sale.check().map_err(|why| BackendError::new(ErrorKind::Data, "ledger.open", why))?;
        let now = self.now();
        let mut tables = self.tables();
        if let Some(row) = tables.sales.get(&sale.id) {
            return Ok(if row.terms == *sale { Ok(()) } else { Err(ChangeRefusal::Conflict) });
        }
        let totals = |item: &crate::sale::Item| ItemTotals {
            item: item.id.clone(),
            total: item.total.units(),
            allocated: 0,
            price: item.price,
            limit: item.per_buyer,
            waiting: false,
        };
        let row = SaleRow {
            terms: sale.clone(),
            door: Door { state: SaleState::Open, window: sale.window, hold: sale.hold },
            tags: vec![],
            made: vec![],
            oldest: 1,
            epoch: Epoch::default(),
            nonce: None,
            sealed: HoldNo::default(),
            line: PaymentLine::default(),
            items: sale.items.iter().map(|item| (item.id.clone(), totals(item))).collect(),
            limits: sale.items.iter().map(|item| (item.id.clone(), item.per_buyer)).collect(),
            bought: HashMap::new(),
            ids: BTreeSet::new(),
            by_v: BTreeMap::new(),
            changes: BTreeMap::new(),
        };
        tables.sales.insert(sale.id.clone(), row);
        tables.bump(&sale.id, now);
        tables.outbox.tell(open_facts(sale, now));
        Ok(Ok(()))
    }

    async fn sales(&self) -> Result<Vec<SaleId>, BackendError> {
        Ok(self.tables().sales.keys().cloned().collect())
    }

    async fn totals(&self, sale: &SaleId) -> Result<Option<Totals>, BackendError> {
        let now = self.now();
        Ok(self.tables().sales.get(sale).map(|row| Totals {
            now,
            version: row.version(),
            epoch: row.epoch,
            door: row.door,
            pay_within: row.terms.pay_within,
            line: row.line,
            items: row.items.values().cloned().collect(),
        }))
    }

    async fn adopt(&self, sale: &SaleId, nonce: Nonce, epoch: Epoch) -> Result<Adopted, BackendError> {
        let mut tables = self.tables();
        let row = tables.sales.get_mut(sale).ok_or_else(|| no_such_sale("ledger.adopt", sale))?;
        if row.nonce != Some(nonce) {
            if row.epoch != epoch {
                return Ok(Adopted::Superseded(row.epoch));
            }
            (row.epoch, row.nonce, row.sealed) = (Epoch(epoch.0 + 1), Some(nonce), HoldNo::default());
        }
        let load = Load { nonce, epoch: row.epoch, version: row.version(), door: row.door, items: row.levels() };
        Ok(Adopted::Yes(load))
    }

    async fn answers<'a>(
        &self,
        sale: &SaleId,
        after: Option<&'a OrderId>,
        limit: usize,
    ) -> Result<Answers, BackendError> {
        let tables = self.tables();
        let Some(row) = tables.sales.get(sale) else { return Ok(Answers::default()) };
        let from = (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        let mut ids = row.ids.range::<OrderId, _>(from);
        let orders: Vec<&Order> =
            ids.by_ref().take(limit.max(1)).filter_map(|id| tables.orders.get(id)).map(|row| &*row.order).collect();
        let next = ids.next().and(orders.last()).map(|last| last.id.clone());
        let bought = row.bought_by(orders.iter().copied());
        Ok(Answers { orders: orders.into_iter().map(settled).collect(), bought, next })
    }

    async fn accept(&self, sale: &SaleId, batch: &[Accept]) -> Result<Accepted, BackendError> {
        let now = self.now();
        self.tables().accept(sale, batch, now)
    }

    async fn cancel(&self, sale: &SaleId, batch: &[Cancel]) -> Result<(Vec<Cancelled>, Option<Update>), BackendError> {
        let now = self.now();
        self.tables().cancel(sale, batch, now)
    }

    async fn follow(
        &self,
        sale: &SaleId,
        nonce: Nonce,
        version: Version,
        lapsed: HoldNo,
    ) -> Result<Followed, BackendError> {
        Ok(self.tables().follow(sale, nonce, version, lapsed))
    }

    async fn change(
        &self,
        sale: &SaleId,
        id: &Key,
        change: &Change,
    ) -> Result<Result<Option<Update>, ChangeRefusal>, BackendError> {
        let now = self.now();
        Ok(self.tables().change(sale, id, change, now))
    }

    async fn forget(&self, sale: &SaleId, before: Timestamp, limit: usize) -> Result<usize, BackendError> {
        let mut tables = self.tables();
        let Some(row) = tables.sales.get_mut(sale) else { return Ok(0) };
        let (oldest, newest) = (row.oldest, row.version().v);
        let from = usize::try_from(oldest - 1).unwrap_or(usize::MAX);
        let kept = (oldest..).zip(row.made.iter().skip(from).copied()).take(limit.saturating_add(1));
        row.oldest = forget_before(kept, newest, before).max(oldest);
        Ok(usize::try_from(row.oldest - oldest).unwrap_or(usize::MAX))
    }
}
