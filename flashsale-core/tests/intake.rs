//! Intake by log, in memory: held, recorded, decided later, once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use flashsale_core::config::ConfigError;
use flashsale_core::engine::{Status, Taken, TakenClaim, TokioHost};
use flashsale_core::error::ErrorKind;
use flashsale_core::event::InProcess;
use flashsale_core::memory::{MemoryIntakeLog, MemoryLedger, MemoryRoomStore, MemoryStockGate};
use flashsale_core::notice::Quiet;
use flashsale_core::order::{IntakeLog, OrderState, Polled, Reason, Recorded, SetAside};
use flashsale_core::payment::Scripted;
use flashsale_core::queue::Keyring;
use flashsale_core::sale::SaleState;
use flashsale_core::stock::{Change, Durability, Epoch, Order};
use flashsale_core::{
    BackendError, BuyerId, Campaign, CouponId, Error, FlashSale, Item, Key, ManualClock, OrderId, Ports, Purchase,
    Sale, SaleId, Settings, Timestamp, VolatileLedger, VolatileLog, won,
};

/// Backends that outlive a node.
struct Town {
    clock: Arc<ManualClock>,
    ledger: MemoryLedger,
    gate: MemoryStockGate,
    log: MemoryIntakeLog,
}

impl Town {
    async fn with(units: u64) -> Self {
        let clock = ManualClock::starting(Timestamp::from_ms(1_000_000));
        let (ledger, gate) = (MemoryLedger::new(clock.clone(), 1), MemoryStockGate::new(clock.clone()));
        let town = Self { clock, ledger, gate, log: MemoryIntakeLog::default() };
        let item = Item::named("hat").unwrap().units(units).unwrap().price(won(10_000));
        town.node().stock.open(&Sale::named("drop").unwrap().item(item)).await.unwrap();
        town
    }

    fn ports(&self, log: Arc<dyn IntakeLog>) -> Ports {
        let bus = InProcess::default();
        Ports {
            rooms: Arc::new(MemoryRoomStore::new(self.clock.clone())),
            keys: Keyring::of_random([1, 2, 3, 4]),
            host: TokioHost::with_clock(self.clock.clone()),
            gate: Arc::new(self.gate.clone()),
            intake: Some(log),
            ledger: Arc::new(self.ledger.clone()),
            coupons: Arc::new(self.ledger.clone()),
            waitlist: Arc::new(self.ledger.clone()),
            payment: Arc::new(Scripted::approves()),
            outbox: Arc::new(self.ledger.clone()),
            sink: Arc::new(bus.clone()),
            source: Arc::new(bus),
            dead: Arc::new(self.ledger.clone()),
            notices: Arc::new(Quiet),
            to_tell: Arc::new(self.ledger.clone()),
        }
    }

    fn node(&self) -> FlashSale {
        self.node_on(Arc::new(self.log.another()))
    }

    fn node_on(&self, log: Arc<dyn IntakeLog>) -> FlashSale {
        let (volatile, volatile_log) = (VolatileLedger::Allowed, VolatileLog::Allowed);
        FlashSale::new(self.ports(log), Settings { volatile, volatile_log, ..Settings::default() }).unwrap()
    }

    /// The gate forgets everything, and is loaded anew by somebody who buys `units`.
    async fn gate_is_lost(&self, shop: &FlashSale, buyer: &str) {
        self.gate.forget_all();
        shop.orders.place(&purchase(buyer, "k-1")).await.unwrap();
    }
}

fn purchase(buyer: &str, key: &str) -> Purchase {
    let (sale, buyer) = (SaleId::new("drop").unwrap(), BuyerId::new(buyer).unwrap());
    Purchase::of(&sale, &buyer, Key::new(key).unwrap()).line("hat", 1).unwrap()
}

fn id(name: &str) -> OrderId {
    OrderId::new(name).unwrap()
}

async fn recorded(shop: &FlashSale, buyer: &str) -> Arc<Recorded> {
    match shop.orders.record(&purchase(buyer, "k-1")).await.unwrap() {
        Taken::Recorded(record) => record,
        Taken::Decided(placed) => panic!("{placed:?} was decided already"),
    }
}

/// Runs the workers beside `work`, until `work` is done.
async fn beside<T>(shop: &FlashSale, work: impl Future<Output = T>) -> T {
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let workers = shop.workers().run(async move {
        let _ = stopped.await;
    });
    let work = async {
        let result = work.await;
        let _ = stop.send(());
        result
    };
    tokio::join!(work, workers).0
}

/// Waits until the ledger has decided a request.
async fn decided(shop: &FlashSale, name: &str) -> Arc<Order> {
    loop {
        if let (Some(Status::Decided(order)), _) = shop.orders.status(&id(name)).await.unwrap() {
            return order;
        }
        tokio::task::yield_now().await;
    }
}

/// Waits until nothing is left in the log.
async fn empty(town: &Town) {
    while town.log.left().0 > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_request_is_held_and_recorded_and_not_accepted_before_the_ledger_has() {
    let town = Town::with(5).await;
    let shop = town.node();
    let record = recorded(&shop, "ann").await;
    assert_eq!((record.id(), record.no().unwrap().0), (&id("ann~k-1"), 1));
    let totals = shop.stock.totals(&record.sale).await.unwrap().unwrap();
    assert_eq!(totals.items[0].allocated, 0, "nothing is allocated");
    assert_eq!(shop.stock.level(&record.sale).await.unwrap().unwrap().holds, 1, "it is held");
    assert_eq!(shop.orders.load(&id("ann~k-1")).await.unwrap().0, None);
    assert_eq!(shop.orders.status(&id("ann~k-1")).await.unwrap().0, Some(Status::Recorded(record)));
    assert_eq!(shop.orders.status(&id("bob~k-1")).await.unwrap().0, None);
    let order = beside(&shop, decided(&shop, "ann~k-1")).await;
    assert!(order.state.holds_units(), "{order:?}");
    let Taken::Decided(placed) = shop.orders.record(&purchase("ann", "k-1")).await.unwrap() else {
        panic!("a repeat is told what was decided")
    };
    assert_eq!(placed.order.id, id("ann~k-1"));
}

#[tokio::test]
async fn what_one_node_recorded_another_shows() {
    let town = Town::with(5).await;
    let (one, two) = (town.node(), town.node());
    // Nobody polls yet: both nodes only watch what the other records.
    let third = town.log.another();
    let _ = tokio::time::timeout(Duration::ZERO, third.poll(1)).await;
    let record = recorded(&one, "ann").await;
    beside(&two, async {
        while two.orders.status(record.id()).await.unwrap().0 != Some(Status::Recorded(record.clone())) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_repeat_of_a_recorded_request_has_the_same_number_and_is_one_order() {
    let town = Town::with(1).await;
    let shop = town.node();
    let first = recorded(&shop, "ann").await;
    assert_eq!(recorded(&shop, "ann").await.no(), first.no());
    let other = shop.orders.record(&purchase("ann", "k-1").line("scarf", 1).unwrap()).await.unwrap_err();
    assert_eq!(other.refusal().unwrap().code(), "unknown_item");
    let other = shop.orders.record(&purchase("ann", "k-1").total(won(1))).await.unwrap_err();
    assert_eq!(other.refusal().unwrap().code(), "key_reused");
    let loser = shop.orders.record(&purchase("bob", "k-1")).await.unwrap_err();
    assert_eq!(loser.refusal().unwrap().code(), "all_held");
    beside(&shop, async {
        decided(&shop, "ann~k-1").await;
        empty(&town).await;
    })
    .await;
    assert_eq!((town.ledger.orders().len(), town.ledger.audit()), (1, vec![]));
}

#[tokio::test]
async fn the_order_of_the_log_is_the_order_of_acceptance() {
    let town = Town::with(3).await;
    let shop = town.node();
    let sample = recorded(&shop, "ann").await;
    // Holds of a gate that is gone: the gate now takes them in the order of the log, whatever their numbers were.
    let record = |(n, buyer): (usize, &str)| {
        let mut record = Recorded::clone(&sample);
        record.accept.id = id(&format!("{buyer}~k-1"));
        record.accept.hold = Some((Epoch(9), flashsale_core::stock::HoldNo(100 - n as u64)));
        record
    };
    let batch: Vec<Recorded> = ["eve", "dan", "cid", "bob"].into_iter().enumerate().map(record).collect();
    town.log.append(&batch).await.unwrap();
    beside(&shop, empty(&town)).await;
    let states: Vec<(String, bool)> =
        town.ledger.orders().iter().map(|order| (order.id.to_string(), order.state.holds_units())).collect();
    let expected = [("ann~k-1", true), ("bob~k-1", false), ("cid~k-1", false), ("dan~k-1", true), ("eve~k-1", true)];
    assert_eq!(states, expected.map(|(name, won)| (name.to_owned(), won)));
}

#[tokio::test]
async fn a_flood_is_accepted_in_batches_as_large_as_a_transaction_may_be() {
    let town = Town::with(2_000).await;
    let shop = town.node();
    let names: Vec<String> = (0..1_200).map(|n| format!("buyer-{n}")).collect();
    futures_util::future::join_all(names.iter().map(|name| recorded(&shop, name))).await;
    beside(&shop, empty(&town)).await;
    let totals = shop.stock.totals(&SaleId::new("drop").unwrap()).await.unwrap().unwrap();
    assert_eq!(totals.items[0].allocated, 1_200);
    // Each accepting transaction is one version, the first is that of the terms.
    assert_eq!(totals.version.v, 1 + 3, "500, 500 and 200");
}

#[tokio::test]
async fn a_hold_that_has_ended_is_reserved_again_and_accepted() {
    let town = Town::with(2).await;
    let shop = town.node();
    recorded(&shop, "ann").await;
    town.gate_is_lost(&shop, "bob").await;
    let order = beside(&shop, decided(&shop, "ann~k-1")).await;
    assert!(order.state.holds_units());
    assert_eq!(order.hold.map(|(epoch, _)| epoch), Some(Epoch(2)), "a hold of the new gate");
}

#[tokio::test]
async fn a_recorded_request_for_which_nothing_is_left_is_refused_for_good() {
    let town = Town::with(1).await;
    let shop = town.node();
    let record = recorded(&shop, "ann").await;
    town.gate_is_lost(&shop, "bob").await;
    assert_eq!(recorded(&shop, "ann").await, record, "until it is decided, a repeat is told that it is recorded");
    let order = beside(&shop, decided(&shop, "ann~k-1")).await;
    assert_eq!((order.state, order.reason, order.ver), (OrderState::Refused, Some(Reason::SoldOut), 1));
    let more = Change::Adjust { item: "hat".parse().unwrap(), by: 5 };
    shop.stock.change(&record.sale, &Key::new("more").unwrap(), &more).await.unwrap();
    for way in [
        shop.orders.record(&purchase("ann", "k-1")).await.map(|_| ()),
        shop.orders.place(&purchase("ann", "k-1")).await.map(|_| ()),
    ] {
        assert_eq!(way.unwrap_err().refusal().unwrap().code(), "sold_out", "the same answer for ever");
    }
}

#[tokio::test]
async fn a_sale_that_ends_before_the_turn_refuses_for_good() {
    let town = Town::with(5).await;
    let shop = town.node();
    let record = recorded(&shop, "ann").await;
    let close = Change::State(SaleState::Closed);
    shop.stock.change(&record.sale, &Key::new("close").unwrap(), &close).await.unwrap();
    let order = beside(&shop, decided(&shop, "ann~k-1")).await;
    assert_eq!((order.state, order.reason), (OrderState::Refused, Some(Reason::Closed)));
}

/// A log with a fault.
#[derive(Debug)]
struct Faulty {
    log: MemoryIntakeLog,
    /// So many appends are done, and their answers lost.
    appends_lost: AtomicU32,
    /// So many commits never arrive.
    commits_lost: AtomicU32,
}

impl Faulty {
    fn over(log: &MemoryIntakeLog, appends_lost: u32, commits_lost: u32) -> Arc<Self> {
        let (appends_lost, commits_lost) = (AtomicU32::new(appends_lost), AtomicU32::new(commits_lost));
        Arc::new(Self { log: log.another(), appends_lost, commits_lost })
    }

    fn loses(of: &AtomicU32) -> bool {
        of.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    }
}

#[async_trait]
impl IntakeLog for Faulty {
    fn durability(&self) -> Durability {
        self.log.durability()
    }
    async fn append(&self, batch: &[Recorded]) -> Result<(), BackendError> {
        self.log.append(batch).await?;
        match Self::loses(&self.appends_lost) {
            true => Err(BackendError::unknown("intake.append", "the answer is lost")),
            false => Ok(()),
        }
    }
    async fn poll(&self, max: usize) -> Result<Polled, BackendError> {
        self.log.poll(max).await
    }
    async fn commit(&self, position: u64) -> Result<(), BackendError> {
        match Self::loses(&self.commits_lost) {
            true => std::future::pending().await,
            false => self.log.commit(position).await,
        }
    }
    async fn rewind(&self) -> Result<(), BackendError> {
        self.log.rewind().await
    }
    async fn watch(&self, max: usize) -> Result<Vec<Recorded>, BackendError> {
        self.log.watch(max).await
    }
    async fn set_aside(&self, records: &[SetAside]) -> Result<(), BackendError> {
        self.log.set_aside(records).await
    }
    async fn recall(&self, max: usize) -> Result<usize, BackendError> {
        self.log.recall(max).await
    }
}

/// Hole 35: a produce whose answer is lost may stand in the log; the repeat stands there again, with the same hold, and is one order.
#[tokio::test]
async fn an_append_whose_answer_was_lost_is_repeated_without_harm() {
    let town = Town::with(5).await;
    let shop = town.node_on(Faulty::over(&town.log, 1, 0));
    let doubtful = shop.orders.record(&purchase("ann", "k-1")).await;
    let Err(Error::Backend(error)) = doubtful else { panic!("{doubtful:?} is not in doubt") };
    assert_eq!(error.kind(), ErrorKind::Unknown);
    let soon = shop.orders.record(&purchase("bob", "k-1")).await;
    assert!(
        matches!(&soon, Err(Error::Backend(e)) if e.kind() == ErrorKind::Unavailable),
        "no hold for what cannot be recorded"
    );
    town.clock.advance(Duration::from_secs(1));
    assert_eq!(recorded(&shop, "ann").await.no().unwrap().0, 1, "the same hold");
    assert_eq!(town.log.left().0, 2, "it stands there twice");
    beside(&shop, empty(&town)).await;
    let orders = town.ledger.orders();
    assert_eq!((orders.len(), &orders[0].id), (1, &id("ann~k-1")));
    assert_eq!(town.ledger.audit(), Vec::<String>::new());
}

#[tokio::test]
async fn a_crash_after_the_decision_and_before_the_place_is_kept_repeats_nothing() {
    let town = Town::with(5).await;
    {
        let shop = town.node_on(Faulty::over(&town.log, 0, u32::MAX));
        recorded(&shop, "ann").await;
        let crash = async {
            let order = decided(&shop, "ann~k-1").await;
            assert!(order.state.holds_units());
        };
        let workers = shop.workers();
        // The workers are dropped where they stand: in the commit.
        futures_util::future::select(std::pin::pin!(crash), std::pin::pin!(workers.run(std::future::pending()))).await;
    }
    assert_eq!(town.log.left().0, 1, "the place was not kept");
    let next = town.node();
    beside(&next, empty(&town)).await;
    let totals = next.stock.totals(&SaleId::new("drop").unwrap()).await.unwrap().unwrap();
    assert_eq!((town.ledger.orders().len(), totals.items[0].allocated), (1, 1));
    assert_eq!(town.ledger.audit(), Vec::<String>::new());
}

#[tokio::test]
async fn a_record_that_cannot_be_decided_holds_nobody_up() {
    let town = Town::with(5).await;
    let shop = town.node();
    let good = recorded(&shop, "ann").await;
    let mut bad = Recorded::clone(&good);
    bad.sale = SaleId::new("nowhere").unwrap();
    bad.accept.id = id("bob~k-1");
    town.log.append(&[bad]).await.unwrap();
    recorded(&shop, "cid").await;
    beside(&shop, empty(&town)).await;
    let names: Vec<String> = town.ledger.orders().iter().map(|order| order.id.to_string()).collect();
    assert_eq!((names, town.log.left().1), (vec!["ann~k-1".to_owned(), "cid~k-1".to_owned()], 1));
}

fn campaign(cap: u64) -> Campaign {
    Campaign::named("plant").unwrap().first(cap).unwrap().takes_off(won(3_000)).from(won(10_000))
}

#[tokio::test]
async fn a_recorded_claim_becomes_one_coupon() {
    let town = Town::with(1).await;
    let shop = town.node();
    shop.coupons.open(&[campaign(1)]).await.unwrap();
    let (ann, key) = (BuyerId::new("ann").unwrap(), Key::new("c-1").unwrap());
    let plant = campaign(1).id;
    let claim = |key: Key| shop.coupons.record(&plant, &ann, key);
    let TakenClaim::Recorded(name, record) = claim(key.clone()).await.unwrap() else { panic!("nobody decided it") };
    assert_eq!(shop.coupons.recorded(&name), Some(record));
    assert_eq!(shop.coupons.coupon(&ann, &name).await.unwrap(), None, "recorded is not issued");
    beside(&shop, empty(&town)).await;
    let coupon = shop.coupons.coupon(&ann, &name).await.unwrap().expect("it is issued");
    let TakenClaim::Claimed(again) = claim(key).await.unwrap() else { panic!("it was decided") };
    assert_eq!(again.coupon, coupon);
    let second = claim(Key::new("c-2").unwrap()).await.unwrap_err();
    assert_eq!(second.refusal().unwrap().code(), "already_claimed");
    let late = shop.coupons.record(&plant, &BuyerId::new("bob").unwrap(), Key::new("c-1").unwrap()).await;
    assert_eq!(late.unwrap_err().refusal().unwrap().code(), "exhausted");
}

/// The job of the field that issues the same coupon every hour: here a recall issues it once, and a second one finds nothing.
#[tokio::test]
async fn a_claim_that_was_set_aside_is_issued_once_when_it_is_recalled() {
    let town = Town::with(1).await;
    let shop = town.node();
    shop.coupons.open(&[campaign(5)]).await.unwrap();
    let ann = BuyerId::new("ann").unwrap();
    let plant = campaign(5).id;
    let claim = || shop.coupons.record(&plant, &ann, Key::new("c-1").unwrap());
    let TakenClaim::Recorded(name, record) = claim().await.unwrap() else { panic!("nobody decided it") };
    // It failed once, and is set aside; meanwhile it is taken up all the same.
    let aside = SetAside { record: Recorded::clone(&record), reason: "a bad day".to_owned(), tries: 5 };
    town.log.set_aside(&[aside.clone(), aside]).await.unwrap();
    beside(&shop, async {
        empty(&town).await;
        assert_eq!(shop.orders.recall(100).await.unwrap(), 2);
        empty(&town).await;
        assert_eq!(shop.orders.recall(100).await.unwrap(), 0);
        assert!(matches!(claim().await.unwrap(), TakenClaim::Claimed(_)));
        empty(&town).await;
    })
    .await;
    let coupons = shop.coupons.list(&ann, None, 10).await.unwrap();
    assert_eq!(coupons.iter().map(|coupon| coupon.id.clone()).collect::<Vec<CouponId>>(), [name]);
    assert_eq!(town.ledger.audit(), Vec::<String>::new());
}

#[tokio::test]
async fn a_log_that_forgets_is_refused_unless_it_is_asked_for_by_name() {
    let town = Town::with(1).await;
    let settings = Settings { volatile: VolatileLedger::Allowed, ..Settings::default() };
    let wired = FlashSale::new(town.ports(Arc::new(town.log.another())), settings);
    assert_eq!(wired.unwrap_err(), ConfigError::VolatileLog);
}

#[tokio::test]
async fn without_a_log_nothing_is_recorded_and_nothing_is_held() {
    let shop = FlashSale::in_memory(Scripted::approves());
    let item = Item::named("hat").unwrap().units(1).unwrap();
    shop.stock.open(&Sale::named("drop").unwrap().item(item)).await.unwrap();
    let refused = shop.orders.record(&purchase("ann", "k-1")).await;
    assert!(matches!(&refused, Err(Error::Backend(e)) if e.kind() == ErrorKind::Misconfigured), "{refused:?}");
    shop.orders.place(&purchase("bob", "k-1")).await.unwrap();
}
