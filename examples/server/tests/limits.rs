//! Limits: too many requests, too slow clients, too many streams, and a shutdown that loses nothing.

mod common;

use std::time::Duration;

use common::{Answer, Request, Shop};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longer than any of this may take; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

async fn until(stream: &mut TcpStream, seen: &mut Vec<u8>, what: &str) {
    let mut part = [0_u8; 4096];
    while !String::from_utf8_lossy(seen).contains(what) {
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut part)).await.expect("in time").unwrap();
        assert!(read > 0, "closed before {what}: {}", String::from_utf8_lossy(seen));
        seen.extend_from_slice(&part[..read]);
    }
}

#[tokio::test]
async fn more_requests_than_may_be_inside_are_shed_with_503() {
    let shop = Shop::with(&[("http.in-flight-max", "1"), ("http.request-timeout-ms", "60000")]).await;
    // One that never sends its body stays inside.
    let mut slow = TcpStream::connect(shop.at).await.unwrap();
    let head = "POST /v1/wallet/charges HTTP/1.1\r\nhost: x\r\nflashsale-member: ann\r\nidempotency-key: charge-01\r\n\
                content-type: application/json\r\ncontent-length: 21\r\n\r\n";
    slow.write_all(head.as_bytes()).await.unwrap();
    let shed = loop {
        let answer = shop.get("/hello").await;
        if answer.status != 200 {
            break answer;
        }
    };
    assert_eq!(shed.problem(), (503, "shedding".into()));
    slow.write_all(b"{\"amount\": 100      }").await.unwrap();
    let mut seen = Vec::new();
    until(&mut slow, &mut seen, "201 Created").await;
    assert_eq!(shop.get("/hello").await.status, 200, "there is room again");
    shop.close().await;
}

#[tokio::test]
async fn a_head_that_is_sent_too_slowly_is_cut_off() {
    let shop = Shop::with(&[("http.header-timeout-ms", "50")]).await;
    let mut slow = TcpStream::connect(shop.at).await.unwrap();
    slow.write_all(b"GET /hello HTTP/1.1\r\nhost:").await.unwrap();
    let mut rest = Vec::new();
    tokio::time::timeout(PATIENCE, slow.read_to_end(&mut rest)).await.expect("closed by the server").unwrap();
    assert!(!String::from_utf8_lossy(&rest).contains("200 OK"));
    shop.close().await;
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_unknown_and_may_be_repeated() {
    let shop = Shop::with(&[("http.request-timeout-ms", "50")]).await;
    let mut slow = TcpStream::connect(shop.at).await.unwrap();
    let head = "POST /v1/wallet/charges HTTP/1.1\r\nhost: x\r\nflashsale-member: ann\r\nidempotency-key: charge-01\r\n\
                content-type: application/json\r\ncontent-length: 21\r\n\r\n";
    slow.write_all(head.as_bytes()).await.unwrap();
    let mut seen = Vec::new();
    until(&mut slow, &mut seen, "\"unknown\"").await;
    let text = String::from_utf8_lossy(&seen).to_lowercase();
    assert!(text.starts_with("http/1.1 503") && text.contains("retry-after: 1"), "{text}");
    shop.close().await;
}

#[tokio::test]
async fn a_stream_tells_what_is_true_then_every_change_then_bye() {
    let shop = Shop::open().await;
    shop.sale("s", 3, 1).await;
    let mut stream = TcpStream::connect(shop.at).await.unwrap();
    stream.write_all(b"GET /v1/sales/s/stream HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut seen = Vec::new();
    until(&mut stream, &mut seen, "\"left\":3").await;
    let first = String::from_utf8_lossy(&seen).to_lowercase();
    for part in ["text/event-stream", "x-accel-buffering: no", "retry: 3000", "event: sale", "event: tick", "id: 1"] {
        assert!(first.contains(part), "{part} is missing in {first}");
    }
    assert_eq!(shop.order("s", "unit", "ann", "order-0001").await.status, 202);
    until(&mut stream, &mut seen, "\"left\":2").await;
    let stopped = tokio::spawn(shop.close());
    until(&mut stream, &mut seen, "event: bye").await;
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await.expect("it ends").unwrap();
    tokio::time::timeout(PATIENCE, stopped).await.expect("a shutdown waits for no watcher").unwrap();
}

#[tokio::test]
async fn there_is_a_bound_on_streams_and_who_leaves_makes_room() {
    let shop = Shop::with(&[("limits.sse-max", "1")]).await;
    let open = || async {
        let mut stream = TcpStream::connect(shop.at).await.unwrap();
        stream.write_all(b"GET /v1/sales/drop-1/stream HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut seen = Vec::new();
        until(&mut stream, &mut seen, "\r\n\r\n").await;
        (stream, String::from_utf8_lossy(&seen).into_owned())
    };
    let (watching, first) = open().await;
    assert!(first.starts_with("HTTP/1.1 200"));
    let full: Answer = shop.get("/v1/sales/drop-1/stream").await;
    assert_eq!(full.problem(), (503, "streams_full".into()));
    drop(watching);
    // The place is free once the server has noticed, at the next frame at the latest.
    let mut buyer = 0;
    loop {
        let (_stream, answer) = open().await;
        if answer.starts_with("HTTP/1.1 200") {
            break;
        }
        buyer += 1;
        let order = shop.order("drop-1", "sneaker-42", &format!("m{buyer}"), "order-0001").await;
        assert!([202, 409].contains(&order.status));
    }
    shop.close().await;
}

#[tokio::test]
async fn a_shutdown_answers_what_is_on_its_way() {
    let shop = Shop::open().await;
    shop.sale("s", 1_000, 1).await;
    let at = shop.at;
    let members: Vec<String> = (0..200).map(|n| format!("m{n}")).collect();
    let orders: Vec<_> = members
        .into_iter()
        .map(|member| {
            tokio::spawn(async move {
                let body = r#"{"sale":"s","lines":[{"item":"unit","quantity":1}]}"#;
                common::try_send(at, &Request::post("/v1/orders", body).by(&member).keyed("order-0001")).await
            })
        })
        .collect();
    let rows = shop.rows.clone();
    while sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM orders").fetch_one(&rows).await.unwrap() == 0 {}
    let told = tokio::spawn(async move {
        let mut accepted = 0;
        for order in orders {
            // Who came after the door was closed has no answer at all.
            if let Ok(Some(answer)) = order.await {
                assert_eq!(answer.status, 202, "{}", answer.text());
                accepted += 1;
            }
        }
        accepted
    });
    let kept = common::rows_after(shop).await;
    let accepted: i64 = told.await.unwrap();
    assert!(accepted >= 1 && kept >= accepted, "{kept} rows for {accepted} answers");
}
