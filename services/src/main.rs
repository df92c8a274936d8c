//! `cargo xtask services`: servers for a person, in the foreground, until Ctrl-C.
//!
//! Owns the words of the command line and what is printed; the servers are the library's.

use std::io::Write as _;
use std::process::ExitCode;

use flashsale_services::kafka;
use flashsale_services::program::{PROGRAMS, install, table};
use flashsale_services::{Append, Kafka, KafkaOptions, MariaDb, MariaDbOptions, Postgres, PostgresOptions};
use flashsale_services::{Redis, RedisCluster, RedisOptions, RedisSentinel, StartError};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

const USAGE: &str = "\
cargo xtask services list                               what is there, and what is missing
cargo xtask services install                            installs what is missing
cargo xtask services start [redis] [cluster] [sentinel] [postgres] [mariadb] [kafka]
                                                        starts servers until Ctrl-C; without a name, redis";

const SERVERS: [&str; 6] = ["redis", "cluster", "sentinel", "postgres", "mariadb", "kafka"];

/// A server that runs, or several that belong together.
enum Running {
    Redis(Box<Redis>),
    Cluster(RedisCluster),
    Sentinel(RedisSentinel),
    Postgres(Postgres),
    MariaDb(MariaDb),
    Kafka(Kafka),
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["list"] => list(),
        ["install"] => install(PROGRAMS).and_then(|()| kafka::install()).and_then(|()| list()),
        ["start"] => start(&["redis"]),
        ["start", names @ ..] => start(names),
        _ => Err(USAGE.to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn list() -> Result<(), String> {
    print!("{}", table(PROGRAMS));
    let there = if kafka::is_installed() { kafka::VERSION } else { "missing" };
    println!("{:<14} {there} (Apache Kafka's jars, from Maven Central)", "kafka");
    Ok(())
}

/// Starts servers, says where they are, and keeps them until a signal comes.
fn start(names: &[&str]) -> Result<(), String> {
    if let Some(name) = names.iter().find(|name| !SERVERS.contains(name)) {
        return Err(format!("there is no server `{name}`\n{USAGE}"));
    }
    // Before the servers: a Ctrl-C while they start must not leave their folders behind.
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(|error| format!("no signals: {error}"))?;
    let mut running = Vec::new();
    for name in names {
        let one = one(name).map_err(|error| error.to_string())?;
        println!("{name:<9} {}\n          {}", one.place(), one.usage());
        running.push(one);
    }
    println!("Ctrl-C stops {}.", if names.len() == 1 { "it" } else { "them" });
    // Whoever started this through a pipe waits for the addresses.
    std::io::stdout().flush().map_err(|error| error.to_string())?;
    signals.forever().next();
    drop(running);
    println!("stopped");
    Ok(())
}

fn one(name: &str) -> Result<Running, StartError> {
    let options = RedisOptions { append: Append::EverySecond, ..RedisOptions::default() };
    match name {
        "cluster" => RedisCluster::try_start(6, &options).map(Running::Cluster),
        "sentinel" => RedisSentinel::try_start(2, 3, &options).map(Running::Sentinel),
        "postgres" => Postgres::try_start(&PostgresOptions::default()).map(Running::Postgres),
        "kafka" => Kafka::try_start(&KafkaOptions::default()).map(Running::Kafka),
        "mariadb" => MariaDb::try_start(&MariaDbOptions::default()).map(Running::MariaDb),
        _ => Redis::try_start(options).map(|redis| Running::Redis(Box::new(redis))),
    }
}

impl Running {
    /// How to use it: the server's flag, or the address of what the server cannot use yet.
    fn usage(&self) -> String {
        match self {
            Self::Redis(redis) => format!("flashsale-server --redis.url {}", redis.url()),
            Self::Cluster(cluster) => format!("flashsale-server --redis.url {}", cluster.url()),
            Self::Sentinel(sentinel) => format!("flashsale-server --redis.url {}", sentinel.url()),
            Self::Postgres(postgres) => format!("flashsale-server --sql.url {}", postgres.url()),
            Self::MariaDb(mariadb) => format!("flashsale-server --sql.url {}", mariadb.url()),
            Self::Kafka(kafka) => format!("flashsale-server --kafka.brokers {} --kafka.replication 1", kafka.brokers()),
        }
    }

    fn place(&self) -> String {
        let (port, what, folder) = match self {
            Self::Redis(redis) => (redis.port(), "log and data", redis.dir()),
            Self::Cluster(cluster) => {
                (cluster.nodes()[0].port(), "the first node's log and data", cluster.nodes()[0].dir())
            }
            Self::Sentinel(sentinel) => {
                (sentinel.nodes()[0].port(), "the primary's log and data", sentinel.nodes()[0].dir())
            }
            Self::Postgres(postgres) => (postgres.port(), "log and data", postgres.dir()),
            Self::MariaDb(mariadb) => (mariadb.port(), "log and data", mariadb.dir()),
            Self::Kafka(kafka) => (kafka.port(0), "log and data", kafka.dir(0)),
        };
        format!("port {port}, {what} in {}", folder.display())
    }
}
