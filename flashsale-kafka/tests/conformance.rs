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

mod log {
    use super::*;
    use flashsale_kafka::KafkaIntakeLog;
    use flashsale_testkit::suite::intake_log::Logs;

    flashsale_testkit::intake_log_suite!(Log::default());

    /// A topic of its own for every rule.
    #[derive(Default)]
    struct Log(std::sync::OnceLock<flashsale_kafka::KafkaConfig>);

    #[async_trait]
    impl Fixture for Log {
        type Port = KafkaIntakeLog;

        async fn fresh(&self) -> KafkaIntakeLog {
            let config = bus::fresh().await;
            let log = KafkaIntakeLog::open(&config).expect("a log");
            self.0.set(config).expect("a rule asks for one log");
            log
        }

        async fn advance(&self, _: Duration) {}
    }

    #[async_trait]
    impl Logs for Log {
        type Log = KafkaIntakeLog;

        async fn another(&self, _: &KafkaIntakeLog) -> KafkaIntakeLog {
            KafkaIntakeLog::open(self.0.get().expect("a log was made")).expect("a log")
        }
    }
}
