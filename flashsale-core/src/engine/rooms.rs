//! `Rooms`: the waiting rooms of a shop, one before each sale that wants one.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::Notify;

use crate::engine::host::Host;
use crate::engine::pass;
use crate::engine::room::{WaitingRoom, misconfigured};
use crate::engine::workers::Workers;
use crate::error::{BackendError, Error};
use crate::event::Outbox;
use crate::id::RoomId;
use crate::queue::{Keyring, RoomRefusal, RoomStore, RoomTermsError, Terms};

/// The rooms of one store. A clone is the same ones.
#[derive(Clone)]
pub struct Rooms {
    host: Arc<dyn Host>,
    store: Arc<dyn RoomStore>,
    keys: Keyring,
    outbox: Option<Arc<dyn Outbox>>,
    known: Arc<RwLock<BTreeMap<RoomId, WaitingRoom>>>,
    came: Arc<Notify>,
}

impl fmt::Debug for Rooms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rooms").field("store", &self.store).field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl Rooms {
    /// Rooms in this store, whose tickets and admissions these keys sign: the same on every server.
    #[must_use]
    pub fn new(host: Arc<dyn Host>, store: Arc<dyn RoomStore>, keys: Keyring) -> Self {
        Self { host, store, keys, outbox: None, known: Arc::default(), came: Arc::default() }
    }

    /// Tells that rooms open, close and change through this outbox.
    #[must_use]
    pub fn telling(self, outbox: Arc<dyn Outbox>) -> Self {
        Self { outbox: Some(outbox), ..self }
    }

    /// Opens a room, or finds the one that is there: that keeps its terms. The room before a sale has the sale's name.
    ///
    /// # Errors
    /// [`RoomRefusal::Terms`] for terms out of bounds.
    pub async fn open(&self, room: &RoomId, terms: &Terms) -> Result<WaitingRoom, Error<RoomRefusal>> {
        terms.check().map_err(|bad| Error::Refused(RoomRefusal::Terms(bad)))?;
        let levels = self.store.open(room, terms).await?;
        Ok(self.take_in(room, &levels.terms).map_err(|bad| misconfigured(&bad))?)
    }

    /// The room of this name, without asking the store: the first who comes opens it with these terms, unless it is there and has its own.
    ///
    /// # Errors
    /// [`RoomRefusal::Terms`] for terms out of bounds.
    pub fn standing(&self, room: &RoomId, terms: &Terms) -> Result<WaitingRoom, RoomRefusal> {
        if let Some(known) = self.known(room) {
            return Ok(known);
        }
        terms.check()?;
        self.take_in(room, terms).map_err(RoomRefusal::Terms)
    }

    /// The room of this name, if this server or another one has opened it.
    ///
    /// # Errors
    /// [`BackendError`].
    pub async fn find(&self, room: &RoomId) -> Result<Option<WaitingRoom>, BackendError> {
        if let Some(known) = self.known(room) {
            return Ok(Some(known));
        }
        let Some(levels) = self.store.levels(room).await? else { return Ok(None) };
        self.take_in(room, &levels.terms).map(Some).map_err(|bad| misconfigured(&bad))
    }

    /// The room of this name, if this server knows it already.
    #[must_use]
    pub fn known(&self, room: &RoomId) -> Option<WaitingRoom> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(room).cloned()
    }

    /// Knows a room no longer: this server lets nobody through in it. Its people stay in the store.
    pub fn put_away(&self, room: &RoomId) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).remove(room);
    }

    /// All rooms that this server knows.
    #[must_use]
    pub fn all(&self) -> Vec<WaitingRoom> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Forgets a room and everybody in it.
    ///
    /// # Errors
    /// [`BackendError`].
    pub async fn forget(&self, room: &RoomId) -> Result<(), BackendError> {
        self.put_away(room);
        self.store.forget(room).await
    }

    /// The pass that rooms need: it lets people through, in all of them.
    #[must_use]
    pub fn workers(&self) -> Workers {
        Workers::new(self.host.clone()).with(self.pass())
    }

    pub(crate) fn pass(&self) -> pass::Admit {
        pass::Admit::all(self.clone())
    }

    pub(crate) fn host(&self) -> &Arc<dyn Host> {
        &self.host
    }

    pub(crate) fn came(&self) -> Arc<Notify> {
        self.came.clone()
    }

    fn take_in(&self, room: &RoomId, terms: &Terms) -> Result<WaitingRoom, RoomTermsError> {
        let mut builder = WaitingRoom::named(room.clone(), self.store.clone())
            .on(self.host.clone())
            .terms(terms.clone())
            .keys(self.keys.clone())
            .waking(self.came.clone());
        if let Some(outbox) = &self.outbox {
            builder = builder.telling(outbox.clone());
        }
        let built = builder.build()?;
        // Two requests may have built one each: the first stays, so that one queue serves the room.
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let room = known.entry(room.clone()).or_insert(built).clone();
        drop(known);
        self.came.notify_one();
        Ok(room)
    }
}
