//! Arbitrary bytes at every edge: never an answer above 499, never a change of the ledger.

mod common;

use common::{Request, Shop, try_send};
use proptest::prelude::*;
use tokio::runtime::Runtime;

const WRITES: [&str; 11] = [
    "/v1/orders",
    "/v1/quotes",
    "/v1/sales",
    "/v1/campaigns",
    "/v1/wallet/charges",
    "/v1/wallet/refunds",
    "/v1/wallet/trades",
    "/v1/orders/ann~order-0001/cancel",
    "/sales/drop-1/orders",
    "/member",
    "/wallet",
];

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Text that looks like JSON and mostly is not, or not ours.
fn nearly_json() -> impl Strategy<Value = Vec<u8>> {
    let word = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"lines\"",
        "\"item\"",
        "\"quantity\"",
        "\"amount\"",
        "\"id\"",
        "\"fern\"",
        "-1",
        "0",
        "1e999",
        "99999999999999999999",
        "null",
        "true",
        "\"\\ud800\"",
        "\"\\u0000\"",
        " ",
        "\"sale\"",
        "\"~\"",
    ]);
    prop::collection::vec(word, 0..40).prop_map(|words| words.concat().into_bytes())
}

#[test]
fn arbitrary_bodies_are_refused_and_change_nothing() {
    let runtime = runtime();
    let shop = runtime.block_on(Shop::open());
    let before = runtime.block_on(shop.ledger());
    let bodies = prop_oneof![prop::collection::vec(any::<u8>(), 0..600), nearly_json()];
    proptest!(ProptestConfig::with_cases(400), |(body in bodies, path in prop::sample::select(&WRITES[..]), json in any::<bool>())| {
        let kind = if json { "application/json" } else { "application/x-www-form-urlencoded" };
        let request = Request::post(path, "").bytes(&body).header("content-type", kind);
        let request = request.by("ann").keyed("write-0001").header("cookie", "member=ann");
        let answer = runtime.block_on(shop.send(request));
        prop_assert!((400..500).contains(&answer.status) || answer.status == 303, "{}: {}", answer.status, answer.text());
    });
    assert_eq!(runtime.block_on(shop.ledger()), before);
    runtime.block_on(shop.close());
}

#[test]
fn arbitrary_headers_and_paths_are_refused_and_change_nothing() {
    let runtime = runtime();
    let shop = runtime.block_on(Shop::open());
    let before = runtime.block_on(shop.ledger());
    // Bytes that may stand in a header at all; what may not is hyper's to refuse, below.
    let value = prop::collection::vec(prop_oneof![0x20_u8..0x7f, 0x80_u8..=0xff], 0..80);
    proptest!(ProptestConfig::with_cases(300), |(member in value.clone(), key in value, path in "/[!-~]{0,40}")| {
        let body = r#"{"lines":[{"item":"nothing-of-ours","quantity":1}]}"#;
        let order = Request::post("/v1/orders", body).header("flashsale-member", &member).header("idempotency-key", &key);
        let answer = runtime.block_on(shop.send(order));
        prop_assert!((400..500).contains(&answer.status), "{}: {}", answer.status, answer.text());
        for request in [Request::get(&path), Request::bare(&path), Request::get(&path).header("accept", "text/html")] {
            let request = request.header("cookie", &member).by("ann").keyed("write-0001");
            if let Some(answer) = runtime.block_on(try_send(shop.at, &request)) {
                prop_assert!(answer.status < 500, "{path}: {} {}", answer.status, answer.text());
            }
        }
    });
    assert_eq!(runtime.block_on(shop.ledger()), before);
    runtime.block_on(shop.close());
}

#[test]
fn arbitrary_bytes_on_the_wire_do_not_stop_the_server() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let runtime = runtime();
    let shop = runtime.block_on(Shop::with(&[("http.header-timeout-ms", "50")]));
    let before = runtime.block_on(shop.ledger());
    proptest!(ProptestConfig::with_cases(60), |(bytes in prop::collection::vec(any::<u8>(), 1..400))| {
        runtime.block_on(async {
            let mut stream = tokio::net::TcpStream::connect(shop.at).await.unwrap();
            // It may be closed before all was written.
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
        });
        let hello = runtime.block_on(shop.get("/hello"));
        prop_assert_eq!(hello.status, 200);
    });
    assert_eq!(runtime.block_on(shop.ledger()), before);
    runtime.block_on(shop.close());
}
