//! Waiting rooms in memory: one lock per room, taken once per batch.
//!
//! Owns the lock and where a room's parts are; what a room does is in `hall.rs`, the places before the line in `early.rs`.

mod early;
mod hall;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use async_trait::async_trait;

use crate::error::{BackendError, ErrorKind};
use crate::id::{BuyerId, RoomId};
use crate::queue::{Admitted, Enter, Entered, Expired, Levels, Places, RoomChange, RoomStore, Terms};
use crate::time::Clock;
use hall::Hall;

/// A [`RoomStore`] of this process. It forgets with it. A clone is the same store.
#[derive(Debug, Clone)]
pub struct MemoryRoomStore {
    clock: Arc<dyn Clock>,
    rooms: Arc<RwLock<BTreeMap<RoomId, Arc<Mutex<Hall>>>>>,
}

/// All that a store knew at a moment: for tests of what happens when its last writes are lost.
#[derive(Debug)]
pub struct RoomSnapshot(BTreeMap<RoomId, Hall>);

fn lock(hall: &Mutex<Hall>) -> MutexGuard<'_, Hall> {
    hall.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MemoryRoomStore {
    /// An empty store with this clock.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, rooms: Arc::default() }
    }

    /// Loses everything at once, as a restart of a store's server does.
    pub fn forget_all(&self) {
        self.rooms.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// What the store knows now.
    #[must_use]
    pub fn snapshot(&self) -> RoomSnapshot {
        let rooms = self.rooms.read().unwrap_or_else(PoisonError::into_inner);
        RoomSnapshot(rooms.iter().map(|(room, hall)| (room.clone(), lock(hall).clone())).collect())
    }

    /// Loses everything since a snapshot, as a failover to a replica that lags does.
    pub fn lose_since(&self, snapshot: &RoomSnapshot) {
        let halls = snapshot.0.iter().map(|(room, hall)| (room.clone(), Arc::new(Mutex::new(hall.clone()))));
        *self.rooms.write().unwrap_or_else(PoisonError::into_inner) = halls.collect();
    }

    /// About how many bytes a room takes, names of members included: for the marks.
    #[must_use]
    pub fn bytes(&self, room: &RoomId) -> usize {
        self.hall(room).map_or(0, |hall| lock(&hall).bytes())
    }

    fn hall(&self, room: &RoomId) -> Option<Arc<Mutex<Hall>>> {
        self.rooms.read().unwrap_or_else(PoisonError::into_inner).get(room).cloned()
    }

    /// Runs `f` on a room, if there is one.
    fn with<T>(&self, room: &RoomId, f: impl FnOnce(&mut Hall) -> T) -> Option<T> {
        self.hall(room).map(|hall| f(&mut lock(&hall)))
    }
}

fn checked(operation: &'static str, terms: &Terms) -> Result<(), BackendError> {
    terms.check().map_err(|bad| BackendError::new(ErrorKind::Data, operation, bad))
}

#[async_trait]
impl RoomStore for MemoryRoomStore {
    async fn open(&self, room: &RoomId, terms: &Terms) -> Result<Levels, BackendError> {
        checked("room.open", terms)?;
        let now = self.clock.now();
        let mut rooms = self.rooms.write().unwrap_or_else(PoisonError::into_inner);
        let hall = rooms.entry(room.clone()).or_insert_with(|| Arc::new(Mutex::new(Hall::new(terms, now))));
        Ok(lock(hall).levels(now))
    }

    async fn change(&self, room: &RoomId, change: &RoomChange) -> Result<Option<Levels>, BackendError> {
        let Some(hall) = self.hall(room) else { return Ok(None) };
        let mut hall = lock(&hall);
        let terms = change.to(hall.terms());
        checked("room.change", &terms)?;
        let now = self.clock.now();
        hall.change(terms, now);
        Ok(Some(hall.levels(now)))
    }

    async fn enter(&self, room: &RoomId, batch: &[Enter]) -> Result<Option<Entered>, BackendError> {
        let now = self.clock.now();
        Ok(self.with(room, |hall| {
            let answers = hall.enter(batch, now);
            Entered { levels: hall.levels(now), answers }
        }))
    }

    async fn place(&self, room: &RoomId, members: &[BuyerId]) -> Result<Option<Places>, BackendError> {
        let now = self.clock.now();
        Ok(self.with(room, |hall| {
            let places = hall.ask(members, now, Hall::seen);
            Places { levels: hall.levels(now), places }
        }))
    }

    async fn admit(&self, room: &RoomId, most: usize) -> Result<Option<Admitted>, BackendError> {
        let now = self.clock.now();
        Ok(self.with(room, |hall| hall.admit(most, now)))
    }

    async fn extend(&self, room: &RoomId, members: &[BuyerId]) -> Result<Option<Places>, BackendError> {
        let now = self.clock.now();
        Ok(self.with(room, |hall| {
            let places = hall.ask(members, now, Hall::extend);
            Places { levels: hall.levels(now), places }
        }))
    }

    async fn finish(&self, room: &RoomId, members: &[BuyerId]) -> Result<Option<Places>, BackendError> {
        let now = self.clock.now();
        Ok(self.with(room, |hall| {
            let places = hall.ask(members, now, Hall::finish);
            Places { levels: hall.levels(now), places }
        }))
    }

    async fn leave(&self, room: &RoomId, members: &[BuyerId]) -> Result<Option<Places>, BackendError> {
        let now = self.clock.now();
        Ok(self.with(room, |hall| {
            let places = hall.ask(members, now, Hall::leave);
            Places { levels: hall.levels(now), places }
        }))
    }

    async fn expire(&self, room: &RoomId, most: usize) -> Result<Option<Expired>, BackendError> {
        let now = self.clock.now();
        Ok(self.with(room, |hall| hall.expire(most, now)))
    }

    async fn levels(&self, room: &RoomId) -> Result<Option<Levels>, BackendError> {
        let now = self.clock.now();
        Ok(self.with(room, |hall| hall.levels(now)))
    }

    async fn forget(&self, room: &RoomId) -> Result<(), BackendError> {
        self.rooms.write().unwrap_or_else(PoisonError::into_inner).remove(room);
        Ok(())
    }
}
