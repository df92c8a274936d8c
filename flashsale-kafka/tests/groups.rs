//! Members come and go, records are bad, brokers watch: nothing is lost, nobody is blocked.

mod bus;

use std::time::{Duration, Instant};

use flashsale_core::event::{DeadLetter, DeadLetters, EventSink, EventSource};
use flashsale_core::memory::MemoryLedger;
use flashsale_core::{ManualClock, Timestamp};
use flashsale_kafka::{KafkaConfig, KafkaDeadLetters, KafkaEventSource, wire};
use rdkafka::ClientConfig;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};

use bus::{event, events, fresh, open, take_all};

#[tokio::test]
async fn what_a_member_did_not_keep_comes_to_the_next() {
    let config = fresh().await;
    let (sink, first) = open(&config);
    let all = events(20, 5);
    sink.publish(&all).await.unwrap();
    first.join("saga");
    let kept = first.poll("saga", 30).await.unwrap();
    first.commit("saga", kept.position).await.unwrap();
    let lost = first.poll("saga", 30).await.unwrap();
    assert!(!lost.events.is_empty());
    drop(first);
    let second = KafkaEventSource::open(&config).unwrap();
    second.join("saga");
    let rest: Vec<_> = all.iter().filter(|event| !kept.events.contains(event)).cloned().collect();
    let came = take_all(&second, "saga", &rest).await;
    assert_eq!(came, rest.len(), "what was kept does not come again");
}

/// G9: at least once, whoever has a partition.
#[tokio::test]
async fn nothing_is_lost_while_members_come_and_go() {
    let config = fresh().await;
    let (sink, first) = open(&config);
    first.join("saga");
    let (early, late): (Vec<_>, Vec<_>) = events(30, 40).into_iter().partition(|event| event.version <= 20);
    let seen = std::sync::Mutex::new(std::collections::BTreeSet::new());
    let begun = Instant::now();
    let work = async |source: &KafkaEventSource, until: usize| {
        while seen.lock().unwrap().len() < until {
            assert!(begun.elapsed() < bus::LONG, "{} of {until}", seen.lock().unwrap().len());
            let Ok(polled) = tokio::time::timeout(Duration::from_millis(100), source.poll("saga", 7)).await else {
                continue;
            };
            let delivery = polled.unwrap();
            seen.lock().unwrap().extend(delivery.events.iter().map(flashsale_core::Event::id));
            source.commit("saga", delivery.position).await.unwrap();
        }
    };
    sink.publish(&early).await.unwrap();
    work(&first, early.len() / 3).await;
    let second = KafkaEventSource::open(&config).unwrap();
    second.join("saga");
    tokio::join!(work(&first, early.len()), work(&second, early.len()));
    sink.publish(&late).await.unwrap();
    tokio::join!(work(&first, early.len() + 50), work(&second, early.len() + 50));
    // It polled and did not keep: what it had goes to the others.
    let taken = tokio::time::timeout(bus::LONG, first.poll("saga", 50)).await.expect("its share").unwrap();
    assert!(!taken.events.is_empty());
    drop(first);
    work(&second, early.len() + late.len()).await;
}

/// Sends bytes that no sink of ours would send.
async fn send(config: &KafkaConfig, brokers: &str, headers: &[(&str, &str)], value: &str) {
    // Into the partition in which the sink puts the same key, so that one comes after the other.
    let mut settings = ClientConfig::new();
    settings.set("bootstrap.servers", brokers).set("partitioner", "murmur2_random");
    let producer: FutureProducer = settings.create().unwrap();
    let headers = headers
        .iter()
        .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: Some(*value) }));
    let topic = config.topic("payments");
    let record = FutureRecord::to(&topic).key("buyer-1~1").payload(value).headers(headers);
    producer.send(record, Duration::from_secs(10)).await.expect("sent");
}

/// The next record of the dead letters of payments: its reason, its consumer, and its value.
async fn letter(consumer: &StreamConsumer) -> (String, String, Vec<u8>) {
    let record = tokio::time::timeout(bus::LONG, consumer.recv()).await.expect("a letter").unwrap();
    let text = |name: &str| {
        let header = record.headers().unwrap().iter().find(|header| header.key == name).expect(name);
        String::from_utf8(header.value.unwrap().to_vec()).unwrap()
    };
    (text("dead_reason"), text("dead_consumer"), record.payload().unwrap_or_default().to_vec())
}

/// Reads the dead letters of payments, in a group of its own: members of one group wait for each other.
fn reader(config: &KafkaConfig) -> StreamConsumer {
    let topic = config.dead_topic("payments");
    let mut settings = ClientConfig::new();
    settings.set("bootstrap.servers", bus::brokers()).set("group.id", format!("reader-of-{topic}"));
    let reader: StreamConsumer = settings.set("auto.offset.reset", "earliest").create().unwrap();
    reader.subscribe(&[&topic]).unwrap();
    reader
}

#[tokio::test]
async fn a_record_that_is_no_event_is_set_aside_and_stops_nobody() {
    let config = fresh().await;
    let brokers = bus::brokers();
    let (sink, source) = open(&config);
    let v2 = format!("{}.payment.unknown.v2", config.topic("").trim_end_matches('.'));
    let headers = [("ce_specversion", "1.0"), ("ce_type", v2.as_str()), ("ce_subject", "buyer-1~1")];
    for (headers, value) in [(&headers[..0], "not JSON"), (&headers[..], "{}")] {
        send(&config, &brokers, headers, value).await;
    }
    sink.publish(&[event(1, 1)]).await.unwrap();
    source.join("saga");
    take_all(&source, "saga", &[event(1, 1)]).await;
    let reader = reader(&config);
    let (reason, consumer, value) = letter(&reader).await;
    assert!(reason.contains("ce_specversion is missing"), "{reason}");
    assert!(consumer.ends_with("saga"));
    assert_eq!(value, b"not JSON");
    let (reason, ..) = letter(&reader).await;
    assert!(reason.contains("version v2"), "{reason}");
    // The group's place is behind them.
    drop(source);
    let again = KafkaEventSource::open(&config).unwrap();
    again.join("saga");
    sink.publish(&[event(1, 2)]).await.unwrap();
    assert_eq!(take_all(&again, "saga", &[event(1, 2)]).await, 1);
}

#[tokio::test]
async fn kinds_and_fields_that_are_newer_are_passed_over() {
    let config = fresh().await;
    let brokers = bus::brokers();
    let (_, source) = open(&config);
    let known = event(1, 1);
    let record = wire::encode(config.topic("").trim_end_matches('.'), &known);
    let mut headers: Vec<(&str, &str)> = record.headers.iter().map(|(name, value)| (*name, &**value)).collect();
    headers.push(("ce_ofthefuture", "x"));
    let value = record.value.replacen('{', "{\"later\":[1,{}],", 1);
    let newer: Vec<(&str, String)> =
        headers.iter().map(|(name, value)| (*name, value.replace("payment.unknown", "payment.forgiven"))).collect();
    let newer: Vec<(&str, &str)> = newer.iter().map(|(name, value)| (*name, value.as_str())).collect();
    send(&config, &brokers, &newer, "{\"order\":1}").await;
    send(&config, &brokers, &headers, &value).await;
    source.join("saga");
    let delivery = source.poll("saga", 10).await.unwrap();
    assert_eq!(delivery.events, [known]);
}

#[tokio::test]
async fn a_tail_sees_from_now_on_and_every_tail_sees_all() {
    let config = fresh().await;
    let (sink, _) = open(&config);
    sink.publish(&[event(1, 1)]).await.unwrap();
    let tails = [KafkaEventSource::tail(&config).unwrap(), KafkaEventSource::tail(&config).unwrap()];
    let mut number = 1;
    for tail in &tails {
        tail.join("pages");
        // A tail begins some time after it joined: told again and again, it hears one, and every one from there.
        let delivery = loop {
            number += 1;
            sink.publish(&[event(1, number)]).await.unwrap();
            if let Ok(polled) = tokio::time::timeout(Duration::from_millis(200), tail.poll("pages", 100)).await {
                break polled.unwrap();
            }
        };
        assert!(delivery.events.iter().all(|event| event.version > 1), "{delivery:?}");
    }
    let all = events(10, 3);
    sink.publish(&all).await.unwrap();
    for tail in &tails {
        take_all(tail, "pages", &all).await;
    }
}

#[tokio::test]
async fn a_dead_letter_is_on_the_topic_and_in_the_table() {
    let config = fresh().await;
    let (sink, _) = open(&config);
    let table = MemoryLedger::new(ManualClock::starting(Timestamp::from_ms(1)), 1);
    let letters = KafkaDeadLetters::over(std::sync::Arc::new(table.clone()), &config, &sink);
    let buried = DeadLetter {
        consumer: "saga".to_owned(),
        reason: "no such order".to_owned(),
        tries: 3,
        at: Timestamp::from_ms(9),
        event: event(1, 1),
    };
    letters.bury(std::slice::from_ref(&buried)).await.unwrap();
    let (reason, consumer, _) = letter(&reader(&config)).await;
    assert_eq!((reason.as_str(), consumer.as_str()), ("no such order", "saga"));
    assert_eq!(table.letters(10).await.unwrap(), [buried]);
}
