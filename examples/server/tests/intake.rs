//! Intake by log over HTTP, on a log of this process: 202 `recorded`, then what the ledger decided.

mod common;

use common::{Answer, Request, Shop};
use serde_json::{Value, json};

async fn shop() -> Shop {
    Shop::with(&[("sale.intake", "volatile-log")]).await
}

/// Looks at a request until the ledger has decided it; it is `recorded` until then.
async fn decided(shop: &Shop, place: &str, member: &str) -> Answer {
    loop {
        let answer = shop.send(Request::get(place).by(member)).await;
        if answer.json()["status"] != "recorded" {
            return answer;
        }
    }
}

#[tokio::test]
async fn an_order_is_recorded_then_accepted_and_paid() {
    let shop = shop().await;
    shop.sale("drop", 1, 1).await;
    let answer = shop.order("drop", "unit", "ann", "order-0001").await;
    assert_eq!(answer.status, 202);
    let told = answer.json();
    assert_eq!((&told["id"], &told["status"], &told["no"]), (&json!("ann~order-0001"), &json!("recorded"), &json!(1)));
    assert_eq!(told.get("amounts"), None, "nothing is priced before the ledger has decided");
    let place = answer.header("location").unwrap().to_owned();
    assert_eq!(place, "/v1/orders/ann~order-0001");
    let order = decided(&shop, &place, "ann").await;
    assert_eq!(order.status, 200);
    let order = shop.until("ann~order-0001", "confirmed").await;
    assert_eq!((&order["no"], &order["amounts"]["pays"]), (&json!(1), &json!(10_000)));
    let again = shop.order("drop", "unit", "ann", "order-0001").await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (202, Some("true")));
    assert_eq!(again.json()["status"], "accepted", "a repeat is told what was decided");
    let late = shop.order("drop", "unit", "bob", "order-0001").await;
    assert_eq!(late.problem(), (409, "sold_out".into()));
    assert_eq!(shop.send(Request::get(&place).by("bob")).await.problem(), (404, "not_found".into()), "his own only");
    shop.close().await;
}

#[tokio::test]
async fn what_the_ledger_refuses_is_shown_with_its_reason_and_told_to_every_repeat() {
    let shop = shop().await;
    shop.sale("drop", 5, 1).await;
    let body = json!({ "sale": "drop", "lines": [{ "item": "unit", "quantity": 1 }], "expected_total": 9_000 });
    let answer = shop.post("/v1/orders", "ann", "order-0001", body.clone()).await;
    assert_eq!((answer.status, &answer.json()["status"]), (202, &json!("recorded")));
    let order = decided(&shop, "/v1/orders/ann~order-0001", "ann").await.json();
    assert_eq!((&order["status"], &order["reason"]), (&json!("refused"), &json!("price_changed")));
    let again = shop.post("/v1/orders", "ann", "order-0001", body).await;
    assert_eq!(again.problem(), (409, "price_changed".into()));
    shop.close().await;
}

#[tokio::test]
async fn a_claim_is_recorded_then_a_coupon() {
    let shop = shop().await;
    let terms: Value = json!({ "id": "plant", "cap": 1, "takes_off": 3_000, "from": 10_000 });
    assert_eq!(shop.post("/v1/campaigns", "op", "-", terms).await.status, 201);
    let claim = async |member: &'static str, key: &'static str| {
        shop.post("/v1/campaigns/plant/coupons", member, key, json!({})).await
    };
    let answer = claim("ann", "claim-0001").await;
    assert_eq!((answer.status, &answer.json()["status"]), (202, &json!("recorded")));
    let place = answer.header("location").unwrap().to_owned();
    let coupon = decided(&shop, &place, "ann").await;
    assert_eq!((coupon.status, &coupon.json()["usable"]), (200, &json!(true)));
    let again = claim("ann", "claim-0001").await;
    assert_eq!((again.status, &again.json()["id"]), (201, &coupon.json()["id"]), "one coupon");
    assert_eq!(claim("ann", "claim-0002").await.problem(), (409, "already_claimed".into()));
    assert_eq!(claim("bob", "claim-0001").await.problem(), (429, "exhausted".into()));
    let none = shop.send(Request::bare("/dev/v1/intake/recall")).await;
    assert_eq!((none.status, none.json()), (200, json!({ "recalled": 0 })));
    shop.close().await;
}

#[tokio::test]
async fn the_server_says_for_what_it_waits() {
    for (flags, word) in [(&[][..], "ledger"), (&[("sale.intake", "volatile-log")][..], "volatile-log")] {
        let shop = Shop::with(flags).await;
        assert_eq!(shop.get("/version").await.json()["intake"], word);
        shop.close().await;
    }
}
