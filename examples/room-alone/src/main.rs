//! An old checkout that stands twenty people at once, behind a waiting room. Nothing else of flashsale is used.
//!
//! `cargo run -p room-alone`, then `curl -X POST -H 'x-visitor: ann' localhost:8080/checkout` as many visitors: from the eleventh within ten
//! seconds on they get a place, and are let through two a second.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::request::Parts;
use axum::routing::post;
use axum::{Extension, Router};
use flashsale_axum::{admitted, room_routes};
use flashsale_core::memory::MemoryRoomStore;
use flashsale_core::queue::Claim;
use flashsale_core::{BuyerId, RoomId, SystemClock, WaitingRoom};

/// However the service knows its visitors; here they say so themselves.
fn visitor(parts: &Parts) -> Option<BuyerId> {
    BuyerId::new(parts.headers.get("x-visitor")?.to_str().ok()?).ok()
}

/// The old checkout. One line is new: who is done makes room for the next at once.
async fn checkout(State(room): State<WaitingRoom>, Extension(claim): Extension<Claim>) -> String {
    let bought = format!("{} bought it\n", claim.member);
    if let Err(error) = room.finish(&claim.member).await {
        eprintln!("{error}; the turn will go by");
    }
    bought
}

fn app(room: &WaitingRoom) -> Router {
    Router::new()
        .route("/checkout", post(checkout))
        .route_layer(admitted(room.clone(), visitor).page("/room/place"))
        .with_state(room.clone())
        .nest("/room", room_routes(room.clone(), visitor))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let store = Arc::new(MemoryRoomStore::new(SystemClock::shared()));
    let room = WaitingRoom::named(RoomId::new("checkout")?, store)
        .opens_above(10, Duration::from_secs(10))
        .closes_below(3)
        .admits(2, Duration::from_secs(1))
        .at_most(20)
        .turn_lasts(Duration::from_secs(60))
        .build()?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    let stop = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    tokio::select! {
        served = axum::serve(listener, app(&room)) => served?,
        () = room.workers().run(stop) => {}
    }
    Ok(())
}
