//! Dead letters over HTTP, and the trace of a request in the facts that it causes.

mod common;

use std::sync::Arc;

use common::{Request, Shop};
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

struct Bench {
    shop: Shop,
    rows: SqlitePool,
}

impl Bench {
    async fn open(more: &[(&str, &str)]) -> Self {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let file = directory.path().join("shop.db");
        let shop = Shop::over(directory, more).await;
        let rows = SqlitePool::connect_with(SqliteConnectOptions::new().filename(file)).await.unwrap();
        Self { shop, rows }
    }

    /// Puts the acceptance of an order aside, as if `consumer` had given up on it; gives the letter's name as it stands in a path.
    async fn bury(&self, consumer: &str, order: &str) -> String {
        let sql =
            "INSERT INTO dead_letter (consumer, event_id, reason, tries, at, event) VALUES (?, ?, 'no luck', 5, 7, ?)";
        let data = json!({ "order": order, "buyer": "ann", "lines": [{ "item": "unit", "units": 1 }], "list": 10_000, "discount": 0,
            "pays": 10_000, "coupon": null, "method": "card", "pay_by": 9_000_000_000_000_i64, "no": 1 });
        let event = json!({ "subject": order, "version": 1, "sale": "s", "time": 5, "fact": { "kind": "order.accepted", "data": data }, "trace": TRACE });
        let id = format!("{order}/1/order.accepted");
        let query = sqlx::query(sql).bind(consumer).bind(&id).bind(event.to_string());
        query.execute(&self.rows).await.unwrap();
        format!("{consumer}%2F{}", id.replace('/', "%2F"))
    }

    async fn post(&self, letter: &str, verb: &str, body: Value) -> common::Answer {
        let path = format!("/ops/v1/dead-letters/{letter}/{verb}");
        self.shop.send(Request::post(&path, &body.to_string())).await
    }

    async fn show(&self, letter: &str) -> Value {
        self.shop.get(&format!("/ops/v1/dead-letters/{letter}")).await.json()
    }

    async fn close(self) {
        self.rows.close().await;
        self.shop.close().await;
    }
}

#[tokio::test]
async fn a_letter_is_listed_replayed_once_and_kept() {
    let bench = Bench::open(&[]).await;
    bench.shop.sale("s", 3, 1).await;
    assert_eq!(bench.shop.order("s", "unit", "ann", "order-0001").await.status, 202);
    bench.shop.until("ann~order-0001", "confirmed").await;
    let letter = bench.bury("order", "ann~order-0001").await;
    let page = bench.shop.get("/ops/v1/dead-letters?limit=10").await;
    assert_eq!((page.status, page.header("cache-control")), (200, Some("no-store")));
    let listed = &page.json()["letters"];
    let expected = json!([{
        "id": "order/ann~order-0001/1/order.accepted", "consumer": "order", "reason": "no luck", "tries": 5,
        "at": "1970-01-01T00:00:00.007Z", "status": "open",
        "event": { "id": "ann~order-0001/1/order.accepted", "type": "flashsale.order.accepted.v1", "subject": "ann~order-0001",
            "time": "1970-01-01T00:00:00.005Z", "traceparent": TRACE },
    }]);
    assert_eq!(listed, &expected);
    let before = bench.shop.ledger().await;
    let first = bench.post(&letter, "replay", json!({})).await;
    assert_eq!((first.status, first.header("idempotency-replayed")), (200, None), "{}", first.text());
    let again = bench.post(&letter, "replay", json!({})).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (200, Some("true")));
    assert_eq!(bench.shop.ledger().await, before, "the order had moved on: nothing is done twice");
    assert_eq!(bench.show(&letter).await["status"], "replayed");
    assert_eq!(bench.shop.get("/ops/v1/dead-letters").await.json()["letters"], json!([]));
    let late = bench.post(&letter, "discard", json!({ "reason": "late" })).await;
    assert_eq!(late.problem(), (409, "letter_settled".into()));
    bench.close().await;
}

#[tokio::test]
async fn a_letter_is_discarded_with_a_reason_only() {
    let bench = Bench::open(&[]).await;
    let letter = bench.bury("order", "bob~order-0001").await;
    for bad in [
        json!({}),
        json!({ "reason": "" }),
        json!({ "reason": "a\nb" }),
        json!({ "reason": "x".repeat(201) }),
        json!({ "reason": 7 }),
    ] {
        assert_eq!(bench.post(&letter, "discard", bad.clone()).await.problem(), (422, "invalid".into()), "{bad}");
    }
    assert_eq!(bench.post(&letter, "discard", json!({ "reason": "a test order" })).await.status, 200);
    let shown = bench.show(&letter).await;
    assert_eq!((&shown["status"], &shown["discarded"]), (&json!("discarded"), &json!("a test order")));
    assert_eq!(shown["reason"], "no luck", "the row is kept as it was");
    assert_eq!(bench.post(&letter, "replay", json!({})).await.problem(), (409, "letter_settled".into()));
    bench.close().await;
}

#[tokio::test]
async fn what_cannot_be_dealt_with_is_told_and_stays() {
    let bench = Bench::open(&[]).await;
    let gone = bench.bury("postman", "ann~order-0001").await;
    assert_eq!(bench.post(&gone, "replay", json!({})).await.problem(), (409, "consumer_gone".into()));
    assert_eq!(bench.show(&gone).await["status"], "open");
    for unknown in ["order%2Fx~1%2F1%2Forder.accepted", "order", "%2F", "postman"] {
        for (verb, body) in [("replay", json!({})), ("discard", json!({ "reason": "x" }))] {
            assert_eq!(bench.post(unknown, verb, body).await.problem(), (404, "not_found".into()), "{unknown}");
        }
        assert_eq!(bench.shop.get(&format!("/ops/v1/dead-letters/{unknown}")).await.problem().0, 404);
    }
    bench.close().await;
    let shut = Bench::open(&[("dev.members", "false"), ("dev.clock", "false")]).await;
    let letter = shut.bury("order", "ann~order-0001").await;
    assert_eq!(shut.shop.get("/ops/v1/dead-letters").await.problem(), (403, "switched_off".into()));
    assert_eq!(shut.post(&letter, "replay", json!({})).await.problem(), (403, "switched_off".into()));
    assert_eq!(shut.post(&letter, "discard", json!({ "reason": "x" })).await.problem(), (403, "switched_off".into()));
    shut.close().await;
}

/// The facts of an order, and the trace that stands in the row of each.
async fn traces(rows: &SqlitePool, subject: &str) -> Vec<(String, Option<String>)> {
    let sql = "SELECT kind, fact ->> 'trace' FROM outbox WHERE subject = ? ORDER BY kind";
    sqlx::query_as(sql).bind(subject).fetch_all(rows).await.unwrap()
}

#[tokio::test]
async fn the_facts_of_a_request_carry_its_traceparent_and_a_malformed_one_refuses_nothing() {
    let bench = Bench::open(&[]).await;
    bench.shop.sale("s", 9, 1).await;
    let body = json!({ "sale": "s", "lines": [{ "item": "unit", "quantity": 1 }] }).to_string();
    let order = |member| Request::post("/v1/orders", &body).by(member).keyed("order-0001");
    let all = ["order.accepted", "order.confirmed", "order.payment_requested", "payment.approved"];
    let cases = [
        ("ann", Some(TRACE.to_owned()), Some(TRACE)),
        ("bob", None, None),
        ("cid", Some("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01".to_owned()), None),
        ("dan", Some("\u{e9}".repeat(40)), None),
        ("eve", Some(format!("{TRACE}\r\ntraceparent: {TRACE}")), None),
    ];
    for (member, header, trace) in cases {
        let request = match &header {
            Some(header) => order(member).header("traceparent", header),
            None => order(member),
        };
        assert_eq!(bench.shop.send(request).await.status, 202, "{member}");
        bench.shop.until(&format!("{member}~order-0001"), "confirmed").await;
        let told = traces(&bench.rows, &format!("{member}~order-0001")).await;
        let expected: Vec<_> = all.iter().map(|kind| ((*kind).to_owned(), trace.map(str::to_owned))).collect();
        assert_eq!(told, expected, "{member}");
    }
    // The same key with another trace is the same request.
    let again = bench.shop.send(order("ann").header("traceparent", TRACE.replace("4bf9", "aaaa"))).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (202, Some("true")));
    let back = Request::post("/v1/orders/ann~order-0001/return", "{}").by("ann").keyed("return-0001");
    assert_eq!(bench.shop.send(back.header("traceparent", TRACE.replace("4bf9", "bbbb"))).await.status, 202);
    let told = traces(&bench.rows, "ann~order-0001").await;
    let asked = told.iter().find(|(kind, _)| kind == "order.return_requested").unwrap();
    assert_eq!(asked.1.as_deref(), Some(TRACE.replace("4bf9", "bbbb").as_str()));
    let claim = Request::post("/v1/campaigns/plant-3000/coupons", "{}").by("ann").keyed("claim-0001");
    let claimed = bench.shop.send(claim.header("traceparent", TRACE)).await;
    assert_eq!(claimed.status, 201, "{}", claimed.text());
    let id = claimed.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(traces(&bench.rows, &id).await, [("coupon.issued".to_owned(), Some(TRACE.to_owned()))]);
    bench.close().await;
}
