//! The ledger of a recording, played: it keeps versions, decides held orders, seals what lapsed, restocks; and two tasks carry it
//! to the gate, one of them late.
//!
//! Owns what a gate is told. Does not own whether that is what a real ledger would decide: any update that keeps to the port's
//! words will do, and odd ones ask more of a gate.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use flashsale_core::error::BackendError;
use flashsale_core::id::ContentHash;
use flashsale_core::sale::{SaleState, Window};
use flashsale_core::stock::{
    Answers, Bought, Door, Due, HoldNo, ItemLevel, Nonce, OrderState, Reserve, Settled, StockGate, Synced, Update,
    Version,
};
use flashsale_core::{BuyerId, ItemId, Timestamp};
use tokio::sync::mpsc;
use tokio::task::yield_now;

use super::plan::Catalog;
use super::record::{Desk, Pen};
use super::{Asked, Call, Caller, Told};
use crate::differential::Dice;
use crate::sample::{self, units};

/// A hold that a client was told of.
#[derive(Debug, Clone)]
pub(super) struct Granted {
    pub(super) request: Reserve,
    pub(super) no: HoldNo,
}

/// The ledger's books.
struct Books {
    nonce: Nonce,
    v: u64,
    sealed: HoldNo,
    hold: Duration,
    stock: u32,
    levels: BTreeMap<ItemId, ItemLevel>,
    bought: HashMap<(ItemId, BuyerId), u32>,
    /// Every id that was decided.
    decided: HashSet<flashsale_core::OrderId>,
    /// Accepted orders that may be cancelled, oldest first.
    accepted: VecDeque<Reserve>,
}

/// One version in the making.
#[derive(Default)]
struct Changes {
    items: Vec<ItemId>,
    orders: Vec<Settled>,
    bought: Vec<Bought>,
}

impl Books {
    /// The next version: seals, decides, cancels, restocks.
    fn next(
        &mut self,
        due: &Due,
        granted: Vec<Granted>,
        issued: u64,
        now: Option<Timestamp>,
        dice: &mut Dice,
    ) -> Update {
        let from = sample::version(self.v);
        self.v += 1;
        self.sealed = self.sealed.max(due.lapsed);
        let mut changes = Changes::default();
        for granted in granted {
            if granted.no > self.sealed && !dice.once_in(4) && self.decided.insert(granted.request.id.clone()) {
                self.decide(granted.request, dice, &mut changes);
            }
        }
        for _ in 0..dice.roll(12) {
            if let Some(order) = self.accepted.pop_front() {
                self.settle(&order, OrderState::Cancelled, &mut changes);
                self.allot(&order, i64::from, &mut changes);
            }
        }
        if dice.once_in(8) {
            let id = Catalog::id(Catalog::number(issued, dice));
            if self.decided.insert(id.clone()) {
                let fence = Settled { id, hash: ContentHash::FENCE, state: OrderState::Cancelled, v: self.v };
                changes.orders.push(fence);
            }
        }
        self.restock(dice, &mut changes);
        let items = changes.items.iter().collect::<std::collections::BTreeSet<_>>();
        Update {
            nonce: (!dice.once_in(4)).then_some(self.nonce),
            from,
            to: sample::version(self.v),
            sealed: self.sealed,
            door: self.door(now, dice),
            items: items.into_iter().map(|item| self.levels[item].clone()).collect(),
            orders: changes.orders,
            bought: changes.bought,
        }
    }

    fn decide(&mut self, order: Reserve, dice: &mut Dice, changes: &mut Changes) {
        let free = |line: &flashsale_core::sale::Line| self.levels.get(&line.item).map_or(0, |level| level.free);
        let enough = order.lines.iter().all(|line| line.units.units() <= free(line));
        if !enough || dice.once_in(8) {
            return self.settle(&order, OrderState::Refused, changes);
        }
        self.settle(&order, OrderState::Accepted, changes);
        self.allot(&order, |units| -i64::from(units), changes);
        self.accepted.push_back(order);
    }

    fn settle(&self, order: &Reserve, state: OrderState, changes: &mut Changes) {
        changes.orders.push(Settled { id: order.id.clone(), hash: order.hash, state, v: self.v });
    }

    /// Moves an order's units between what is free and what its buyer has; `freed` says how many become free.
    fn allot(&mut self, order: &Reserve, freed: impl Fn(u32) -> i64, changes: &mut Changes) {
        let buyer = order.id.buyer();
        for line in order.lines.iter() {
            let freed = freed(line.units.units());
            if let Some(level) = self.levels.get_mut(&line.item) {
                level.free = u32::try_from(i64::from(level.free) + freed).unwrap_or(0);
            }
            let has = self.bought.entry((line.item.clone(), buyer.clone())).or_default();
            *has = u32::try_from(i64::from(*has) - freed).unwrap_or(0);
            let row = Bought { item: line.item.clone(), buyer: buyer.clone(), units: *has, v: self.v };
            changes.items.push(line.item.clone());
            changes.bought.retain(|other| (&other.item, &other.buyer) != (&row.item, &row.buyer));
            changes.bought.push(row);
        }
    }

    /// Now and then: more units or fewer, another limit, people who wait.
    fn restock(&mut self, dice: &mut Dice, changes: &mut Changes) {
        for level in self.levels.values_mut() {
            let was = level.clone();
            if dice.once_in(8) {
                let most = if dice.once_in(3) { 2 } else { self.stock };
                level.free = dice.roll(u64::from(most) + 1) as u32;
            }
            if dice.once_in(40) {
                level.limit = units(1 + dice.roll(8));
            }
            level.waiting = if level.waiting { !dice.once_in(3) } else { dice.once_in(24) };
            if was != *level {
                changes.items.push(level.item.clone());
            }
        }
    }

    /// Open in most versions; `now` is the gate's time, if it was asked for.
    fn door(&self, now: Option<Timestamp>, dice: &mut Dice) -> Door {
        let open = Door { hold: self.hold, ..sample::door() };
        match (dice.roll(40), now) {
            (0, _) => Door { state: SaleState::Paused, ..open },
            (1, Some(now)) => Door { window: Window { closes_at: now, ..Window::ALWAYS }, ..open },
            (2, Some(now)) => {
                let opens_at = now.after(Duration::from_millis(dice.roll(3)));
                Door { window: Window { opens_at, ..Window::ALWAYS }, ..open }
            }
            _ => open,
        }
    }
}

/// Passes, one for each time it is woken, until all clients have ended.
pub(super) async fn follow<G: StockGate + 'static>(
    desk: Arc<Desk<G>>,
    mut dice: Dice,
    mut woken: mpsc::Receiver<()>,
    late: mpsc::Sender<Arc<Update>>,
) -> Result<Vec<Call>, BackendError> {
    let mut books = Books {
        nonce: desk.load.nonce,
        v: desk.load.version.v,
        sealed: HoldNo(0),
        hold: desk.plan.hold,
        stock: desk.plan.stock,
        levels: desk.load.items.iter().map(|level| (level.item.clone(), level.clone())).collect(),
        bought: HashMap::new(),
        decided: HashSet::new(),
        accepted: VecDeque::new(),
    };
    let mut pen = Pen::new(desk.clone(), Caller::Follower);
    let mut last: Option<Arc<Update>> = None;
    while woken.recv().await.is_some() {
        let Some(Told::Due(Some(due))) = pen.call(&mut dice, Asked::Due).await? else { continue };
        let update = match last.take().filter(|update| update.to != due.version) {
            // The last update has not arrived, or its answer was lost: the same again.
            Some(update) => update,
            None => {
                let now = match dice.once_in(4) {
                    true => pen.call(&mut dice, Asked::Level).await?,
                    false => None,
                };
                let now = now.and_then(|told| if let Told::Level(level) = told { Some(level.now) } else { None });
                Arc::new(books.next(&due, desk.granted(), desk.issued(), now, &mut dice))
            }
        };
        if dice.once_in(4) {
            let page = Answers { orders: update.orders.clone(), bought: update.bought.clone(), next: None };
            let nonce = if dice.once_in(8) { Nonce(books.nonce.0 ^ 2) } else { books.nonce };
            pen.call(&mut dice, Asked::Answers(nonce, Arc::new(page))).await?;
        }
        if dice.once_in(16) {
            let from = Version { tag: update.from.tag ^ 2, ..update.from };
            pen.call(&mut dice, Asked::Sync(Arc::new(Update { from, ..(*update).clone() }))).await?;
        }
        if dice.once_in(3) {
            // A straggler that is busy is late enough.
            let _ = late.try_send(update.clone());
        }
        let told = pen.call(&mut dice, Asked::Sync(update.clone())).await?;
        if told != Some(Told::Synced(Synced::Done)) {
            last = Some(update);
        }
    }
    Ok(pen.lift().await)
}

/// Carries some of the same updates, at once or an update too late.
pub(super) async fn straggle<G: StockGate + 'static>(
    desk: Arc<Desk<G>>,
    mut dice: Dice,
    mut updates: mpsc::Receiver<Arc<Update>>,
) -> Result<Vec<Call>, BackendError> {
    let mut pen = Pen::new(desk, Caller::Straggler);
    let mut kept: Option<Arc<Update>> = None;
    while let Some(update) = updates.recv().await {
        if let Some(old) = kept.take() {
            pen.call(&mut dice, Asked::Sync(old)).await?;
        }
        if dice.once_in(2) {
            pen.call(&mut dice, Asked::Sync(update.clone())).await?;
        }
        kept = Some(update);
        yield_now().await;
    }
    Ok(pen.lift().await)
}
