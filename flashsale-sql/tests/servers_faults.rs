//! Servers that die, connections that are cut, callers that go away: nothing is torn, nothing that was told is lost.

#![cfg(any(feature = "postgres", feature = "mysql"))]

mod audit;
mod kill;
mod servers;
mod shared;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use flashsale_core::error::ErrorKind;
use flashsale_core::stock::{Adopted, Epoch, Followed, HoldNo, Nonce, StockLedger, Version};
use flashsale_services::Proxy;
use flashsale_sql::SqlLedger;
use kill::{accept_for_sure, whole};
use servers::Server;
use shared::{accepted, batch, one, sale, sale_id};

async fn a_future_that_is_dropped_anywhere_leaves_no_transaction_and_no_permit<S: Server>() {
    let server = servers::own::<S>();
    let url = server.place();
    let ledger = S::open(url.clone()).await;
    ledger.open(&sale(100_000)).await.unwrap().unwrap();
    for polls in 0..120 {
        let (batch, sale) = (batch(polls * 3, 3), sale_id());
        let mut accepting = pin!(ledger.accept(&sale, &batch));
        let mut looking = pin!(ledger.totals(&sale));
        for _ in 0..polls {
            let once = std::future::poll_fn(|cx| {
                let _ = looking.as_mut().poll(cx);
                std::task::Poll::Ready(accepting.as_mut().poll(cx).is_ready())
            });
            if once.await {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    // As many at once as there are connections, and more: no permit is lost, no lock is held.
    let all = (0..24).map(|n| {
        let ledger = ledger.clone();
        tokio::spawn(async move { ledger.accept(&sale_id(), &[one(&format!("last-{n}~k"))]).await })
    });
    for task in all.collect::<Vec<_>>() {
        let answers = tokio::time::timeout(Duration::from_secs(30), task).await.expect("the lock is free");
        assert_eq!(accepted(&answers.unwrap().unwrap()), 1);
    }
    ledger.close().await;
    assert_eq!(server.open_transactions(), 0);
    assert_eq!((whole(&server, &url) - 24) % 3, 0, "batches are whole");
}

async fn connections_that_are_killed_at_any_statement_have_one_effect<S: Server>() {
    let server = Arc::new(servers::own::<S>());
    let url = server.place();
    let ledger = S::open(url.clone()).await;
    ledger.open(&sale(100_000)).await.unwrap().unwrap();
    let (done, kills) = (Arc::new(AtomicBool::new(false)), server.clone());
    let ended = done.clone();
    let killer = std::thread::spawn(move || {
        while !ended.load(Ordering::SeqCst) {
            kills.end_sessions();
        }
    });
    let mut n = 0;
    while n < 60 || ledger.transactions_repeated() < 10 {
        assert_eq!(accept_for_sure(&ledger, n).await, 3);
        n += 1;
    }
    done.store(true, Ordering::SeqCst);
    // What it hit is told by the transactions that were begun again.
    killer.join().expect("no panic");
    assert_eq!(whole(&*server, &url), 3 * i64::try_from(n).unwrap());
}

/// A sale on the shared server, seen through a proxy that can lose what is said.
async fn through_a_proxy<S: Server>() -> (&'static S, String, Proxy, SqlLedger<S::Db>) {
    let server = S::shared();
    let proxy = Proxy::before(server.port());
    let url = server.place();
    let through = url.replacen(&format!(":{}", server.port()), &format!(":{}", proxy.port()), 1);
    let ledger = S::open(through).await;
    ledger.open(&sale(1_000)).await.unwrap().unwrap();
    (server, url, proxy, ledger)
}

async fn a_commit_whose_answer_is_lost_is_unknown_and_has_one_effect<S: Server>() {
    let (server, url, proxy, ledger) = through_a_proxy::<S>().await;
    for n in 0..10 {
        let lost = n % 2 == 0;
        if lost {
            proxy.lose_requests(1, S::COMMIT);
        } else {
            proxy.lose_replies(1, S::COMMIT);
        }
        let error = ledger.accept(&sale_id(), &batch(n * 3, 3)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unknown, "{error}");
        proxy.heal();
        assert_eq!(accept_for_sure(&ledger, n).await, 3);
        assert_eq!(whole(server, &url), 3 * (i64::try_from(n).unwrap() + 1));
    }
    assert_eq!(proxy.counts().requests_lost + proxy.counts().replies_lost, 10);
}

async fn a_server_that_falls_silent_is_given_up_and_keeps_no_permit<S: Server>() {
    let (server, url, proxy, ledger) = through_a_proxy::<S>().await;
    accept_for_sure(&ledger, 0).await;
    proxy.swallow();
    let error = ledger.accept(&sale_id(), &batch(3, 3)).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Unknown | ErrorKind::Unavailable), "{error}");
    proxy.heal();
    assert_eq!(accept_for_sure(&ledger, 1).await, 3);
    assert_eq!(whole(server, &url), 6);
}

async fn what_was_accepted_survives_kill9<S: Server>() {
    assert!(kill::kill_a_server(servers::own::<S>(), kill::CYCLES, |_, _| ()).await > 0);
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    let done = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp");
    assert!(done.success());
}

async fn an_older_copy_that_was_put_back_is_noticed<S: Server>() {
    let server = servers::own::<S>();
    let url = server.place();
    let ledger = S::open(url.clone()).await;
    ledger.open(&sale(100)).await.unwrap().unwrap();
    let Adopted::Yes(load) = ledger.adopt(&sale_id(), Nonce(7), Epoch(0)).await.unwrap() else { panic!("adopted") };
    let follow = async |version: Version| ledger.follow(&sale_id(), Nonce(7), version, HoldNo(0)).await;
    let sold = async |id: &str| {
        let mut order = one(id);
        order.hold = Some((load.epoch, HoldNo(1)));
        ledger.accept(&sale_id(), &[order]).await.unwrap().update.expect("written").to
    };
    let before = sold("ann~k").await;
    let copied = tempfile::tempdir().unwrap();
    let data = server.dir().join("data");
    server.stop();
    copy(&data, &copied.path().join("data"));
    server.restart();
    // The first connections are those that died with the server.
    while follow(before).await.is_err() {}
    let lost = sold("bob~k").await;
    assert_eq!(follow(lost).await.unwrap(), Followed::Current);
    server.stop();
    std::fs::remove_dir_all(&data).unwrap();
    copy(&copied.path().join("data"), &data);
    server.restart();
    while follow(before).await.is_err() {}
    assert_eq!(follow(lost).await.unwrap(), Followed::Rewound, "a version that is not there");
    // The next order has the version that the lost one had, and another tag.
    let other = sold("cid~k").await;
    assert_eq!(other.v, lost.v);
    assert_eq!(follow(lost).await.unwrap(), Followed::Rewound, "a version of another life");
    assert!(matches!(follow(before).await.unwrap(), Followed::Update(_)), "what both lives had goes on");
}

async fn orders_that_an_older_copy_does_not_have_are_listed<S: Server>() {
    let server = servers::own::<S>();
    let url = server.place();
    let (copied, data) = (tempfile::tempdir().unwrap(), server.dir().join("data"));
    let kept = copied.path().join("data");
    let save = || {
        server.stop();
        copy(&data, &kept);
        server.restart();
    };
    let put_back = || {
        server.stop();
        std::fs::remove_dir_all(&data).unwrap();
        copy(&kept, &data);
        server.restart();
    };
    shared::lost::lost_orders_are_listed(async || S::open(url.clone()).await, save, put_back).await;
}

servers::rules!(
    [
        a_future_that_is_dropped_anywhere_leaves_no_transaction_and_no_permit,
        connections_that_are_killed_at_any_statement_have_one_effect,
        a_commit_whose_answer_is_lost_is_unknown_and_has_one_effect,
        a_server_that_falls_silent_is_given_up_and_keeps_no_permit,
        what_was_accepted_survives_kill9,
        an_older_copy_that_was_put_back_is_noticed,
        orders_that_an_older_copy_does_not_have_are_listed
    ] on
    postgres: flashsale_services::Postgres, "postgres";
    mariadb: flashsale_services::MariaDb, "mysql";
);

/// Settings under which a commit may be lost are refused at the start.
macro_rules! refused_settings {
    ($name:ident, $server:ty, $options:ty, $ledger:ty, $feature:literal, [$(($setting:literal, $value:literal)),*]) => {
        #[cfg(feature = $feature)]
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            $(
                let extra = vec![($setting.to_owned(), $value.to_owned())];
                let server = servers::one_by_one(|| <$server>::start(&<$options>::from_extra(extra)));
                let error = <$ledger>::open(&server.url()).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Misconfigured);
                assert!(error.to_string().contains($setting), "{error}");
            )*
        }
    };
}

/// Options that are as they come, but for some settings.
trait Extra {
    fn from_extra(extra: Vec<(String, String)>) -> Self;
}

#[cfg(feature = "postgres")]
impl Extra for flashsale_services::PostgresOptions {
    fn from_extra(extra: Vec<(String, String)>) -> Self {
        Self { extra, ..Self::default() }
    }
}

#[cfg(feature = "mysql")]
impl Extra for flashsale_services::MariaDbOptions {
    fn from_extra(extra: Vec<(String, String)>) -> Self {
        Self { extra, ..Self::default() }
    }
}

refused_settings!(
    postgres_that_may_lose_a_commit_is_refused,
    flashsale_services::Postgres,
    flashsale_services::PostgresOptions,
    flashsale_sql::PostgresLedger,
    "postgres",
    [("synchronous_commit", "off"), ("fsync", "off"), ("full_page_writes", "off")]
);
refused_settings!(
    mariadb_that_may_lose_a_commit_is_refused,
    flashsale_services::MariaDb,
    flashsale_services::MariaDbOptions,
    flashsale_sql::MySqlLedger,
    "mysql",
    [("innodb_flush_log_at_trx_commit", "2")]
);
