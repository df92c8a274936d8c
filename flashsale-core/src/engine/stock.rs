//! `Stock`: units alone. Hold, accept, give back; no saga, no payment.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{ConfigError, Settings, VolatileLedger, VolatileLog};
use crate::engine::host::{Host, TokioHost};
use crate::engine::intake::{Register, Taken};
use crate::engine::lane::{InFlight, Lane, PlaceResult, Street};
use crate::engine::street::Lanes;
use crate::engine::workers::Workers;
use crate::engine::{lost, pass};
use crate::error::{BackendError, Error};
use crate::id::{Key, OrderId, SaleId};
use crate::order::{IntakeLog, OrderRefusal, Purchase};
use crate::sale::{Sale, TermsError};
use crate::stock::{
    Accept, Cancel, Cancelled, Change, ChangeRefusal, Durability, Level, Lost, Reason, Reservation, Reserve, Reserved,
    Standing, StockGate, StockLedger, Then, Totals,
};

/// Units alone, for a shop that keeps its own orders. A clone is the same stock.
#[derive(Debug, Clone)]
pub struct Stock {
    lanes: Arc<Lanes>,
}

/// Units held by the gate for a purchase that its owner accepts in a transaction of his own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The sale.
    pub sale: SaleId,
    /// What to hand to the ledger's `accept_in`.
    pub accept: Accept,
}

impl Stock {
    /// A gate before a ledger, on tokio, with default settings.
    ///
    /// # Errors
    /// [`ConfigError::Volatile`] for a ledger that forgets at a crash; ask for one with [`Stock::with`].
    pub fn new(gate: Arc<dyn StockGate>, ledger: Arc<dyn StockLedger>) -> Result<Self, ConfigError> {
        Self::with(TokioHost::shared(), Some(gate), ledger, Settings::default())
    }

    /// The ledger alone: correct, and as slow as one transaction per batch. The gate is an accelerator.
    ///
    /// # Errors
    /// As [`Stock::new`].
    pub fn without_gate(ledger: Arc<dyn StockLedger>) -> Result<Self, ConfigError> {
        Self::with(TokioHost::shared(), None, ledger, Settings::default())
    }

    /// All of it by name.
    ///
    /// # Errors
    /// [`ConfigError::Bound`], [`ConfigError::Volatile`], in this order.
    pub fn with(
        host: Arc<dyn Host>,
        gate: Option<Arc<dyn StockGate>>,
        ledger: Arc<dyn StockLedger>,
        settings: Settings,
    ) -> Result<Self, ConfigError> {
        Self::with_log(host, gate, ledger, None, settings)
    }

    /// The same before a log.
    pub(crate) fn with_log(
        host: Arc<dyn Host>,
        gate: Option<Arc<dyn StockGate>>,
        ledger: Arc<dyn StockLedger>,
        log: Option<Arc<dyn IntakeLog>>,
        settings: Settings,
    ) -> Result<Self, ConfigError> {
        settings.check()?;
        if ledger.durability() == Durability::Volatile && settings.volatile == VolatileLedger::Refused {
            return Err(ConfigError::Volatile);
        }
        let forgets = log.as_ref().is_some_and(|log| log.durability() == Durability::Volatile);
        if forgets && settings.volatile_log == VolatileLog::Refused {
            return Err(ConfigError::VolatileLog);
        }
        let street = Street {
            host,
            gate,
            ledger,
            log,
            recorded: Register::default(),
            settings,
            told: tokio::sync::Notify::new(),
            in_flight: Arc::new(InFlight::default()),
        };
        Ok(Self { lanes: Lanes::new(Arc::new(street)) })
    }

    pub(crate) fn lanes(&self) -> &Arc<Lanes> {
        &self.lanes
    }

    /// Writes down the terms of a sale. The same terms again change nothing.
    ///
    /// # Errors
    /// [`ChangeRefusal::Conflict`] for a known sale with other terms; terms that [`Sale::check`] refuses are a
    /// [`BackendError`] of kind [`Data`](crate::error::ErrorKind::Data).
    pub async fn open(&self, sale: &Sale) -> Result<(), Error<ChangeRefusal>> {
        self.lanes.street.ledger.open(sale).await?.map_err(Error::Refused)?;
        self.lanes.street.told.notify_one();
        Ok(())
    }

    /// Takes units for good: held, accepted, answered. The order stays `accepted` until it is given back.
    ///
    /// # Errors
    /// [`OrderRefusal`] in its precedence order; a [`BackendError`] always means that nothing was promised: repeat with the same
    /// key.
    ///
    /// # Cancel safety
    /// Dropping the future tears nothing; a repeat under the same key finds the outcome.
    pub async fn take(&self, purchase: &Purchase) -> PlaceResult {
        self.place(purchase, Then::Keep).await
    }

    pub(crate) async fn place(&self, purchase: &Purchase, then: Then) -> PlaceResult {
        let accept = self.accept(purchase, then)?;
        let lane = self.lane(&purchase.sale).await?;
        lane.place(accept, Standing::Public).await
    }

    pub(crate) async fn record(&self, purchase: &Purchase, then: Then) -> Result<Taken, Error<OrderRefusal>> {
        let accept = self.accept(purchase, then)?;
        self.lane(&purchase.sale).await?.record(accept).await
    }

    pub(crate) async fn lane(&self, sale: &SaleId) -> Result<Arc<Lane>, Error<OrderRefusal>> {
        self.lanes.lane(sale).await?.ok_or(Error::Refused(OrderRefusal::UnknownSale))
    }

    fn accept(&self, purchase: &Purchase, then: Then) -> Result<Accept, Error<OrderRefusal>> {
        let lines = purchase.checked_lines().map_err(|bad| bad_lines(&bad))?;
        Ok(Accept {
            id: purchase.id(),
            hash: purchase.hash(),
            lines,
            hold: None,
            expect: match purchase.priced {
                crate::order::Priced::AsItIs => None,
                crate::order::Priced::At(pays) => Some(pays),
            },
            coupon: purchase.coupon.clone(),
            method: purchase.method.clone(),
            note: purchase.note.clone(),
            then,
            trace: purchase.trace,
        })
    }

    /// Holds units without accepting: for a caller who accepts in his own transaction. One gate call, not batched.
    ///
    /// # Errors
    /// As [`Stock::take`]; a purchase that was decided before is [`OrderRefusal::Gate`] with a conflict, or is held again by `take`.
    pub async fn hold(&self, purchase: &Purchase) -> Result<Held, Error<OrderRefusal>> {
        let mut accept = self.accept(purchase, Then::Keep)?;
        let lane = self.lane(&purchase.sale).await?;
        let Some(gate) = &self.lanes.street.gate else {
            return Ok(Held { sale: purchase.sale.clone(), accept });
        };
        let request = Reserve {
            id: accept.id.clone(),
            hash: accept.hash,
            lines: accept.lines.clone(),
            standing: Standing::Public,
        };
        for _ in 0..2 {
            match gate.reserve(&purchase.sale, std::slice::from_ref(&request)).await? {
                Reservation::NotLoaded => lane.load_gate().await?,
                Reservation::Answers(answers) => match answers.into_iter().next() {
                    Some(Ok(Reserved::Held(hold))) => {
                        accept.hold = Some((hold.epoch, hold.no));
                        return Ok(Held { sale: purchase.sale.clone(), accept });
                    }
                    // The ledger knows it; `accept_in` answers `Already`.
                    Some(Ok(Reserved::Done(_))) => return Ok(Held { sale: purchase.sale.clone(), accept }),
                    Some(Err(refusal)) => return Err(Error::Refused(refusal.into())),
                    None => return Err(BackendError::corrupt("gate.reserve", "no answer").into()),
                },
            }
        }
        Err(BackendError::unavailable("stock.hold", "the gate is being loaded").into())
    }

    /// Tells the gate that held units were accepted. A hint: if it is lost, the follow pass does it.
    pub async fn accepted(&self, held: &Held) {
        self.lanes.street.told.notify_one();
        if let Some(lane) = self.lanes.known(&held.sale)
            && let Err(error) = lane.follow(None).await
        {
            tracing::debug!(sale = %held.sale, %error, "the follow pass will carry it");
        }
    }

    /// Gives the units of orders back, or fences ids that must never be accepted. Repeats change nothing.
    ///
    /// # Errors
    /// [`BackendError`]; each order has its own [`Cancelled`].
    pub async fn give_back(&self, sale: &SaleId, ids: &[OrderId]) -> Result<Vec<Cancelled>, BackendError> {
        let batch: Vec<Cancel> = ids.iter().map(|id| Cancel { id: id.clone(), reason: Reason::Operator }).collect();
        let (answers, update) = self.lanes.street.ledger.cancel(sale, &batch).await?;
        self.lanes.street.told.notify_one();
        if let (Some(update), Some(lane)) = (update, self.lanes.known(sale)) {
            lane.hint(&update).await;
        }
        Ok(answers)
    }

    /// Changes terms, once per `id`.
    ///
    /// # Errors
    /// [`ChangeRefusal`] in its precedence order.
    pub async fn change(&self, sale: &SaleId, id: &Key, change: &Change) -> Result<(), Error<ChangeRefusal>> {
        let update = self.lanes.street.ledger.change(sale, id, change).await?.map_err(Error::Refused)?;
        self.lanes.street.told.notify_one();
        if let (Some(update), Some(lane)) = (update, self.lanes.known(sale)) {
            lane.hint(&update).await;
        }
        Ok(())
    }

    /// The names of all sales.
    ///
    /// # Errors
    /// [`BackendError`].
    pub async fn sales(&self) -> Result<Vec<SaleId>, BackendError> {
        self.lanes.street.ledger.sales().await
    }

    /// What the ledger shows of a sale; `None` if there is no such sale.
    ///
    /// # Errors
    /// [`BackendError`].
    pub async fn totals(&self, sale: &SaleId) -> Result<Option<Totals>, BackendError> {
        self.lanes.street.ledger.totals(sale).await
    }

    /// What the gate shows of a sale; `None` without a gate.
    ///
    /// # Errors
    /// [`BackendError`].
    pub async fn level(&self, sale: &SaleId) -> Result<Option<Level>, BackendError> {
        match &self.lanes.street.gate {
            Some(gate) => gate.level(sale).await.map(Some),
            None => Ok(None),
        }
    }

    /// Lists the orders that the gate knows and the ledger does not, or at an older state: those that were lost where the ledger was put back to an
    /// older copy. Empty without a gate, for a ledger that was not put back, and where the gate was begun anew since: then nobody knows.
    ///
    /// What was accepted a moment before the loss, and not copied by the gate yet, is not among them: events that left the ledger tell of that.
    ///
    /// # Errors
    /// [`BackendError`].
    pub async fn lost(&self, sale: &SaleId) -> Result<Vec<Lost>, BackendError> {
        match &self.lanes.street.gate {
            Some(gate) => lost::lost(&**gate, &*self.lanes.street.ledger, sale).await,
            None => Ok(vec![]),
        }
    }

    /// The passes that units alone need: follow.
    #[must_use]
    pub fn workers(&self) -> Workers {
        Workers::new(self.lanes.street.host.clone()).with(pass::Follow::new(self.lanes.clone()))
    }

    /// Waits until nothing is on its way, or for `most`. Stop taking requests first.
    ///
    /// Returns whether everything had ended.
    pub async fn drain(&self, most: Duration) -> Drained {
        let street = &self.lanes.street;
        let idle = std::pin::pin!(street.in_flight.idle());
        match futures_util::future::select(idle, street.host.sleep(most)).await {
            futures_util::future::Either::Left(_) => Drained::Idle,
            futures_util::future::Either::Right(_) => Drained::TimedOut,
        }
    }
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Drained {
    /// Nothing is on its way.
    Idle,
    /// Something still was; what was decided stands, the rest lapses.
    TimedOut,
}

fn bad_lines(bad: &TermsError) -> Error<OrderRefusal> {
    Error::Refused(OrderRefusal::Lines(bad.clone()))
}
