//! Room stores with a bug.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flashsale_core::error::BackendError;
use flashsale_core::memory::MemoryRoomStore;
use flashsale_core::queue::{
    Admitted, Enter, Entered, Entry, Expired, Levels, Pace, Places, RoomChange, RoomStore, Standing, Terms,
};
use flashsale_core::{BuyerId, ManualClock, RoomId};

use crate::{Fixture, fixture};

/// What is wrong with a room store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoomBug {
    /// Nothing.
    Nothing,
    /// Who joins again while he waits is moved to the end.
    RejoinMovesToEnd,
    /// Capacity is kept, the rate is not.
    RateIgnored,
    /// The rate is kept, capacity is not.
    CapacityIgnored,
    /// Absentees get turns, which nobody uses.
    AbsenceIgnored,
    /// Who was away when his turn came begins at the end.
    AbsenceCostsTheNumber,
    /// Who left gets a turn.
    LeaversGetTurns,
    /// Arrivals are counted for ever.
    WindowNeverSlides,
    /// Arrivals are counted from edge to edge, and much too short.
    WindowTooShort,
    /// It closes as soon as it would not open.
    NoHysteresis,
    /// A turn that is finished keeps its capacity.
    FinishFreesNothing,
    /// A turn that went by keeps its capacity.
    TurnsNeverLapse,
    /// Tickets are not looked at.
    TicketIgnored,
    /// A turn can be made longer again and again.
    ExtensionsUncounted,
}

/// A memory store with a bug.
#[derive(Debug)]
pub struct PlantedRoomStore {
    inner: MemoryRoomStore,
    bug: RoomBug,
}

impl PlantedRoomStore {
    fn terms(&self, terms: &Terms) -> Terms {
        let mut terms = terms.clone();
        match self.bug {
            RoomBug::RateIgnored => terms.pace = Pace { admits: 1_000_000, per: Duration::from_secs(1) },
            RoomBug::CapacityIgnored => terms.capacity = 1_000_000,
            RoomBug::AbsenceIgnored => terms.absent_after = Duration::from_secs(86_400),
            RoomBug::WindowNeverSlides => terms.within = Duration::from_secs(3_600),
            RoomBug::WindowTooShort => terms.within /= 5,
            RoomBug::NoHysteresis => terms.closes_below = terms.opens_above,
            RoomBug::ExtensionsUncounted => terms.extensions = 10,
            _ => {}
        }
        terms
    }
}

#[async_trait]
impl RoomStore for PlantedRoomStore {
    async fn open(&self, room: &RoomId, terms: &Terms) -> Result<Levels, BackendError> {
        self.inner.open(room, &self.terms(terms)).await
    }

    async fn change(&self, room: &RoomId, change: &RoomChange) -> Result<Option<Levels>, BackendError> {
        let mut change = change.clone();
        match self.bug {
            RoomBug::RateIgnored => change.pace = None,
            RoomBug::CapacityIgnored => change.capacity = None,
            _ => {}
        }
        self.inner.change(room, &change).await
    }

    async fn enter(&self, room: &RoomId, batch: &[Enter]) -> Result<Option<Entered>, BackendError> {
        let mut batch = batch.to_vec();
        match self.bug {
            RoomBug::TicketIgnored => batch.iter_mut().for_each(|enter| enter.ticket = None),
            RoomBug::RejoinMovesToEnd | RoomBug::AbsenceCostsTheNumber => {
                let Some(entered) = self.inner.enter(room, &batch).await? else { return Ok(None) };
                let moves = |entry: &Entry| match (self.bug, entry) {
                    (RoomBug::RejoinMovesToEnd, Entry::Same(place)) => {
                        matches!(place.standing, Standing::Waiting { .. })
                    }
                    (_, Entry::Same(place)) => matches!(place.standing, Standing::Absent { .. }),
                    _ => false,
                };
                if !entered.answers.iter().any(moves) {
                    return Ok(Some(entered));
                }
                for (enter, entry) in batch.iter().zip(&entered.answers) {
                    if moves(entry) {
                        self.inner.leave(room, std::slice::from_ref(&enter.member)).await?;
                    }
                }
            }
            _ => {}
        }
        self.inner.enter(room, &batch).await
    }

    async fn place(&self, room: &RoomId, members: &[BuyerId]) -> Result<Option<Places>, BackendError> {
        let places = self.inner.place(room, members).await?;
        let absent = |place: &Option<flashsale_core::queue::Place>| {
            place.is_some_and(|place| matches!(place.standing, Standing::Absent { .. }))
        };
        match places {
            Some(told) if self.bug == RoomBug::AbsenceCostsTheNumber && told.places.iter().any(absent) => {
                for (member, place) in members.iter().zip(&told.places) {
                    if absent(place) {
                        self.inner.leave(room, std::slice::from_ref(member)).await?;
                        self.inner.enter(room, &[Enter { member: member.clone(), ticket: None }]).await?;
                    }
                }
                self.inner.place(room, members).await
            }
            places => Ok(places),
        }
    }

    async fn admit(&self, room: &RoomId, most: usize) -> Result<Option<Admitted>, BackendError> {
        self.inner.admit(room, most).await
    }

    async fn extend(&self, room: &RoomId, members: &[BuyerId]) -> Result<Option<Places>, BackendError> {
        self.inner.extend(room, members).await
    }

    async fn finish(&self, room: &RoomId, members: &[BuyerId]) -> Result<Option<Places>, BackendError> {
        match self.bug {
            RoomBug::FinishFreesNothing => self.inner.place(room, members).await,
            _ => self.inner.finish(room, members).await,
        }
    }

    async fn leave(&self, room: &RoomId, members: &[BuyerId]) -> Result<Option<Places>, BackendError> {
        match self.bug {
            RoomBug::LeaversGetTurns => self.inner.place(room, members).await,
            _ => self.inner.leave(room, members).await,
        }
    }

    async fn expire(&self, room: &RoomId, most: usize) -> Result<Option<Expired>, BackendError> {
        match self.bug {
            RoomBug::TurnsNeverLapse => self.inner.expire(room, 0).await,
            _ => self.inner.expire(room, most).await,
        }
    }

    async fn levels(&self, room: &RoomId) -> Result<Option<Levels>, BackendError> {
        self.inner.levels(room).await
    }

    async fn forget(&self, room: &RoomId) -> Result<(), BackendError> {
        self.inner.forget(room).await
    }
}

/// Makes stores with a bug.
#[derive(Debug)]
pub struct PlantedRooms {
    clock: Arc<ManualClock>,
    bug: RoomBug,
}

impl PlantedRooms {
    /// Stores with this bug.
    #[must_use]
    pub fn with(bug: RoomBug) -> Self {
        Self { clock: fixture::clock(), bug }
    }

    /// Their clock.
    #[must_use]
    pub fn clock(&self) -> Arc<ManualClock> {
        self.clock.clone()
    }
}

#[async_trait]
impl Fixture for PlantedRooms {
    type Port = PlantedRoomStore;

    async fn fresh(&self) -> PlantedRoomStore {
        PlantedRoomStore { inner: MemoryRoomStore::new(self.clock.clone()), bug: self.bug }
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }
}
