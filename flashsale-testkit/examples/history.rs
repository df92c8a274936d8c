//! Records what many clients ask the memory gate at once, and checks it: `--operations N` of them (default 1,000,000), `--seed N`.

use std::process::ExitCode;
use std::sync::Arc;

use flashsale_core::memory::MemoryStockGate;
use flashsale_testkit::history::{Plan, TickingClock, check, record};

fn number(flag: &str) -> Option<u64> {
    let mut args = std::env::args().skip_while(|arg| arg != flag);
    args.nth(1)?.parse().ok()
}

#[tokio::main]
async fn main() -> ExitCode {
    let plan = Plan::of(number("--operations").unwrap_or(1_000_000));
    let gate = Arc::new(MemoryStockGate::new(Arc::new(TickingClock::every(8))));
    let history = match record(gate, &plan, number("--seed").unwrap_or(1)).await {
        Ok(history) => history,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    match check(&history) {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(violation) => {
            eprintln!("{violation}");
            ExitCode::FAILURE
        }
    }
}
