//! Runs the simulator from the command line: `--seed N` prints one run, `--seeds M` runs as many from there and prints the first that fails.

use std::collections::BTreeMap;
use std::process::ExitCode;

use flashsale_testkit::sim::{Plan, run};

fn number(args: &[String], flag: &str) -> Option<u64> {
    let at = args.iter().position(|arg| arg == flag)?;
    args.get(at + 1)?.parse().ok()
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let Some(seed) = number(&args, "--seed") else {
        eprintln!("usage: sim --seed N [--seeds M]");
        return ExitCode::from(2);
    };
    let Some(seeds) = number(&args, "--seeds") else {
        let report = run(seed, &Plan::from_seed(seed));
        println!("{report}");
        println!("{:?}", report.faults);
        return if report.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    };
    let mut faults: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in seed..seed.saturating_add(seeds) {
        for plan in [Plan::from_seed(seed), Plan::fair(seed)] {
            let report = run(seed, &plan);
            if !report.violations.is_empty() {
                println!("{report}");
                return ExitCode::FAILURE;
            }
            for (what, count) in report.faults {
                *faults.entry(what).or_default() += count;
            }
        }
    }
    println!("{seeds} seeds, each twice (with faults, and fair): no violation; faults that happened: {faults:?}");
    ExitCode::SUCCESS
}
