//! One group's consumer in this process.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flashsale_core::error::{BackendError, ErrorKind};
use flashsale_core::event::Event;
use futures_util::{FutureExt as _, StreamExt as _};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, Rebalance, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use super::Kind;
use super::places::{Open, Partition, Places, Poison, Told};
use crate::config::KafkaConfig;
use crate::dead::headers;
use crate::fault::{is_elsewhere, is_refused, passes, undone};
use crate::sink::{KafkaEventSink, Outgoing};
use crate::wire::{self, Unread};

/// How many characters of a reason are told: it may repeat what a stranger sent.
const REASON: usize = 200;
/// How long going back to a place may take.
const SEEK: Duration = Duration::from_secs(10);

/// What a group's records are read as.
pub(crate) trait Reads: Send + Sync + 'static {
    /// What one of them is.
    type Item: Send;

    /// Reads one.
    fn read<'a>(
        prefix: &str,
        headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
        value: &[u8],
    ) -> Result<Self::Item, Unread>;
}

/// Records are events.
pub(crate) struct Events;

impl Reads for Events {
    type Item = Event;

    fn read<'a>(
        prefix: &str,
        headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
        value: &[u8],
    ) -> Result<Event, Unread> {
        wire::decode(prefix, headers, value)
    }
}

/// A group's consumer.
pub(crate) struct Group<R> {
    consumer: Arc<StreamConsumer<Watch>>,
    places: Shared,
    kind: Kind,
    name: String,
    prefix: String,
    dead: KafkaEventSink,
    reads: PhantomData<R>,
}

/// Whether a dead letter has the record's own bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whole {
    Yes,
    No,
}

type Shared = Arc<Mutex<Places>>;

/// Hears which partitions go to somebody else.
struct Watch(Shared);

impl ClientContext for Watch {}

impl ConsumerContext for Watch {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(partitions) = rebalance {
            let revoked = partitions.elements();
            let revoked: Vec<Partition> = revoked.iter().map(|of| (of.topic().to_owned(), of.partition())).collect();
            lock(&self.0).revoke(&revoked);
        }
    }
}

impl<R> fmt::Debug for Group<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("name", &self.name).field("places", &self.places).finish_non_exhaustive()
    }
}

fn lock(places: &Shared) -> MutexGuard<'_, Places> {
    places.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<R: Reads> Group<R> {
    pub(crate) fn join(
        config: &KafkaConfig,
        kind: Kind,
        name: &str,
        topics: &[String],
        dead: KafkaEventSink,
    ) -> Result<Self, BackendError> {
        let failed = |error| undone("source.join", error);
        let places = Shared::default();
        let mut settings = config.consumer(name);
        if kind == Kind::Tail {
            settings.set("auto.offset.reset", "latest").set("enable.auto.commit", "false");
        }
        let consumer: StreamConsumer<Watch> = settings.create_with_context(Watch(places.clone())).map_err(failed)?;
        let topics: Vec<String> = topics.iter().map(|topic| config.topic(topic)).collect();
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics).map_err(failed)?;
        let (name, prefix) = (name.to_owned(), config.name().to_owned());
        Ok(Self { consumer: Arc::new(consumer), places, kind, name, prefix, dead, reads: PhantomData })
    }

    /// The next records, at most `max`, and the place behind them.
    pub(crate) async fn poll(&self, max: usize) -> Result<(u64, Vec<R::Item>), BackendError> {
        loop {
            self.back().await?;
            lock(&self.places).begin();
            let (mut events, mut open) = (Vec::new(), Open::default());
            let mut records = self.consumer.stream();
            // The only wait: nothing is taken before it that a dropped future could lose.
            if let Some(first) = records.next().await {
                self.take(first, &mut events, &mut open)?;
            }
            while events.len() < max
                && let Some(Some(next)) = records.next().now_or_never()
            {
                if let Err(error) = self.take(next, &mut events, &mut open) {
                    // What was taken is delivered first.
                    tracing::warn!(group = self.name, %error, "a poll ended early");
                    break;
                }
            }
            let told = if events.is_empty() { Told::Nobody } else { Told::Group };
            // A tail has no place to keep.
            let open = if self.kind == Kind::Tail { Open::default() } else { open };
            let position = lock(&self.places).deliver(open, told);
            if self.kind == Kind::Tail {
                lock(&self.places).keep(position);
            }
            if !events.is_empty() {
                return Ok((position, events));
            }
            // Nothing for anybody. If deliveries before it are open, its place is kept with theirs.
            if lock(&self.places).is_first(position) {
                self.keep(position).await?;
            }
        }
    }

    fn take(
        &self,
        received: Result<BorrowedMessage<'_>, KafkaError>,
        events: &mut Vec<R::Item>,
        open: &mut Open,
    ) -> Result<(), BackendError> {
        let message = match received {
            Ok(message) => message,
            Err(error) if passes(&error) && is_refused(&error) => {
                tracing::warn!(group = self.name, %error, "a topic is waited for");
                return Ok(());
            }
            Err(error) if passes(&error) => {
                tracing::debug!(group = self.name, %error, "the brokers are waited for");
                return Ok(());
            }
            Err(error) => return Err(undone("source.poll", error)),
        };
        open.add(message.topic(), message.partition(), message.offset());
        let headers = || {
            let all = message.headers().into_iter().flat_map(|headers| headers.iter());
            all.map(|header| (header.key, header.value.unwrap_or_default()))
        };
        match R::read(&self.prefix, headers(), message.payload().unwrap_or_default()) {
            Ok(event) => events.push(event),
            Err(Unread::NewKind(kind)) => tracing::debug!(group = self.name, kind, "passed over"),
            Err(Unread::Bad(reason)) => {
                let (topic, partition, offset) = (message.topic(), message.partition(), message.offset());
                tracing::error!(group = self.name, topic, partition, offset, reason, "set aside as a dead letter");
                open.spoil(Poison {
                    partition: (topic.to_owned(), partition),
                    offset,
                    key: message.key().unwrap_or_default().to_vec(),
                    headers: headers().map(|(name, value)| (name.to_owned(), value.to_vec())).collect(),
                    value: message.payload().unwrap_or_default().to_vec(),
                    reason: reason.chars().take(REASON).collect(),
                });
            }
        }
        Ok(())
    }

    /// Keeps the place behind a delivery. It is with the brokers within a second, at the latest when a partition moves or the source
    /// is dropped.
    pub(crate) async fn keep(&self, position: u64) -> Result<(), BackendError> {
        let poison = lock(&self.places).poison(position);
        if let Err(error) = self.dead.send(poison.iter().map(|record| self.letter(record, Whole::Yes)).collect()).await
        {
            if error.kind() != ErrorKind::Data {
                return Err(error);
            }
            // Too large with what is added to it: where it stands is enough to find it.
            self.dead.send(poison.iter().map(|record| self.letter(record, Whole::No)).collect()).await?;
        }
        let kept = lock(&self.places).keep(position);
        if kept.is_empty() {
            return Ok(());
        }
        let kept = list(kept).map_err(|error| undone("source.commit", error))?;
        if let Err(error) = self.consumer.store_offsets(&kept) {
            // A partition that moved this moment: whoever has it now is delivered what was not kept.
            tracing::debug!(group = self.name, %error, "a place is not ours to keep");
        }
        Ok(())
    }

    fn letter<'a>(&'a self, poison: &'a Poison, whole: Whole) -> Outgoing<'a> {
        let own = poison.headers.iter().filter(|_| whole == Whole::Yes);
        let own = own.map(|(name, value)| (name.as_str(), value.as_slice().into()));
        let place = format!("{}/{}/{}", poison.partition.0, poison.partition.1, poison.offset);
        let headers =
            own.chain(headers(&self.name, &poison.reason, 1)).chain([("dead_place", place.into_bytes().into())]);
        let (key, value): (&[u8], &[u8]) = match whole {
            Whole::Yes => (&poison.key, &poison.value),
            Whole::No => (&[], &[]),
        };
        Outgoing { topic: format!("{}.dead", poison.partition.0).into(), key, headers: headers.collect(), value }
    }

    /// Makes all that was not kept come again.
    pub(crate) async fn go_back(&self) -> Result<(), BackendError> {
        lock(&self.places).go_back();
        self.back().await
    }

    /// Goes back to the first delivery that was not kept, if that is to be done.
    async fn back(&self) -> Result<(), BackendError> {
        let Some(back) = lock(&self.places).back() else { return Ok(()) };
        if back.is_empty() {
            lock(&self.places).is_back();
            return Ok(());
        }
        let failed = |error| undone("source.rewind", error);
        let (consumer, back) = (self.consumer.clone(), list(back).map_err(failed)?);
        // It waits, so that nothing behind the place is received before the client stands there.
        let seek = tokio::task::spawn_blocking(move || consumer.seek_partitions(back, SEEK));
        let sought = seek.await.map_err(|error| BackendError::unavailable("source.rewind", error))?.map_err(failed)?;
        for partition in sought.elements() {
            match partition.error() {
                // It moved: whoever has it now begins at the place that was kept.
                Err(error) if is_elsewhere(&error) => {}
                result => result.map_err(failed)?,
            }
        }
        lock(&self.places).is_back();
        Ok(())
    }
}

fn list(offsets: BTreeMap<Partition, i64>) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for ((topic, partition), offset) in offsets {
        list.add_partition_offset(&topic, partition, Offset::Offset(offset))?;
    }
    Ok(list)
}
