//! The wallet over HTTP.

mod common;

use common::{Request, Shop};
use serde_json::json;

async fn balance(shop: &Shop, member: &str) -> u64 {
    shop.send(Request::get("/v1/wallet").by(member)).await.json()["balance"].as_u64().unwrap()
}

#[tokio::test]
async fn a_charge_is_done_once_under_its_key_however_often_it_is_asked_for() {
    let shop = Shop::open().await;
    let asked = (0..50).map(|_| shop.post("/v1/wallet/charges", "ann", "charge-01", json!({ "amount": 20_000 })));
    let answers = futures_util::future::join_all(asked).await;
    assert!(answers.iter().all(|answer| answer.status == 201 && answer.text() == answers[0].text()));
    let first = answers.iter().filter(|answer| answer.header("idempotency-replayed").is_none()).count();
    assert_eq!((first, balance(&shop, "ann").await), (1, 20_000));
    let other = shop.post("/v1/wallet/charges", "ann", "charge-01", json!({ "amount": 1 })).await;
    assert_eq!(other.problem(), (422, "key_reused".into()));
    shop.close().await;
}

#[tokio::test]
async fn a_trade_moves_the_full_amount_and_the_platform_pays_what_the_coupon_takes_off() {
    let shop = Shop::open().await;
    let coupon =
        shop.post("/v1/campaigns/plant-3000/coupons", "ann", "claim-0001", json!({})).await.json()["id"].clone();
    shop.post("/v1/wallet/charges", "ann", "charge-01", json!({ "amount": 30_000 })).await;
    let trade = |key: &'static str, amount: u64| {
        let body = json!({ "seller": "bob", "amount": amount, "coupon": coupon });
        let shop = &shop;
        async move { shop.post("/v1/wallet/trades", "ann", key, body).await }
    };
    assert_eq!(trade("trade-0001", 9_999).await.problem(), (422, "coupon_minimum".into()));
    let done = trade("trade-0002", 10_000).await;
    let body = done.json();
    let figures = ["buyer_paid", "seller_received", "funded", "balance"].map(|f| body[f].as_u64().unwrap());
    assert_eq!((done.status, figures), (201, [7_000, 10_000, 3_000, 23_000]));
    assert_eq!(trade("trade-0002", 10_000).await.text(), done.text(), "a repeat gets the same");
    assert_eq!((balance(&shop, "ann").await, balance(&shop, "bob").await), (23_000, 10_000));
    assert_eq!(trade("trade-0003", 10_000).await.problem(), (409, "coupon_used".into()));
    shop.close().await;
}

#[tokio::test]
async fn every_refusal_of_the_wallet_has_its_status_and_moves_nothing() {
    let shop = Shop::open().await;
    shop.post("/v1/wallet/charges", "ann", "charge-01", json!({ "amount": 100 })).await;
    let before = shop.ledger().await;
    let most = 1_000_000_000_000_000_u64;
    for (path, body, expected) in [
        ("refunds", json!({ "amount": 101 }), (409, "insufficient")),
        ("trades", json!({ "seller": "bob", "amount": 101 }), (409, "insufficient")),
        ("trades", json!({ "seller": "ann", "amount": 1 }), (422, "same_member")),
        ("trades", json!({ "seller": "bob", "amount": 1, "coupon": "a~b~ann" }), (404, "coupon_unknown")),
        ("charges", json!({ "amount": 0 }), (422, "amount_zero")),
        ("refunds", json!({ "amount": 0 }), (422, "amount_zero")),
        ("trades", json!({ "seller": "bob", "amount": 0 }), (422, "amount_zero")),
        ("charges", json!({ "amount": most }), (409, "too_much")),
        ("charges", json!({ "amount": most + 1 }), (422, "invalid")),
        ("charges", json!({ "amount": -1 }), (422, "invalid")),
        ("charges", json!({ "amount": 1.5 }), (422, "invalid")),
    ] {
        let answer = shop.post(&format!("/v1/wallet/{path}"), "ann", "write-0001", body.clone()).await;
        assert_eq!(answer.problem(), (expected.0, expected.1.into()), "{path} {body}");
    }
    assert_eq!(shop.ledger().await, before);
    shop.close().await;
}

#[tokio::test]
async fn entries_are_listed_latest_first_in_pages() {
    let shop = Shop::open().await;
    for n in 1..=5 {
        shop.post("/v1/wallet/charges", "ann", &format!("charge-{n:02}"), json!({ "amount": n })).await;
    }
    let refund = shop.post("/v1/wallet/refunds", "ann", "refund-01", json!({ "amount": 5 })).await;
    assert_eq!((refund.status, refund.json()["balance"].as_u64()), (201, Some(10)));
    let mut amounts = Vec::new();
    let mut path = "/v1/wallet/entries?limit=4".to_owned();
    loop {
        let page = shop.send(Request::get(&path).by("ann")).await.json();
        amounts.extend(page["entries"].as_array().unwrap().iter().map(|e| e["amount"].as_i64().unwrap()));
        match page["next"].as_u64() {
            Some(next) => path = format!("/v1/wallet/entries?limit=4&before={next}"),
            None => break,
        }
    }
    assert_eq!(amounts, [-5, 5, 4, 3, 2, 1]);
    shop.close().await;
}

#[tokio::test]
async fn an_order_is_paid_from_the_wallet_or_undone_for_want_of_money() {
    let shop = Shop::open().await;
    shop.sale("s", 10, 10).await;
    let buy = |key: &'static str| {
        let body = json!({ "sale": "s", "lines": [{ "item": "unit", "quantity": 1 }], "method": "wallet" });
        let shop = &shop;
        async move { shop.post("/v1/orders", "ann", key, body).await.status }
    };
    assert_eq!(buy("order-0001").await, 202);
    assert_eq!(shop.until("ann~order-0001", "cancelled").await["reason"], "insufficient");
    shop.post("/v1/wallet/charges", "ann", "charge-01", json!({ "amount": 10_000 })).await;
    assert_eq!(buy("order-0002").await, 202);
    shop.until("ann~order-0002", "confirmed").await;
    assert_eq!(balance(&shop, "ann").await, 0);
    while balance(&shop, "seller").await < 10_000 {}
    shop.close().await;
}
