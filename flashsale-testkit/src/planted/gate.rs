//! Gates with a bug.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flashsale_core::error::BackendError;
use flashsale_core::memory::MemoryStockGate;
use flashsale_core::stock::{
    Answers, Begun, Due, HoldNo, Level, Load, Nonce, Recalled, Reservation, Reserve, ReserveRefusal, Reserved,
    Standing, StockGate, Synced, Update,
};
use flashsale_core::{ManualClock, SaleId};

use crate::{Fixture, fixture};

/// What is wrong with a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateBug {
    /// Nothing.
    Nothing,
    /// The stock is tested before the duplicate: the winner of the last unit retries and is told "sold out".
    StockBeforeDuplicate,
    /// An update is copied whatever version the gate stands at.
    SyncWithoutVersionTest,
    /// An update is copied whichever gate it is for.
    SyncWithoutNonceTest,
    /// Sealed holds are not dropped.
    SealIgnored,
    /// The decided orders of an update are not written down.
    DecisionsForgotten,
    /// The public is let through while people wait.
    WaitlistIgnored,
    /// Beginning again empties a gate that is open.
    BeginWipes,
}

/// A memory gate with a bug.
#[derive(Debug)]
pub struct PlantedGate {
    inner: MemoryStockGate,
    bug: GateBug,
}

impl PlantedGate {
    /// Refuses for want of stock before anything else is asked.
    async fn stock_first(&self, sale: &SaleId, batch: &[Reserve]) -> Result<Reservation, BackendError> {
        let mut answers = Vec::with_capacity(batch.len());
        for request in batch {
            let level = self.inner.level(sale).await?;
            let short = request.lines.iter().find(|line| {
                let shelf = level.items.iter().find(|(item, ..)| *item == line.item);
                shelf.is_some_and(|(_, free, held)| line.units.units() > free.saturating_sub(*held))
            });
            if let Some(line) = short {
                let after = HoldNo(level.next.0 - 1);
                answers.push(Err(ReserveRefusal::SoldOut { item: line.item.clone(), after }));
                continue;
            }
            match self.inner.reserve(sale, std::slice::from_ref(request)).await? {
                Reservation::Answers(one) => answers.extend::<Vec<Result<Reserved, ReserveRefusal>>>(one),
                Reservation::NotLoaded => return Ok(Reservation::NotLoaded),
            }
        }
        Ok(Reservation::Answers(answers))
    }
}

#[async_trait]
impl StockGate for PlantedGate {
    async fn begin(&self, sale: &SaleId, nonce: Nonce) -> Result<Begun, BackendError> {
        if self.bug == GateBug::BeginWipes
            && let Some(nonce) = self.inner.level(sale).await?.nonce
        {
            self.inner.forget(sale, nonce).await?;
        }
        self.inner.begin(sale, nonce).await
    }

    async fn forget(&self, sale: &SaleId, nonce: Nonce) -> Result<(), BackendError> {
        self.inner.forget(sale, nonce).await
    }

    async fn answers(&self, sale: &SaleId, nonce: Nonce, page: &Answers) -> Result<Synced, BackendError> {
        self.inner.answers(sale, nonce, page).await
    }

    async fn load(&self, sale: &SaleId, load: &Load) -> Result<Synced, BackendError> {
        self.inner.load(sale, load).await
    }

    async fn reserve(&self, sale: &SaleId, batch: &[Reserve]) -> Result<Reservation, BackendError> {
        match self.bug {
            GateBug::StockBeforeDuplicate => self.stock_first(sale, batch).await,
            GateBug::WaitlistIgnored => {
                let batch: Vec<Reserve> =
                    batch.iter().map(|request| Reserve { standing: Standing::Offer, ..request.clone() }).collect();
                self.inner.reserve(sale, &batch).await
            }
            _ => self.inner.reserve(sale, batch).await,
        }
    }

    async fn due(&self, sale: &SaleId) -> Result<Option<Due>, BackendError> {
        self.inner.due(sale).await
    }

    async fn sync(&self, sale: &SaleId, update: &Update) -> Result<Synced, BackendError> {
        let mut update = update.clone();
        match self.bug {
            GateBug::SyncWithoutVersionTest => {
                update.from = self.inner.level(sale).await?.version.unwrap_or(update.from);
            }
            GateBug::SyncWithoutNonceTest => update.nonce = None,
            GateBug::SealIgnored => update.sealed = HoldNo(0),
            GateBug::DecisionsForgotten => update.orders.clear(),
            GateBug::Nothing | GateBug::StockBeforeDuplicate | GateBug::WaitlistIgnored | GateBug::BeginWipes => {}
        }
        self.inner.sync(sale, &update).await
    }

    async fn level(&self, sale: &SaleId) -> Result<Level, BackendError> {
        self.inner.level(sale).await
    }

    async fn recall(&self, sale: &SaleId, cursor: u64) -> Result<Recalled, BackendError> {
        self.inner.recall(sale, cursor).await
    }
}

/// Makes gates with this bug.
#[derive(Debug)]
pub struct PlantedGates {
    clock: Arc<ManualClock>,
    bug: GateBug,
}

impl PlantedGates {
    /// A fixture of gates with this bug.
    #[must_use]
    pub fn with(bug: GateBug) -> Self {
        Self { clock: fixture::clock(), bug }
    }

    /// The clock of these gates.
    #[must_use]
    pub fn clock(&self) -> Arc<ManualClock> {
        self.clock.clone()
    }
}

#[async_trait]
impl Fixture for PlantedGates {
    type Port = PlantedGate;

    async fn fresh(&self) -> PlantedGate {
        PlantedGate { inner: MemoryStockGate::new(self.clock.clone()), bug: self.bug }
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }
}
