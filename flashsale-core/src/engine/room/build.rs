//! How a room is described: the terms one by one, each with its default.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::WaitingRoom;
use crate::engine::host::{Host, TokioHost};
use crate::event::Outbox;
use crate::id::RoomId;
use crate::queue::{Keyring, Pace, RoomStore, RoomTermsError, Schedule, Terms};

/// Describes a room.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use flashsale_core::memory::MemoryRoomStore;
/// use flashsale_core::{RoomId, SystemClock, WaitingRoom};
/// let store = Arc::new(MemoryRoomStore::new(SystemClock::shared()));
/// let room = WaitingRoom::named(RoomId::new("checkout")?, store)
///     .opens_above(500, Duration::from_secs(10))
///     .closes_below(200)
///     .admits(50, Duration::from_secs(1))
///     .at_most(400)
///     .turn_lasts(Duration::from_secs(180))
///     .build()?;
/// assert_eq!(room.id().as_str(), "checkout");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct RoomBuilder {
    pub(super) room: RoomId,
    pub(super) store: Arc<dyn RoomStore>,
    pub(super) host: Arc<dyn Host>,
    pub(super) terms: Terms,
    pub(super) outbox: Option<Arc<dyn Outbox>>,
    pub(super) came: Arc<Notify>,
    pub(super) batch_max: usize,
    pub(super) queue_max: usize,
    keys: Option<Keyring>,
}

impl RoomBuilder {
    pub(super) fn new(room: RoomId, store: Arc<dyn RoomStore>) -> Self {
        Self {
            room,
            store,
            host: TokioHost::shared(),
            terms: Terms::default(),
            outbox: None,
            came: Arc::default(),
            // As the sale's lanes: larger batches gain little, a longer queue is a wait that nobody has.
            batch_max: 256,
            queue_max: 65_536,
            keys: None,
        }
    }

    /// Opens it by itself above so many arrivals within a time.
    #[must_use]
    pub fn opens_above(mut self, arrivals: u32, within: Duration) -> Self {
        self.terms.opens_above = arrivals;
        self.terms.within = within;
        self.terms.closes_below = self.terms.closes_below.min(arrivals);
        self
    }

    /// Closes it below so many arrivals within the same time, once nobody waits.
    #[must_use]
    pub fn closes_below(mut self, arrivals: u32) -> Self {
        self.terms.closes_below = arrivals;
        self
    }

    /// Lets so many through per so long.
    #[must_use]
    pub fn admits(mut self, admits: u32, per: Duration) -> Self {
        self.terms.pace = Pace { admits, per };
        self
    }

    /// Never has more turns at once.
    #[must_use]
    pub fn at_most(mut self, turns: u32) -> Self {
        self.terms.capacity = turns;
        self
    }

    /// How long a turn lasts.
    #[must_use]
    pub fn turn_lasts(mut self, turn: Duration) -> Self {
        self.terms.turn = turn;
        self
    }

    /// Before what it stands, and when that begins and ends.
    #[must_use]
    pub fn scheduled(mut self, schedule: Schedule) -> Self {
        self.terms.schedule = Some(schedule);
        self
    }

    /// All terms at once.
    #[must_use]
    pub fn terms(self, terms: Terms) -> Self {
        Self { terms, ..self }
    }

    /// The keys that sign tickets and admissions: the same on every server. Without them a room signs with a key of its own, which is right for one
    /// process, and its tickets do not survive it.
    #[must_use]
    pub fn keys(self, keys: Keyring) -> Self {
        Self { keys: Some(keys), ..self }
    }

    /// Tells that the room opens, closes and changes through this outbox.
    #[must_use]
    pub fn telling(self, outbox: Arc<dyn Outbox>) -> Self {
        Self { outbox: Some(outbox), ..self }
    }

    /// Runs on another host than tokio with the machine's clock.
    #[must_use]
    pub fn on(self, host: Arc<dyn Host>) -> Self {
        Self { host, ..self }
    }

    /// Wakes the pass of many rooms.
    pub(crate) fn waking(self, came: Arc<Notify>) -> Self {
        Self { came, ..self }
    }

    /// The room. The store is first asked when somebody comes.
    ///
    /// # Errors
    /// The first of the terms that is out of its bounds.
    pub fn build(mut self) -> Result<WaitingRoom, RoomTermsError> {
        self.terms.check()?;
        let host = self.host.clone();
        let keys = self.keys.take().unwrap_or_else(|| Keyring::of_random(std::array::from_fn(|_| host.random())));
        Ok(WaitingRoom::new(self, keys))
    }
}
