//! Who may use the server, and over what: the rights that a gate needs and no more, passwords, TLS, and servers that are refused.

mod servers;
mod shop;

use std::time::Duration;

use flashsale_core::error::ErrorKind;
use flashsale_core::stock::StockGate;
use flashsale_redis::{RedisBackend, RedisConfig};
use flashsale_services::{Redis, RedisOptions, Tls};
use flashsale_testkit::sample::{reserve, sale_id};
use servers::opened;
use shop::Shop;

/// The rights as `docs/guide/redis.md` states them: the line is taken from there.
fn rights() -> Vec<String> {
    let guide = include_str!("../../docs/guide/redis.md");
    let line = guide
        .lines()
        .find_map(|line| line.strip_prefix("ACL SETUSER shop on >PASSWORD "))
        .expect("the line of the guide");
    line.split_whitespace().map(str::to_owned).collect()
}

fn server_with(rights: &[String]) -> Redis {
    let user = format!("shop on >a-password {}", rights.join(" "));
    Redis::start(RedisOptions { users: vec![user], ..RedisOptions::default() })
}

/// A whole sale under a user with exactly the documented rights, over a restart and a flush.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_rights_suffice() {
    let server = server_with(&rights());
    let config = servers::brisk(&server.url_as("shop", "a-password"));
    let shop = Shop::open(&[config], 500, Duration::from_millis(300)).await;
    let sale = shop.sell(16);
    shop.more_answers(100).await;
    server.ask(&["FLUSHALL"]).unwrap();
    shop.more_answers(100).await;
    shop.finish();
    sale.await.expect("the sale");
    shop.audit().await;
    let gate = RedisBackend::with(servers::brisk(&server.url_as("shop", "a-password"))).await.unwrap().gate();
    let level = gate.level(&shop.sale).await.unwrap();
    gate.forget(&shop.sale, level.nonce.unwrap()).await.unwrap();
    shop.close().await;
    let log = server.ask(&["ACL", "LOG"]).unwrap();
    assert!(log.list().is_empty(), "nothing was denied: {log:?}");
}

/// The documented rights hold no more than is needed: without any one of them something is refused, and told as a matter for a person.
#[tokio::test]
async fn each_documented_right_is_needed() {
    let all = rights();
    let commands: Vec<&String> = all.iter().filter(|right| right.starts_with('+')).collect();
    assert!(commands.len() > 10, "{commands:?}");
    // What only the first dial of a cluster, or a choice of the database, asks for.
    let elsewhere = ["+cluster|slots", "+select"];
    for missing in commands.into_iter().filter(|right| !elsewhere.contains(&right.as_str())) {
        let rights: Vec<String> = all.iter().filter(|right| *right != missing).cloned().collect();
        let server = server_with(&rights);
        let config = servers::config(&server.url_as("shop", "a-password"));
        match everything(config).await {
            Ok(()) => panic!("{missing} is not needed"),
            Err(kind) => assert_eq!(kind, ErrorKind::Misconfigured, "without {missing}"),
        }
    }
}

/// Every step of the gate once, also those that only a long batch or an early page need.
async fn everything(config: RedisConfig) -> Result<(), ErrorKind> {
    use flashsale_core::stock::{Answers, HoldNo, Nonce, OrderState, Update};
    use flashsale_testkit::sample::{door, level, load, settled, version};
    let steps = async {
        let gate = RedisBackend::with(config).await?.gate();
        let (sale, load) = (sale_id("drop"), load(&[level("a", 9, 9)]));
        gate.begin(&sale, load.nonce).await?;
        gate.load(&sale, &load).await?;
        for id in ["ann~1", "bob~1", "cid~1"] {
            gate.reserve(&sale, &[reserve(id, &[("a", 1)])]).await?;
        }
        let early =
            Answers { orders: vec![settled("bob~1", &[("a", 1)], OrderState::Accepted, 2)], ..Answers::default() };
        gate.answers(&sale, load.nonce, &early).await?;
        gate.due(&sale).await?;
        let update = Update {
            nonce: Some(load.nonce),
            from: load.version,
            to: version(load.version.v + 1),
            sealed: HoldNo(3),
            door: door(),
            items: vec![level("a", 8, 9)],
            orders: vec![settled("ann~1", &[("a", 1)], OrderState::Accepted, 2)],
            bought: vec![],
        };
        gate.sync(&sale, &update).await?;
        gate.reserve(&sale, &[reserve("dan~1", &[("a", 1)])]).await?;
        // All the orders of a batch have ended: the next look takes it off the queue.
        let ended = Update {
            from: update.to,
            to: version(update.to.v + 1),
            sealed: HoldNo(0),
            orders: vec![settled("dan~1", &[("a", 1)], OrderState::Accepted, 3)],
            ..update
        };
        gate.sync(&sale, &ended).await?;
        gate.due(&sale).await?;
        gate.level(&sale).await?;
        gate.forget(&sale, Nonce(load.nonce.0)).await
    };
    steps.await.map_err(|error: flashsale_core::BackendError| error.kind())
}

#[tokio::test]
async fn a_wrong_password_is_a_matter_for_a_person() {
    let server = Redis::start(RedisOptions { password: Some("right".to_owned()), ..RedisOptions::default() });
    let wrong = RedisConfig::new(&format!("redis://:wrong@127.0.0.1:{}", server.port())).unwrap();
    let none = RedisConfig::new(&format!("redis://127.0.0.1:{}", server.port())).unwrap();
    for config in [wrong, none] {
        let error = RedisBackend::with(config).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
        assert!(!error.to_string().contains("right"), "{error}");
    }
    let gate = servers::gate(&server.url()).await;
    opened(&gate, 1).await;
}

#[tokio::test]
async fn a_user_without_rights_is_a_matter_for_a_person() {
    let server = server_with(&["~fs:*".to_owned(), "+info".to_owned()]);
    let gate = servers::brisk_gate(&server.url_as("shop", "a-password")).await;
    let error = gate.due(&sale_id("drop")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
}

#[tokio::test]
async fn a_server_that_evicts_is_refused_at_connect_and_at_begin() {
    let server = Redis::start(RedisOptions { max_memory_policy: "allkeys-lru".to_owned(), ..RedisOptions::default() });
    let error = RedisBackend::connect(&server.url()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    assert!(error.to_string().contains("noeviction"), "{error}");

    server.ask(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).unwrap();
    let gate = servers::gate(&server.url()).await;
    server.ask(&["CONFIG", "SET", "maxmemory-policy", "volatile-ttl"]).unwrap();
    let error = gate.begin(&sale_id("drop"), flashsale_core::stock::Nonce(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
}

#[tokio::test]
async fn a_gate_works_over_tls_and_trusts_only_its_authority() {
    let server = Redis::start(RedisOptions { tls: Tls::On, ..RedisOptions::default() });
    assert!(server.url().starts_with("rediss://"));
    let ca = std::fs::read(server.ca_file().expect("an authority")).unwrap();
    let config = servers::config(&server.url());
    let gate = RedisBackend::with(config.clone().trusting(ca)).await.expect("a trusted server").gate();
    let sale = opened(&gate, 1).await;
    assert!(gate.reserve(&sale, &[reserve("ann~1", &[("a", 1)])]).await.is_ok());
    let error = RedisBackend::with(config).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Misconfigured), "{error}");
}

#[tokio::test]
async fn keys_begin_with_the_prefix_and_have_no_time_to_live() {
    let server = servers::forgetful();
    let config = RedisConfig::new(&server.url()).unwrap().prefix("shop-1").unwrap();
    let gate = RedisBackend::with(config).await.unwrap().gate();
    let sale = opened(&gate, 1).await;
    gate.reserve(&sale, &[reserve("ann~1", &[("a", 1)])]).await.unwrap();
    let keys = server.ask(&["KEYS", "*"]).unwrap();
    assert_eq!(keys.list().len(), 4, "{keys:?}");
    for key in keys.list() {
        assert!(key.text().starts_with("shop-1:{drop}:"), "{key:?}");
        assert_eq!(server.ask(&["TTL", &key.text()]).unwrap().text(), "-1");
    }
}
