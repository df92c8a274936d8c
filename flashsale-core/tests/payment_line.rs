//! The payment line end to end, in memory: orders are charged in the order in which they were accepted, as far as lanes allow.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use flashsale_core::engine::TokioHost;
use flashsale_core::error::BackendError;
use flashsale_core::event::InProcess;
use flashsale_core::memory::{MemoryLedger, MemoryRoomStore, MemoryStockGate};
use flashsale_core::notice::Quiet;
use flashsale_core::order::OrderState;
use flashsale_core::payment::{Capture, Charge, Fenced, Moved, Outcome, PaymentGateway, PaymentKey, Scripted};
use flashsale_core::queue::Keyring;
use flashsale_core::stock::PaymentLine;
use flashsale_core::{
    BuyerId, FlashSale, Item, Key, OrderId, Ports, Purchase, Sale, SaleId, Settings, SystemClock, VolatileLedger, won,
};

/// A gateway that notes whom it was asked for, and lets others go first before it answers.
#[derive(Debug)]
struct Noting {
    inner: Scripted,
    asked: Arc<Mutex<Vec<OrderId>>>,
}

#[async_trait]
impl PaymentGateway for Noting {
    async fn authorize(&self, charge: &Charge) -> Result<Outcome, BackendError> {
        self.asked.lock().unwrap().push(charge.key.order.clone());
        tokio::task::yield_now().await;
        self.inner.authorize(charge).await
    }

    async fn lookup(&self, key: &PaymentKey) -> Result<Option<Outcome>, BackendError> {
        self.inner.lookup(key).await
    }

    async fn cancel(&self, key: &PaymentKey) -> Result<Fenced, BackendError> {
        self.inner.cancel(key).await
    }

    async fn capture(&self, capture: &Capture) -> Result<Moved, BackendError> {
        self.inner.capture(capture).await
    }

    async fn refund(&self, key: &PaymentKey) -> Result<Moved, BackendError> {
        self.inner.refund(key).await
    }
}

const ORDERS: u64 = 120;

/// Sells to many at once, charges in so many lanes; gives the numbers of the line in the order in which they were asked for.
async fn charged_in(payment_lanes: usize) -> Vec<u64> {
    let ledger = MemoryLedger::new(SystemClock::shared(), 1);
    let (bus, asked) = (InProcess::default(), Arc::<Mutex<Vec<OrderId>>>::default());
    let ports = Ports {
        rooms: Arc::new(MemoryRoomStore::new(SystemClock::shared())),
        keys: Keyring::of_random([1, 2, 3, 4]),
        host: TokioHost::shared(),
        gate: Arc::new(MemoryStockGate::new(SystemClock::shared())),
        intake: None,
        ledger: Arc::new(ledger.clone()),
        coupons: Arc::new(ledger.clone()),
        waitlist: Arc::new(ledger.clone()),
        payment: Arc::new(Noting { inner: Scripted::approves(), asked: asked.clone() }),
        outbox: Arc::new(ledger.clone()),
        sink: Arc::new(bus.clone()),
        source: Arc::new(bus),
        dead: Arc::new(ledger.clone()),
        notices: Arc::new(Quiet),
        to_tell: Arc::new(ledger.clone()),
    };
    // Small batches, so that turns are taken in many of them.
    let settings = Settings {
        volatile: VolatileLedger::Allowed,
        payment_lanes,
        events_max: 7,
        accept_max: 5,
        ..Settings::default()
    };
    let shop = FlashSale::new(ports, settings).unwrap();
    let sale = SaleId::new("drop-1").unwrap();
    let item = Item::named("sneaker").unwrap().units(ORDERS).unwrap().price(won(100)).per_buyer(1).unwrap();
    shop.stock.open(&Sale::named("drop-1").unwrap().item(item)).await.unwrap();
    let placed = (0..ORDERS).map(|n| {
        let buyer = BuyerId::new(&format!("b{n}")).unwrap();
        let purchase = Purchase::of(&sale, &buyer, Key::new("k-1").unwrap()).line("sneaker", 1).unwrap();
        let orders = shop.orders.clone();
        async move { orders.place(&purchase).await.unwrap().order }
    });
    let placed = futures_util::future::join_all(placed).await;
    let line = || async { shop.stock.totals(&sale).await.unwrap().unwrap().line };
    assert_eq!(line().await, PaymentLine { issued: ORDERS, served: 0 });
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let workers = shop.workers().run(async move {
        let _ = stopped.await;
    });
    let served = async {
        while line().await.length() > 0 {
            tokio::task::yield_now().await;
        }
        stop.send(()).unwrap();
    };
    tokio::time::timeout(Duration::from_secs(60), async { tokio::join!(workers, served) }).await.unwrap();
    assert_eq!(line().await, PaymentLine { issued: ORDERS, served: ORDERS });
    let orders = ledger.orders();
    assert!(orders.iter().all(|order| order.state == OrderState::Confirmed));
    let asked = asked.lock().unwrap().clone();
    let number = |id: &OrderId| placed.iter().find(|order| order.id == *id).and_then(|order| order.pay_no).unwrap();
    asked.iter().map(number).collect()
}

#[tokio::test]
async fn orders_are_charged_in_the_order_in_which_they_were_accepted() {
    let asked = charged_in(1).await;
    assert_eq!(asked, (1..=ORDERS).collect::<Vec<_>>());
}

#[tokio::test]
async fn lanes_begin_in_order_too() {
    let asked = charged_in(16).await;
    assert_eq!(asked, (1..=ORDERS).collect::<Vec<_>>());
}
