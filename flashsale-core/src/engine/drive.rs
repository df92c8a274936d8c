//! Drives the saga: loads rows, asks the pure machine, writes what it says, in batches.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::engine::batch::Calls;
use crate::engine::street::Lanes;
use crate::error::{BackendError, ErrorKind};
use crate::id::{OrderId, SaleId};
use crate::order::{Append, Appended, Input, Order, OrderLedger, Verdict, step};
use crate::trace::TraceParent;

/// How often a transition is decided anew because another one was first.
const STALE_MAX: u32 = 8;

/// An input on its way to an order, and the trace of what caused it.
#[derive(Debug, Clone)]
pub(crate) struct Inbound {
    pub(crate) order: OrderId,
    pub(crate) input: Input,
    pub(crate) trace: Option<TraceParent>,
}

/// What an input did.
#[derive(Debug, Clone)]
pub(crate) enum Driven {
    /// The order moved.
    Moved(Arc<Order>),
    /// It did not, for this reason; here is the row, if there is one.
    Stayed(Verdict, Option<Arc<Order>>),
}

/// The driver. A clone is the same one.
#[derive(Debug, Clone)]
pub(crate) struct Driver {
    saga: Arc<Saga>,
    /// Single inputs, from requests, that become batches.
    singles: Arc<Calls<Inbound, Driven>>,
}

#[derive(Debug)]
struct Saga {
    ledger: Arc<dyn OrderLedger>,
    lanes: Arc<Lanes>,
}

impl Driver {
    pub(crate) fn new(ledger: Arc<dyn OrderLedger>, lanes: Arc<Lanes>) -> Self {
        let (host, settings) = (lanes.street.host.clone(), lanes.street.settings);
        let saga = Arc::new(Saga { ledger, lanes });
        let driven = saga.clone();
        let bounds = (settings.accept_max, settings.queue_max);
        let singles = Calls::new("orders.drive", host, bounds, move |inputs| {
            let saga = driven.clone();
            async move {
                // A shutdown waits for it.
                let _in_flight = saga.lanes.street.in_flight.entered();
                saga.many(inputs).await
            }
        });
        Self { saga, singles }
    }

    /// Drives one input; concurrent ones become a batch.
    ///
    /// # Cancel safety
    /// Dropping the future tears nothing: the input is driven all the same.
    pub(crate) async fn one(&self, inbound: Inbound) -> Result<Driven, BackendError> {
        self.singles.call(inbound).await
    }

    /// Drives a batch; answers in its order. Two inputs of one order are driven one after the other.
    pub(crate) async fn many(&self, inputs: Vec<Inbound>) -> Result<Vec<Driven>, BackendError> {
        self.saga.many(inputs).await
    }

    pub(crate) fn ledger(&self) -> &Arc<dyn OrderLedger> {
        &self.saga.ledger
    }
}

impl Saga {
    async fn many(&self, inputs: Vec<Inbound>) -> Result<Vec<Driven>, BackendError> {
        let mut answers: Vec<Option<Driven>> = vec![None; inputs.len()];
        let mut rounds = 0;
        loop {
            let mut ids = BTreeSet::new();
            let now: Vec<usize> =
                (0..inputs.len()).filter(|n| answers[*n].is_none() && ids.insert(&inputs[*n].order)).collect();
            if now.is_empty() {
                return Ok(answers.into_iter().flatten().collect());
            }
            let moved = self.round(&inputs, &now, &mut answers).await?;
            rounds += u32::from(!moved);
            if rounds > STALE_MAX {
                return Err(BackendError::unavailable("orders.drive", "the orders keep changing under us"));
            }
        }
    }

    /// One round: tells whether any input was dealt with.
    async fn round(
        &self,
        inputs: &[Inbound],
        now: &[usize],
        answers: &mut [Option<Driven>],
    ) -> Result<bool, BackendError> {
        let ids: Vec<OrderId> = now.iter().map(|n| inputs[*n].order.clone()).collect();
        let (rows, time) = self.ledger.load(&ids).await?;
        let mut moves: BTreeMap<SaleId, Vec<(usize, Append)>> = BTreeMap::new();
        let mut dealt = false;
        for (n, row) in now.iter().zip(rows) {
            let Inbound { input, trace, .. } = &inputs[*n];
            match step(row.as_deref(), input, time, &self.lanes.street.settings.policy) {
                Verdict::Move(mut append) => {
                    append.events.iter_mut().for_each(|event| event.trace = *trace);
                    moves.entry(append.order.sale.clone()).or_default().push((*n, *append));
                }
                stayed => {
                    answers[*n] = Some(Driven::Stayed(stayed, row));
                    dealt = true;
                }
            }
        }
        for (sale, moves) in moves {
            let (numbers, batch): (Vec<usize>, Vec<Append>) = moves.into_iter().unzip();
            for (n, appended) in numbers.into_iter().zip(self.append(&sale, batch).await?) {
                if let Appended::Done(order) = appended {
                    answers[n] = Some(Driven::Moved(order));
                    dealt = true;
                }
            }
        }
        Ok(dealt)
    }

    /// Writes transitions. An unknown outcome is repeated: what was written answers `Stale` and is decided anew.
    async fn append(&self, sale: &SaleId, batch: Vec<Append>) -> Result<Vec<Appended>, BackendError> {
        let most = self.lanes.street.settings.accept_max;
        let mut answers = Vec::with_capacity(batch.len());
        for part in batch.chunks(most) {
            let mut written = self.ledger.append(sale, part).await;
            if matches!(&written, Err(error) if error.outcome_is_unknown()) {
                written = self.ledger.append(sale, part).await;
            }
            let (done, update) = match written {
                Err(error) if error.kind() == ErrorKind::Data && part.len() > 1 => {
                    let mut done = Vec::new();
                    for one in part {
                        done.extend(Box::pin(self.append(sale, vec![one.clone()])).await?);
                    }
                    (done, None)
                }
                other => other?,
            };
            self.lanes.street.told.notify_one();
            if let (Some(update), Some(lane)) = (update, self.lanes.known(sale)) {
                lane.hint(&update).await;
            }
            answers.extend(done);
        }
        Ok(answers)
    }
}
