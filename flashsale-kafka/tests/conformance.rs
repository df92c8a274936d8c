//! Sink and source pass the suite of an event bus on a real broker.

mod bus;

use std::time::Duration;

use async_trait::async_trait;
use flashsale_kafka::{KafkaEventSink, KafkaEventSource};
use flashsale_testkit::Fixture;

flashsale_testkit::event_bus_suite!(Kafka);

/// Topics of their own for every rule.
struct Kafka;

#[async_trait]
impl Fixture for Kafka {
    type Port = (KafkaEventSink, KafkaEventSource);

    async fn fresh(&self) -> Self::Port {
        bus::open(&bus::fresh().await)
    }

    async fn advance(&self, _: Duration) {}
}
