//! Events in: for consumer groups, whose places are kept after the effect, and for tails, which have no place.

mod group;
mod places;

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use flashsale_core::error::{BackendError, ErrorKind};
use flashsale_core::event::{Delivery, EventSource, TOPICS};

use crate::config::KafkaConfig;
use crate::sink::KafkaEventSink;
pub(crate) use group::{Events, Group, Reads};

/// How long dropping the last clone of a source may take.
const LEAVE: Duration = Duration::from_secs(2);

/// An [`EventSource`] on Kafka. A clone is the same source.
///
/// Every process that polls a group gets a share of its partitions, and events of one subject always come to the same one. When
/// a partition moves, what was not kept comes again, to its new owner. A record that is no event goes to the topic's dead
/// letters and stops nobody; a kind that is newer than this program is passed over.
///
/// # Errors of `poll`
/// *Misconfigured* for a group that did not join, or that the brokers refuse; *unavailable* if a place could not be gone back to. Brokers
/// that are away are waited for.
///
/// # Dropping
/// The last clone leaves its groups and waits at most two seconds for it; what was kept and could not be told to the brokers comes again.
#[derive(Debug, Clone)]
pub struct KafkaEventSource(Arc<Source>);

#[derive(Debug)]
struct Source {
    config: KafkaConfig,
    kind: Kind,
    dead: KafkaEventSink,
    /// The groups that are known; each has its consumer from its first poll on.
    groups: Mutex<BTreeMap<String, Option<Joined>>>,
    topics: BTreeMap<String, Vec<String>>,
}

impl Drop for Source {
    /// Leaves the groups, each in a thread of its own, and waits for them a moment: a consumer that leaves tells its brokers which places it
    /// kept, and waits as long as they are away.
    fn drop(&mut self) {
        let groups = std::mem::take(self.groups.get_mut().unwrap_or_else(PoisonError::into_inner));
        leave(groups.into_values().flatten().flatten());
    }
}

/// Drops groups, each in a thread of its own, and waits for them a moment.
pub(crate) fn leave<G: Send + 'static>(groups: impl IntoIterator<Item = G>) {
    let (leaving, left) = mpsc::channel::<()>();
    for group in groups {
        let leaving = leaving.clone();
        thread::spawn(move || {
            drop(group);
            drop(leaving);
        });
    }
    drop(leaving);
    // It ends when the last of them has dropped its end.
    let _ = left.recv_timeout(LEAVE);
}

/// What became of a group's consumer.
type Joined = Result<Arc<Group<Events>>, BackendError>;

/// Who shares events, and from where they begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// All processes of a group; from the oldest event, once per group.
    Shared,
    /// Every process for itself; from now on.
    Tail,
}

impl KafkaEventSource {
    /// A source for consumer groups.
    ///
    /// # Errors
    /// *Misconfigured* for a setting that librdkafka refuses.
    pub fn open(config: &KafkaConfig) -> Result<Self, BackendError> {
        Self::of(config, Kind::Shared)
    }

    /// A source that brings every event to every process, and keeps no place: for caches, pages and streams, which are right without it.
    /// It begins where the topics end when the brokers assign them, some time into the first poll; what passes while the brokers are
    /// away for long is missed. `commit` and `rewind` do nothing.
    ///
    /// # Errors
    /// As [`KafkaEventSource::open`].
    pub fn tail(config: &KafkaConfig) -> Result<Self, BackendError> {
        Self::of(config, Kind::Tail)
    }

    fn of(config: &KafkaConfig, kind: Kind) -> Result<Self, BackendError> {
        let dead = KafkaEventSink::open(config)?;
        let (config, groups, topics) = (config.clone(), Mutex::default(), BTreeMap::new());
        Ok(Self(Arc::new(Source { config, kind, dead, groups, topics })))
    }

    /// Limits a group to some of [`TOPICS`], before it joins: fewer bytes for who wants few facts.
    #[must_use]
    pub fn topics<'a>(self, group: &str, topics: impl IntoIterator<Item = &'a str>) -> Self {
        let Source { config, kind, dead, .. } = &*self.0;
        let mut limited = self.0.topics.clone();
        limited.insert(group.to_owned(), topics.into_iter().map(str::to_owned).collect());
        let (config, kind, dead) = (config.clone(), *kind, dead.clone());
        Self(Arc::new(Source { config, kind, dead, groups: Mutex::default(), topics: limited }))
    }

    fn groups(&self) -> MutexGuard<'_, BTreeMap<String, Option<Joined>>> {
        self.0.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its consumer, if it has polled.
    fn group(&self, name: &str) -> Option<Joined> {
        self.groups().get(name).cloned().flatten()
    }

    /// Its consumer, which is a member of its group from here on.
    fn joined(&self, name: &str) -> Joined {
        let mut groups = self.groups();
        let missing = || BackendError::new(ErrorKind::Misconfigured, "source.poll", format!("no group {name} joined"));
        let place = groups.get_mut(name).ok_or_else(missing)?;
        place.get_or_insert_with(|| self.0.member(name)).clone()
    }
}

impl Source {
    fn member(&self, group: &str) -> Joined {
        let all = || TOPICS.iter().map(|topic| (*topic).to_owned()).collect();
        let topics = self.topics.get(group).cloned().unwrap_or_else(all);
        let name = match self.kind {
            Kind::Shared => group.to_owned(),
            // Nobody else's: a group of one, of which nothing stays.
            Kind::Tail => format!("tail.{group}.{:016x}", RandomState::new().build_hasher().finish()),
        };
        Group::join(&self.config, self.kind, &name, &topics, self.dead.clone()).map(Arc::new)
    }
}

#[async_trait]
impl EventSource for KafkaEventSource {
    /// Only a name is kept: a member that does not poll would be given partitions all the same, and nobody would work on them. The brokers
    /// keep the events that are published until the group's first poll.
    fn join(&self, group: &str) {
        self.groups().entry(group.to_owned()).or_default();
    }

    async fn poll(&self, group: &str, max: usize) -> Result<Delivery, BackendError> {
        let (position, events) = self.joined(group)?.poll(max).await?;
        Ok(Delivery { position, events })
    }

    async fn commit(&self, group: &str, position: u64) -> Result<(), BackendError> {
        match self.group(group) {
            Some(group) => group?.keep(position).await,
            None => Ok(()),
        }
    }

    async fn rewind(&self, group: &str) -> Result<(), BackendError> {
        match self.group(group) {
            Some(group) => group?.go_back().await,
            None => Ok(()),
        }
    }
}
