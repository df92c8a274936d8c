//! The events of flashsale on Kafka, and its intake by log.
//!
//! [`KafkaEventSink`] takes what the relay brings, [`KafkaEventSource`] brings it to consumer groups and to tails, and
//! [`KafkaDeadLetters`] shows on a topic what the table keeps. On the wire every event is a CloudEvent in Kafka's binary mode
//! ([`wire`]). **G9**: rows exactly once, events at least once under a stable id: a doubtful delivery is sent again, and a
//! place is kept only after the effect.
//!
//! [`KafkaIntakeLog`] keeps requests in order until the ledger has decided them.
//!
//! Owns bytes, topics and places. What an event means is in `flashsale-core`; the rows they come from are the ledger's.
//!
//! ```no_run
//! use flashsale_kafka::{KafkaConfig, KafkaEventSink, KafkaEventSource, Topics};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let config = KafkaConfig::new("127.0.0.1:9092")?;
//! Topics::default().create(&config).await?;
//! let sink = KafkaEventSink::open(&config)?;
//! let source = KafkaEventSource::open(&config)?;
//! # Ok(()) }
//! ```

mod config;
mod dead;
mod fault;
mod intake;
mod sink;
mod source;
mod topics;
pub mod wire;

pub use config::{KafkaConfig, KafkaConfigError};
pub use dead::KafkaDeadLetters;
pub use intake::{KafkaIntakeLog, wire as intake_wire};
pub use sink::KafkaEventSink;
pub use source::KafkaEventSource;
pub use topics::Topics;
