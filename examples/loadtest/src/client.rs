//! One HTTP/1.1 connection per worker, kept alive, driven by the worker's own task.
//!
//! Owns connecting, sending, reading and repeating a call whose answer promises nothing (503, or none at all). Does not know what
//! an answer means. The tool shares its cores with the server, so every allocation saved here is load that can be sent.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;

use crate::Failure;

const MEMBER: HeaderName = HeaderName::from_static("flashsale-member");
const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const ADMISSION: HeaderName = HeaderName::from_static("flashsale-admission");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// How long a call is repeated before it counts as unanswered: longer than a restart of a server, or of
/// Redis, takes, and than servers wait before they take a sale back from a gate that is gone.
const PATIENCE: Duration = Duration::from_secs(60);
/// A single attempt that takes longer has no answer: above the server's own request deadline.
const ATTEMPT: Duration = Duration::from_secs(15);
/// The first wait before a repeat; it doubles up to [`WAIT_MAX`].
const WAIT_MIN: Duration = Duration::from_millis(5);
const WAIT_MAX: Duration = Duration::from_millis(200);

/// A call, ready to be sent as often as needed.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    method: Method,
    path: Uri,
    member: Option<HeaderValue>,
    key: Option<HeaderValue>,
    admission: Option<HeaderValue>,
    body: Bytes,
}

impl Call {
    fn of(method: Method, path: Uri, body: Bytes) -> Self {
        Self { method, path, member: None, key: None, admission: None, body }
    }

    /// A GET.
    pub(crate) fn get(path: Uri) -> Self {
        Self::of(Method::GET, path, Bytes::new())
    }

    /// A DELETE.
    pub(crate) fn delete(path: Uri) -> Self {
        Self::of(Method::DELETE, path, Bytes::new())
    }

    /// A POST of a JSON body.
    pub(crate) fn post(path: Uri, body: Bytes) -> Self {
        Self::of(Method::POST, path, body)
    }

    /// A PUT of a JSON body.
    pub(crate) fn put(path: Uri, body: Bytes) -> Self {
        Self::of(Method::PUT, path, body)
    }

    /// Says who asks.
    pub(crate) fn by(self, member: &str) -> Self {
        Self { member: Some(HeaderValue::from_str(member).expect("a member's name is ASCII")), ..self }
    }

    /// A look at what this call asked for, by who sent it: at an order, or at a coupon.
    pub(crate) fn look(&self, name: &str) -> Self {
        let kind = if self.claims() { "coupons" } else { "orders" };
        Self { member: self.member.clone(), ..Self::get(path(&format!("/v1/{kind}/{name}"))) }
    }

    /// The status with which its promise is told.
    pub(crate) fn promises(&self) -> u16 {
        if self.claims() { 201 } else { 202 }
    }

    fn claims(&self) -> bool {
        self.path.path().ends_with("/coupons")
    }

    /// Shows what a waiting room gave.
    pub(crate) fn admitted_by(self, token: &str) -> Self {
        Self { admission: Some(HeaderValue::from_str(token).expect("a token is ASCII")), ..self }
    }

    /// Names the call, so that it can be repeated.
    pub(crate) fn keyed(self, key: &str) -> Self {
        Self { key: Some(HeaderValue::from_str(key).expect("a key is ASCII")), ..self }
    }
}

/// The path of a call; ids are made by this tool, so it always is one.
pub(crate) fn path(text: &str) -> Uri {
    text.parse().expect("a path made of ids")
}

/// A JSON body.
pub(crate) fn json(value: &serde_json::Value) -> Bytes {
    Bytes::from(value.to_string())
}

/// What was answered, without the body: that stays with the [`Client`] until the next call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: u16,
    /// The `Retry-After` in seconds.
    pub(crate) retry_after_s: Option<u64>,
}

/// What became of a call that was repeated until answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    /// The final answer; `None` if there was none within the patience.
    pub(crate) answer: Option<Answer>,
    /// From the first attempt to the final answer.
    pub(crate) took: Duration,
    /// Attempts after the first.
    pub(crate) repeats: u32,
}

/// The attempt had no answer: the connection broke, or could not be made.
#[derive(Debug)]
pub(crate) struct Broken;

type Driver = http1::Connection<TokioIo<TcpStream>, Full<Bytes>>;

/// An open connection: the half that sends, and the half that moves bytes.
struct Wire {
    sender: http1::SendRequest<Full<Bytes>>,
    /// `None` once it has ended.
    driver: Option<Pin<Box<Driver>>>,
}

impl Wire {
    async fn open(to: SocketAddr) -> Result<Self, Broken> {
        let stream = TcpStream::connect(to).await.map_err(|_| Broken)?;
        stream.set_nodelay(true).map_err(|_| Broken)?;
        let (sender, driver) = http1::handshake(TokioIo::new(stream)).await.map_err(|_| Broken)?;
        Ok(Self { sender, driver: Some(Box::pin(driver)) })
    }

    /// Lets the connection move bytes. Polled by the caller's own task: no second task, no wake-up between threads.
    fn turn(driver: &mut Option<Pin<Box<Driver>>>, cx: &mut std::task::Context<'_>) {
        if let Some(running) = driver
            && running.as_mut().poll(cx).is_ready()
        {
            *driver = None;
        }
    }

    async fn head(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Broken> {
        let Self { sender, driver } = self;
        poll_fn(|cx| {
            if let Poll::Ready(ready) = sender.poll_ready(cx) {
                return Poll::Ready(ready);
            }
            Self::turn(driver, cx);
            sender.poll_ready(cx)
        })
        .await
        .map_err(|_| Broken)?;
        let mut answer = pin!(sender.send_request(request));
        poll_fn(|cx| {
            Self::turn(driver, cx);
            answer.as_mut().poll(cx)
        })
        .await
        .map_err(|_| Broken)
    }

    async fn body(&mut self, mut from: Incoming, into: &mut Vec<u8>) -> Result<(), Broken> {
        into.clear();
        loop {
            let frame = poll_fn(|cx| match Pin::new(&mut from).poll_frame(cx) {
                Poll::Pending => {
                    Self::turn(&mut self.driver, cx);
                    Pin::new(&mut from).poll_frame(cx)
                }
                ready => ready,
            })
            .await;
            match frame {
                None => return Ok(()),
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        into.extend_from_slice(data);
                    }
                }
                Some(Err(_)) => return Err(Broken),
            }
        }
    }
}

/// A worker's connection to the server; reopened when it breaks.
pub(crate) struct Client {
    to: SocketAddr,
    host: HeaderValue,
    wire: Option<Wire>,
    body: Vec<u8>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("to", &self.to).field("open", &self.wire.is_some()).finish_non_exhaustive()
    }
}

impl Client {
    /// A client that connects at its first call.
    pub(crate) fn new(to: SocketAddr) -> Self {
        let host = HeaderValue::from_str(&to.to_string()).expect("an address is ASCII");
        Self { to, host, wire: None, body: Vec::with_capacity(1024) }
    }

    /// Where it sends to.
    #[cfg(test)]
    pub(crate) fn to(&self) -> SocketAddr {
        self.to
    }

    /// The body of the last answer.
    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    /// Puts another body in the place of the last answer's.
    pub(crate) fn put_body(&mut self, body: String) {
        self.body = body.into_bytes();
    }

    /// The body of the last answer, read as JSON.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body)
            .map_err(|e| Failure::Server(format!("{e} in {}", String::from_utf8_lossy(&self.body))))
    }

    /// Connects, if it is not connected.
    pub(crate) async fn connect(&mut self) -> Result<(), Broken> {
        if self.wire.is_none() {
            self.wire = Some(Wire::open(self.to).await?);
        }
        Ok(())
    }

    /// Sends a call once.
    pub(crate) async fn send(&mut self, call: &Call) -> Result<Answer, Broken> {
        self.connect().await?;
        let answer = tokio::time::timeout(ATTEMPT, self.exchange(call)).await.unwrap_or(Err(Broken));
        if answer.is_err() {
            self.wire = None;
        }
        answer
    }

    async fn exchange(&mut self, call: &Call) -> Result<Answer, Broken> {
        let wire = self.wire.as_mut().ok_or(Broken)?;
        let mut request = Request::new(Full::new(call.body.clone()));
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = call.path.clone();
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        if !call.body.is_empty() {
            headers.insert(CONTENT_TYPE, JSON);
        }
        for (name, value) in [(MEMBER, &call.member), (KEY, &call.key), (ADMISSION, &call.admission)] {
            if let Some(value) = value {
                headers.insert(name, value.clone());
            }
        }
        let (head, body) = wire.head(request).await?.into_parts();
        wire.body(body, &mut self.body).await?;
        let retry_after_s = head.headers.get(RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse().ok());
        Ok(Answer { status: head.status.as_u16(), retry_after_s })
    }

    /// Sends a call and repeats it, under the same key, as long as nothing was promised: no answer, 503, or still in progress.
    pub(crate) async fn ask(&mut self, call: &Call) -> Asked {
        let began = Instant::now();
        let mut repeats = 0;
        let mut wait = WAIT_MIN;
        loop {
            if let Ok(answer) = self.send(call).await
                && !self.promises_nothing(answer.status)
            {
                return Asked { answer: Some(answer), took: began.elapsed(), repeats };
            }
            if began.elapsed() > PATIENCE {
                return Asked { answer: None, took: began.elapsed(), repeats };
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(WAIT_MAX);
            repeats += 1;
        }
    }

    /// Whether the call has to be repeated: 503 by contract, or another attempt under this key is still under way.
    fn promises_nothing(&self, status: u16) -> bool {
        #[derive(Deserialize)]
        struct Code<'a> {
            code: &'a str,
        }
        match status {
            503 => true,
            409 => {
                self.body.windows(11).any(|w| w == b"in_progress")
                    && serde_json::from_slice::<Code<'_>>(&self.body).is_ok_and(|c| c.code == "in_progress")
            }
            _ => false,
        }
    }

    /// Sends a call that prepares something, and insists on one of these statuses.
    ///
    /// # Errors
    /// [`Failure::Server`] with the answer, if it is another.
    pub(crate) async fn insist(&mut self, call: &Call, on: &[u16]) -> Result<Answer, Failure> {
        match self.ask(call).await.answer {
            Some(answer) if on.contains(&answer.status) => Ok(answer),
            Some(answer) => Err(Failure::Server(format!(
                "{} {} was answered {}: {}",
                call.method,
                call.path,
                answer.status,
                String::from_utf8_lossy(&self.body)
            ))),
            None => Err(Failure::Server(format!("{} {} was not answered", call.method, call.path))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake;

    #[tokio::test]
    async fn a_503_is_repeated_under_the_same_key_until_answered() {
        let server = fake::serve(|n, request| {
            let key = request.headers().get("idempotency-key").map(|k| k.to_str().unwrap().to_owned());
            assert_eq!(key.as_deref(), Some("k1"));
            if n < 2 { (503, "{}".into()) } else { (202, r#"{"id":"m~k1"}"#.into()) }
        })
        .await;
        let mut client = Client::new(server);
        let asked = client.ask(&Call::post(path("/v1/orders"), Bytes::from_static(b"{}")).by("m").keyed("k1")).await;
        assert_eq!(asked.answer.map(|a| a.status), Some(202));
        assert_eq!(asked.repeats, 2);
        assert_eq!(client.body(), br#"{"id":"m~k1"}"#);
    }

    #[tokio::test]
    async fn in_progress_is_repeated_and_another_409_is_an_answer() {
        let server = fake::serve(|n, _| match n {
            0 => (409, r#"{"code":"in_progress"}"#.into()),
            _ => (409, r#"{"code":"sold_out","detail":"not in_progress"}"#.into()),
        })
        .await;
        let mut client = Client::new(server);
        let asked = client.ask(&Call::get(path("/"))).await;
        assert_eq!((asked.answer.map(|a| a.status), asked.repeats), (Some(409), 1));
    }

    #[tokio::test]
    async fn a_broken_connection_is_opened_again() {
        let server = fake::serve(|n, _| if n == 0 { (0, String::new()) } else { (200, "x".repeat(100_000)) }).await;
        let mut client = Client::new(server);
        let asked = client.ask(&Call::get(path("/"))).await;
        assert_eq!((asked.answer.map(|a| a.status), asked.repeats), (Some(200), 1));
        assert_eq!(client.body().len(), 100_000);
    }
}
