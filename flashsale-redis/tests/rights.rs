//! Who may use the server, and over what: the rights that a gate needs and no more, passwords, TLS, and servers that are refused.

mod servers;
mod shop;

use std::time::Duration;

use flashsale_core::RoomId;
use flashsale_core::error::ErrorKind;
use flashsale_core::stock::StockGate;
use flashsale_redis::{RedisBackend, RedisConfig};
use flashsale_services::{Redis, RedisOptions, Tls};
use flashsale_testkit::fixture;
use flashsale_testkit::sample::{buyer, reserve, sale_id};
use servers::opened;
use shop::Shop;

/// The rights as `docs/guide/redis.md` states them for a user: the line is taken from there.
fn rights(user: &str) -> Vec<String> {
    let guide = include_str!("../../docs/guide/redis.md");
    let begin = format!("ACL SETUSER {user} on >PASSWORD ");
    let line = guide.lines().find_map(|line| line.strip_prefix(&begin)).expect("the line of the guide");
    line.split_whitespace().map(str::to_owned).collect()
}

/// A server whose user `shop` has these rights.
fn server_with(rights: &[String]) -> Redis {
    let user = format!("shop on >a-password {}", rights.join(" "));
    Redis::start(RedisOptions { users: vec![user], ..RedisOptions::default() })
}

/// A whole sale under a user with exactly the documented rights, over a restart and a flush.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_rights_suffice() {
    let server = server_with(&rights("shop"));
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
async fn each_is_needed(all: &[String], everything: impl AsyncFn(RedisConfig) -> Result<(), ErrorKind>) {
    let server = server_with(all);
    let config = servers::patient(&server.url_as("shop", "a-password"));
    assert_eq!(everything(config).await, Ok(()), "all of them suffice");
    let commands: Vec<&String> = all.iter().filter(|right| right.starts_with('+')).collect();
    assert!(commands.len() > 10, "{commands:?}");
    // What only the first dial of a cluster, or a choice of the database, asks for.
    let elsewhere = ["+cluster|slots", "+select"];
    for missing in commands.into_iter().filter(|right| !elsewhere.contains(&right.as_str())) {
        let rights: Vec<String> = all.iter().filter(|right| *right != missing).cloned().collect();
        let server = server_with(&rights);
        let config = servers::patient(&server.url_as("shop", "a-password"));
        match everything(config).await {
            Ok(()) => panic!("{missing} is not needed"),
            Err(kind) => assert_eq!(kind, ErrorKind::Misconfigured, "without {missing}"),
        }
    }
}

#[tokio::test]
async fn each_documented_right_of_the_gate_is_needed() {
    each_is_needed(&rights("shop"), everything).await;
}

#[tokio::test]
async fn each_documented_right_of_the_rooms_is_needed_and_they_suffice() {
    each_is_needed(&rights("rooms"), everything_of_rooms).await;
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

/// Every step of the rooms once, with every kind of place.
async fn everything_of_rooms(config: RedisConfig) -> Result<(), ErrorKind> {
    use flashsale_core::queue::{Enter, Generation, Number, RoomChange, RoomStore, Terms};
    let steps = async {
        let clock = fixture::clock();
        let of_server = RedisBackend::with(config).await?.rooms();
        let rooms = of_server.clone().with_clock(clock.clone());
        let room = RoomId::new("drop").unwrap();
        let second = Duration::from_secs(1);
        let terms = Terms { opens_above: 0, closes_below: 0, turn: second, remembers: second, ..Terms::default() };
        rooms.open(&room, &terms).await?;
        rooms.change(&room, &RoomChange { capacity: Some(9), ..RoomChange::default() }).await?;
        let (ann, bob) = (buyer("ann"), buyer("bob"));
        let ticket = Some(Number { generation: Generation(1), no: 1 });
        let batch = [Enter { member: ann.clone(), ticket: None }, Enter { member: bob.clone(), ticket }];
        rooms.enter(&room, &batch).await?;
        rooms.place(&room, std::slice::from_ref(&bob)).await?;
        rooms.admit(&room, 9).await?;
        rooms.extend(&room, std::slice::from_ref(&bob)).await?;
        rooms.finish(&room, std::slice::from_ref(&ann)).await?;
        rooms.leave(&room, std::slice::from_ref(&bob)).await?;
        clock.advance(Duration::from_secs(9));
        rooms.expire(&room, 9).await?;
        of_server.levels(&room).await?;
        rooms.forget(&room).await
    };
    steps.await.map_err(|error: flashsale_core::BackendError| error.kind())
}

/// A user of the rooms cannot touch a sale, and one of the gate alone cannot touch a room.
#[tokio::test]
async fn rooms_and_gate_can_have_users_of_their_own() {
    let server = server_with(&rights("rooms"));
    let redis = RedisBackend::with(servers::patient(&server.url_as("shop", "a-password"))).await.unwrap();
    let error = redis.gate().due(&sale_id("drop")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
    let alone: Vec<String> =
        rights("shop").into_iter().map(|right| if right == "~fs:*" { "~fs:{*".to_owned() } else { right }).collect();
    let server = server_with(&alone);
    let config = servers::patient(&server.url_as("shop", "a-password"));
    assert_eq!(everything(config.clone()).await, Ok(()));
    assert_eq!(everything_of_rooms(config).await, Err(ErrorKind::Misconfigured));
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
