//! Kills a database under the ledger again and again, and looks whether all that was told is there: `--database sqlite`, `postgres` or
//! `mariadb` (default `sqlite`), `--cycles N` (default 100). It ends with the audit of the guide.
//!
//! The database is started for it, on loopback, in a folder of its own, and stopped after it. CI runs the same code, with 20 cycles of each.

#[path = "../tests/audit/mod.rs"]
mod audit;
#[path = "../tests/kill/mod.rs"]
mod kill;
#[path = "../tests/servers/mod.rs"]
mod servers;
#[path = "../tests/shared/mod.rs"]
mod shared;

use std::process::{Command, ExitCode};
use std::time::Instant;

use flashsale_services::{MariaDb, Postgres};

fn flag(name: &str) -> Option<String> {
    std::env::args().skip_while(|arg| arg != name).nth(1)
}

#[tokio::main]
async fn main() -> ExitCode {
    kill::node().await;
    let cycles = match flag("--cycles").as_deref().unwrap_or("100").parse() {
        Ok(cycles) => cycles,
        Err(error) => {
            eprintln!("--cycles: {error}");
            return ExitCode::from(2);
        }
    };
    let begun = Instant::now();
    let report =
        move |cycle: usize, orders: i64| println!("cycle {} of {cycles}: {orders} orders, none lost", cycle + 1);
    let orders = match flag("--database").as_deref().unwrap_or("sqlite") {
        "sqlite" => {
            let this = std::env::current_exe().expect("this program");
            kill::kill_a_node(|| Command::new(&this), cycles, report).await
        }
        "postgres" => kill::kill_a_server(servers::own::<Postgres>(), cycles, report).await,
        "mariadb" => kill::kill_a_server(servers::own::<MariaDb>(), cycles, report).await,
        other => {
            eprintln!("--database is {other}, it must be sqlite, postgres or mariadb");
            return ExitCode::from(2);
        }
    };
    let seconds = begun.elapsed().as_secs_f64();
    println!("{orders} orders over {cycles} kills in {seconds:.1} s; every batch is there once, and the audit says 0");
    ExitCode::SUCCESS
}
