//! `cargo xtask test`: the steps that must pass, in order, each named and timed.
//!
//! Owns the order and the summary. Every step that compiles asks for the same packages with the same features, so that
//! nothing is built twice; what is run afterwards is taken from the target folder.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::command::Cargo;
use crate::{command, tidy};

/// One thing that must pass.
struct Step {
    name: &'static str,
    says: &'static str,
    run: fn(&Path) -> Result<(), String>,
}

const STEPS: &[Step] = &[
    Step { name: "services", says: "the servers that tests start; what is missing is installed", run: services },
    Step { name: "tidy", says: "the rules of the house", run: |root| tidy::run(root, false) },
    Step { name: "format", says: "rustfmt changes nothing", run: format },
    Step { name: "clippy", says: "no warning of clippy or the compiler", run: clippy },
    Step { name: "docs", says: "no warning of rustdoc", run: docs },
    Step { name: "tests", says: "unit and integration tests, simulations and differential runs", run: tests },
    Step { name: "doctests", says: "the examples in the documentation", run: doctests },
    Step { name: "build", says: "every program", run: build },
    Step { name: "quickstart", says: "the example runs", run: |root| built(root, "quickstart", &[]) },
    Step { name: "units-alone", says: "the example runs on each database", run: units_alone },
    Step { name: "coupons-alone", says: "the example runs", run: |root| built(root, "coupons-alone", &[]) },
    Step { name: "waitlist-alone", says: "the example runs", run: |root| built(root, "waitlist-alone", &[]) },
    Step {
        name: "load-coupons",
        says: "1,000 members, 100 coupons, audited",
        run: |root| load(root, &["coupon-1000"]),
    },
    Step { name: "load-plan", says: "10,000 members, 10 units, audited", run: |root| load(root, &["plan-10k"]) },
    Step { name: "load-redis", says: "the same with Redis killed in the middle", run: load_redis },
    Step {
        name: "load-redis-two",
        says: "1,000 members at two servers on one Redis and one ledger",
        run: load_redis_two,
    },
    Step {
        name: "load-room",
        says: "a waiting room under a burst, an order of arrival through it, and a waitlist, each audited",
        run: load_room,
    },
    Step {
        name: "load-room-two",
        says: "the burst before a waiting room at two servers on one Redis",
        run: |root| load(root, &["room-burst", "--members", "1500", "--redis", "--servers", "2"]),
    },
    Step {
        name: "load-postgres",
        says: "50,000 members, 500 units, two servers on one PostgreSQL that is killed in the middle",
        run: |root| load_sql(root, "event-500", "postgres"),
    },
    Step {
        name: "load-mariadb",
        says: "10,000 orders, two servers on one MariaDB that is killed in the middle",
        run: |root| load_sql(root, "safe-10k", "mariadb"),
    },
    Step {
        name: "load-kafka",
        says: "50,000 members, two servers on Redis, PostgreSQL and a Kafka that is killed in the middle",
        run: load_kafka,
    },
    Step {
        name: "torture",
        says: "10,000 orders five times, on all real servers, each of which is killed once in each",
        run: |root| built(root, "flashsale-loadtest", &["torture", "--rounds", "5", "--seed", "1"]),
    },
    Step {
        name: "load-log",
        says: "10,000 members, 10 units, through the log of a Kafka that is killed in the middle",
        run: load_log,
    },
];

/// Shows the steps.
pub(crate) fn list() {
    for step in STEPS {
        println!("{:<14} {}", step.name, step.says);
    }
}

/// Runs all steps, or those named, until one fails. The last line is `N passed, M failed`.
///
/// # Errors
/// What failed, or that a name is unknown.
pub(crate) fn run(root: &Path, names: &[String]) -> Result<(), String> {
    if let Some(name) = names.iter().find(|name| STEPS.iter().all(|step| step.name != name.as_str())) {
        return Err(format!("there is no step `{name}`; `cargo xtask test --list` shows them"));
    }
    let wanted: Vec<&Step> =
        STEPS.iter().filter(|step| names.is_empty() || names.iter().any(|name| name == step.name)).collect();
    let begun = Instant::now();
    let mut times: Vec<(&str, Duration)> = Vec::new();
    let mut failure = None;
    for (n, step) in wanted.iter().enumerate() {
        println!("--- {}/{} {}: {}", n + 1, wanted.len(), step.name, step.says);
        let started = Instant::now();
        let outcome = (step.run)(root);
        times.push((step.name, started.elapsed()));
        if let Err(why) = outcome {
            failure = Some(format!("{}: {why}", step.name));
            break;
        }
    }
    println!();
    for (name, time) in &times {
        println!("{name:<14} {:>7.1} s", time.as_secs_f64());
    }
    println!("{:<14} {:>7.1} s", "all", begun.elapsed().as_secs_f64());
    let failed = usize::from(failure.is_some());
    let left = wanted.len() - times.len();
    if let Some(why) = &failure {
        println!("failed at {why}");
        if left > 0 {
            println!("{left} not run");
        }
    }
    println!("{} passed, {failed} failed", times.len() - failed);
    // Everything is said: the count stays the last line.
    failure.map_or(Ok(()), |_| Err(String::new()))
}

fn services(root: &Path) -> Result<(), String> {
    Cargo::plain("flashsale-services").run(root, &["install".to_owned()])
}

fn format(root: &Path) -> Result<(), String> {
    component(root, "fmt", "rustfmt")?;
    command::cargo(root, &["fmt", "--all", "--check"], &[])
        .map_err(|why| format!("{why}; `cargo fmt --all` puts it right"))
}

fn clippy(root: &Path) -> Result<(), String> {
    component(root, "clippy", "clippy")?;
    let args = ["clippy", "--locked", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
    command::cargo(root, &args, &[])
}

fn docs(root: &Path) -> Result<(), String> {
    let args = ["doc", "--locked", "--workspace", "--no-deps", "--all-features"];
    command::cargo(root, &args, &[("RUSTDOCFLAGS", "-D warnings")])
}

fn tests(root: &Path) -> Result<(), String> {
    command::cargo(root, &["test", "--locked", "--workspace", "--all-features", "--all-targets"], &[])
}

fn doctests(root: &Path) -> Result<(), String> {
    command::cargo(root, &["test", "--locked", "--workspace", "--all-features", "--doc"], &[])
}

fn build(root: &Path) -> Result<(), String> {
    command::cargo(root, &["build", "--locked", "--workspace", "--all-features"], &[])
}

fn units_alone(root: &Path) -> Result<(), String> {
    built(root, "units-alone", &[])?;
    built(root, "units-alone", &["--start", "postgres"])?;
    built(root, "units-alone", &["--start", "mariadb"])
}

/// Runs a program that the step `build` made, in a folder of its own.
fn built(root: &Path, name: &str, args: &[&str]) -> Result<(), String> {
    let program = folder_of_programs()?.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    if !program.is_file() {
        return Err(format!("the program `{name}` is not built; run the step `build` first"));
    }
    let folder = root.join("target").join("xtask").join(name);
    std::fs::create_dir_all(&folder).map_err(|error| format!("no folder to run in: {error}"))?;
    command::program(&program, args, &folder)
}

fn load(root: &Path, args: &[&str]) -> Result<(), String> {
    built(root, "flashsale-loadtest", &[&["run"], args].concat())
}

fn load_redis(root: &Path) -> Result<(), String> {
    load(root, &["plan-10k", "--redis", "--kill", "redis@4000"])
}

fn load_redis_two(root: &Path) -> Result<(), String> {
    load(root, &["coupon-1000", "--redis", "--servers", "2"])
}

fn load_room(root: &Path) -> Result<(), String> {
    load(root, &["room-burst", "--members", "1500"])?;
    load(root, &["fair-room"])?;
    load(root, &["restock"])
}

fn load_sql(root: &Path, scenario: &str, database: &str) -> Result<(), String> {
    load(root, &[scenario, "--sql", database, "--kill", "sql@4000", "--redis", "--servers", "2"])
}

fn load_kafka(root: &Path) -> Result<(), String> {
    let wiring = ["--kafka", "--kill", "kafka@4000", "--sql", "postgres", "--redis", "--servers", "2"];
    load(root, &[&["event-500"], &wiring[..]].concat())
}

fn load_log(root: &Path) -> Result<(), String> {
    let wiring = ["--intake", "log", "--kafka", "--kill", "kafka@4000", "--redis", "--servers", "2"];
    load(root, &[&["plan-10k"], &wiring[..]].concat())
}

/// Where cargo put this program, it put the others.
fn folder_of_programs() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| format!("this program does not know where it is: {error}"))?;
    own.parent().map(Path::to_path_buf).ok_or_else(|| "this program has no folder".to_owned())
}

/// Says the exact command where a part of the toolchain is missing.
fn component(root: &Path, command: &str, component: &str) -> Result<(), String> {
    let program = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let there = std::process::Command::new(program).args([command, "--version"]).current_dir(root).output();
    match there {
        Ok(output) if output.status.success() => Ok(()),
        _ => Err(format!("{component} is missing; install it with `rustup component add {component}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_has_a_name_of_its_own() {
        for (n, step) in STEPS.iter().enumerate() {
            assert!(STEPS[..n].iter().all(|other| other.name != step.name), "{} stands there twice", step.name);
        }
    }

    #[test]
    fn an_unknown_step_is_named_and_nothing_runs() {
        let why = run(Path::new("nowhere"), &["tidy".to_owned(), "moon".to_owned()]).unwrap_err();
        assert!(why.contains("`moon`"), "{why}");
    }
}
