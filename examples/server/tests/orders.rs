//! Orders over HTTP: each answer of the contract, and what repeats get.

mod common;

use common::{Request, Shop};
use serde_json::json;

#[tokio::test]
async fn an_order_is_accepted_and_followed_to_its_end() {
    let shop = Shop::open().await;
    shop.sale("s", 5, 1).await;
    let answer = shop.order("s", "unit", "ann", "order-0001").await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    assert_eq!(answer.header("location"), Some("/v1/orders/ann~order-0001"));
    let body = answer.json();
    assert_eq!((&body["id"], &body["status"], &body["no"]), (&json!("ann~order-0001"), &json!("accepted"), &json!(1)));
    assert_eq!(body["amounts"], json!({ "list": 10_000, "discount": 0, "pays": 10_000 }));
    assert_eq!(body["lines"], json!([{ "item": "unit", "quantity": 1 }]));
    for field in ["pay_by", "server_time", "refresh_after_ms"] {
        assert!(!body[field].is_null(), "{field} is missing in {body}");
    }
    let order = shop.until("ann~order-0001", "confirmed").await;
    assert!(order["version"].as_u64() > Some(1) && order.get("refresh_after_ms").is_none());
    let events = shop.send(Request::get("/v1/orders/ann~order-0001/events").by("ann")).await.json();
    let kinds: Vec<&str> = events["events"].as_array().unwrap().iter().map(|e| e["type"].as_str().unwrap()).collect();
    assert_eq!(kinds.first(), Some(&"flashsale.order.accepted.v1"));
    assert!(kinds.contains(&"flashsale.order.confirmed.v1"), "{kinds:?}");
    shop.close().await;
}

#[tokio::test]
async fn a_repeat_gets_the_same_status_and_body_and_says_so() {
    let shop = Shop::open().await;
    shop.sale("s", 1, 1).await;
    let first = shop.order("s", "unit", "ann", "order-0001").await;
    shop.until("ann~order-0001", "confirmed").await;
    let again = shop.order("s", "unit", "ann", "order-0001").await;
    assert_eq!((first.status, first.text()), (again.status, again.text()));
    assert_eq!((first.header("idempotency-replayed"), again.header("idempotency-replayed")), (None, Some("true")));
    let other = json!({ "sale": "s", "lines": [{ "item": "unit", "quantity": 1 }], "address": "elsewhere" });
    let other = shop.post("/v1/orders", "ann", "order-0001", other).await;
    assert_eq!(other.problem(), (422, "key_reused".into()));
    shop.close().await;
}

#[tokio::test]
async fn units_go_to_the_first_and_losers_come_after_every_winner() {
    let shop = Shop::open().await;
    shop.sale("s", 20, 1).await;
    let members: Vec<String> = (0..120).map(|n| format!("m{n}")).collect();
    let answers =
        futures_util::future::join_all(members.iter().map(|m| shop.order("s", "unit", m, "order-0001"))).await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 202);
    assert_eq!(won.len(), 20);
    let last = won.iter().map(|answer| answer.json()["no"].as_u64().unwrap()).max().unwrap();
    for answer in lost {
        let (status, code) = answer.problem();
        assert_eq!(status, 409);
        assert!(["sold_out", "all_held"].contains(&code.as_str()), "{code}");
        let after = answer.json()["after"].as_u64().unwrap();
        assert!(last <= after, "a winner with number {last} came after a loser at {after}");
    }
    let sold: (i64, i64) = sqlx::query_as(
        "SELECT allocated, (SELECT SUM(units) FROM line WHERE sale = 's' AND live) FROM item WHERE sale = 's'",
    )
    .fetch_one(&shop.rows)
    .await
    .unwrap();
    assert_eq!(sold, (20, 20));
    shop.close().await;
}

#[tokio::test]
async fn every_refusal_of_an_order_has_its_status_and_numbers() {
    let shop = Shop::open().await;
    shop.sale("s", 5, 1).await;
    assert_eq!(shop.order("s", "unit", "ann", "order-0001").await.status, 202);
    let limit = shop.order("s", "unit", "ann", "order-0002").await;
    assert_eq!(limit.problem(), (409, "buyer_limit".into()));
    let body = limit.json();
    assert_eq!((&body["have"], &body["limit"], &body["counted"]), (&json!(1), &json!(1), &json!("bought")));

    assert_eq!(shop.order("nope", "unit", "bob", "order-0001").await.problem(), (404, "unknown_sale".into()));
    assert_eq!(shop.order("s", "nope", "bob", "order-0001").await.problem(), (404, "unknown_item".into()));

    let terms = |more: serde_json::Value| {
        let mut terms = json!({ "items": [{ "id": "unit", "total": 5, "price": 1, "per_buyer": 1 }] });
        terms.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        terms
    };
    let later = terms(json!({ "id": "later", "opens_at": "2999-01-01T00:00:00Z" }));
    assert_eq!(shop.post("/v1/sales", "op", "-", later).await.status, 201);
    let answer = shop.order("later", "unit", "bob", "order-0001").await;
    assert_eq!(answer.problem(), (403, "not_open".into()));
    assert_eq!(answer.json()["opens_at"], "2999-01-01T00:00:00.000Z");
    let over = terms(json!({ "id": "over", "closes_at": 1_000 }));
    assert_eq!(shop.post("/v1/sales", "op", "-", over).await.status, 201);
    assert_eq!(shop.order("over", "unit", "bob", "order-0001").await.problem(), (410, "closed".into()));

    let seen =
        |total: u64| json!({ "sale": "s", "lines": [{ "item": "unit", "quantity": 1 }], "expected_total": total });
    let changed = shop.post("/v1/orders", "bob", "order-0009", seen(9_999)).await;
    assert_eq!(changed.problem(), (409, "price_changed".into()));
    let again = shop.post("/v1/orders", "bob", "order-0009", seen(9_999)).await;
    assert_eq!(again.text(), changed.text(), "the ledger's refusal is for ever");
    assert_eq!(shop.post("/v1/orders", "bob", "order-0010", seen(10_000)).await.status, 202);

    let lines = |lines: serde_json::Value| json!({ "sale": "s", "lines": lines });
    for bad in [json!([]), json!([{ "item": "unit", "quantity": 1 }, { "item": "unit", "quantity": 1 }])] {
        assert_eq!(shop.post("/v1/orders", "cid", "order-0001", lines(bad)).await.problem(), (422, "lines".into()));
    }
    let by = json!({ "sale": "s", "lines": [{ "item": "unit", "quantity": 1 }], "method": "shells" });
    assert_eq!(shop.post("/v1/orders", "cid", "order-0001", by).await.problem(), (422, "method".into()));
    shop.close().await;
}

#[tokio::test]
async fn a_sale_that_is_not_named_is_the_standing_one() {
    let shop = Shop::open().await;
    let body = json!({ "lines": [{ "item": "fern", "quantity": 2 }, { "item": "clay-pot", "quantity": 1 }] });
    let answer = shop.post("/v1/orders", "ann", "order-0001", body).await.json();
    assert_eq!((&answer["sale"], &answer["amounts"]["pays"]), (&json!("shop"), &json!(32_000)));
    shop.close().await;
}

#[tokio::test]
async fn an_order_is_cancelled_returned_and_refused_by_where_it_stands() {
    let shop = Shop::with(&[("payment.latency-ms", "60000")]).await;
    shop.sale("s", 1, 1).await;
    shop.order("s", "unit", "ann", "order-0001").await;
    shop.until("ann~order-0001", "paying").await;
    let path = |what: &str| format!("/v1/orders/ann~order-0001/{what}");
    let send = |what: &'static str, key: &'static str| {
        let path = path(what);
        let shop = &shop;
        async move { shop.send(Request::bare(&path).by("ann").keyed(key)).await }
    };
    assert_eq!(send("return", "return-01").await.problem(), (409, "not_bought".into()));
    assert_eq!(send("payments", "pay-00001").await.status, 202, "it is under way");
    let cancelled = send("cancel", "cancel-01").await;
    assert_eq!(cancelled.status, 202);
    assert_eq!(cancelled.json()["status"], "closing");
    shop.close().await;

    let shop = Shop::open().await;
    shop.sale("s", 1, 1).await;
    shop.order("s", "unit", "ann", "order-0001").await;
    shop.until("ann~order-0001", "confirmed").await;
    let send = |what: &'static str, key: &'static str| {
        let path = path(what);
        let shop = &shop;
        async move { shop.send(Request::bare(&path).by("ann").keyed(key)).await }
    };
    assert_eq!(send("cancel", "cancel-01").await.problem(), (409, "not_cancellable".into()));
    assert_eq!(send("payments", "pay-00001").await.problem(), (409, "not_payable".into()));
    let returned = send("return", "return-01").await;
    assert_eq!((returned.status, returned.header("idempotency-replayed")), (202, None));
    shop.until("ann~order-0001", "refunded").await;
    let again = send("return", "return-01").await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (202, Some("true")));
    let back: i64 =
        sqlx::query_scalar("SELECT allocated FROM item WHERE sale = 's'").fetch_one(&shop.rows).await.unwrap();
    assert_eq!(back, 0, "two returns give one unit back");
    shop.close().await;
}

#[tokio::test]
async fn the_time_for_returns_ends() {
    let shop = Shop::open().await;
    shop.sale("s", 1, 1).await;
    shop.order("s", "unit", "ann", "order-0001").await;
    shop.until("ann~order-0001", "confirmed").await;
    let year = Request::post("/dev/v1/clock", r#"{"now":"2999-01-01T00:00:00Z"}"#).method("PUT");
    assert_eq!(shop.send(year).await.status, 200);
    let late = shop.send(Request::bare("/v1/orders/ann~order-0001/return").by("ann").keyed("return-01")).await;
    assert_eq!(late.problem(), (410, "return_period_passed".into()));
    shop.close().await;
}

#[tokio::test]
async fn an_order_that_nobody_pays_for_in_time_ends_and_cannot_be_paid() {
    let shop = Shop::with(&[("payment.latency-ms", "60000"), ("payment.lanes", "1")]).await;
    let items = json!([{ "id": "unit", "total": 2, "price": 1, "per_buyer": 1 }]);
    shop.post("/v1/sales", "op", "-", json!({ "id": "s", "pay_within_s": 0, "items": items })).await;
    assert_eq!(shop.order("s", "unit", "ann", "order-0001").await.status, 202);
    loop {
        let pay = shop.send(Request::bare("/v1/orders/ann~order-0001/payments").by("ann").keyed("pay-00001")).await;
        match pay.status {
            // Its payment had begun before its time was over; it ends once the provider has fenced it.
            202 => {}
            409 => assert_eq!(pay.problem().1, "not_payable"),
            _ => {
                assert_eq!(pay.problem(), (410, "pay_by_passed".into()));
                break;
            }
        }
        let order = shop.send(Request::get("/v1/orders/ann~order-0001").by("ann")).await.json();
        if order["status"] == "closing" {
            break;
        }
    }
    shop.close().await;
}

#[tokio::test]
async fn a_foreign_order_and_a_missing_one_are_the_same() {
    let shop = Shop::open().await;
    shop.sale("s", 5, 1).await;
    shop.order("s", "unit", "ann", "order-0001").await;
    shop.post("/v1/campaigns/plant-3000/coupons", "ann", "claim-0001", json!({})).await;
    let foreign = shop.send(Request::get("/v1/orders/ann~order-0001").by("bob")).await;
    let missing = shop.send(Request::get("/v1/orders/bob~order-0001").by("bob")).await;
    assert_eq!((foreign.problem(), foreign.text()), ((404, "not_found".into()), missing.text()));
    for path in ["/v1/orders/ann~order-0001/cancel", "/v1/orders/nope/cancel", "/v1/orders/bob~order-0001/return"] {
        let answer = shop.send(Request::bare(path).by("bob").keyed("write-001")).await;
        assert_eq!(answer.problem(), (404, "not_found".into()), "{path}");
    }
    let claim = Request::bare("/v1/orders/ann~plant-3000~claim-0001/return").by("ann").keyed("return-01");
    assert_eq!(shop.send(claim).await.status, 404, "a claim cannot be returned: its coupon would stay");
    shop.close().await;
}

#[tokio::test]
async fn orders_are_listed_latest_first_by_status_and_key_in_pages() {
    let shop = Shop::open().await;
    shop.sale("s", 50, 50).await;
    for n in 0..7 {
        assert_eq!(shop.order("s", "unit", "ann", &format!("order-{n:04}")).await.status, 202);
        shop.until(&format!("ann~order-{n:04}"), "confirmed").await;
    }
    shop.post("/v1/campaigns/plant-3000/coupons", "ann", "claim-0001", json!({})).await;
    let mut seen = Vec::new();
    let mut path = "/v1/orders?limit=3".to_owned();
    loop {
        let page = shop.send(Request::get(&path).by("ann")).await.json();
        seen.extend(page["orders"].as_array().unwrap().iter().map(|o| o["id"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => path = format!("/v1/orders?limit=3&after={next}"),
            None => break,
        }
    }
    let expected: Vec<String> = (0..7).rev().map(|n| format!("ann~order-{n:04}")).collect();
    assert_eq!(seen, expected);
    let by = |query: &str| {
        let path = format!("/v1/orders?{query}");
        let shop = &shop;
        async move { shop.send(Request::get(&path).by("ann")).await }
    };
    assert_eq!(by("status=confirmed").await.json()["orders"].as_array().unwrap().len(), 7);
    assert_eq!(by("status=cancelled").await.json()["orders"].as_array().unwrap().len(), 0);
    assert_eq!(by("key=order-0003").await.json()["orders"][0]["id"], "ann~order-0003");
    for bad in
        ["status=lost", "limit=0", "limit=101", "limit=x", "key=no", "after=bob~order-0001", "after=x", "color=red"]
    {
        assert!([400, 422].contains(&by(bad).await.problem().0), "{bad}");
    }
    shop.close().await;
}

#[tokio::test]
async fn a_quote_says_what_it_would_cost_and_what_is_in_the_way() {
    let shop = Shop::open().await;
    let coupon = shop.post("/v1/campaigns/plant-3000/coupons", "ann", "claim-0001", json!({})).await.json();
    let quote = |body: serde_json::Value| {
        let shop = &shop;
        async move { shop.send(Request::post("/v1/quotes", &body.to_string()).by("ann")).await }
    };
    let lines = json!([{ "item": "fern", "quantity": 1 }]);
    let with = quote(json!({ "lines": lines, "coupon": coupon["id"], "method": "wallet" })).await.json();
    let figures = ["list", "discount", "buyer_pays", "funded"].map(|f| with[f].as_u64().unwrap());
    assert_eq!((figures, &with["problems"]), ([12_000, 3_000, 9_000, 3_000], &json!([])));
    let by_card = quote(json!({ "lines": lines, "coupon": coupon["id"] })).await.json();
    assert_eq!((&by_card["buyer_pays"], &by_card["problems"][0]["code"]), (&json!(12_000), &json!("coupon_method")));
    let many = quote(json!({ "sale": "drop-1", "lines": [{ "item": "sneaker-42", "quantity": 2 }] })).await.json();
    assert_eq!(many["problems"][0]["code"], "buyer_limit");
    assert_eq!(
        quote(json!({ "lines": [{ "item": "moss", "quantity": 1 }] })).await.problem(),
        (404, "unknown_item".into())
    );
    shop.close().await;
}

#[tokio::test]
async fn an_order_that_waits_to_be_paid_tells_its_place() {
    // One lane, and a first payment that takes longer than the questions before it.
    let shop = Shop::with(&[("payment.lanes", "1"), ("payment.latency-ms", "3000")]).await;
    shop.sale("s", 5, 1).await;
    for member in ["ann", "bob", "cid"] {
        let answer = shop.order("s", "unit", member, "order-0001").await;
        assert!(answer.status == 202 && answer.json().get("line").is_none(), "{}", answer.text());
    }
    let order = shop.until("cid~order-0001", "paying").await;
    assert_eq!(order["line"], json!({ "ahead": 2, "about_s": null }), "{order}");
    let page = shop.send(Request::get("/orders/cid~order-0001").header("cookie", "member=cid")).await.text();
    assert!(page.contains("2 before you."), "{page}");
    let listed = shop.send(Request::get("/v1/orders").by("ann")).await.json();
    assert_eq!(listed["orders"][0]["line"]["ahead"], 0);
    let waits =
        |page: String| ["1", "2", "3"].iter().any(|n| page.contains(&format!("payment_line{{sale=\"s\"}} {n}")));
    while !waits(shop.get("/metrics").await.text()) {}
    // Who is through is not before anybody any more, as of the next look.
    let ann = shop.until("ann~order-0001", "confirmed").await;
    assert!(ann.get("line").is_none(), "{ann}");
    while shop.until("cid~order-0001", "paying").await["line"]["ahead"].as_u64() > Some(1) {}
    shop.close().await;
}
