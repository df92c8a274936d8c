//! Project commands: one entrance to everything that is checked, measured or simulated.
//!
//! Owns the command line. The steps are in `steps`, the rules of the house in `tidy`, the list of stable words in `words`.

mod command;
mod steps;
mod tidy;
mod words;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::command::Cargo;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Commands of this project", disable_version_flag = true)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Runs everything that must pass on a clean checkout, in order; stops at the first failure
    Test {
        /// Only these steps, by name (`--list` shows them)
        steps: Vec<String>,
        /// Shows the steps and runs nothing
        #[arg(long)]
        list: bool,
    },
    /// Checks the rules of the house that no compiler knows
    Tidy {
        /// Writes what is generated (`docs/reference/errors.md`) instead of comparing it
        #[arg(long)]
        write: bool,
    },
    /// Measures speed as ratios, a line `mark NAME ratio R goal G` each; a missed mark is not an error
    Marks {
        /// Names of marks, `--json FILE`, `--list`: passed on
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Simulates whole sales in virtual time, with faults: `--seed N [--seeds M]`
    Sim {
        /// Passed on to the simulator
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Real servers on loopback: `list`, `install`, `start [NAMES]` until Ctrl-C
    Services {
        /// Passed on
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Runs the load tool against a server built from this checkout
    Load {
        /// Passed on to the load tool, such as `run event-500`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Plays safe-10k again and again on real servers, each of which is killed once a run: `--rounds N [--seed S]`
    Torture {
        /// Passed on to the load tool
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().task {
        Task::Test { list: true, .. } => {
            steps::list();
            Ok(())
        }
        Task::Test { steps, list: false } => steps::run(&root(), &steps),
        Task::Tidy { write } => tidy::run(&root(), write),
        Task::Marks { args } => marks(&args),
        Task::Sim { args } => Cargo::release("flashsale-testkit").example("sim").run(&root(), &args),
        Task::Services { args } => Err(Cargo::plain("flashsale-services").become_it(&root(), &args)),
        Task::Load { args } => load(&args),
        Task::Torture { args } => load(&[vec!["torture".to_owned()], args].concat()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            if !why.is_empty() {
                eprintln!("{why}");
            }
            ExitCode::FAILURE
        }
    }
}

/// The marks over HTTP start the server and the load tool of this checkout, so these are built first.
fn marks(args: &[String]) -> Result<(), String> {
    let named: Vec<&String> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    let lists = args.iter().any(|arg| arg == "--list" || arg == "--help");
    if !lists && (named.is_empty() || named.iter().any(|name| name.starts_with("http-"))) {
        build("flashsale-server")?;
        build("flashsale-loadtest")?;
    }
    Cargo::release("flashsale-bench").run(&root(), args)
}

/// The load tool starts the server of this checkout, so that is built first.
fn load(args: &[String]) -> Result<(), String> {
    build("flashsale-server").and_then(|()| Cargo::release("flashsale-loadtest").run(&root(), args))
}

fn build(package: &str) -> Result<(), String> {
    command::cargo(&root(), &["build", "--release", "--locked", "-p", package], &[])
}

/// The workspace's folder.
fn root() -> PathBuf {
    let mut root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.pop();
    root
}
