//! Records what many clients ask a real Redis at once, and checks it: `--operations N` of them (default 1,000,000), `--seed N`.
//!
//! The server is started for it, on loopback, and stopped after it. The testkit's example `history` does it in memory.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flashsale_redis::{RedisBackend, RedisConfig};
use flashsale_services::{Redis, RedisOptions};
use flashsale_testkit::history::{Plan, check, record};

type Failure = Box<dyn std::error::Error>;

fn number(flag: &str) -> Option<u64> {
    let mut args = std::env::args().skip_while(|arg| arg != flag);
    args.nth(1)?.parse().ok()
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Failure> {
    let server = Redis::try_start(RedisOptions::default())?;
    // A machine that is busy answers late; that is not what is checked.
    let config = RedisConfig::new(&server.url())?.response_timeout(Duration::from_secs(30))?;
    let gate = Arc::new(RedisBackend::with(config).await?.gate());
    let plan = Plan::of(number("--operations").unwrap_or(1_000_000));
    let begun = Instant::now();
    let history = record(gate, &plan, number("--seed").unwrap_or(1)).await?;
    println!("recorded in {:.1} s", begun.elapsed().as_secs_f64());
    let begun = Instant::now();
    println!("{}", check(&history)?);
    println!("checked in {:.1} s", begun.elapsed().as_secs_f64());
    Ok(())
}
