//! Batches and the transactions around them on PostgreSQL and MariaDB: statements, many nodes, the embedder's own rows.

#![cfg(any(feature = "postgres", feature = "mysql"))]

mod audit;
mod servers;
mod shared;

use std::sync::mpsc;

use flashsale_core::Fact;
use flashsale_core::error::ErrorKind;
use flashsale_core::stock::{Accept, StockLedger};
use flashsale_sql::{Backend, SqlLedger};
use servers::{Database, Server, count};
use shared::{accepted, batch, buys, one, sale, sale_id, states};

async fn statements<D: Backend>(ledger: &SqlLedger<D>, batch: &[Accept]) -> u64 {
    let before = ledger.statements_sent();
    ledger.accept(&sale_id(), batch).await.unwrap();
    ledger.statements_sent() - before
}

async fn the_number_of_statements_does_not_depend_on_the_batch<S: Server>() {
    let url = S::shared().place();
    let ledger = S::open(url.clone()).await;
    ledger.open(&sale(10_000)).await.unwrap().unwrap();
    assert_eq!(statements(&ledger, &batch(0, 1)).await, S::STATEMENTS);
    assert_eq!(statements(&ledger, &batch(1, 10)).await, S::STATEMENTS);
    assert_eq!(statements(&ledger, &batch(11, 500)).await, S::STATEMENTS);
    // Two items, and every second one refused for the limit.
    let mixed: Vec<Accept> =
        (0..250).map(|n| buys(&format!("mixed-{n}~k"), &[("sneaker", 1 + 2 * (n % 2)), ("hat", 1)])).collect();
    assert_eq!(statements(&ledger, &mixed).await, S::STATEMENTS);
    assert_eq!(count(S::shared(), &url, "SELECT COUNT(*) FROM orders WHERE state = 'refused'"), 125);
    // A batch that records nothing reads, and rolls back.
    assert!(statements(&ledger, &mixed).await < S::STATEMENTS);
}

async fn many_nodes_never_sell_the_last_unit_twice<S: Server>() {
    let url = S::shared().place();
    let mut nodes = Vec::new();
    for _ in 0..4 {
        nodes.push(S::open(url.clone()).await);
    }
    nodes[0].open(&sale(60)).await.unwrap().unwrap();
    let mut tasks = Vec::new();
    for n in 0..40 {
        let ledger = nodes[n % nodes.len()].clone();
        // Each batch comes twice, to different nodes.
        let batch = batch(n / 2 * 5, 5);
        tasks.push(tokio::spawn(async move {
            let answers = ledger.accept(&sale_id(), &batch).await.unwrap();
            (n, states(&answers))
        }));
    }
    let mut told = std::collections::BTreeMap::new();
    for task in tasks {
        let (n, states) = task.await.unwrap();
        assert_eq!(told.entry(n / 2).or_insert_with(|| states.clone()), &states, "both nodes tell the same");
    }
    assert_eq!(count(S::shared(), &url, "SELECT allocated FROM item WHERE id = 'sneaker'"), 60);
    assert_eq!(count(S::shared(), &url, "SELECT COUNT(*) FROM orders WHERE state = 'accepted'"), 60);
    assert_eq!(count(S::shared(), &url, "SELECT COUNT(*) FROM orders WHERE state = 'refused'"), 40);
    audit::audit(S::shared(), &url);
}

async fn ids_are_compared_byte_by_byte<S: Server>() {
    let url = S::shared().place();
    let ledger = S::open(url.clone()).await;
    ledger.open(&sale(10)).await.unwrap().unwrap();
    let answers = ledger.accept(&sale_id(), &[one("A~k"), one("a~k"), one("a~K"), one("a~k")]).await.unwrap();
    assert_eq!(accepted(&answers), 4);
    assert_eq!(count(S::shared(), &url, "SELECT COUNT(*) FROM orders"), 3);
    for other in ["a~k ", "a~K ", "A~K"] {
        assert_eq!(
            count(S::shared(), &url, &format!("SELECT COUNT(*) FROM orders WHERE id = '{other}'")),
            0,
            "{other}"
        );
    }
    let other = ledger.accept(&sale_id(), &[buys("b~k", &[("Sneaker", 1)])]).await.unwrap();
    assert_eq!(states(&other), [None], "there is no Sneaker, only a sneaker");
    // His own are counted, and only his: two per buyer.
    let names = ["ann~k", "ann-~k", "ann1~k", "an~k"].map(|id| buys(id, &[("sneaker", 1)]));
    assert_eq!(accepted(&ledger.accept(&sale_id(), &names).await.unwrap()), 4);
    assert_eq!(accepted(&ledger.accept(&sale_id(), &[one("ann~2"), one("ann~s~3"), one("ann~4")]).await.unwrap()), 1);
}

async fn a_sale_that_a_stranger_holds_is_told_as_unavailable_and_goes_on_after<S: Server>(
    hold: impl AsyncFnOnce(&str) -> Box<dyn Send>,
) {
    let url = S::shared().place();
    let ledger = S::open(url.clone()).await;
    ledger.open(&sale(5)).await.unwrap().unwrap();
    let held = hold(&url).await;
    let error = ledger.accept(&sale_id(), &[one("ann~k")]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(ledger.transactions_repeated() > 0, "the whole transaction was tried again");
    drop(held);
    assert_eq!(accepted(&ledger.accept(&sale_id(), &[one("ann~k")]).await.unwrap()), 1);
}

servers::rules!(
    [
        the_number_of_statements_does_not_depend_on_the_batch,
        many_nodes_never_sell_the_last_unit_twice,
        ids_are_compared_byte_by_byte
    ] on
    postgres: flashsale_services::Postgres, "postgres";
    mariadb: flashsale_services::MariaDb, "mysql";
);

/// What differs between the databases is the embedder's own SQL.
macro_rules! their_own_rows {
    ($name:ident, $server:ty, $feature:literal, $connection:ty, $pool:ty, $begin:literal, $insert:literal, $weak:literal) => {
        #[cfg(feature = $feature)]
        mod $name {
            use sqlx::Connection as _;

            use super::*;

            type Connection = $connection;

            async fn with_parcels() -> (String, SqlLedger<<$server as Database>::Db>) {
                let url = <$server>::shared().place();
                let ledger = <$server as Database>::open(url.clone()).await;
                <$server>::shared().ask(&url, "CREATE TABLE parcel (order_id VARCHAR(255) PRIMARY KEY)");
                ledger.open(&sale(5)).await.unwrap().unwrap();
                (url, ledger)
            }

            fn parcels(url: &str) -> i64 {
                count(<$server>::shared(), url, "SELECT COUNT(*) FROM parcel")
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn enlisted_rows_commit_with_ours_and_only_for_what_was_accepted() {
                let (url, ledger) = with_parcels().await;
                let ledger = ledger.enlist(|tx, events| {
                    Box::pin(async move {
                        for event in events {
                            let Fact::OrderAccepted(order) = &event.fact else { continue };
                            sqlx::query($insert).bind(order.order.as_str()).execute(&mut *tx).await?;
                        }
                        Ok(())
                    })
                });
                assert_eq!(accepted(&ledger.accept(&sale_id(), &batch(0, 8)).await.unwrap()), 5);
                assert_eq!(parcels(&url), 5);
                // The same again is decided already: nobody is called, nothing collides.
                ledger.accept(&sale_id(), &batch(0, 8)).await.unwrap();
                assert_eq!(parcels(&url), 5);
                let failing = ledger.enlist(|_, _| Box::pin(async { Err("the printer is out of paper".into()) }));
                failing.open(&sale(5)).await.unwrap().unwrap();
                let adjust = flashsale_core::stock::Change::Adjust { item: "sneaker".parse().unwrap(), by: 2 };
                failing.change(&sale_id(), &flashsale_core::Key::new("more").unwrap(), &adjust).await.unwrap().unwrap();
                let error = failing.accept(&sale_id(), &[one("ann~k")]).await.unwrap_err();
                assert!(error.kind() == ErrorKind::Unavailable && error.to_string().contains("paper"), "{error}");
                assert_eq!(parcels(&url), 5);
                audit::audit(<$server>::shared(), &url);
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn accepting_in_their_transaction_commits_and_rolls_back_with_it() {
                let (url, ledger) = with_parcels().await;
                let mut theirs = Connection::connect(&url).await.unwrap();
                sqlx::raw_sql($begin).execute(&mut theirs).await.unwrap();
                let mut tx = theirs.begin().await.unwrap();
                sqlx::query($insert).bind("theirs").execute(&mut *tx).await.unwrap();
                assert_eq!(
                    accepted(&ledger.accept_in(&mut tx, &sale_id(), &[one("ann~k"), one("bob~k")]).await.unwrap()),
                    2
                );
                tx.rollback().await.unwrap();
                assert_eq!(parcels(&url) + count(<$server>::shared(), &url, "SELECT COUNT(*) FROM orders"), 0);
                let mut tx = theirs.begin().await.unwrap();
                let answers = ledger.accept_in(&mut tx, &sale_id(), &[one("ann~k"), one("bob~k")]).await.unwrap();
                sqlx::query($insert).bind("ann~k").execute(&mut *tx).await.unwrap();
                assert_eq!(
                    count(<$server>::shared(), &url, "SELECT COUNT(*) FROM orders"),
                    0,
                    "nobody sees it before their commit"
                );
                tx.commit().await.unwrap();
                assert_eq!(answers.update.unwrap().to.v, 2);
                assert_eq!(parcels(&url), 1);
                assert_eq!(accepted(&ledger.accept(&sale_id(), &[one("bob~k")]).await.unwrap()), 1);
                audit::audit(<$server>::shared(), &url);
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn accepting_at_another_isolation_is_refused() {
                let (url, ledger) = with_parcels().await;
                let mut theirs = Connection::connect(&url).await.unwrap();
                sqlx::raw_sql($weak).execute(&mut theirs).await.unwrap();
                let mut tx = theirs.begin().await.unwrap();
                let error = ledger.accept_in(&mut tx, &sale_id(), &[one("ann~k")]).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn our_transactions_are_at_read_committed_whatever_the_pool_is_set_to() {
                let (url, ours) = with_parcels().await;
                let weak = <$pool>::new().max_connections(2);
                let weak = weak.after_connect(|connection, _| {
                    Box::pin(async move { sqlx::raw_sql($weak).execute(connection).await.map(drop) })
                });
                let theirs = SqlLedger::new(weak.connect(&url).await.unwrap());
                for ledger in [ours, theirs] {
                    let (seen, sees) = mpsc::channel();
                    let at = url.clone();
                    let ledger = ledger.enlist(move |tx, _| {
                        let (seen, at) = (seen.clone(), at.clone());
                        Box::pin(async move {
                            let mut counts = Vec::new();
                            for _ in 0..2 {
                                let count =
                                    sqlx::query_scalar("SELECT COUNT(*) FROM parcel").fetch_one(&mut *tx).await?;
                                counts.push(count);
                                <$server>::shared().ask(&at, "INSERT INTO parcel SELECT COUNT(*) FROM parcel");
                            }
                            seen.send(counts)?;
                            Ok(())
                        })
                    });
                    let id = format!("b{}~k", parcels(&url));
                    assert_eq!(accepted(&ledger.accept(&sale_id(), &[one(&id)]).await.unwrap()), 1);
                    let counts: Vec<i64> = sees.try_recv().unwrap();
                    assert_eq!(counts[1], counts[0] + 1, "what was committed meanwhile is seen");
                }
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn a_sale_that_a_stranger_holds_is_unavailable_and_goes_on_after() {
                a_sale_that_a_stranger_holds_is_told_as_unavailable_and_goes_on_after::<$server>(async |url: &str| {
                    let mut stranger = Connection::connect(url).await.unwrap();
                    sqlx::raw_sql("BEGIN").execute(&mut stranger).await.unwrap();
                    sqlx::raw_sql("UPDATE sale SET v = v").execute(&mut stranger).await.unwrap();
                    Box::new(stranger) as Box<dyn Send>
                })
                .await;
            }
        }
    };
}

their_own_rows!(
    postgres_own_rows,
    flashsale_services::Postgres,
    "postgres",
    sqlx::PgConnection,
    sqlx::postgres::PgPoolOptions,
    "SELECT 1",
    "INSERT INTO parcel VALUES ($1)",
    "SET default_transaction_isolation TO 'repeatable read'"
);
their_own_rows!(
    mariadb_own_rows,
    flashsale_services::MariaDb,
    "mysql",
    sqlx::MySqlConnection,
    sqlx::mysql::MySqlPoolOptions,
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "INSERT INTO parcel VALUES (?)",
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ"
);
