//! The waiting room of a run: its terms, its store as all nodes reach it, and what that store really did (**G10**).
//!
//! The notes are made beside the store, behind the wires: what a node lost or heard late does not matter here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use flashsale_core::memory::MemoryRoomStore;
use flashsale_core::queue::{
    Admitted, Enter, Entered, Entry, Expired, Generation, Levels, Number, Pace, Places, RoomChange, RoomStore, Terms,
};
use flashsale_core::{BackendError, BuyerId, RoomId, Timestamp};

/// How many may have a turn.
const CAPACITY: u32 = 2;
/// How fast they get one.
const PACE: Pace = Pace { admits: 2, per: Duration::from_secs(1) };

/// The room before the sale of a run: it opens early and lets few in, so that a handful of buyers is a rush.
pub(crate) fn terms() -> Terms {
    Terms {
        opens_above: 1,
        within: Duration::from_secs(5),
        closes_below: 1,
        pace: PACE,
        capacity: CAPACITY,
        turn: Duration::from_secs(5),
        absent_after: Duration::from_secs(6),
        remembers: Duration::from_secs(600),
        ..Terms::default()
    }
}

/// A store of rooms, and notes of every step that it did. A clone is the same one.
#[derive(Debug, Clone)]
pub struct WatchedRooms {
    store: MemoryRoomStore,
    notes: Arc<Mutex<Notes>>,
}

#[derive(Debug, Default)]
struct Notes {
    /// Of the store's life that goes on.
    life: Generation,
    /// Whose each number is, in all lives.
    numbers: BTreeMap<Number, BuyerId>,
    last: u64,
    /// When turns were given, latest last.
    grants: Vec<Timestamp>,
    wrong: Vec<String>,
}

impl Notes {
    /// Nobody ever gets a turn beyond capacity and rate, whichever second one looks at.
    fn saw(&mut self, levels: &Levels, admitted: u32) {
        if levels.generation != self.life {
            self.life = levels.generation;
            self.last = 0;
            self.grants.clear();
        }
        if levels.turns > CAPACITY {
            self.wrong.push(format!("G10: {} turns at once, {CAPACITY} may be", levels.turns));
        }
        self.grants.extend((0..admitted).map(|_| levels.now));
        let second = Timestamp::from_ms(levels.now.ms() - 999);
        let lately = self.grants.iter().rev().take_while(|at| **at >= second).count();
        if lately > PACE.most_in_a_second() as usize {
            self.wrong.push(format!("G10: {lately} let through within a second at {}", levels.now));
        }
    }

    /// A number is one member's, and numbers are given in order.
    fn placed(&mut self, enter: &Enter, entry: &Entry) {
        let (place, new) = match entry {
            Entry::New(place) => (place, true),
            Entry::Same(place) => (place, false),
            Entry::Through | Entry::Refused(_) => return,
        };
        let (number, member) = (place.number, &enter.member);
        let owner = self.numbers.entry(number).or_insert_with(|| member.clone());
        if owner != member {
            let wrong = format!("G10: number {number} of {} is {owner}'s and {member}'s", number.generation.0);
            self.wrong.push(wrong);
        }
        // A ticket's number was given before; any other new one is the next.
        let given = enter.ticket == Some(number);
        let in_line = new && !given && number.generation == self.life;
        if in_line && number.no <= self.last {
            self.wrong.push(format!("G10: {member} got number {number} after {}", self.last));
        }
        if number.generation == self.life {
            self.last = self.last.max(number.no);
        }
    }
}

impl WatchedRooms {
    pub(crate) fn new(store: MemoryRoomStore) -> Self {
        Self { store, notes: Arc::default() }
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was promised of rooms and not kept.
    #[must_use]
    pub fn wrong(&self) -> Vec<String> {
        self.notes().wrong.clone()
    }

    fn saw(&self, levels: Option<&Levels>, admitted: u32) {
        if let Some(levels) = levels {
            self.notes().saw(levels, admitted);
        }
    }
}

#[async_trait]
impl RoomStore for WatchedRooms {
    async fn open(&self, room: &RoomId, terms: &Terms) -> Result<Levels, BackendError> {
        let levels = self.store.open(room, terms).await?;
        self.saw(Some(&levels), 0);
        Ok(levels)
    }
    async fn change(&self, room: &RoomId, change: &RoomChange) -> Result<Option<Levels>, BackendError> {
        self.store.change(room, change).await
    }
    async fn enter(&self, room: &RoomId, batch: &[Enter]) -> Result<Option<Entered>, BackendError> {
        let entered = self.store.enter(room, batch).await?;
        if let Some(entered) = &entered {
            let mut notes = self.notes();
            notes.saw(&entered.levels, 0);
            for (enter, entry) in batch.iter().zip(&entered.answers) {
                notes.placed(enter, entry);
            }
        }
        Ok(entered)
    }
    async fn place(&self, room: &RoomId, members: &[BuyerId]) -> Result<Option<Places>, BackendError> {
        self.store.place(room, members).await
    }
    async fn admit(&self, room: &RoomId, most: usize) -> Result<Option<Admitted>, BackendError> {
        let admitted = self.store.admit(room, most).await?;
        self.saw(admitted.as_ref().map(|step| &step.levels), admitted.as_ref().map_or(0, |step| step.admitted));
        Ok(admitted)
    }
    async fn extend(&self, room: &RoomId, members: &[BuyerId]) -> Result<Option<Places>, BackendError> {
        self.store.extend(room, members).await
    }
    async fn finish(&self, room: &RoomId, members: &[BuyerId]) -> Result<Option<Places>, BackendError> {
        self.store.finish(room, members).await
    }
    async fn leave(&self, room: &RoomId, members: &[BuyerId]) -> Result<Option<Places>, BackendError> {
        self.store.leave(room, members).await
    }
    async fn expire(&self, room: &RoomId, most: usize) -> Result<Option<Expired>, BackendError> {
        self.store.expire(room, most).await
    }
    async fn levels(&self, room: &RoomId) -> Result<Option<Levels>, BackendError> {
        self.store.levels(room).await
    }
    async fn forget(&self, room: &RoomId) -> Result<(), BackendError> {
        self.store.forget(room).await
    }
}
