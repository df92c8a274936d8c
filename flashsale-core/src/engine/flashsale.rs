//! `FlashSale`: all nouns over all ports.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::config::{ConfigError, Settings, VolatileLedger};
use crate::engine::coupons::Coupons;
use crate::engine::drive::Driver;
use crate::engine::handler::{Consumer, Failed, SagaConsumer};
use crate::engine::host::TokioHost;
use crate::engine::letters::{Consumers, Letters};
use crate::engine::notices::{Desk, NoticesConsumer};
use crate::engine::orders::Orders;
use crate::engine::pass;
use crate::engine::rooms::Rooms;
use crate::engine::stock::{Drained, Stock};
use crate::engine::turns::TurnsConsumer;
use crate::engine::waitlist::{Paid, Waitlist};
use crate::engine::workers::{Board, PassReport, Workers};
use crate::event::{Event, Fact, InProcess};
use crate::memory::{MemoryLedger, MemoryRoomStore, MemoryStockGate};
use crate::notice::Quiet;
use crate::payment::PaymentGateway;
use crate::ports::Ports;
use crate::queue::Keyring;
use crate::stock::StockLedger;
use crate::time::SystemClock;

/// The full system. A clone is the same one.
#[derive(Debug, Clone)]
pub struct FlashSale {
    /// Waiting rooms. A sale that wants one has a room of its name.
    pub rooms: Rooms,
    /// Units.
    pub stock: Stock,
    /// Orders and their saga.
    pub orders: Orders,
    /// Campaigns and coupons.
    pub coupons: Coupons,
    /// Who waits for what, and their offers.
    pub waitlist: Waitlist,
    /// What happened, for code of the embedder's own.
    pub events: Events,
    ports: Ports,
    letters: Letters,
    desk: Desk,
    driver: Driver,
    board: Board,
}

impl FlashSale {
    /// All of it over these ports.
    ///
    /// # Errors
    /// [`ConfigError::Bound`], [`ConfigError::Volatile`], [`ConfigError::VolatileLog`], in this order.
    pub fn new(ports: Ports, settings: Settings) -> Result<Self, ConfigError> {
        let ledger: Arc<dyn StockLedger> = ports.ledger.clone();
        let (gate, log) = (Some(ports.gate.clone()), ports.intake.clone());
        let stock = Stock::with_log(ports.host.clone(), gate, ledger, log, settings)?;
        let driver = Driver::new(ports.ledger.clone(), stock.lanes().clone());
        let orders = Orders::new(stock.clone(), driver.clone(), ports.outbox.clone());
        let waitlist = Waitlist::over(stock.clone(), ports.waitlist.clone(), driver.clone(), Paid::BySaga);
        let coupons = Coupons::new(stock.clone(), ports.coupons.clone()).telling(ports.outbox.clone());
        let rooms =
            Rooms::new(ports.host.clone(), ports.rooms.clone(), ports.keys.clone()).telling(ports.outbox.clone());
        ports.source.join(SagaConsumer::GROUP);
        ports.source.join(pass::Charge::GROUP);
        ports.source.join(NoticesConsumer::GROUP);
        ports.source.join(TurnsConsumer::GROUP);
        let desk = Desk {
            street: stock.lanes().street.clone(),
            notifier: ports.notices.clone(),
            to_tell: ports.to_tell.clone(),
            outbox: ports.outbox.clone(),
            // Whoever makes offers is told here when their notices are out.
            told: Arc::new(waitlist.clone()),
            kept: Arc::default(),
        };
        let saga: Arc<dyn Consumer> = Arc::new(SagaConsumer::new(driver.clone(), ports.payment.clone()));
        let notices: Arc<dyn Consumer> = Arc::new(NoticesConsumer(desk.clone()));
        let turns: Arc<dyn Consumer> = Arc::new(TurnsConsumer::new(rooms.clone()));
        let consumers: Consumers = Arc::new(Mutex::new(vec![saga, notices, turns]));
        let events = Events { consumers: consumers.clone(), ports: ports.clone() };
        let letters = Letters::new(ports.dead.clone(), consumers);
        let board = Board::default();
        Ok(Self { rooms, stock, orders, coupons, waitlist, events, ports, letters, desk, driver, board })
    }

    /// All of it in memory, on tokio: for tests and a first look. It forgets at a crash, and says so.
    #[must_use]
    pub fn in_memory(payment: impl PaymentGateway + 'static) -> Self {
        tracing::warn!("this shop is volatile: it forgets everything when the process ends");
        let host = TokioHost::shared();
        let ledger = MemoryLedger::new(SystemClock::shared(), host.random());
        let bus = InProcess::default();
        let ports = Ports {
            rooms: Arc::new(MemoryRoomStore::new(SystemClock::shared())),
            keys: Keyring::of_random(std::array::from_fn(|_| host.random())),
            host,
            gate: Arc::new(MemoryStockGate::new(SystemClock::shared())),
            intake: None,
            ledger: Arc::new(ledger.clone()),
            coupons: Arc::new(ledger.clone()),
            waitlist: Arc::new(ledger.clone()),
            payment: Arc::new(payment),
            outbox: Arc::new(ledger.clone()),
            sink: Arc::new(bus.clone()),
            source: Arc::new(bus),
            dead: Arc::new(ledger.clone()),
            notices: Arc::new(Quiet),
            to_tell: Arc::new(ledger),
        };
        let settings = Settings { volatile: VolatileLedger::Allowed, ..Settings::default() };
        Self::new(ports, settings).expect("the default settings are within their bounds")
    }

    /// All passes, as one future for the embedder to run. Any number of nodes may run them, or [some of them](Workers::only) each.
    ///
    /// Handlers added by [`Events::on`] after this call are not among them.
    #[must_use]
    pub fn workers(&self) -> Workers {
        let (street, ports) = (&self.stock.lanes().street, &self.ports);
        let consume = |consumer: Arc<dyn Consumer>| pass::Consume {
            street: street.clone(),
            source: ports.source.clone(),
            dead: ports.dead.clone(),
            consumer,
        };
        let mut workers = Workers::new(ports.host.clone())
            .on_board(&self.board)
            .with(self.rooms.pass().before(self.stock.clone()))
            .with(pass::Follow::new(self.stock.lanes().clone()))
            .with(pass::Relay::new(street.clone(), ports.outbox.clone(), ports.sink.clone()))
            .with(pass::Charge {
                street: street.clone(),
                source: ports.source.clone(),
                outbox: ports.outbox.clone(),
                payment: ports.payment.clone(),
            })
            .with(pass::Recover {
                street: street.clone(),
                driver: self.driver.clone(),
                payment: ports.payment.clone(),
                outbox: ports.outbox.clone(),
            })
            .with(pass::Notify(self.desk.clone()))
            .with(self.waitlist.offering())
            .with(pass::Prune { street: street.clone(), outbox: ports.outbox.clone() });
        if let Some(log) = &ports.intake {
            workers = workers.with(pass::Intake { lanes: self.stock.lanes().clone(), log: log.clone() });
        }
        for consumer in self.events.consumers.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            workers = workers.with(consume(consumer.clone()));
        }
        workers
    }

    /// What consumers gave up on, for a person to replay or discard.
    #[must_use]
    pub fn dead_letters(&self) -> &Letters {
        &self.letters
    }

    /// Waits until nothing is on its way, or for `most`. Stop taking requests first, and stop the workers after.
    pub async fn drain(&self, most: Duration) -> Drained {
        self.stock.drain(most).await
    }

    /// What each pass last did.
    #[must_use]
    pub fn reports(&self) -> BTreeMap<String, PassReport> {
        self.board.all()
    }
}

/// Where code of the embedder's own learns what happened. A clone is the same one.
#[derive(Clone)]
pub struct Events {
    consumers: Consumers,
    ports: Ports,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let consumers = self.consumers.lock().unwrap_or_else(PoisonError::into_inner);
        f.debug_list().entries(consumers.iter().map(|consumer| consumer.group().to_owned())).finish()
    }
}

impl Events {
    /// Calls `handle` for every event, at least once, with a stable [`Event::id`] and numbered per subject ([`Event::version`]). Errors are tried again; after
    /// [`Settings::consumer_tries`] the event is a dead letter of `group`.
    ///
    /// Call it before [`FlashSale::workers`].
    pub fn on<F, T, E>(&self, group: &str, handle: F)
    where
        F: Fn(Event) -> T + Send + Sync + 'static,
        T: Future<Output = Result<(), E>> + Send,
        E: std::fmt::Display,
    {
        self.ports.source.join(group);
        let consumer = Handler { group: group.to_owned(), handle };
        self.consumers.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::new(consumer));
    }
}

/// A closure as a consumer.
struct Handler<F> {
    group: String,
    handle: F,
}

#[async_trait]
impl<F, T, E> Consumer for Handler<F>
where
    F: Fn(Event) -> T + Send + Sync,
    T: Future<Output = Result<(), E>> + Send,
    E: std::fmt::Display,
{
    fn group(&self) -> &str {
        &self.group
    }

    fn wants(&self, _: &Fact) -> bool {
        true
    }

    async fn handle(&self, events: &[Event]) -> Result<(), Failed> {
        for event in events {
            let handled = (self.handle)(event.clone()).await.map_err(|error| error.to_string());
            handled.map_err(Failed::Refused)?;
        }
        Ok(())
    }
}
