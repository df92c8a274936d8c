//! What only Kafka can show of intake by log: the bytes, what cannot be read, and who decides what while processes come and go.

mod bus;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use flashsale_core::error::ErrorKind;
use flashsale_core::order::{IntakeLog, Recorded};
use flashsale_core::stock::{Accept, Epoch, HoldNo, Note, Then};
use flashsale_core::{BuyerId, Key, Method, OrderId, SaleId, Timestamp, won};
use flashsale_kafka::{KafkaIntakeLog, intake_wire};
use flashsale_testkit::sample::{hash, lines};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Header, Headers as _, Message as _, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};

fn record(sale: &str, n: u64) -> Recorded {
    let ann = BuyerId::new("ann").unwrap();
    let accept = Accept {
        id: OrderId::of(&ann, &Key::new(&format!("k-{n}")).unwrap()),
        hash: hash(&[("hat", 2)]),
        lines: lines(&[("hat", 2)]),
        hold: Some((Epoch(3), HoldNo(n))),
        expect: Some(won(20_000)),
        coupon: None,
        method: Some(Method::new("card").unwrap()),
        note: Some(Note::new("Main St 1").unwrap()),
        trace: None,
        then: Then::Pay { within: Duration::from_secs(600) },
    };
    Recorded { sale: SaleId::new(sale).unwrap(), accept, at: Timestamp::from_ms(1_800_000_000_123) }
}

/// Exact bytes: a program of another version must read them.
#[test]
fn a_record_has_these_bytes() {
    let expected = r#"{"sale":"drop","order":"ann~k-7","hash":"HASH","lines":[{"item":"hat","units":2}],"hold":{"epoch":3,"no":7},"expect":20000,"coupon":null,"method":"card","note":"Main St 1","trace":null,"then":{"pay":{"within_ms":600000}},"at":1800000000123}"#;
    let record = record("drop", 7);
    assert_eq!(
        intake_wire::encode(&record).unwrap(),
        expected.replace("HASH", &format!("{:016x}", record.accept.hash.0))
    );
}

#[test]
fn an_offer_to_one_on_the_waitlist_is_no_record() {
    let mut offer = record("drop", 7);
    offer.accept.then = Then::Offer { tell_within: Duration::from_secs(60) };
    assert_eq!(intake_wire::encode(&offer).unwrap_err().kind(), ErrorKind::Data);
}

#[test]
fn a_newer_minor_version_is_read_and_another_major_is_not() {
    let record = record("drop", 7);
    let value = intake_wire::encode(&record).unwrap();
    let read = |version: &str, value: &str| {
        intake_wire::decode([("intake_version", version.as_bytes())], value.as_bytes()).map_err(|why| why.to_string())
    };
    let newer = value.replacen('{', r#"{"queue":"fast","#, 1);
    assert_eq!(read("1.7", &newer), Ok(record.clone()), "a field that nobody here knows is skipped");
    for version in ["2.0", "10.0", "", "x"] {
        assert!(read(version, &value).is_err(), "{version}");
    }
    assert!(intake_wire::decode([], value.as_bytes()).is_err(), "without a version");
    for bad in ["", "{}", &value.replace("ann~k-7", "ann"), &value.replace("\"units\":2", "\"units\":0")] {
        assert!(read("1.0", bad).is_err(), "{bad}");
    }
}

/// A producer of somebody else, who places keys as we do.
fn foreign() -> FutureProducer {
    let mut settings = ClientConfig::new();
    settings.set("bootstrap.servers", bus::brokers()).set("partitioner", "murmur2_random").create().unwrap()
}

/// A request of another major version, or of nobody's, goes to the dead letters with its bytes; those behind it are decided.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_a_dead_letter_and_holds_nobody_up() {
    let config = bus::fresh().await;
    let log = KafkaIntakeLog::open(&config).unwrap();
    let (topic, dead) = (config.topic("intake"), config.dead_topic("intake"));
    let producer = foreign();
    let value = intake_wire::encode(&record("drop", 1)).unwrap();
    for (version, value) in [("2.0", value.as_str()), ("1.0", "no request")] {
        let headers = OwnedHeaders::new().insert(Header { key: "intake_version", value: Some(version) });
        let sent = FutureRecord::to(&topic).key("drop").payload(value).headers(headers);
        producer.send(sent, Duration::from_secs(10)).await.unwrap();
    }
    log.append(&[record("drop", 2)]).await.unwrap();
    let polled = tokio::time::timeout(bus::LONG, log.poll(10)).await.unwrap().unwrap();
    assert_eq!(polled.records, [record("drop", 2)]);
    log.commit(polled.position).await.unwrap();
    let letters = tokio::task::spawn_blocking(move || letters(&dead, 2)).await.unwrap();
    let reasons: Vec<&str> = letters.iter().map(|(_, reason)| reason.as_str()).collect();
    assert!(reasons[0].contains("version 2.0") && reasons[1].contains("a request"), "{reasons:?}");
    assert_eq!(letters[1].0, b"no request");
    assert_eq!(log.recall(10).await.unwrap(), 0, "what cannot be read is not taken up again");
}

/// The values and reasons of the first letters of a topic.
fn letters(topic: &str, count: usize) -> Vec<(Vec<u8>, String)> {
    let mut settings = ClientConfig::new();
    settings.set("bootstrap.servers", bus::brokers()).set("group.id", "looks").set("auto.offset.reset", "earliest");
    let consumer: BaseConsumer = settings.create().unwrap();
    consumer.subscribe(&[topic]).unwrap();
    let (mut found, begun) = (Vec::new(), Instant::now());
    while found.len() < count {
        assert!(begun.elapsed() < bus::LONG, "there are no {count} letters");
        // A poll also ends without a record when the group has changed.
        let Some(message) = consumer.poll(Duration::from_secs(1)) else { continue };
        let message = message.unwrap();
        let headers = message.headers().unwrap();
        let reason = headers.iter().find(|header| header.key == "dead_reason").and_then(|header| header.value).unwrap();
        let reason = String::from_utf8(reason.to_vec()).unwrap();
        found.push((message.payload().unwrap().to_vec(), reason));
    }
    found
}

/// Two processes share the sales; when one goes, the other decides what it left, and nothing is missed.
#[tokio::test(flavor = "multi_thread")]
async fn processes_share_sales_and_take_over_what_one_leaves() {
    let config = bus::fresh().await;
    let sales: Vec<String> = (0..12).map(|n| format!("sale-{n}")).collect();
    let log = KafkaIntakeLog::open(&config).unwrap();
    for sale in &sales {
        log.append(&(1..=20).map(|n| record(sale, n)).collect::<Vec<_>>()).await.unwrap();
    }
    let mut missing: BTreeSet<(String, u64)> =
        sales.iter().flat_map(|sale| (1..=20).map(move |n| (sale.clone(), n))).collect();
    let first = KafkaIntakeLog::open(&config).unwrap();
    let polled = tokio::time::timeout(bus::LONG, first.poll(50)).await.unwrap().unwrap();
    first.commit(polled.position).await.unwrap();
    for record in &polled.records {
        missing.remove(&(record.sale.to_string(), record.no().unwrap().0));
    }
    // Taken, and lost with its process.
    tokio::time::timeout(bus::LONG, first.poll(50)).await.unwrap().unwrap();
    tokio::task::spawn_blocking(move || drop(first)).await.unwrap();
    let mut last: std::collections::BTreeMap<String, u64> = std::collections::BTreeMap::new();
    let rest = async {
        while !missing.is_empty() {
            let polled = log.poll(50).await.unwrap();
            for record in &polled.records {
                let (sale, no) = (record.sale.to_string(), record.no().unwrap().0);
                missing.remove(&(sale.clone(), no));
                assert!(last.insert(sale, no).is_none_or(|before| before < no), "a sale's requests are in order");
            }
            log.commit(polled.position).await.unwrap();
        }
    };
    tokio::time::timeout(bus::LONG, rest).await.expect("all of them come");
}
