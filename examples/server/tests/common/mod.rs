//! A server in this process over a file of its own, and a client that sends exactly the bytes that it is told.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flashsale_server::Running;
use flashsale_server::config::{Config, Values};
use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A server, its directory and its rows.
pub(crate) struct Shop {
    pub(crate) at: SocketAddr,
    pub(crate) rows: SqlitePool,
    running: Running,
    directory: Arc<tempfile::TempDir>,
}

/// The settings of a test: nothing is declined, nothing takes time.
pub(crate) fn config(file: &Path, more: &[(&str, &str)]) -> Config {
    let url = format!("sqlite://{}", file.display());
    let own = [
        ("http.bind", "127.0.0.1:0"),
        ("sql.url", url.as_str()),
        ("payment.decline-rate", "0"),
        ("payment.latency-ms", "0"),
        ("dev.clock", "true"),
    ];
    let flags = own.iter().chain(more).map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    Values::gather(None, [], flags).unwrap().config().unwrap()
}

impl Shop {
    pub(crate) async fn open() -> Self {
        Self::with(&[]).await
    }

    pub(crate) async fn with(more: &[(&str, &str)]) -> Self {
        Self::over(Arc::new(tempfile::tempdir().unwrap()), more).await
    }

    /// A server over a directory that others may serve as well.
    pub(crate) async fn over(directory: Arc<tempfile::TempDir>, more: &[(&str, &str)]) -> Self {
        let file = directory.path().join("shop.db");
        let running = flashsale_server::start(config(&file, more)).await.unwrap();
        Self { at: running.address(), rows: rows(&file).await, running, directory }
    }

    /// Why the gate did not answer at the start, if it did not.
    pub(crate) fn gate_is_silent(&self) -> Option<String> {
        self.running.gate_is_silent().map(ToString::to_string)
    }

    pub(crate) async fn close(self) {
        self.rows.close().await;
        self.running.stop().await;
    }

    pub(crate) async fn send(&self, request: Request<'_>) -> Answer {
        send(self.at, request).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path)).await
    }

    pub(crate) async fn post(&self, path: &str, member: &str, key: &str, body: Value) -> Answer {
        self.send(Request::post(path, &body.to_string()).by(member).keyed(key)).await
    }

    /// Orders units of an item of a sale.
    pub(crate) async fn order(&self, sale: &str, item: &str, member: &str, key: &str) -> Answer {
        let body = serde_json::json!({ "sale": sale, "lines": [{ "item": item, "quantity": 1 }] });
        self.post("/v1/orders", member, key, body).await
    }

    /// A sale of one item, `unit`, at 10,000.
    pub(crate) async fn sale(&self, id: &str, total: u64, per_buyer: u64) {
        let items = serde_json::json!([{ "id": "unit", "total": total, "price": 10_000, "per_buyer": per_buyer }]);
        let answer = self.post("/v1/sales", "op", "-", serde_json::json!({ "id": id, "items": items })).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
    }

    /// Looks at an order until it has this status.
    pub(crate) async fn until(&self, id: &str, status: &str) -> Value {
        let member = id.split('~').next().unwrap().to_owned();
        loop {
            let order = self.send(Request::get(&format!("/v1/orders/{id}")).by(&member)).await.json();
            if order["status"] == status {
                return order;
            }
            let moving = ["accepted", "paying", "closing", "refunding"].contains(&order["status"].as_str().unwrap());
            assert!(moving, "it ended as {order} instead of {status}");
        }
    }

    /// Everything that a request could have changed, counted.
    pub(crate) async fn ledger(&self) -> Vec<i64> {
        let counts = [
            "SELECT COUNT(*) FROM orders",
            "SELECT COALESCE(SUM(allocated), 0) FROM item",
            "SELECT COUNT(*) FROM line",
            "SELECT COUNT(*) FROM sale",
            "SELECT COUNT(*) FROM campaign",
            "SELECT COUNT(*) FROM coupon",
            "SELECT COUNT(*) FROM wallet_entry",
            "SELECT COUNT(*) FROM wallet_request",
            "SELECT COUNT(*) FROM outbox",
        ];
        let mut all = Vec::new();
        for text in counts {
            all.push(sqlx::query_scalar(text).fetch_one(&self.rows).await.unwrap());
        }
        all
    }
}

/// The rows of a file, read only.
pub(crate) async fn rows(file: &Path) -> SqlitePool {
    SqlitePool::connect_with(SqliteConnectOptions::new().filename(file).read_only(true)).await.unwrap()
}

/// A request, byte by byte.
#[derive(Clone)]
pub(crate) struct Request<'a> {
    method: &'a str,
    path: &'a str,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl<'a> Request<'a> {
    pub(crate) fn get(path: &'a str) -> Self {
        Self { method: "GET", path, headers: Vec::new(), body: Vec::new() }
    }

    /// A POST of JSON.
    pub(crate) fn post(path: &'a str, body: &str) -> Self {
        let json = Self { method: "POST", body: body.into(), ..Self::get(path) };
        json.header("content-type", "application/json")
    }

    /// A POST without a body.
    pub(crate) fn bare(path: &'a str) -> Self {
        Self { method: "POST", ..Self::get(path) }
    }

    pub(crate) fn form(path: &'a str, body: &str) -> Self {
        Self { method: "POST", body: body.into(), ..Self::get(path) }
            .header("content-type", "application/x-www-form-urlencoded")
    }

    pub(crate) fn method(self, method: &'a str) -> Self {
        Self { method, ..self }
    }

    pub(crate) fn bytes(self, body: &[u8]) -> Self {
        Self { body: body.to_vec(), ..self }
    }

    pub(crate) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    pub(crate) fn by(self, member: &str) -> Self {
        self.header("flashsale-member", member)
    }

    pub(crate) fn keyed(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }

    fn wire(&self, host: SocketAddr) -> Vec<u8> {
        let Self { method, path, headers, body } = self;
        let mut wire = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n").into_bytes();
        for (name, value) in headers {
            wire.extend_from_slice(name.as_bytes());
            wire.extend_from_slice(b": ");
            wire.extend_from_slice(value);
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
        wire.extend_from_slice(body);
        wire
    }
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.text()))
    }

    /// Status and code of a problem, after checking that it is one.
    pub(crate) fn problem(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{} {}", self.status, self.text());
        let body = self.json();
        assert_eq!(body["status"], self.status);
        for field in ["type", "title", "code", "detail"] {
            assert!(body[field].is_string(), "{field} is missing in {body}");
        }
        let waits = body["retry_after_s"].as_u64().map(|s| s.to_string());
        assert_eq!(waits.as_deref(), self.header("retry-after"), "{body}");
        (self.status, body["code"].as_str().unwrap().to_owned())
    }

    fn parse(wire: &[u8]) -> Option<Self> {
        let end = wire.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&wire[..end]).into_owned();
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers = lines.filter_map(|line| line.split_once(": ")).map(|(n, v)| (n.to_lowercase(), v.to_owned()));
        Some(Self { status, headers: headers.collect(), body: wire[end + 4..].to_vec() })
    }
}

/// Sends a request; `None` if the connection broke without an answer.
pub(crate) async fn try_send(to: SocketAddr, request: &Request<'_>) -> Option<Answer> {
    let mut stream = TcpStream::connect(to).await.ok()?;
    // A server may answer before it has read everything, and close.
    let _ = stream.write_all(&request.wire(to)).await;
    let mut wire = Vec::new();
    let _ = stream.read_to_end(&mut wire).await;
    Answer::parse(&wire)
}

pub(crate) async fn send(to: SocketAddr, request: Request<'_>) -> Answer {
    try_send(to, &request).await.expect("an answer")
}

/// A live stream of events.
pub(crate) struct Stream {
    connection: TcpStream,
    seen: String,
}

impl Stream {
    pub(crate) async fn open(at: SocketAddr, path: &str) -> Self {
        let mut connection = TcpStream::connect(at).await.unwrap();
        connection.write_all(format!("GET {path} HTTP/1.1\r\nhost: {at}\r\n\r\n").as_bytes()).await.unwrap();
        Self { connection, seen: String::new() }
    }

    /// Reads until an event is there that is looked for; its data.
    pub(crate) async fn until(&mut self, is: impl Fn(&str, &Value) -> bool) -> Value {
        loop {
            while let Some(end) = self.seen.find("\n\n") {
                let frame: String = self.seen.drain(..end + 2).collect();
                let line = |name: &str| frame.lines().find_map(|line| line.strip_prefix(name));
                if let (Some(event), Some(data)) = (line("event: "), line("data: ")) {
                    let data = serde_json::from_str(data).unwrap();
                    if is(event, &data) {
                        return data;
                    }
                }
            }
            let mut part = [0; 4096];
            let read = self.connection.read(&mut part).await.unwrap();
            assert!(read > 0, "the stream ended");
            self.seen.push_str(&String::from_utf8_lossy(&part[..read]));
        }
    }
}

/// A real server process. It is killed when this is dropped.
pub(crate) struct Process {
    pub(crate) at: SocketAddr,
    pub(crate) child: tokio::process::Child,
}

pub(crate) fn binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_flashsale-server"))
}

impl Process {
    pub(crate) async fn start(directory: &Path, flags: &[&str]) -> Self {
        use tokio::io::{AsyncBufReadExt, BufReader};
        let mut command = tokio::process::Command::new(binary());
        command.args(["serve", "--http.bind", "127.0.0.1:0", "--telemetry.log", "error"]).args(flags);
        command.current_dir(directory).stdout(std::process::Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.next_line().await.unwrap().expect("a first line");
        let at = first.strip_prefix("listening on http://").expect("the first line says where").parse().unwrap();
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { at, child }
    }
}

/// Stops the shop and counts the orders that its file holds then.
pub(crate) async fn rows_after(shop: Shop) -> i64 {
    let Shop { rows: open, running, directory, .. } = shop;
    open.close().await;
    running.stop().await;
    let rows = rows(&directory.path().join("shop.db")).await;
    let count = sqlx::query_scalar("SELECT COUNT(*) FROM orders").fetch_one(&rows).await.unwrap();
    rows.close().await;
    count
}
