//! The whole engine on a real broker that is down while facts pile up, and on one whose consumer gives an event up.

mod bus;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use flashsale_core::engine::{Dealt, TokioHost, Work};
use flashsale_core::error::BackendError;
use flashsale_core::event::{DeadLetters, EventSink, EventSource, Outbox};
use flashsale_core::memory::{MemoryLedger, MemoryRoomStore, MemoryStockGate};
use flashsale_core::notice::Quiet;
use flashsale_core::payment::Scripted;
use flashsale_core::queue::Keyring;
use flashsale_core::{Event, FlashSale, Ports, Settings, SystemClock, VolatileLedger};
use flashsale_kafka::{KafkaConfig, KafkaDeadLetters, KafkaEventSource, Topics};
use flashsale_services::{Kafka, KafkaOptions};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer, StreamConsumer};
use rdkafka::message::{Headers, Message};

use bus::{events, open, take_all};

/// Batches of the relay under way at once, times the events of each: what may be in memory, however many facts wait.
const IN_FLIGHT_MAX: usize = 8 * 512;

/// A sink that counts what it has in hand, and how often it failed.
#[derive(Debug)]
struct Counted<S> {
    sink: S,
    in_hand: AtomicUsize,
    most: AtomicUsize,
    failed: tokio::sync::watch::Sender<usize>,
}

impl<S> Counted<S> {
    fn new(sink: S) -> Arc<Self> {
        Arc::new(Self { sink, in_hand: 0.into(), most: 0.into(), failed: tokio::sync::watch::Sender::new(0) })
    }
}

#[async_trait]
impl<S: EventSink> EventSink for Counted<S> {
    async fn publish(&self, events: &[Event]) -> Result<(), BackendError> {
        let now = self.in_hand.fetch_add(events.len(), Ordering::SeqCst) + events.len();
        self.most.fetch_max(now, Ordering::SeqCst);
        let published = self.sink.publish(events).await;
        self.in_hand.fetch_sub(events.len(), Ordering::SeqCst);
        if published.is_err() {
            self.failed.send_modify(|failed| *failed += 1);
        }
        published
    }
}

/// An engine in memory whose bus is Kafka.
fn shop(
    ledger: &MemoryLedger,
    sink: Arc<dyn EventSink>,
    source: Arc<dyn EventSource>,
    dead: Arc<dyn DeadLetters>,
) -> FlashSale {
    let ports = Ports {
        rooms: Arc::new(MemoryRoomStore::new(SystemClock::shared())),
        keys: Keyring::of_random([1, 2, 3, 4]),
        host: TokioHost::shared(),
        gate: Arc::new(MemoryStockGate::new(SystemClock::shared())),
        intake: None,
        ledger: Arc::new(ledger.clone()),
        coupons: Arc::new(ledger.clone()),
        waitlist: Arc::new(ledger.clone()),
        payment: Arc::new(Scripted::approves()),
        outbox: Arc::new(ledger.clone()),
        sink,
        source,
        dead,
        notices: Arc::new(Quiet),
        to_tell: Arc::new(ledger.clone()),
    };
    let settings = Settings { volatile: VolatileLedger::Allowed, consumer_tries: 1, ..Settings::default() };
    FlashSale::new(ports, settings).unwrap()
}

/// Does `work` while these passes run.
async fn beside<T>(workers: flashsale_core::Workers, work: impl Future<Output = T>) -> T {
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let workers = workers.run(async move {
        let _ = stopped.await;
    });
    let work = async {
        let done = work.await;
        let _ = stop.send(());
        done
    };
    tokio::time::timeout(bus::LONG, async { tokio::join!(work, workers).0 }).await.expect("it takes too long")
}

/// G9, and bounds on every queue: an outage costs rows, not memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn facts_wait_in_the_outbox_while_brokers_are_down_and_all_arrive_when_they_are_back() {
    let kafka = Arc::new(Kafka::start(&KafkaOptions::default()));
    let config = bus::topics(&kafka.brokers(), Topics::default().partitions(3)).await;
    let config = config.delivery_timeout(Duration::from_secs(1)).unwrap();
    let (sink, source) = open(&config);
    let sink = Counted::new(sink);
    let ledger = MemoryLedger::new(SystemClock::shared(), 1);
    let shop = shop(&ledger, sink.clone(), Arc::new(source.clone()), Arc::new(ledger.clone()));
    let all = events(100, 200);
    assert_eq!(all.len(), 20_000);
    kafka.kill9(0);
    beside(shop.workers().only(&[Work::Relay]), async {
        let mut failed = sink.failed.subscribe();
        for part in all.chunks(1_000) {
            ledger.put(part).await.unwrap();
        }
        // Every batch that fits is under way, and has failed more than once.
        failed.wait_for(|failed| *failed >= 3 * IN_FLIGHT_MAX / 512).await.unwrap();
        assert_eq!(ledger.unsent(None, usize::MAX).await.unwrap().len(), all.len(), "no row is cleared");
        assert!(sink.most.load(Ordering::SeqCst) <= IN_FLIGHT_MAX, "{sink:?}");
        let back = kafka.clone();
        tokio::task::spawn_blocking(move || back.restart(0)).await.unwrap();
        source.join("saga");
        take_all(&source, "saga", &all).await;
        while !ledger.unsent(None, 1).await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(sink.most.load(Ordering::SeqCst) <= IN_FLIGHT_MAX, "{sink:?}");
}

/// Reasons and consumers of the letters on the topic of an event.
async fn on_topic(config: &KafkaConfig, topic: &str) -> (String, String) {
    let topic = config.dead_topic(topic);
    let mut settings = ClientConfig::new();
    settings.set("bootstrap.servers", bus::brokers()).set("group.id", format!("reader-of-{topic}"));
    let reader: StreamConsumer = settings.set("auto.offset.reset", "earliest").create().unwrap();
    reader.subscribe(&[&topic]).unwrap();
    let record = tokio::time::timeout(bus::LONG, reader.recv()).await.expect("a letter").unwrap();
    let text = |name: &str| {
        let header = record.headers().unwrap().iter().find(|header| header.key == name).expect(name);
        String::from_utf8(header.value.unwrap().to_vec()).unwrap()
    };
    (text("dead_consumer"), text("dead_reason"))
}

/// G9: set aside on the topic and in the table, replayed by a person, one effect.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_fails_is_a_letter_on_topic_and_table_and_its_replay_has_one_effect() {
    let config = bus::fresh().await;
    let (sink, source) = open(&config);
    let ledger = MemoryLedger::new(SystemClock::shared(), 1);
    let dead = Arc::new(KafkaDeadLetters::over(Arc::new(ledger.clone()), &config, &sink));
    let shop = shop(&ledger, Arc::new(sink), Arc::new(source), dead);
    let all = events(4, 2);
    let (poison, broken) = (all[1].id(), Arc::new(AtomicBool::new(true)));
    let mails: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let calls: Arc<AtomicUsize> = Arc::default();
    let handler = (poison.clone(), broken.clone(), mails.clone(), calls.clone());
    shop.events.on("mailer", move |event: Event| {
        let (poison, broken, mails, calls) = &handler;
        let fails = event.id() == *poison && broken.load(Ordering::SeqCst);
        if event.id() == *poison && !fails {
            calls.fetch_add(1, Ordering::SeqCst);
        }
        if !fails {
            mails.lock().unwrap().insert(event.id());
        }
        async move { if fails { Err("no address") } else { Ok(()) } }
    });
    beside(shop.workers().only(&[Work::Relay, Work::Handlers]), async {
        ledger.put(&all).await.unwrap();
        loop {
            let mailed = mails.lock().unwrap().len();
            if mailed == all.len() - 1 && !ledger.letters(9).await.unwrap().is_empty() {
                break;
            }
            tokio::task::yield_now().await;
        }
        assert_eq!(on_topic(&config, "payments").await, ("mailer".to_owned(), "no address".to_owned()));
        let open = shop.dead_letters().open(9).await.unwrap();
        let [letter] = &open[..] else { panic!("one letter, not {open:?}") };
        assert_eq!((letter.event.id(), letter.tries), (poison.clone(), 1));
        broken.store(false, Ordering::SeqCst);
        let name = letter.name();
        let (one, two) = tokio::join!(shop.dead_letters().replay(&name), shop.dead_letters().replay(&name));
        let mut dealt = [one.unwrap(), two.unwrap()];
        dealt.sort_by_key(|dealt| *dealt == Dealt::Before);
        assert_eq!(dealt, [Dealt::Now, Dealt::Before]);
    })
    .await;
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    assert_eq!(mails.lock().unwrap().len(), all.len());
    assert!(ledger.letters(9).await.unwrap().is_empty());
}

/// A process that has the code of a group and does not run it must not be given its partitions.
#[tokio::test]
async fn a_group_that_a_process_does_not_work_on_keeps_no_partition_of_it() {
    let config = bus::fresh().await;
    let (sink, idle) = open(&config);
    idle.join("saga");
    idle.rewind("saga").await.unwrap();
    idle.commit("saga", 1).await.unwrap();
    let all = events(30, 3);
    sink.publish(&all).await.unwrap();
    let works = KafkaEventSource::open(&config).unwrap();
    works.join("saga");
    assert_eq!(take_all(&works, "saga", &all).await, all.len());
    let observer: BaseConsumer = ClientConfig::new().set("bootstrap.servers", bus::brokers()).create().unwrap();
    // A group is named as a topic would be.
    let groups = observer.fetch_group_list(Some(&config.topic("saga")), bus::LONG).unwrap();
    let members: Vec<usize> = groups.groups().iter().map(|group| group.members().len()).collect();
    assert_eq!(members, [1], "who does not work is no member");
    // It may begin any time: what is new comes to one of both.
    drop(works);
    sink.publish(&events(1, 4)[3..]).await.unwrap();
    assert_eq!(take_all(&idle, "saga", &events(1, 4)[3..]).await, 1);
}
