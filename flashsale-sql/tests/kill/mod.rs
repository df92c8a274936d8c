//! `kill -9` again and again while orders are accepted: what was told is there. One code for the tests and for the example `kill9`.
//!
//! A server is killed under a ledger that goes on. SQLite lives in its node, so there the node is a process of its own, and is killed.
#![allow(dead_code, unused_imports, reason = "each test file takes what it needs")]

use std::sync::Arc;

use flashsale_core::error::ErrorKind;
use flashsale_core::stock::StockLedger;
use flashsale_sql::{Backend, SqlLedger};

use crate::audit::audit;
use crate::servers::{Database, Server, count};
use crate::shared::{accepted, batch, sale, sale_id};

/// How often CI kills.
pub(crate) const CYCLES: usize = 20;

/// Asks until there is an answer, as everybody does who was told *unknown*.
pub(crate) async fn accept_for_sure<D: Backend>(ledger: &SqlLedger<D>, n: usize) -> usize {
    loop {
        match ledger.accept(&sale_id(), &batch(n * 3, 3)).await {
            Ok(answers) => return accepted(&answers),
            Err(error) => assert!(matches!(error.kind(), ErrorKind::Unknown | ErrorKind::Unavailable), "{error}"),
        }
    }
}

/// Every order is there once, with its line and its fact, and the questions of the guide say 0.
pub(crate) fn whole<S: Database>(server: &S, url: &str) -> i64 {
    let orders = count(server, url, "SELECT COUNT(*) FROM orders");
    for same in [
        "SELECT COUNT(*) FROM line WHERE live = 1",
        "SELECT COUNT(*) FROM outbox WHERE kind = 'order.accepted'",
        "SELECT allocated FROM item WHERE id = 'sneaker'",
    ] {
        assert_eq!(count(server, url, same), orders, "{same}");
    }
    audit(server, url);
    orders
}

/// The last audit: each batch that was ever asked for is there once. Tells how many orders.
async fn all_there<S: Database>(server: &S, url: &str, ledger: &SqlLedger<S::Db>, batches: usize) -> i64 {
    for n in 0..batches {
        assert_eq!(accept_for_sure(ledger, n).await, 3);
    }
    let orders = whole(server, url);
    assert_eq!(orders, 3 * i64::try_from(batches).expect("a few"));
    orders
}

/// Kills a server so many times; reports each cycle with the orders that are there. Tells how many were accepted.
pub(crate) async fn kill_a_server<S: Server>(
    server: S,
    cycles: usize,
    report: impl Fn(usize, i64) + Send + 'static,
) -> i64 {
    let server = Arc::new(server);
    let url = server.place();
    let ledger = S::open(url.clone()).await;
    ledger.open(&sale(1_000_000)).await.unwrap().unwrap();
    let (progress, told) = std::sync::mpsc::channel();
    let (kills, at) = (server.clone(), url.clone());
    let killer = std::thread::spawn(move || {
        let mut known = 0;
        for cycle in 0..cycles {
            // In the middle of the work, each time after another number of batches.
            for _ in 0..=cycle % 7 {
                known = told.recv().expect("work");
            }
            known = told.try_iter().last().unwrap_or(known);
            kills.kill9();
            kills.restart();
            let orders = count(&*kills, &at, "SELECT COUNT(*) FROM orders");
            assert!(orders >= 3 * known, "cycle {cycle}: {orders} orders, {} were told", 3 * known);
            report(cycle, orders);
        }
    });
    let mut n = 0;
    while !killer.is_finished() {
        assert_eq!(accept_for_sure(&ledger, n).await, 3);
        n += 1;
        let _ = progress.send(i64::try_from(n).expect("a few"));
    }
    killer.join().expect("nothing that was told is lost");
    let orders = all_there(&*server, &url, &ledger, n).await;
    ledger.close().await;
    orders
}

#[cfg(feature = "sqlite")]
pub(crate) use node::{kill_a_node, node};

#[cfg(feature = "sqlite")]
mod node {
    use std::io::{BufRead, BufReader, Write};
    use std::process::{Command, Stdio};

    use flashsale_core::stock::StockLedger;
    use flashsale_sql::SqliteLedger;

    use super::{accept_for_sure, all_there};
    use crate::servers::{Database, Sqlite, count};
    use crate::shared::sale;

    /// What a process finds when it is a node: the file, and the batch to begin with.
    const NODE: &str = "FLASHSALE_KILLED_NODE";
    /// How a node says that a batch was told.
    const TOLD: &str = "told ";

    /// Is the node until it is killed, if this process is one; else does nothing.
    pub(crate) async fn node() {
        let Ok(what) = std::env::var(NODE) else { return };
        let (from, file) = what.split_once(' ').expect("a number and a file");
        let ledger = SqliteLedger::open(file).await.expect("the file");
        let mut out = std::io::stdout();
        for n in from.parse::<usize>().expect("a number").. {
            assert_eq!(accept_for_sure(&ledger, n).await, 3);
            // Where nobody listens any more, nobody kills.
            if writeln!(out, "{TOLD}{n}").and_then(|()| out.flush()).is_err() {
                return;
            }
        }
    }

    /// Kills a node so many times; `command` starts this program so that it gets to [`node`]. Reports and tells as for a server.
    pub(crate) async fn kill_a_node(command: impl Fn() -> Command, cycles: usize, report: impl Fn(usize, i64)) -> i64 {
        let place = Sqlite::shared();
        let file = place.place();
        let ledger = SqliteLedger::open(&file).await.expect("a ledger");
        ledger.open(&sale(1_000_000)).await.unwrap().unwrap();
        ledger.close().await;
        let mut told = 0;
        for cycle in 0..cycles {
            let mut command = command();
            command.env(NODE, format!("{told} {file}")).stdout(Stdio::piped()).stderr(Stdio::inherit());
            let mut node = command.spawn().expect("a process");
            let lines = BufReader::new(node.stdout.take().expect("its words")).lines().map_while(Result::ok);
            let mut batches = lines.filter_map(|line| line.strip_prefix(TOLD)?.parse::<usize>().ok());
            // In the middle of the work, each time after another number of batches.
            for _ in 0..=cycle % 7 * 5 {
                told = batches.next().expect("work") + 1;
            }
            node.kill().expect("a kill");
            // What it said before that was told, too.
            told = batches.last().map_or(told, |last| last + 1);
            node.wait().expect("its end");
            let orders = count(place, &file, "SELECT COUNT(*) FROM orders");
            let known = 3 * i64::try_from(told).expect("a few");
            assert!(orders >= known, "cycle {cycle}: {orders} orders, {known} were told");
            report(cycle, orders);
        }
        let ledger = SqliteLedger::open(&file).await.expect("a ledger");
        // One more than was told may be there: its answer died with the node.
        let orders = all_there(place, &file, &ledger, told + 1).await;
        ledger.close().await;
        orders
    }
}
