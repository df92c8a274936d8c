//! Batches and the transactions around them: statements, the embedder's own rows, two ledgers on one file.
#![cfg(feature = "sqlite")]

mod shared;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use flashsale_core::Fact;
use flashsale_core::error::ErrorKind;
use flashsale_core::stock::{Accept, OrderState, StockLedger};
use flashsale_sql::SqliteLedger;
use shared::{Place, accepted, batch, buys, one, sale, sale_id, states};
use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};

async fn statements(ledger: &SqliteLedger, batch: &[Accept]) -> u64 {
    let before = ledger.statements_sent();
    ledger.accept(&sale_id(), batch).await.unwrap();
    ledger.statements_sent() - before
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_number_of_statements_does_not_depend_on_the_batch() {
    let place = Place::new();
    let ledger = place.ledger().await;
    ledger.open(&sale(10_000)).await.unwrap().unwrap();
    let single = statements(&ledger, &batch(0, 1)).await;
    assert_eq!(statements(&ledger, &batch(1, 10)).await, single);
    assert_eq!(statements(&ledger, &batch(11, 250)).await, single);
    // Two items, and every second one refused for the limit.
    let mixed: Vec<Accept> =
        (0..250).map(|n| buys(&format!("mixed-{n}~k"), &[("sneaker", 1 + 2 * (n % 2)), ("hat", 1)])).collect();
    assert_eq!(statements(&ledger, &mixed).await, single);
    let refused = place.count("SELECT COUNT(*) FROM orders WHERE state = 'refused'").await;
    assert_eq!(refused, 125);
    // A batch that records nothing reads, and rolls back.
    assert!(statements(&ledger, &mixed).await < single);
}

fn shop_table(place: &Place) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(place.file())
}

async fn with_parcels(place: &Place) -> SqliteLedger {
    let ledger = place.ledger().await;
    let mut theirs = SqliteConnection::connect_with(&shop_table(place)).await.unwrap();
    sqlx::query("CREATE TABLE parcel (order_id TEXT PRIMARY KEY)").execute(&mut theirs).await.unwrap();
    ledger.open(&sale(5)).await.unwrap().unwrap();
    ledger
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn enlisted_rows_commit_with_ours_and_only_for_what_was_accepted() {
    let place = Place::new();
    let ledger = with_parcels(&place).await.enlist(|tx, events| {
        Box::pin(async move {
            for event in events {
                let Fact::OrderAccepted(order) = &event.fact else { continue };
                let insert = sqlx::query("INSERT INTO parcel VALUES (?)").bind(order.order.as_str());
                insert.execute(&mut *tx).await?;
            }
            Ok(())
        })
    });
    let answers = ledger.accept(&sale_id(), &batch(0, 8)).await.unwrap();
    assert_eq!(accepted(&answers), 5);
    assert_eq!(place.count("SELECT COUNT(*) FROM parcel").await, 5);
    // The same again is decided already: nobody is called, nothing collides.
    ledger.accept(&sale_id(), &batch(0, 8)).await.unwrap();
    assert_eq!(
        place.count("SELECT COUNT(*) FROM parcel JOIN orders ON id = order_id WHERE state = 'accepted'").await,
        5
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hook_that_fails_rolls_the_batch_back_and_is_named() {
    let place = Place::new();
    let fails = Arc::new(AtomicBool::new(true));
    let asked = fails.clone();
    let ledger = with_parcels(&place).await.enlist(move |tx, _| {
        let fails = asked.load(Ordering::SeqCst);
        Box::pin(async move {
            sqlx::query("INSERT INTO parcel VALUES ('x')").execute(&mut *tx).await?;
            if fails { Err("the printer is out of paper".into()) } else { Ok(()) }
        })
    });
    let error = ledger.accept(&sale_id(), &[one("ann~k")]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("a_hook_that_fails") && error.to_string().contains("paper"), "{error}");
    assert_eq!(place.count("SELECT (SELECT COUNT(*) FROM parcel) + (SELECT COUNT(*) FROM orders)").await, 0);
    fails.store(false, Ordering::SeqCst);
    assert_eq!(accepted(&ledger.accept(&sale_id(), &[one("ann~k")]).await.unwrap()), 1);
    assert_eq!(place.count("SELECT COUNT(*) FROM parcel").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accepting_in_their_transaction_commits_and_rolls_back_with_it() {
    let place = Place::new();
    let ledger = with_parcels(&place).await;
    let mut theirs = SqliteConnection::connect_with(&shop_table(&place)).await.unwrap();
    for begin in ["BEGIN IMMEDIATE", "BEGIN"] {
        let mut tx = theirs.begin_with(begin).await.unwrap();
        sqlx::query("INSERT INTO parcel VALUES ('theirs')").execute(&mut *tx).await.unwrap();
        let answers = ledger.accept_in(&mut tx, &sale_id(), &[one("ann~k"), one("bob~k")]).await.unwrap();
        assert_eq!(accepted(&answers), 2);
        tx.rollback().await.unwrap();
        assert_eq!(place.count("SELECT (SELECT COUNT(*) FROM parcel) + (SELECT COUNT(*) FROM orders)").await, 0);
    }
    let mut tx = theirs.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let answers = ledger.accept_in(&mut tx, &sale_id(), &[one("ann~k"), one("bob~k")]).await.unwrap();
    sqlx::query("INSERT INTO parcel VALUES ('ann~k')").execute(&mut *tx).await.unwrap();
    assert_eq!(place.count("SELECT COUNT(*) FROM orders").await, 0, "nobody sees it before their commit");
    tx.commit().await.unwrap();
    assert_eq!(place.count("SELECT COUNT(*) FROM parcel JOIN orders ON id = order_id").await, 1);
    assert_eq!(answers.update.unwrap().to.v, 2);
    assert_eq!(states(&ledger.accept(&sale_id(), &[one("bob~k")]).await.unwrap()), [Some(OrderState::Accepted)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_in_their_transaction_undoes_only_our_part() {
    let place = Place::new();
    let ledger = with_parcels(&place).await;
    let mut theirs = SqliteConnection::connect_with(&shop_table(&place)).await.unwrap();
    // A foreign hand keeps the sale's version from being written.
    sqlx::query("CREATE TRIGGER broken BEFORE UPDATE ON sale BEGIN SELECT RAISE(IGNORE); END")
        .execute(&mut theirs)
        .await
        .unwrap();
    let mut tx = theirs.begin_with("BEGIN IMMEDIATE").await.unwrap();
    sqlx::query("INSERT INTO parcel VALUES ('theirs')").execute(&mut *tx).await.unwrap();
    let error = ledger.accept_in(&mut tx, &sale_id(), &[one("ann~k")]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    tx.commit().await.unwrap();
    assert_eq!(place.count("SELECT COUNT(*) FROM parcel").await, 1);
    assert_eq!(place.count("SELECT COUNT(*) FROM orders").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accepting_in_a_session_that_is_not_durable_is_refused() {
    let place = Place::new();
    let ledger = with_parcels(&place).await;
    let weak = shop_table(&place).synchronous(sqlx::sqlite::SqliteSynchronous::Normal);
    let mut theirs = SqliteConnection::connect_with(&weak).await.unwrap();
    let mut tx = theirs.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let error = ledger.accept_in(&mut tx, &sale_id(), &[one("ann~k")]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_ledgers_on_one_file_never_sell_the_last_unit_twice() {
    let place = Place::new();
    let (left, right) = (place.ledger().await, place.ledger().await);
    left.open(&sale(60)).await.unwrap().unwrap();
    let mut tasks = Vec::new();
    for n in 0..20 {
        let ledger = if n % 2 == 0 { left.clone() } else { right.clone() };
        tasks.push(tokio::spawn(async move { ledger.accept(&sale_id(), &batch(n * 5, 5)).await.unwrap() }));
    }
    let mut won = 0;
    for task in tasks {
        won += accepted(&task.await.unwrap());
    }
    assert_eq!(won, 60);
    assert_eq!(place.count("SELECT allocated FROM item WHERE id = 'sneaker'").await, 60);
    assert_eq!(place.count("SELECT SUM(units) FROM line WHERE live").await, 60);
    assert_eq!(place.count("SELECT COUNT(*) FROM orders WHERE state = 'refused'").await, 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_count_that_is_not_as_expected_rolls_the_batch_back() {
    let place = Place::new();
    let ledger = with_parcels(&place).await;
    let mut foreign = SqliteConnection::connect_with(&shop_table(&place)).await.unwrap();
    let broken = "CREATE TRIGGER broken BEFORE UPDATE ON item BEGIN SELECT RAISE(IGNORE); END";
    sqlx::query(broken).execute(&mut foreign).await.unwrap();
    let error = ledger.accept(&sale_id(), &[one("ann~k")]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert_eq!(place.count("SELECT COUNT(*) FROM orders").await, 0);
    sqlx::query("DROP TRIGGER broken").execute(&mut foreign).await.unwrap();
    assert_eq!(accepted(&ledger.accept(&sale_id(), &[one("ann~k")]).await.unwrap()), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_does_not_let_go_is_told_as_unavailable() {
    let place = Place::new();
    let options = SqliteConnectOptions::new().filename(place.file()).busy_timeout(std::time::Duration::from_millis(1));
    place.ledger().await.open(&sale(5)).await.unwrap().unwrap();
    let ledger = SqliteLedger::new(sqlx::SqlitePool::connect_with(options).await.unwrap());
    let mut foreign = SqliteConnection::connect_with(&shop_table(&place)).await.unwrap();
    let held = foreign.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let error = ledger.accept(&sale_id(), &[one("ann~k")]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    held.rollback().await.unwrap();
    assert_eq!(accepted(&ledger.accept(&sale_id(), &[one("ann~k")]).await.unwrap()), 1);
}
