//! What a caller is told when the server or the way to it fails: *nothing happened*, *unknown*, or *a person must act*.

mod servers;
mod shop;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use flashsale_core::error::ErrorKind;
use flashsale_core::stock::{Reservation, Reserved, StockGate};
use flashsale_core::{BackendError, SaleId};
use flashsale_redis::{RedisBackend, RedisConfig, RedisStockGate};
use flashsale_services::{Append, Counts, Proxy, Redis, RedisOptions};
use flashsale_testkit::sample::reserve;
use servers::{forgetful, opened};
use shop::Shop;

const WAIT: Duration = Duration::from_millis(300);

fn url(proxy: &Proxy) -> String {
    format!("redis://127.0.0.1:{}", proxy.port())
}

/// A way that is given up soon.
fn brisk(proxy: &Proxy) -> RedisConfig {
    RedisConfig::new(&url(proxy)).unwrap().response_timeout(WAIT).unwrap().connect_timeout(WAIT).unwrap()
}

fn struck(proxy: &Proxy, how_often: impl Fn(&Counts) -> u64) -> bool {
    proxy.wait_for(Duration::from_secs(20), |counts| how_often(counts) == 1)
}

async fn held(gate: &RedisStockGate, sale: &SaleId, id: &str) -> Result<u64, BackendError> {
    match gate.reserve(sale, &[reserve(id, &[("a", 1)])]).await? {
        Reservation::Answers(answers) => match answers[0] {
            Ok(Reserved::Held(hold)) => Ok(hold.no.0),
            ref other => panic!("{other:?}"),
        },
        Reservation::NotLoaded => panic!("not loaded"),
    }
}

#[tokio::test]
async fn a_lost_answer_is_unknown_and_a_repeat_finds_the_same_hold() {
    let server = forgetful();
    let proxy = Proxy::before(server.port());
    let gate = servers::gate(&url(&proxy)).await;
    let sale = opened(&gate, 5).await;
    assert_eq!(held(&gate, &sale, "ann~1").await.unwrap(), 1);
    proxy.lose_replies(1, b"bob~1");
    let error = held(&gate, &sale, "bob~1").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unknown, "{error}");
    assert!(struck(&proxy, |counts| counts.replies_lost), "the fault happened");
    assert_eq!(held(&gate, &sale, "bob~1").await.unwrap(), 2, "the server had done it");
    assert_eq!(gate.level(&sale).await.unwrap().items[0].2, 2);
}

#[tokio::test]
async fn a_lost_request_is_unknown_and_a_repeat_does_it() {
    let server = forgetful();
    let proxy = Proxy::before(server.port());
    let gate = servers::gate(&url(&proxy)).await;
    let sale = opened(&gate, 5).await;
    proxy.lose_requests(1, b"ann~1");
    assert_eq!(held(&gate, &sale, "ann~1").await.unwrap_err().kind(), ErrorKind::Unknown);
    assert!(struck(&proxy, |counts| counts.requests_lost), "the fault happened");
    assert_eq!(held(&gate, &sale, "ann~1").await.unwrap(), 1);
}

#[tokio::test]
async fn a_socket_whose_other_end_vanished_is_given_up_and_dialed_anew() {
    let server = forgetful();
    let proxy = Proxy::before(server.port());
    let gate = RedisBackend::with(brisk(&proxy)).await.unwrap().gate();
    let sale = opened(&gate, 5).await;
    proxy.swallow();
    let begun = Instant::now();
    assert_eq!(held(&gate, &sale, "ann~1").await.unwrap_err().kind(), ErrorKind::Unknown);
    assert!(begun.elapsed() >= WAIT, "the deadline is our own");
    // While nothing comes through, a new connection fails as *nothing happened*.
    assert_eq!(held(&gate, &sale, "ann~1").await.unwrap_err().kind(), ErrorKind::Unavailable);
    proxy.heal();
    shop::until("a new connection", async || held(&gate, &sale, "ann~1").await.is_ok()).await;
    assert!(proxy.counts().connections >= 2, "it was dialed anew");
}

#[tokio::test]
async fn garbage_is_unknown_never_a_refusal() {
    let server = forgetful();
    let proxy = Proxy::before(server.port());
    let gate = servers::gate(&url(&proxy)).await;
    let sale = opened(&gate, 5).await;
    proxy.answer_garbage(1, b"ann~1");
    let error = held(&gate, &sale, "ann~1").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unknown, "{error}");
    assert!(struck(&proxy, |counts| counts.garbage), "the fault happened");
    assert_eq!(held(&gate, &sale, "ann~1").await.unwrap(), 1, "a new connection is in step");
}

#[tokio::test]
async fn a_stalled_server_is_unknown_within_the_deadline() {
    let server = forgetful();
    let gate = servers::brisk_gate(&server.url()).await;
    let sale = opened(&gate, 5).await;
    server.pause();
    assert_eq!(held(&gate, &sale, "ann~1").await.unwrap_err().kind(), ErrorKind::Unknown);
    server.resume();
    shop::until("the server to answer", async || held(&gate, &sale, "ann~1").await.is_ok()).await;
}

#[tokio::test]
async fn a_server_that_is_gone_is_unavailable() {
    let server = forgetful();
    let gate = servers::brisk_gate(&server.url()).await;
    let sale = opened(&gate, 5).await;
    server.kill9();
    // The connection was open: whether the request left is not known. After that it is.
    let first = held(&gate, &sale, "ann~1").await.unwrap_err();
    assert_eq!(first.kind(), ErrorKind::Unknown, "{first}");
    for _ in 0..3 {
        assert_eq!(held(&gate, &sale, "ann~1").await.unwrap_err().kind(), ErrorKind::Unavailable);
    }
}

#[tokio::test]
async fn a_full_server_refuses_and_nothing_happened() {
    let server = forgetful();
    let gate = servers::gate(&server.url()).await;
    let sale = opened(&gate, 5).await;
    server.ask(&["CONFIG", "SET", "maxmemory", "1"]).unwrap();
    let error = held(&gate, &sale, "ann~1").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    server.ask(&["CONFIG", "SET", "maxmemory", "0"]).unwrap();
    assert_eq!(gate.level(&sale).await.unwrap().holds, 0);
    assert_eq!(held(&gate, &sale, "ann~1").await.unwrap(), 1);
}

#[tokio::test]
async fn a_server_that_cannot_save_refuses_and_nothing_happened() {
    // A snapshot after every write, into a folder that is gone.
    let extra = vec![("save".to_owned(), "3600 1".to_owned())];
    let server = Redis::start(RedisOptions { extra, ..RedisOptions::default() });
    let gate = servers::gate(&server.url()).await;
    let sale = opened(&gate, 5).await;
    server.ask(&["CONFIG", "SET", "rdbcompression", "no"]).unwrap();
    std::fs::create_dir(server.dir().join("dump.rdb")).expect("a folder where the file should be");
    server.ask(&["BGSAVE"]).unwrap();
    shop::until("the snapshot to fail", async || {
        server.ask(&["INFO", "persistence"]).unwrap().text().contains("rdb_last_bgsave_status:err")
    })
    .await;
    let error = held(&gate, &sale, "ann~1").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert_eq!(gate.level(&sale).await.unwrap().holds, 0);
}

#[tokio::test]
async fn a_server_with_too_few_replicas_refuses_and_nothing_happened() {
    let server = forgetful();
    let gate = servers::gate(&server.url()).await;
    let sale = opened(&gate, 5).await;
    server.ask(&["CONFIG", "SET", "min-replicas-to-write", "1"]).unwrap();
    let error = held(&gate, &sale, "ann~1").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    server.ask(&["CONFIG", "SET", "min-replicas-to-write", "0"]).unwrap();
    assert_eq!(held(&gate, &sale, "ann~1").await.unwrap(), 1);
}

#[tokio::test]
async fn a_primary_that_became_a_replica_is_left() {
    let (server, other) = (forgetful(), forgetful());
    let gate = servers::gate(&server.url()).await;
    let sale = opened(&gate, 5).await;
    let port = other.port().to_string();
    server.ask(&["REPLICAOF", "127.0.0.1", &port]).unwrap();
    let error = held(&gate, &sale, "ann~1").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
}

#[tokio::test]
async fn a_busy_server_refuses_and_nothing_happened() {
    let extra = vec![("lua-time-limit".to_owned(), "50".to_owned())];
    let server = Arc::new(Redis::start(RedisOptions { extra, ..RedisOptions::default() }));
    let gate = servers::gate(&server.url()).await;
    let sale = opened(&gate, 5).await;
    let busy = std::thread::spawn({
        let server = server.clone();
        move || server.ask(&["EVAL", "while true do end", "0"])
    });
    // Until the limit is reached the server answers nobody; then it says BUSY.
    shop::until("the server to be busy", async || match held(&gate, &sale, "ann~1").await {
        Ok(_) => false,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            error.to_string().contains("BUSY")
        }
    })
    .await;
    server.ask(&["SCRIPT", "KILL"]).unwrap();
    let _ = busy.join();
    assert_eq!(held(&gate, &sale, "ann~1").await.unwrap(), 1);
}

#[tokio::test]
async fn a_server_that_still_reads_its_log_is_unavailable() {
    // A tenth of a millisecond for each command that it reads; it looks at its clients every 1,024 commands.
    let extra = vec![("key-load-delay".to_owned(), "100".to_owned())];
    let server = Redis::start(RedisOptions { append: Append::Always, extra, ..RedisOptions::default() });
    let gate = servers::brisk_gate(&server.url()).await;
    let sale = opened(&gate, 5).await;
    server.ask(&["EVAL", "for n = 1, 10000 do redis.call('SET', 'other-' .. n, 'x') end", "0"]).unwrap();
    server.kill9();
    assert!(held(&gate, &sale, "ann~1").await.is_err());
    server.begin_restart().unwrap();
    let met = AtomicBool::new(false);
    shop::until("the server to answer", async || match gate.reserve(&sale, &[]).await {
        Ok(told) => told == Reservation::NotLoaded,
        Err(error) => {
            assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Unknown), "{error}");
            met.fetch_or(error.to_string().contains("loading"), Ordering::Relaxed);
            false
        }
    })
    .await;
    assert!(met.into_inner(), "the server was asked while it was loading");
}

#[tokio::test]
async fn a_foreign_value_under_our_key_is_corrupt() {
    let server = forgetful();
    let gate = servers::brisk_gate(&server.url()).await;
    let sale = opened(&gate, 5).await;
    let key = format!("fs:{{{sale}}}:order");
    server.ask(&["DEL", &key]).unwrap();
    server.ask(&["SET", &key, "not ours"]).unwrap();
    assert_eq!(held(&gate, &sale, "ann~1").await.unwrap_err().kind(), ErrorKind::Corrupt);
}

/// Every fault of the way, one after the other, in the middle of a sale on two nodes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sale_goes_on_over_every_fault_of_the_way() {
    let server = forgetful();
    let (proxy, other) = (Proxy::before(server.port()), Proxy::before(server.port()));
    let shop = Shop::open(&[brisk(&proxy), brisk(&other)], 1_000, Duration::from_millis(400)).await;
    let sale = shop.sell(32);
    for _ in 0..4 {
        shop.more_answers(40).await;
        proxy.lose_replies(3, b"EVALSHA");
        shop.more_answers(40).await;
        other.lose_requests(3, b"EVALSHA");
        shop.more_answers(40).await;
        proxy.answer_garbage(2, b"EVALSHA");
        shop.more_answers(40).await;
        proxy.cut();
        other.cut();
        shop.more_answers(20).await;
        proxy.delay(Duration::from_millis(20));
        shop.more_answers(20).await;
        proxy.heal();
        other.heal();
    }
    shop.finish();
    sale.await.expect("the sale");
    let (a, b) = (proxy.counts(), other.counts());
    assert!(a.replies_lost >= 3 && b.requests_lost >= 3 && a.garbage >= 2 && a.cut > 0, "{a:?} {b:?}");
    shop.audit().await;
    shop.close().await;
}
