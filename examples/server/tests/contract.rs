//! The rules of the contract that hold on every route: members, keys, bodies, caching, what is not there, what is switched off.

mod common;

use common::{Request, Shop};
use serde_json::{Value, json};

/// Every write that needs a key, with a body that it takes.
fn keyed_writes() -> Vec<(&'static str, Value)> {
    vec![
        ("/v1/orders", json!({ "lines": [{ "item": "fern", "quantity": 1 }] })),
        ("/v1/orders/ann~order-0001/payments", json!({})),
        ("/v1/orders/ann~order-0001/cancel", json!({})),
        ("/v1/orders/ann~order-0001/return", json!({})),
        ("/v1/wallet/charges", json!({ "amount": 1 })),
        ("/v1/wallet/refunds", json!({ "amount": 1 })),
        ("/v1/wallet/trades", json!({ "seller": "bob", "amount": 1 })),
        ("/v1/campaigns/plant-3000/coupons", json!({})),
    ]
}

#[tokio::test]
async fn a_write_without_member_or_with_a_bad_key_is_refused_and_changes_nothing() {
    let shop = Shop::open().await;
    let before = shop.ledger().await;
    for (path, body) in keyed_writes() {
        let body = body.to_string();
        let write = || Request::post(path, &body);
        assert_eq!(shop.send(write().keyed("write-0001")).await.problem(), (401, "member_missing".into()), "{path}");
        assert_eq!(shop.send(write().by("ann")).await.problem(), (400, "key_missing".into()), "{path}");
        for bad in ["short", "", &"x".repeat(65), "with space", "dots.are.no", "tilde~tilde", "kéykéykéy"] {
            let answer = shop.send(write().by("ann").keyed(bad)).await;
            assert_eq!(answer.problem(), (400, "key_malformed".into()), "{path} {bad}");
        }
        for bad in ["", "a b", "a~b", "ä", &"m".repeat(65)] {
            let answer = shop.send(write().by(bad).keyed("write-0001")).await;
            assert_eq!(answer.problem(), (400, "member_malformed".into()), "{path} {bad}");
        }
        let own = shop.send(write().by("platform").keyed("write-0001")).await;
        assert_eq!(own.problem(), (403, "member_reserved".into()), "{path}");
    }
    for path in ["/v1/orders", "/v1/orders/ann~order-0001", "/v1/wallet", "/v1/wallet/entries", "/v1/coupons"] {
        assert_eq!(shop.get(path).await.problem(), (401, "member_missing".into()), "{path}");
    }
    assert_eq!(shop.ledger().await, before);
    shop.close().await;
}

#[tokio::test]
async fn a_body_that_is_not_what_it_must_be_is_refused_and_changes_nothing() {
    let shop = Shop::open().await;
    let before = shop.ledger().await;
    let mut writes = keyed_writes();
    writes.push(("/v1/quotes", json!({ "lines": [{ "item": "fern", "quantity": 1 }] })));
    writes.push(("/v1/sales", json!({ "id": "s", "items": [{ "id": "u", "total": 1, "price": 1, "per_buyer": 1 }] })));
    writes.push(("/v1/campaigns", json!({ "id": "c", "cap": 1, "takes_off": 1, "from": 1 })));
    for (path, good) in writes {
        let send = |request: Request<'static>| {
            let shop = &shop;
            async move { shop.send(request.by("ann").keyed("write-0001")).await.problem() }
        };
        let bytes = |body: &[u8]| send(Request::post(path, "").bytes(body));
        let mut foreign = good.clone();
        foreign["surprise"] = json!(1);
        assert_eq!(send(Request::post(path, &foreign.to_string())).await, (422, "invalid".into()), "{path}");
        assert_eq!(bytes(b"{").await, (400, "malformed".into()), "{path}");
        assert_eq!(bytes(b"\xff\xfe").await, (400, "malformed".into()), "{path}");
        assert_eq!(bytes(b"{\"surprise\": \"\xc3\x28\"}").await.0 / 100, 4, "{path}");
        assert_eq!(bytes(b"[]").await, (422, "invalid".into()), "{path}");
        assert_eq!(bytes(b"null").await, (422, "invalid".into()), "{path}");
        assert_eq!(bytes(br#"["fern", 1]"#).await, (422, "invalid".into()), "{path}");
        let deep = [b"[".repeat(5_000), b"]".repeat(5_000)].concat();
        assert_eq!(bytes(&deep).await.0 / 100, 4, "{path}");
        assert_eq!(bytes(&b" ".repeat(16_385)).await, (413, "too_large".into()), "{path}");
        let text = Request::post(path, &good.to_string()).header("content-type", "text/plain");
        assert_eq!(send(text).await, (415, "content_type".into()), "{path}");
    }
    assert_eq!(shop.ledger().await, before);
    shop.close().await;
}

#[tokio::test]
async fn a_bad_value_in_any_field_of_any_write_is_refused_and_changes_nothing() {
    let shop = Shop::open().await;
    shop.sale("s", 5, 1).await;
    let order = json!({ "sale": "s", "lines": [{ "item": "unit", "quantity": 1 }], "coupon": "a~b~c", "address": "x", "method": "card", "expected_total": 1 });
    let room = json!({ "mode": "auto", "open_above": 5, "open_within_s": 1, "close_below": 1, "admit_per_minute": 60,
        "capacity": 1, "turn_s": 60, "extensions": 1, "absent_after_s": 60, "prejoin_s": 60 });
    let sale = json!({ "id": "t", "opens_at": 1, "closes_at": 2, "hold_ms": 30_000, "pay_within_s": 60, "room": room,
        "items": [{ "id": "u", "total": 1, "price": 1, "per_buyer": 1 }] });
    let campaign = json!({ "id": "c", "daily_at": "13:00", "zone": "UTC", "opens_at": 1, "closes_at": 2, "cap": 1, "takes_off": 1, "from": 1, "valid_days": 1, "only_with": "wallet" });
    let trade = json!({ "seller": "bob", "amount": 1, "coupon": "a~b~c" });
    let writes = [
        ("/v1/orders", order.clone()),
        ("/v1/quotes", json!({ "sale": "s", "lines": order["lines"], "coupon": "a~b~c", "method": "card" })),
        ("/v1/wallet/charges", json!({ "amount": 1 })),
        ("/v1/wallet/refunds", json!({ "amount": 1 })),
        ("/v1/wallet/trades", trade),
        ("/v1/sales", sale),
        ("/v1/campaigns", campaign),
        ("/v1/sales/s/waitlist", json!({ "item": "unit", "quantity": 1 })),
    ];
    let before = shop.ledger().await;
    let bad = [
        json!(-1),
        json!(0.5),
        json!(1e300),
        json!(18_446_744_073_709_551_615_u64),
        json!(true),
        json!({}),
        json!([[]]),
        json!(""),
        json!("\u{0}"),
        json!("a/../b {}~~"),
        json!("x".repeat(5_000)),
    ];
    for (path, good) in writes {
        for place in places(&good) {
            for value in bad.iter().filter(|value| !fits(&place, value)) {
                let mut body = good.clone();
                *body.pointer_mut(&place).unwrap() = value.clone();
                let answer = shop.post(path, "ann", "write-0001", body.clone()).await;
                assert!(
                    (400..500).contains(&answer.status) || path == "/v1/quotes",
                    "{path} {body}: {}",
                    answer.text()
                );
                assert_eq!(shop.ledger().await, before, "{path} {body}: {}", answer.text());
            }
        }
    }
    shop.close().await;
}

/// Whether a value is none that a request may not have: any short text is an address, any number a time.
fn fits(place: &str, value: &Value) -> bool {
    match place {
        "/address" => value.as_str().is_some_and(|text| text.len() <= 4_096 && !text.contains('\0')),
        "/opens_at" | "/closes_at" => value.as_i64().is_some(),
        // Every field of a room has a default.
        "/room" => *value == json!({}),
        _ => false,
    }
}

/// Every place of a value within a body.
fn places(body: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![(String::new(), body)];
    while let Some((place, value)) = open.pop() {
        if !place.is_empty() {
            found.push(place.clone());
        }
        match value {
            Value::Object(fields) => open.extend(fields.iter().map(|(name, inner)| (format!("{place}/{name}"), inner))),
            Value::Array(rows) => {
                open.extend(rows.iter().enumerate().map(|(n, inner)| (format!("{place}/{n}"), inner)))
            }
            _ => {}
        }
    }
    found
}

#[tokio::test]
async fn what_is_not_there_is_told_as_a_problem_or_a_page() {
    let shop = Shop::open().await;
    assert_eq!(shop.get("/nope").await.problem(), (404, "route_unknown".into()));
    let wrong = shop.send(Request::get("/v1/orders").method("DELETE")).await;
    assert_eq!(wrong.problem(), (405, "method_not_allowed".into()));
    assert!(wrong.header("allow").is_some_and(|allow| allow.contains("POST")));
    for path in ["/v1/sales/nope", "/v1/sales/a%20b", "/v1/sales/%00", "/v1/sales/nope/stream"] {
        assert_eq!(shop.get(path).await.problem(), (404, "unknown_sale".into()), "{path}");
    }
    assert_eq!(shop.get("/v1/sales/%ff").await.problem(), (400, "malformed".into()));
    let page = shop.send(Request::get("/nope").header("accept", "text/html,*/*")).await;
    assert_eq!((page.status, page.header("content-type")), (404, Some("text/html; charset=utf-8")));
    shop.close().await;
}

#[tokio::test]
async fn public_figures_may_be_kept_for_a_second_and_personal_ones_not_at_all() {
    let shop = Shop::open().await;
    for path in ["/v1/sales", "/v1/sales/drop-1"] {
        let first = shop.get(path).await;
        assert_eq!((first.status, first.header("cache-control")), (200, Some("public, max-age=1")), "{path}");
        let tag = first.header("etag").unwrap();
        let again = shop.send(Request::get(path).header("if-none-match", tag)).await;
        assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
    }
    let own = shop.send(Request::get("/v1/wallet").by("ann")).await;
    assert_eq!(own.header("cache-control"), Some("no-store"));
    let view = shop.get("/v1/sales/drop-1").await.json();
    assert_eq!(view["state"], "open");
    let item = json!({ "item": "sneaker-42", "price": 129_000, "limit": 1, "total": 100, "left": 100, "held": 0, "sold": 0, "at": view["items"][0]["at"] });
    assert_eq!(view["items"], json!([item]));
    shop.close().await;
}

#[tokio::test]
async fn what_is_sold_shows_on_the_sale_within_moments() {
    let shop = Shop::open().await;
    shop.sale("s", 1, 1).await;
    shop.order("s", "unit", "ann", "order-0001").await;
    let sold = loop {
        let view = shop.get("/v1/sales/s").await.json();
        if view["items"][0]["left"] == 0 {
            break view;
        }
    };
    assert_eq!((&sold["state"], &sold["items"][0]["sold"]), (&json!("sold_out"), &json!(1)));
    shop.close().await;
}

#[tokio::test]
async fn a_sale_is_written_down_once_and_its_terms_are_checked() {
    let shop = Shop::open().await;
    let terms = |id: &str, total: u64| json!({ "id": id, "items": [{ "id": "u", "total": total, "price": 1, "per_buyer": 1 }] });
    let create = |body: Value| {
        let shop = &shop;
        async move { shop.post("/v1/sales", "op", "-", body).await }
    };
    let first = create(terms("s", 1)).await;
    assert_eq!((first.status, first.header("location")), (201, Some("/v1/sales/s")));
    assert_eq!(create(terms("s", 1)).await.status, 201, "the same terms again");
    assert_eq!(create(terms("s", 2)).await.problem(), (409, "sale_exists".into()));
    for bad in [
        json!({ "id": "t", "items": [] }),
        json!({ "id": "t", "opens_at": 5, "closes_at": 5, "items": terms("t", 1)["items"] }),
        json!({ "id": "t", "hold_ms": 1, "items": terms("t", 1)["items"] }),
        json!({ "id": "t", "pay_within_s": 99_999_999, "items": terms("t", 1)["items"] }),
    ] {
        assert_eq!(create(bad.clone()).await.problem(), (422, "terms".into()), "{bad}");
    }
    shop.close().await;
}

#[tokio::test]
async fn without_the_development_switches_nobody_is_anybody() {
    let shop = Shop::with(&[("dev.members", "false"), ("dev.clock", "false")]).await;
    let before = shop.ledger().await;
    assert_eq!(shop.order("drop-1", "sneaker-42", "ann", "order-0001").await.problem(), (401, "member_missing".into()));
    let clock = Request::post("/dev/v1/clock", r#"{"now":99999999999999}"#).method("PUT");
    assert_eq!(shop.send(clock).await.problem(), (403, "switched_off".into()));
    for path in ["/v1/sales", "/v1/campaigns"] {
        assert_eq!(shop.post(path, "op", "-", json!({})).await.problem(), (403, "switched_off".into()));
    }
    assert_eq!(shop.get("/dev/v1/settled").await.problem(), (403, "switched_off".into()));
    let form = Request::form("/sales/drop-1/orders", "key=web-00000001&item=sneaker-42&price=129000&quantity=1");
    assert_eq!(shop.send(form.header("cookie", "member=ann")).await.status, 401);
    assert_eq!(shop.get("/sales/drop-1").await.status, 200, "looking is public");
    assert_eq!(shop.ledger().await, before);
    shop.close().await;
}

#[tokio::test]
async fn the_clock_only_goes_forward() {
    let shop = Shop::open().await;
    let set = |body: &str| {
        let request = Request::post("/dev/v1/clock", body).method("PUT");
        let shop = &shop;
        async move { shop.send(request).await }
    };
    let moved = set(r#"{"now":"2999-01-01T00:00:00Z"}"#).await;
    assert!(moved.json()["server_time"].as_str().unwrap().starts_with("2999-01-01T00:00:0"));
    assert_eq!(set(r#"{"now":"2998-01-01T00:00:00Z"}"#).await.problem(), (422, "clock".into()));
    for bad in [r#"{"now":"soon"}"#, r#"{"now":null}"#, "{}", r#"{"now":true}"#] {
        assert_eq!(set(bad).await.problem(), (422, "invalid".into()), "{bad}");
    }
    shop.close().await;
}

#[tokio::test]
async fn operation_routes_tell_how_it_stands() {
    let shop = Shop::open().await;
    assert_eq!(shop.get("/hello").await.text(), "hello");
    assert_eq!(shop.get("/healthz").await.status, 200);
    while shop.get("/readyz").await.status != 200 {}
    assert_eq!(shop.get("/version").await.json()["ledger"], "sqlite");
    shop.order("drop-1", "sneaker-42", "ann", "order-0001").await;
    shop.order("drop-1", "sneaker-42", "ann", "order-0002").await;
    let page = shop.get("/metrics").await.text();
    for line in [
        "orders_placed_total{answer=\"accepted\"} 1",
        "orders_placed_total{answer=\"buyer_limit\"} 1",
        "http_answers_total{status=\"202\"} 1",
        "order_placing_seconds_count{answer=\"accepted\"} 1",
    ] {
        assert!(page.contains(line), "{line} is missing in\n{page}");
    }
    shop.until("ann~order-0001", "confirmed").await;
    let settled = loop {
        let body = shop.get("/dev/v1/settled").await.json();
        if body["unsent_events"] == 0 && body["open_orders"] == 0 {
            break body;
        }
    };
    assert_eq!((&settled["holds"], &settled["due"]), (&json!(0), &json!(0)));
    shop.close().await;
}

#[tokio::test]
async fn the_document_of_the_api_names_every_route_and_every_route_answers() {
    let shop = Shop::open().await;
    let document = shop.get("/openapi.json").await.json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let paths = document["paths"].as_object().unwrap();
    assert_eq!(paths.len(), 42, "{:?}", paths.keys().collect::<Vec<_>>());
    for (path, methods) in paths {
        for method in methods.as_object().unwrap().keys() {
            let path = path.replace("{id}", "nope").replace("{sale}", "nope").replace("{item}", "nope");
            if path.ends_with("/stream") || method == "delete" {
                continue;
            }
            let method = method.to_uppercase();
            let answer = shop.send(Request::get(&path).method(&method).by("ann").keyed("write-0001")).await;
            assert!(answer.status < 500, "{method} {path}: {}", answer.text());
            if answer.status >= 400 {
                assert_ne!(answer.problem().1, "route_unknown", "{method} {path}");
            }
        }
    }
    let docs = shop.get("/docs/").await;
    assert!(docs.status == 200 && docs.text().contains("swagger-ui"));
    assert!(!docs.text().contains("https://"), "the page loads nothing from elsewhere");
    shop.close().await;
}
