//! What is told is on the disk: settings, migrations, crashes, futures that are dropped.
#![cfg(feature = "sqlite")]

mod shared;

use std::pin::pin;
use std::time::Duration;

use flashsale_core::error::ErrorKind;
use flashsale_core::stock::StockLedger;
use flashsale_sql::SqliteLedger;
use shared::{Place, accepted, batch, buys, one, sale, sale_id, states};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};

fn options(place: &Place) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(place.file())
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
}

async fn pool(options: SqliteConnectOptions) -> SqlitePool {
    SqlitePoolOptions::new().max_connections(2).connect_with(options).await.expect("a pool")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migrations_of_the_embedder_stand_beside_ours() {
    let place = Place::new();
    let pool = pool(options(&place)).await;
    sqlx::query("CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, success BOOLEAN)")
        .execute(&pool)
        .await
        .unwrap();
    sqlx::query("INSERT INTO _sqlx_migrations VALUES (20200101, true)").execute(&pool).await.unwrap();
    let ledger = SqliteLedger::new(pool);
    ledger.migrate().await.unwrap();
    ledger.check_migrations().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_are_not_durable_are_refused() {
    type Weaken = fn(SqliteConnectOptions) -> SqliteConnectOptions;
    let weaker: [(Weaken, &str); 4] = [
        (|options| options.synchronous(SqliteSynchronous::Normal), "synchronous"),
        (|options| options.synchronous(SqliteSynchronous::Off), "synchronous"),
        (|options| options.journal_mode(SqliteJournalMode::Delete), "journal_mode"),
        (|options| options.foreign_keys(false), "foreign_keys"),
    ];
    for (weaken, word) in weaker {
        let place = Place::new();
        let ledger = SqliteLedger::new(pool(weaken(options(&place))).await);
        for error in [ledger.migrate().await.unwrap_err(), ledger.check_migrations().await.unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::Misconfigured);
            assert!(error.to_string().contains(word), "{error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_that_makes_weaker_sessions_later_does_not_write() {
    let place = Place::new();
    let pool = pool(options(&place)).await;
    let ledger = SqliteLedger::new(pool.clone());
    ledger.migrate().await.unwrap();
    ledger.open(&sale(5)).await.unwrap().unwrap();
    pool.set_connect_options(options(&place).synchronous(SqliteSynchronous::Normal));
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(pool.acquire().await.unwrap());
    }
    for connection in held {
        connection.close().await.unwrap();
    }
    let error = ledger.accept(&sale_id(), &[one("ann~k")]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
    assert_eq!(place.count("SELECT COUNT(*) FROM orders").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_sessions_are_synchronous_full_where_they_accept() {
    let place = Place::new();
    let (seen, sees) = std::sync::mpsc::channel();
    let ledger = place.ledger().await.enlist(move |tx, _| {
        let seen = seen.clone();
        Box::pin(async move {
            let level: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(&mut *tx).await?;
            let journal: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut *tx).await?;
            seen.send((level, journal))?;
            Ok(())
        })
    });
    ledger.open(&sale(5)).await.unwrap().unwrap();
    ledger.accept(&sale_id(), &[one("ann~k")]).await.unwrap();
    assert_eq!(sees.try_recv().unwrap(), (2, "wal".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_accepted_is_in_the_files_at_once() {
    let place = Place::new();
    let ledger = place.ledger().await;
    ledger.open(&sale(1_000)).await.unwrap().unwrap();
    // Nobody closes anything: the files as they are at this moment are what a crash leaves behind.
    let crashed = Place::new();
    for n in 0..5 {
        ledger.accept(&sale_id(), &batch(n * 50, 50)).await.unwrap();
        for ending in ["db", "db-wal"] {
            std::fs::copy(place.file().with_extension(ending), crashed.file().with_extension(ending)).unwrap();
        }
        let after = crashed.ledger().await;
        let totals = after.totals(&sale_id()).await.unwrap().unwrap();
        let sneaker = totals.items.iter().find(|item| item.item.as_str() == "sneaker").unwrap();
        assert_eq!(sneaker.allocated as usize, (n + 1) * 50);
        let again = after.accept(&sale_id(), &batch(n * 50, 50)).await.unwrap();
        assert_eq!((accepted(&again), again.update), (50, None), "the same answers, nothing written");
        after.close().await;
        for ending in ["db", "db-wal", "db-shm"] {
            std::fs::remove_file(crashed.file().with_extension(ending)).ok();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_that_is_dropped_without_a_word_keeps_what_it_accepted() {
    let place = Place::new();
    let ledger = place.ledger().await;
    ledger.open(&sale(10)).await.unwrap().unwrap();
    ledger.accept(&sale_id(), &batch(0, 7)).await.unwrap();
    drop(ledger);
    let ledger = place.ledger().await;
    let answers = ledger.accept(&sale_id(), &batch(0, 12)).await.unwrap();
    assert_eq!(accepted(&answers), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_future_that_is_dropped_anywhere_tears_nothing() {
    let place = Place::new();
    let ledger = place.ledger().await;
    ledger.open(&sale(1_000)).await.unwrap().unwrap();
    for polls in 0..40 {
        let batch = batch(polls * 3, 3);
        let sale = sale_id();
        let mut accepting = pin!(ledger.accept(&sale, &batch));
        for _ in 0..polls {
            let once = std::future::poll_fn(|cx| std::task::Poll::Ready(accepting.as_mut().poll(cx).is_ready()));
            if once.await {
                break;
            }
            tokio::task::yield_now().await;
            if polls % 2 == 0 {
                // Lets the writer get further between two polls.
                ledger.totals(&sale).await.unwrap();
            }
        }
    }
    // The next one gets the lock, so nothing was left open; and every order is there with its line and its fact, or not at all.
    let last = tokio::time::timeout(Duration::from_secs(20), ledger.accept(&sale_id(), &[one("last~k")])).await;
    assert_eq!(accepted(&last.expect("the lock is free").unwrap()), 1);
    let orders = place.count("SELECT COUNT(*) FROM orders").await;
    assert_eq!(place.count("SELECT COUNT(*) FROM line WHERE live").await, orders);
    assert_eq!(place.count("SELECT COUNT(*) FROM outbox WHERE kind = 'order.accepted'").await, orders);
    assert_eq!(place.count("SELECT allocated FROM item WHERE id = 'sneaker'").await, orders);
    assert_eq!((orders - 1) % 3, 0, "batches are whole");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_are_compared_byte_by_byte() {
    let place = Place::new();
    let ledger = place.ledger().await;
    ledger.open(&sale(10)).await.unwrap().unwrap();
    let answers = ledger.accept(&sale_id(), &[one("A~k"), one("a~k"), one("a~K"), one("a~k")]).await.unwrap();
    assert_eq!(accepted(&answers), 4);
    assert_eq!(place.count("SELECT COUNT(*) FROM orders").await, 3);
    let other = ledger.accept(&sale_id(), &[buys("b~k", &[("Sneaker", 1)])]).await.unwrap();
    assert_eq!(states(&other), [None], "there is no Sneaker, only a sneaker");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_buyer_whose_name_begins_like_another_ones_is_another() {
    let place = Place::new();
    let ledger = place.ledger().await;
    ledger.open(&sale(10)).await.unwrap().unwrap();
    let sneakers = |id| buys(id, &[("sneaker", 2)]);
    let names = [sneakers("ann~k"), sneakers("ann-~k"), sneakers("ann1~k"), sneakers("an~k")];
    for name in names {
        assert_eq!(accepted(&ledger.accept(&sale_id(), &[name]).await.unwrap()), 1);
    }
    // Two per buyer: his own are counted, also those of a claim under his name, and only his.
    let more = ledger.accept(&sale_id(), &[one("ann~other"), one("ann~scope~k"), one("anna~k")]).await.unwrap();
    assert_eq!(accepted(&more), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_that_an_older_copy_does_not_have_are_listed() {
    let (place, copied) = (Place::new(), Place::new());
    let save = || {
        std::fs::copy(place.file(), copied.file()).unwrap();
    };
    let put_back = || {
        // A log of the other life must not be read into it; closed in order, there is none.
        assert!(!place.file().with_extension("db-wal").exists());
        std::fs::copy(copied.file(), place.file()).unwrap();
    };
    shared::lost::lost_orders_are_listed(async || place.ledger().await, save, put_back).await;
}
