//! Admit: turns that went by are cleared away, the next get theirs, and everybody is told how the line stands. Any number of servers may run
//! it: each step is one of the store's, and rate and capacity are kept there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future;
use tokio::sync::Notify;

use crate::engine::room::{WaitingRoom, asked};
use crate::engine::rooms::Rooms;
use crate::engine::stock::Stock;
use crate::engine::workers::{Board, Pass, Stop};
use crate::error::BackendError;
use crate::event::{Event, Fact};
use crate::id::{RoomId, SaleId};
use crate::queue::{Door, Horizon, Levels};
use crate::time::Timestamp;

/// How often a room with people in it is looked at, unless its next turn is due before.
const EVERY: Duration = Duration::from_millis(100);
/// How often one without is.
const IDLE_EVERY: Duration = Duration::from_millis(1_000);
/// No pass is sooner after the last: what is due by then goes together.
const SOONEST: Duration = Duration::from_millis(5);
/// How often turns that went by are looked for, and the stock.
const CLEAR_EVERY: Duration = Duration::from_millis(250);
/// Places looked at in one step of the store.
const LOOK_AT: usize = 1_000;
/// Steps one after the other while there is something to pass.
const STEPS_MAX: usize = 100;

/// Which rooms.
#[derive(Debug)]
enum Which {
    One(WaitingRoom),
    All(Rooms),
}

#[derive(Debug)]
pub(crate) struct Admit {
    which: Which,
    stock: Option<Stock>,
}

/// What the pass remembers of a room.
#[derive(Debug, Clone, Copy)]
struct Seen {
    /// When it is looked at next, unless somebody takes a place before.
    due: Timestamp,
    clear_at: Timestamp,
    told: Option<(u64, u64, Door)>,
}

impl Admit {
    pub(crate) fn of(room: WaitingRoom) -> Self {
        Self { which: Which::One(room), stock: None }
    }

    pub(crate) fn all(rooms: Rooms) -> Self {
        Self { which: Which::All(rooms), stock: None }
    }

    /// A room that has the name of a sale knows what is left of it.
    pub(crate) fn before(self, stock: Stock) -> Self {
        Self { stock: Some(stock), ..self }
    }

    fn rooms(&self) -> Vec<WaitingRoom> {
        match &self.which {
            Which::One(room) => vec![room.clone()],
            Which::All(rooms) => rooms.all(),
        }
    }

    fn came(&self) -> Arc<Notify> {
        match &self.which {
            Which::One(room) => room.0.came.clone(),
            Which::All(rooms) => rooms.came(),
        }
    }

    fn now(&self) -> Timestamp {
        match &self.which {
            Which::One(room) => room.now(),
            Which::All(rooms) => rooms.host().now(),
        }
    }

    /// One pass over a room: how many got a turn, and when to come again.
    async fn pass(&self, room: &WaitingRoom, seen: &mut Seen) -> Result<(u64, Duration), BackendError> {
        let opened = &room.0.store;
        let now = room.now();
        let mut moved = 0;
        if now >= seen.clear_at {
            seen.clear_at = now.after(CLEAR_EVERY);
            let expired = asked!(opened, expire(LOOK_AT));
            moved += u64::from(expired.lapsed);
            if let Some(stock) = &self.stock {
                room.stands_before(horizon(stock, &room.0.room).await?);
            }
        }
        let mut steps = 0;
        let (levels, next) = loop {
            let step = asked!(opened, admit(LOOK_AT));
            moved += u64::from(step.admitted);
            steps += 1;
            if step.next != Some(Duration::ZERO) || steps >= STEPS_MAX {
                break (step.levels, step.next);
            }
        };
        opened.saw(&levels);
        room.publish(&levels);
        let busy = levels.waiting > 0 || levels.turns > 0 || levels.door.is_open();
        let every = if busy { EVERY } else { IDLE_EVERY };
        // What failed to be told is told by the next pass.
        seen.told = tell(room, &levels, seen.told).await?;
        Ok((moved, next.map_or(every, |next| next.clamp(SOONEST, every))))
    }
}

/// What is left of the sale that has the room's name.
async fn horizon(stock: &Stock, room: &RoomId) -> Result<Option<Horizon>, BackendError> {
    let Ok(sale) = SaleId::new(room.as_str()) else { return Ok(None) };
    let Some(totals) = stock.totals(&sale).await? else { return Ok(None) };
    let held = stock
        .level(&sale)
        .await?
        .map_or_else(BTreeMap::new, |level| level.items.into_iter().map(|(item, _, held)| (item, held)).collect());
    let mut all = Horizon { left: 0, coming: 0, each: 0 };
    for item in &totals.items {
        let free = item.total.saturating_sub(item.allocated);
        let held = held.get(&item.item).copied().unwrap_or(0).min(free);
        all.left += u64::from(free - held);
        all.coming += u64::from(held);
        all.each += item.limit.units();
    }
    Ok(Some(all))
}

/// Tells that the room turned or changed since it was told last; what is told now.
///
/// The name of the event is made of the room's life and edition, so that several servers tell it once. What came and went between two passes is not told.
async fn tell(
    room: &WaitingRoom,
    levels: &Levels,
    told: Option<(u64, u64, Door)>,
) -> Result<Option<(u64, u64, Door)>, BackendError> {
    let state = (levels.generation.0, levels.edition, levels.door);
    let Some(outbox) = &room.0.outbox else { return Ok(Some(state)) };
    if told == Some(state) {
        return Ok(told);
    }
    let open = levels.door.is_open();
    let turned = told.is_none_or(|(generation, _, door)| generation != state.0 || door.is_open() != open);
    let fact = match levels.door {
        // A room that was never open has not closed.
        Door::Closed if told.is_none() && levels.edition == 1 => return Ok(Some(state)),
        Door::Closed if turned => Fact::RoomClosed {},
        Door::Open(why) if turned => Fact::RoomOpened { why: why.code().to_owned() },
        _ => {
            let terms = &levels.terms;
            Fact::RoomChanged {
                mode: terms.mode.code().to_owned(),
                admits: terms.pace.admits,
                per_ms: u64::try_from(terms.pace.per.as_millis()).unwrap_or(u64::MAX),
                capacity: terms.capacity,
            }
        }
    };
    let event = Event {
        subject: room.0.room.as_str().to_owned(),
        // A life begins at its millisecond: no life has as many editions as milliseconds.
        version: levels.generation.0 + levels.edition,
        sale: None,
        time: levels.now,
        trace: None,
        fact,
    };
    outbox.put(&[event]).await?;
    Ok(Some(state))
}

#[async_trait]
impl Pass for Admit {
    fn name(&self) -> String {
        "admit".to_owned()
    }

    async fn run(&self, stop: Stop, board: Board) {
        let mut seen: BTreeMap<RoomId, Seen> = BTreeMap::new();
        let came = self.came();
        while !stop.asked() {
            let now = self.now();
            let rooms = self.rooms();
            seen.retain(|id, _| rooms.iter().any(|room| room.id() == id));
            let (mut ran, mut wait) = (Ok(0), IDLE_EVERY);
            for room in rooms {
                let new = Seen { due: now, clear_at: Timestamp::from_ms(0), told: None };
                let seen = seen.entry(room.id().clone()).or_insert(new);
                let knocked = room.0.knocked.swap(false, Ordering::AcqRel);
                if knocked || now >= seen.due {
                    let next = match self.pass(&room, seen).await {
                        Ok((moved, next)) => {
                            ran = ran.map(|all: u64| all + moved);
                            next
                        }
                        // One room's trouble does not stop the others.
                        Err(error) => {
                            ran = Err(error.to_string());
                            EVERY
                        }
                    };
                    seen.due = now.after(next);
                }
                wait = wait.min(seen.due.since(now));
            }
            board.report(&self.name(), now, ran);
            if wait > EVERY {
                let rest = std::pin::pin!(stop.rest(wait));
                let came = std::pin::pin!(came.notified());
                future::select(rest, came).await;
            } else {
                // Who comes while the line moves waits for its next step.
                stop.rest(wait).await;
            }
        }
    }
}
