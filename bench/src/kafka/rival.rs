//! What sink and source are compared with: rdkafka's own producer and consumer, without anything of ours around them.
//!
//! They get the bytes ready-made, keep the same promise (every replica in sync, once and in order), and have no batch to wait for: the
//! producer may queue all records at once, and waits 5 ms to fill a message set, as librdkafka does by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use flashsale_core::Event;
use flashsale_kafka::{KafkaConfig, wire};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};

use crate::Failure;
use crate::gate::per_second;

/// How long anything may take.
const LONG: Duration = Duration::from_secs(60);

/// A record as it is sent.
pub(super) struct Record {
    key: String,
    pub(super) headers: Vec<(&'static str, String)>,
    value: String,
}

/// The bytes of events, made before the clock starts.
pub(super) fn records(config: &KafkaConfig, events: &[Event]) -> Vec<Record> {
    let prefix = config.topic("");
    let prefix = prefix.trim_end_matches('.');
    let record = |event: &Event| {
        let wire::Record { headers, value } = wire::encode(prefix, event);
        let headers = headers.into_iter().map(|(name, value)| (name, value.into_owned())).collect();
        Record { key: event.subject.clone(), headers, value }
    };
    events.iter().map(record).collect()
}

/// Counts what has arrived.
struct Arrived(Arc<AtomicUsize>);

impl ClientContext for Arrived {}

impl ProducerContext for Arrived {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_ok() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Sends all records; how many a second until the last is acknowledged.
pub(super) fn produce(brokers: &str, topic: &str, records: &[Record]) -> Result<f64, Failure> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("enable.idempotence", "true").set("acks", "all");
    config.set("partitioner", "murmur2_random");
    let arrived = Arc::new(AtomicUsize::new(0));
    let producer: BaseProducer<Arrived> = config.create_with_context(Arrived(arrived.clone()))?;
    // Connected, before the clock starts.
    send(&producer, topic, &records[0])?;
    producer.flush(LONG)?;
    let begun = Instant::now();
    for record in records {
        while let Err(error) = send(&producer, topic, record) {
            match error {
                KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) => producer.poll(Duration::from_millis(1)),
                other => return Err(other.into()),
            };
        }
        producer.poll(Duration::ZERO);
    }
    producer.flush(LONG)?;
    let speed = per_second(records.len(), begun.elapsed());
    match arrived.load(Ordering::Relaxed) {
        arrived if arrived == records.len() + 1 => Ok(speed),
        arrived => Err(format!("{arrived} of {} records arrived", records.len() + 1).into()),
    }
}

fn send(producer: &BaseProducer<Arrived>, topic: &str, record: &Record) -> Result<(), KafkaError> {
    let mut headers = OwnedHeaders::new_with_capacity(record.headers.len());
    for (key, value) in &record.headers {
        headers = headers.insert(Header { key, value: Some(value.as_bytes()) });
    }
    let sent = BaseRecord::to(topic).key(record.key.as_bytes()).payload(record.value.as_bytes()).headers(headers);
    producer.send(sent).map_err(|(error, _)| error)
}

/// Takes `count` records from the beginning of a topic; how many a second from the first one on.
pub(super) fn consume(brokers: &str, topic: &str, partitions: u16, count: usize) -> Result<f64, Failure> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", "rival").set("enable.auto.commit", "false");
    config.set("fetch.wait.max.ms", "100");
    let consumer: BaseConsumer = config.create()?;
    let mut all = TopicPartitionList::new();
    for partition in 0..partitions {
        all.add_partition_offset(topic, i32::from(partition), Offset::Beginning)?;
    }
    consumer.assign(&all)?;
    // As many as one delivery of ours has are counted out with the first.
    let next = || -> Result<usize, Failure> {
        let message = consumer.poll(LONG).ok_or("no record came")??;
        Ok(message.payload().map_or(0, <[u8]>::len))
    };
    let (mut taken, mut bytes) = (0, 0);
    while taken < super::BATCH {
        bytes += next()?;
        taken += 1;
    }
    let begun = Instant::now();
    let already = taken;
    while taken < count {
        bytes += next()?;
        taken += 1;
    }
    let speed = per_second(count - already, begun.elapsed());
    if bytes > 0 { Ok(speed) } else { Err("the records are empty".into()) }
}
