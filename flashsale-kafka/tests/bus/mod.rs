//! One broker for all tests of a binary, and topics of its own for each test.
#![allow(dead_code, reason = "not every test binary needs all of it")]

use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use flashsale_core::event::{Event, EventSource, Fact};
use flashsale_core::{OrderId, Timestamp};
use flashsale_kafka::{KafkaConfig, KafkaEventSink, KafkaEventSource, Topics};
use flashsale_services::{Kafka, KafkaOptions};

static BROKER: LazyLock<Kafka> = LazyLock::new(|| Kafka::start(&KafkaOptions::default()));

/// Topics that no other test has, on these brokers.
pub(crate) async fn topics(brokers: &str, topics: Topics) -> KafkaConfig {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let prefix = format!("shop-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let config = KafkaConfig::new(brokers).and_then(|config| config.prefix(prefix)).unwrap();
    let config = config.delivery_timeout(Duration::from_secs(10)).unwrap();
    topics.create(&config).await.expect("topics");
    config
}

/// The same on the broker of this binary, with a few partitions.
pub(crate) async fn fresh() -> KafkaConfig {
    topics(&BROKER.brokers(), Topics::default().partitions(3)).await
}

pub(crate) fn open(config: &KafkaConfig) -> (KafkaEventSink, KafkaEventSource) {
    (KafkaEventSink::open(config).unwrap(), KafkaEventSource::open(config).unwrap())
}

/// The `n`th fact of a buyer's order.
pub(crate) fn event(buyer: u32, n: u64) -> Event {
    let order: OrderId = format!("buyer-{buyer}~1").parse().unwrap();
    let subject = order.as_str().to_owned();
    let fact = Fact::PaymentUnknown { order, attempt: 1 };
    Event { subject, version: n, sale: None, time: Timestamp::from_ms(5), fact, trace: None }
}

/// `n` facts of each of so many orders, one after the other.
pub(crate) fn events(buyers: u32, n: u64) -> Vec<Event> {
    (1..=n).flat_map(|n| (0..buyers).map(move |buyer| event(buyer, n))).collect()
}

/// Longer than anything here takes.
pub(crate) const LONG: Duration = Duration::from_secs(120);

/// Takes up events until all of these have come; gives how many came, repeats included.
pub(crate) async fn take_all(source: &KafkaEventSource, group: &str, wanted: &[Event]) -> usize {
    let taken = tokio::time::timeout(LONG, take(source, group, wanted)).await;
    taken.unwrap_or_else(|_| panic!("{group} was not brought all events"))
}

async fn take(source: &KafkaEventSource, group: &str, wanted: &[Event]) -> usize {
    let mut missing: BTreeSet<String> = wanted.iter().map(Event::id).collect();
    let mut came = 0;
    while !missing.is_empty() {
        let delivery = source.poll(group, 100).await.expect("poll");
        came += delivery.events.len();
        for event in &delivery.events {
            missing.remove(&event.id());
        }
        source.commit(group, delivery.position).await.expect("commit");
    }
    came
}

/// The addresses of this binary's broker.
pub(crate) fn brokers() -> String {
    BROKER.brokers()
}
