//! The public stream of a room (SSE): one frame a tick, rendered once however many listen, the same bytes for everybody.
//!
//! Owns the frames and the body of the answer. A reader holds no queue: he gets the newest frame when he is ready for it, and who
//! missed too many is ended, and comes again by himself. Ticks are absolute, so nothing has to be sent twice.

use std::convert::Infallible;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use flashsale_core::WaitingRoom;
use flashsale_core::engine::Tick;
use futures_util::stream;
use tokio::sync::watch;

use crate::problem::Problem;
use crate::told::TickTold;

/// Begins every stream.
const HELLO: Bytes = Bytes::from_static(b"retry: 3000\n\n");
/// Keeps proxies from closing a quiet stream.
const HEARTBEAT: Bytes = Bytes::from_static(b": still here\n\n");
const HEARTBEAT_EVERY: Duration = Duration::from_secs(15);
/// The last frame: come again, after a random part of this.
const BYE: Bytes = Bytes::from_static(b"event: bye\ndata: {\"reconnect_ms\":5000}\n\n");
/// Who missed more frames than this is ended.
const BEHIND_MAX: u64 = 10;
/// The most readers of one server.
const READERS_MAX: usize = 50_000;

/// The stream of a room on one server. A clone is the same one.
#[derive(Clone)]
pub struct RoomStream(Arc<Shared>);

struct Shared {
    ticks: watch::Receiver<Option<Arc<Tick>>>,
    /// The newest frame, and of which tick it is.
    newest: Mutex<Option<(Arc<Tick>, Frame)>>,
    rendered: AtomicU64,
    readers: AtomicUsize,
    readers_max: usize,
    open: watch::Sender<Open>,
}

/// A frame and its number.
#[derive(Debug, Clone)]
struct Frame {
    no: u64,
    bytes: Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Yes,
    No,
}

impl fmt::Debug for RoomStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoomStream").field("readers", &self.readers()).finish_non_exhaustive()
    }
}

/// One who reads, as long as he does.
struct Reader(Arc<Shared>);

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.readers.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Where a stream is.
struct At {
    reader: Reader,
    ticks: watch::Receiver<Option<Arc<Tick>>>,
    open: watch::Receiver<Open>,
    /// The number of the last frame that was sent.
    sent: Option<u64>,
    next: Next,
}

enum Next {
    Hello,
    Frames,
    End,
}

impl RoomStream {
    /// The stream of this room. Its frames are the ticks that the room's pass publishes.
    #[must_use]
    pub fn new(room: &WaitingRoom) -> Self {
        Self(Arc::new(Shared {
            ticks: room.ticks(),
            newest: Mutex::default(),
            rendered: AtomicU64::new(0),
            readers: AtomicUsize::new(0),
            readers_max: READERS_MAX,
            open: watch::Sender::new(Open::Yes),
        }))
    }

    /// How many listen.
    #[must_use]
    pub fn readers(&self) -> usize {
        self.0.readers.load(Ordering::Acquire)
    }

    /// How often a frame was rendered: once per tick that anybody saw.
    #[must_use]
    pub fn rendered(&self) -> u64 {
        self.0.rendered.load(Ordering::Acquire)
    }

    /// Says bye to everybody who listens: before a shutdown.
    pub fn end(&self) {
        self.0.open.send_replace(Open::No);
    }

    /// The answer to one who wants to listen; `last` is the id of the frame that he saw last. 503 if too many do.
    #[must_use]
    pub fn answer(&self, last: Option<i64>) -> Response {
        if self.0.readers.fetch_add(1, Ordering::AcqRel) >= self.0.readers_max {
            self.0.readers.fetch_sub(1, Ordering::AcqRel);
            let full =
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "stream_full", "too many listen; ask for your place");
            return full.retry_after(Some(Duration::from_secs(5))).into_response();
        }
        let reader = Reader(self.0.clone());
        let mut ticks = self.0.ticks.clone();
        let news = ticks.borrow_and_update().as_ref().is_some_and(|tick| Some(tick.at.ms()) != last);
        if news {
            ticks.mark_changed();
        }
        let at = At { reader, ticks, open: self.0.open.subscribe(), sent: None, next: Next::Hello };
        let mut response = Response::new(Body::from_stream(stream::unfold(at, next)));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        response
    }
}

impl Shared {
    /// The frame of a tick: rendered by the first who asks.
    fn frame(&self, tick: &Arc<Tick>) -> Frame {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, frame)) = &*newest
            && of.at >= tick.at
        {
            return frame.clone();
        }
        let no = self.rendered.fetch_add(1, Ordering::AcqRel) + 1;
        let data = serde_json::to_string(&TickTold::from(&**tick)).unwrap_or_default();
        let bytes = Bytes::from(format!("event: tick\nid: {}\ndata: {data}\n\n", tick.at.ms()));
        let frame = Frame { no, bytes };
        *newest = Some((tick.clone(), frame.clone()));
        frame
    }
}

/// What is sent next, and where the stream is then.
async fn next(mut at: At) -> Option<(Result<Bytes, Infallible>, At)> {
    match at.next {
        Next::Hello => {
            at.next = Next::Frames;
            return Some((Ok(HELLO), at));
        }
        Next::End => return None,
        Next::Frames => {}
    }
    let woke = tokio::time::timeout(HEARTBEAT_EVERY, async {
        tokio::select! {
            biased;
            _ = at.open.wait_for(|open| *open == Open::No) => Open::No,
            changed = at.ticks.changed() => if changed.is_ok() { Open::Yes } else { Open::No },
        }
    });
    match woke.await {
        Err(_) => Some((Ok(HEARTBEAT), at)),
        Ok(Open::No) => {
            at.next = Next::End;
            Some((Ok(BYE), at))
        }
        Ok(Open::Yes) => {
            let Some(tick) = at.ticks.borrow_and_update().clone() else { return Some((Ok(HEARTBEAT), at)) };
            let frame = at.reader.0.frame(&tick);
            if at.sent.is_some_and(|sent| frame.no > sent + BEHIND_MAX) {
                return None;
            }
            at.sent = Some(frame.no);
            Some((Ok(frame.bytes), at))
        }
    }
}
