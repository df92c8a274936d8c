//! Where the brokers are, and what topics, groups and sources are called.

use std::fmt;
use std::time::Duration;

use rdkafka::ClientConfig;

/// How long a member of a group may be silent before its partitions go to others.
const SESSION: &str = "session.timeout.ms";
/// How long a partition is left alone once enough of it is fetched.
const BACKOFF: &str = "fetch.queue.backoff.ms";

/// Why a setting is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KafkaConfigError {
    /// No broker, or one that is no host and port.
    #[error("brokers are HOST:PORT, parted by commas; `{0}` is none")]
    Brokers(String),
    /// A prefix has characters that no topic may have, or is too long.
    #[error("a prefix has 1 to 32 characters of A-Z a-z 0-9 _ . -")]
    Prefix,
    /// Zero, or longer than what waits for it.
    #[error("a delivery may take from 1 s to 5 min")]
    DeliveryTimeout,
}

/// How to reach Kafka.
///
/// Topics are `<prefix>.<topic>`, groups `<prefix>.<group>`, event types `<prefix>.<kind>.v1`, and sources `/<prefix>/<role>`.
#[derive(Clone, PartialEq, Eq)]
pub struct KafkaConfig {
    brokers: String,
    prefix: String,
    delivery_timeout: Duration,
    extra: Vec<(String, String)>,
}

impl fmt::Debug for KafkaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Further settings may be secrets.
        let extra: Vec<&str> = self.extra.iter().map(|(name, _)| name.as_str()).collect();
        let mut shown = f.debug_struct("KafkaConfig");
        shown.field("brokers", &self.brokers).field("prefix", &self.prefix);
        shown.field("delivery_timeout", &self.delivery_timeout).field("extra", &extra).finish()
    }
}

impl KafkaConfig {
    /// The prefix `flashsale`, and 30 s for a delivery.
    ///
    /// # Errors
    /// [`KafkaConfigError::Brokers`].
    pub fn new(brokers: impl Into<String>) -> Result<Self, KafkaConfigError> {
        let brokers = brokers.into();
        let is_address = |broker: &str| {
            let (host, port) = broker.rsplit_once(':')?;
            (!host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)).then_some(())
        };
        if let Some(bad) = brokers.split(',').find(|broker| is_address(broker.trim()).is_none()) {
            return Err(KafkaConfigError::Brokers(bad.to_owned()));
        }
        Ok(Self { brokers, prefix: "flashsale".to_owned(), delivery_timeout: Duration::from_secs(30), extra: vec![] })
    }

    /// Sets what names of topics, groups, types and sources begin with, so that several shops share a cluster.
    ///
    /// # Errors
    /// [`KafkaConfigError::Prefix`].
    pub fn prefix(self, prefix: impl Into<String>) -> Result<Self, KafkaConfigError> {
        let prefix = prefix.into();
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        if prefix.is_empty() || prefix.len() > 32 || !prefix.chars().all(allowed) {
            return Err(KafkaConfigError::Prefix);
        }
        Ok(Self { prefix, ..self })
    }

    /// Sets how long brokers may take to acknowledge an event. After it the outcome is unknown, and the relay sends it again.
    ///
    /// # Errors
    /// [`KafkaConfigError::DeliveryTimeout`].
    pub fn delivery_timeout(self, delivery_timeout: Duration) -> Result<Self, KafkaConfigError> {
        if !(Duration::from_secs(1)..=Duration::from_secs(300)).contains(&delivery_timeout) {
            return Err(KafkaConfigError::DeliveryTimeout);
        }
        Ok(Self { delivery_timeout, ..self })
    }

    /// The same, where who waits for an acknowledgement waits no longer than this.
    pub(crate) fn acknowledged_within(&self, most: Duration) -> Self {
        Self { delivery_timeout: self.delivery_timeout.min(most), ..self.clone() }
    }

    /// Adds a setting of librdkafka, such as `security.protocol`. What a promise depends on is set after these.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.extra.push((name.into(), value.into()));
        self
    }

    /// The name of a topic on the brokers.
    #[must_use]
    pub fn topic(&self, topic: &str) -> String {
        format!("{}.{topic}", self.prefix)
    }

    /// The topic of what consumers of a topic gave up on.
    #[must_use]
    pub fn dead_topic(&self, topic: &str) -> String {
        format!("{}.dead", self.topic(topic))
    }

    pub(crate) fn name(&self) -> &str {
        &self.prefix
    }

    pub(crate) fn group(&self, group: &str) -> String {
        format!("{}.{group}", self.prefix)
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        // Told soon when brokers come back.
        config.set("reconnect.backoff.max.ms", "1000").set("client.id", &self.prefix);
        // A topic that was not there is asked for again only so often, and would be missed for five minutes.
        config.set("topic.metadata.refresh.interval.ms", "5000");
        self.extra.iter().for_each(|(name, value)| {
            config.set(name, value);
        });
        config.set("bootstrap.servers", &self.brokers);
        config
    }

    pub(crate) fn admin(&self) -> ClientConfig {
        self.client()
    }

    /// Each event once per producer and in order, on every replica in sync, or an error.
    pub(crate) fn producer(&self) -> ClientConfig {
        let mut config = self.client();
        // A batch is complete when it comes: waiting for more gains nothing.
        config.set("linger.ms", "0").set("enable.idempotence", "true").set("acks", "all");
        // As other clients of Kafka place a key, so that they may share our topics.
        config.set("partitioner", "murmur2_random");
        config.set("message.timeout.ms", self.delivery_timeout.as_millis().to_string());
        // How long a topic may be unknown before it is told as such: a new one is not known everywhere at once.
        let half = self.delivery_timeout / 2;
        config.set("topic.metadata.propagation.max.ms", half.min(Duration::from_secs(10)).as_millis().to_string());
        config
    }

    /// Places are kept by us, after the effect; a new group begins with the oldest event.
    pub(crate) fn consumer(&self, group: &str) -> ClientConfig {
        let mut config = self.client();
        config.set("partition.assignment.strategy", "cooperative-sticky").set("fetch.wait.max.ms", "100");
        config.set("auto.commit.interval.ms", "1000").set("group.id", self.group(group));
        config.set("enable.auto.offset.store", "false").set("enable.auto.commit", "true");
        config.set("auto.offset.reset", "earliest").set("enable.partition.eof", "false");
        // A killed process keeps its partitions for so long, and with them the payments of buyers whose time runs. And what was fetched is
        // taken up within a fraction of the client's own second.
        for (name, value) in [(SESSION, "10000"), (BACKOFF, "10")] {
            if config.get(name).is_none() {
                config.set(name, value);
            }
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_are_hosts_with_ports() {
        for good in ["a:1", "a:9092,b:9092", "[::1]:9092", "a:1, b:2"] {
            assert!(KafkaConfig::new(good).is_ok(), "{good}");
        }
        for bad in ["", "a", ":1", "a:", "a:0", "a:70000", "a:1,", "a:1,b"] {
            assert!(KafkaConfig::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_prefix_is_one_of_a_topic() {
        let config = KafkaConfig::new("a:1").unwrap();
        for bad in ["", "a b", "a/b", &"x".repeat(33)] {
            assert_eq!(config.clone().prefix(bad), Err(KafkaConfigError::Prefix), "{bad}");
        }
        let config = config.prefix("shop-1").unwrap();
        assert_eq!(config.topic("orders"), "shop-1.orders");
        assert_eq!(config.dead_topic("orders"), "shop-1.orders.dead");
    }

    #[test]
    fn a_killed_process_keeps_its_partitions_for_ten_seconds_unless_told_otherwise() {
        let config = KafkaConfig::new("a:1").unwrap();
        assert_eq!(config.consumer("saga").get("session.timeout.ms"), Some("10000"));
        assert_eq!(config.producer().get("session.timeout.ms"), None);
        let told = config.with("session.timeout.ms", "30000");
        assert_eq!(told.consumer("saga").get("session.timeout.ms"), Some("30000"));
    }

    #[test]
    fn a_promise_is_not_overruled_by_a_setting() {
        let config = KafkaConfig::new("a:1").unwrap().with("acks", "0").with("enable.auto.offset.store", "true");
        assert_eq!(config.producer().get("acks"), Some("all"));
        assert_eq!(config.consumer("saga").get("enable.auto.offset.store"), Some("false"));
        let secret = config.with("sasl.password", "not to be shown");
        assert!(!format!("{secret:?}").contains("not to be shown"));
    }
}
