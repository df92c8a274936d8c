//! The gate in memory: one lock per sale, taken once per batch.
//!
//! Orders live in one slab, found through a table of indices; a hold's number *is* its place in a queue, so deadlines need no
//! ordered map. A batch looks all its ids and buyers up first, in loops without dependencies, so that the processor waits for
//! several cache misses at once; then it decides in order.

use std::collections::{BTreeMap, VecDeque};
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use async_trait::async_trait;
use hashbrown::{DefaultHashBuilder, HashTable};

use crate::error::BackendError;
use crate::id::{ContentHash, ItemId, OrderId, SaleId};
use crate::sale::{Lines, SaleState};
use crate::stock::{
    Answers, Begun, Counted, Door, Due, Epoch, Hold, HoldNo, ItemLevel, Level, Load, Nonce, OrderState, Reservation,
    Reserve, ReserveRefusal, Reserved, Settled, Standing, StockGate, Synced, Update, Version,
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

/// An index into the slab.
type Slot = u32;
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
    ids: HashTable<Slot>,
    slab: Vec<Entry>,
    free_slots: Vec<Slot>,
    /// The slots of holds `first..first + queue.len()`, in order of number; `None` where the hold has ended.
    queue: VecDeque<Option<Slot>>,
    first: u64,
    live_holds: u64,
    /// Item and buyer to what he has.
    buyers: HashTable<Buyer>,
    /// Slots with both a hold and an answer: written early by a page, to be settled by the next sync.
    decided: Vec<Slot>,
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
    lines: Lines,
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
            ids: HashTable::new(),
            slab: Vec::new(),
            free_slots: Vec::new(),
            queue: VecDeque::new(),
            first: 1,
            live_holds: 0,
            buyers: HashTable::new(),
            decided: Vec::new(),
        }
    }

    fn next(&self) -> u64 {
        self.first + self.queue.len() as u64
    }

    fn item_no(&self, item: &ItemId) -> Option<ItemNo> {
        // A sale has at most 64 items, and most have one: a scan beats a table.
        self.items.iter().position(|level| level.item == *item).and_then(|n| ItemNo::try_from(n).ok())
    }

    fn hash_id(&self, id: &str) -> u64 {
        self.hasher.hash_one(id)
    }

    fn hash_buyer(&self, item: ItemNo, buyer: &str) -> u64 {
        self.hasher.hash_one((item, buyer))
    }

    fn find(&self, hash: u64, id: &OrderId) -> Option<Slot> {
        self.ids.find(hash, |slot| self.slab[*slot as usize].id == *id).copied()
    }

    fn buyer(&self, hash: u64, item: ItemNo, name: &str) -> Option<&Buyer> {
        self.buyers.find(hash, |b| b.item == item && b.name.buyer_str() == name)
    }

    fn buyer_mut(&mut self, hash: u64, item: ItemNo, name: &OrderId) -> &mut Buyer {
        let hasher = &self.hasher;
        self.buyers
            .entry(
                hash,
                |b| b.item == item && b.name.buyer_str() == name.buyer_str(),
                |b| hasher.hash_one((b.item, b.name.buyer_str())),
            )
            .or_insert_with(|| Buyer { item, name: name.clone(), bought: 0, bought_v: 0, mine: 0 })
            .into_mut()
    }

    /// Takes a slot for an id that has none.
    fn insert(&mut self, hash: u64, entry: Entry) -> Slot {
        let slot = match self.free_slots.pop() {
            Some(slot) => {
                self.slab[slot as usize] = entry;
                slot
            }
            None => {
                self.slab.push(entry);
                Slot::try_from(self.slab.len() - 1).expect("fewer than 2^32 orders in one sale")
            }
        };
        let Self { ids, slab, hasher, .. } = self;
        ids.insert_unique(hash, slot, |slot| hasher.hash_one(slab[*slot as usize].id.as_str()));
        slot
    }

    fn remove_if_empty(&mut self, slot: Slot) {
        let entry = &self.slab[slot as usize];
        if entry.hold.is_some() || entry.done.is_some() {
            return;
        }
        let hash = self.hash_id(entry.id.as_str());
        if let Ok(found) = self.ids.find_entry(hash, |other| *other == slot) {
            found.remove();
        }
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
        for line in held.lines.iter() {
            let Some(item) = self.item_no(&line.item) else { continue };
            self.items[item as usize].held -= line.units.units();
            let hash = self.hash_buyer(item, name.buyer_str());
            self.buyer_mut(hash, item, &name).mine -= line.units.units();
            self.forget_buyer_with_nothing(hash, item, name.buyer_str());
        }
        self.remove_if_empty(slot);
    }

    fn forget_buyer_with_nothing(&mut self, hash: u64, item: ItemNo, name: &str) {
        let found = self.buyers.find_entry(hash, |b| b.item == item && b.name.buyer_str() == name);
        if let Ok(found) = found {
            let buyer = found.get();
            if buyer.mine == 0 && buyer.bought == 0 && buyer.bought_v == 0 {
                found.remove();
            }
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
    fn drop_decided(&mut self) {
        for slot in std::mem::take(&mut self.decided) {
            if self.slab[slot as usize].done.is_some() {
                self.drop_hold(slot);
            }
        }
    }

    fn trim(&mut self) {
        while let Some(None) = self.queue.front() {
            self.queue.pop_front();
            self.first += 1;
        }
    }

    /// Reads what the batch will need, in loops without dependencies, and forgets it: the decisions find it in the cache.
    fn touch(&self, batch: &[Reserve], hashes: &[u64]) {
        let known = batch.iter().zip(hashes).filter(|(request, hash)| self.find(**hash, &request.id).is_some()).count();
        let mut buyers = 0;
        for request in batch {
            if let [line] = &*request.lines
                && let Some(item) = self.item_no(&line.item)
            {
                let name = request.id.buyer_str();
                buyers += usize::from(self.buyer(self.hash_buyer(item, name), item, name).is_some());
            }
        }
        std::hint::black_box((known, buyers));
    }

    fn reserve(&mut self, request: &Reserve, hash: u64, now: Timestamp) -> Result<Reserved, ReserveRefusal> {
        if let Some(slot) = self.find(hash, &request.id) {
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
        let after = HoldNo(self.next() - 1);
        // Everything is tested before anything is taken; most requests have one line.
        let mut numbers = [(0, 0); crate::sale::LINES_MAX];
        let buyer = request.id.buyer_str();
        for (line, number) in request.lines.iter().zip(&mut numbers) {
            let Some(item) = self.item_no(&line.item) else {
                return Err(ReserveRefusal::UnknownItem { item: line.item.clone() });
            };
            *number = (item, self.hash_buyer(item, buyer));
        }
        let numbers = &numbers[..request.lines.len()];
        for (line, (item, hash)) in request.lines.iter().zip(numbers) {
            let level = &self.items[*item as usize];
            let (bought, mine) = self.buyer(*hash, *item, buyer).map_or((0, 0), |b| (b.bought, b.mine));
            if u64::from(bought) + u64::from(mine) + u64::from(line.units.units()) > u64::from(level.limit) {
                let by = if bought + line.units.units() > level.limit { Counted::Bought } else { Counted::Held };
                let item = line.item.clone();
                return Err(ReserveRefusal::Limit { item, have: bought + mine, limit: level.limit, by });
            }
        }
        for (line, (item, _)) in request.lines.iter().zip(numbers) {
            if self.items[*item as usize].waiting && request.standing == Standing::Public {
                return Err(ReserveRefusal::Waitlist { item: line.item.clone(), after });
            }
        }
        // A line that can never be filled is told before one that is merely held.
        for (line, (item, _)) in request.lines.iter().zip(numbers) {
            if line.units.units() > self.items[*item as usize].free {
                return Err(ReserveRefusal::SoldOut { item: line.item.clone(), after });
            }
        }
        for (line, (item, _)) in request.lines.iter().zip(numbers) {
            let level = &self.items[*item as usize];
            if u64::from(level.held) + u64::from(line.units.units()) > u64::from(level.free) {
                return Err(ReserveRefusal::AllHeld { item: line.item.clone(), after });
            }
        }
        let no = self.next();
        let deadline = now.after(self.door.hold);
        for (line, (item, hash)) in request.lines.iter().zip(numbers) {
            self.items[*item as usize].held += line.units.units();
            self.buyer_mut(*hash, *item, &request.id).mine += line.units.units();
        }
        let held = Held { no, deadline, lines: request.lines.clone() };
        let entry = Entry { id: request.id.clone(), hash: request.hash, hold: Some(held), done: None };
        let slot = self.insert(hash, entry);
        self.queue.push_back(Some(slot));
        self.live_holds += 1;
        Ok(Reserved::Held(Hold { epoch: self.epoch, no: HoldNo(no), deadline }))
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
        let hash = self.hash_id(settled.id.as_str());
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
            let hash = self.hash_buyer(item, row.buyer.as_str());
            // A buyer who is new here is named by any order id of his; one is made up, it is never looked at.
            let name = match self.buyer(hash, item, row.buyer.as_str()) {
                Some(known) => known.name.clone(),
                None => OrderId::of(&row.buyer, &crate::id::Key::new("x").expect("a constant key")),
            };
            let buyer = self.buyer_mut(hash, item, &name);
            if buyer.bought_v <= row.v {
                (buyer.bought, buyer.bought_v) = (row.units, row.v);
            }
        }
    }
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
            let hashes: Vec<u64> = batch.iter().map(|request| gate.hash_id(request.id.as_str())).collect();
            if batch.len() > 1 {
                gate.touch(batch, &hashes);
            }
            let answers = batch.iter().zip(hashes).map(|(request, hash)| gate.reserve(request, hash, now)).collect();
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
            gate.drop_decided();
            gate.seal(update.sealed);
            gate.door = update.door;
            gate.version = Some(update.to);
            Synced::Done
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
