//! Requests that a server records: looked at until the ledger has decided them.
//!
//! Owns the way from 202 `recorded` to an answer that counts. What is never decided is not answered.

use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::client::{Answer, Asked, Call, Client};

/// How long a recorded request is looked at: as long as a call is repeated.
const PATIENCE: Duration = Duration::from_secs(60);
/// The first wait before another look; it doubles up to [`WAIT_MAX`].
const WAIT_MIN: Duration = Duration::from_millis(5);
const WAIT_MAX: Duration = Duration::from_millis(100);

#[derive(Deserialize, Default)]
struct Said {
    id: Option<String>,
    status: Option<String>,
    reason: Option<String>,
}

impl Said {
    fn of(client: &Client) -> Self {
        serde_json::from_slice(client.body()).unwrap_or_default()
    }

    fn is_recorded(&self) -> bool {
        self.status.as_deref() == Some("recorded")
    }
}

/// Asks for an order or a coupon, and waits until it is decided where the server says that it is recorded. What the ledger refused is
/// answered as its repeat would be; how long it took counts until it was decided.
pub(crate) async fn ask(client: &mut Client, call: &Call) -> Asked {
    let asked = client.ask(call).await;
    match asked.answer {
        Some(Answer { status: 202, .. }) if Said::of(client).is_recorded() => until_decided(client, call, asked).await,
        _ => asked,
    }
}

async fn until_decided(client: &mut Client, call: &Call, first: Asked) -> Asked {
    let began = Instant::now();
    let (mut wait, mut repeats) = (WAIT_MIN, first.repeats);
    let name = Said::of(client).id.unwrap_or_default();
    let answer = loop {
        if began.elapsed() > PATIENCE {
            break None;
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(WAIT_MAX);
        let mut answer = client.ask(&call.look(&name)).await.answer;
        let mut looked = true;
        if answer.is_none_or(|answer| answer.status == 404) {
            // Not known there, which is no refusal: the request itself is repeated, and tells.
            repeats += 1;
            looked = false;
            answer = client.ask(call).await.answer;
        }
        let Some(answer) = answer else { break None };
        let said = Said::of(client);
        match said.status.as_deref() {
            Some("recorded") if answer.status < 300 => {}
            Some("refused") if answer.status == 200 => {
                client.put_body(serde_json::json!({ "code": said.reason }).to_string());
                break Some(Answer { status: 409, retry_after_s: None });
            }
            _ if looked && answer.status == 200 => {
                break Some(Answer { status: call.promises(), retry_after_s: None });
            }
            _ => break Some(answer),
        }
    };
    Asked { answer, took: first.took + began.elapsed(), repeats }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{json, path};
    use crate::fake;

    fn order() -> Call {
        Call::post(path("/v1/orders"), json(&serde_json::json!({}))).by("m").keyed("k1")
    }

    #[tokio::test]
    async fn a_recorded_order_counts_when_the_ledger_has_accepted_it() {
        let server = fake::serve(|n, request| {
            let expected = if n == 0 { "POST /v1/orders" } else { "GET /v1/orders/m~k1" };
            assert_eq!(format!("{} {}", request.method(), request.uri()), expected);
            match n {
                0 => (202, r#"{"id":"m~k1","status":"recorded","no":7}"#.into()),
                1 => (200, r#"{"id":"m~k1","status":"recorded","no":7}"#.into()),
                _ => (200, r#"{"id":"m~k1","status":"paying","no":7}"#.into()),
            }
        })
        .await;
        let mut client = Client::new(server);
        let asked = ask(&mut client, &order()).await;
        assert_eq!(asked.answer.map(|answer| answer.status), Some(202));
        assert!(client.body().windows(6).any(|w| w == b"paying"));
    }

    #[tokio::test]
    async fn a_recorded_order_that_the_ledger_refuses_is_a_refusal() {
        let server = fake::serve(|n, _| match n {
            0 => (202, r#"{"id":"m~k1","status":"recorded"}"#.into()),
            _ => (200, r#"{"id":"m~k1","status":"refused","reason":"sold_out"}"#.into()),
        })
        .await;
        let mut client = Client::new(server);
        assert_eq!(ask(&mut client, &order()).await.answer.map(|answer| answer.status), Some(409));
        assert_eq!(client.body(), br#"{"code":"sold_out"}"#);
    }

    #[tokio::test]
    async fn where_a_recorded_order_is_not_known_the_request_is_repeated() {
        let server = fake::serve(|n, request| match (n, request.method().as_str()) {
            (0, "POST") => (202, r#"{"id":"m~k1","status":"recorded"}"#.into()),
            (1, "GET") => (404, r#"{"code":"not_found"}"#.into()),
            (2, "POST") => (202, r#"{"id":"m~k1","status":"accepted"}"#.into()),
            other => panic!("{other:?}"),
        })
        .await;
        let mut client = Client::new(server);
        let asked = ask(&mut client, &order()).await;
        assert_eq!((asked.answer.map(|answer| answer.status), asked.repeats), (Some(202), 1));
    }

    #[tokio::test]
    async fn an_order_that_is_accepted_at_once_costs_no_look() {
        let server = fake::serve(|n, _| {
            assert_eq!(n, 0);
            (202, r#"{"id":"m~k1","status":"accepted"}"#.into())
        })
        .await;
        let asked = ask(&mut Client::new(server), &order()).await;
        assert_eq!(asked.answer.map(|answer| answer.status), Some(202));
    }
}
