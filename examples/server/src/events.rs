//! The bus and the log by configuration: within this process, or on Kafka. Owns what a start does with a Kafka that is down or not set up.

use std::fmt;
use std::sync::Arc;

use flashsale_core::BackendError;
use flashsale_core::error::ErrorKind;
use flashsale_core::event::{DeadLetters, EventSink, EventSource, InProcess};
use flashsale_core::memory::MemoryIntakeLog;
use flashsale_core::order::IntakeLog;
use flashsale_kafka::{
    KafkaConfig, KafkaConfigError, KafkaDeadLetters, KafkaEventSink, KafkaEventSource, KafkaIntakeLog, Topics,
};

use crate::config::{Config, Intake};

/// The ports of events.
pub(crate) struct Opened {
    pub(crate) sink: Arc<dyn EventSink>,
    pub(crate) source: Arc<dyn EventSource>,
    pub(crate) dead: Arc<dyn DeadLetters>,
    pub(crate) intake: Option<Arc<dyn IntakeLog>>,
}

/// Kafka cannot be used.
#[derive(Debug)]
pub struct EventsError(BackendError);

impl std::error::Error for EventsError {}

/// Says what is wrong, and what to do next.
impl fmt::Display for EventsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = std::error::Error::source(&self.0).map_or_else(|| self.0.to_string(), ToString::to_string);
        let next = if told.contains("ReplicationFactor") || told.contains("replication factor") {
            "set kafka.replication to at most the number of brokers"
        } else if self.0.kind() == ErrorKind::Unavailable {
            "see whether the brokers of kafka.brokers run and can be reached from here; then start again"
        } else {
            "give the user of this server the right to create, write and read topics that begin with kafka.topic_prefix; then start again"
        };
        write!(f, "events on Kafka cannot be used: {told}. Next: {next}")
    }
}

/// Opens the bus that the configuration names; on Kafka makes the topics that are not there.
///
/// # Errors
/// [`EventsError`] if no broker answers or they refuse. Once started, a server outlives its brokers: facts wait in the ledger.
pub(crate) async fn open(config: &Config, table: Arc<dyn DeadLetters>) -> Result<Opened, EventsError> {
    let Some(brokers) = &config.kafka_brokers else {
        let bus = InProcess::default();
        let intake = volatile_log(config);
        return Ok(Opened { sink: Arc::new(bus.clone()), source: Arc::new(bus), dead: table, intake });
    };
    let misconfigured =
        |why: KafkaConfigError| EventsError(BackendError::new(ErrorKind::Misconfigured, "kafka.connect", why));
    let kafka = KafkaConfig::new(&brokers.0).and_then(|kafka| kafka.prefix(&config.kafka_topic_prefix.0));
    let kafka = kafka.map_err(misconfigured)?;
    let count = |number: u64| u16::try_from(number).unwrap_or(u16::MAX);
    let topics = Topics::default().partitions(count(config.kafka_partitions)).replicas(count(config.kafka_replication));
    topics.create(&kafka).await.map_err(EventsError)?;
    let sink = KafkaEventSink::open(&kafka).map_err(EventsError)?;
    let source = KafkaEventSource::open(&kafka).map_err(EventsError)?;
    let dead = Arc::new(KafkaDeadLetters::over(table, &kafka, &sink));
    // Also where this server records nothing: others may, and what was recorded before it was switched off has to be decided.
    let intake = match volatile_log(config) {
        None => Arc::new(KafkaIntakeLog::open(&kafka).map_err(EventsError)?),
        Some(volatile) => volatile,
    };
    Ok(Opened { sink: Arc::new(sink), source: Arc::new(source), dead, intake: Some(intake) })
}

/// The log that was asked for by its name.
fn volatile_log(config: &Config) -> Option<Arc<dyn IntakeLog>> {
    if config.sale_intake != Intake::VolatileLog {
        return None;
    }
    tracing::warn!("sale.intake is volatile-log: what is told `recorded` is forgotten when this process ends");
    Some(Arc::new(MemoryIntakeLog::default()))
}
