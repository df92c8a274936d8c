//! The marks of the gate on Redis: to a counter, to the plain form, and to itself when it is full.
//!
//! One real server that keeps nothing on disk, one connection. One hot item with plenty of units, every buyer new, ids as a
//! shop makes them. Requests are made before the clock starts; what one run left is forgotten before the next.

mod bed;
mod rival;

use std::cell::RefCell;
use std::time::Instant;

use flashsale_services::{Redis, RedisOptions};
use tokio::runtime::Runtime;

use self::bed::{Batches, Sale, cut};
use self::rival::Rival;
use crate::Failure;
use crate::gate::{Requests, per_second};
use crate::runs::Figures;

/// Requests of one run.
const REQUESTS: usize = 400 * BATCH;
/// Requests of one run of the plain form, which is slower.
const REQUESTS_PLAIN: usize = 80 * BATCH;
const BATCH: usize = 256;
const PLENTY: u32 = u32::MAX / 2;

/// Live orders of a gate that is nearly empty, and of one that is full: half of them held, half of them decided.
const FEW: usize = 1_024;
const MANY: usize = 1_024 * 1_000;
/// What is added before as many lapse, and how often within a run.
const ROUND: usize = 40 * BATCH;
const ROUNDS: usize = 9;

const BARE: &str = include_str!("../../lua/bare.lua");
const FULL: &str = include_str!("../../lua/full.lua");

/// To the counter.
pub(crate) fn reserve(runs: usize) -> Result<Figures, Failure> {
    let bench = Bench::start()?;
    let bare = bench.bare()?;
    Figures::measure("requests", runs, || bench.speed_of_bare(&bare, PLENTY), || bench.speed_of_reserving(PLENTY))
}

/// To the plain form.
pub(crate) fn reserve_unbatched(runs: usize) -> Result<Figures, Failure> {
    let bench = Bench::start()?;
    let full = bench.run(Rival::connect(&bench.url, FULL))?;
    Figures::measure("requests", runs, || bench.speed_of_full(&full), || bench.speed_of_reserving(PLENTY))
}

/// A sold out item, to a counter at zero.
pub(crate) fn refuse(runs: usize) -> Result<Figures, Failure> {
    let bench = Bench::start()?;
    let bare = bench.bare()?;
    Figures::measure("requests", runs, || bench.speed_of_bare(&bare, 0), || bench.speed_of_reserving(0))
}

/// Holds that become orders, to the counter.
pub(crate) fn sync(runs: usize) -> Result<Figures, Failure> {
    let bench = Bench::start()?;
    let bare = bench.bare()?;
    Figures::measure("orders", runs, || bench.speed_of_bare(&bare, PLENTY), || bench.speed_of_settling())
}

/// A gate with a million live orders, to one with a thousand; each on a server of its own.
///
/// As many of the oldest holds lapse after each round, off the clock, so that the number of live orders stays what it is. A
/// speed is that of the median round.
pub(crate) fn growth(runs: usize) -> Result<Figures, Failure> {
    let (few, many) = (Bench::start()?, Bench::start()?);
    let mut small = Crowd::of(&few, FEW)?;
    let mut large = Crowd::of(&many, MANY)?;
    Figures::measure("requests", runs, || small.speed(), || large.speed())
}

/// A server, and a runtime that asks it.
struct Bench {
    runtime: Runtime,
    redis: Redis,
    url: String,
    requests: RefCell<Requests>,
}

impl Bench {
    fn start() -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let redis = Redis::try_start(RedisOptions::default())?;
        let url = redis.url();
        Ok(Self { runtime, redis, url, requests: RefCell::default() })
    }

    fn run<T>(&self, future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        self.runtime.block_on(future)
    }

    fn forget(&self) -> Result<(), Failure> {
        self.redis.ask(&["FLUSHALL", "SYNC"])?;
        Ok(())
    }

    fn batches(&self, count: usize) -> Result<Batches, Failure> {
        Ok(cut(&self.requests.borrow_mut().make(count)?, BATCH))
    }

    fn bare(&self) -> Result<Rival, Failure> {
        self.run(Rival::connect(&self.url, BARE))
    }

    /// The counter beside `units`: each call is answered with what is left, or all are refused.
    fn speed_of_bare(&self, bare: &Rival, units: u32) -> Result<f64, Failure> {
        self.forget()?;
        self.redis.ask(&["SET", "left", &units.to_string()])?;
        let call = |_: usize, command: &mut redis::Cmd| {
            command.arg(1).arg("left").arg(1);
        };
        let expected: fn(&i64) -> bool = if units > 0 { |left| *left >= 0 } else { |left| *left == -1 };
        timed(REQUESTS, || self.run(bare.call(REQUESTS, call, expected)))
    }

    fn speed_of_full(&self, full: &Rival) -> Result<f64, Failure> {
        self.forget()?;
        self.redis.ask(&["HSET", "item", "free", &PLENTY.to_string(), "held", "0", "limit", "1"])?;
        let requests = self.requests.borrow_mut().make(REQUESTS_PLAIN)?;
        let call = move |n: usize, command: &mut redis::Cmd| {
            command.arg(5).arg(&["item", "order", "buyer", "deadline", "number"]);
            let request = &requests[n];
            command.arg(request.id.as_str()).arg(request.id.buyer_str()).arg(1).arg(request.hash.0).arg(600_000);
        };
        timed(REQUESTS_PLAIN, || self.run(full.call(REQUESTS_PLAIN, call, |(told, _): &(String, i64)| told == "held")))
    }

    /// A sale with so many units: all requests are held, or all are refused.
    fn speed_of_reserving(&self, units: u32) -> Result<f64, Failure> {
        self.forget()?;
        let sale = self.run(Sale::open(&self.url, "drop-1", units))?;
        let batches = self.batches(REQUESTS)?;
        let wanted = if units > 0 { REQUESTS } else { 0 };
        timed(REQUESTS, || match self.run(sale.reserve(&batches))? {
            held if held == wanted => Ok(REQUESTS),
            held => Err(format!("{held} of {REQUESTS} held, not {wanted}").into()),
        })
    }

    fn speed_of_settling(&self) -> Result<f64, Failure> {
        self.forget()?;
        let mut sale = self.run(Sale::open(&self.url, "drop-1", PLENTY))?;
        let batches = self.batches(REQUESTS)?;
        self.run(sale.reserve(&batches))?;
        let updates = sale.accepted(&batches)?;
        let speed = timed(REQUESTS, || self.run(sale.sync(&updates)).map(|()| REQUESTS))?;
        self.run(sale.expect_live(0))?;
        Ok(speed)
    }
}

/// How many a second, if all of them did what was expected.
fn timed(count: usize, work: impl FnOnce() -> Result<usize, Failure>) -> Result<f64, Failure> {
    let begun = Instant::now();
    let met = work()?;
    let speed = per_second(count, begun.elapsed());
    if met == count { Ok(speed) } else { Err(format!("{met} of {count} answers are as expected").into()) }
}

/// A sale with a number of live orders, and what more is asked of it.
struct Crowd<'a> {
    bench: &'a Bench,
    sale: Sale,
    held: usize,
}

impl<'a> Crowd<'a> {
    fn of(bench: &'a Bench, live: usize) -> Result<Self, Failure> {
        let mut sale = bench.run(Sale::open(&bench.url, "drop-1", PLENTY))?;
        let held = live / 2;
        for half in ["decided", "held"] {
            let batches = bench.batches(held)?;
            bench.run(sale.reserve(&batches))?;
            if half == "decided" {
                let updates = sale.accepted(&batches)?;
                bench.run(sale.sync(&updates))?;
                let seal = sale.lapsed(held as u64)?;
                bench.run(sale.sync(&[seal]))?;
            }
        }
        bench.run(sale.expect_live(held as u64))?;
        Ok(Self { bench, sale, held })
    }

    fn speed(&mut self) -> Result<f64, Failure> {
        let mut rounds = Vec::with_capacity(ROUNDS);
        for _ in 0..ROUNDS {
            let batches = self.bench.batches(ROUND)?;
            rounds.push(timed(ROUND, || self.bench.run(self.sale.reserve(&batches)))?);
            for batch in batches.iter() {
                let seal = self.sale.lapsed(batch.len() as u64)?;
                self.bench.run(self.sale.sync(&[seal]))?;
            }
            self.bench.run(self.sale.expect_live(self.held as u64))?;
        }
        rounds.sort_by(f64::total_cmp);
        Ok(rounds[rounds.len() / 2])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compared_does_what_it_is_compared_for() {
        let bench = Bench::start().unwrap();
        let bare = bench.bare().unwrap();
        assert!(bench.speed_of_bare(&bare, PLENTY).unwrap() > 0.0);
        assert!(bench.speed_of_bare(&bare, 0).unwrap() > 0.0);
        let full = bench.run(Rival::connect(&bench.url, FULL)).unwrap();
        assert!(bench.speed_of_full(&full).unwrap() > 0.0);
        let kept = |words: &[&str]| bench.redis.ask(words).unwrap().text();
        assert_eq!(kept(&["HGET", "item", "held"]), REQUESTS_PLAIN.to_string());
        assert_eq!(kept(&["ZCARD", "deadline"]), kept(&["HLEN", "order"]));
        assert!(bench.speed_of_settling().unwrap() > 0.0);
    }
}
