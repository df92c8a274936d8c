//! The marks of the gate in memory: to the obvious form, and to itself when it is full.
//!
//! One hot item with plenty of units, every buyer new, ids as a shop makes them. Requests are made before the clock starts;
//! gates are dropped after it stopped.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use flashsale_core::id::ContentHash;
use flashsale_core::memory::MemoryStockGate;
use flashsale_core::sale::{Lines, SaleState, Window};
use flashsale_core::stock::{
    Door, Epoch, HoldNo, ItemLevel, Load, Nonce, Reservation, Reserve, Reserved, Standing, StockGate, Synced, Update,
    Version,
};
use flashsale_core::{BuyerId, Clock, ItemId, Key, OrderId, Quantity, SaleId, SystemClock};
use futures_util::FutureExt;

use crate::Failure;
use crate::runs::Figures;

const BATCH: usize = 64;
/// Requests of one run against an empty gate.
const REQUESTS: usize = 200_000;
/// Live holds of a gate that is nearly empty, and of one that is full.
const FEW: usize = 1_000;
const MANY: usize = 2_000_000;
/// Requests that are timed at a given number of live holds.
const TIMED: usize = 100 * ROUND;
/// How many of them are added before as many lapse.
const ROUND: usize = 640;

/// The one hot item.
pub(crate) const ITEM: &str = "sneaker-42";
const HOLD: Duration = Duration::from_secs(30);

/// Batches of 64 through the port, to the obvious gate called once per request.
pub(crate) fn memory(runs: usize) -> Result<Figures, Failure> {
    let requests = Requests::default().make(REQUESTS)?;
    let baseline = || {
        let gate = Obvious::new(SystemClock::shared());
        let begun = Instant::now();
        let held = requests.iter().filter(|request| gate.reserve(request).is_ok()).count();
        let speed = per_second(REQUESTS, begun.elapsed());
        if held == REQUESTS { Ok(speed) } else { Err(format!("{held} of {REQUESTS} held").into()) }
    };
    let ours = || {
        let gate = Gate::open()?;
        let begun = Instant::now();
        let held = gate.reserve(&requests);
        let speed = per_second(REQUESTS, begun.elapsed());
        if held == REQUESTS { Ok(speed) } else { Err(format!("{held} of {REQUESTS} held").into()) }
    };
    Figures::measure("requests", runs, baseline, ours)
}

/// The gate with two million live holds, to the gate with a thousand.
///
/// Both are measured in the same way: a round of requests is held, then, off the clock, as many of the oldest holds lapse. So
/// the number of live holds stays what it is, and both gates use memory again that they had. A speed is that of the median
/// round: a round lasts less than a tenth of a millisecond, and one that another process interrupts says nothing.
pub(crate) fn growth(runs: usize) -> Result<Figures, Failure> {
    let mut small = Crowd::of(FEW)?;
    let mut large = Crowd::of(MANY)?;
    Figures::measure("requests", runs, || small.speed(), || large.speed())
}

/// A gate with a number of live holds, and what more is asked of it.
struct Crowd {
    gate: Gate,
    requests: Requests,
    live: usize,
}

impl Crowd {
    fn of(live: usize) -> Result<Self, Failure> {
        let (gate, mut requests) = (Gate::open()?, Requests::default());
        for _ in 0..live / FEW {
            gate.reserve(&requests.make(FEW)?);
        }
        Ok(Self { gate, requests, live })
    }

    fn speed(&mut self) -> Result<f64, Failure> {
        let requests = self.requests.make(TIMED)?;
        let mut rounds = Vec::new();
        for round in requests.chunks(ROUND) {
            let begun = Instant::now();
            self.gate.reserve(round);
            rounds.push(begun.elapsed());
            self.gate.seal(round.len())?;
        }
        self.gate.expect_live(self.live)?;
        rounds.sort();
        Ok(per_second(ROUND, rounds[rounds.len() / 2]))
    }
}

/// So many in that time, as a speed.
#[expect(clippy::cast_precision_loss, reason = "a count of requests is far below 2^52")]
pub(crate) fn per_second(count: usize, spent: Duration) -> f64 {
    count as f64 / spent.as_secs_f64()
}

/// Makes requests, each of a buyer of his own, in no order of name.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    made: u64,
}

impl Requests {
    /// Makes so many that were not made before.
    pub(crate) fn make(&mut self, count: usize) -> Result<Vec<Reserve>, Failure> {
        let item = ItemId::new(ITEM)?;
        let mut requests = Vec::with_capacity(count);
        for _ in 0..count {
            // An odd factor modulo a power of two visits every number once.
            let n = self.made.wrapping_mul(0x9E37_79B1) % (1 << 32);
            self.made += 1;
            let id = OrderId::of(&BuyerId::new(&format!("buyer-{n:010}"))?, &Key::new(&format!("k-{n:010}"))?);
            let hash = ContentHash::over([id.as_str().as_bytes(), ITEM.as_bytes()]);
            let lines = Lines::one(&item, Quantity::MIN);
            requests.push(Reserve { id, hash, lines, standing: Standing::Public });
        }
        Ok(requests)
    }
}

/// Our gate, loaded and open.
struct Gate {
    gate: MemoryStockGate,
    sale: SaleId,
    version: Version,
    sealed: u64,
}

const NONCE: Nonce = Nonce(7);
const DOOR: Door = Door { state: SaleState::Open, window: Window::ALWAYS, hold: HOLD };

impl Gate {
    fn open() -> Result<Self, Failure> {
        let gate = MemoryStockGate::new(SystemClock::shared());
        let sale = SaleId::new("drop-1")?;
        let version = Version { v: 1, tag: 1 };
        let items =
            vec![ItemLevel { item: ItemId::new(ITEM)?, free: u32::MAX / 2, limit: Quantity::MIN, waiting: false }];
        done(gate.begin(&sale, NONCE))??;
        let load = Load { nonce: NONCE, epoch: Epoch(1), version, door: DOOR, items };
        match done(gate.load(&sale, &load))?? {
            Synced::Done => Ok(Self { gate, sale, version, sealed: 0 }),
            Synced::Refused => Err("the gate refuses to be loaded".into()),
        }
    }

    /// Reserves in batches and tells how many are held.
    fn reserve(&self, requests: &[Reserve]) -> usize {
        let mut held = 0;
        for batch in requests.chunks(BATCH) {
            if let Some(Ok(Reservation::Answers(answers))) = self.gate.reserve(&self.sale, batch).now_or_never() {
                held += answers.iter().filter(|answer| matches!(answer, Ok(Reserved::Held(_)))).count();
            }
        }
        held
    }

    /// Ends the oldest `count` holds.
    fn seal(&mut self, count: usize) -> Result<(), Failure> {
        self.sealed += count as u64;
        let to = Version { v: self.version.v + 1, tag: self.version.tag };
        let update = Update {
            nonce: Some(NONCE),
            from: self.version,
            to,
            sealed: HoldNo(self.sealed),
            door: DOOR,
            items: Vec::new(),
            orders: Vec::new(),
            bought: Vec::new(),
        };
        self.version = to;
        match done(self.gate.sync(&self.sale, &update))?? {
            Synced::Done => Ok(()),
            Synced::Refused => Err("the gate refuses an update".into()),
        }
    }

    fn expect_live(&self, holds: usize) -> Result<(), Failure> {
        let level = done(self.gate.level(&self.sale))??;
        if level.holds == holds as u64 { Ok(()) } else { Err(format!("{} live holds", level.holds).into()) }
    }
}

/// The gate in memory answers within one poll.
fn done<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    future.now_or_never().ok_or_else(|| "the gate did not answer at once".into())
}

/// The obvious gate: one lock, maps keyed by strings, deadlines in order; the same tests in the same order.
#[derive(Debug)]
struct Obvious {
    clock: Arc<dyn Clock>,
    tables: Mutex<Tables>,
}

#[derive(Debug)]
struct Tables {
    window: (i64, i64),
    hold_ms: i64,
    next: u64,
    items: HashMap<String, Level>,
    done: HashMap<String, (u64, String)>,
    holds: HashMap<String, Held>,
    deadlines: BTreeMap<(i64, u64), String>,
}

#[derive(Debug)]
struct Level {
    free: u32,
    held: u32,
    limit: u32,
    mine: HashMap<String, u32>,
    got: HashMap<String, u32>,
}

#[derive(Debug)]
struct Held {
    no: u64,
    deadline: i64,
    hash: u64,
    #[expect(dead_code, reason = "what a hold must keep, so that its units can be given back")]
    lines: Vec<(String, u32)>,
}

/// Why the obvious gate says no.
#[derive(Debug, PartialEq, Eq)]
enum No {
    Conflict,
    Window,
    UnknownItem,
    Limit,
    SoldOut,
}

impl Obvious {
    fn new(clock: Arc<dyn Clock>) -> Self {
        let level = Level { free: u32::MAX / 2, held: 0, limit: 1, mine: HashMap::new(), got: HashMap::new() };
        let tables = Tables {
            window: (0, i64::MAX),
            hold_ms: i64::try_from(HOLD.as_millis()).unwrap_or(i64::MAX),
            next: 1,
            items: HashMap::from([(ITEM.to_owned(), level)]),
            done: HashMap::new(),
            holds: HashMap::new(),
            deadlines: BTreeMap::new(),
        };
        Self { clock, tables: Mutex::new(tables) }
    }

    fn reserve(&self, request: &Reserve) -> Result<(u64, i64), No> {
        let now = self.clock.now().ms();
        let (id, buyer) = (request.id.as_str(), request.id.buyer_str());
        let mut tables = self.tables.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let tables = &mut *tables;
        if let Some((hash, _)) = tables.done.get(id) {
            return if *hash == request.hash.0 { Ok((0, 0)) } else { Err(No::Conflict) };
        }
        if let Some(held) = tables.holds.get(id) {
            return if held.hash == request.hash.0 { Ok((held.no, held.deadline)) } else { Err(No::Conflict) };
        }
        if now < tables.window.0 || now >= tables.window.1 {
            return Err(No::Window);
        }
        for line in request.lines.iter() {
            let level = tables.items.get(line.item.as_str()).ok_or(No::UnknownItem)?;
            let have = level.mine.get(buyer).copied().unwrap_or(0) + level.got.get(buyer).copied().unwrap_or(0);
            if have + line.units.units() > level.limit {
                return Err(No::Limit);
            }
        }
        for line in request.lines.iter() {
            let level = tables.items.get(line.item.as_str()).ok_or(No::UnknownItem)?;
            if level.held + line.units.units() > level.free {
                return Err(No::SoldOut);
            }
        }
        let (no, deadline) = (tables.next, now + tables.hold_ms);
        tables.next += 1;
        let mut lines = Vec::with_capacity(request.lines.len());
        for line in request.lines.iter() {
            let level = tables.items.get_mut(line.item.as_str()).ok_or(No::UnknownItem)?;
            level.held += line.units.units();
            *level.mine.entry(buyer.to_owned()).or_default() += line.units.units();
            lines.push((line.item.as_str().to_owned(), line.units.units()));
        }
        tables.deadlines.insert((deadline, no), id.to_owned());
        tables.holds.insert(id.to_owned(), Held { no, deadline, hash: request.hash.0, lines });
        Ok((no, deadline))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_gates_hold_the_same_and_refuse_the_same() {
        let requests = Requests::default().make(300).unwrap();
        let (ours, obvious) = (Gate::open().unwrap(), Obvious::new(SystemClock::shared()));
        assert_eq!(ours.reserve(&requests), 300);
        assert!(requests.iter().all(|request| obvious.reserve(request).is_ok()));
        // The same ids again are the same holds; another key of a buyer who has one is over the limit.
        assert_eq!(ours.reserve(&requests), 300);
        assert_eq!(obvious.reserve(&requests[0]).unwrap().0, 1);
        let again =
            Reserve { id: OrderId::of(&requests[0].id.buyer(), &Key::new("other").unwrap()), ..requests[0].clone() };
        assert_eq!(ours.reserve(std::slice::from_ref(&again)), 0);
        assert_eq!(obvious.reserve(&again), Err(No::Limit));
        let other = Reserve { hash: ContentHash(1), ..requests[0].clone() };
        assert_eq!(ours.reserve(std::slice::from_ref(&other)), 0);
        assert_eq!(obvious.reserve(&other), Err(No::Conflict));
    }

    #[test]
    fn sealing_keeps_the_number_of_live_holds() {
        let mut gate = Gate::open().unwrap();
        let mut requests = Requests::default();
        gate.reserve(&requests.make(100).unwrap());
        gate.reserve(&requests.make(64).unwrap());
        gate.seal(64).unwrap();
        gate.expect_live(100).unwrap();
    }
}
