//! A small service behind a room, and how it is asked.

#![allow(dead_code, reason = "each test file uses a part")]

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::routing::any;
use axum::{Extension, Router};
use flashsale_axum::{Confirm, admitted, room_routes};
use flashsale_core::engine::TokioHost;
use flashsale_core::memory::MemoryRoomStore;
use flashsale_core::queue::{Claim, Keyring, RoomStore, Schedule, Terms};
use flashsale_core::{BuyerId, ManualClock, RoomId, Timestamp, WaitingRoom};
use http_body_util::BodyExt;
use tower::ServiceExt;

pub(crate) const START: Timestamp = Timestamp::from_ms(1_800_000_000_000);

/// A room that is open from the first arrival on, for one at once, before `ANY /checkout`.
pub(crate) struct World {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) store: MemoryRoomStore,
    pub(crate) room: WaitingRoom,
    pub(crate) app: Router,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// The value of a cookie that the answer sets.
    pub(crate) fn cookie(&self, name: &str) -> Option<String> {
        let lines = self.headers.get_all("set-cookie").iter().map(|line| line.to_str().unwrap());
        let pairs = lines.filter_map(|line| line.split(';').next()?.split_once('='));
        pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
    }
}

pub(crate) fn visitor(parts: &Parts) -> Option<BuyerId> {
    BuyerId::new(parts.headers.get("x-visitor")?.to_str().ok()?).ok()
}

pub(crate) fn terms() -> Terms {
    Terms { opens_above: 0, closes_below: 0, capacity: 1, ..Terms::default() }
}

pub(crate) fn keys() -> Keyring {
    Keyring::of_random([1, 2, 3, 4])
}

pub(crate) fn id(name: &str) -> BuyerId {
    BuyerId::new(name).unwrap()
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(terms(), Confirm::Here)
    }

    pub(crate) fn planned(schedule: Schedule) -> Self {
        Self::with(Terms { schedule: Some(schedule), ..terms() }, Confirm::Here)
    }

    pub(crate) fn with(terms: Terms, confirm: Confirm) -> Self {
        let clock = ManualClock::starting(START);
        let store = MemoryRoomStore::new(clock.clone());
        let room = WaitingRoom::named(RoomId::new("checkout").unwrap(), Arc::new(store.clone()));
        let room = room.terms(terms).keys(keys()).on(TokioHost::with_clock(clock.clone())).build().unwrap();
        let bought = |Extension(claim): Extension<Claim>| async move { format!("{} bought", claim.member) };
        let app = Router::new()
            .route("/checkout", any(bought))
            .route_layer(admitted(room.clone(), visitor).page("/wait").confirm(confirm))
            .nest("/room", room_routes(room.clone(), visitor));
        Self { clock, store, room, app }
    }

    pub(crate) async fn admit(&self) -> u32 {
        self.store.admit(self.room.id(), 1_000).await.unwrap().map_or(0, |step| step.admitted)
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, who: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if !who.is_empty() {
            request = request.header("x-visitor", who);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        Answer { status, headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    pub(crate) fn pass(&self, ms: u64) {
        self.clock.advance(Duration::from_millis(ms));
    }
}
