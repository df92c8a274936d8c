//! What comes back goes to who waited: joining, the offer, taking it, letting it go; the public never sees it.

mod common;

use common::{Answer, Request, Shop};
use serde_json::{Value, json};

const WAITLIST: &str = "/v1/sales/drop/waitlist";

async fn wait_for(shop: &Shop, member: &str) -> Answer {
    shop.send(Request::post(WAITLIST, r#"{"item":"unit","quantity":1}"#).by(member)).await
}

/// Asks until the member has an offer.
async fn offer(shop: &Shop, member: &str) -> Value {
    loop {
        let offers = shop.send(Request::get("/v1/offers").by(member)).await.json();
        if let Some(offer) = offers["offers"].as_array().unwrap().first() {
            return offer.clone();
        }
    }
}

async fn act(shop: &Shop, offer: &Value, what: &str, member: &str) -> Answer {
    let path = format!("/v1/offers/{}/{what}", offer["id"].as_str().unwrap());
    shop.send(Request::bare(&path).by(member).keyed("offer-key-1")).await
}

/// A sale of one unit, which `ann` has bought and paid.
async fn sold_out(more: &[(&str, &str)]) -> (Shop, String) {
    let shop = Shop::with(more).await;
    shop.sale("drop", 1, 1).await;
    let bought = shop.order("drop", "unit", "ann", "ann-key-1").await;
    let id = bought.json()["id"].as_str().unwrap().to_owned();
    shop.until(&id, "confirmed").await;
    (shop, id)
}

async fn take_back(shop: &Shop, order: &str) {
    let back = shop.send(Request::bare(&format!("/v1/orders/{order}/return")).by("ann").keyed("return-key")).await;
    assert_eq!(back.status, 202, "{}", back.text());
}

#[tokio::test]
async fn what_comes_back_is_offered_in_order_and_never_seen_by_the_public() {
    let (shop, order) = sold_out(&[]).await;
    for (n, member) in ["bob", "carl", "dora"].into_iter().enumerate() {
        let wish = wait_for(&shop, member).await;
        assert_eq!(wish.status, 201, "{}", wish.text());
        assert_eq!((&wish.json()["number"], &wish.json()["ahead"]), (&json!(n + 1), &json!(n)));
    }
    assert_eq!(wait_for(&shop, "bob").await.status, 200, "the same wish is the same place");
    take_back(&shop, &order).await;
    let first = offer(&shop, "bob").await;
    assert_eq!((&first["item"], &first["quantity"], &first["pays"]), (&json!("unit"), &json!(1), &json!(10_000)));
    let public = shop.order("drop", "unit", "eve", "eve-key-1").await;
    assert_eq!(public.problem(), (409, "sold_out".to_owned()));
    assert_eq!(act(&shop, &first, "accept", "carl").await.problem().0, 404, "it is not his");

    // He lets it go: it is the next one's.
    assert_eq!(act(&shop, &first, "decline", "bob").await.status, 204);
    assert_eq!(act(&shop, &first, "decline", "bob").await.status, 204);
    assert_eq!(act(&shop, &first, "accept", "bob").await.problem(), (410, "lapsed".to_owned()));
    let second = offer(&shop, "carl").await;
    let taken = act(&shop, &second, "accept", "carl").await;
    assert_eq!(taken.status, 202, "{}", taken.text());
    let location = taken.header("location").unwrap().to_owned();
    assert_eq!(location, format!("/v1/orders/{}", second["id"].as_str().unwrap()));
    let again = act(&shop, &second, "accept", "carl").await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (202, Some("true")));
    assert_eq!(again.text(), taken.text(), "the same answer");
    shop.until(second["id"].as_str().unwrap(), "confirmed").await;
    let mine = shop.send(Request::get("/v1/orders").by("carl")).await.json();
    assert_eq!(mine["orders"][0]["id"], second["id"], "it stands among his orders");
    let dora = shop.send(Request::get(WAITLIST).by("dora")).await.json();
    assert_eq!((&dora["status"], &dora["ahead"]), (&json!("waiting"), &json!(0)));
    shop.close().await;
}

#[tokio::test]
async fn an_offer_that_is_not_taken_in_time_goes_to_the_next() {
    let (shop, order) = sold_out(&[("sale.offer-within-s", "1")]).await;
    for member in ["bob", "carl"] {
        let told = format!(r#"{{"email":"{member}@example.org"}}"#);
        let contact = Request::post("/v1/me/contact", &told).method("PUT").by(member);
        assert_eq!(shop.send(contact).await.status, 200);
        assert_eq!(wait_for(&shop, member).await.status, 201);
    }
    take_back(&shop, &order).await;
    let first = offer(&shop, "bob").await;
    let second = offer(&shop, "carl").await;
    assert_ne!(first["id"], second["id"]);
    let wish = shop.send(Request::get(WAITLIST).by("bob")).await.json();
    assert_eq!((&wish["status"], &wish["offer"]), (&json!("lapsed"), &first["id"]));
    assert_eq!(act(&shop, &first, "accept", "bob").await.problem(), (410, "lapsed".to_owned()));
    assert_eq!(act(&shop, &second, "accept", "carl").await.status, 202);
    shop.close().await;
}

#[tokio::test]
async fn a_restock_goes_to_who_waits_first_and_then_to_everybody() {
    let (shop, _) = sold_out(&[]).await;
    assert_eq!(wait_for(&shop, "bob").await.status, 201);
    let adjust = |by: i64, key: &'static str| {
        let body = json!({ "by": by, "reason": "another box was found" }).to_string();
        Request::post("/ops/v1/sales/drop/items/unit/adjustments", &body).keyed(key)
    };
    for _ in 0..2 {
        let done = shop.send(adjust(2, "restock-0001")).await;
        assert_eq!((done.status, &done.json()["total"]), (200, &json!(3)), "a repeat adds nothing");
    }
    let first = offer(&shop, "bob").await;
    assert_eq!(act(&shop, &first, "accept", "bob").await.status, 202);
    // Nobody waits any more: what is left is for sale.
    let mut n = 0;
    loop {
        n += 1;
        let bought = shop.order("drop", "unit", "eve", &format!("eve-key-{n}")).await;
        if bought.status == 202 {
            break;
        }
        assert_eq!(bought.problem(), (409, "sold_out".to_owned()));
    }
    let shrink = shop.send(adjust(-1, "restock-0002")).await;
    assert_eq!(shrink.problem(), (422, "terms".to_owned()), "not below what is ordered");
    assert_eq!(shop.send(adjust(1, "restock-0001")).await.problem(), (422, "key_reused".to_owned()));
    shop.close().await;
}

#[tokio::test]
async fn who_cannot_wait_is_told_why_and_who_waits_can_stop() {
    let (shop, _) = sold_out(&[]).await;
    shop.sale("full", 5, 1).await;
    let early = shop.send(Request::post("/v1/sales/full/waitlist", "{}").by("bob")).await;
    assert_eq!(early.problem(), (409, "still_available".to_owned()));
    assert_eq!(wait_for(&shop, "ann").await.problem(), (409, "buyer_limit".to_owned()));
    let unknown = shop.send(Request::post(WAITLIST, r#"{"item":"nothing"}"#).by("bob")).await;
    assert_eq!(unknown.problem(), (404, "unknown_item".to_owned()));
    assert_eq!(shop.send(Request::get(WAITLIST).by("bob")).await.problem(), (404, "not_found".to_owned()));
    assert_eq!(wait_for(&shop, "bob").await.status, 201);
    let stop = || Request::get(WAITLIST).method("DELETE").by("bob");
    assert_eq!(shop.send(stop()).await.status, 204);
    assert_eq!(shop.send(stop()).await.status, 204);
    assert_eq!(shop.send(Request::get(WAITLIST).by("bob")).await.json()["status"], "left");
    shop.close().await;
}
