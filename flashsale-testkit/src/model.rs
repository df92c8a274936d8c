//! The gate, as plainly as it can be said: maps, and sums over them. What fast gates are compared with.
//!
//! It is right because it is obvious, not because it is quick: `held` is summed up anew at each question.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use flashsale_core::error::BackendError;
use flashsale_core::id::ContentHash;
use flashsale_core::sale::SaleState;
use flashsale_core::stock::{
    Answers, Begun, Bought, Counted, Door, Due, Epoch, Hold, HoldNo, ItemLevel, Level, Load, Nonce, OrderState,
    Reservation, Reserve, ReserveRefusal, Reserved, Settled, Standing, StockGate, Synced, Update, Version,
};
use flashsale_core::{Clock, ItemId, OrderId, SaleId, Timestamp};

/// The reference gate.
#[derive(Debug)]
pub struct ModelGate {
    clock: Arc<dyn Clock>,
    sales: Mutex<BTreeMap<SaleId, Model>>,
}

impl ModelGate {
    /// An empty gate with this clock.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, sales: Mutex::default() }
    }

    fn sales(&self) -> MutexGuard<'_, BTreeMap<SaleId, Model>> {
        self.sales.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The gate of one sale.
#[derive(Debug)]
struct Model {
    nonce: Nonce,
    /// What it was loaded with; `None` while it is being loaded.
    loaded: Option<Loaded>,
    sealed: HoldNo,
    next: u64,
    items: BTreeMap<ItemId, ItemLevel>,
    holds: BTreeMap<OrderId, Held>,
    done: BTreeMap<OrderId, (u64, ContentHash, OrderState)>,
    bought: BTreeMap<(ItemId, String), (u64, u32)>,
}

#[derive(Debug, Clone, Copy)]
struct Loaded {
    epoch: Epoch,
    version: Version,
    door: Door,
}

#[derive(Debug)]
struct Held {
    hold: Hold,
    request: Reserve,
}

impl Model {
    fn new(nonce: Nonce) -> Self {
        Self {
            nonce,
            loaded: None,
            sealed: HoldNo(0),
            next: 1,
            items: BTreeMap::new(),
            holds: BTreeMap::new(),
            done: BTreeMap::new(),
            bought: BTreeMap::new(),
        }
    }

    /// Units of an item in live holds, of one buyer or of all.
    fn held(&self, item: &ItemId, buyer: Option<&str>) -> u32 {
        let his = self.holds.values().filter(|held| buyer.is_none_or(|name| held.request.id.buyer_str() == name));
        his.flat_map(|held| held.request.lines.iter()).filter(|line| line.item == *item).map(|l| l.units.units()).sum()
    }

    fn reserve(&mut self, loaded: &Loaded, request: &Reserve, now: Timestamp) -> Result<Reserved, ReserveRefusal> {
        if let Some((_, hash, state)) = self.done.get(&request.id) {
            return if hash.answers(request.hash) { Ok(Reserved::Done(*state)) } else { Err(ReserveRefusal::Conflict) };
        }
        if let Some(held) = self.holds.get(&request.id) {
            let same = held.request.hash == request.hash;
            return if same { Ok(Reserved::Held(held.hold)) } else { Err(ReserveRefusal::Conflict) };
        }
        let window = loaded.door.window;
        match loaded.door.state {
            SaleState::Paused => return Err(ReserveRefusal::Paused),
            SaleState::Closed => return Err(ReserveRefusal::Closed),
            SaleState::Open if now < window.opens_at => {
                return Err(ReserveRefusal::NotOpen { opens_at: window.opens_at });
            }
            SaleState::Open if now >= window.closes_at => return Err(ReserveRefusal::Closed),
            SaleState::Open => {}
        }
        self.take(loaded, request, now)
    }

    /// Tests all lines, each question over all of them before the next one; then takes them.
    fn take(&mut self, loaded: &Loaded, request: &Reserve, now: Timestamp) -> Result<Reserved, ReserveRefusal> {
        let after = HoldNo(self.next - 1);
        let buyer = request.id.buyer_str();
        let lines = || request.lines.iter().map(|line| (&line.item, line.units.units()));
        if let Some((item, _)) = lines().find(|(item, _)| !self.items.contains_key(item)) {
            return Err(ReserveRefusal::UnknownItem { item: item.clone() });
        }
        for (item, units) in lines() {
            let bought = self.bought.get(&(item.clone(), buyer.to_owned())).map_or(0, |(_, units)| *units);
            let (have, limit) = (bought + self.held(item, Some(buyer)), self.items[item].limit.units());
            if have + units > limit {
                let by = if bought + units > limit { Counted::Bought } else { Counted::Held };
                return Err(ReserveRefusal::Limit { item: item.clone(), have, limit, by });
            }
        }
        if let Some((item, _)) = lines().find(|(item, _)| self.items[item].waiting)
            && request.standing == Standing::Public
        {
            return Err(ReserveRefusal::Waitlist { item: item.clone(), after });
        }
        if let Some((item, _)) = lines().find(|(item, units)| *units > self.items[item].free) {
            return Err(ReserveRefusal::SoldOut { item: item.clone(), after });
        }
        if let Some((item, _)) = lines().find(|(item, units)| self.held(item, None) + units > self.items[item].free) {
            return Err(ReserveRefusal::AllHeld { item: item.clone(), after });
        }
        let hold = Hold { epoch: loaded.epoch, no: HoldNo(self.next), deadline: now.after(loaded.door.hold) };
        self.next += 1;
        self.holds.insert(request.id.clone(), Held { hold, request: request.clone() });
        Ok(Reserved::Held(hold))
    }

    fn note(&mut self, orders: &[Settled], bought: &[Bought]) {
        for order in orders {
            if self.done.get(&order.id).is_none_or(|(v, ..)| *v <= order.v) {
                self.done.insert(order.id.clone(), (order.v, order.hash, order.state));
            }
        }
        for row in bought {
            let pair = (row.item.clone(), row.buyer.to_string());
            if self.bought.get(&pair).is_none_or(|(v, _)| *v <= row.v) {
                self.bought.insert(pair, (row.v, row.units));
            }
        }
    }

    fn levels(&mut self, items: &[ItemLevel]) {
        self.items.extend(items.iter().map(|level| (level.item.clone(), level.clone())));
    }
}

#[async_trait]
impl StockGate for ModelGate {
    async fn begin(&self, sale: &SaleId, nonce: Nonce) -> Result<Begun, BackendError> {
        let mut sales = self.sales();
        let model = sales.entry(sale.clone()).or_insert_with(|| Model::new(nonce));
        Ok(if model.loaded.is_some() { Begun::Open(model.nonce) } else { Begun::Loading(model.nonce) })
    }

    async fn forget(&self, sale: &SaleId, nonce: Nonce) -> Result<(), BackendError> {
        self.sales().retain(|id, model| id != sale || model.nonce != nonce);
        Ok(())
    }

    async fn answers(&self, sale: &SaleId, nonce: Nonce, page: &Answers) -> Result<Synced, BackendError> {
        Ok(match self.sales().get_mut(sale) {
            Some(model) if model.nonce == nonce => {
                model.note(&page.orders, &page.bought);
                Synced::Done
            }
            _ => Synced::Refused,
        })
    }

    async fn load(&self, sale: &SaleId, load: &Load) -> Result<Synced, BackendError> {
        Ok(match self.sales().get_mut(sale) {
            Some(model) if model.nonce == load.nonce && model.loaded.is_none() => {
                model.levels(&load.items);
                model.loaded = Some(Loaded { epoch: load.epoch, version: load.version, door: load.door });
                Synced::Done
            }
            _ => Synced::Refused,
        })
    }

    async fn reserve(&self, sale: &SaleId, batch: &[Reserve]) -> Result<Reservation, BackendError> {
        let now = self.clock.now();
        let mut sales = self.sales();
        let Some((model, loaded)) = sales.get_mut(sale).and_then(|model| model.loaded.map(|l| (model, l))) else {
            return Ok(Reservation::NotLoaded);
        };
        Ok(Reservation::Answers(batch.iter().map(|request| model.reserve(&loaded, request, now)).collect()))
    }

    async fn due(&self, sale: &SaleId) -> Result<Option<Due>, BackendError> {
        let now = self.clock.now();
        let sales = self.sales();
        let Some((model, loaded)) = sales.get(sale).and_then(|model| model.loaded.map(|l| (model, l))) else {
            return Ok(None);
        };
        let mut holds: Vec<Hold> = model.holds.values().map(|held| held.hold).collect();
        holds.sort_unstable_by_key(|hold| hold.no);
        let lapsed = holds.into_iter().take_while(|hold| hold.deadline <= now).last().map_or(HoldNo(0), |hold| hold.no);
        Ok(Some(Due { nonce: model.nonce, version: loaded.version, lapsed }))
    }

    async fn sync(&self, sale: &SaleId, update: &Update) -> Result<Synced, BackendError> {
        let mut sales = self.sales();
        let Some(model) = sales.get_mut(sale) else { return Ok(Synced::Refused) };
        let mine = update.nonce.is_none_or(|nonce| nonce == model.nonce);
        let Some(loaded) = model.loaded.filter(|loaded| mine && loaded.version == update.from) else {
            return Ok(Synced::Refused);
        };
        model.levels(&update.items);
        model.note(&update.orders, &update.bought);
        model.sealed = model.sealed.max(update.sealed);
        let (sealed, done) = (model.sealed, &model.done);
        model.holds.retain(|id, held| held.hold.no > sealed && done.get(id).is_none_or(|(v, ..)| *v > update.to.v));
        model.loaded = Some(Loaded { version: update.to, door: update.door, ..loaded });
        Ok(Synced::Done)
    }

    async fn level(&self, sale: &SaleId) -> Result<Level, BackendError> {
        let now = self.clock.now();
        let sales = self.sales();
        let model = sales.get(sale);
        let loaded = model.and_then(|model| model.loaded);
        let items = model.map(|model| {
            model.items.values().map(|l| (l.item.clone(), l.free, model.held(&l.item, None))).collect::<Vec<_>>()
        });
        Ok(Level {
            now,
            open: loaded.is_some(),
            nonce: model.map(|model| model.nonce),
            epoch: loaded.map_or(Epoch(0), |loaded| loaded.epoch),
            version: loaded.map(|loaded| loaded.version),
            holds: model.map_or(0, |model| model.holds.len() as u64),
            next: HoldNo(model.map_or(1, |model| model.next)),
            items: items.unwrap_or_default(),
        })
    }
}
