//! Recover: orders whose time has come. What must be asked of the gateway first is asked; the answer is the saga's input.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream::{self, StreamExt};

use crate::engine::drive::{Driven, Driver, Inbound};
use crate::engine::lane::Street;
use crate::engine::workers::{Board, Pass, Stop};
use crate::error::BackendError;
use crate::event::{Event, Fact, Outbox};
use crate::id::OrderId;
use crate::order::{Ask, Input, Order, ask};
use crate::payment::{Fenced, Moved, Outcome, PaymentGateway};
use crate::time::Timestamp;

pub(crate) struct Recover {
    pub(crate) street: Arc<Street>,
    pub(crate) driver: Driver,
    pub(crate) payment: Arc<dyn PaymentGateway>,
    pub(crate) outbox: Arc<dyn Outbox>,
}

impl Recover {
    /// One pass; tells how many orders moved.
    async fn pass(&self) -> Result<u64, BackendError> {
        let (due, now) = self.driver.ledger().due(self.street.settings.events_max).await?;
        let inputs: Vec<Inbound> = stream::iter(due)
            .map(|order| async move { timed(&order.id, self.input(&order, now).await) })
            .buffered(self.street.settings.payment_lanes)
            .collect()
            .await;
        if inputs.is_empty() {
            return Ok(0);
        }
        let driven = self.driver.many(inputs.clone()).await?;
        let mut moved = 0;
        let mut refunds = Vec::new();
        let mut stayed = Vec::new();
        for (Inbound { order: id, input, .. }, driven) in inputs.into_iter().zip(driven) {
            match driven {
                Driven::Moved(order) => {
                    moved += 1;
                    if input == Input::Refunded {
                        refunds.push(self.refunded(&order));
                    }
                }
                // The answer was no news, but the row is due: it must not be asked for again at once.
                Driven::Stayed(..) if !matches!(input, Input::Deadline { .. } | Input::Unknown) => {
                    stayed.push(timed(&id, Input::Unknown));
                }
                Driven::Stayed(..) => {}
            }
        }
        if !refunds.is_empty() {
            self.outbox.put(&refunds).await?;
            self.street.told.notify_one();
        }
        if !stayed.is_empty() {
            self.driver.many(stayed).await?;
        }
        Ok(moved)
    }

    async fn input(&self, order: &Order, now: Timestamp) -> Input {
        let deadline = Input::Deadline { ver: order.ver };
        match ask(order, now) {
            Ask::Deadline => deadline,
            Ask::LookUp(key) => match self.payment.lookup(&key).await {
                Ok(Some(outcome)) => outcome_input(outcome),
                Ok(None) => Input::Unknown,
                Err(error) => unknown(order, &error),
            },
            Ask::Fence(key) => match self.payment.cancel(&key).await {
                Ok(Fenced::Cancelled) => Input::PaymentCancelled,
                Ok(Fenced::Approved { amount, .. }) => Input::Approved { amount },
                Ok(Fenced::Unknown) => Input::Unknown,
                Err(error) => unknown(order, &error),
            },
            Ask::Refund(key) => match self.payment.refund(&key).await {
                Ok(Moved::Done) => Input::Refunded,
                Ok(Moved::Unknown) => Input::Unknown,
                Err(error) => unknown(order, &error),
            },
        }
    }

    fn refunded(&self, order: &Order) -> Event {
        let attempt = crate::order::ATTEMPT;
        Event {
            subject: order.id.as_str().to_owned(),
            version: u64::from(attempt),
            sale: None,
            time: order.since,
            fact: Fact::PaymentRefunded { order: order.id.clone(), attempt },
            trace: None,
        }
    }
}

/// Time came, no request: there is no trace.
fn timed(order: &OrderId, input: Input) -> Inbound {
    Inbound { order: order.clone(), input, trace: None }
}

fn outcome_input(outcome: Outcome) -> Input {
    match outcome {
        Outcome::Approved { amount, .. } => Input::Approved { amount },
        Outcome::Declined(reason) => Input::Declined(reason),
        Outcome::NeedsBuyer { action, until } => Input::NeedsBuyer { action, until },
        Outcome::Unknown => Input::Unknown,
    }
}

fn unknown(order: &Order, error: &BackendError) -> Input {
    tracing::warn!(order = %order.id, %error, "the gateway does not answer");
    Input::Unknown
}

#[async_trait]
impl Pass for Recover {
    fn name(&self) -> String {
        "recover".to_owned()
    }

    async fn run(&self, stop: Stop, board: Board) {
        while !stop.asked() {
            let ran = self.pass().await;
            let full = matches!(&ran, Ok(moved) if *moved >= self.street.settings.events_max as u64);
            board.report("recover", self.street.host.now(), ran.map_err(|error| error.to_string()));
            if !full {
                stop.rest(self.street.settings.recover_every).await;
            }
        }
    }
}
