//! The mark of the waiting rooms on Redis: joining a line, to a structure without rules; and what a waiter costs.
//!
//! One real server that keeps nothing on disk, one connection for each side, batches of the same members, as many under way. Every member
//! is new. What one run left is forgotten before the next.

mod rival;

use std::cell::Cell;
use std::time::{Duration, Instant};

use flashsale_core::queue::{Enter, Entry, Pace, RoomStore, Terms};
use flashsale_core::{BuyerId, RoomId};
use flashsale_redis::{RedisBackend, RedisConfig, RedisRoomStore};
use flashsale_services::{Redis, RedisOptions};
use futures_util::stream::{self, StreamExt};
use tokio::runtime::Runtime;

use self::rival::Rival;
use crate::Failure;
use crate::gate::per_second;
use crate::runs::Figures;

/// Members of one run.
const MEMBERS: usize = 400 * BATCH;
const BATCH: usize = 256;
/// Batches that are under way at the same time.
const IN_FLIGHT: usize = 4;
/// How many wait when their memory is told.
const CROWDS: [usize; 2] = [100_000, 1_000_000];

/// To a counter and a sorted set.
pub(crate) fn enter(runs: usize) -> Result<Figures, Failure> {
    let bench = Bench::start()?;
    for crowd in CROWDS {
        println!("room-redis: {:.1} bytes a waiter at {crowd}, ids of 16 characters", bench.bytes_each(crowd)?);
    }
    let rival = bench.run(Rival::connect(&bench.redis.url()))?;
    Figures::measure("members", runs, || bench.speed_of_rival(&rival), || bench.speed_of_joining())
}

/// A server, a room store, and a runtime that asks it.
struct Bench {
    runtime: Runtime,
    redis: Redis,
    rooms: RedisRoomStore,
    room: RoomId,
    made: Cell<u64>,
}

impl Bench {
    fn start() -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let redis = Redis::try_start(RedisOptions::default())?;
        let config = RedisConfig::new(&redis.url())?.response_timeout(Duration::from_secs(30))?;
        let rooms = runtime.block_on(RedisBackend::with(config))?.rooms();
        Ok(Self { runtime, redis, rooms, room: RoomId::new("drop-1")?, made: Cell::default() })
    }

    fn run<T>(&self, future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        self.runtime.block_on(future)
    }

    /// Members that were not made before, in batches, as a shop makes ids.
    fn batches(&self, count: usize) -> Result<Vec<Vec<Enter>>, Failure> {
        let mut batches = Vec::with_capacity(count.div_ceil(BATCH));
        let mut left = count;
        while left > 0 {
            let size = left.min(BATCH);
            left -= size;
            let batch = (0..size).map(|_| {
                // An odd factor modulo a power of two visits every number once.
                let n = self.made.replace(self.made.get() + 1).wrapping_mul(0x9E37_79B1) % (1 << 32);
                Ok(Enter { member: BuyerId::new(&format!("buyer-{n:010}"))?, ticket: None })
            });
            batches.push(batch.collect::<Result<_, Failure>>()?);
        }
        Ok(batches)
    }

    /// Begins an empty room that is open from the first arrival on, on an empty server.
    fn begin(&self) -> Result<(), Failure> {
        self.redis.ask(&["FLUSHALL", "SYNC"])?;
        let pace = Pace { admits: 600, per: Duration::from_secs(60) };
        let terms = Terms { opens_above: 0, closes_below: 0, pace, ..Terms::default() };
        self.run(async { Ok(self.rooms.open(&self.room, &terms).await.map(|_| ())?) })
    }

    /// How many of these members have a new place.
    fn join(&self, batches: &[Vec<Enter>]) -> Result<usize, Failure> {
        self.run(in_flight(batches, async |batch: &Vec<Enter>| {
            let entered = self.rooms.enter(&self.room, batch).await?.ok_or("there is no room")?;
            Ok(entered.answers.iter().filter(|entry| matches!(entry, Entry::New(_))).count())
        }))
    }

    fn speed_of_joining(&self) -> Result<f64, Failure> {
        self.begin()?;
        timed(&self.batches(MEMBERS)?, |batches| self.join(batches))
    }

    fn speed_of_rival(&self, rival: &Rival) -> Result<f64, Failure> {
        self.redis.ask(&["FLUSHALL", "SYNC"])?;
        timed(&self.batches(MEMBERS)?, |batches| {
            self.run(in_flight(batches, async |batch: &Vec<Enter>| rival.join(batch).await))
        })
    }

    /// What each of so many waiters takes of the server's memory.
    fn bytes_each(&self, crowd: usize) -> Result<f64, Failure> {
        self.begin()?;
        let before = self.used_memory()?;
        self.join(&self.batches(crowd)?)?;
        Ok((self.used_memory()? - before) / crowd as f64)
    }

    fn used_memory(&self) -> Result<f64, Failure> {
        let info = self.redis.ask(&["INFO", "memory"])?.text();
        let bytes = info.lines().find_map(|line| line.trim().strip_prefix("used_memory:"));
        Ok(bytes.ok_or("the server does not tell its memory")?.parse()?)
    }
}

/// Asks for each batch, [`IN_FLIGHT`] under way at the same time, and adds up what they count.
async fn in_flight<'a>(
    batches: &'a [Vec<Enter>],
    ask: impl AsyncFn(&'a Vec<Enter>) -> Result<usize, Failure>,
) -> Result<usize, Failure> {
    let mut answers = stream::iter(batches).map(|batch| ask(batch)).buffer_unordered(IN_FLIGHT);
    let mut sum = 0;
    while let Some(met) = answers.next().await {
        sum += met?;
    }
    Ok(sum)
}

/// How many a second, if all of them have a place.
fn timed(batches: &[Vec<Enter>], join: impl FnOnce(&[Vec<Enter>]) -> Result<usize, Failure>) -> Result<f64, Failure> {
    let count = batches.iter().map(Vec::len).sum();
    let begun = Instant::now();
    let joined = join(batches)?;
    let speed = per_second(count, begun.elapsed());
    if joined == count { Ok(speed) } else { Err(format!("{joined} of {count} have a place").into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compared_keeps_who_came_in_which_order() {
        let bench = Bench::start().unwrap();
        let rival = bench.run(Rival::connect(&bench.redis.url())).unwrap();
        assert!(bench.speed_of_rival(&rival).unwrap() > 0.0);
        let kept = |words: &[&str]| bench.redis.ask(words).unwrap().text();
        assert_eq!(kept(&["ZCARD", "line"]), MEMBERS.to_string());
        assert_eq!(kept(&["GET", "issued"]), MEMBERS.to_string());
        assert!(bench.speed_of_joining().unwrap() > 0.0);
        assert!(bench.bytes_each(10 * BATCH).unwrap() < 150.0);
    }
}
