//! The routes of a room: `place`, `admission`, `admission/extension`, `stream`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::HeaderName;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Router, middleware};
use flashsale_core::{BuyerId, WaitingRoom};

use crate::answers;
use crate::problem::Problem;
use crate::stream::RoomStream;

/// Tells who asks, from what came with the request.
pub(crate) type Who = Arc<dyn Fn(&Parts) -> Option<BuyerId> + Send + Sync>;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

#[derive(Clone)]
struct Routes {
    room: WaitingRoom,
    who: Who,
    stream: RoomStream,
}

/// Who asks.
#[derive(Clone)]
struct Member(BuyerId);

/// The routes of a room, to be nested where it suits. `who` tells who asks; the stream is for everybody.
///
/// | route | answers |
/// |---|---|
/// | `POST place`, `GET place`, `DELETE place` | [`answers::join`], [`answers::place`], [`answers::leave`] |
/// | `POST admission` | [`answers::admission`] |
/// | `POST admission/extension` | [`answers::extension`] |
/// | `GET stream` | [`RoomStream::answer`] |
pub fn room_routes<S>(room: WaitingRoom, who: impl Fn(&Parts) -> Option<BuyerId> + Send + Sync + 'static) -> Router<S> {
    let routes = Routes { stream: RoomStream::new(&room), room, who: Arc::new(who) };
    let personal = Router::new()
        .route("/place", post(join).get(place).delete(leave))
        .route("/admission", post(admission))
        .route("/admission/extension", post(extension))
        .route_layer(middleware::from_fn_with_state(routes.clone(), known));
    Router::new().route("/stream", get(stream)).merge(personal).with_state(routes)
}

/// Lets only requests through of which it is known who asks.
async fn known(State(routes): State<Routes>, request: Request, next: middleware::Next) -> Response {
    let (mut parts, body) = request.into_parts();
    match (routes.who)(&parts) {
        Some(member) => {
            parts.extensions.insert(Member(member));
            next.run(Request::from_parts(parts, body)).await
        }
        None => Problem::nobody().into_response(),
    }
}

type Asks = axum::Extension<Member>;

async fn join(State(routes): State<Routes>, member: Asks, headers: HeaderMap) -> Response {
    answers::join(&routes.room, &member.0.0, answers::ticket(&routes.room, &headers)).await
}

async fn place(State(routes): State<Routes>, member: Asks) -> Response {
    answers::place(&routes.room, &member.0.0).await
}

async fn leave(State(routes): State<Routes>, member: Asks) -> Response {
    answers::leave(&routes.room, &member.0.0).await
}

async fn admission(State(routes): State<Routes>, member: Asks) -> Response {
    answers::admission(&routes.room, &member.0.0).await
}

async fn extension(State(routes): State<Routes>, member: Asks) -> Response {
    answers::extension(&routes.room, &member.0.0).await
}

async fn stream(State(routes): State<Routes>, headers: HeaderMap) -> Response {
    let last = headers.get(LAST_EVENT_ID).and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
    routes.stream.answer(last)
}
