//! The server as a process: killed in the middle, restarted, configured, stopped.

mod common;

use std::collections::BTreeMap;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Process, Request, binary, rows, send, try_send};

const BODY: &str = r#"{"sale":"s","lines":[{"item":"unit","quantity":1}]}"#;

async fn order(at: std::net::SocketAddr, n: usize) -> Option<common::Answer> {
    let member = format!("m{n}");
    try_send(at, &Request::post("/v1/orders", BODY).by(&member).keyed("order-0001")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_kill_9_and_restart_nothing_accepted_is_lost_and_the_sale_goes_on() {
    const UNITS: usize = 400;
    let directory = tempfile::tempdir().unwrap();
    let flags = ["--payment.decline-rate", "0", "--payment.latency-ms", "0"];
    let mut server = Process::start(directory.path(), &flags).await;
    let at = server.at;
    let items = serde_json::json!([{ "id": "unit", "total": UNITS, "price": 1, "per_buyer": 1 }]);
    let terms = serde_json::json!({ "id": "s", "items": items }).to_string();
    assert_eq!(send(at, Request::post("/v1/sales", &terms)).await.status, 201);

    let told = Arc::new(AtomicUsize::new(0));
    let buyers: Vec<_> = (0..4)
        .map(|lane| {
            let told = told.clone();
            tokio::spawn(async move {
                let mut accepted = BTreeMap::new();
                for n in (lane..10_000).step_by(4) {
                    match order(at, n).await {
                        Some(answer) if answer.status == 202 => {
                            told.fetch_add(1, Ordering::SeqCst);
                            accepted.insert(n, answer.text());
                        }
                        Some(answer) => assert!([409, 503].contains(&answer.status), "{}", answer.text()),
                        // It was killed.
                        None => break,
                    }
                }
                accepted
            })
        })
        .collect();
    while told.load(Ordering::SeqCst) < UNITS / 2 {
        tokio::task::yield_now().await;
    }
    server.child.start_kill().unwrap();
    server.child.wait().await.unwrap();
    let mut accepted = BTreeMap::new();
    for buyer in buyers {
        accepted.extend(buyer.await.unwrap());
    }
    assert!(accepted.len() >= UNITS / 2 && accepted.len() < UNITS, "killed in the middle, at {}", accepted.len());

    let server = Process::start(directory.path(), &flags).await;
    for (n, body) in &accepted {
        let again = order(server.at, *n).await.unwrap();
        assert_eq!((again.status, &again.text()), (202, body), "the answer of m{n} stands");
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
    }
    let mut sold = accepted.len();
    for n in 20_000.. {
        match order(server.at, n).await.unwrap() {
            answer if answer.status == 202 => sold += 1,
            answer if answer.json()["code"] == "sold_out" => break,
            // Holds of the moment of the kill are gone with the gate; those of this moment are under way.
            answer => assert_eq!(answer.json()["code"], "all_held", "{}", answer.text()),
        }
    }
    let file = rows(&directory.path().join("flashsale-data/flashsale.db")).await;
    let count = |text: &'static str| sqlx::query_scalar::<_, i64>(text).fetch_one(&file);
    let allocated = count("SELECT allocated FROM item WHERE sale = 's'").await.unwrap();
    assert_eq!(allocated, UNITS as i64, "sold to the last unit, never more");
    let lines = count("SELECT SUM(units) FROM line WHERE sale = 's' AND live").await.unwrap();
    assert_eq!(lines, allocated);
    let orders = count("SELECT COUNT(*) FROM orders WHERE sale = 's' AND state <> 'refused'").await.unwrap();
    assert!(orders >= sold as i64 && orders == allocated, "{orders} orders, {sold} told");
    while count("SELECT COUNT(*) FROM orders WHERE sale = 's' AND state <> 'confirmed'").await.unwrap() > 0 {
        tokio::task::yield_now().await;
    }
    file.close().await;
}

#[tokio::test]
async fn it_stops_on_sigterm_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = Process::start(directory.path(), &[]).await;
    assert_eq!(send(server.at, Request::get("/hello")).await.status, 200);
    let id = server.child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert!(server.child.wait().await.unwrap().success());
    let again = Process::start(directory.path(), &[]).await;
    let sales = send(again.at, Request::get("/v1/sales")).await.json();
    assert_eq!(sales["sales"].as_array().unwrap().len(), 2, "seeding again changes nothing");
}

/// A balancer: it sends members to servers that say that they are ready, the others first.
async fn is_ready(at: std::net::SocketAddr) -> bool {
    try_send(at, &Request::get("/readyz")).await.is_some_and(|answer| answer.status == 200)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_taken_out_says_so_first_and_loses_no_request() {
    let directory = tempfile::tempdir().unwrap();
    let flags = ["--payment.decline-rate", "0", "--payment.latency-ms", "0", "--http.drain-ms", "3000"];
    let mut server = Process::start(directory.path(), &flags).await;
    let at = server.at;
    let items = serde_json::json!([{ "id": "unit", "total": 100_000, "price": 1, "per_buyer": 1 }]);
    let terms = serde_json::json!({ "id": "s", "items": items }).to_string();
    assert_eq!(send(at, Request::post("/v1/sales", &terms)).await.status, 201);
    while !is_ready(at).await {
        tokio::task::yield_now().await;
    }
    let taken = Arc::new(AtomicUsize::new(0));
    let buyers: Vec<_> = (0..4)
        .map(|lane| {
            let taken = taken.clone();
            tokio::spawn(async move {
                // It is asked before each request, as a balancer asks now and then.
                for n in (lane..).step_by(4) {
                    if !is_ready(at).await {
                        // What is sent after that is answered all the same: balancers notice late.
                        return (n, order(at, n).await.map(|answer| answer.status));
                    }
                    let status = order(at, n).await.map(|answer| answer.status);
                    assert_eq!(status, Some(202), "m{n} was not answered");
                    taken.fetch_add(1, Ordering::SeqCst);
                }
                unreachable!("it is told to stop")
            })
        })
        .collect();
    while taken.load(Ordering::SeqCst) < 50 {
        tokio::task::yield_now().await;
    }
    let id = server.child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    let mut last = 0;
    for buyer in buyers {
        let (n, status) = buyer.await.unwrap();
        assert_eq!(status, Some(202), "m{n} came while it was leaving");
        last += 1;
    }
    let leaving = send(at, Request::get("/readyz")).await;
    assert_eq!(leaving.problem(), (503, "unavailable".to_owned()));
    assert!(leaving.text().contains("leaves"), "{}", leaving.text());
    assert!(server.child.wait().await.unwrap().success());
    assert!(try_send(at, &Request::get("/hello")).await.is_none(), "it is gone");
    let file = rows(&directory.path().join("flashsale-data/flashsale.db")).await;
    let orders = sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM orders WHERE sale = 's' AND state <> 'refused'");
    assert_eq!(orders.fetch_one(&file).await.unwrap() as usize, taken.load(Ordering::SeqCst) + last);
    file.close().await;
}

fn run(directory: &std::path::Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(binary());
    command.args(arguments).current_dir(directory).env_clear().envs(environment.iter().copied());
    command.output().unwrap()
}

fn printed(output: &Output, key: &str) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find(|line| line.split(' ').next() == Some(key)).map(str::to_owned);
    line.unwrap_or_else(|| panic!("{key} is not in {text}{}", String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn a_flag_wins_over_the_environment_the_environment_over_the_file_the_file_over_the_default() {
    let directory = tempfile::tempdir().unwrap();
    let print = |arguments: &[&str], environment: &[(&str, &str)]| {
        let output = run(directory.path(), &[&["config", "print"], arguments].concat(), environment);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        printed(&output, "payment.lanes")
    };
    assert!(print(&[], &[]).ends_with("= 16  (default)"));
    std::fs::write(directory.path().join("flashsale.toml"), "[payment]\nlanes = 17\n").unwrap();
    assert!(print(&[], &[]).ends_with("= 17  (flashsale.toml)"));
    let environment = [("FLASHSALE_PAYMENT__LANES", "18")];
    assert!(print(&[], &environment).ends_with("= 18  (FLASHSALE_PAYMENT__LANES)"));
    assert!(print(&["--payment.lanes", "19"], &environment).ends_with("= 19  (--payment.lanes)"));
    std::fs::write(directory.path().join("other.toml"), "payment.lanes = 20\n").unwrap();
    assert!(print(&["--config", "other.toml"], &[]).ends_with("= 20  (other.toml)"));
}

#[test]
fn what_cannot_be_meant_is_refused_with_the_nearest_name_or_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let refused = |arguments: &[&str], environment: &[(&str, &str)]| {
        let output = run(directory.path(), arguments, environment);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let print = ["config", "print"];
    let said = refused(&print, &[("FLASHSALE_HTTP__BNID", "127.0.0.1:1")]);
    assert!(said.contains("http.bnid") && said.contains("http.bind"), "{said}");
    assert!(refused(&["config", "print", "--http.bnid", "x"], &[]).contains("--http.bind"));
    assert!(refused(&["config", "print", "--payment.decline-rate", "1.5"], &[]).contains("from 0 to 1"));
    assert!(refused(&["config", "print", "--batch.accept-max", "501"], &[]).contains("from 1 to 500"));
    assert!(refused(&["config", "print", "--config", "nowhere.toml"], &[]).contains("nowhere.toml"));
    std::fs::write(directory.path().join("flashsale.toml"), "[sale]\nhold = 5\n").unwrap();
    let said = refused(&["serve"], &[]);
    assert!(said.contains("flashsale.toml") && said.contains("sale.hold_ms"), "{said}");
}

#[test]
fn development_switches_are_refused_where_others_can_reach_the_server() {
    let directory = tempfile::tempdir().unwrap();
    let open = run(directory.path(), &["serve", "--http.bind", "0.0.0.0:0"], &[]);
    assert_eq!(open.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&open.stderr).contains("dev.members"));
    let clock = ["config", "print", "--http.bind", "0.0.0.0:0", "--dev.members", "false", "--dev.clock", "true"];
    assert!(String::from_utf8_lossy(&run(directory.path(), &clock, &[]).stderr).contains("dev.clock"));
    assert!(run(directory.path(), &clock[..6], &[]).status.success(), "without them it is allowed");
}
