//! Two servers over one Redis and one ledger's file: one sale, sold once, paid once, shown alike.

mod common;

use std::sync::Arc;

use common::{Request, Shop};
use flashsale_services::{Redis, RedisOptions};
use serde_json::json;

const NO_MORE: &[(&str, &str)] = &[];

/// Servers that start at the same moment over a new file, each with settings of its own.
async fn shops<const N: usize>(redis: &Redis, more: [&[(&str, &str)]; N]) -> Vec<Shop> {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let mut starts = tokio::task::JoinSet::new();
    for (n, more) in more.into_iter().enumerate() {
        let (directory, url) = (directory.clone(), redis.url());
        let more: Vec<(String, String)> = more.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        starts.spawn(async move {
            let own = [("redis.url", url.as_str()), ("redis.response-timeout-ms", "5000"), ("dev.clock", "false")];
            let more: Vec<(&str, &str)> = more.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            (n, Shop::over(directory, &[&own[..], &more[..]].concat()).await)
        });
    }
    let mut shops = starts.join_all().await;
    shops.sort_by_key(|(n, _)| *n);
    shops.into_iter().map(|(_, shop)| shop).collect()
}

async fn count(shop: &Shop, text: &'static str) -> i64 {
    sqlx::query_scalar(text).fetch_one(&shop.rows).await.unwrap()
}

/// Facts that stand in the outbox more than once.
const TOLD_TWICE: &str =
    "SELECT COUNT(*) FROM (SELECT 1 FROM outbox GROUP BY subject, version, kind HAVING COUNT(*) > 1)";

async fn close(shops: Vec<Shop>) {
    for shop in shops {
        shop.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_start_together_over_a_new_file_seed_it_once() {
    let redis = Redis::start(RedisOptions::default());
    let shops = shops(&redis, [NO_MORE; 4]).await;
    for shop in &shops {
        assert_eq!(shop.get("/v1/sales/drop-1").await.status, 200);
    }
    assert_eq!(count(&shops[0], "SELECT COUNT(*) FROM sale").await, 2);
    assert_eq!(count(&shops[0], "SELECT COUNT(*) FROM campaign").await, 1);
    close(shops).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_sell_one_sale_to_the_last_unit_and_pay_each_order_once() {
    const UNITS: u64 = 120;
    let redis = Redis::start(RedisOptions::default());
    let shops = Arc::new(shops(&redis, [NO_MORE; 2]).await);
    shops[0].sale("s", UNITS, 1).await;
    // What one wrote down, the other sells at once: its public page need not have shown it yet.
    assert_eq!(shops[1].order("s", "unit", "first", "order-0001").await.status, 202);
    let mut buyers = tokio::task::JoinSet::new();
    for n in 0..UNITS as usize + 40 {
        let shops = shops.clone();
        buyers.spawn(async move {
            let (shop, member) = (&shops[n % 2], format!("m{n}"));
            let charge = json!({ "amount": 50_000 });
            assert_eq!(shop.post("/v1/wallet/charges", &member, "charge-0001", charge).await.status, 201);
            let body = json!({ "sale": "s", "lines": [{ "item": "unit", "quantity": 1 }], "method": "wallet" });
            loop {
                // The same key at the other server is the same order.
                let answer = shops[(n + 1) % 2].post("/v1/orders", &member, "order-0001", body.clone()).await;
                let again = shop.post("/v1/orders", &member, "order-0001", body.clone()).await;
                match (answer.status, again.status) {
                    (202, 202) => {
                        assert_eq!(answer.text(), again.text());
                        return true;
                    }
                    (_, 503) | (503, _) => {}
                    // Held by others just now, or gone: it may have come back in between, so only a second refusal counts.
                    (409, 409) => return false,
                    (409, 202) => return true,
                    other => panic!("{other:?}: {} {}", answer.text(), again.text()),
                }
            }
        });
    }
    let won = buyers.join_all().await.into_iter().filter(|won| *won).count() as i64;
    let shops = Arc::into_inner(shops).unwrap();
    while count(&shops[0], "SELECT COUNT(*) FROM orders WHERE sale = 's' AND state <> 'confirmed'").await > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(won + 1, UNITS as i64, "one of them was the first");
    assert_eq!(count(&shops[0], "SELECT SUM(allocated) FROM item WHERE sale = 's'").await, UNITS as i64);
    assert_eq!(count(&shops[0], TOLD_TWICE).await, 0);
    // The money of each order moved once: `first` paid by card.
    while count(&shops[0], "SELECT COUNT(*) FROM outbox WHERE sent = 0").await > 0 {
        tokio::task::yield_now().await;
    }
    let seller = "SELECT balance FROM wallet WHERE member = 'seller'";
    assert_eq!(count(&shops[0], seller).await, won * 10_000);
    let wrong = "SELECT COUNT(*) FROM wallet WHERE member LIKE 'm%' AND balance NOT IN (40000, 50000)";
    assert_eq!(count(&shops[0], wrong).await, 0);
    assert_eq!(count(&shops[0], "SELECT COUNT(*) FROM wallet WHERE balance = 40000").await, won);
    assert_eq!(count(&shops[0], "SELECT COUNT(*) FROM dead_letter").await, 0);
    // Both boards come to show the truth, and both streams begin with it.
    for shop in &shops {
        loop {
            let item = shop.get("/v1/sales/s").await.json()["items"][0].clone();
            if item["sold"] == UNITS && item["left"] == 0 && item["held"] == 0 {
                break;
            }
        }
    }
    close(shops).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_accepted_by_one_server_is_paid_by_the_other() {
    let redis = Redis::start(RedisOptions::default());
    // The first never comes to the end of a payment.
    let shops = shops(&redis, [&[("payment.latency-ms", "60000"), ("http.shutdown-ms", "0")], NO_MORE]).await;
    shops[0].sale("s", 3, 1).await;
    for member in ["a", "b", "c"] {
        assert_eq!(shops[0].order("s", "unit", member, "order-0001").await.status, 202);
    }
    for member in ["a", "b", "c"] {
        shops[0].until(&format!("{member}~order-0001"), "confirmed").await;
    }
    assert_eq!(count(&shops[0], TOLD_TWICE).await, 0);
    close(shops).await;
}

#[tokio::test]
async fn what_one_server_writes_down_the_other_knows_at_once() {
    let redis = Redis::start(RedisOptions::default());
    let shops = shops(&redis, [NO_MORE; 2]).await;
    let [one, two] = &shops[..] else { panic!("two") };
    for n in 0..10 {
        let sale = format!("s{n}");
        one.sale(&sale, 1, 1).await;
        let page = format!("/v1/sales/{sale}");
        assert_eq!(two.get(&page).await.status, 200, "{sale}");
    }
    assert_eq!(two.get("/v1/sales/nowhere").await.problem(), (404, "unknown_sale".to_owned()));
    assert_eq!(two.order("nowhere", "unit", "a", "order-0001").await.problem().0, 404);
    let campaign = json!({ "id": "c", "daily_at": "13:00", "zone": "Asia/Seoul", "cap": 1, "takes_off": 1, "from": 1, "valid_months": 1 });
    assert_eq!(one.post("/v1/campaigns", "op", "create-c1", campaign).await.status, 201);
    let claim = |member| Request::post("/v1/campaigns/c/coupons", "{}").by(member).keyed("claim-0001");
    assert_eq!(two.send(claim("a")).await.status, 201);
    assert_eq!(one.send(claim("b")).await.status, 429, "the one coupon is gone for both");
    close(shops).await;
}
