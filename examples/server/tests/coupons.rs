//! Campaigns, claims and coupons over HTTP.

mod common;

use common::{Answer, Request, Shop};
use serde_json::json;

/// A campaign of one window with two coupons of 3,000 from 10,000 up.
async fn campaign(shop: &Shop, id: &str, more: serde_json::Value) -> Answer {
    let mut terms = json!({ "id": id, "cap": 2, "takes_off": 3_000, "from": 10_000 });
    terms.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    shop.post("/v1/campaigns", "op", "-", terms).await
}

async fn claim(shop: &Shop, campaign: &str, member: &str, key: &str) -> Answer {
    shop.post(&format!("/v1/campaigns/{campaign}/coupons"), member, key, json!({})).await
}

async fn clock(shop: &Shop, to: &str) {
    let body = json!({ "now": to }).to_string();
    let answer = shop.send(Request::post("/dev/v1/clock", &body).method("PUT")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn the_first_claims_get_a_coupon_and_the_others_are_told_when_to_come_again() {
    let shop = Shop::open().await;
    let daily = json!({ "daily_at": "13:00", "zone": "Asia/Seoul", "valid_months": 1 });
    assert_eq!(campaign(&shop, "plant", daily).await.status, 201);
    let members: Vec<String> = (0..40).map(|n| format!("m{n}")).collect();
    let answers = futures_util::future::join_all(members.iter().map(|m| claim(&shop, "plant", m, "claim-0001"))).await;
    let (issued, late): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 201);
    assert_eq!(issued.len(), 2);
    for answer in late {
        let (status, code) = answer.problem();
        assert_eq!(status, 429);
        assert!(["exhausted", "all_held"].contains(&code.as_str()), "{code}");
        assert!(answer.header("retry-after").is_some(), "a 429 says when to come again");
    }
    let rows: i64 =
        sqlx::query_scalar("SELECT COUNT(DISTINCT member) FROM coupon").fetch_one(&shop.rows).await.unwrap();
    assert_eq!(rows, 2);
    shop.close().await;
}

#[tokio::test]
async fn a_member_gets_one_coupon_of_a_window_and_a_repeat_gets_it_again() {
    let shop = Shop::open().await;
    campaign(&shop, "plant", json!({})).await;
    let first = claim(&shop, "plant", "ann", "claim-0001").await;
    assert_eq!((first.status, first.header("idempotency-replayed")), (201, None));
    let id = first.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(first.header("location"), Some(format!("/v1/coupons/{id}").as_str()));
    let again = claim(&shop, "plant", "ann", "claim-0001").await;
    assert_eq!((again.status, again.text(), again.header("idempotency-replayed")), (201, first.text(), Some("true")));
    let twice = claim(&shop, "plant", "ann", "claim-0002").await;
    assert_eq!(twice.problem(), (409, "already_claimed".into()));
    assert_eq!((&twice.json()["coupon"], &twice.json()["counted"]), (&json!(id), &json!("bought")));
    claim(&shop, "plant", "bob", "claim-0001").await;
    let late = claim(&shop, "plant", "cid", "claim-0001").await;
    assert_eq!(late.problem(), (429, "exhausted".into()));
    let full = claim(&shop, "plant", "ann", "claim-0003").await;
    assert_eq!(full.problem(), (409, "already_claimed".into()), "who has one is told so, also when all are gone");
    shop.close().await;
}

#[tokio::test]
async fn a_window_opens_on_its_day_and_the_next_day_has_its_own() {
    let shop = Shop::open().await;
    let terms = json!({ "daily_at": "13:00", "zone": "Asia/Seoul", "opens_at": "2999-05-05T04:00:00Z" });
    campaign(&shop, "plant", terms).await;
    clock(&shop, "2999-05-05T03:59:00Z").await;
    let early = claim(&shop, "plant", "ann", "claim-0001").await;
    assert_eq!(early.problem(), (403, "not_open".into()));
    assert_eq!(early.json()["opens_at"], "2999-05-05T04:00:00.000Z");
    clock(&shop, "2999-05-05T04:00:00Z").await;
    for member in ["ann", "bob"] {
        assert_eq!(claim(&shop, "plant", member, "claim-0001").await.status, 201);
    }
    assert_eq!(claim(&shop, "plant", "cid", "claim-0001").await.problem(), (429, "exhausted".into()));
    clock(&shop, "2999-05-06T04:00:00Z").await;
    assert_eq!(claim(&shop, "plant", "cid", "claim-0001").await.status, 201, "yesterday's 429 may win today");
    let view = shop.send(Request::get("/v1/campaigns/plant").by("cid")).await.json();
    assert_eq!((&view["left"], &view["mine"]), (&json!(1), &json!("plant~2999-05-06~cid")));
    shop.close().await;
}

#[tokio::test]
async fn a_campaign_is_shown_refused_when_unknown_and_over_at_its_end() {
    let shop = Shop::open().await;
    assert_eq!(campaign(&shop, "old", json!({ "closes_at": "2001-01-01T00:00:00Z" })).await.status, 201);
    assert_eq!(shop.get("/v1/campaigns/old").await.json()["state"], "ended");
    assert_eq!(claim(&shop, "old", "ann", "claim-0001").await.problem(), (410, "ended".into()));
    assert_eq!(shop.get("/v1/campaigns/nope").await.problem(), (404, "unknown_campaign".into()));
    assert_eq!(claim(&shop, "nope", "ann", "claim-0001").await.problem(), (404, "unknown_campaign".into()));
    let list = shop.get("/v1/campaigns").await.json();
    let names: Vec<&str> = list["campaigns"].as_array().unwrap().iter().map(|c| c["id"].as_str().unwrap()).collect();
    assert_eq!(names, ["old", "plant-3000"]);
    for bad in [
        json!({ "daily_at": "25:00" }),
        json!({ "daily_at": "13:00", "zone": "Asia/Nowhere" }),
        json!({ "zone": "Asia/Seoul" }),
        json!({ "valid_days": 1, "valid_months": 1 }),
        json!({ "valid_days": 0 }),
        json!({ "opens_at": 5, "closes_at": 5 }),
    ] {
        assert_eq!(campaign(&shop, "bad", bad.clone()).await.problem(), (422, "terms".into()), "{bad}");
    }
    shop.close().await;
}

#[tokio::test]
async fn a_coupon_is_used_once_and_comes_back_when_its_order_is_undone() {
    let shop = Shop::with(&[("payment.decline-rate", "1")]).await;
    shop.sale("s", 10, 10).await;
    campaign(&shop, "plant", json!({})).await;
    let coupon = claim(&shop, "plant", "ann", "claim-0001").await.json()["id"].clone();
    let buy = |key: &'static str, by: &'static str| {
        let body = json!({ "sale": "s", "lines": [{ "item": "unit", "quantity": 1 }], "coupon": coupon, "method": by });
        let shop = &shop;
        async move { shop.post("/v1/orders", "ann", key, body).await }
    };
    shop.post("/v1/wallet/charges", "ann", "charge-01", json!({ "amount": 50_000 })).await;
    let declined = buy("order-0001", "card").await;
    assert_eq!(declined.json()["amounts"], json!({ "list": 10_000, "discount": 3_000, "pays": 7_000 }));
    shop.until("ann~order-0001", "cancelled").await;
    let usable = |path: &'static str| {
        let shop = &shop;
        async move { shop.send(Request::get(path).by("ann")).await.json()["coupons"].as_array().unwrap().len() }
    };
    assert_eq!(usable("/v1/coupons?usable=true").await, 1, "its order was undone");
    assert_eq!(buy("order-0002", "wallet").await.status, 202);
    shop.until("ann~order-0002", "confirmed").await;
    assert_eq!((usable("/v1/coupons?usable=true").await, usable("/v1/coupons").await), (0, 1));
    let used = buy("order-0003", "wallet").await;
    assert_eq!(used.problem(), (409, "coupon_used".into()));
    let shown = format!("/v1/coupons/{}", coupon.as_str().unwrap());
    let view = shop.send(Request::get(&shown).by("ann")).await.json();
    assert_eq!((&view["used_by"], &view["usable"]), (&json!("ann~order-0002"), &json!(false)));
    assert_eq!(shop.send(Request::get(&shown).by("bob")).await.problem(), (404, "not_found".into()));
    shop.close().await;
}

#[tokio::test]
async fn every_refusal_of_a_coupon_has_its_status() {
    let shop = Shop::open().await;
    shop.sale("s", 10, 10).await;
    campaign(&shop, "dear", json!({ "from": 10_001 })).await;
    campaign(&shop, "walleted", json!({ "only_with": "wallet" })).await;
    campaign(&shop, "short", json!({ "valid_days": 1 })).await;
    let mut coupons = Vec::new();
    for name in ["dear", "walleted", "short"] {
        coupons.push(claim(&shop, name, "ann", "claim-0001").await.json()["id"].clone());
    }
    let buy = |member: &'static str, key: &'static str, coupon: serde_json::Value| {
        let body = json!({ "sale": "s", "lines": [{ "item": "unit", "quantity": 1 }], "coupon": coupon });
        let shop = &shop;
        async move { shop.post("/v1/orders", member, key, body).await.problem() }
    };
    assert_eq!(buy("ann", "order-0001", coupons[0].clone()).await, (422, "coupon_minimum".into()));
    assert_eq!(buy("ann", "order-0002", coupons[1].clone()).await, (422, "coupon_method".into()));
    assert_eq!(buy("bob", "order-0003", coupons[2].clone()).await, (404, "coupon_unknown".into()));
    assert_eq!(buy("ann", "order-0004", json!("a~b~ann")).await, (404, "coupon_unknown".into()));
    clock(&shop, "2999-01-01T00:00:00Z").await;
    assert_eq!(buy("ann", "order-0005", coupons[2].clone()).await, (410, "coupon_expired".into()));
    shop.close().await;
}

#[tokio::test]
async fn a_window_is_no_sale_that_can_be_bought_from_or_written_down() {
    let shop = Shop::open().await;
    campaign(&shop, "plant", json!({})).await;
    claim(&shop, "plant", "ann", "claim-0001").await;
    let order = shop.order("plant:once", "coupon", "bob", "order-0001").await;
    assert_eq!(order.problem(), (404, "unknown_sale".into()), "a unit of it would be a coupon that nobody has");
    assert_eq!(shop.get("/v1/sales/plant:once").await.status, 404);
    let items = json!([{ "id": "unit", "total": 1, "price": 1, "per_buyer": 1 }]);
    let sale = shop.post("/v1/sales", "op", "-", json!({ "id": "plant:2999-01-01", "items": items })).await;
    assert_eq!(sale.problem(), (422, "terms".into()));
    shop.close().await;
}
