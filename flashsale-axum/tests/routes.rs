//! The routes of a room, by the contract.

mod common;

use std::time::Duration;

use common::{START, World, id};
use flashsale_core::queue::{RoomStore, Schedule, Terms};

#[tokio::test]
async fn a_join_is_created_once_and_then_the_same() {
    let world = World::new();
    let first = world.ask("POST", "/room/place", "ann", &[]).await;
    assert_eq!(first.status, 201);
    assert_eq!(first.headers["cache-control"], "no-store");
    let told = first.json();
    assert_eq!(
        (told["status"].as_str(), told["number"].as_u64(), told["ahead"].as_u64()),
        (Some("waiting"), Some(1), Some(0))
    );
    assert_eq!(told["wait"], serde_json::json!({"known": false, "about_s": null, "at_most_s": null}));
    assert_eq!(told["server_time"], START.to_string());
    assert!(told["refresh_after_ms"].as_u64().unwrap() >= 800);
    assert!(told["chance"].is_null());
    let ticket = told["ticket"].as_str().unwrap();
    assert_eq!(first.cookie("flashsale-ticket-checkout").as_deref(), Some(ticket));
    let again = world.ask("POST", "/room/place", "ann", &[]).await;
    assert_eq!((again.status.as_u16(), again.json()["number"].as_u64()), (200, Some(1)));
}

#[tokio::test]
async fn a_place_is_told_left_and_gone() {
    let world = World::new();
    assert_eq!(world.ask("GET", "/room/place", "ann", &[]).await.code(), "no_place");
    world.ask("POST", "/room/place", "ann", &[]).await;
    assert_eq!(world.ask("GET", "/room/place", "ann", &[]).await.status, 200);
    assert_eq!(world.ask("DELETE", "/room/place", "ann", &[]).await.status, 204);
    assert_eq!(world.ask("GET", "/room/place", "ann", &[]).await.json()["status"], "left");
    assert_eq!(world.ask("DELETE", "/room/place", "eve", &[]).await.status, 204);
    assert_eq!(world.ask("GET", "/room/place", "", &[]).await.status, 401);
}

#[tokio::test]
async fn an_admission_is_given_in_turn() {
    let world = World::new();
    world.ask("POST", "/room/place", "ann", &[]).await;
    world.ask("POST", "/room/place", "bob", &[]).await;
    assert_eq!(world.ask("POST", "/room/admission", "eve", &[]).await.status, 404);
    let early = world.ask("POST", "/room/admission", "ann", &[]).await;
    assert_eq!((early.status.as_u16(), early.json()["status"].as_str()), (202, Some("waiting")));
    assert_eq!(world.ask("POST", "/room/admission/extension", "ann", &[]).await.code(), "not_yet");
    world.admit().await;
    let given = world.ask("POST", "/room/admission", "ann", &[]).await;
    assert_eq!(given.status, 200);
    let told = given.json();
    assert_eq!(told["until"], START.after(Duration::from_secs(180)).to_string());
    assert_eq!(told["extensions_left"], 1);
    assert!(world.room.check(told["token"].as_str().unwrap(), &id("ann")).is_ok());
    assert_eq!(world.ask("POST", "/room/admission", "ann", &[]).await.json(), told, "the same again");
    let place = world.ask("GET", "/room/place", "ann", &[]).await.json();
    assert_eq!((place["status"].as_str(), &place["until"]), (Some("your_turn"), &told["until"]));
    assert_eq!(world.ask("POST", "/room/admission", "bob", &[]).await.status, 202);
}

#[tokio::test]
async fn a_turn_is_made_longer_once_and_goes_by() {
    let world = World::new();
    world.ask("POST", "/room/place", "ann", &[]).await;
    world.admit().await;
    let longer = world.ask("POST", "/room/admission/extension", "ann", &[]).await;
    assert_eq!((longer.status.as_u16(), longer.json()["extensions_left"].as_u64()), (200, Some(0)));
    let no = world.ask("POST", "/room/admission/extension", "ann", &[]).await;
    assert_eq!((no.status.as_u16(), no.code().as_str()), (409, "none_left"));
    world.pass(360_000);
    for path in ["/room/admission", "/room/admission/extension"] {
        let gone = world.ask("POST", path, "ann", &[]).await;
        assert_eq!((gone.status.as_u16(), gone.code().as_str()), (410, "turn_passed"));
    }
    assert_eq!(world.ask("GET", "/room/place", "ann", &[]).await.json()["status"], "turn_passed");
    assert_eq!(world.ask("POST", "/room/place", "ann", &[]).await.json()["number"], 2, "at the end");
}

#[tokio::test]
async fn who_is_done_is_told_so() {
    let world = World::new();
    world.ask("POST", "/room/place", "ann", &[]).await;
    world.admit().await;
    world.room.finish(&id("ann")).await.unwrap();
    let gone = world.ask("POST", "/room/admission", "ann", &[]).await;
    assert_eq!((gone.status.as_u16(), gone.code().as_str()), (410, "finished"));
}

#[tokio::test]
async fn nobody_waits_for_a_closed_room() {
    let world = World::with(Terms::default(), flashsale_axum::Confirm::Here);
    let told = world.ask("POST", "/room/place", "ann", &[]).await;
    assert_eq!((told.status.as_u16(), told.json()["status"].as_str()), (200, Some("not_needed")));
    assert!(world.room.check(told.json()["admission"]["token"].as_str().unwrap(), &id("ann")).is_ok());
}

#[tokio::test]
async fn too_early_and_over_are_told_with_their_times() {
    let opens_at = START.after(Duration::from_secs(100));
    let schedule =
        Schedule { opens_at, prejoin: Duration::from_secs(10), closes_at: opens_at.after(Duration::from_secs(5)) };
    let world = World::planned(schedule);
    let early = world.ask("POST", "/room/place", "ann", &[]).await;
    assert_eq!((early.status.as_u16(), early.code().as_str()), (403, "too_early"));
    assert_eq!(
        (early.headers["retry-after"].to_str().unwrap(), early.json()["retry_after_s"].as_u64()),
        ("90", Some(90))
    );
    world.pass(105_000);
    let over = world.ask("POST", "/room/place", "ann", &[]).await;
    assert_eq!((over.status.as_u16(), over.code().as_str()), (410, "closed"));
}

#[tokio::test]
async fn a_ticket_by_header_or_cookie_brings_a_lost_place_back() {
    for header in ["flashsale-ticket", "cookie"] {
        let world = World::new();
        world.ask("POST", "/room/place", "ann", &[]).await;
        let bob = world.ask("POST", "/room/place", "bob", &[]).await.json()["ticket"].as_str().unwrap().to_owned();
        world.store.forget(world.room.id()).await.unwrap();
        world.pass(1);
        world.ask("POST", "/room/place", "new", &[]).await;
        let value = if header == "cookie" { format!("flashsale-ticket-checkout={bob}") } else { bob };
        let back = world.ask("POST", "/room/place", "bob", &[(header, &value)]).await;
        assert_eq!(
            (back.status.as_u16(), back.json()["number"].as_u64(), back.json()["ahead"].as_u64()),
            (201, Some(2), Some(0))
        );
    }
}

#[tokio::test]
async fn an_absentee_is_told_that_he_was_away() {
    let world = World::new();
    world.ask("POST", "/room/place", "ann", &[]).await;
    world.pass(300_000);
    world.ask("POST", "/room/place", "bob", &[]).await;
    world.admit().await;
    assert_eq!(world.ask("GET", "/room/place", "ann", &[]).await.json()["status"], "absent");
    assert_eq!(world.ask("GET", "/room/place", "ann", &[]).await.json()["status"], "waiting");
}
