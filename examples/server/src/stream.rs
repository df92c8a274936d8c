//! The live stream of a sale (SSE): frames are rendered once and broadcast to everybody who watches.
//!
//! Owns the frames and the body of the answer. Who is too slow is dropped and comes again by himself; a tick is absolute, so
//! nothing has to be sent twice.

use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::Response;
use flashsale_axum::TickTold;
use flashsale_core::Timestamp;
use flashsale_core::engine::Tick as RoomTick;
use futures_util::stream;
use hyper::body::Bytes;
use serde::Serialize;
use tokio::sync::broadcast;

use crate::board::{Face, Turn};
use crate::problem::At;

/// Keeps proxies from closing a quiet stream.
pub(crate) const HEARTBEAT: Bytes = Bytes::from_static(b": still here\n\n");

/// The server goes away; come again after this long.
pub(crate) const BYE: Bytes = Bytes::from_static(b"event: bye\ndata: {\"reconnect_ms\":3000}\n\n");

/// Begins the last frame of every stream.
const BYE_START: &[u8] = b"event: bye";

#[derive(Serialize)]
struct Tick<'a> {
    state: &'static str,
    left: u32,
    held: u32,
    sold: u32,
    items: Vec<TickItem<'a>>,
    at: At,
    server_time: At,
}

#[derive(Serialize)]
struct TickItem<'a> {
    item: &'a str,
    left: u32,
    held: u32,
    sold: u32,
    total: u32,
}

#[derive(Serialize)]
struct Door {
    state: &'static str,
    opens_at: Option<At>,
    closes_at: Option<At>,
    server_time: At,
}

fn frame(event: &str, id: u64, data: &impl Serialize) -> Bytes {
    let data = serde_json::to_string(data).unwrap_or_default();
    Bytes::from(format!("event: {event}\nid: {id}\ndata: {data}\n\n"))
}

/// The units of a sale.
pub(crate) fn tick_frame(face: &Face, now: Timestamp) -> Bytes {
    let sum = |units: fn(&crate::board::FaceItem) -> u32| face.items.iter().map(units).fold(0, u32::saturating_add);
    let items = face.items.iter().map(|item| TickItem {
        item: item.item.as_str(),
        left: item.left,
        held: item.held,
        sold: item.sold,
        total: item.total,
    });
    let tick = Tick {
        state: face.standing(now).code(),
        left: sum(|item| item.left),
        held: sum(|item| item.held),
        sold: sum(|item| item.sold),
        items: items.collect(),
        at: At(face.at),
        server_time: At(now),
    };
    frame("tick", face.tick, &tick)
}

/// The door of a sale.
pub(crate) fn sale_frame(face: &Face, now: Timestamp) -> Bytes {
    let door = Door {
        state: face.standing(now).code(),
        opens_at: face.opens_at().map(At),
        closes_at: face.closes_at().map(At),
        server_time: At(now),
    };
    frame("sale", face.tick, &door)
}

/// The room before a sale.
pub(crate) fn room_frame(tick: &RoomTick) -> Bytes {
    frame("room", u64::try_from(tick.at.ms()).unwrap_or_default(), &TickTold::from(tick))
}

/// Where a stream is.
enum Next {
    First(Bytes),
    Frames,
    End,
}

/// The answer: what is true now, then every frame until the server says bye or the reader is too slow.
pub(crate) fn answer(
    face: &Face,
    room: Option<&RoomTick>,
    now: Timestamp,
    frames: broadcast::Receiver<Bytes>,
    turn: Turn,
) -> Response {
    let mut first = Vec::from(b"retry: 3000\n\n".as_slice());
    first.extend_from_slice(&sale_frame(face, now));
    first.extend_from_slice(&tick_frame(face, now));
    if let Some(tick) = room {
        first.extend_from_slice(&room_frame(tick));
    }
    let body = stream::unfold((Next::First(first.into()), frames, turn), |(next, mut frames, turn)| async move {
        let frame = match next {
            Next::First(frame) => frame,
            // Behind by too many, or the sale is gone: he comes again.
            Next::Frames => frames.recv().await.ok()?,
            Next::End => return None,
        };
        let next = if frame.starts_with(BYE_START) { Next::End } else { Next::Frames };
        Some((Ok::<_, std::convert::Infallible>(frame), (next, frames, turn)))
    });
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}
