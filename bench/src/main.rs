//! The marks: speed as ratios to a baseline that runs in the same process, so that a figure means the same on any machine.
//!
//! Owns the list of marks and the command line. What is compared with what is in `gate`, `room`, `redis_gate`, `redis_room`, `accept`, `kafka` and `http`; how a ratio
//! is made of runs is in `runs`. A missed mark is told, it is not an error.

mod accept;
mod gate;
mod http;
mod kafka;
mod machine;
mod redis_gate;
mod redis_room;
mod room;
mod runs;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::runs::{Figures, Report};

/// A mark: what it is called, what it should reach, how it is measured.
struct Mark {
    name: &'static str,
    goal: f64,
    says: &'static str,
    measure: fn(usize) -> Result<Figures, Failure>,
}

/// Why something could not be measured.
type Failure = Box<dyn std::error::Error>;

const MARKS: &[Mark] = &[
    Mark {
        name: "gate-memory",
        goal: 3.0,
        says: "reserving in batches of 64, to a mutex around maps keyed by strings, called once per request",
        measure: gate::memory,
    },
    Mark {
        name: "gate-growth",
        goal: 0.5,
        says: "reserving at 2,000,000 live holds, to the same at 1,000",
        measure: gate::growth,
    },
    Mark {
        name: "room-memory",
        goal: 1.0,
        says: "entering a room in batches of 64, to a deque behind a mutex, called once per member",
        measure: room::memory,
    },
    Mark {
        name: "room-growth",
        goal: 0.83,
        says: "asking for places at 1,000,000 waiting, to the same at 1,000",
        measure: room::growth,
    },
    Mark {
        name: "redis-reserve",
        goal: 1.1,
        says: "reserving on Redis in batches of 256, to a script that only decrements, called once per request",
        measure: redis_gate::reserve,
    },
    Mark {
        name: "redis-reserve-unbatched",
        goal: 3.9,
        says: "the same, to a plain script that reserves, called once per request",
        measure: redis_gate::reserve_unbatched,
    },
    Mark {
        name: "redis-refuse",
        goal: 1.1,
        says: "refusing on Redis when all is sold, in batches of 256, to the decrementing script's refusal, once per request",
        measure: redis_gate::refuse,
    },
    Mark {
        name: "redis-sync",
        goal: 1.1,
        says: "settling held orders on Redis, 256 a sync, to the decrementing script",
        measure: redis_gate::sync,
    },
    Mark {
        name: "redis-growth",
        goal: 0.83,
        says: "reserving on Redis at 1,000,000 live orders of a sale, to the same at 1,000",
        measure: redis_gate::growth,
    },
    Mark {
        name: "room-redis",
        goal: 1.0,
        says: "joining a room on Redis in batches of 256, to a counter and a sorted set, two pipelined commands per member",
        measure: redis_room::enter,
    },
    Mark {
        name: "accept-sqlite",
        goal: 30.0,
        says: "accepting 256 orders in one durable transaction, to one durable transaction per order",
        measure: accept::sqlite,
    },
    Mark {
        name: "accept-sqlite-rows",
        goal: 0.4,
        says: "accepting 256 orders in one durable transaction, to bare multi-row inserts of the very rows that it writes",
        measure: accept::sqlite_rows,
    },
    Mark {
        name: "accept-postgres",
        goal: 30.0,
        says: "the same on PostgreSQL, to one durable transaction per order on as many connections as are best",
        measure: accept::postgres,
    },
    Mark {
        name: "accept-postgres-rows",
        goal: 0.4,
        says: "the same on PostgreSQL, to bare multi-row inserts of the very rows that it writes",
        measure: accept::postgres_rows,
    },
    Mark {
        name: "accept-mariadb",
        goal: 30.0,
        says: "the same on MariaDB, to one durable transaction per order on as many connections as are best",
        measure: accept::mariadb,
    },
    Mark {
        name: "accept-mariadb-rows",
        goal: 0.4,
        says: "the same on MariaDB, to bare multi-row inserts of the very rows that it writes",
        measure: accept::mariadb_rows,
    },
    Mark {
        name: "accept-growth-sqlite",
        goal: 0.83,
        says: "accepting on SQLite at 1,000,000 orders of a sale, to the same at 1,000",
        measure: accept::growth_sqlite,
    },
    Mark {
        name: "accept-growth-postgres",
        goal: 0.83,
        says: "accepting on PostgreSQL at 1,000,000 orders of a sale, to the same at 1,000",
        measure: accept::growth_postgres,
    },
    Mark {
        name: "accept-growth-mariadb",
        goal: 0.83,
        says: "accepting on MariaDB at 1,000,000 orders of a sale, to the same at 1,000",
        measure: accept::growth_mariadb,
    },
    Mark {
        name: "kafka-relay",
        goal: 0.7,
        says: "publishing events through the sink, 512 a batch and eight under way, to rdkafka's producer sending the very same bytes",
        measure: kafka::relay,
    },
    Mark {
        name: "kafka-consume",
        goal: 0.7,
        says: "taking events up through the source, each read and its place kept, to rdkafka's consumer that only counts them",
        measure: kafka::consume,
    },
    Mark {
        name: "http-accepted",
        goal: 0.45,
        says: "orders accepted and durable over HTTP, to a route that does nothing",
        measure: http::accepted,
    },
    Mark { name: "http-redis", goal: 0.45, says: "the same with the gate on Redis", measure: http::accepted_on_redis },
    Mark {
        name: "http-sold-out",
        goal: 0.9,
        says: "orders refused for want of units over HTTP, to a route that does nothing",
        measure: http::sold_out,
    },
];

/// Measures marks; all of them unless some are named.
#[derive(Parser)]
#[command(disable_version_flag = true)]
struct Cli {
    /// Only these
    names: Vec<String>,
    /// Writes the figures of all runs, with commit and machine, as one JSON object
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// How many runs each figure is the median of
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=50))]
    runs: u8,
    /// Shows the marks and measures nothing
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<(), Failure> {
    if cli.list {
        for mark in MARKS {
            println!("{:<24} goal {:<5} {}", mark.name, mark.goal, mark.says);
        }
        return Ok(());
    }
    if let Some(name) = cli.names.iter().find(|name| MARKS.iter().all(|mark| mark.name != name.as_str())) {
        return Err(format!("there is no mark `{name}`; `--list` shows them").into());
    }
    let mut report = Report::begin();
    let mut failed = Vec::new();
    for mark in MARKS.iter().filter(|mark| cli.names.is_empty() || cli.names.iter().any(|name| name == mark.name)) {
        match (mark.measure)(usize::from(cli.runs)) {
            Ok(figures) => report.add(mark.name, mark.goal, mark.says, figures),
            Err(why) => failed.push(format!("mark {} could not be measured: {why}", mark.name)),
        }
    }
    if let Some(file) = &cli.json {
        std::fs::write(file, report.json()?)?;
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n").into()) }
}
