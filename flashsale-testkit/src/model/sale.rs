//! The gate of one sale as a pure state: the sequential specification. No lock, no clock, no I/O.
//!
//! Owns the rules of `StockGate`, said as plainly as they can be said, and the way back: each change notes what was there before,
//! so that a search can try a step and undo it. Does not own what happens at once: [`ModelGate`](super::ModelGate) has the lock,
//! the search of [`history`](crate::history) the order.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use flashsale_core::id::ContentHash;
use flashsale_core::sale::SaleState;
use flashsale_core::stock::{
    Bought, Counted, Door, Due, Epoch, Hold, HoldNo, ItemLevel, Level, Load, Nonce, OrderState, Recalled, Reserve,
    ReserveRefusal, Reserved, Settled, Standing, Synced, Update, Version,
};
use flashsale_core::{ItemId, OrderId, Timestamp};

/// The gate of one sale.
#[derive(Debug)]
pub(crate) struct ModelSale {
    head: Head,
    shelves: BTreeMap<ItemId, Shelf>,
    holds: HashMap<OrderId, Held>,
    /// The live holds, in order of number.
    queue: BTreeMap<HoldNo, OrderId>,
    done: HashMap<OrderId, Done>,
    buyers: HashMap<Box<str>, BTreeMap<ItemId, Has>>,
    /// What was there before each change, oldest first.
    past: Vec<Was>,
    /// The sum (without carry) of the hashes of all entries of the maps.
    sum: u64,
}

/// What a gate knows of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    nonce: Nonce,
    /// What it was loaded with; `None` while it is being loaded.
    loaded: Option<Loaded>,
    sealed: HoldNo,
    next: u64,
}

/// What a gate is open with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Loaded {
    pub(crate) epoch: Epoch,
    pub(crate) version: Version,
    pub(crate) door: Door,
}

/// The level of an item, and the sum of its live holds.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shelf {
    level: ItemLevel,
    held: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Held {
    hold: Hold,
    request: Reserve,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Done {
    v: u64,
    hash: ContentHash,
    state: OrderState,
}

/// What a buyer has of an item: bought at a version, and the sum of his live holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Has {
    bought: u32,
    v: Option<u64>,
    held: u32,
}

/// What stood somewhere before a change.
#[derive(Debug)]
enum Was {
    Head(Head),
    Shelf(ItemId, Option<Shelf>),
    Hold(OrderId, Option<Held>),
    Done(OrderId, Option<Done>),
    Has(Box<str>, ItemId, Option<Has>),
}

/// A moment to go back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark(usize);

impl ModelSale {
    pub(crate) fn new(nonce: Nonce) -> Self {
        Self {
            head: Head { nonce, loaded: None, sealed: HoldNo(0), next: 1 },
            shelves: BTreeMap::new(),
            holds: HashMap::new(),
            queue: BTreeMap::new(),
            done: HashMap::new(),
            buyers: HashMap::new(),
            past: Vec::new(),
            sum: 0,
        }
    }

    pub(crate) fn nonce(&self) -> Nonce {
        self.head.nonce
    }

    /// What it is open with, if it is open.
    pub(crate) fn loaded(&self) -> Option<Loaded> {
        self.head.loaded
    }

    /// The number that the next hold gets.
    pub(crate) fn next(&self) -> HoldNo {
        HoldNo(self.head.next)
    }

    /// The live holds in order of number.
    pub(crate) fn live(&self) -> impl Iterator<Item = Hold> {
        self.queue.values().map(|id| self.holds[id].hold)
    }

    /// Per item, what could be held now.
    pub(crate) fn available(&self) -> impl Iterator<Item = (&ItemId, i64)> {
        self.shelves.iter().map(|(item, shelf)| (item, i64::from(shelf.level.free) - i64::from(shelf.held)))
    }

    /// Answers from what is known of the id, or tells why nothing is held, or that it could be.
    pub(crate) fn judge(&self, request: &Reserve, now: Timestamp) -> Result<Option<Reserved>, ReserveRefusal> {
        if let Some(done) = self.done.get(&request.id) {
            let same = done.hash.answers(request.hash);
            return if same { Ok(Some(Reserved::Done(done.state))) } else { Err(ReserveRefusal::Conflict) };
        }
        if let Some(held) = self.holds.get(&request.id) {
            let same = held.request.hash == request.hash;
            return if same { Ok(Some(Reserved::Held(held.hold))) } else { Err(ReserveRefusal::Conflict) };
        }
        let Some(Loaded { door, .. }) = self.head.loaded else { return Err(ReserveRefusal::Closed) };
        match door.state {
            SaleState::Paused => return Err(ReserveRefusal::Paused),
            SaleState::Closed => return Err(ReserveRefusal::Closed),
            SaleState::Open if now < door.window.opens_at => {
                return Err(ReserveRefusal::NotOpen { opens_at: door.window.opens_at });
            }
            SaleState::Open if now >= door.window.closes_at => return Err(ReserveRefusal::Closed),
            SaleState::Open => {}
        }
        self.judge_lines(request).map(|()| None)
    }

    /// Tests all lines, each question over all of them before the next one.
    fn judge_lines(&self, request: &Reserve) -> Result<(), ReserveRefusal> {
        let after = HoldNo(self.head.next - 1);
        let his = self.buyers.get(request.id.buyer_str());
        let lines = || request.lines.iter().map(|line| (&line.item, line.units.units()));
        if let Some((item, _)) = lines().find(|(item, _)| !self.shelves.contains_key(item)) {
            return Err(ReserveRefusal::UnknownItem { item: item.clone() });
        }
        for (item, units) in lines() {
            let has = his.and_then(|his| his.get(item)).copied().unwrap_or_default();
            let (have, limit) = (has.bought + has.held, self.shelves[item].level.limit.units());
            if have + units > limit {
                let by = if has.bought + units > limit { Counted::Bought } else { Counted::Held };
                return Err(ReserveRefusal::Limit { item: item.clone(), have, limit, by });
            }
        }
        if let Some((item, _)) = lines().find(|(item, _)| self.shelves[item].level.waiting)
            && request.standing == Standing::Public
        {
            return Err(ReserveRefusal::Waitlist { item: item.clone(), after });
        }
        if let Some((item, _)) = lines().find(|(item, units)| *units > self.shelves[item].level.free) {
            return Err(ReserveRefusal::SoldOut { item: item.clone(), after });
        }
        let short = |(item, units): &(&ItemId, u32)| self.shelves[item].held + units > self.shelves[item].level.free;
        match lines().find(short) {
            Some((item, _)) => Err(ReserveRefusal::AllHeld { item: item.clone(), after }),
            None => Ok(()),
        }
    }

    /// Holds units under the next number, asking nothing.
    pub(crate) fn hold(&mut self, request: &Reserve, now: Timestamp) -> Hold {
        let (epoch, wait) = self.head.loaded.map_or_else(Default::default, |l| (l.epoch, l.door.hold));
        let hold = Hold { epoch, no: self.next(), deadline: now.after(wait) };
        self.set_head(Head { next: self.head.next + 1, ..self.head });
        self.set_hold(request.id.clone(), Some(Held { hold, request: request.clone() }));
        hold
    }

    /// Holds units, or refuses, or repeats what was said.
    pub(crate) fn reserve(&mut self, request: &Reserve, now: Timestamp) -> Result<Reserved, ReserveRefusal> {
        match self.judge(request, now)? {
            Some(known) => Ok(known),
            None => Ok(Reserved::Held(self.hold(request, now))),
        }
    }

    /// Ends a hold, if there is one.
    pub(crate) fn release(&mut self, id: &OrderId) {
        if self.holds.contains_key(id) {
            self.set_hold(id.clone(), None);
        }
    }

    /// Writes answers down, each unless a newer one stands there.
    pub(crate) fn note(&mut self, orders: &[Settled], bought: &[Bought]) {
        for order in orders {
            if self.done.get(&order.id).is_none_or(|done| done.v <= order.v) {
                let done = Done { v: order.v, hash: order.hash, state: order.state };
                self.set_done(order.id.clone(), Some(done));
            }
        }
        for row in bought {
            let has = self.has(row.buyer.as_str(), &row.item);
            if has.v.is_none_or(|v| v <= row.v) {
                let has = Has { bought: row.units, v: Some(row.v), ..has };
                self.set_has(row.buyer.as_str().into(), row.item.clone(), Some(has));
            }
        }
    }

    pub(crate) fn load(&mut self, load: &Load) -> Synced {
        if self.head.nonce != load.nonce || self.head.loaded.is_some() {
            return Synced::Refused;
        }
        self.set_levels(&load.items);
        let loaded = Loaded { epoch: load.epoch, version: load.version, door: load.door };
        self.set_head(Head { loaded: Some(loaded), ..self.head });
        Synced::Done
    }

    /// Copies an update that fits, as [`StockGate::sync`](flashsale_core::stock::StockGate::sync) says.
    pub(crate) fn sync(&mut self, update: &Update) -> Synced {
        let mine = update.nonce.is_none_or(|nonce| nonce == self.head.nonce);
        match self.head.loaded {
            Some(loaded) if mine && loaded.version == update.from => {
                self.copy(loaded, update);
                Synced::Done
            }
            _ => Synced::Refused,
        }
    }

    /// Copies an update, asking nothing.
    pub(crate) fn copy(&mut self, loaded: Loaded, update: &Update) {
        self.set_levels(&update.items);
        self.note(&update.orders, &update.bought);
        let sealed = self.head.sealed.max(update.sealed);
        let decided = |id: &OrderId| self.done.get(id).is_some_and(|done| done.v <= update.to.v);
        let ended = self.queue.iter().filter(|(no, id)| **no <= sealed || decided(id));
        let ended: Vec<OrderId> = ended.map(|(_, id)| id.clone()).collect();
        ended.into_iter().for_each(|id| self.set_hold(id, None));
        let loaded = Loaded { version: update.to, door: update.door, ..loaded };
        self.set_head(Head { loaded: Some(loaded), sealed, ..self.head });
    }

    pub(crate) fn due(&self, now: Timestamp) -> Option<Due> {
        let loaded = self.head.loaded?;
        let lapsed = self.live().take_while(|hold| hold.deadline <= now).last().map_or(HoldNo(0), |hold| hold.no);
        Some(Due { nonce: self.head.nonce, version: loaded.version, lapsed })
    }

    pub(crate) fn level(&self, now: Timestamp) -> Level {
        let loaded = self.head.loaded;
        Level {
            now,
            open: loaded.is_some(),
            nonce: Some(self.head.nonce),
            epoch: loaded.map_or(Epoch(0), |loaded| loaded.epoch),
            version: loaded.map(|loaded| loaded.version),
            holds: self.holds.len() as u64,
            next: self.next(),
            items: self.shelves.iter().map(|(item, shelf)| (item.clone(), shelf.level.free, shelf.held)).collect(),
        }
    }

    /// What `held` is by its definition: the live holds summed up anew, per item.
    pub(crate) fn recount(&self) -> BTreeMap<ItemId, u32> {
        let mut sums: BTreeMap<ItemId, u32> = self.shelves.keys().map(|item| (item.clone(), 0)).collect();
        for line in self.holds.values().flat_map(|held| held.request.lines.iter()) {
            *sums.entry(line.item.clone()).or_default() += line.units.units();
        }
        sums
    }

    /// This moment, to come back to.
    pub(crate) fn mark(&self) -> Mark {
        Mark(self.past.len())
    }

    /// Undoes everything since a moment.
    pub(crate) fn back_to(&mut self, mark: Mark) {
        while self.past.len() > mark.0 {
            match self.past.pop() {
                Some(Was::Head(head)) => self.head = head,
                Some(Was::Shelf(item, was)) => _ = self.put_shelf(item, was),
                Some(Was::Hold(id, was)) => _ = self.put_hold(id, was),
                Some(Was::Done(id, was)) => _ = self.put_done(id, was),
                Some(Was::Has(buyer, item, was)) => _ = self.put_has(buyer, item, was),
                None => {}
            }
        }
    }

    /// Gives up every way back.
    pub(crate) fn settle(&mut self) {
        self.past.clear();
    }

    /// A number that equal states share, and different ones in all likelihood do not.
    pub(crate) fn fingerprint(&self) -> u64 {
        let Head { sealed, next, loaded, .. } = self.head;
        let door = loaded.map(|l| (l.version, l.door.state, l.door.window, l.door.hold));
        self.sum ^ hash((sealed, next, door))
    }
}

/// The setters: each notes what was there, and keeps the sums. Units move between `held` of items and buyers only in `set_hold`.
impl ModelSale {
    fn set_head(&mut self, head: Head) {
        if self.head != head {
            self.past.push(Was::Head(std::mem::replace(&mut self.head, head)));
        }
    }

    fn set_levels(&mut self, items: &[ItemLevel]) {
        for level in items {
            let held = self.shelves.get(&level.item).map_or(0, |shelf| shelf.held);
            self.set_shelf(level.item.clone(), Shelf { level: level.clone(), held });
        }
    }

    fn set_shelf(&mut self, item: ItemId, shelf: Shelf) {
        if self.shelves.get(&item) != Some(&shelf) {
            let was = self.put_shelf(item.clone(), Some(shelf));
            self.past.push(Was::Shelf(item, was));
        }
    }

    /// All decided orders that it knows.
    pub(crate) fn recall(&self) -> Recalled {
        let told =
            |(id, done): (&OrderId, &Done)| Settled { id: id.clone(), hash: done.hash, state: done.state, v: done.v };
        Recalled { orders: self.done.iter().map(told).collect(), next: None }
    }

    fn set_done(&mut self, id: OrderId, done: Option<Done>) {
        if self.done.get(&id) != done.as_ref() {
            let was = self.put_done(id.clone(), done);
            self.past.push(Was::Done(id, was));
        }
    }

    fn set_has(&mut self, buyer: Box<str>, item: ItemId, has: Option<Has>) {
        let was = self.put_has(buyer.clone(), item.clone(), has);
        self.past.push(Was::Has(buyer, item, was));
    }

    fn set_hold(&mut self, id: OrderId, held: Option<Held>) {
        let takes = held.is_some();
        let was = self.put_hold(id.clone(), held);
        let request =
            if takes { self.holds.get(&id).map(|held| &held.request) } else { was.as_ref().map(|w| &w.request) };
        let lines = request.map(|request| request.lines.clone());
        for line in lines.iter().flat_map(|lines| lines.iter()) {
            let units = line.units.units();
            let moved = |held: u32| if takes { held + units } else { held - units };
            if let Some(shelf) = self.shelves.get(&line.item).cloned() {
                self.set_shelf(line.item.clone(), Shelf { held: moved(shelf.held), ..shelf });
            }
            let has = self.has(id.buyer_str(), &line.item);
            let has = Has { held: moved(has.held), ..has };
            self.set_has(id.buyer_str().into(), line.item.clone(), (has != Has::default()).then_some(has));
        }
        self.past.push(Was::Hold(id, was));
    }

    fn has(&self, buyer: &str, item: &ItemId) -> Has {
        self.buyers.get(buyer).and_then(|his| his.get(item)).copied().unwrap_or_default()
    }

    fn put_shelf(&mut self, item: ItemId, shelf: Option<Shelf>) -> Option<Shelf> {
        let told = |shelf: &Option<Shelf>| {
            shelf.as_ref().map(|s| (s.level.free, s.level.limit.units(), s.level.waiting, s.held))
        };
        let new = hash((&item, told(&shelf)));
        let was = match shelf {
            Some(shelf) => self.shelves.insert(item.clone(), shelf),
            None => self.shelves.remove(&item),
        };
        self.sum ^= new ^ hash((&item, told(&was)));
        was
    }

    fn put_hold(&mut self, id: OrderId, held: Option<Held>) -> Option<Held> {
        let told = |held: &Option<Held>| held.as_ref().map(|held| (held.hold, held.request.hash));
        let new = hash((&id, told(&held)));
        if let Some(held) = &held {
            self.queue.insert(held.hold.no, id.clone());
        }
        let was = match held {
            Some(held) => self.holds.insert(id.clone(), held),
            None => self.holds.remove(&id),
        };
        if let Some(was) = was.as_ref().filter(|was| self.holds.get(&id).is_none_or(|held| held.hold.no != was.hold.no))
        {
            self.queue.remove(&was.hold.no);
        }
        self.sum ^= new ^ hash((&id, told(&was)));
        was
    }

    fn put_done(&mut self, id: OrderId, done: Option<Done>) -> Option<Done> {
        let told = |done: &Option<Done>| done.map(|done| (done.v, done.hash, done.state, "done"));
        let new = hash((&id, told(&done)));
        let was = match done {
            Some(done) => self.done.insert(id.clone(), done),
            None => self.done.remove(&id),
        };
        self.sum ^= new ^ hash((&id, told(&was)));
        was
    }

    fn put_has(&mut self, buyer: Box<str>, item: ItemId, has: Option<Has>) -> Option<Has> {
        let told = |has: Option<Has>| has.map(|has| (has.bought, has.v, has.held));
        let new = hash((&buyer, &item, told(has)));
        let was = match has {
            Some(has) => self.buyers.entry(buyer.clone()).or_default().insert(item.clone(), has),
            None => self.buyers.get_mut(&buyer).and_then(|his| his.remove(&item)),
        };
        if self.buyers.get(&buyer).is_some_and(BTreeMap::is_empty) {
            self.buyers.remove(&buyer);
        }
        self.sum ^= new ^ hash((&buyer, &item, told(was)));
        was
    }
}

fn hash(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}
