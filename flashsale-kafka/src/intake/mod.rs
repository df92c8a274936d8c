//! Intake by log on Kafka: topic `<prefix>.intake`, keyed by sale, so that the requests of a sale stand in one partition, in one order.

pub mod wire;

use std::borrow::Cow;
use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use flashsale_core::error::BackendError;
use flashsale_core::order::{IntakeLog, Polled, Recorded, SetAside};
use flashsale_core::stock::Durability;

use crate::config::KafkaConfig;
use crate::dead::headers;
use crate::sink::{KafkaEventSink, Outgoing};
use crate::source::{Group, Kind, Reads, leave};
use crate::wire::Unread;

/// The topic, and the group of all who decide what stands on it.
pub(crate) const INTAKE: &str = "intake";
/// The group that takes up dead letters again.
const RECALL: &str = "intake.recall";
/// How long brokers may take to acknowledge a record: a buyer waits for it. After it the outcome is unknown.
const ACKNOWLEDGE: Duration = Duration::from_secs(5);
/// The most that a dead letter says of why.
const REASON_CHARS_MAX: usize = 200;
/// How long a recall waits for another letter: a group's first member waits for others that long.
const ANOTHER: Duration = Duration::from_secs(8);

/// An [`IntakeLog`] on Kafka. A clone is the same process.
///
/// A record is in the log when every replica in sync has it (`acks=all`; with `min.insync.replicas=2` one lost broker loses none), from an
/// idempotent producer. The processes of a prefix are one consumer group. A record that cannot be read, and one that is set aside, goes to
/// `<prefix>.intake.dead`, from where [`IntakeLog::recall`] takes those that can be read.
///
/// # Dropping
/// The last clone leaves its groups, as that of a [`KafkaEventSource`](crate::KafkaEventSource) does.
#[derive(Clone)]
pub struct KafkaIntakeLog(Arc<Log>);

struct Log {
    config: KafkaConfig,
    sink: KafkaEventSink,
    shared: OnceLock<Joined<Requests>>,
    tail: OnceLock<Joined<Requests>>,
    dead: OnceLock<Joined<Letters>>,
}

type Joined<R> = Result<Arc<Group<R>>, BackendError>;

/// Reads requests; what is none is a dead letter.
pub(crate) struct Requests;

impl Reads for Requests {
    type Item = Recorded;

    fn read<'a>(
        _: &str,
        headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
        value: &[u8],
    ) -> Result<Recorded, Unread> {
        wire::decode(headers, value)
    }
}

/// Reads dead letters; what is no request is passed over, and stays where it is.
pub(crate) struct Letters;

impl Reads for Letters {
    type Item = Recorded;

    fn read<'a>(
        _: &str,
        headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
        value: &[u8],
    ) -> Result<Recorded, Unread> {
        wire::decode(headers, value).map_err(|why| Unread::NewKind(why.to_string()))
    }
}

impl fmt::Debug for KafkaIntakeLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaIntakeLog").field("config", &self.0.config).finish_non_exhaustive()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let joined = [self.shared.take(), self.tail.take()].into_iter().flatten().flatten();
        let mut groups: Vec<Box<dyn Send>> = joined.map(|group| Box::new(group) as Box<dyn Send>).collect();
        groups.extend(self.dead.take().into_iter().flatten().map(|group| Box::new(group) as Box<dyn Send>));
        leave(groups);
    }
}

impl KafkaIntakeLog {
    /// Makes a producer. Groups are joined by the first that polls, watches or recalls.
    ///
    /// # Errors
    /// *Misconfigured* for a setting that librdkafka refuses.
    pub fn open(config: &KafkaConfig) -> Result<Self, BackendError> {
        let sink = KafkaEventSink::open(&config.acknowledged_within(ACKNOWLEDGE))?;
        let (shared, tail, dead) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        Ok(Self(Arc::new(Log { config: config.clone(), sink, shared, tail, dead })))
    }

    fn shared(&self) -> Joined<Requests> {
        self.0.shared.get_or_init(|| self.join(Kind::Shared, INTAKE, INTAKE)).clone()
    }

    fn join<R: Reads>(&self, kind: Kind, group: &str, topic: &str) -> Joined<R> {
        Group::join(&self.0.config, kind, group, &[topic.to_owned()], self.0.sink.clone()).map(Arc::new)
    }

    async fn send<'r>(
        &self,
        operation: &'static str,
        records: impl Iterator<Item = (&'r Recorded, Vec<(&'static str, Cow<'r, [u8]>)>)>,
        topic: &str,
    ) -> Result<(), BackendError> {
        let encode = |(record, more)| Ok((record, more, wire::encode(record)?));
        let records: Vec<_> = records.map(encode).collect::<Result<_, BackendError>>()?;
        let [kind, version, id] = wire::HEADERS;
        let outgoing = records.iter().map(|(record, more, value)| {
            let own = [
                (kind, Cow::from(b"application/json".as_slice())),
                (version, wire::VERSION.as_bytes().into()),
                (id, record.id().as_str().as_bytes().into()),
            ];
            Outgoing {
                topic: topic.into(),
                key: record.sale.as_str().as_bytes(),
                headers: own.into_iter().chain(more.iter().cloned()).collect(),
                value: value.as_bytes(),
            }
        });
        let sent = self.0.sink.send(outgoing.collect()).await;
        sent.map_err(|error| BackendError::new(error.kind(), operation, error))
    }
}

#[async_trait]
impl IntakeLog for KafkaIntakeLog {
    fn durability(&self) -> Durability {
        Durability::Crash
    }

    async fn append(&self, batch: &[Recorded]) -> Result<(), BackendError> {
        self.send("intake.append", batch.iter().map(|record| (record, vec![])), &self.0.config.topic(INTAKE)).await
    }

    async fn poll(&self, max: usize) -> Result<Polled, BackendError> {
        let (position, records) = self.shared()?.poll(max).await?;
        Ok(Polled { position, records })
    }

    async fn commit(&self, position: u64) -> Result<(), BackendError> {
        self.shared()?.keep(position).await
    }

    async fn rewind(&self) -> Result<(), BackendError> {
        self.shared()?.go_back().await
    }

    async fn watch(&self, max: usize) -> Result<Vec<Recorded>, BackendError> {
        let own = || format!("tail.{INTAKE}.{:016x}", RandomState::new().build_hasher().finish());
        let tail = self.0.tail.get_or_init(|| self.join(Kind::Tail, &own(), INTAKE)).clone()?;
        Ok(tail.poll(max).await?.1)
    }

    async fn set_aside(&self, records: &[SetAside]) -> Result<(), BackendError> {
        let letters = records.iter().map(|aside| {
            // A reason may repeat what a backend said at length.
            let end = aside.reason.char_indices().nth(REASON_CHARS_MAX).map_or(aside.reason.len(), |(end, _)| end);
            (&aside.record, headers(INTAKE, &aside.reason[..end], aside.tries).to_vec())
        });
        self.send("intake.set_aside", letters, &self.0.config.dead_topic(INTAKE)).await
    }

    async fn recall(&self, max: usize) -> Result<usize, BackendError> {
        let topic = format!("{INTAKE}.dead");
        let dead = self.0.dead.get_or_init(|| self.join(Kind::Shared, RECALL, &topic)).clone()?;
        let mut recalled = 0;
        while recalled < max {
            let Ok(polled) = tokio::time::timeout(ANOTHER, dead.poll(max - recalled)).await else { break };
            let (position, records) = polled?;
            if let Err(error) = self.append(&records).await {
                dead.go_back().await?;
                return Err(error);
            }
            dead.keep(position).await?;
            recalled += records.len();
        }
        Ok(recalled)
    }
}
