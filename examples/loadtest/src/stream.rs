//! Listens to the public stream of a sale, and keeps what it says of the room before it.
//!
//! Owns the connection and the frames. Comes again when it is sent away.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::client::{Broken, path};

/// How long it waits before it comes again.
const AGAIN: Duration = Duration::from_millis(100);

/// What a `room` frame says, as far as it is looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct RoomFrame {
    /// Whether people take places.
    pub(crate) open: bool,
    /// The last number that the line has passed.
    pub(crate) serving: u64,
    /// How many are in line.
    pub(crate) waiting: u64,
    /// How many have a turn.
    pub(crate) inside: u64,
}

/// One who listens to one server. He stops when this is dropped.
#[derive(Debug)]
pub(crate) struct Listener {
    seen: Arc<Mutex<Vec<RoomFrame>>>,
    newest: watch::Receiver<RoomFrame>,
    task: JoinHandle<()>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Listener {
    /// Listens to a sale on a server.
    pub(crate) fn to(server: SocketAddr, sale: &str) -> Self {
        let (tell, newest) = watch::channel(RoomFrame::default());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (from, all) = (path(&format!("/v1/sales/{sale}/stream")), seen.clone());
        let task = tokio::spawn(async move {
            loop {
                let _ = listen(server, &from, |frame| {
                    all.lock().unwrap_or_else(PoisonError::into_inner).push(frame.clone());
                    tell.send_replace(frame);
                })
                .await;
                tokio::time::sleep(AGAIN).await;
            }
        });
        Self { seen, newest, task }
    }

    /// The newest frame, and every one after it.
    pub(crate) fn newest(&self) -> watch::Receiver<RoomFrame> {
        self.newest.clone()
    }

    /// All frames so far.
    pub(crate) fn seen(&self) -> Vec<RoomFrame> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Hands over the frames of a room until the stream ends.
async fn listen(server: SocketAddr, from: &Uri, mut take: impl FnMut(RoomFrame)) -> Result<(), Broken> {
    let stream = TcpStream::connect(server).await.map_err(|_| Broken)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|_| Broken)?;
    let request = Request::get(from).header(HOST, server.to_string()).body(Empty::<Bytes>::new());
    let read = async {
        let answer = sender.send_request(request.map_err(|_| Broken)?).await.map_err(|_| Broken)?;
        let (mut body, mut text) = (answer.into_body(), Vec::new());
        while let Some(Ok(frame)) = body.frame().await {
            text.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
            rooms(&mut text).into_iter().for_each(&mut take);
        }
        Ok(())
    };
    tokio::select! {
        read = read => read,
        _ = connection => Ok(()),
    }
}

/// Takes whole frames out of a text; gives those of a room.
fn rooms(text: &mut Vec<u8>) -> Vec<RoomFrame> {
    let Some(end) = text.windows(2).rposition(|two| two == b"\n\n") else { return vec![] };
    let whole: Vec<u8> = text.drain(..end + 2).collect();
    let whole = String::from_utf8_lossy(&whole);
    let blocks = whole.split("\n\n").filter(|block| block.lines().any(|line| line == "event: room"));
    let data = blocks.filter_map(|block| block.lines().find_map(|line| line.strip_prefix("data: ")));
    data.filter_map(|data| serde_json::from_str(data).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_a_room_are_read_however_the_bytes_come() {
        let whole = "retry: 3000\n\nevent: sale\ndata: {\"state\":\"open\"}\n\n: still here\n\nevent: room\nid: 7\n\
                     data: {\"open\":true,\"mode\":\"auto\",\"serving\":3,\"issued\":9,\"waiting\":6,\"inside\":2}\n\nevent: room\n";
        let (mut text, mut frames) = (Vec::new(), Vec::new());
        for byte in whole.bytes() {
            text.push(byte);
            frames.extend(rooms(&mut text));
        }
        assert_eq!(frames, [RoomFrame { open: true, serving: 3, waiting: 6, inside: 2 }]);
        assert_eq!(text, b"event: room\n", "what is not whole yet");
    }
}
