//! The gate, as plainly as it can be said: what fast gates are compared with.
//!
//! The rules stand in `model/sale.rs`, without lock or clock; here they get both. It is right because it is obvious, not because it
//! is quick: whenever its level is asked for, what is held is summed up anew and compared with the sums that were kept.

mod room;
mod sale;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use flashsale_core::error::BackendError;
use flashsale_core::stock::{
    Answers, Begun, Due, Epoch, HoldNo, Level, Load, Nonce, Recalled, Reservation, Reserve, StockGate, Synced, Update,
};
use flashsale_core::{Clock, SaleId};

pub use room::ModelRooms;
pub(crate) use sale::{Loaded, Mark, ModelSale};

/// The reference gate.
#[derive(Debug)]
pub struct ModelGate {
    clock: Arc<dyn Clock>,
    sales: Mutex<BTreeMap<SaleId, ModelSale>>,
}

impl ModelGate {
    /// An empty gate with this clock.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, sales: Mutex::default() }
    }

    fn sales(&self) -> MutexGuard<'_, BTreeMap<SaleId, ModelSale>> {
        self.sales.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `f` on the sale, if it is known; there is no way back from it.
    fn with<T>(&self, sale: &SaleId, f: impl FnOnce(&mut ModelSale) -> T) -> Option<T> {
        let mut sales = self.sales();
        let model = sales.get_mut(sale)?;
        let told = f(model);
        model.settle();
        Some(told)
    }
}

#[async_trait]
impl StockGate for ModelGate {
    async fn begin(&self, sale: &SaleId, nonce: Nonce) -> Result<Begun, BackendError> {
        let mut sales = self.sales();
        let model = sales.entry(sale.clone()).or_insert_with(|| ModelSale::new(nonce));
        Ok(if model.loaded().is_some() { Begun::Open(model.nonce()) } else { Begun::Loading(model.nonce()) })
    }

    async fn forget(&self, sale: &SaleId, nonce: Nonce) -> Result<(), BackendError> {
        self.sales().retain(|id, model| id != sale || model.nonce() != nonce);
        Ok(())
    }

    async fn answers(&self, sale: &SaleId, nonce: Nonce, page: &Answers) -> Result<Synced, BackendError> {
        let told = self.with(sale, |model| {
            if model.nonce() != nonce {
                return Synced::Refused;
            }
            model.note(&page.orders, &page.bought);
            Synced::Done
        });
        Ok(told.unwrap_or(Synced::Refused))
    }

    async fn load(&self, sale: &SaleId, load: &Load) -> Result<Synced, BackendError> {
        Ok(self.with(sale, |model| model.load(load)).unwrap_or(Synced::Refused))
    }

    async fn reserve(&self, sale: &SaleId, batch: &[Reserve]) -> Result<Reservation, BackendError> {
        let now = self.clock.now();
        let told = self.with(sale, |model| {
            model.loaded()?;
            Some(batch.iter().map(|request| model.reserve(request, now)).collect())
        });
        Ok(told.flatten().map_or(Reservation::NotLoaded, Reservation::Answers))
    }

    async fn due(&self, sale: &SaleId) -> Result<Option<Due>, BackendError> {
        let now = self.clock.now();
        Ok(self.with(sale, |model| model.due(now)).flatten())
    }

    async fn sync(&self, sale: &SaleId, update: &Update) -> Result<Synced, BackendError> {
        Ok(self.with(sale, |model| model.sync(update)).unwrap_or(Synced::Refused))
    }

    /// Shows levels and the gate's time.
    ///
    /// # Panics
    /// Where a kept sum is not the sum: the model itself is wrong.
    async fn level(&self, sale: &SaleId) -> Result<Level, BackendError> {
        let now = self.clock.now();
        let told = self.with(sale, |model| {
            let level = model.level(now);
            let sums = model.recount();
            assert!(level.items.iter().all(|(item, _, held)| sums[item] == *held), "{level:?}, but held is {sums:?}");
            level
        });
        let (epoch, next) = (Epoch(0), HoldNo(1));
        let nothing = Level { now, open: false, nonce: None, epoch, version: None, holds: 0, next, items: vec![] };
        Ok(told.unwrap_or(nothing))
    }

    async fn recall(&self, sale: &SaleId, _: u64) -> Result<Recalled, BackendError> {
        Ok(self.with(sale, |model| model.recall()).unwrap_or_default())
    }
}
