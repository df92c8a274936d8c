//! Order, payment and notices in processes of their own, over a real Kafka and a real PostgreSQL: the same handlers as in one process.
//!
//! A process here is an engine of its own, with its own connections; killed, it stops wherever it is.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use flashsale_core::engine::{TokioHost, WalletGateway, Work};
use flashsale_core::event::{EventSource, TOPICS};
use flashsale_core::memory::{MemoryRoomStore, MemoryStockGate};
use flashsale_core::notice::Quiet;
use flashsale_core::order::OrderState;
use flashsale_core::payment::{WalletAct, WalletLedger};
use flashsale_core::queue::Keyring;
use flashsale_core::{
    BuyerId, Event, FlashSale, Item, Key, Method, OrderId, Ports, Purchase, Sale, SaleId, Settings, SystemClock,
    TraceParent, Wallet, won,
};
use flashsale_kafka::{KafkaConfig, KafkaDeadLetters, KafkaEventSink, KafkaEventSource, Topics};
use flashsale_services::{Kafka, KafkaOptions, Postgres, PostgresOptions};
use flashsale_sql::PostgresLedger;
use tokio::task::JoinHandle;

static BROKER: LazyLock<Kafka> = LazyLock::new(|| Kafka::start(&KafkaOptions::default()));

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(120);
const PRICE: u64 = 100;

/// What processes share: a database, and topics of their own.
struct Street {
    database: Postgres,
    kafka: KafkaConfig,
    mails: Arc<Mutex<BTreeSet<String>>>,
}

impl Street {
    async fn open(prefix: &str) -> Self {
        let database = Postgres::start(&PostgresOptions::default());
        let kafka = KafkaConfig::new(BROKER.brokers()).and_then(|kafka| kafka.prefix(prefix)).unwrap();
        let kafka = kafka.delivery_timeout(Duration::from_secs(10)).unwrap();
        Topics::default().partitions(3).create(&kafka).await.unwrap();
        let ledger = PostgresLedger::open(&database.url()).await.unwrap();
        ledger.close().await;
        Self { database, kafka, mails: Arc::default() }
    }

    fn count(&self, text: &str) -> i64 {
        self.database.sql(text).unwrap().trim().parse().unwrap()
    }

    fn confirmed(&self) -> i64 {
        self.count("SELECT COUNT(*) FROM orders WHERE state = 'confirmed'")
    }

    /// Starts a process that does this work.
    async fn start(&self, work: &'static [Work]) -> Process {
        let ledger = PostgresLedger::open(&self.database.url()).await.unwrap();
        let ledger = Arc::new(ledger);
        let host = TokioHost::shared();
        let (sink, source) = (KafkaEventSink::open(&self.kafka).unwrap(), KafkaEventSource::open(&self.kafka).unwrap());
        let rows: Arc<dyn WalletLedger> = ledger.clone();
        let dead = KafkaDeadLetters::over(ledger.clone(), &self.kafka, &sink);
        let ports = Ports {
            rooms: Arc::new(MemoryRoomStore::new(SystemClock::shared())),
            keys: Keyring::of_random([1, 2, 3, 4]),
            host: host.clone(),
            gate: Arc::new(MemoryStockGate::new(SystemClock::shared())),
            intake: None,
            ledger: ledger.clone(),
            coupons: ledger.clone(),
            waitlist: ledger.clone(),
            payment: Arc::new(WalletGateway::new(&host, &rows, &BuyerId::new("seller").unwrap())),
            outbox: ledger.clone(),
            sink: Arc::new(sink),
            source: Arc::new(source),
            dead: Arc::new(dead),
            notices: Arc::new(Quiet),
            to_tell: ledger.clone(),
        };
        let shop = FlashSale::new(ports, Settings::default()).unwrap();
        let mails = self.mails.clone();
        shop.events.on("mailer", move |event: Event| {
            if event.fact.kind() == "order.confirmed" {
                mails.lock().unwrap().insert(event.subject);
            }
            async { Ok::<(), String>(()) }
        });
        let running = tokio::spawn(shop.workers().only(work).run(std::future::pending()));
        Process { wallet: Wallet::new(host, rows), shop, ledger, running }
    }

    /// Waits for the last fact and the last money, then asks what must hold: so many paid, all else given back, each fact once, nothing set
    /// aside.
    async fn settled(&self, paid: i64) {
        let seller = "SELECT COALESCE(SUM(balance), 0) FROM wallet WHERE member = 'seller'";
        let due = paid * i64::try_from(PRICE).unwrap();
        until("the money", || self.count(seller) >= due).await;
        until("the relay", || self.count("SELECT COUNT(*) FROM outbox WHERE sent = 0") == 0).await;
        for (text, expected) in [
            ("SELECT COUNT(*) FROM orders WHERE state = 'confirmed'", paid),
            ("SELECT COUNT(*) FROM orders WHERE state NOT IN ('confirmed', 'cancelled')", 0),
            ("SELECT SUM(allocated) FROM item", paid),
            (seller, due),
            ("SELECT COUNT(*) FROM wallet WHERE balance NOT IN (0, 900) AND member <> 'seller'", 0),
            ("SELECT COUNT(*) FROM dead_letter", 0),
            ("SELECT COUNT(*) FROM (SELECT 1 FROM outbox GROUP BY subject, version, kind HAVING COUNT(*) > 1) t", 0),
        ] {
            assert_eq!(self.count(text), expected, "{text}");
        }
    }
}

struct Process {
    shop: FlashSale,
    wallet: Wallet,
    ledger: Arc<PostgresLedger>,
    running: JoinHandle<()>,
}

impl Process {
    /// Stops it wherever it is: what it has begun is not finished, what it was delivered is not kept.
    async fn kill(self) {
        self.running.abort();
        let _ = self.running.await;
        self.ledger.close().await;
        let shop = self.shop;
        // It leaves its groups, and waits for that.
        tokio::task::spawn_blocking(move || drop(shop)).await.unwrap();
    }

    async fn rich(&self, buyer: &str) {
        let charge = WalletAct::Charge { amount: won(1_000) };
        self.wallet.act(&BuyerId::new(buyer).unwrap(), &Key::new("in").unwrap(), charge).await.unwrap();
    }

    async fn open(&self, units: u64) {
        let item = Item::named("sneaker").unwrap().units(units).unwrap().price(won(PRICE)).per_buyer(1).unwrap();
        self.shop.stock.open(&Sale::named("drop").unwrap().item(item)).await.unwrap();
    }

    async fn buys(&self, buyer: &str, trace: Option<TraceParent>) -> OrderId {
        let (sale, who) = (SaleId::new("drop").unwrap(), BuyerId::new(buyer).unwrap());
        let mut purchase = Purchase::of(&sale, &who, Key::new("k-1").unwrap()).line("sneaker", 1).unwrap();
        purchase = purchase.method(Method::new("wallet").unwrap());
        purchase.trace = trace;
        self.shop.orders.place(&purchase).await.unwrap();
        purchase.id()
    }
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let wait = async {
        while !done() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, wait).await.unwrap_or_else(|_| panic!("{what} does not come"));
}

const FRONT: &[Work] = &[Work::Follow, Work::Relay];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purchase_goes_from_process_to_process_to_its_end_with_its_trace() {
    let street = Street::open("one").await;
    let front = street.start(FRONT).await;
    let saga = street.start(&[Work::Saga]).await;
    let payment = street.start(&[Work::Charge]).await;
    let mail = street.start(&[Work::Handlers]).await;
    front.open(2).await;
    front.rich("ann").await;
    let trace: TraceParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().unwrap();
    let (ann, bob) = (front.buys("ann", Some(trace)).await, front.buys("bob", None).await);
    until("the end of both", || {
        street.confirmed() == 1 && street.count("SELECT COUNT(*) FROM orders WHERE state = 'cancelled'") == 1
    })
    .await;
    let history = front.shop.orders.history(&ann).await.unwrap();
    let mut told: Vec<_> = history.iter().map(|event| (event.fact.kind(), event.trace)).collect();
    told.sort_by_key(|(kind, _)| *kind);
    let all = ["order.accepted", "order.confirmed", "order.payment_requested", "payment.approved"];
    assert_eq!(told, all.map(|kind| (kind, Some(trace))));
    // Bob has no money: his unit is back in the same transaction, and for sale again in the process that sells.
    let (order, _) = front.shop.orders.load(&bob).await.unwrap();
    assert_eq!(order.unwrap().state, OrderState::Cancelled);
    front.rich("cid").await;
    let sold = async {
        loop {
            let level = front.shop.stock.level(&SaleId::new("drop").unwrap()).await.unwrap().unwrap();
            if level.items.iter().any(|(_, free, held)| free > held) {
                return front.buys("cid", None).await;
            }
        }
    };
    tokio::time::timeout(LONG, sold).await.expect("the unit comes back");
    until("the mails", || street.mails.lock().unwrap().len() == 2).await;
    street.settled(2).await;
    // Each did its own work, and nothing else.
    for (process, passes) in
        [(&saga, &["consume:order"][..]), (&payment, &["charge"][..]), (&mail, &["consume:mailer"][..])]
    {
        assert_eq!(process.shop.reports().into_keys().collect::<Vec<_>>(), passes);
    }
    for process in [front, saga, payment, mail] {
        process.kill().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_starts_late_or_is_killed_loses_nothing_and_doubles_nothing() {
    const BUYERS: i64 = 60;
    let street = Street::open("many").await;
    let front = street.start(FRONT).await;
    front.open(BUYERS.unsigned_abs()).await;
    // Every third has no money.
    for n in 0..BUYERS {
        if n % 3 != 0 {
            front.rich(&format!("b{n}")).await;
        }
        front.buys(&format!("b{n}"), None).await;
    }
    assert_eq!(street.count("SELECT COUNT(*) FROM orders WHERE state = 'accepted'"), BUYERS);
    // Late: their turn to pay is on the topics already, and nobody has asked for money yet.
    let saga = street.start(&[Work::Saga]).await;
    until("turns to pay", || street.count("SELECT COUNT(*) FROM orders WHERE state = 'paying'") > 0).await;
    let payment = street.start(&[Work::Charge]).await;
    until("the first", || street.confirmed() >= 5).await;
    payment.kill().await;
    let payment = street.start(&[Work::Charge]).await;
    saga.kill().await;
    let saga = street.start(&[Work::Saga]).await;
    until("half", || street.confirmed() >= BUYERS / 3).await;
    front.kill().await;
    let front = street.start(FRONT).await;
    let open = "SELECT COUNT(*) FROM orders WHERE state NOT IN ('confirmed', 'cancelled')";
    until("the end of all", || street.count(open) == 0).await;
    street.settled(BUYERS * 2 / 3).await;
    for process in [front, saga, payment] {
        process.kill().await;
    }
    // Whoever comes later finds every fact on the topics.
    let late = KafkaEventSource::open(&street.kafka).unwrap().topics("late", TOPICS);
    late.join("late");
    let mut missing: BTreeSet<String> = (0..BUYERS).map(|n| format!("b{n}~k-1/1/order.accepted")).collect();
    let read = async {
        while !missing.is_empty() {
            let delivery = late.poll("late", 500).await.unwrap();
            delivery.events.iter().for_each(|event| {
                missing.remove(&event.id());
            });
            late.commit("late", delivery.position).await.unwrap();
        }
    };
    tokio::time::timeout(LONG, read).await.expect("all facts");
}

/// Hole 20: a row gets its number before its transaction commits, and others with larger ones may be sent by then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_commits_late_is_not_skipped() {
    let street = Street::open("late").await;
    let front = street.start(&[Work::Relay]).await;
    let pool = sqlx::PgPool::connect(&street.database.url()).await.unwrap();
    let mut open = pool.begin().await.unwrap();
    let late = "INSERT INTO outbox (at, subject, version, kind, topic, fact) VALUES (5, 'zoe~k-1', 1, 'payment.unknown', 'payments', \
                '{\"kind\":\"payment.unknown\",\"data\":{\"order\":\"zoe~k-1\",\"attempt\":1}}')";
    sqlx::query(late).execute(&mut *open).await.unwrap();
    front.open(3).await;
    until("those behind it", || street.count("SELECT COUNT(*) FROM outbox WHERE sent = 1") == 2).await;
    open.commit().await.unwrap();
    until("the late one", || street.count("SELECT COUNT(*) FROM outbox WHERE sent = 1") == 3).await;
    let behind = "SELECT COUNT(*) FROM outbox WHERE no > (SELECT no FROM outbox WHERE subject = 'zoe~k-1')";
    assert_eq!(street.count(behind), 2, "it was before those that were sent");
    let source = KafkaEventSource::open(&street.kafka).unwrap();
    source.join("reader");
    let read = async {
        loop {
            let delivery = source.poll("reader", 10).await.unwrap();
            if delivery.events.iter().any(|event| event.subject == "zoe~k-1") {
                return;
            }
        }
    };
    tokio::time::timeout(LONG, read).await.expect("it is on its topic");
    front.kill().await;
}
