//! Handlers: an event comes in, an input of the saga goes out. The same code in one process and across processes.

use std::fmt::Debug;

use async_trait::async_trait;

use crate::engine::drive::{Driven, Driver, Inbound};
use crate::error::BackendError;
use crate::event::{Event, Fact};
use crate::id::OrderId;
use crate::order::{Input, Verdict};
use crate::payment::{DeclineReason, PaymentGateway, PaymentKey};

/// Why a consumer did not take events up.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Failed {
    /// Something below does not answer: the events wait.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The consumer cannot do it: after some tries the event is set aside.
    #[error("{0}")]
    Refused(String),
}

/// Takes events up, at least once each; a repeat must change nothing.
#[async_trait]
pub(crate) trait Consumer: Send + Sync {
    /// The name of its group.
    fn group(&self) -> &str;
    /// Whether it wants this fact at all.
    fn wants(&self, fact: &Fact) -> bool;
    /// Takes a batch up, in its order. An error means: all of it again.
    async fn handle(&self, events: &[Event]) -> Result<(), Failed>;
}

/// The saga's consumer: what happened to payments, and whose turn it is to pay.
#[derive(Debug)]
pub(crate) struct SagaConsumer {
    driver: Driver,
    payment: std::sync::Arc<dyn PaymentGateway>,
}

impl SagaConsumer {
    pub(crate) const GROUP: &'static str = "order";

    pub(crate) fn new(driver: Driver, payment: std::sync::Arc<dyn PaymentGateway>) -> Self {
        Self { driver, payment }
    }

    /// The input that a fact is, if it is one.
    fn input(fact: &Fact) -> Option<(OrderId, Input)> {
        Some(match fact {
            Fact::OrderAccepted(order) if order.pay_by.is_some() => (order.order.clone(), Input::TurnToPay),
            Fact::PaymentApproved { order, amount, .. } => (order.clone(), Input::Approved { amount: *amount }),
            Fact::PaymentDeclined { order, reason, .. } => {
                (order.clone(), Input::Declined(DeclineReason::from_code(reason)))
            }
            Fact::PaymentNeedsBuyer { order, action, until, .. } => {
                (order.clone(), Input::NeedsBuyer { action: action.clone(), until: *until })
            }
            Fact::PaymentUnknown { order, .. } => (order.clone(), Input::Unknown),
            _ => return None,
        })
    }
}

#[async_trait]
impl Consumer for SagaConsumer {
    fn group(&self) -> &str {
        Self::GROUP
    }

    fn wants(&self, fact: &Fact) -> bool {
        Self::input(fact).is_some()
    }

    async fn handle(&self, events: &[Event]) -> Result<(), Failed> {
        let inbound = |event: &Event| {
            let (order, input) = Self::input(&event.fact)?;
            Some(Inbound { order, input, trace: event.trace })
        };
        let inputs: Vec<Inbound> = events.iter().filter_map(inbound).collect();
        let driven = self.driver.many(inputs.clone()).await?;
        for (Inbound { order, .. }, driven) in inputs.into_iter().zip(driven) {
            if let Driven::Stayed(Verdict::Orphan, _) = driven {
                // Money for an order that does not exist: it goes back before the event is taken up, and is never dropped.
                tracing::error!(%order, "approved for an order that cannot take it: refunding");
                let key = PaymentKey { order, attempt: crate::order::ATTEMPT, method: None };
                self.payment.refund(&key).await?;
            }
        }
        Ok(())
    }
}
