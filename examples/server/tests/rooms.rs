//! A sale behind its waiting room: no purchase goes around it, no admission is worth more than was signed, and what was decided stays answered.

mod common;

use std::sync::Arc;

use common::{Answer, Request, Shop};
use serde_json::{Value, json};

/// A room that is open from the first arrival on, lets `capacity` in at once, and keeps a turn as long as a test needs.
fn open(capacity: u32) -> Value {
    json!({ "open_above": 0, "admit_per_minute": 60_000, "capacity": capacity, "turn_s": 600 })
}

async fn sale(shop: &Shop, id: &str, total: u32, room: Value) {
    let items = json!([{ "id": "unit", "total": total, "price": 10_000, "per_buyer": 2 }]);
    let answer = shop.post("/v1/sales", "op", "-", json!({ "id": id, "items": items, "room": room })).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
}

async fn join(shop: &Shop, sale: &str, member: &str) -> Answer {
    shop.send(Request::bare(&format!("/v1/sales/{sale}/place")).by(member)).await
}

async fn place(shop: &Shop, sale: &str, member: &str) -> Value {
    shop.send(Request::get(&format!("/v1/sales/{sale}/place")).by(member)).await.json()
}

/// Asks until it is the member's turn; his admission.
async fn turn(shop: &Shop, sale: &str, member: &str) -> String {
    loop {
        let answer = shop.send(Request::bare(&format!("/v1/sales/{sale}/admission")).by(member)).await;
        match answer.status {
            200 => return answer.json()["token"].as_str().unwrap().to_owned(),
            202 => assert_eq!(answer.json()["status"], "waiting"),
            _ => panic!("{} {}", answer.status, answer.text()),
        }
    }
}

/// Asks until the member stands there.
async fn until(shop: &Shop, sale: &str, member: &str, status: &str) -> Value {
    loop {
        let place = place(shop, sale, member).await;
        if place["status"] == status {
            return place;
        }
    }
}

fn buy(sale: &str, member: &str, key: &str, units: u32, admission: Option<&str>) -> Request<'static> {
    let body = json!({ "sale": sale, "lines": [{ "item": "unit", "quantity": units }] });
    let request = Request::post("/v1/orders", &body.to_string()).by(member).keyed(key);
    match admission {
        Some(token) => request.header("flashsale-admission", token),
        None => request,
    }
}

#[tokio::test]
async fn no_purchase_goes_around_the_room_and_the_next_is_let_through_when_one_is_done() {
    let shop = Shop::open().await;
    sale(&shop, "drop", 10, open(1)).await;
    let first = join(&shop, "drop", "ann").await;
    assert_eq!(first.status, 201);
    let admission = turn(&shop, "drop", "ann").await;
    // One turn at a time: bob has a place, and no way in.
    for _ in 0..2 {
        let refused = shop.send(buy("drop", "bob", "bob-key-1", 1, None)).await;
        assert_eq!(refused.problem(), (403, "admission_required".to_owned()));
        let told = refused.json();
        assert_eq!(told["link"], "/v1/sales/drop/place");
        assert_eq!((&told["place"]["status"], &told["place"]["number"]), (&json!("waiting"), &json!(2)));
    }
    let bought = shop.send(buy("drop", "ann", "ann-key-1", 1, Some(&admission))).await;
    assert_eq!(bought.status, 202, "{}", bought.text());
    // Her order ends her turn, and it is his without anybody's doing.
    until(&shop, "drop", "ann", "finished").await;
    turn(&shop, "drop", "bob").await;
    assert_eq!(shop.send(buy("drop", "bob", "bob-key-1", 1, None)).await.status, 202);
    shop.close().await;
}

#[tokio::test]
async fn an_admission_that_is_forged_foreign_or_used_is_refused_and_changes_nothing() {
    let shop = Shop::open().await;
    sale(&shop, "drop", 10, open(2)).await;
    sale(&shop, "other", 10, open(2)).await;
    for member in ["ann", "bob"] {
        assert_eq!(join(&shop, "drop", member).await.status, 201);
    }
    assert_eq!(join(&shop, "other", "ann").await.status, 201);
    let (ann, bob) = (turn(&shop, "drop", "ann").await, turn(&shop, "drop", "bob").await);
    let elsewhere = turn(&shop, "other", "ann").await;
    let before = shop.ledger().await;
    let mut torn = ann.clone();
    torn.replace_range(torn.len() - 1.., if ann.ends_with('0') { "1" } else { "0" });
    let ticket = join(&shop, "drop", "ann").await.json()["ticket"].as_str().unwrap().to_owned();
    for (token, code) in [
        ("nonsense", "admission_forged"),
        (torn.as_str(), "admission_forged"),
        (ticket.as_str(), "admission_forged"),
        (bob.as_str(), "admission_foreign"),
        (elsewhere.as_str(), "admission_foreign"),
    ] {
        let refused = shop.send(buy("drop", "ann", "ann-key-1", 1, Some(token))).await;
        assert_eq!(refused.problem(), (403, code.to_owned()), "{token}");
    }
    assert_eq!(shop.ledger().await, before);
    assert_eq!(shop.send(buy("drop", "ann", "ann-key-1", 1, Some(&ann))).await.status, 202);
    until(&shop, "drop", "ann", "finished").await;
    let replayed = shop.send(buy("drop", "ann", "ann-key-2", 1, Some(&ann))).await;
    assert_eq!(replayed.problem(), (403, "admission_used".to_owned()));
    shop.close().await;
}

#[tokio::test]
async fn a_winner_s_repeat_gets_his_answer_when_his_turn_is_long_over() {
    let shop = Shop::open().await;
    sale(&shop, "drop", 1, open(1)).await;
    join(&shop, "drop", "ann").await;
    let admission = turn(&shop, "drop", "ann").await;
    let won = shop.send(buy("drop", "ann", "ann-key-1", 1, Some(&admission))).await;
    assert_eq!(won.status, 202);
    until(&shop, "drop", "ann", "finished").await;
    // Others are inside now, all is sold, and her admission is used.
    join(&shop, "drop", "bob").await;
    turn(&shop, "drop", "bob").await;
    for token in [Some(admission.as_str()), None, Some("nonsense")] {
        let again = shop.send(buy("drop", "ann", "ann-key-1", 1, token)).await;
        assert_eq!((again.status, again.header("idempotency-replayed")), (202, Some("true")), "{token:?}");
        assert_eq!(again.json()["id"], won.json()["id"]);
    }
    assert_eq!(place(&shop, "drop", "ann").await["status"], "finished", "a repeat takes no place");
    // The same key for something else is told so, not sent to wait.
    let reused = shop.send(buy("drop", "ann", "ann-key-1", 2, None)).await;
    assert_eq!(reused.problem(), (422, "key_reused".to_owned()));
    shop.close().await;
}

#[tokio::test]
async fn a_key_that_was_decided_for_another_sale_opens_no_door() {
    let shop = Shop::open().await;
    shop.sale("plain", 10, 2).await;
    sale(&shop, "drop", 10, json!({ "open_above": 0, "mode": "hold" })).await;
    join(&shop, "drop", "ann").await;
    assert_eq!(shop.order("plain", "unit", "bob", "bob-key-1").await.status, 202);
    let reused = shop.send(buy("drop", "bob", "bob-key-1", 1, None)).await;
    assert_eq!(reused.problem(), (422, "key_reused".to_owned()));
    assert_eq!(shop.ledger().await[..3], [1, 1, 1], "one order, of one unit, in one line: that of the other sale");
    let shown = shop.get("/v1/sales/drop").await.json();
    assert_eq!(shown["items"][0]["held"], 0, "nothing is held from outside the room");
    assert_eq!(shop.send(Request::get("/v1/sales/drop/place").by("bob")).await.status, 404, "nor has he a place");
    shop.close().await;
}

#[tokio::test]
async fn a_member_has_one_place_from_any_number_of_tabs_and_a_place_can_be_given_up() {
    let shop = Shop::open().await;
    sale(&shop, "drop", 10, json!({ "open_above": 0, "mode": "hold" })).await;
    let first = join(&shop, "drop", "ann").await;
    assert_eq!((first.status, &first.json()["number"]), (201, &json!(1)));
    for _ in 0..3 {
        let again = join(&shop, "drop", "ann").await;
        assert_eq!((again.status, &again.json()["number"]), (200, &json!(1)));
    }
    let bob = join(&shop, "drop", "bob").await.json();
    assert_eq!((&bob["number"], &bob["ahead"], &bob["wait"]["known"]), (&json!(2), &json!(1), &json!(false)));
    assert!(bob["refresh_after_ms"].as_u64().unwrap() > 0 && bob["server_time"].is_string());
    let left = shop.send(Request::get("/v1/sales/drop/place").method("DELETE").by("ann")).await;
    assert_eq!(left.status, 204);
    assert_eq!(place(&shop, "drop", "ann").await["status"], "left");
    assert_eq!(join(&shop, "drop", "ann").await.json()["number"], 3, "who leaves begins anew");
    assert_eq!(place(&shop, "drop", "bob").await["number"], 2);
    let nobody = shop.send(Request::get("/v1/sales/drop/place").by("carl")).await;
    assert_eq!(nobody.problem(), (404, "no_place".to_owned()));
    shop.close().await;
}

#[tokio::test]
async fn below_the_threshold_nobody_waits_and_a_sale_without_a_room_has_none() {
    let shop = Shop::open().await;
    sale(&shop, "calm", 10, json!({ "open_above": 2, "open_within_s": 3600, "close_below": 0, "mode": "auto" })).await;
    shop.sale("plain", 10, 2).await;
    let through = join(&shop, "calm", "ann").await;
    assert_eq!((through.status, &through.json()["status"]), (200, &json!("not_needed")));
    let token = through.json()["admission"]["token"].as_str().unwrap().to_owned();
    assert_eq!(shop.send(buy("calm", "bob", "bob-key-1", 1, None)).await.status, 202);
    // The third within the window opens it. Who is through already stays through.
    let stopped = shop.send(buy("calm", "carl", "carl-key", 1, None)).await;
    assert_eq!(stopped.problem(), (403, "admission_required".to_owned()));
    assert_eq!(shop.send(buy("calm", "ann", "ann-key-1", 1, Some(&token))).await.status, 202);

    let none = join(&shop, "plain", "ann").await;
    assert_eq!((none.status, &none.json()["status"]), (200, &json!("not_needed")));
    assert!(none.json().get("admission").is_none());
    assert_eq!(shop.get("/v1/sales/plain").await.json()["room"], Value::Null);
    let missing = join(&shop, "nowhere", "ann").await;
    assert_eq!(missing.problem(), (404, "unknown_sale".to_owned()));
    shop.close().await;
}

#[tokio::test]
async fn an_operator_holds_the_room_speaks_to_it_and_lets_it_go_on() {
    let shop = Shop::open().await;
    sale(&shop, "drop", 10, open(5)).await;
    let put = |body: Value| Request::post("/ops/v1/rooms/drop", &body.to_string()).method("PUT");
    let held = shop.send(put(json!({ "mode": "hold", "message": "Back in five minutes." }))).await;
    assert_eq!((held.status, &held.json()["mode"]), (200, &json!("hold")));
    join(&shop, "drop", "ann").await;
    let told = place(&shop, "drop", "ann").await;
    assert_eq!((&told["status"], &told["message"]), (&json!("waiting"), &json!("Back in five minutes.")));
    let refused = shop.send(put(json!({ "capacity": 0 }))).await;
    assert_eq!(refused.problem(), (422, "room_terms".to_owned()));
    let on = shop.send(put(json!({ "mode": "auto", "message": "", "per_minute": 120 }))).await.json();
    assert_eq!((&on["mode"], &on["admits_per_minute"], on.get("message")), (&json!("auto"), &json!(120), None));
    turn(&shop, "drop", "ann").await;
    let levels = shop.get("/ops/v1/rooms/drop").await.json();
    assert_eq!((&levels["inside"], &levels["issued"], &levels["open"]), (&json!(1), &json!(1), &json!(true)));
    // Out of the way: who waits is through, and so is everybody.
    shop.send(put(json!({ "mode": "hold" }))).await;
    join(&shop, "drop", "carl").await;
    shop.send(put(json!({ "mode": "off" }))).await;
    turn(&shop, "drop", "carl").await;
    let page = || shop.send(Request::get("/sales/drop/room").header("cookie", "member=carl"));
    while !page().await.text().contains("Nobody has to wait right now.") {}
    assert_eq!(join(&shop, "drop", "bob").await.json()["status"], "not_needed");
    shop.close().await;
}

#[tokio::test]
async fn a_room_can_be_put_before_a_sale_that_sells_and_outlives_the_server() {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let shop = Shop::over(directory.clone(), &[]).await;
    shop.sale("drop", 10, 2).await;
    let bad = Request::post("/ops/v1/rooms/drop", r#"{"capacity":0}"#).method("PUT");
    assert_eq!(shop.send(bad).await.problem(), (422, "room_terms".to_owned()));
    assert_eq!(shop.get("/ops/v1/rooms/drop").await.problem(), (404, "unknown_room".to_owned()), "it made none");
    let put = Request::post("/ops/v1/rooms/drop", r#"{"mode":"hold"}"#).method("PUT");
    assert_eq!(shop.send(put).await.status, 200);
    let ticket = join(&shop, "drop", "ann").await.json()["ticket"].as_str().unwrap().to_owned();
    join(&shop, "drop", "bob").await;
    let page = shop.send(Request::get("/sales/drop/room").header("cookie", "member=bob")).await;
    let kept = page.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    shop.close().await;

    // The rooms were in memory: the places are gone, their terms and the keys are not.
    let shop = Shop::over(directory, &[]).await;
    assert_eq!(shop.get("/ops/v1/rooms/drop").await.json()["mode"], "hold");
    let refused = shop.send(buy("drop", "carl", "carl-key-1", 1, None)).await;
    assert_eq!(refused.problem(), (403, "admission_required".to_owned()));
    let back = shop.send(Request::bare("/v1/sales/drop/place").by("ann").header("flashsale-ticket", &ticket)).await;
    assert_eq!((back.status, &back.json()["ahead"]), (201, &json!(0)), "her ticket brings her place back");
    let press = Request::form("/sales/drop/room", "").header("cookie", format!("member=bob; {kept}"));
    assert_eq!(shop.send(press).await.header("location"), Some("/sales/drop/room"));
    assert_eq!(place(&shop, "drop", "bob").await["ahead"], 1, "his browser had kept his");
    assert_eq!(join(&shop, "drop", "carl").await.json()["ahead"], 2, "who comes now comes after them");
    shop.close().await;
}

#[tokio::test]
async fn the_room_s_frames_are_in_the_stream_of_its_sale() {
    let shop = Shop::open().await;
    sale(&shop, "drop", 10, json!({ "open_above": 0, "mode": "hold" })).await;
    join(&shop, "drop", "ann").await;
    let mut stream = common::Stream::open(shop.at, "/v1/sales/drop/stream").await;
    let frame = stream.until(|event, data| event == "room" && data["issued"] == 1).await;
    assert_eq!((&frame["open"], &frame["mode"], &frame["serving"]), (&json!(true), &json!("hold"), &json!(0)));
    assert_eq!(frame["waiting"], 1);
    let shown = shop.get("/v1/sales/drop").await.json();
    assert_eq!(shown["room"], json!({ "open": true, "mode": "hold" }));
    shop.close().await;
}

#[tokio::test]
async fn a_room_s_terms_out_of_bounds_are_refused_and_nothing_is_written() {
    let shop = Shop::open().await;
    let items = json!([{ "id": "unit", "total": 1, "price": 1, "per_buyer": 1 }]);
    for (room, code) in [
        (json!({ "capacity": 0 }), "room_terms"),
        (json!({ "close_below": 600 }), "room_terms"),
        (json!({ "turn_s": 0 }), "room_terms"),
        (json!({ "prejoin_s": 60 }), "room_terms"),
        (json!({ "capacitee": 1 }), "invalid"),
        (json!({ "mode": "ajar" }), "invalid"),
        (json!([]), "invalid"),
    ] {
        let body = json!({ "id": "drop", "items": items, "room": room });
        let refused = shop.post("/v1/sales", "op", "-", body).await;
        assert_eq!(refused.problem(), (422, code.to_owned()), "{room}");
    }
    assert_eq!(shop.get("/v1/sales/drop").await.status, 404);
    let rows: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM sale_room WHERE sale = 'drop'").fetch_one(&shop.rows).await.unwrap();
    assert_eq!(rows, 0);
    shop.close().await;
}

#[tokio::test]
async fn places_are_given_before_a_sale_opens_and_turns_from_then_on() {
    let shop = Shop::open().await;
    let now = shop.get("/v1/sales").await.json()["server_time"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let opens_at = now.as_millisecond() + 3_600_000;
    let room = json!({ "open_above": 500, "close_below": 0, "admit_per_minute": 60_000, "prejoin_s": 600 });
    let items = json!([{ "id": "unit", "total": 10, "price": 10_000, "per_buyer": 2 }]);
    let body = json!({ "id": "drop", "opens_at": opens_at, "items": items, "room": room });
    assert_eq!(shop.post("/v1/sales", "op", "-", body).await.status, 201);
    let early = join(&shop, "drop", "ann").await;
    assert_eq!(early.problem(), (403, "too_early".to_owned()));
    assert!((2_990..=3_000).contains(&early.json()["retry_after_s"].as_u64().unwrap()), "{}", early.text());
    let page = shop.send(Request::get("/sales/drop/room").header("cookie", "member=ann")).await.text();
    assert!(page.contains("Take a place: <time"), "{page}");

    let to = |ms: i64| Request::post("/dev/v1/clock", &json!({ "now": ms }).to_string()).method("PUT");
    assert_eq!(shop.send(to(opens_at - 300_000)).await.status, 200);
    assert_eq!(join(&shop, "drop", "ann").await.json()["number"], 1);
    let refused = shop.send(buy("drop", "bob", "bob-key-1", 1, None)).await;
    assert_eq!(refused.problem(), (403, "admission_required".to_owned()));
    assert_eq!(place(&shop, "drop", "ann").await["status"], "waiting", "nobody is let through yet");
    assert_eq!(shop.send(to(opens_at)).await.status, 200);
    let token = turn(&shop, "drop", "ann").await;
    assert_eq!(shop.send(buy("drop", "ann", "ann-key-1", 1, Some(&token))).await.status, 202);
    shop.close().await;
}
