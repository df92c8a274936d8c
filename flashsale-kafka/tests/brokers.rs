//! Brokers die in the middle: what was acknowledged stays, what was not is sent again, nothing is skipped.

mod bus;

use std::time::{Duration, Instant};

use flashsale_core::Event;
use flashsale_core::error::ErrorKind;
use flashsale_core::event::{EventSink, EventSource};
use flashsale_kafka::{KafkaConfig, KafkaEventSink, KafkaEventSource, Topics};
use flashsale_services::{Kafka, KafkaOptions};

use bus::{events, open, take_all};

/// As the relay does: again until the brokers have all of them. Gives how often it failed.
async fn relay(sink: &KafkaEventSink, batch: &[Event]) -> usize {
    let begun = Instant::now();
    let mut failed = 0;
    while let Err(error) = sink.publish(batch).await {
        assert_ne!(error.kind(), ErrorKind::Data, "{error}");
        assert!(begun.elapsed() < bus::LONG, "{failed} times, at last: {error}");
        failed += 1;
    }
    failed
}

/// Publishes in batches while `disturb` does its work after the first third, and takes everything up beside it.
async fn disturbed(config: &KafkaConfig, disturb: impl FnOnce() + Send + 'static) {
    let (sink, source) = open(config);
    source.join("saga");
    let all = events(50, 60);
    let third = all.len() / 3;
    let publish = async {
        for batch in all[..third].chunks(50) {
            relay(&sink, batch).await;
        }
        let disturbed = tokio::task::spawn_blocking(disturb);
        for batch in all[third..].chunks(50) {
            relay(&sink, batch).await;
        }
        // Again and again until it is over, so that something is under way at every moment of it.
        while !disturbed.is_finished() {
            relay(&sink, &all[third..third + 50]).await;
        }
        disturbed.await.unwrap();
    };
    let ((), came) = tokio::join!(publish, take_all(&source, "saga", &all));
    assert!(came >= all.len());
    // Whoever comes later finds all of them, too.
    let later = KafkaEventSource::open(config).unwrap();
    later.join("later");
    take_all(&later, "later", &all).await;
}

#[tokio::test]
async fn a_broker_that_is_killed_and_comes_back_loses_nothing() {
    let kafka = std::sync::Arc::new(Kafka::start(&KafkaOptions::default()));
    let config = bus::topics(&kafka.brokers(), Topics::default().partitions(3)).await;
    let killed = kafka.clone();
    disturbed(&config, move || {
        killed.kill9(0);
        killed.restart(0);
    })
    .await;
    assert!(kafka.is_running(0));
}

#[tokio::test]
async fn a_lost_broker_of_three_loses_nothing() {
    let kafka = std::sync::Arc::new(Kafka::start(&KafkaOptions { brokers: 3, ..KafkaOptions::default() }));
    let config = bus::topics(&kafka.brokers(), Topics::default().partitions(3).replicas(3)).await;
    let alive = kafka.clone();
    disturbed(&config, move || alive.kill9(1)).await;
    assert!(!kafka.is_running(1));
}

#[tokio::test]
async fn brokers_that_are_silent_leave_the_outcome_unknown_and_the_next_try_succeeds() {
    let kafka = Kafka::start(&KafkaOptions::default());
    let config = bus::topics(&kafka.brokers(), Topics::default().partitions(1)).await;
    let config = config.delivery_timeout(Duration::from_secs(2)).unwrap();
    let (sink, source) = open(&config);
    let all = events(3, 3);
    relay(&sink, &all[..3]).await;
    kafka.pause(0);
    let error = sink.publish(&all[3..]).await.unwrap_err();
    assert!(error.outcome_is_unknown(), "{error}");
    kafka.resume(0);
    relay(&sink, &all[3..]).await;
    source.join("saga");
    take_all(&source, "saga", &all).await;
}

#[tokio::test]
async fn a_topic_that_is_not_there_is_told_as_such() {
    let kafka = Kafka::start(&KafkaOptions::default());
    let config = KafkaConfig::new(kafka.brokers()).unwrap().delivery_timeout(Duration::from_secs(2)).unwrap();
    let (sink, _) = open(&config);
    let error = sink.publish(&events(1, 1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
    Topics::default().create(&config).await.unwrap();
    Topics::default().create(&config).await.expect("as often as one likes");
    relay(&sink, &events(1, 1)).await;
}
