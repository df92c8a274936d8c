//! Dead letters: kept in the table of the ledger, and shown on a topic.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use flashsale_core::error::BackendError;
use flashsale_core::event::{DeadLetter, DeadLetters, Replay};

use crate::config::KafkaConfig;
use crate::sink::{KafkaEventSink, Outgoing};
use crate::wire;

/// [`DeadLetters`] that are published to `<topic>.dead` before they are kept where operators replay them from.
///
/// The topic is for other systems to watch; the table decides what was dealt with. A letter may be published twice.
#[derive(Clone)]
pub struct KafkaDeadLetters {
    config: KafkaConfig,
    sink: KafkaEventSink,
    table: Arc<dyn DeadLetters>,
}

impl fmt::Debug for KafkaDeadLetters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaDeadLetters").field("table", &self.table).finish_non_exhaustive()
    }
}

impl KafkaDeadLetters {
    /// Puts the topic before a table.
    #[must_use]
    pub fn over(table: Arc<dyn DeadLetters>, config: &KafkaConfig, sink: &KafkaEventSink) -> Self {
        Self { config: config.clone(), sink: sink.clone(), table }
    }
}

/// What a dead letter says beside the event's own headers.
pub(crate) fn headers<'a>(consumer: &'a str, reason: &'a str, tries: u32) -> [(&'static str, Cow<'a, [u8]>); 3] {
    [
        ("dead_consumer", consumer.as_bytes().into()),
        ("dead_reason", reason.as_bytes().into()),
        ("dead_tries", tries.to_string().into_bytes().into()),
    ]
}

#[async_trait]
impl DeadLetters for KafkaDeadLetters {
    async fn bury(&self, letters: &[DeadLetter]) -> Result<(), BackendError> {
        let encoded: Vec<wire::Record<'_>> =
            letters.iter().map(|letter| wire::encode(self.config.name(), &letter.event)).collect();
        let outgoing = letters.iter().zip(&encoded).map(|(letter, record)| {
            let own = record.headers.iter().map(|(name, value)| (*name, value.as_bytes().into()));
            Outgoing {
                topic: self.config.dead_topic(letter.event.fact.topic()).into(),
                key: letter.event.subject.as_bytes(),
                headers: own.chain(headers(&letter.consumer, &letter.reason, letter.tries)).collect(),
                value: record.value.as_bytes(),
            }
        });
        self.sink.send(outgoing.collect()).await?;
        self.table.bury(letters).await
    }

    async fn letters(&self, limit: usize) -> Result<Vec<DeadLetter>, BackendError> {
        self.table.letters(limit).await
    }

    async fn letter(&self, consumer: &str, event: &str) -> Result<Option<(DeadLetter, Option<Replay>)>, BackendError> {
        self.table.letter(consumer, event).await
    }

    async fn settle(&self, consumer: &str, event: &str, how: Replay) -> Result<Option<DeadLetter>, BackendError> {
        self.table.settle(consumer, event, how).await
    }
}
