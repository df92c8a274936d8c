//! The gate in memory: one lock per sale, taken once per batch.
//!
//! Orders live in one slab and buyers in another, each found through an [`Index`]; a hold's number *is* its place in a queue, so
//! deadlines need no ordered map. A batch first touches the places of all its ids and buyers, in a loop without dependencies, so
//! that the processor waits for many cache misses at once; then it decides in order.

use std::collections::{BTreeMap, VecDeque};
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use async_trait::async_trait;
use hashbrown::DefaultHashBuilder;

use super::index::{Index, Slot};
use crate::error::BackendError;
use crate::id::{ContentHash, ItemId, OrderId, SaleId};
use crate::sale::{Lines, SaleState};
use crate::stock::{
    Answers, Begun, Counted, Door, Due, Epoch, Hold, HoldNo, ItemLevel, Level, Load, Nonce, OrderState, Recalled,
    Reservation, Reserve, ReserveRefusal, Reserved, Settled, Standing, StockGate, Synced, Update, Version,
};
use crate::time::{Clock, Timestamp};

/// A [`StockGate`] of this process. It forgets with it. A clone is the same gate.
#[derive(Debug, Clone)]
pub struct MemoryStockGate {
    clock: Arc<dyn Clock>,
    sales: Arc<RwLock<BTreeMap<SaleId, Arc<Mutex<Gate>>>>>,
}

/// All that a gate knew at a moment: for tests of what happens when its last writes are lost.
#[derive(Debug)]
pub struct GateSnapshot(BTreeMap<SaleId, Gate>);

impl MemoryStockGate {
    /// An empty gate with this clock.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, sales: Arc::default() }
    }

    /// Loses everything at once, as a restart of a gate's server does.
    pub fn forget_all(&self) {
        self.sales.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// What the gate knows now.
    #[must_use]
    pub fn snapshot(&self) -> GateSnapshot {
        let sales = self.sales.read().unwrap_or_else(PoisonError::into_inner);
        GateSnapshot(sales.iter().map(|(sale, gate)| (sale.clone(), lock(gate).clone())).collect())
    }

    /// Loses everything since a snapshot, as a failover to a replica that lags does, *without* being noticed as a restart.
    pub fn lose_since(&self, snapshot: &GateSnapshot) {
        let gates = snapshot.0.iter().map(|(sale, gate)| (sale.clone(), Arc::new(Mutex::new(gate.clone()))));
        *self.sales.write().unwrap_or_else(PoisonError::into_inner) = gates.collect();
    }

    fn gate(&self, sale: &SaleId) -> Option<Arc<Mutex<Gate>>> {
        self.sales.read().unwrap_or_else(PoisonError::into_inner).get(sale).cloned()
    }

    /// Runs `f` on the sale's gate, or on none.
    fn with<T>(&self, sale: &SaleId, f: impl FnOnce(Option<&mut Gate>) -> T) -> T {
        match self.gate(sale) {
            Some(gate) => f(Some(&mut lock(&gate))),
            None => f(None),
        }
    }
}

fn lock(gate: &Mutex<Gate>) -> MutexGuard<'_, Gate> {
    gate.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An index into the items.
type ItemNo = u16;

/// The gate of one sale.
#[derive(Debug, Clone)]
struct Gate {
    nonce: Nonce,
    open: bool,
    epoch: Epoch,
    version: Option<Version>,
    sealed: HoldNo,
    door: Door,
    items: Vec<Shelf>,
    hasher: DefaultHashBuilder,
    /// Order id to slot.
    ids: Index,
    slab: Vec<Entry>,
    free_slots: Vec<Slot>,
    /// The slots of holds `first..first + queue.len()`, in order of number; `None` where the hold has ended.
    queue: VecDeque<Option<Slot>>,
    first: u64,
    live_holds: u64,
    /// Item and buyer to what he has.
    buyer_ids: Index,
    buyers: Vec<Buyer>,
    free_buyers: Vec<Slot>,
    /// Slots with both a hold and an answer: written early by a page, to be settled by the next sync.
    decided: Vec<Slot>,
    /// The lines of the request at hand, kept for its memory.
    wanted: Vec<Wanted>,
}

/// The levels of one item.
#[derive(Debug, Clone)]
struct Shelf {
    item: ItemId,
    free: u32,
    held: u32,
    limit: u32,
    waiting: bool,
}

/// An order that the gate knows: held, decided, or both until the next sync.
#[derive(Debug, Clone)]
struct Entry {
    id: OrderId,
    hash: ContentHash,
    hold: Option<Held>,
    done: Option<(u64, OrderState)>,
}

#[derive(Debug, Clone)]
struct Held {
    no: u64,
    deadline: Timestamp,
    units: Units,
}

/// What is held. Most requests have one line, and then it stands here itself.
#[derive(Debug, Clone)]
enum Units {
    One(ItemNo, u32),
    Many(Lines),
}

/// A line of a request, and who asks.
#[derive(Debug, Clone)]
struct Wanted {
    item: ItemNo,
    units: u32,
    /// The hash of item and buyer.
    hash: u64,
    buyer: Option<Slot>,
}

/// The hashes of an order's name: of its buyer, and of all of it.
#[derive(Debug, Clone, Copy)]
struct Hashes {
    buyer: u64,
    id: u64,
}

/// Where a request begins its searches: its hashes, the item of its first line, and the hash of that item and its buyer.
#[derive(Debug, Clone, Copy)]
struct Start {
    hashes: Hashes,
    first: Option<(ItemNo, u64)>,
}

/// What a buyer has of an item. The name is that of one of his orders: sharing its text costs nothing.
#[derive(Debug, Clone)]
struct Buyer {
    item: ItemNo,
    name: OrderId,
    bought: u32,
    bought_v: u64,
    mine: u32,
}

impl Gate {
    fn new(nonce: Nonce) -> Self {
        Self {
            nonce,
            open: false,
            epoch: Epoch(0),
            version: None,
            sealed: HoldNo(0),
            door: Door {
                state: SaleState::Closed,
                window: crate::sale::Window::ALWAYS,
                hold: std::time::Duration::ZERO,
            },
            items: Vec::new(),
            hasher: DefaultHashBuilder::default(),
            ids: Index::default(),
            slab: Vec::new(),
            free_slots: Vec::new(),
            queue: VecDeque::new(),
            first: 1,
            live_holds: 0,
            buyer_ids: Index::default(),
            buyers: Vec::new(),
            free_buyers: Vec::new(),
            decided: Vec::new(),
            wanted: Vec::new(),
        }
    }

    fn next(&self) -> u64 {
        self.first + self.queue.len() as u64
    }

    fn item_no(&self, item: &ItemId) -> Option<ItemNo> {
        // A sale has at most 64 items, and most have one: a scan beats a table.
        self.items.iter().position(|level| level.item == *item).and_then(|n| ItemNo::try_from(n).ok())
    }

    /// Both hashes in one walk over the name.
    fn hashes(&self, id: &OrderId) -> Hashes {
        let (name, buyer) = (id.as_str(), id.buyer_str());
        let rest = &name.as_bytes()[buyer.len()..];
        let buyer = self.hasher.hash_one(buyer);
        Hashes { buyer, id: self.hasher.hash_one((buyer, rest)) }
    }

    /// The hash of what a buyer has of an item.
    fn hash_of(&self, item: ItemNo, buyer: u64) -> u64 {
        self.hasher.hash_one((buyer, item))
    }

    fn find(&self, hash: u64, id: &OrderId) -> Option<Slot> {
        self.ids.find(hash, |slot| self.slab[slot as usize].id == *id)
    }

    fn buyer(&self, hash: u64, item: ItemNo, name: &str) -> Option<Slot> {
        self.buyer_ids.find(hash, |slot| {
            let buyer = &self.buyers[slot as usize];
            buyer.item == item && buyer.name.buyer_str() == name
        })
    }

    /// Takes a slot for a buyer who has none.
    fn insert_buyer(&mut self, hash: u64, item: ItemNo, name: &OrderId) -> Slot {
        let buyer = Buyer { item, name: name.clone(), bought: 0, bought_v: 0, mine: 0 };
        let slot = place(&mut self.buyers, &mut self.free_buyers, buyer);
        self.buyer_ids.insert(hash, slot);
        slot
    }

    /// Takes a slot for an id that has none.
    fn insert(&mut self, hash: u64, entry: Entry) -> Slot {
        let slot = place(&mut self.slab, &mut self.free_slots, entry);
        self.ids.insert(hash, slot);
        slot
    }

    fn remove_if_empty(&mut self, slot: Slot) {
        let entry = &self.slab[slot as usize];
        if entry.hold.is_some() || entry.done.is_some() {
            return;
        }
        self.ids.remove(self.hashes(&entry.id).id, slot);
        self.free_slots.push(slot);
    }

    /// Ends the hold in a slot, if there is one: its units leave `held`, its number stays used.
    fn drop_hold(&mut self, slot: Slot) {
        let Some(held) = self.slab[slot as usize].hold.take() else { return };
        if let Some(place) = held.no.checked_sub(self.first).and_then(|n| self.queue.get_mut(n as usize)) {
            *place = None;
        }
        self.live_holds -= 1;
        let name = self.slab[slot as usize].id.clone();
        match held.units {
            Units::One(item, units) => self.give_back(&name, item, units),
            Units::Many(lines) => {
                for line in lines.iter() {
                    if let Some(item) = self.item_no(&line.item) {
                        self.give_back(&name, item, line.units.units());
                    }
                }
            }
        }
        self.remove_if_empty(slot);
    }

    /// Takes units out of `held`, and out of what the buyer has.
    fn give_back(&mut self, name: &OrderId, item: ItemNo, units: u32) {
        self.items[item as usize].held -= units;
        let hash = self.hash_of(item, self.hashes(name).buyer);
        let Some(slot) = self.buyer(hash, item, name.buyer_str()) else { return };
        let buyer = &mut self.buyers[slot as usize];
        buyer.mine -= units;
        if buyer.mine == 0 && buyer.bought == 0 && buyer.bought_v == 0 {
            self.buyer_ids.remove(hash, slot);
            self.free_buyers.push(slot);
        }
    }

    /// Ends every hold up to `no`, and forgets the places before the first live one.
    fn seal(&mut self, no: HoldNo) {
        while self.first <= no.0 {
            let Some(place) = self.queue.front().copied() else { break };
            if let Some(slot) = place {
                self.drop_hold(slot);
            }
            self.queue.pop_front();
            self.first += 1;
        }
        self.sealed = self.sealed.max(no);
        self.trim();
    }

    /// Ends the holds of orders whose answer is known.
    fn drop_decided(&mut self, upto: u64) {
        for slot in std::mem::take(&mut self.decided) {
            match self.slab[slot as usize].done {
                // `free` does not know this order yet: its hold goes with the version that does.
                Some((v, _)) if v > upto => self.decided.push(slot),
                Some(_) => self.drop_hold(slot),
                None => {}
            }
        }
    }

    fn trim(&mut self) {
        while let Some(None) = self.queue.front() {
            self.queue.pop_front();
            self.first += 1;
        }
    }

    fn start(&self, request: &Reserve) -> Start {
        let hashes = self.hashes(&request.id);
        let item = request.lines.first().and_then(|line| self.item_no(&line.item));
        Start { hashes, first: item.map(|item| (item, self.hash_of(item, hashes.buyer))) }
    }

    /// Reads the places that the batch will need, and forgets them: the decisions find them in the cache.
    fn touch(&self, starts: &[Start]) {
        let mut read = 0;
        for start in starts {
            // The first line stands for all: most requests have no other.
            read ^= self.ids.touch(start.hashes.id) ^ self.buyer_ids.touch(start.first.map_or(0, |(_, hash)| hash));
        }
        std::hint::black_box(read);
    }

    fn reserve(&mut self, request: &Reserve, start: Start, now: Timestamp) -> Result<Reserved, ReserveRefusal> {
        if let Some(slot) = self.find(start.hashes.id, &request.id) {
            let entry = &self.slab[slot as usize];
            if !entry.hash.answers(request.hash) {
                return Err(ReserveRefusal::Conflict);
            }
            if let Some((_, state)) = entry.done {
                return Ok(Reserved::Done(state));
            }
            if let Some(held) = &entry.hold {
                return Ok(Reserved::Held(Hold { epoch: self.epoch, no: HoldNo(held.no), deadline: held.deadline }));
            }
        }
        self.admits(now)?;
        let mut wanted = std::mem::take(&mut self.wanted);
        let answer = self.judge(request, start, &mut wanted).map(|()| {
            let no = self.next();
            let deadline = now.after(self.door.hold);
            self.take(request, start.hashes.id, &wanted, no, deadline);
            Reserved::Held(Hold { epoch: self.epoch, no: HoldNo(no), deadline })
        });
        self.wanted = wanted;
        answer
    }

    /// Tests everything before anything is taken, and tells in `wanted` what is to be taken.
    fn judge(&self, request: &Reserve, start: Start, wanted: &mut Vec<Wanted>) -> Result<(), ReserveRefusal> {
        let after = HoldNo(self.next() - 1);
        let name = request.id.buyer_str();
        let lines = &*request.lines;
        wanted.clear();
        let mut first = start.first;
        for line in lines {
            let known = first.take().or_else(|| {
                let item = self.item_no(&line.item)?;
                Some((item, self.hash_of(item, start.hashes.buyer)))
            });
            let Some((item, hash)) = known else {
                return Err(ReserveRefusal::UnknownItem { item: line.item.clone() });
            };
            wanted.push(Wanted { item, units: line.units.units(), hash, buyer: self.buyer(hash, item, name) });
        }
        for (line, want) in lines.iter().zip(&*wanted) {
            let limit = self.items[want.item as usize].limit;
            let (bought, mine) = want.buyer.map_or((0, 0), |slot| {
                let buyer = &self.buyers[slot as usize];
                (buyer.bought, buyer.mine)
            });
            if u64::from(bought) + u64::from(mine) + u64::from(want.units) > u64::from(limit) {
                let by = if bought + want.units > limit { Counted::Bought } else { Counted::Held };
                return Err(ReserveRefusal::Limit { item: line.item.clone(), have: bought + mine, limit, by });
            }
        }
        for (line, want) in lines.iter().zip(&*wanted) {
            if self.items[want.item as usize].waiting && request.standing == Standing::Public {
                return Err(ReserveRefusal::Waitlist { item: line.item.clone(), after });
            }
        }
        // A line that can never be filled is told before one that is merely held.
        for (line, want) in lines.iter().zip(&*wanted) {
            if want.units > self.items[want.item as usize].free {
                return Err(ReserveRefusal::SoldOut { item: line.item.clone(), after });
            }
        }
        for (line, want) in lines.iter().zip(&*wanted) {
            let level = &self.items[want.item as usize];
            if u64::from(level.held) + u64::from(want.units) > u64::from(level.free) {
                return Err(ReserveRefusal::AllHeld { item: line.item.clone(), after });
            }
        }
        Ok(())
    }

    /// Holds what was judged.
    fn take(&mut self, request: &Reserve, hash: u64, wanted: &[Wanted], no: u64, deadline: Timestamp) {
        for want in wanted {
            self.items[want.item as usize].held += want.units;
            let buyer = match want.buyer {
                Some(slot) => slot,
                None => self.insert_buyer(want.hash, want.item, &request.id),
            };
            self.buyers[buyer as usize].mine += want.units;
        }
        let units = match wanted {
            [one] => Units::One(one.item, one.units),
            _ => Units::Many(request.lines.clone()),
        };
        let held = Held { no, deadline, units };
        let entry = Entry { id: request.id.clone(), hash: request.hash, hold: Some(held), done: None };
        let slot = self.insert(hash, entry);
        self.queue.push_back(Some(slot));
        self.live_holds += 1;
    }

    fn admits(&self, now: Timestamp) -> Result<(), ReserveRefusal> {
        match self.door.state {
            SaleState::Paused => return Err(ReserveRefusal::Paused),
            SaleState::Closed => return Err(ReserveRefusal::Closed),
            SaleState::Open => {}
        }
        let window = self.door.window;
        if now < window.opens_at {
            return Err(ReserveRefusal::NotOpen { opens_at: window.opens_at });
        }
        if now >= window.closes_at {
            return Err(ReserveRefusal::Closed);
        }
        Ok(())
    }

    fn set_items(&mut self, items: &[ItemLevel]) {
        for level in items {
            match self.item_no(&level.item) {
                Some(no) => {
                    let mine = &mut self.items[no as usize];
                    (mine.free, mine.limit, mine.waiting) = (level.free, level.limit.units(), level.waiting);
                }
                None => self.items.push(Shelf {
                    item: level.item.clone(),
                    free: level.free,
                    held: 0,
                    limit: level.limit.units(),
                    waiting: level.waiting,
                }),
            }
        }
    }

    /// Writes an answer down, unless a newer one stands there.
    fn note(&mut self, settled: &Settled) -> Slot {
        let hash = self.hashes(&settled.id).id;
        if let Some(slot) = self.find(hash, &settled.id) {
            let entry = &mut self.slab[slot as usize];
            if entry.done.is_none_or(|(v, _)| v <= settled.v) {
                entry.done = Some((settled.v, settled.state));
                entry.hash = settled.hash;
            }
            return slot;
        }
        let entry =
            Entry { id: settled.id.clone(), hash: settled.hash, hold: None, done: Some((settled.v, settled.state)) };
        self.insert(hash, entry)
    }

    fn note_bought(&mut self, bought: &[crate::stock::Bought]) {
        for row in bought {
            let Some(item) = self.item_no(&row.item) else { continue };
            let hash = self.hash_of(item, self.hasher.hash_one(row.buyer.as_str()));
            let slot = self.buyer(hash, item, row.buyer.as_str()).unwrap_or_else(|| {
                // A buyer who is new here is named by any order id of his; one is made up, it is never looked at.
                let name = OrderId::of(&row.buyer, &crate::id::Key::new("x").expect("a constant key"));
                self.insert_buyer(hash, item, &name)
            });
            let buyer = &mut self.buyers[slot as usize];
            if buyer.bought_v <= row.v {
                (buyer.bought, buyer.bought_v) = (row.units, row.v);
            }
        }
    }
}

/// Puts a thing into a slab, where one was removed or at the end.
fn place<T>(slab: &mut Vec<T>, free: &mut Vec<Slot>, thing: T) -> Slot {
    if let Some(slot) = free.pop() {
        slab[slot as usize] = thing;
        return slot;
    }
    slab.push(thing);
    Slot::try_from(slab.len() - 1).expect("fewer than 2^32 orders in one sale")
}

#[async_trait]
impl StockGate for MemoryStockGate {
    async fn begin(&self, sale: &SaleId, nonce: Nonce) -> Result<Begun, BackendError> {
        let mut sales = self.sales.write().unwrap_or_else(PoisonError::into_inner);
        let gate = sales.entry(sale.clone()).or_insert_with(|| Arc::new(Mutex::new(Gate::new(nonce))));
        let gate = lock(gate);
        Ok(if gate.open { Begun::Open(gate.nonce) } else { Begun::Loading(gate.nonce) })
    }

    async fn forget(&self, sale: &SaleId, nonce: Nonce) -> Result<(), BackendError> {
        let mut sales = self.sales.write().unwrap_or_else(PoisonError::into_inner);
        if sales.get(sale).is_some_and(|gate| lock(gate).nonce == nonce) {
            sales.remove(sale);
        }
        Ok(())
    }

    async fn answers(&self, sale: &SaleId, nonce: Nonce, page: &Answers) -> Result<Synced, BackendError> {
        Ok(self.with(sale, |gate| match gate {
            Some(gate) if gate.nonce == nonce => {
                // A gate that is being loaded learns its items here: `load` sets their levels.
                for row in &page.bought {
                    if gate.item_no(&row.item).is_none() {
                        gate.items.push(Shelf { item: row.item.clone(), free: 0, held: 0, limit: 0, waiting: false });
                    }
                }
                for settled in &page.orders {
                    let slot = gate.note(settled);
                    if gate.slab[slot as usize].hold.is_some() {
                        gate.decided.push(slot);
                    }
                }
                gate.note_bought(&page.bought);
                Synced::Done
            }
            _ => Synced::Refused,
        }))
    }

    async fn load(&self, sale: &SaleId, load: &Load) -> Result<Synced, BackendError> {
        Ok(self.with(sale, |gate| match gate {
            Some(gate) if gate.nonce == load.nonce && !gate.open => {
                gate.set_items(&load.items);
                gate.epoch = load.epoch;
                gate.version = Some(load.version);
                gate.door = load.door;
                gate.sealed = HoldNo(0);
                gate.open = true;
                Synced::Done
            }
            _ => Synced::Refused,
        }))
    }

    async fn reserve(&self, sale: &SaleId, batch: &[Reserve]) -> Result<Reservation, BackendError> {
        let now = self.clock.now();
        Ok(self.with(sale, |gate| {
            let Some(gate) = gate.filter(|gate| gate.open) else { return Reservation::NotLoaded };
            let starts: Vec<Start> = batch.iter().map(|request| gate.start(request)).collect();
            if batch.len() > 1 {
                gate.touch(&starts);
            }
            let answers = batch.iter().zip(starts).map(|(request, start)| gate.reserve(request, start, now)).collect();
            Reservation::Answers(answers)
        }))
    }

    async fn due(&self, sale: &SaleId) -> Result<Option<Due>, BackendError> {
        let now = self.clock.now();
        Ok(self.with(sale, |gate| {
            let gate = gate.filter(|gate| gate.open)?;
            let overdue = |slot: &Option<Slot>| {
                slot.is_none_or(|slot| gate.slab[slot as usize].hold.as_ref().is_none_or(|held| held.deadline <= now))
            };
            // Ended holds at the end of the run are not counted: a seal only needs to reach the last that lapsed.
            let run = gate.queue.iter().take_while(|slot| overdue(slot)).count();
            let lapsed = gate.queue.iter().take(run).rposition(Option::is_some).map_or(0, |n| gate.first + n as u64);
            Some(Due { nonce: gate.nonce, version: gate.version?, lapsed: HoldNo(lapsed) })
        }))
    }

    async fn sync(&self, sale: &SaleId, update: &Update) -> Result<Synced, BackendError> {
        Ok(self.with(sale, |gate| {
            let Some(gate) = gate.filter(|gate| {
                gate.open && gate.version == Some(update.from) && update.nonce.is_none_or(|nonce| nonce == gate.nonce)
            }) else {
                return Synced::Refused;
            };
            gate.set_items(&update.items);
            for settled in &update.orders {
                let slot = gate.note(settled);
                gate.drop_hold(slot);
            }
            gate.note_bought(&update.bought);
            gate.drop_decided(update.to.v);
            gate.seal(update.sealed);
            gate.door = update.door;
            gate.version = Some(update.to);
            Synced::Done
        }))
    }

    async fn recall(&self, sale: &SaleId, cursor: u64) -> Result<Recalled, BackendError> {
        const SLOTS: usize = 1_000;
        Ok(self.with(sale, |gate| {
            let Some(gate) = gate else { return Recalled::default() };
            let from = usize::try_from(cursor).unwrap_or(usize::MAX).min(gate.slab.len());
            let to = from.saturating_add(SLOTS).min(gate.slab.len());
            let told = |entry: &Entry| {
                let (v, state) = entry.done?;
                Some(Settled { id: entry.id.clone(), hash: entry.hash, state, v })
            };
            let orders = gate.slab[from..to].iter().filter_map(told).collect();
            Recalled { orders, next: (to < gate.slab.len()).then_some(to as u64) }
        }))
    }

    async fn level(&self, sale: &SaleId) -> Result<Level, BackendError> {
        let now = self.clock.now();
        Ok(self.with(sale, |gate| match gate {
            Some(gate) => Level {
                now,
                open: gate.open,
                nonce: Some(gate.nonce),
                epoch: gate.epoch,
                version: gate.version,
                holds: gate.live_holds,
                next: HoldNo(gate.next()),
                items: gate.items.iter().map(|level| (level.item.clone(), level.free, level.held)).collect(),
            },
            None => Level {
                now,
                open: false,
                nonce: None,
                epoch: Epoch(0),
                version: None,
                holds: 0,
                next: HoldNo(1),
                items: vec![],
            },
        }))
    }
}
