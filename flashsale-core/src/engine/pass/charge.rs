//! Charge: asks the gateway for what the orders requested, in lanes; what it says becomes facts, in batches.
//!
//! The place of the group is kept up to the first payment that is not settled yet, so a crash asks again, under the same keys.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{self, BoxFuture, Either};
use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::engine::lane::Street;
use crate::engine::workers::{Board, Pass, Stop};
use crate::error::BackendError;
use crate::event::{Event, EventSource, Fact, Outbox};
use crate::payment::{Capture, Charge as Request, Moved, Outcome, PaymentGateway, PaymentKey};
use crate::trace::TraceParent;

const PAUSE: Duration = Duration::from_millis(50);

pub(crate) struct Charge {
    pub(crate) street: Arc<Street>,
    pub(crate) source: Arc<dyn EventSource>,
    pub(crate) outbox: Arc<dyn Outbox>,
    pub(crate) payment: Arc<dyn PaymentGateway>,
}

/// What one event asks of the gateway, and the trace in which it stands.
struct Task {
    ask: Ask,
    trace: Option<TraceParent>,
}

enum Ask {
    Authorize(Request),
    Capture(Capture),
}

/// The deliveries that are not wholly settled: position to the number of payments under way.
#[derive(Default)]
struct Places(BTreeMap<u64, usize>);

impl Places {
    /// The position up to which everything is settled, if that is news.
    fn settled(&mut self) -> Option<u64> {
        let mut upto = None;
        while let Some(first) = self.0.first_entry() {
            if *first.get() > 0 {
                break;
            }
            upto = Some(*first.key());
            first.remove();
        }
        upto
    }
}

impl Charge {
    pub(crate) const GROUP: &'static str = "payment";

    fn task(event: &Event) -> Option<Task> {
        let ask = match &event.fact {
            Fact::OrderPaymentRequested { order, buyer, attempt, amount, method, until } => Ask::Authorize(Request {
                key: PaymentKey { order: order.clone(), attempt: *attempt, method: method.clone() },
                buyer: buyer.clone(),
                amount: *amount,
                until: *until,
            }),
            Fact::OrderConfirmed(order) => Ask::Capture(Capture {
                key: PaymentKey {
                    order: order.order.clone(),
                    attempt: crate::order::ATTEMPT,
                    method: order.method.clone(),
                },
                seller_gets: order.list,
                funded: order.discount,
            }),
            _ => return None,
        };
        Some(Task { ask, trace: event.trace })
    }

    /// Asks until there is an answer; a gateway that does not know is an answer.
    async fn ask(&self, task: Task) -> Option<Event> {
        match task.ask {
            Ask::Authorize(request) => {
                let outcome = match self.payment.authorize(&request).await {
                    Ok(outcome) => outcome,
                    Err(error) => {
                        tracing::warn!(key = %request.key, %error, "the gateway does not answer");
                        Outcome::Unknown
                    }
                };
                Some(Event { trace: task.trace, ..self.fact(request.key, outcome) })
            }
            Ask::Capture(capture) => {
                let mut pause = PAUSE;
                loop {
                    match self.payment.capture(&capture).await {
                        Ok(Moved::Done) => return None,
                        Ok(Moved::Unknown) => {}
                        Err(error) => tracing::warn!(key = %capture.key, %error, "not captured yet"),
                    }
                    self.street.host.sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(5));
                }
            }
        }
    }

    fn fact(&self, key: PaymentKey, outcome: Outcome) -> Event {
        let PaymentKey { order, attempt, .. } = key;
        let subject = order.as_str().to_owned();
        let fact = match outcome {
            Outcome::Approved { amount, reference } => Fact::PaymentApproved { order, attempt, amount, reference },
            Outcome::Declined(reason) => Fact::PaymentDeclined { order, attempt, reason: reason.code().to_owned() },
            Outcome::NeedsBuyer { action, until } => Fact::PaymentNeedsBuyer { order, attempt, action, until },
            Outcome::Unknown => Fact::PaymentUnknown { order, attempt },
        };
        Event { subject, version: u64::from(attempt), sale: None, time: self.street.host.now(), fact, trace: None }
    }

    /// Writes what the gateway said; repeats until it is written.
    async fn tell(&self, facts: Vec<Event>, stop: &Stop) -> Result<(), BackendError> {
        if facts.is_empty() {
            return Ok(());
        }
        loop {
            match self.outbox.put(&facts).await {
                Ok(()) => {
                    self.street.told.notify_one();
                    return Ok(());
                }
                Err(error) if stop.asked() => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, "what the gateway said is not written yet");
                    stop.rest(PAUSE).await;
                }
            }
        }
    }
}

#[async_trait]
impl Pass for Charge {
    fn name(&self) -> String {
        "charge".to_owned()
    }

    async fn run(&self, stop: Stop, board: Board) {
        let (host, lanes) = (&self.street.host, self.street.settings.payment_lanes);
        let mut under_way: FuturesUnordered<BoxFuture<'_, (u64, Option<Event>)>> = FuturesUnordered::new();
        let mut waiting: std::collections::VecDeque<(u64, Task)> = std::collections::VecDeque::new();
        let mut places = Places::default();
        while !stop.asked() {
            while under_way.len() < lanes
                && let Some((position, task)) = waiting.pop_front()
            {
                under_way.push(Box::pin(async move { (position, self.ask(task).await) }));
            }
            // New work is taken while lanes are free; what is under way is collected as it ends.
            let mut ended: Vec<(u64, Option<Event>)> = Vec::new();
            if waiting.is_empty() && under_way.len() < lanes {
                let poll = std::pin::pin!(self.source.poll(Self::GROUP, self.street.settings.events_max));
                let next =
                    async { if under_way.is_empty() { future::pending().await } else { under_way.next().await } };
                let next = std::pin::pin!(next);
                match stop.unless(future::select(poll, next)).await {
                    None => break,
                    Some(Either::Left((Ok(delivery), _))) => {
                        let tasks: Vec<Task> = delivery.events.iter().filter_map(Self::task).collect();
                        places.0.insert(delivery.position, tasks.len());
                        waiting.extend(tasks.into_iter().map(|task| (delivery.position, task)));
                    }
                    Some(Either::Left((Err(error), _))) => {
                        board.report("charge", host.now(), Err(error.to_string()));
                        stop.rest(PAUSE).await;
                    }
                    Some(Either::Right((done, _))) => ended.extend(done),
                }
            } else {
                match stop.unless(under_way.next()).await {
                    None => break,
                    Some(done) => ended.extend(done),
                }
            }
            // Whatever else has ended in the same moment is written with it.
            while let Some(Some(done)) = futures_util::FutureExt::now_or_never(under_way.next()) {
                ended.push(done);
            }
            let facts: Vec<Event> = ended.iter().filter_map(|(_, event)| event.clone()).collect();
            let count = facts.len() as u64;
            if let Err(error) = self.tell(facts, &stop).await {
                board.report("charge", host.now(), Err(error.to_string()));
                break;
            }
            for (position, _) in ended {
                if let Some(left) = places.0.get_mut(&position) {
                    *left -= 1;
                }
            }
            if let Some(position) = places.settled()
                && let Err(error) = self.source.commit(Self::GROUP, position).await
            {
                board.report("charge", host.now(), Err(error.to_string()));
            }
            if count > 0 {
                board.report("charge", host.now(), Ok(count));
            }
        }
        // What is under way is asked for again by the next run, under the same keys.
        let _ = self.source.rewind(Self::GROUP).await;
    }
}
