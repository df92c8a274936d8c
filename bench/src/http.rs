//! The marks over HTTP: the server of this checkout as a separate process, on loopback, with a file in a directory of its own.
//!
//! `http-accepted` and `http-redis` ask the load tool, whose scenario audits the rows. `http-sold-out` sends bytes that were made before the
//! clock starts and reads no more of an answer than its status and length: the client shares the cores with the server, so
//! what it saves is load that can be sent. Both compare with a route that does nothing, asked by the same client.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use serde::Deserialize;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use crate::Failure;
use crate::runs::Figures;

/// Connections that ask at the same time.
const CONNECTIONS: usize = 100;
/// Requests of one run.
const REQUESTS: usize = 50_000;

/// What the load tool reports, as far as it is needed here.
#[derive(Debug, Deserialize)]
struct Reported {
    answered_per_s: f64,
    hello_per_s: f64,
    confirmed: u64,
}

/// Orders accepted and durable, by the load tool's scenario in which everybody buys.
pub(crate) fn accepted(runs: usize) -> Result<Figures, Failure> {
    everybody_buys(runs, &[])
}

/// The same with the gate on a Redis of the run's own.
pub(crate) fn accepted_on_redis(runs: usize) -> Result<Figures, Failure> {
    everybody_buys(runs, &["--redis"])
}

fn everybody_buys(runs: usize, wishes: &[&str]) -> Result<Figures, Failure> {
    let mut figures = Figures { of: "orders", ours: Vec::new(), before: Vec::new(), after: Vec::new() };
    for _ in 0..runs {
        let folder = tempfile::tempdir()?;
        let json = folder.path().join("run.json");
        let run = Command::new(beside("flashsale-loadtest")?)
            .args(["run", "event-all"])
            .args(wishes)
            .arg("--json")
            .arg(&json)
            .env_remove("CARGO")
            .output()?;
        if !run.status.success() {
            return Err(format!("event-all did not hold:\n{}", String::from_utf8_lossy(&run.stdout)).into());
        }
        let reported: Reported = serde_json::from_slice(&std::fs::read(&json)?)?;
        if reported.confirmed == 0 {
            return Err("event-all confirmed nothing".into());
        }
        // The tool measures the other route before and after the load and reports the mean.
        figures.push(reported.answered_per_s, reported.hello_per_s, reported.hello_per_s);
    }
    Ok(figures)
}

/// Orders refused because nothing is left.
pub(crate) fn sold_out(runs: usize) -> Result<Figures, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let server = Server::start()?;
    let to = server.address;
    let sale = r#"{"id":"gone","items":[{"id":"unit","total":1,"price":10000,"per_buyer":1}]}"#;
    let order = r#"{"sale":"gone","lines":[{"item":"unit","quantity":1}]}"#;
    let once = |path: &str, member: &str, body: &str, status: u16| {
        send(&runtime, to, Arc::from(vec![post(path, member, "order-first", body)]), status)
    };
    once("/v1/sales", "operator", sale, 201)?;
    once("/v1/orders", "winner", order, 202)?;
    let hello: Arc<[Vec<u8>]> = vec![b"GET /hello HTTP/1.1\r\nhost: mark\r\n\r\n".to_vec(); REQUESTS].into();
    let mut run = 0;
    Figures::measure(
        "requests",
        runs,
        || send(&runtime, to, hello.clone(), 200),
        || {
            run += 1;
            let losers: Vec<Vec<u8>> = (0..REQUESTS)
                .map(|n| post("/v1/orders", &format!("m{run}-{n:05}"), &format!("order-{n:05}"), order))
                .collect();
            send(&runtime, to, losers.into(), 409)
        },
    )
}

fn post(path: &str, member: &str, key: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: mark\r\nflashsale-member: {member}\r\nidempotency-key: {key}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Sends requests over all connections at once and tells how many a second were answered; each with this status.
#[expect(clippy::cast_precision_loss, reason = "a count of requests is far below 2^52")]
fn send(runtime: &Runtime, to: SocketAddr, requests: Arc<[Vec<u8>]>, status: u16) -> Result<f64, Failure> {
    runtime.block_on(async {
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS.min(requests.len()) {
            let stream = TcpStream::connect(to).await?;
            stream.set_nodelay(true)?;
            connections.push(stream);
        }
        let next = Arc::new(AtomicUsize::new(0));
        let begun = Instant::now();
        let asking: Vec<_> = connections
            .into_iter()
            .map(|stream| tokio::spawn(ask(stream, requests.clone(), next.clone(), status)))
            .collect();
        for asked in asking {
            asked.await?.map_err(|why| -> Failure { why.into() })?;
        }
        Ok(requests.len() as f64 / begun.elapsed().as_secs_f64())
    })
}

/// Sends one request after the other over a connection, whichever is next.
async fn ask(
    mut stream: TcpStream,
    requests: Arc<[Vec<u8>]>,
    next: Arc<AtomicUsize>,
    status: u16,
) -> Result<(), String> {
    let broken = |error: std::io::Error| format!("the connection broke: {error}");
    let mut answer = Vec::with_capacity(4096);
    while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
        stream.write_all(request).await.map_err(broken)?;
        answer.clear();
        let length = loop {
            if stream.read_buf(&mut answer).await.map_err(broken)? == 0 {
                return Err("the server closed the connection".to_owned());
            }
            if let Some(length) = whole(&answer)? {
                break length;
            }
        };
        if length != answer.len() || answer.get(9..12) != Some(status.to_string().as_bytes()) {
            return Err(format!("not the answer {status}:\n{}", String::from_utf8_lossy(&answer)));
        }
    }
    Ok(())
}

/// The length of an answer whose head and body have come, by its `content-length`.
fn whole(answer: &[u8]) -> Result<Option<usize>, String> {
    const NAME: &[u8] = b"\r\ncontent-length:";
    let Some(head) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let named = answer[..head].windows(NAME.len()).position(|name| name.eq_ignore_ascii_case(NAME));
    let Some(at) = named else { return Err("an answer without a length".to_owned()) };
    let digits = answer[at + NAME.len()..].iter().skip_while(|byte| **byte == b' ').take_while(|b| b.is_ascii_digit());
    let body = digits.fold(0, |sum: usize, digit| sum * 10 + usize::from(digit - b'0'));
    let all = head + 4 + body;
    Ok((answer.len() >= all).then_some(all))
}

/// A program of this checkout that cargo put beside this one.
fn beside(name: &str) -> Result<PathBuf, Failure> {
    let path = std::env::current_exe()?.with_file_name(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    if path.is_file() {
        return Ok(path);
    }
    Err(format!("{name} is not built; `cargo xtask marks` builds it, or `cargo build --release -p {name}`").into())
}

/// The server as a process; it ends with this value.
struct Server {
    child: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl Server {
    fn start() -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let url = format!("sqlite://{}", folder.path().join("flashsale.db").display());
        let mut child = Command::new(beside("flashsale-server")?)
            .args(["serve", "--http.bind", "127.0.0.1:0", "--sql.url", &url, "--dev.members", "true"])
            // The one winner pays: a declined payment would bring the unit back.
            .args(["--payment.decline-rate", "0", "--payment.leave-rate", "0", "--payment.unknown-rate", "0"])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("the server has no output")?).lines();
        let said = |line: String| line.split_once("listening on http://")?.1.split([' ', '/']).next()?.parse().ok();
        let heard = lines.by_ref().map_while(Result::ok).find_map(said);
        let Some(address) = heard else {
            // It has ended already, or will not be of use.
            let _ = child.kill();
            let _ = child.wait();
            return Err("the server does not listen".into());
        };
        // Whatever else it prints must not fill the pipe.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Ok(Self { child, address, _folder: folder })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // If it has ended by itself there is nothing to stop.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_body_is() {
        let head = b"HTTP/1.1 409 Conflict\r\nContent-Length: 5\r\ndate: x\r\n\r\n".to_vec();
        let all = [head.clone(), b"hello".to_vec()].concat();
        assert_eq!(whole(&head[..head.len() - 1]), Ok(None));
        assert_eq!(whole(&head), Ok(None));
        assert_eq!(whole(&all), Ok(Some(all.len())));
        assert!(whole(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }

    #[test]
    fn a_request_says_how_long_its_body_is() {
        let text = String::from_utf8(post("/v1/orders", "m", "k", "{}")).unwrap();
        assert!(text.starts_with("POST /v1/orders HTTP/1.1\r\n"), "{text}");
        assert!(text.contains("\r\ncontent-length: 2\r\n\r\n{}"), "{text}");
    }
}
