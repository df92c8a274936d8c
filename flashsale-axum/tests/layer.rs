//! No request goes around the room.

mod common;

use common::{World, id};
use flashsale_axum::Confirm;
use flashsale_core::queue::Terms;

const BUY: &str = "/checkout";

#[tokio::test]
async fn while_the_room_is_closed_everybody_is_through_with_an_admission() {
    let world = World::with(Terms::default(), Confirm::Here);
    let answer = world.ask("POST", BUY, "ann", &[]).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, "ann bought"));
    let token = answer.cookie("flashsale-admission-checkout").expect("for the next request");
    let arrived = world.room.levels().await.unwrap();
    assert_eq!(arrived.arrivals.sum(arrived.now), 1);
    let cookie = format!("flashsale-admission-checkout={token}");
    assert_eq!(world.ask("POST", BUY, "ann", &[("cookie", &cookie)]).await.status, 200);
    let again = world.room.levels().await.unwrap();
    assert_eq!(again.arrivals.sum(again.now), 1, "the second request of a checkout is no arrival");
}

#[tokio::test]
async fn without_an_admission_no_method_reaches_what_the_room_protects() {
    let world = World::new();
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"] {
        let answer = world.ask(method, BUY, "ann", &[]).await;
        assert_eq!(answer.status, 403, "{method}");
    }
    let answer = world.ask("POST", BUY, "ann", &[]).await;
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    let told = answer.json();
    assert_eq!(told["code"], "admission_required");
    assert_eq!(told["link"], "/wait");
    assert_eq!((told["place"]["number"].as_u64(), told["place"]["status"].as_str()), (Some(1), Some("waiting")));
    assert_eq!(world.room.levels().await.unwrap().issued, 1, "one place, however often she asks");
}

#[tokio::test]
async fn a_browser_is_sent_to_the_page() {
    let world = World::new();
    let answer = world.ask("POST", BUY, "ann", &[("accept", "text/html,application/xhtml+xml;q=0.9")]).await;
    assert_eq!((answer.status.as_u16(), answer.headers["location"].to_str().unwrap()), (303, "/wait"));
}

#[tokio::test]
async fn nobody_is_not_let_through() {
    let world = World::with(Terms::default(), Confirm::Here);
    assert_eq!(world.ask("POST", BUY, "", &[]).await.status, 401);
}

#[tokio::test]
async fn whose_turn_it_is_goes_through_by_header_or_cookie_or_from_another_tab() {
    let world = World::new();
    world.ask("POST", BUY, "ann", &[]).await;
    assert_eq!(world.admit().await, 1);
    let token = world.room.admission(&id("ann")).await.unwrap().token;
    let by_header = world.ask("POST", BUY, "ann", &[("flashsale-admission", &token)]).await;
    assert_eq!((by_header.status.as_u16(), by_header.text.as_str()), (200, "ann bought"));
    let cookie = format!("x=1; flashsale-admission-checkout={token}");
    assert_eq!(world.ask("POST", BUY, "ann", &[("cookie", &cookie)]).await.status, 200);
    let other_tab = world.ask("POST", BUY, "ann", &[]).await;
    assert_eq!(other_tab.status, 200);
    assert_eq!(other_tab.cookie("flashsale-admission-checkout").as_deref(), Some(token.as_str()), "issued again");
}

#[tokio::test]
async fn a_forged_foreign_expired_or_used_admission_is_refused_by_its_name() {
    let world = World::new();
    world.ask("POST", BUY, "ann", &[]).await;
    world.admit().await;
    let token = world.room.admission(&id("ann")).await.unwrap().token;
    let code = async |who: &str, token: &str| {
        let answer = world.ask("POST", BUY, who, &[("flashsale-admission", token)]).await;
        assert_eq!(answer.status, 403);
        answer.code()
    };
    assert_eq!(code("bob", &token).await, "admission_foreign");
    assert_eq!(code("ann", &token.replace("~1~", "~2~")).await, "admission_forged");
    assert_eq!(code("ann", "x").await, "admission_forged");
    let ticket = world.room.place(&id("ann")).await.unwrap().unwrap().ticket;
    assert_eq!(code("ann", &ticket).await, "admission_forged");
    world.room.finish(&id("ann")).await.unwrap();
    assert_eq!(code("ann", &token).await, "admission_used");
    world.ask("POST", BUY, "cid", &[]).await;
    world.admit().await;
    let token = world.room.admission(&id("cid")).await.unwrap().token;
    world.pass(180_000);
    assert_eq!(code("cid", &token).await, "admission_expired");
    assert_eq!(world.room.levels().await.unwrap().waiting, 0, "who is refused has taken no place");
}

#[tokio::test]
async fn a_cookie_that_is_worth_nothing_is_as_none() {
    let world = World::new();
    let answer = world.ask("POST", BUY, "ann", &[("cookie", "flashsale-admission-checkout=old")]).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (403, "admission_required"));
}

#[tokio::test]
async fn a_layer_that_asks_the_store_refuses_what_was_used_elsewhere() {
    let world = World::with(common::terms(), Confirm::WithTheStore);
    world.ask("POST", BUY, "ann", &[]).await;
    world.admit().await;
    let token = world.room.admission(&id("ann")).await.unwrap().token;
    assert_eq!(world.ask("POST", BUY, "ann", &[("flashsale-admission", &token)]).await.status, 200);
    // Another server ends the turn: here only the store knows.
    use flashsale_core::queue::RoomStore;
    world.store.finish(world.room.id(), &[id("ann")]).await.unwrap();
    let answer = world.ask("POST", BUY, "ann", &[("flashsale-admission", &token)]).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (403, "admission_used"));
}
