//! `cargo xtask services`: servers for a person, in the foreground, until Ctrl-C.
//!
//! Owns the words of the command line and what is printed; the servers are the library's.

use std::io::Write as _;
use std::process::ExitCode;

use flashsale_services::program::{PROGRAMS, install, table};
use flashsale_services::{Append, Redis, RedisCluster, RedisOptions, RedisSentinel, StartError};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

const USAGE: &str = "\
cargo xtask services list                               what is there, and what is missing
cargo xtask services install                            installs what is missing
cargo xtask services start [redis] [cluster] [sentinel] starts servers until Ctrl-C; without a name, redis";

/// A server that runs, or several that belong together.
enum Running {
    Redis(Box<Redis>),
    Cluster(RedisCluster),
    Sentinel(RedisSentinel),
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["list"] => list(),
        ["install"] => install(PROGRAMS).and_then(|()| list()),
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
    Ok(())
}

/// Starts servers, says where they are, and keeps them until a signal comes.
fn start(names: &[&str]) -> Result<(), String> {
    if let Some(name) = names.iter().find(|name| !["redis", "cluster", "sentinel"].contains(name)) {
        return Err(format!("there is no server `{name}`\n{USAGE}"));
    }
    // Before the servers: a Ctrl-C while they start must not leave their folders behind.
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(|error| format!("no signals: {error}"))?;
    let mut running = Vec::new();
    for name in names {
        let one = one(name).map_err(|error| error.to_string())?;
        println!("{name:<9} {}\n          flashsale-server --redis.url {}", one.log(), one.url());
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
        _ => Redis::try_start(options).map(|redis| Running::Redis(Box::new(redis))),
    }
}

impl Running {
    fn url(&self) -> String {
        match self {
            Self::Redis(redis) => redis.url(),
            Self::Cluster(cluster) => cluster.url(),
            Self::Sentinel(sentinel) => sentinel.url(),
        }
    }

    fn log(&self) -> String {
        let (first, what) = match self {
            Self::Redis(redis) => (redis.as_ref(), "its log and data"),
            Self::Cluster(cluster) => (&cluster.nodes()[0], "log and data of the first node"),
            Self::Sentinel(sentinel) => (&sentinel.nodes()[0], "log and data of the primary"),
        };
        format!("port {}, {what} in {}", first.port(), first.dir().display())
    }
}
