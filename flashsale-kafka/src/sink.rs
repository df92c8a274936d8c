//! Events out: a batch is with the brokers when the last of it was acknowledged.
//!
//! One idempotent producer for all batches. A batch is counted down by its delivery reports, so an event costs no future of
//! its own.

use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{fmt, mem};

use async_trait::async_trait;
use flashsale_core::error::BackendError;
use flashsale_core::event::{Event, EventSink, TOPICS};
use rdkafka::ClientContext;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use tokio::sync::oneshot;

use crate::config::KafkaConfig;
use crate::fault::{is_refused, undelivered, undone};
use crate::wire;

const PUBLISH: &str = "sink.publish";

/// An [`EventSink`] on Kafka. A clone is the same producer.
///
/// # Errors of `publish`
/// What became of the worst of the batch; the others may have arrived, so send all of them again. *Data* if a broker refuses an event;
/// *misconfigured* for a topic that is not there, or that this client may not write; *unknown* if no acknowledgement came in time;
/// *unavailable* if one did not leave this process.
///
/// # Cancel safety
/// A publication whose future is dropped goes on; nobody is told of its outcome, so send all of it again.
#[derive(Clone)]
pub struct KafkaEventSink(Arc<Sink>);

struct Sink {
    config: KafkaConfig,
    /// What [`TOPICS`] are called on the brokers.
    topics: Vec<String>,
    producer: Mutex<Producer>,
}

type Producer = Arc<ThreadedProducer<Reports>>;

/// Hears of every event what became of it.
struct Reports;

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = Arc<Ticket>;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: Arc<Ticket>) {
        ticket.told(result.as_ref().err().map(|(error, _)| error.clone()));
    }
}

/// One batch under way.
struct Ticket {
    left: AtomicUsize,
    end: Mutex<End>,
}

#[derive(Default)]
struct End {
    failed: Option<KafkaError>,
    tell: Option<oneshot::Sender<Result<(), KafkaError>>>,
}

impl Ticket {
    fn new(events: usize) -> (Arc<Self>, oneshot::Receiver<Result<(), KafkaError>>) {
        let (tell, told) = oneshot::channel();
        let end = Mutex::new(End { failed: None, tell: Some(tell) });
        (Arc::new(Self { left: AtomicUsize::new(events), end }), told)
    }

    /// One of them has arrived, or has not.
    fn told(&self, failed: Option<KafkaError>) {
        let end = || self.end.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(failed) = failed {
            let mut end = end();
            // A person has to act on one that will never arrive; the others are only late.
            if end.failed.as_ref().is_none_or(|worst| !is_refused(worst)) {
                end.failed = Some(failed);
            }
        }
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            let End { failed, tell } = mem::take(&mut *end());
            // A relay that stopped waiting sends them again.
            let _ = tell.map(|tell| tell.send(failed.map_or(Ok(()), Err)));
        }
    }
}

impl fmt::Debug for KafkaEventSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaEventSink").field("config", &self.0.config).finish_non_exhaustive()
    }
}

impl KafkaEventSink {
    /// Makes a producer. It connects when it has something to send, and again as often as it must.
    ///
    /// # Errors
    /// *Misconfigured* for a setting that librdkafka refuses.
    pub fn open(config: &KafkaConfig) -> Result<Self, BackendError> {
        let producer = Mutex::new(producer(config)?);
        let topics = TOPICS.iter().map(|topic| config.topic(topic)).collect();
        Ok(Self(Arc::new(Sink { config: config.clone(), topics, producer })))
    }

    fn place(&self) -> MutexGuard<'_, Producer> {
        self.0.producer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The producer; another one, if it is beyond repair (its sequence numbers were lost on both sides).
    fn producer(&self) -> Result<Producer, BackendError> {
        let mut place = self.place();
        let Some((code, why)) = place.client().fatal_error() else { return Ok(place.clone()) };
        tracing::warn!(%code, why, "the producer is given up for a new one");
        let new = producer(&self.0.config)?;
        let old = std::mem::replace(&mut *place, new.clone());
        // It waits for what it still has.
        std::thread::spawn(move || drop(old));
        Ok(new)
    }

    /// Sends records to topics and waits for their acknowledgements.
    pub(crate) async fn send(&self, records: Vec<Outgoing<'_>>) -> Result<(), BackendError> {
        if records.is_empty() {
            return Ok(());
        }
        let (ticket, told) = Ticket::new(records.len());
        let producer = self.producer()?;
        for record in &records {
            let mut headers = OwnedHeaders::new_with_capacity(record.headers.len());
            for (key, value) in &record.headers {
                headers = headers.insert(Header { key, value: Some(&**value) });
            }
            let sent = BaseRecord::with_opaque_to(&record.topic, ticket.clone()).headers(headers);
            let sent = sent.key(record.key).payload(record.value);
            if let Err((error, refused)) = producer.send(sent) {
                // Reported like the others, which may be with the brokers: all are sent again.
                refused.delivery_opaque.told(Some(error));
            }
        }
        drop(records);
        let lost = |_| Err(KafkaError::Canceled);
        told.await.unwrap_or_else(lost).map_err(|error| undelivered(PUBLISH, error))
    }
}

/// A record on its way out.
pub(crate) struct Outgoing<'a> {
    pub(crate) topic: Cow<'a, str>,
    pub(crate) key: &'a [u8],
    pub(crate) headers: Vec<(&'a str, Cow<'a, [u8]>)>,
    pub(crate) value: &'a [u8],
}

fn producer(config: &KafkaConfig) -> Result<Producer, BackendError> {
    let made = config.producer().create_with_context(Reports);
    made.map(Arc::new).map_err(|error| undone("sink.open", error))
}

#[async_trait]
impl EventSink for KafkaEventSink {
    async fn publish(&self, events: &[Event]) -> Result<(), BackendError> {
        let config = &self.0.config;
        let encoded: Vec<wire::Record<'_>> = events.iter().map(|event| wire::encode(config.name(), event)).collect();
        let topic = |topic: &str| {
            let known = TOPICS.iter().position(|known| *known == topic);
            known.map_or_else(|| config.topic(topic).into(), |known| self.0.topics[known].as_str().into())
        };
        let outgoing = events.iter().zip(&encoded).map(|(event, record)| Outgoing {
            topic: topic(event.fact.topic()),
            key: event.subject.as_bytes(),
            headers: record.headers.iter().map(|(name, value)| (*name, Cow::Borrowed(value.as_bytes()))).collect(),
            value: record.value.as_bytes(),
        });
        self.send(outgoing.collect()).await
    }
}
