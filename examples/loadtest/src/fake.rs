//! A server for this tool's own tests: answers from a closure, on loopback, for as long as the test's runtime lives.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// The next request broke the connection, as the test asked for (status 0).
#[derive(Debug)]
struct HangUp;

impl std::fmt::Display for HangUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("hung up")
    }
}

impl std::error::Error for HangUp {}

/// Serves on a free port; the closure gets the number of the request, from 0. Status 0 breaks the connection.
pub(crate) async fn serve<F>(answer: F) -> SocketAddr
where
    F: Fn(usize, &Request<Incoming>) -> (u16, String) + Send + Sync + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let answer = Arc::new(answer);
    let count = Arc::new(AtomicUsize::new(0));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (answer, count) = (answer.clone(), count.clone());
            let service = service_fn(move |request: Request<Incoming>| {
                let (status, body) = answer(count.fetch_add(1, Ordering::SeqCst), &request);
                async move {
                    if status == 0 {
                        return Err(HangUp);
                    }
                    let response = Response::builder().status(status).body(Full::new(Bytes::from(body)));
                    Ok(response.expect("a response"))
                }
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}
