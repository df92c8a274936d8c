//! The topics: what they are called, and how they are made.

use std::time::Duration;

use flashsale_core::error::BackendError;
use flashsale_core::event::TOPICS;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::config::KafkaConfig;
use crate::fault::undone;
use crate::intake::INTAKE;

const CREATE: &str = "topics.create";
/// How long brokers may take to answer.
const ANSWER: Duration = Duration::from_secs(15);

/// How the topics are made: each of [`TOPICS`] and that of requests, and beside each one for its dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Topics {
    partitions: i32,
    replicas: i32,
}

impl Default for Topics {
    /// Six partitions, so that as many processes share the work of a group; as many replicas as the brokers' default says.
    fn default() -> Self {
        Self { partitions: 6, replicas: -1 }
    }
}

impl Topics {
    /// Sets the number of partitions, at least 1. It cannot change later without events of one subject overtaking each other.
    #[must_use]
    pub fn partitions(self, partitions: u16) -> Self {
        Self { partitions: i32::from(partitions.max(1)), ..self }
    }

    /// Sets the number of replicas, at least 1; with three, and `min.insync.replicas=2`, a lost broker loses nothing.
    #[must_use]
    pub fn replicas(self, replicas: u16) -> Self {
        Self { replicas: i32::from(replicas.max(1)), ..self }
    }

    /// Makes the topics that are not there. Those that are there stay as they are.
    ///
    /// # Errors
    /// *Unavailable* if no broker answers, *Misconfigured* if they refuse.
    pub async fn create(self, config: &KafkaConfig) -> Result<(), BackendError> {
        let admin: AdminClient<DefaultClientContext> =
            config.admin().create().map_err(|error| undone(CREATE, error))?;
        let names: Vec<(String, i32)> = TOPICS
            .iter()
            .chain([&INTAKE])
            .flat_map(|topic| [(config.topic(topic), self.partitions), (config.dead_topic(topic), 1)])
            .collect();
        let topics: Vec<NewTopic<'_>> = names
            .iter()
            .map(|(name, partitions)| {
                // As it is sent: a broker's own compression may be one that not every client can read.
                let topic = NewTopic::new(name, *partitions, TopicReplication::Fixed(self.replicas));
                topic.set("compression.type", "producer")
            })
            .collect();
        let made = admin
            .create_topics(&topics, &AdminOptions::new().request_timeout(Some(ANSWER)))
            .await
            .map_err(|error| undone(CREATE, error))?;
        for topic in made {
            match topic {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((topic, code)) => {
                    let error = undone(CREATE, KafkaError::AdminOp(code));
                    return Err(BackendError::new(error.kind(), CREATE, format!("{topic}: {code}")));
                }
            }
        }
        Ok(())
    }
}
