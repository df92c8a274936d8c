//! `Orders`: the whole way of an order, from placed to its end.

use std::sync::Arc;

use crate::engine::batch::Calls;
use crate::engine::drive::{Driven, Driver, Inbound};
use crate::engine::intake::{Status, Taken};
use crate::engine::lane::PlaceResult;
use crate::engine::stock::Stock;
use crate::error::{BackendError, Error};
use crate::event::{Event, Outbox};
use crate::id::OrderId;
use crate::order::{
    CancelRefusal, Input, Order, OrderQuery, OrderRefusal, OrderState, Purchase, ReturnRefusal, Verdict,
};
use crate::payment::Outcome;
use crate::stock::Then;
use crate::time::Timestamp;
use crate::trace::TraceParent;

/// An order, if there is one, and the ledger's time.
type Loaded = (Option<Arc<Order>>, Timestamp);

/// Orders with their saga. A clone is the same one.
#[derive(Debug, Clone)]
pub struct Orders {
    stock: Stock,
    driver: Driver,
    outbox: Arc<dyn Outbox>,
    loads: Arc<Calls<OrderId, Loaded>>,
    trace: Option<TraceParent>,
}

/// Why an order cannot be paid now, in precedence order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum PayRefusal {
    /// There is no such order.
    #[error("there is no such order")]
    Unknown,
    /// Its time to be paid is over.
    #[error("the time to pay is over")]
    PayByPassed,
    /// It has ended, or is paid.
    #[error("the order is {}, it cannot be paid", .0.code())]
    NotPayable(OrderState),
}

impl PayRefusal {
    /// The stable word for this refusal.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Unknown => "not_found",
            Self::PayByPassed => "pay_by_passed",
            Self::NotPayable(_) => "not_payable",
        }
    }
}

impl Orders {
    pub(crate) fn new(stock: Stock, driver: Driver, outbox: Arc<dyn Outbox>) -> Self {
        let street = &stock.lanes().street;
        let bounds = (street.settings.accept_max, street.settings.queue_max);
        let ledger = driver.ledger().clone();
        let loads = Calls::new("order.load", street.host.clone(), bounds, move |ids: Vec<OrderId>| {
            let ledger = ledger.clone();
            async move {
                let (orders, now) = ledger.load(&ids).await?;
                Ok(orders.into_iter().map(|order| (order, now)).collect())
            }
        });
        Self { stock, driver, outbox, loads, trace: None }
    }

    /// The same orders, for a request that stands in this trace: the facts that its cancelling, paying, returning and reporting cause carry
    /// it. A placed order has the trace of its [`Purchase`].
    #[must_use]
    pub fn traced(&self, trace: TraceParent) -> Self {
        Self { trace: Some(trace), ..self.clone() }
    }

    async fn drive(&self, id: &OrderId, input: Input) -> Result<Driven, BackendError> {
        self.driver.one(Inbound { order: id.clone(), input, trace: self.trace }).await
    }

    /// Places an order: held by the gate, accepted by the ledger, answered. Its payment follows by itself.
    ///
    /// # Errors
    /// [`OrderRefusal`] in its precedence order. A [`BackendError`] always means that nothing was promised: repeat with the same key.
    ///
    /// # Cancel safety
    /// Dropping the future tears nothing; a repeat under the same key finds the outcome.
    pub async fn place(&self, purchase: &Purchase) -> PlaceResult {
        // A malformed purchase is told before the ledger is asked for the sale.
        purchase.checked_lines().map_err(|bad| Error::Refused(OrderRefusal::Lines(bad)))?;
        let within = self.stock.lane(&purchase.sale).await?.terms.pay_within;
        self.stock.place(purchase, Then::Pay { within }).await
    }

    /// Records an order: held by the gate, appended to the log, answered. The ledger decides it later, in the order of the log
    /// ([`Orders::status`] tells how); its payment follows by itself.
    ///
    /// One that the ledger has decided before is answered so: [`Taken::Decided`], or its refusal.
    ///
    /// # Errors
    /// [`OrderRefusal`] in its precedence order. A [`BackendError`] means that nothing was promised, and that the request may be decided all
    /// the same: repeat with the same key, it cannot be decided twice. *Misconfigured* where no log is wired.
    ///
    /// # Cancel safety
    /// Dropping the future tears nothing; a repeat under the same key finds the outcome.
    pub async fn record(&self, purchase: &Purchase) -> Result<Taken, Error<OrderRefusal>> {
        purchase.checked_lines().map_err(|bad| Error::Refused(OrderRefusal::Lines(bad)))?;
        let within = self.stock.lane(&purchase.sale).await?.terms.pay_within;
        self.stock.record(purchase, Then::Pay { within }).await
    }

    /// Where a request stands, and the ledger's time. `None`: the ledger has not decided it, and this node does not know that it is recorded.
    ///
    /// A node knows what it recorded, and what others recorded while its workers ran, the last 65,536 of them. So `None` is no *no*: who was
    /// told *recorded* elsewhere, or got no answer, repeats his request.
    ///
    /// # Errors
    /// [`BackendError`].
    pub async fn status(&self, id: &OrderId) -> Result<(Option<Status>, Timestamp), BackendError> {
        // The record first: what the ledger decides in between is found as decided.
        let record = self.stock.lanes().street.recorded.of(id.as_str()).filter(|record| record.id() == id);
        let (order, now) = self.load(id).await?;
        Ok((order.map(Status::Decided).or(record.map(Status::Recorded)), now))
    }

    /// Has recorded requests that could not be decided, and were set aside, decided again: at most `max`, oldest first; tells how many.
    /// Ids make it safe: what was decided meanwhile stays as it is. Where no log is wired, there are none.
    ///
    /// # Errors
    /// [`BackendError`].
    pub async fn recall(&self, max: usize) -> Result<usize, BackendError> {
        match &self.stock.lanes().street.log {
            Some(log) => log.recall(max).await,
            None => Ok(0),
        }
    }

    /// The buyer changes his mind. An order whose payment is under way turns `closing` first. Repeats change nothing.
    ///
    /// # Errors
    /// [`CancelRefusal`] in its precedence order.
    pub async fn cancel(&self, id: &OrderId) -> Result<Arc<Order>, Error<CancelRefusal>> {
        match self.drive(id, Input::BuyerCancels).await? {
            Driven::Moved(order) | Driven::Stayed(Verdict::Already, Some(order)) => Ok(order),
            Driven::Stayed(Verdict::NotCancellable, _) => Err(Error::Refused(CancelRefusal::NotCancellable)),
            Driven::Stayed(..) => Err(Error::Refused(CancelRefusal::Unknown)),
        }
    }

    /// The buyer gives a paid order back. Repeats change nothing.
    ///
    /// # Errors
    /// [`ReturnRefusal`] in its precedence order.
    pub async fn take_back(&self, id: &OrderId) -> Result<Arc<Order>, Error<ReturnRefusal>> {
        match self.drive(id, Input::Return).await? {
            Driven::Moved(order) | Driven::Stayed(Verdict::Already, Some(order)) => Ok(order),
            Driven::Stayed(Verdict::ReturnPassed(last), _) => Err(Error::Refused(ReturnRefusal::PeriodPassed(last))),
            Driven::Stayed(_, Some(order)) => Err(Error::Refused(ReturnRefusal::NotBought(order.state))),
            Driven::Stayed(_, None) => Err(Error::Refused(ReturnRefusal::Unknown)),
        }
    }

    /// Asks for the payment of an accepted order now. The workers do so by themselves; repeats change nothing.
    ///
    /// # Errors
    /// [`PayRefusal`] in its precedence order.
    pub async fn pay(&self, id: &OrderId) -> Result<Arc<Order>, Error<PayRefusal>> {
        match self.drive(id, Input::TurnToPay).await? {
            Driven::Moved(order) | Driven::Stayed(Verdict::Already, Some(order)) => Ok(order),
            Driven::Stayed(_, Some(order)) => Err(Error::Refused(match order.reason {
                Some(crate::order::Reason::Timeout | crate::order::Reason::Lapsed) => PayRefusal::PayByPassed,
                _ => PayRefusal::NotPayable(order.state),
            })),
            Driven::Stayed(_, None) => Err(Error::Refused(PayRefusal::Unknown)),
        }
    }

    /// Reports what a provider said outside of our asking: its webhook, or the buyer's return from its page. Both may arrive, in
    /// any order and repeatedly; the table absorbs it.
    ///
    /// # Errors
    /// [`BackendError`]. `None`: there is no such order, and money may have to go back.
    pub async fn report_payment(&self, id: &OrderId, outcome: Outcome) -> Result<Option<Arc<Order>>, BackendError> {
        let input = match outcome {
            Outcome::Approved { amount, .. } => Input::Approved { amount },
            Outcome::Declined(reason) => Input::Declined(reason),
            Outcome::NeedsBuyer { action, until } => Input::NeedsBuyer { action, until },
            Outcome::Unknown => Input::Unknown,
        };
        Ok(match self.drive(id, input).await? {
            Driven::Moved(order) => Some(order),
            Driven::Stayed(_, order) => order,
        })
    }

    /// The order of this name, and the ledger's time. Those who ask at the same time are one read.
    ///
    /// # Errors
    /// [`BackendError`].
    pub async fn load(&self, id: &OrderId) -> Result<(Option<Arc<Order>>, Timestamp), BackendError> {
        self.loads.call(id.clone()).await
    }

    /// Orders of a buyer, latest first.
    ///
    /// # Errors
    /// [`BackendError`].
    pub async fn list(&self, query: &OrderQuery) -> Result<Vec<Arc<Order>>, BackendError> {
        self.driver.ledger().list(query).await
    }

    /// The facts of an order, in order of version.
    ///
    /// # Errors
    /// [`BackendError`].
    pub async fn history(&self, id: &OrderId) -> Result<Vec<Event>, BackendError> {
        self.outbox.history(id.as_str()).await
    }

    /// Orders that wait for a person (**G8**), at most `limit`.
    ///
    /// # Errors
    /// [`BackendError`].
    pub async fn stuck(&self, limit: usize) -> Result<Vec<Arc<Order>>, BackendError> {
        self.driver.ledger().stuck(limit).await
    }

    /// Orders whose time has come, at most `limit`: what the recover pass will look at next.
    ///
    /// # Errors
    /// [`BackendError`].
    pub async fn due(&self, limit: usize) -> Result<Vec<Arc<Order>>, BackendError> {
        Ok(self.driver.ledger().due(limit).await?.0)
    }
}
