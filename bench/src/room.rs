//! The marks of the waiting room in memory: to the raw structure that it cannot do without, and to itself when it is full.
//!
//! Everybody is new, names are as a shop makes them. Requests are made before the clock starts.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use flashsale_core::memory::MemoryRoomStore;
use flashsale_core::queue::{Enter, Entry, RoomStore, Standing, Terms};
use flashsale_core::{BuyerId, RoomId, SystemClock, WaitingRoom};
use futures_util::{FutureExt, future};
use tokio::runtime::Runtime;

use crate::Failure;
use crate::gate::per_second;
use crate::runs::Figures;

const BATCH: usize = 64;
/// Members of one run against an empty room.
const MEMBERS: usize = 200_000;
/// Who waits in a room that is nearly empty, and in one that is full.
const FEW: usize = 1_000;
const MANY: usize = 1_000_000;
/// Questions of one run, and of one round: a speed is that of the median round.
const ASKED: usize = 64_000;
const ROUND: usize = 640;

/// Batches of 64 through the port, to a deque behind a mutex, called once per member.
pub(crate) fn memory(runs: usize) -> Result<Figures, Failure> {
    let batch = members(0, MEMBERS)?;
    let baseline = || {
        let line: Mutex<VecDeque<(u64, BuyerId)>> = Mutex::default();
        let begun = Instant::now();
        for enter in &batch {
            let mut line = line.lock().unwrap_or_else(PoisonError::into_inner);
            let number = line.len() as u64 + 1;
            line.push_back((number, enter.member.clone()));
        }
        let speed = per_second(MEMBERS, begun.elapsed());
        let waiting = line.into_inner().map_err(|_| "a poisoned lock")?.len();
        if waiting == MEMBERS { Ok(speed) } else { Err(format!("{waiting} of {MEMBERS} wait").into()) }
    };
    let ours = || {
        let room = Room::open()?;
        let begun = Instant::now();
        let placed = room.enter(&batch)?;
        let speed = per_second(MEMBERS, begun.elapsed());
        if placed == MEMBERS { Ok(speed) } else { Err(format!("{placed} of {MEMBERS} have places").into()) }
    };
    Figures::measure("members", runs, baseline, ours)
}

/// The places of members in no order, asked for as members do (64 at the same time, each with his ticket signed), at a million waiting, to the same
/// at a thousand. What the store alone takes is told as well: a look-up in a table that no cache holds, to one in a table that the nearest one does.
pub(crate) fn growth(runs: usize) -> Result<Figures, Failure> {
    let small = Crowd::of(FEW)?;
    let large = Crowd::of(MANY)?;
    println!("room-growth: {} bytes a waiter at {MANY} waiting", large.room.store.bytes(&large.room.id) / MANY);
    let (few, many) = (small.speed_of_store()?, large.speed_of_store()?);
    println!("room-growth: the store alone answers {many:.0} a second at {MANY} waiting, {few:.0} at {FEW}");
    Figures::measure("questions", runs, || small.speed(), || large.speed())
}

struct Crowd {
    room: Room,
    asked: WaitingRoom,
    runtime: Runtime,
    asks: Vec<BuyerId>,
}

impl Crowd {
    fn of(waiting: usize) -> Result<Self, Failure> {
        let room = Room::open()?;
        for from in (0..waiting).step_by(FEW) {
            room.enter(&members(from, FEW)?)?;
        }
        // An odd factor modulo the crowd visits members in no order.
        let who = (0..ASKED).map(|n| name(n.wrapping_mul(0x9E37_79B1) % waiting));
        let asks = who.collect::<Result<_, _>>()?;
        let asked = WaitingRoom::named(room.id.clone(), room.store.clone()).terms(terms()).build()?;
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        Ok(Self { room, asked, runtime, asks })
    }

    /// Asks the room.
    fn speed(&self) -> Result<f64, Failure> {
        self.rounds(|round| {
            let mut waiting = 0;
            for batch in round.chunks(BATCH) {
                let asks = batch.iter().map(|member| self.asked.place(member));
                for view in self.runtime.block_on(future::try_join_all(asks))? {
                    waiting +=
                        usize::from(view.is_some_and(|view| matches!(view.place.standing, Standing::Waiting { .. })));
                }
            }
            Ok(waiting)
        })
    }

    /// Asks its store.
    fn speed_of_store(&self) -> Result<f64, Failure> {
        self.rounds(|round| self.room.places(round))
    }

    fn rounds(&self, ask: impl Fn(&[BuyerId]) -> Result<usize, Failure>) -> Result<f64, Failure> {
        let mut rounds: Vec<Duration> = Vec::new();
        for round in self.asks.chunks(ROUND) {
            let begun = Instant::now();
            let waiting = ask(round)?;
            rounds.push(begun.elapsed());
            if waiting != ROUND {
                return Err(format!("{waiting} of {ROUND} wait").into());
            }
        }
        rounds.sort();
        Ok(per_second(ROUND, rounds[rounds.len() / 2]))
    }
}

fn name(n: usize) -> Result<BuyerId, Failure> {
    Ok(BuyerId::new(&format!("member-{:010}", (n as u64).wrapping_mul(0x9E37_79B1) % (1 << 32)))?)
}

fn members(from: usize, count: usize) -> Result<Vec<Enter>, Failure> {
    (from..from + count).map(|n| Ok(Enter { member: name(n)?, ticket: None })).collect()
}

/// Of a room that is open from the first arrival on.
fn terms() -> Terms {
    Terms { opens_above: 0, closes_below: 0, ..Terms::default() }
}

/// Such a room.
struct Room {
    store: Arc<MemoryRoomStore>,
    id: RoomId,
}

impl Room {
    fn open() -> Result<Self, Failure> {
        let store = Arc::new(MemoryRoomStore::new(SystemClock::shared()));
        let id = RoomId::new("drop-1")?;
        done(store.open(&id, &terms()))??;
        Ok(Self { store, id })
    }

    /// Enters in batches and tells how many have places.
    fn enter(&self, all: &[Enter]) -> Result<usize, Failure> {
        let mut placed = 0;
        for batch in all.chunks(BATCH) {
            let entered = done(self.store.enter(&self.id, batch))??.ok_or("no room")?;
            placed += entered.answers.iter().filter(|entry| matches!(entry, Entry::New(_))).count();
        }
        Ok(placed)
    }

    /// Asks in batches and tells how many wait.
    fn places(&self, all: &[BuyerId]) -> Result<usize, Failure> {
        let mut waiting = 0;
        for batch in all.chunks(BATCH) {
            let told = done(self.store.place(&self.id, batch))??.ok_or("no room")?;
            let waits = told.places.iter().flatten().filter(|place| matches!(place.standing, Standing::Waiting { .. }));
            waiting += waits.count();
        }
        Ok(waiting)
    }
}

/// The store in memory answers within one poll.
fn done<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    future.now_or_never().ok_or_else(|| "the store did not answer at once".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_a_place_of_his_own() {
        let room = Room::open().unwrap();
        assert_eq!(room.enter(&members(0, 500).unwrap()).unwrap(), 500);
        assert_eq!(room.enter(&members(0, 500).unwrap()).unwrap(), 0);
        let crowd = Crowd::of(FEW).unwrap();
        assert!(crowd.speed().unwrap() > 0.0 && crowd.speed_of_store().unwrap() > 0.0);
    }

    /// The bound of the design, by the capacity of what is kept and the length of the names.
    #[test]
    fn a_waiter_takes_less_than_a_hundred_and_fifty_bytes() {
        let crowd = Crowd::of(MANY).unwrap();
        let bytes = crowd.room.store.bytes(&crowd.room.id) / MANY;
        assert!(bytes < 150, "{bytes}");
    }
}
