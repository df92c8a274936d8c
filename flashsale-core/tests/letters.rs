//! Dead letters end to end, in memory: given up on, replayed or discarded, once in effect whatever breaks in between.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use flashsale_core::engine::{Dealt, LetterRefusal, TokioHost, Work};
use flashsale_core::error::BackendError;
use flashsale_core::event::{DeadLetter, DeadLetters, InProcess, LetterName, Replay, Why};
use flashsale_core::memory::{MemoryLedger, MemoryRoomStore, MemoryStockGate};
use flashsale_core::notice::Quiet;
use flashsale_core::order::OrderState;
use flashsale_core::payment::Scripted;
use flashsale_core::queue::Keyring;
use flashsale_core::{
    BuyerId, Error, Event, FlashSale, Item, Key, OrderId, Ports, Purchase, Sale, SaleId, Settings, SystemClock,
    Timestamp, VolatileLedger, won,
};

/// Letters of which the next settlement is lost: before it is written, or after.
#[derive(Debug)]
struct Fragile {
    table: MemoryLedger,
    before: AtomicBool,
    after: AtomicBool,
}

#[async_trait]
impl DeadLetters for Fragile {
    async fn bury(&self, letters: &[DeadLetter]) -> Result<(), BackendError> {
        self.table.bury(letters).await
    }

    async fn letters(&self, limit: usize) -> Result<Vec<DeadLetter>, BackendError> {
        self.table.letters(limit).await
    }

    async fn letter(&self, consumer: &str, event: &str) -> Result<Option<(DeadLetter, Option<Replay>)>, BackendError> {
        self.table.letter(consumer, event).await
    }

    async fn settle(&self, consumer: &str, event: &str, how: Replay) -> Result<Option<DeadLetter>, BackendError> {
        if self.before.swap(false, Ordering::SeqCst) {
            return Err(BackendError::unavailable("dead.settle", "it died before"));
        }
        let settled = self.table.settle(consumer, event, how).await;
        if self.after.swap(false, Ordering::SeqCst) {
            return Err(BackendError::unknown("dead.settle", "it died after"));
        }
        settled
    }
}

/// A shop whose handler `mailer` fails for events of these subjects, and what it did.
struct Bench {
    shop: FlashSale,
    table: Arc<Fragile>,
    bad: Arc<Mutex<BTreeSet<String>>>,
    calls: Arc<AtomicU32>,
    mails: Arc<Mutex<BTreeSet<String>>>,
}

async fn bench() -> Bench {
    let ledger = MemoryLedger::new(SystemClock::shared(), 1);
    let bus = InProcess::default();
    let table = Arc::new(Fragile { table: ledger.clone(), before: false.into(), after: false.into() });
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
        sink: Arc::new(bus.clone()),
        source: Arc::new(bus),
        dead: table.clone(),
        notices: Arc::new(Quiet),
        to_tell: Arc::new(ledger.clone()),
    };
    let settings = Settings { volatile: VolatileLedger::Allowed, consumer_tries: 1, ..Settings::default() };
    let shop = FlashSale::new(ports, settings).unwrap();
    let bench = Bench { shop, table, bad: Arc::default(), calls: Arc::default(), mails: Arc::default() };
    let (bad, calls, mails) = (bench.bad.clone(), bench.calls.clone(), bench.mails.clone());
    bench.shop.events.on("mailer", move |event: Event| {
        calls.fetch_add(1, Ordering::SeqCst);
        let fails = bad.lock().unwrap().contains(&event.subject);
        if !fails {
            mails.lock().unwrap().insert(event.id());
        }
        async move { if fails { Err("no address") } else { Ok(()) } }
    });
    let item = Item::named("sneaker").unwrap().units(9).unwrap().price(won(100)).per_buyer(1).unwrap();
    bench.shop.stock.open(&Sale::named("drop-1").unwrap().item(item)).await.unwrap();
    bench
}

fn purchase(buyer: &str) -> Purchase {
    let (sale, buyer) = (SaleId::new("drop-1").unwrap(), BuyerId::new(buyer).unwrap());
    Purchase::of(&sale, &buyer, Key::new("k-1").unwrap()).line("sneaker", 1).unwrap()
}

/// Runs the workers until `done`.
async fn until(shop: &FlashSale, done: impl AsyncFn() -> bool) {
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let workers = shop.workers().run(async move {
        let _ = stopped.await;
    });
    let wait = async {
        while !done().await {
            tokio::task::yield_now().await;
        }
        let _ = stop.send(());
    };
    tokio::join!(wait, workers);
}

async fn state(shop: &FlashSale, id: &OrderId) -> OrderState {
    shop.orders.load(id).await.unwrap().0.expect("an order").state
}

fn name(consumer: &str, event: &str) -> LetterName {
    LetterName { consumer: consumer.to_owned(), event: event.to_owned() }
}

/// A shop with one letter: `mailer` gave up on the acceptance of Ann's order. It was called once in vain.
async fn with_a_letter() -> (Bench, LetterName) {
    let bench = bench().await;
    let ann = purchase("ann");
    bench.bad.lock().unwrap().insert(ann.id().to_string());
    let bob = purchase("bob");
    for purchase in [&ann, &bob] {
        bench.shop.orders.place(purchase).await.unwrap();
    }
    // Bob's mail comes, so a letter stops nobody.
    let (shop, mails) = (&bench.shop, &bench.mails);
    until(shop, async || {
        let mailed = mails.lock().unwrap().contains("bob~k-1/3/order.confirmed");
        mailed && shop.dead_letters().open(10).await.unwrap().len() == 4
    })
    .await;
    bench.bad.lock().unwrap().clear();
    bench.calls.store(0, Ordering::SeqCst);
    (bench, name("mailer", "ann~k-1/1/order.accepted"))
}

fn refusal<T: std::fmt::Debug>(answer: Result<T, Error<LetterRefusal>>) -> LetterRefusal {
    match answer {
        Err(Error::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_replayed_letter_has_its_effect_once_however_often_it_is_asked_for() {
    let (bench, letter) = with_a_letter().await;
    let letters = bench.shop.dead_letters();
    let answers = futures_util::future::join_all((0..5).map(|_| letters.replay(&letter))).await;
    let now = answers.iter().filter(|answer| matches!(answer, Ok(Dealt::Now))).count();
    let before = answers.iter().filter(|answer| matches!(answer, Ok(Dealt::Before))).count();
    assert_eq!((now, before), (1, 4), "{answers:?}");
    assert_eq!(bench.calls.load(Ordering::SeqCst), 1, "the consumer was asked once");
    assert!(bench.mails.lock().unwrap().contains(&letter.event));
    assert_eq!(letters.letter(&letter).await.unwrap().unwrap().1, Some(Replay::Replayed));
    assert_eq!(letters.open(10).await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_crash_between_effect_and_settlement_leaves_the_letter_and_the_next_replay_repeats_nothing() {
    let (bench, letter) = with_a_letter().await;
    let letters = bench.shop.dead_letters();
    bench.table.before.store(true, Ordering::SeqCst);
    assert!(matches!(letters.replay(&letter).await, Err(Error::Backend(_))));
    assert_eq!(letters.letter(&letter).await.unwrap().unwrap().1, None, "it is open");
    assert_eq!(letters.replay(&letter).await.unwrap(), Dealt::Now);
    // The consumer saw the same id twice, as it may of every event; what goes by it did one thing.
    assert_eq!(bench.calls.load(Ordering::SeqCst), 2);
    assert_eq!(bench.mails.lock().unwrap().iter().filter(|id| **id == letter.event).count(), 1);
    // Settled, and the answer lost: a repeat finds it so.
    let next = letters.open(1).await.unwrap()[0].name();
    bench.table.after.store(true, Ordering::SeqCst);
    assert!(matches!(letters.replay(&next).await, Err(Error::Backend(error)) if error.outcome_is_unknown()));
    assert_eq!(letters.replay(&next).await.unwrap(), Dealt::Before);
}

#[tokio::test]
async fn a_letter_of_the_saga_moves_its_order_once() {
    let bench = bench().await;
    let ann = purchase("ann");
    bench.shop.orders.place(&ann).await.unwrap();
    let accepted = bench.shop.orders.history(&ann.id()).await.unwrap().remove(0);
    let letter = DeadLetter {
        consumer: "order".to_owned(),
        reason: "a defect of yesterday".to_owned(),
        tries: 5,
        at: Timestamp::from_ms(1),
        event: accepted,
    };
    bench.table.bury(std::slice::from_ref(&letter)).await.unwrap();
    let letters = bench.shop.dead_letters();
    bench.table.before.store(true, Ordering::SeqCst);
    letters.replay(&letter.name()).await.unwrap_err();
    assert_eq!(state(&bench.shop, &ann.id()).await, OrderState::Paying, "the effect came before");
    assert_eq!(letters.replay(&letter.name()).await.unwrap(), Dealt::Now);
    let (order, _) = bench.shop.orders.load(&ann.id()).await.unwrap();
    assert_eq!(order.unwrap().ver, 2, "moved once");
    let shop = &bench.shop;
    until(shop, async || state(shop, &ann.id()).await == OrderState::Confirmed).await;
    let history = shop.orders.history(&ann.id()).await.unwrap();
    assert_eq!(history.iter().filter(|event| event.fact.kind() == "order.payment_requested").count(), 1);
}

#[tokio::test]
async fn a_letter_that_fails_again_stays_open() {
    let (bench, letter) = with_a_letter().await;
    bench.bad.lock().unwrap().insert("ann~k-1".to_owned());
    let letters = bench.shop.dead_letters();
    let before = letters.letter(&letter).await.unwrap();
    assert_eq!(refusal(letters.replay(&letter).await), LetterRefusal::FailedAgain("no address".to_owned()));
    assert_eq!(letters.letter(&letter).await.unwrap(), before);
    bench.bad.lock().unwrap().clear();
    assert_eq!(letters.replay(&letter).await.unwrap(), Dealt::Now);
}

#[tokio::test]
async fn a_letter_whose_consumer_is_gone_is_kept_for_who_has_it() {
    let (bench, letter) = with_a_letter().await;
    let gone = letters_of(&bench, &letter, "postman").await;
    let letters = bench.shop.dead_letters();
    assert_eq!(refusal(letters.replay(&gone).await), LetterRefusal::ConsumerGone("postman".to_owned()));
    assert_eq!(letters.letter(&gone).await.unwrap().unwrap().1, None);
    bench.shop.events.on("postman", |_| async { Ok::<(), String>(()) });
    assert_eq!(letters.replay(&gone).await.unwrap(), Dealt::Now);
}

/// The same event as a letter of another consumer.
async fn letters_of(bench: &Bench, letter: &LetterName, consumer: &str) -> LetterName {
    let (found, _) = bench.shop.dead_letters().letter(letter).await.unwrap().unwrap();
    let other = DeadLetter { consumer: consumer.to_owned(), ..found };
    bench.table.bury(std::slice::from_ref(&other)).await.unwrap();
    other.name()
}

#[tokio::test]
async fn a_discarded_letter_is_kept_with_its_reason_and_never_replayed() {
    let (bench, letter) = with_a_letter().await;
    let letters = bench.shop.dead_letters();
    let why = Why::new("the buyer was called").unwrap();
    assert_eq!(letters.discard(&letter, why.clone()).await.unwrap(), Dealt::Now);
    assert_eq!(letters.discard(&letter, Why::new("again").unwrap()).await.unwrap(), Dealt::Before);
    let settled = Replay::Discarded(why);
    assert_eq!(letters.letter(&letter).await.unwrap().unwrap().1.as_ref(), Some(&settled), "the first reason stands");
    assert_eq!(refusal(letters.replay(&letter).await), LetterRefusal::Settled(settled));
    let next = letters.open(1).await.unwrap()[0].name();
    letters.replay(&next).await.unwrap();
    let late = letters.discard(&next, Why::new("late").unwrap()).await;
    assert_eq!(refusal(late), LetterRefusal::Settled(Replay::Replayed));
    assert_eq!(bench.calls.load(Ordering::SeqCst), 1);
    for unknown in [name("mailer", "ann~k-1/9/order.accepted"), name("nobody", &letter.event)] {
        assert_eq!(refusal(letters.replay(&unknown).await), LetterRefusal::Unknown);
        assert_eq!(refusal(letters.discard(&unknown, Why::new("x").unwrap()).await), LetterRefusal::Unknown);
    }
}

#[tokio::test]
async fn a_process_without_the_handlers_work_can_replay_its_letters() {
    let (bench, letter) = with_a_letter().await;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let workers = bench.shop.workers().only(&[Work::Follow]).run(async move {
        let _ = stopped.await;
    });
    let replay = async {
        let dealt = bench.shop.dead_letters().replay(&letter).await.unwrap();
        let _ = stop.send(());
        dealt
    };
    assert_eq!(tokio::join!(replay, workers).0, Dealt::Now);
}
