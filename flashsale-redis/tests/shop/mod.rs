//! A sale under way: nodes on one gate and one ledger, buyers who repeat until they know, and the audit at the end.
#![allow(dead_code, reason = "each test file takes what it needs")]

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flashsale_core::config::VolatileLedger;
use flashsale_core::engine::TokioHost;
use flashsale_core::error::BackendError;
use flashsale_core::memory::MemoryLedger;
use flashsale_core::stock::{OrderState, ReserveRefusal, StockGate, StockLedger};
use flashsale_core::{
    BuyerId, Error, Item, Key, OrderId, OrderRefusal, Purchase, Sale, SaleId, Settings, Stock, SystemClock,
};
use flashsale_redis::{RedisBackend, RedisConfig, RedisStockGate};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Longer than anything here takes; a test that waits for it has failed.
const PATIENCE: Duration = Duration::from_secs(120);
const ITEM: &str = "sneaker-42";

/// What a buyer was told in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    Accepted,
    SoldOut,
}

/// Nodes that sell one item of one sale.
pub(crate) struct Shop {
    pub(crate) sale: SaleId,
    pub(crate) ledger: MemoryLedger,
    gates: Vec<RedisStockGate>,
    total: u64,
    nodes: Vec<Node>,
    told: Mutex<BTreeMap<OrderId, Told>>,
    next: AtomicU32,
    finished: AtomicBool,
    sold_out: AtomicU64,
    answers: AtomicU64,
    failures: AtomicU64,
}

struct Node {
    stock: Stock,
    stop: oneshot::Sender<()>,
    workers: JoinHandle<()>,
}

impl Shop {
    /// Opens a sale of `total` units, one per buyer, held for `hold`, on a node per configuration.
    pub(crate) async fn open(configs: &[RedisConfig], total: u64, hold: Duration) -> Arc<Self> {
        static SHOPS: AtomicU32 = AtomicU32::new(0);
        let name = format!("drop-{}", SHOPS.fetch_add(1, Ordering::Relaxed));
        let ledger = MemoryLedger::new(SystemClock::shared(), 1);
        let item = Item::named(ITEM).unwrap().units(total).unwrap();
        let sale = Sale::named(&name).unwrap().item(item).hold(hold);
        ledger.open(&sale).await.expect("open").expect("new");
        let (mut nodes, mut gates) = (Vec::new(), Vec::new());
        for config in configs {
            let gate = RedisBackend::with(config.clone()).await.expect("a connection").gate();
            gates.push(RedisBackend::with(config.clone()).await.expect("a connection").gate());
            let settings = Settings { volatile: VolatileLedger::Allowed, ..Settings::default() };
            let stock = Stock::with(TokioHost::shared(), Some(Arc::new(gate)), Arc::new(ledger.clone()), settings);
            let stock = stock.expect("settings");
            let (stop, stopped) = oneshot::channel();
            let workers = stock.workers();
            let workers = tokio::spawn(workers.run(async {
                let _ = stopped.await;
            }));
            nodes.push(Node { stock, stop, workers });
        }
        let sale = sale.id;
        Arc::new(Self {
            sale,
            ledger,
            gates,
            total,
            nodes,
            told: Mutex::default(),
            next: AtomicU32::new(0),
            finished: AtomicBool::new(false),
            sold_out: AtomicU64::new(0),
            answers: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        })
    }

    /// Final answers so far.
    pub(crate) fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    /// Answers so far that only said to come again.
    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Lets buyers come, `at_once` of them at a time, until [`Shop::finish`] and until all is sold; each repeats his one purchase
    /// until he knows.
    pub(crate) fn sell(self: &Arc<Self>, at_once: usize) -> JoinHandle<()> {
        let shop = self.clone();
        tokio::spawn(async move {
            let lines = (0..at_once).map(|_| async {
                while !shop.finished.load(Ordering::Relaxed) || shop.sold_out.load(Ordering::Relaxed) < 100 {
                    shop.buy(shop.next.fetch_add(1, Ordering::Relaxed)).await;
                }
            });
            within("the sale", futures_util::future::join_all(lines)).await;
        })
    }

    /// Ends the sale once it is sold out.
    pub(crate) fn finish(&self) {
        self.finished.store(true, Ordering::Relaxed);
    }

    async fn buy(&self, n: u32) {
        let buyer = BuyerId::new(&format!("buyer-{n}")).unwrap();
        let purchase = Purchase::of(&self.sale, &buyer, Key::new("k").unwrap()).line(ITEM, 1).unwrap();
        let mut told = self.ask(&purchase, n).await;
        if told == Told::Accepted && n.is_multiple_of(4) {
            // I12: after the first yes no other answer to that id, whatever the gate forgot meanwhile.
            told = self.ask(&purchase, n + 1).await;
            assert_eq!(told, Told::Accepted, "{} was told yes before", purchase.id());
        }
        if told == Told::SoldOut {
            self.sold_out.fetch_add(1, Ordering::Relaxed);
        }
        self.told.lock().unwrap().insert(purchase.id(), told);
        self.answers.fetch_add(1, Ordering::Relaxed);
    }

    /// Asks until the answer is one; another node each time.
    async fn ask(&self, purchase: &Purchase, mut node: u32) -> Told {
        let mut again = tokio::time::interval(Duration::from_millis(10));
        loop {
            again.tick().await;
            node += 1;
            match self.nodes[node as usize % self.nodes.len()].stock.take(purchase).await {
                Ok(placed) if placed.order.state == OrderState::Accepted => return Told::Accepted,
                Ok(placed) => panic!("an order in state {}", placed.order.state.code()),
                Err(Error::Refused(OrderRefusal::Gate(ReserveRefusal::SoldOut { .. }))) => return Told::SoldOut,
                Err(Error::Refused(OrderRefusal::Gate(ReserveRefusal::AllHeld { .. }))) => {}
                Err(Error::Refused(refusal)) => panic!("{}: {refusal}", purchase.id()),
                Err(Error::Backend(error)) => {
                    expect_transient(&error);
                    self.failures.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    /// Waits until `count` more buyers have their answer.
    pub(crate) async fn more_answers(&self, count: u64) {
        let goal = self.answers() + count;
        until("more answers", async || self.answers() >= goal).await;
    }

    /// Waits until the gate shows what the ledger has, holds nothing, and then compares everything with everything.
    pub(crate) async fn audit(&self) {
        until("the gate to come to rest", async || self.at_rest().await).await;
        assert_eq!(self.ledger.audit(), Vec::<String>::new());
        let orders = self.ledger.orders();
        let accepted: Vec<&OrderId> =
            orders.iter().filter(|order| order.state == OrderState::Accepted).map(|order| &order.id).collect();
        assert!(accepted.len() as u64 <= self.total, "oversold");
        let told = self.told.lock().unwrap();
        for id in &accepted {
            assert_eq!(told.get(*id), Some(&Told::Accepted), "{id} has a unit and was not told so");
        }
        let yes = told.values().filter(|told| **told == Told::Accepted).count();
        assert_eq!(yes, accepted.len(), "every yes has its row");
        assert_eq!(yes as u64, self.total, "sold out was told with units left");
        // With every loss noticed, the ledger never has to refuse for want of units (I13).
        let refused = orders.iter().filter(|order| order.state == OrderState::Refused).count();
        assert_eq!(refused, 0, "held orders were refused");
    }

    /// Whether a gate shows what the ledger has. Of two that a split brain left, only one is followed.
    async fn at_rest(&self) -> bool {
        for gate in &self.gates {
            if self.shows_the_ledger(gate).await {
                return true;
            }
        }
        false
    }

    async fn shows_the_ledger(&self, gate: &RedisStockGate) -> bool {
        let Ok(level) = gate.level(&self.sale).await else { return false };
        let totals = self.ledger.totals(&self.sale).await.expect("totals").expect("the sale");
        let (total, allocated) = (totals.items[0].total, totals.items[0].allocated);
        let free = u32::try_from(u64::from(total) - u64::from(allocated)).unwrap();
        level.open
            && level.holds == 0
            && level.version == Some(totals.version)
            && level.items.iter().all(|(_, gate, held)| (*gate, *held) == (free, 0))
    }

    /// Stops the nodes.
    pub(crate) async fn close(self: Arc<Self>) {
        let shop = Arc::try_unwrap(self).ok().expect("everybody has left");
        for node in shop.nodes {
            let _ = node.stop.send(());
            within("the workers to stop", node.workers).await.expect("workers");
        }
    }
}

/// A failure of infrastructure must tell the buyer to come again, never that it is hopeless.
fn expect_transient(error: &BackendError) {
    use flashsale_core::error::ErrorKind;
    let transient = matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Unknown);
    assert!(transient, "{error}");
}

/// Waits for a condition.
pub(crate) async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let mut look = tokio::time::interval(Duration::from_millis(5));
    within(what, async {
        while !condition().await {
            look.tick().await;
        }
    })
    .await;
}

/// Ends, or says what did not.
pub(crate) async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}
