//! Gates whose single steps are wrong in a way that a history shows: some of them only when many ask at once.
//!
//! Each is the model behind a lock; the bug is in what happens under the lock, or between two times under it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use flashsale_core::error::BackendError;
use flashsale_core::stock::{
    Answers, Begun, Due, Epoch, HoldNo, Level, Load, Nonce, Recalled, Reservation, Reserve, ReserveRefusal, Reserved,
    StockGate, Synced, Update,
};
use flashsale_core::{Clock, SaleId, Timestamp};

use crate::model::ModelSale;

/// What is wrong with a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepBug {
    /// Nothing.
    Nothing,
    /// A batch is decided, and held in a second step: right, as long as nobody comes between.
    TwoSteps,
    /// A repeat is held anew, under another number.
    RepeatRenumbered,
    /// Every fiftieth hold is told and not kept.
    HoldLost,
    /// A refusal names the number before the last.
    AfterOffByOne,
    /// An update is copied although the gate stands at its end, or later.
    SyncLate,
}

/// The model of one sale behind a lock, with a bug.
#[derive(Debug)]
pub struct StepGate {
    bug: StepBug,
    clock: Arc<dyn Clock>,
    sale: Mutex<Option<ModelSale>>,
}

type Answer = Result<Reserved, ReserveRefusal>;

impl StepGate {
    /// An empty gate of a single sale with this bug.
    #[must_use]
    pub fn with(bug: StepBug, clock: Arc<dyn Clock>) -> Self {
        Self { bug, clock, sale: Mutex::new(None) }
    }

    fn sale(&self) -> MutexGuard<'_, Option<ModelSale>> {
        self.sale.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides a batch, and leaves the gate as it was.
    fn decide(&self, batch: &[Reserve], now: Timestamp) -> Option<Vec<Answer>> {
        let mut sale = self.sale();
        let model = sale.as_mut().filter(|model| model.loaded().is_some())?;
        let mark = model.mark();
        let answers = batch.iter().map(|request| model.reserve(request, now)).collect();
        model.back_to(mark);
        Some(answers)
    }

    /// Holds what was decided to be held, whatever has happened since.
    fn hold(&self, batch: &[Reserve], decided: Vec<Answer>, now: Timestamp) -> Vec<Answer> {
        let mut sale = self.sale();
        let Some(model) = sale.as_mut() else { return decided };
        let hold = |(request, answer): (&Reserve, Answer)| match answer {
            Ok(Reserved::Held(_)) => Ok(match model.judge(request, now) {
                Ok(Some(known)) => known,
                _ => Reserved::Held(model.hold(request, now)),
            }),
            other => other,
        };
        batch.iter().zip(decided).map(hold).collect()
    }

    fn reserve_one(&self, model: &mut ModelSale, request: &Reserve, now: Timestamp) -> Answer {
        let next = model.next();
        let answer = model.reserve(request, now);
        match (self.bug, &answer) {
            (StepBug::RepeatRenumbered, Ok(Reserved::Held(hold))) if hold.no < next => {
                model.release(&request.id);
                Ok(Reserved::Held(model.hold(request, now)))
            }
            (StepBug::HoldLost, Ok(Reserved::Held(hold))) if hold.no == next && hold.no.0.is_multiple_of(50) => {
                model.release(&request.id);
                answer
            }
            (StepBug::AfterOffByOne, Err(ReserveRefusal::AllHeld { item, after })) => {
                Err(ReserveRefusal::AllHeld { item: item.clone(), after: HoldNo(after.0.saturating_sub(1)) })
            }
            _ => answer,
        }
    }
}

#[async_trait]
impl StockGate for StepGate {
    async fn begin(&self, _: &SaleId, nonce: Nonce) -> Result<Begun, BackendError> {
        let mut sale = self.sale();
        let model = sale.get_or_insert_with(|| ModelSale::new(nonce));
        Ok(if model.loaded().is_some() { Begun::Open(model.nonce()) } else { Begun::Loading(model.nonce()) })
    }

    async fn forget(&self, _: &SaleId, nonce: Nonce) -> Result<(), BackendError> {
        self.sale().take_if(|model| model.nonce() == nonce);
        Ok(())
    }

    async fn answers(&self, _: &SaleId, nonce: Nonce, page: &Answers) -> Result<Synced, BackendError> {
        let mut sale = self.sale();
        let Some(model) = sale.as_mut().filter(|model| model.nonce() == nonce) else { return Ok(Synced::Refused) };
        model.note(&page.orders, &page.bought);
        model.settle();
        Ok(Synced::Done)
    }

    async fn load(&self, _: &SaleId, load: &Load) -> Result<Synced, BackendError> {
        Ok(self.sale().as_mut().map_or(Synced::Refused, |model| model.load(load)))
    }

    async fn reserve(&self, _: &SaleId, batch: &[Reserve]) -> Result<Reservation, BackendError> {
        let now = self.clock.now();
        if self.bug == StepBug::TwoSteps {
            let Some(decided) = self.decide(batch, now) else { return Ok(Reservation::NotLoaded) };
            tokio::task::yield_now().await;
            return Ok(Reservation::Answers(self.hold(batch, decided, now)));
        }
        let mut sale = self.sale();
        let Some(model) = sale.as_mut().filter(|model| model.loaded().is_some()) else {
            return Ok(Reservation::NotLoaded);
        };
        let answers = batch.iter().map(|request| self.reserve_one(model, request, now)).collect();
        model.settle();
        Ok(Reservation::Answers(answers))
    }

    async fn due(&self, _: &SaleId) -> Result<Option<Due>, BackendError> {
        let now = self.clock.now();
        Ok(self.sale().as_ref().and_then(|model| model.due(now)))
    }

    async fn sync(&self, _: &SaleId, update: &Update) -> Result<Synced, BackendError> {
        let mut sale = self.sale();
        let Some(model) = sale.as_mut() else { return Ok(Synced::Refused) };
        if self.bug == StepBug::SyncLate
            && let Some(loaded) = model.loaded()
            && update.to.v <= loaded.version.v
        {
            model.copy(loaded, update);
            return Ok(Synced::Done);
        }
        Ok(model.sync(update))
    }

    async fn level(&self, _: &SaleId) -> Result<Level, BackendError> {
        let now = self.clock.now();
        let (epoch, next) = (Epoch(0), HoldNo(1));
        let nothing = Level { now, open: false, nonce: None, epoch, version: None, holds: 0, next, items: vec![] };
        Ok(self.sale().as_ref().map_or(nothing, |model| model.level(now)))
    }

    async fn recall(&self, _: &SaleId, _: u64) -> Result<Recalled, BackendError> {
        Ok(self.sale().as_ref().map_or_else(Recalled::default, ModelSale::recall))
    }
}
