//! The server with its gate on a real Redis: wired by configuration, down and back, refused where it is not set up.

mod common;

use std::process::Command;

use common::{Process, Request, Shop, binary, send};
use flashsale_services::{Redis, RedisCluster, RedisOptions, RedisSentinel, Tls};

/// The settings of a server on this Redis, by Redis' own clock.
fn on(url: &str) -> Vec<(&str, &str)> {
    vec![("redis.url", url), ("redis.response-timeout-ms", "5000"), ("dev.clock", "false")]
}

/// Orders under one key until something is promised, as a client does; tells how often nothing was.
async fn insist(shop: &Shop, sale: &str, member: &str) -> (common::Answer, usize) {
    let mut refused = 0;
    loop {
        let answer = shop.order(sale, "unit", member, "order-0001").await;
        if answer.status != 503 {
            return (answer, refused);
        }
        assert!(answer.header("retry-after").is_some(), "{}", answer.text());
        refused += 1;
    }
}

#[tokio::test]
async fn the_gate_is_on_redis_by_configuration_alone() {
    let redis = Redis::start(RedisOptions::default());
    let url = redis.url();
    let shop = Shop::with(&[on(&url), vec![("redis.prefix", "shop:7")]].concat()).await;
    assert_eq!(shop.gate_is_silent(), None);
    shop.sale("s", 2, 1).await;
    for (member, status) in [("a", 202), ("b", 202), ("c", 409)] {
        assert_eq!(insist(&shop, "s", member).await.0.status, status, "{member}");
    }
    shop.until("a~order-0001", "confirmed").await;
    let keys = redis.ask(&["KEYS", "*"]).unwrap();
    let own = redis.ask(&["KEYS", "shop:7*"]).unwrap();
    assert_eq!(format!("{keys:?}"), format!("{own:?}"), "all keys begin with the prefix");
    assert_ne!(format!("{keys:?}"), "List([])");
    assert_eq!(shop.get("/version").await.json()["gate"], "redis");
    loop {
        let page = shop.get("/metrics").await.text();
        let has = |line: &str| page.lines().any(|known| known == line);
        let sold = r#"sale_units{sale="s",item="unit",state="sold"} 2"#;
        if has(r#"gate_up{gate="redis"} 1"#) && has(sold) {
            break;
        }
    }
    shop.close().await;
}

#[tokio::test]
async fn while_redis_is_down_the_server_starts_promises_nothing_and_sells_once_it_is_back() {
    let redis = Redis::start(RedisOptions::default());
    let url = redis.url();
    redis.kill9();
    let bare = Shop::with(&[on(&url), vec![("seed.enabled", "false")]].concat()).await;
    assert_eq!(bare.get("/readyz").await.problem().0, 503, "also without a sale");
    bare.close().await;
    let shop = Shop::with(&on(&url)).await;
    assert!(shop.gate_is_silent().unwrap().contains("redis.connect"), "{:?}", shop.gate_is_silent());
    shop.sale("s", 5, 1).await;
    let answer = shop.order("s", "unit", "a", "order-0001").await;
    assert_eq!(answer.problem(), (503, "unavailable".to_owned()));
    assert_eq!(answer.header("retry-after"), Some("1"));
    let body = r#"{"id":"c","daily_at":"13:00","zone":"Asia/Seoul","cap":1,"takes_off":1,"from":1,"valid_months":1}"#;
    assert_eq!(shop.send(Request::post("/v1/campaigns", body).by("op").keyed("create-c1")).await.status, 201);
    let claim = Request::post("/v1/campaigns/c/coupons", "{}").by("a").keyed("claim-0001");
    assert_eq!(shop.send(claim).await.problem().0, 503);
    let ready = shop.get("/readyz").await;
    assert_eq!(ready.problem().0, 503);
    assert!(ready.json()["detail"].as_str().unwrap().contains("the gate (redis)"), "{}", ready.text());
    assert!(shop.get("/metrics").await.text().contains("gate_up{gate=\"redis\"} 0"));
    let seen = shop.get("/v1/sales/s").await;
    assert_eq!((seen.status, &seen.json()["items"][0]["left"]), (200, &5.into()), "the ledger's figures show");

    redis.restart();
    let (answer, _) = insist(&shop, "s", "a").await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    shop.until("a~order-0001", "confirmed").await;
    let ready = loop {
        let ready = shop.get("/readyz").await;
        if ready.status == 200 {
            break ready.json();
        }
    };
    assert_eq!((&ready["status"], &ready["gate"]), (&"ready".into(), &"redis".into()));
    shop.close().await;
}

#[tokio::test]
async fn after_redis_was_killed_winners_keep_their_answers_and_the_rest_is_sold_once() {
    let redis = Redis::start(RedisOptions::default());
    let url = redis.url();
    let shop = Shop::with(&on(&url)).await;
    shop.sale("s", 20, 1).await;
    let mut told = Vec::new();
    for n in 0..10 {
        told.push(insist(&shop, "s", &format!("m{n}")).await.0.text());
    }
    redis.kill9();
    let (answer, refused) = {
        let down = shop.order("s", "unit", "m10", "order-0001").await;
        assert_eq!(down.problem().0, 503);
        redis.restart();
        insist(&shop, "s", "m10").await
    };
    assert_eq!(answer.status, 202, "after {refused} more: {}", answer.text());
    for (n, told) in told.iter().enumerate() {
        let (again, _) = insist(&shop, "s", &format!("m{n}")).await;
        assert_eq!((again.status, &again.text()), (202, told));
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
    }
    for n in 11..20 {
        assert_eq!(insist(&shop, "s", &format!("m{n}")).await.0.status, 202);
    }
    let (late, _) = insist(&shop, "s", "late").await;
    assert_eq!(late.status, 409, "{}", late.text());
    let epoch: i64 = sqlx::query_scalar("SELECT epoch FROM sale WHERE id = 's'").fetch_one(&shop.rows).await.unwrap();
    assert!(epoch >= 2, "the gate was loaded anew: {epoch}");
    shop.close().await;
}

#[tokio::test]
async fn sentinels_and_a_cluster_serve_by_the_scheme_of_the_url() {
    let cluster = RedisCluster::start(6);
    let sentinel = RedisSentinel::start(1, 3);
    for (url, word) in [(cluster.url(), "redis+cluster"), (sentinel.url(), "redis+sentinel")] {
        let shop = Shop::with(&on(&url)).await;
        assert_eq!(shop.get("/version").await.json()["gate"], word);
        for sale in ["s1", "s2", "s3"] {
            shop.sale(sale, 1, 1).await;
            let (won, _) = insist(&shop, sale, &format!("a-{sale}")).await;
            assert_eq!(won.status, 202, "{word} {sale}: {}", won.text());
            assert_eq!(insist(&shop, sale, &format!("b-{sale}")).await.0.status, 409, "{word} {sale}");
            assert_eq!(insist(&shop, sale, &format!("a-{sale}")).await.0.text(), won.text(), "{word} {sale}");
        }
        shop.close().await;
    }
}

#[tokio::test]
async fn a_certificate_that_redis_ca_names_is_trusted() {
    let redis = Redis::start(RedisOptions { tls: Tls::On, ..RedisOptions::default() });
    let (url, ca) = (redis.url(), redis.ca_file().unwrap().display().to_string());
    let shop = Shop::with(&[on(&url), vec![("redis.ca", &ca)]].concat()).await;
    assert_eq!(shop.gate_is_silent(), None);
    shop.sale("s", 1, 1).await;
    assert_eq!(insist(&shop, "s", "a").await.0.status, 202);
    shop.close().await;
}

/// Starts a server that must refuse, with this URL in the environment; what it said.
fn refused(url: &str, flags: &[&str]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(binary());
    command.args(["serve", "--http.bind", "127.0.0.1:0"]).args(flags).current_dir(directory.path());
    let output = command.env("FLASHSALE_REDIS__URL", url).output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("Next: "), "{said}");
    assert!(!said.contains("hidden-word"), "{said}");
    said
}

#[test]
fn a_redis_that_is_not_set_up_is_refused_with_what_to_do_next() {
    let evicting = RedisOptions { max_memory_policy: "allkeys-lru".into(), ..RedisOptions::default() };
    let evicting = Redis::start(evicting);
    let said = refused(&evicting.url(), &[]);
    assert!(said.contains("CONFIG SET maxmemory-policy noeviction"), "{said}");

    let users = vec!["poor on >hidden-word ~other:* +ping".to_owned()];
    let locked = RedisOptions { password: Some("right".into()), users, ..RedisOptions::default() };
    let locked = Redis::start(locked);
    let wrong = refused(&locked.url_as("default", "hidden-word"), &[]);
    assert!(wrong.contains("FLASHSALE_REDIS__URL"), "{wrong}");
    let none = refused(&format!("redis://127.0.0.1:{}", locked.port()), &[]);
    assert!(none.contains("put the user and password"), "{none}");
    let poor = refused(&locked.url_as("poor", "hidden-word"), &[]);
    assert!(poor.contains("ACL SETUSER"), "{poor}");

    let nowhere = refused(&locked.url_as("default", "hidden-word"), &["--redis.ca", "nowhere.pem"]);
    assert!(nowhere.contains("redis.ca: nowhere.pem"), "{nowhere}");
}

#[tokio::test]
async fn a_silent_redis_is_told_at_the_start_and_no_password_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let flags = ["--redis.url", "redis://u:hidden-word@127.0.0.1:1"];
    let server = Process::start(directory.path(), &flags).await;
    assert_eq!(send(server.at, Request::get("/hello")).await.status, 200);
    drop(server);
    let mut command = Command::new(binary());
    let output = command.args(["config", "print"]).args(flags).current_dir(directory.path()).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(shown.contains("redis://***@127.0.0.1:1  (--redis.url)"), "{shown}");
    assert!(!shown.contains("hidden-word"), "{shown}");
}

#[tokio::test]
async fn two_servers_have_one_room_on_redis_and_an_admission_is_used_once_on_either() {
    let redis = Redis::start(RedisOptions::default());
    let url = redis.url();
    let directory = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let first = Shop::over(directory.clone(), &on(&url)).await;
    let second = Shop::over(directory, &on(&url)).await;
    let room = serde_json::json!({ "open_above": 0, "admit_per_minute": 60_000, "capacity": 1, "turn_s": 600 });
    let items = serde_json::json!([{ "id": "unit", "total": 5, "price": 10_000, "per_buyer": 3 }]);
    let body = serde_json::json!({ "id": "s", "items": items, "room": room });
    assert_eq!(first.post("/v1/sales", "op", "-", body).await.status, 201);
    let join = |shop: &Shop, member: &'static str| send(shop.at, Request::bare("/v1/sales/s/place").by(member));
    assert_eq!(join(&second, "ann").await.json()["number"], 1);
    assert_eq!(join(&first, "bob").await.json()["number"], 2);
    assert_eq!(join(&second, "bob").await.json()["number"], 2, "one place on both");
    let token = loop {
        let answer = send(first.at, Request::bare("/v1/sales/s/admission").by("ann")).await;
        if answer.status == 200 {
            break answer.json()["token"].as_str().unwrap().to_owned();
        }
    };
    let buy = |shop: &Shop, key: &'static str| {
        let body = serde_json::json!({ "sale": "s", "lines": [{ "item": "unit", "quantity": 1 }] }).to_string();
        let request = Request::post("/v1/orders", &body).by("ann").keyed(key).header("flashsale-admission", &token);
        send(shop.at, request)
    };
    // Given by the first, good at the second; used there, used on both.
    assert_eq!(buy(&second, "order-0001").await.status, 202);
    while send(first.at, Request::get("/v1/sales/s/place").by("ann")).await.json()["status"] != "finished" {}
    for shop in [&first, &second] {
        assert_eq!(buy(shop, "order-0002").await.problem(), (403, "admission_used".to_owned()));
        assert_eq!(buy(shop, "order-0001").await.status, 202, "a repeat gets its answer");
    }
    // Nobody is let through while the room cannot be asked.
    redis.kill9();
    let body = serde_json::json!({ "sale": "s", "lines": [{ "item": "unit", "quantity": 1 }] }).to_string();
    let stopped = send(first.at, Request::post("/v1/orders", &body).by("carl").keyed("order-0001")).await;
    assert_eq!(stopped.problem().0, 503);
    first.close().await;
    second.close().await;
}

#[tokio::test]
async fn what_was_accepted_is_paid_while_redis_is_away() {
    let redis = Redis::start(RedisOptions::default());
    let url = redis.url();
    let shop = Shop::with(&[on(&url), vec![("payment.latency-ms", "300"), ("payment.lanes", "4")]].concat()).await;
    shop.sale("s", 24, 1).await;
    for n in 0..24 {
        assert_eq!(insist(&shop, "s", &format!("m{n}")).await.0.status, 202);
    }
    redis.kill9();
    // More facts than a relay has under way: no consumer may wait for Redis.
    for n in 0..24 {
        shop.until(&format!("m{n}~order-0001"), "confirmed").await;
    }
    shop.close().await;
}
