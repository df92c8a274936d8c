//! The load tool: plays a scenario against a server, audits the ledger's rows, says what held.
//!
//! Owns the command line, the way from a wish to a stage, and the exit status: 0 held, 1 violated, 2 could not be played.

mod audit;
mod baselines;
mod chart;
mod client;
mod decided;
#[cfg(test)]
mod fake;
mod kafka;
mod kill;
mod ledger;
mod line;
mod pool;
mod redis;
mod report;
mod rows;
mod run;
mod scenario;
mod server;
mod sql;
mod stream;
mod torture;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;

use clap::{Parser, Subcommand, ValueEnum};

use crate::kafka::Bus;
use crate::kill::{Kill, Kills, Victim};
use crate::ledger::Ledger;
use crate::redis::Gate;
use crate::report::Report;
use crate::run::Watch;
use crate::scenario::{Scenario, Stage};
use crate::server::{Clock, Directory, Intake, Plan, Servers};
use crate::sql::{Database, Kind};
use crate::torture::Torture;

/// Why a run could not be played to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The wish cannot be granted.
    #[error("{0}")]
    Usage(String),
    /// The server does not do what it must for the scenario to be played.
    #[error("the server: {0}")]
    Server(String),
    /// Redis or the database does not start, or is not installed.
    #[error(transparent)]
    Start(#[from] flashsale_services::StartError),
    /// The ledger's rows cannot be read, or are not what was expected.
    #[error("the ledger's rows: {0}")]
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
    /// Play safe-10k on two servers, Redis, Kafka and a database, run after run, each part killed once in each; exit 1 if any
    /// of them is violated
    Torture(Torture),
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
    #[arg(long, requires = "rows")]
    url: Option<String>,
    /// The SQLite file of that server
    #[arg(long, requires = "url", group = "rows")]
    db: Option<PathBuf>,
    /// Also write the report here, as one JSON object
    #[arg(long)]
    json: Option<PathBuf>,
    /// How many members join, in room-burst; 3,000 if nothing is said
    #[arg(long, value_parser = clap::value_parser!(u32).range(200..=100_000))]
    members: Option<u32>,
    /// Chooses who leaves, and what the simulated payment does
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Kill server, redis, sql or kafka of the run's own as a crash would, start it again on the same files, and go on with the
    /// same keys: after so many answers (redis@2000), once another is back (sql@redis-back), or after the last answer
    /// (kafka@settling); as often as one likes
    #[arg(long, value_name = "WHAT@WHEN", conflicts_with = "url")]
    kill: Vec<Kill>,
    /// Keep the gate on a Redis of this run's own (`redis-server` must be installed)
    #[arg(long, conflicts_with = "url")]
    redis: bool,
    /// Keep the gate on this Redis, on loopback; the run's keys begin with fs-load- and stay there
    #[arg(long = "redis.url", value_name = "URL", conflicts_with_all = ["url", "redis"])]
    redis_url: Option<String>,
    /// Keep the ledger in a database of this run's own; without it, in a file
    #[arg(long, value_name = "DATABASE", conflicts_with = "url")]
    sql: Option<Kind>,
    /// Keep the ledger in this database, on loopback; what the run writes stays there. With --url, where that server's ledger is
    #[arg(long = "sql.url", value_name = "URL", conflicts_with = "sql", group = "rows")]
    sql_url: Option<String>,
    /// Let events travel over an Apache Kafka of this run's own; without it, within each server
    #[arg(long, conflicts_with = "url")]
    kafka: bool,
    /// For what orders and claims wait; what the log records counts when the ledger has decided it
    #[arg(long, default_value = "ledger", conflicts_with = "url")]
    intake: Intake,
    /// How many server processes share gate and ledger; clients are spread over them, kills take one after the other
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=4), conflicts_with = "url")]
    servers: u8,
    /// Keep the logs of the servers in this folder
    #[arg(long, value_name = "FOLDER", conflicts_with = "url")]
    logs: Option<PathBuf>,
}

impl Wish {
    /// Refuses what would prove nothing.
    fn check(&self) -> Result<(), Failure> {
        let memory = !self.redis && self.redis_url.is_none();
        if self.servers > 1 && memory {
            return Err(Failure::Usage(
                "a gate in memory serves one process: --servers needs --redis or --redis.url".into(),
            ));
        }
        if self.intake == Intake::Log && !self.kafka {
            return Err(Failure::Usage("a log is kept by Kafka: --intake log needs --kafka".into()));
        }
        for kill in &self.kill {
            let needs = match kill.victim {
                Victim::Redis if !self.redis => "--redis",
                Victim::Kafka if !self.kafka => "--kafka",
                Victim::Sql if !matches!(self.sql, Some(Kind::Postgres | Kind::Mariadb)) => "--sql postgres or mariadb",
                _ => continue,
            };
            return Err(Failure::Usage(format!("only what is the run's own is killed: {kill} needs {needs}")));
        }
        if self.members.is_some() && !self.scenario.takes_members() {
            return Err(Failure::Usage(format!("how many play {} is fixed", self.scenario.name())));
        }
        if let Some(kill) = kill::impossible(&self.kill, self.requests()) {
            return Err(Failure::Usage(format!("the time of {kill} would never come")));
        }
        let holder = if memory { Victim::Server } else { Victim::Redis };
        if self.scenario.compares_numbers() && self.kill.iter().any(|kill| kill.victim == holder) {
            let name = self.scenario.name();
            let why = format!("{name} compares the numbers of one gate and room; a kill that ends them begins others");
            return Err(Failure::Usage(why));
        }
        for (name, url) in [("--redis.url", &self.redis_url), ("--sql.url", &self.sql_url)] {
            if url.as_ref().is_some_and(|url| !on_loopback(url)) {
                return Err(Failure::Usage(format!("{name} is not on loopback; the load tool loads no other machine")));
            }
        }
        Ok(())
    }

    /// How many requests are sent, at least.
    fn requests(&self) -> u64 {
        self.members.map_or(self.scenario.requests() as u64, u64::from)
    }

    /// Where the rows of a server that runs already are.
    fn rows(&self) -> Option<String> {
        let file = self.db.as_ref().map(|file| format!("sqlite://{}", file.display()));
        file.or_else(|| self.sql_url.clone())
    }
}

/// Whether every host of a URL of Redis or of a database is this machine.
fn on_loopback(url: &str) -> bool {
    let (url, more) = url.split_once('?').unwrap_or((url, ""));
    // Drivers take another host from there.
    if more.contains("host") {
        return false;
    }
    let place = url.split_once("://").map_or(url, |(_, rest)| rest);
    let place = place.rsplit_once('@').map_or(place, |(_, place)| place);
    let hosts = place.split('/').next().unwrap_or_default();
    hosts.split(',').all(|host| {
        let name = host.rsplit_once(':').filter(|(name, _)| !name.ends_with(':')).map_or(host, |(name, _)| name);
        let name = name.trim_matches(['[', ']']);
        name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    })
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
        Verb::Torture(wanted) => {
            let json = wanted.json.clone();
            let tortured = torture::torture(wanted).await?;
            println!("{tortured}");
            write(json, &tortured)?;
            return Ok(if tortured.holds() { ExitCode::SUCCESS } else { ExitCode::from(1) });
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
    wish.check()?;
    let scenario = wish.scenario;
    let watch = Watch::over(&scenario.name(), wish.requests(), &wish.kill);
    let commit = commit().await;
    let members = wish.members.map(|members| members as usize);
    let suffix = format!("-{:x}", std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis());
    if let (Some(url), Some(rows)) = (&wish.url, wish.rows()) {
        let (servers, ledger) = (vec![loopback(url)?], Ledger::open(&rows).await?);
        let stage = Stage { servers, ledger, seed: wish.seed, suffix, members, watch, clock: Mutex::default() };
        return scenario.play(&stage, commit).await;
    }
    let directory = Directory::create()?;
    let (database, suffix) = match wish.sql_url.clone() {
        Some(url) => (Database::Given(url), suffix),
        None => (Database::own(wish.sql.unwrap_or(Kind::Sqlite), directory.path()).await?, String::new()),
    };
    let gate = match wish.redis_url.clone() {
        Some(url) => Gate::given(url),
        None if wish.redis => Gate::own().await?,
        None => Gate::Memory,
    };
    let bus = if wish.kafka { Bus::own().await? } else { Bus::Process };
    let clock = if scenario.moves_the_clock() { Clock::Moved } else { Clock::Machine };
    let (count, seed) = (wish.servers, wish.seed);
    let plan = Plan {
        rates: scenario.rates(),
        offer_within_s: scenario.offer_within_s(),
        seed,
        clock,
        gate: gate.clone(),
        bus: bus.clone(),
        database: database.clone(),
        directory,
        logs: wish.logs.clone(),
        intake: wish.intake,
        count,
    };
    let mut servers = Servers::start(plan).await?;
    let ledger = Ledger::open(&database.url()).await?;
    let addresses = servers.addresses();
    let stage = Stage { servers: addresses, ledger, seed, suffix, members, watch, clock: Mutex::default() };
    let kills = &stage.watch.kills;
    let report = tokio::select! {
        report = scenario.play(&stage, commit) => report,
        failed = crash(kills, Victim::Server, async || servers.kill_and_restart(&stage).await) => failed,
        failed = crash(kills, Victim::Redis, async || gate.kill_and_restart().await) => failed,
        failed = crash(kills, Victim::Sql, async || database.kill_and_restart().await) => failed,
        failed = crash(kills, Victim::Kafka, async || bus.kill_and_restart().await) => failed,
    };
    servers.stop().await;
    let mut report = report?;
    report.identities.extend(kills.identities());
    Ok(report)
}

/// Kills one part as often as it is due, and leaves the end of the run to the scenario: this ends only if a kill fails.
async fn crash(
    kills: &Kills,
    victim: Victim,
    mut kill: impl AsyncFnMut() -> Result<(), Failure>,
) -> Result<Report, Failure> {
    loop {
        let due = kills.due(victim).await;
        kill().await?;
        kills.back(due);
    }
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
        assert!(Arguments::try_parse_from(["x", "run", "fair", "--kill", "server@5", "--json", "f"]).is_ok());
        assert!(Arguments::try_parse_from(["x", "run", "sync", "--redis", "--redis.url", "redis://[::1]"]).is_err());
        let words = |line: &str| Arguments::try_parse_from(line.split(' ')).is_ok();
        assert!(words("x run sync --url http://127.0.0.1:1 --sql.url postgres://127.0.0.1/shop"));
        assert!(words("x run sync --url http://127.0.0.1:1 --db f"));
        assert!(!words("x run sync --url http://127.0.0.1:1 --db f --sql.url postgres://127.0.0.1/shop"));
        assert!(!words("x run sync --sql mariadb --sql.url postgres://127.0.0.1/shop"));
        assert!(!words("x run sync --url http://127.0.0.1:1 --db f --kill server@5"), "not ours to kill");
        assert!(!words("x run sync --sql oracle"));
        assert!(words("x run sync --kafka --kill kafka@5 --kill server@kafka-back --kill kafka@settling"));
        assert!(!words("x run sync --kill moon@5"));
    }

    #[test]
    fn what_would_prove_nothing_is_refused() {
        let checked = |line: &str| {
            let words = ["x", "run"].into_iter().chain(line.split(' '));
            let Verb::Run(wish) = Arguments::try_parse_from(words).unwrap().verb else { panic!("{line}") };
            wish.check().is_ok()
        };
        for (line, fine) in [
            ("sync --servers 2", false),
            ("sync --intake log", false),
            ("sync --intake log --kafka", true),
            ("sync --servers 2 --redis", true),
            ("sync --servers 2 --redis.url redis://127.0.0.1", true),
            ("fair --redis --servers 2 --kill server@5", true),
            ("fair --kill server@5", false),
            ("fair --redis --kill redis@5", false),
            ("sync --redis --kill redis@5 --kill server@6", true),
            ("sync --kill redis@5", false),
            ("sync --redis.url redis://127.0.0.1 --kill redis@5", false),
            ("sync --kill kafka@5", false),
            ("sync --kafka --kill kafka@5", true),
            ("sync --kill server@10000", true),
            ("sync --kill server@10001", false),
            ("sync --kill server@server-back", false),
            ("sync --redis.url redis://u:p@localhost:1/2", true),
            ("sync --redis.url redis+cluster://127.0.0.1:1,[::1]:2", true),
            ("sync --redis.url redis+sentinel://127.0.0.1:1,192.0.2.1:2/shop", false),
            ("sync --redis.url redis://127.0.0.1@example.org", false),
            ("sync --sql postgres --servers 2", false),
            ("sync --sql postgres --servers 2 --redis", true),
            ("sync --sql mariadb --kill sql@5", true),
            ("sync --sql sqlite --kill sql@5", false),
            ("sync --kill sql@5", false),
            ("sync --sql.url postgres://127.0.0.1/shop --kill sql@5", false),
            ("fair --sql postgres --kill sql@5", true),
            ("sync --sql.url mysql://u:p@localhost:1/shop", true),
            ("sync --sql.url postgres://127.0.0.1/shop?options[search_path]=shop", true),
            ("sync --sql.url postgres://127.0.0.1/shop?host=192.0.2.1", false),
            ("sync --sql.url postgres:///shop?hostaddr=192.0.2.1", false),
            ("sync --sql.url postgres://example.org/shop", false),
        ] {
            assert_eq!(checked(line), fine, "{line}");
        }
    }
}
