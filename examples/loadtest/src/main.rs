//! The load tool: plays a scenario against a server, audits the ledger's rows, says what held.
//!
//! Owns the command line, the way from a wish to a stage, and the exit status: 0 held, 1 violated, 2 could not be played.

mod audit;
mod baselines;
mod chart;
mod client;
#[cfg(test)]
mod fake;
mod ledger;
mod report;
mod run;
mod scenario;
mod server;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::{Parser, Subcommand, ValueEnum};

use crate::ledger::Ledger;
use crate::report::{Identity, Report};
use crate::run::Watch;
use crate::scenario::{Scenario, Stage};
use crate::server::Server;

/// Why a run could not be played to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The wish cannot be granted.
    #[error("{0}")]
    Usage(String),
    /// The server does not do what it must for the scenario to be played.
    #[error("the server: {0}")]
    Server(String),
    /// The ledger's file cannot be read, or is not what was expected.
    #[error("the ledger's file: {0}")]
    Ledger(#[from] sqlx::Error),
    /// A file or a process failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The chart could not be drawn.
    #[error("the chart: {0}")]
    Chart(String),
    /// Somebody pressed Ctrl-C, or told the process to end.
    #[error("interrupted")]
    Interrupted,
}

/// Plays load scenarios against a flashsale server and audits its ledger.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Play a scenario; exit 1 if an identity, a band or the audit is violated
    Run(Wish),
    /// List the scenarios
    List,
    /// Draw the reports of several runs side by side
    Chart {
        /// Reports written by `run --json`
        #[arg(required = true)]
        reports: Vec<PathBuf>,
        /// Where to put the SVG
        #[arg(short, long)]
        out: PathBuf,
    },
    /// Measure three designs that are not ours, on the same SQLite settings
    Baselines {
        /// Orders per design
        #[arg(long, default_value_t = 5_000)]
        orders: usize,
        /// Also write the figures here
        #[arg(long)]
        json: Option<PathBuf>,
    },
}

#[derive(Debug, clap::Args)]
struct Wish {
    /// Which
    scenario: Scenario,
    /// A server that runs already, on loopback, with its development routes and the scenario's payment rates
    #[arg(long, requires = "db")]
    url: Option<String>,
    /// The SQLite file of that server
    #[arg(long, requires = "url")]
    db: Option<PathBuf>,
    /// Also write the report here, as one JSON object
    #[arg(long)]
    json: Option<PathBuf>,
    /// Chooses who leaves, and what the simulated payment does
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Kill the server after so many answers, start it again on the same file, and go on with the same keys
    #[arg(long, conflicts_with = "url")]
    kill_after: Option<u64>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(async {
            tokio::select! {
                done = obey(arguments.verb) => done,
                // What was started is owned by the other branch, and stopped by being dropped with it.
                () = told_to_stop() => Err(Failure::Interrupted),
            }
        }),
        Err(e) => Err(e.into()),
    };
    match done {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(2)
        }
    }
}

/// Ctrl-C, or the signal with which other programs ask for an end.
async fn told_to_stop() {
    #[cfg(unix)]
    if let Ok(mut end) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = end.recv() => {}
        }
        return;
    }
    let _ = tokio::signal::ctrl_c().await;
}

async fn obey(verb: Verb) -> Result<ExitCode, Failure> {
    match verb {
        Verb::Run(wish) => {
            let json = wish.json.clone();
            let report = run(wish).await?;
            println!("{report}");
            write(json, &report)?;
            return Ok(if report.passes() { ExitCode::SUCCESS } else { ExitCode::from(1) });
        }
        Verb::List => {
            for scenario in Scenario::value_variants() {
                println!("{:<16} {}", scenario.name(), scenario.says());
            }
        }
        Verb::Chart { reports, out } => chart::draw(&reports, &out)?,
        Verb::Baselines { orders, json } => {
            let measured = baselines::measure(orders).await?;
            println!("{measured}");
            write(json, &measured)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn write(to: Option<PathBuf>, what: &impl serde::Serialize) -> Result<(), Failure> {
    if let Some(file) = to {
        let text = serde_json::to_string(what).map_err(std::io::Error::other)?;
        std::fs::write(file, text + "\n")?;
    }
    Ok(())
}

async fn run(wish: Wish) -> Result<Report, Failure> {
    let scenario = wish.scenario;
    let watch = Watch::over(&scenario.name(), scenario.requests() as u64, wish.kill_after);
    let commit = commit().await;
    let (Some(url), Some(db)) = (&wish.url, &wish.db) else {
        let mut server = Server::start(scenario.rates(), wish.seed).await?;
        let ledger = Ledger::open(&server.database()).await?;
        let stage =
            Stage { server: server.address(), ledger, seed: wish.seed, suffix: String::new(), watch: watch.clone() };
        let crashes = AtomicU64::new(0);
        let crash = async {
            watch.kill_due().await;
            server.kill_and_restart().await?;
            crashes.fetch_add(1, Ordering::Relaxed);
            // From here on only the other branch can end the run.
            std::future::pending::<Result<Report, Failure>>().await
        };
        let report = tokio::select! {
            report = scenario.play(&stage, commit) => report,
            failed = crash => failed,
        };
        server.stop().await;
        let mut report = report?;
        if let Some(answers) = wish.kill_after {
            // A fault that was asked for and did not happen proves nothing.
            let what = format!("kills of the server, after {answers} answers");
            report.identities.push(Identity::exact(&what, 1, crashes.into_inner()));
        }
        return Ok(report);
    };
    let server = loopback(url)?;
    let ledger = Ledger::open(db).await?;
    let suffix = format!("-{:x}", std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis());
    scenario.play(&Stage { server, ledger, seed: wish.seed, suffix, watch }, commit).await
}

/// The address in a URL, if it is this machine: a load test is no weapon.
fn loopback(url: &str) -> Result<SocketAddr, Failure> {
    let authority = url.strip_prefix("http://").unwrap_or(url).trim_end_matches('/').replace("localhost", "127.0.0.1");
    let address: SocketAddr =
        authority.parse().map_err(|_| Failure::Usage(format!("{url} is not http://ADDRESS:PORT")))?;
    if address.ip().is_loopback() {
        Ok(address)
    } else {
        Err(Failure::Usage(format!("{address} is not on loopback; the load tool sends to no other machine")))
    }
}

/// The commit of the working directory, if it is one.
async fn commit() -> String {
    let asked = tokio::process::Command::new("git").args(["rev-parse", "--short", "HEAD"]).output().await;
    match asked {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        _ => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_loaded() {
        for (url, fine) in [
            ("http://127.0.0.1:8080", true),
            ("http://localhost:8080/", true),
            ("http://[::1]:8080", true),
            ("http://192.0.2.1:80", false),
            ("http://example.org:80", false),
            ("http://0.0.0.0:80", false),
        ] {
            assert_eq!(loopback(url).is_ok(), fine, "{url}");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
        assert!(Arguments::try_parse_from(["x", "run", "fair", "--url", "http://127.0.0.1:1"]).is_err(), "no file");
        assert!(Arguments::try_parse_from(["x", "run", "fair", "--kill-after", "5", "--json", "f"]).is_ok());
    }
}
