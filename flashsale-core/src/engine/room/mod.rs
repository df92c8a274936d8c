//! `WaitingRoom`: a room before what cannot stand a rush, alone or as part of the full system.
//!
//! Owns the batches, the signed values and what is told of a place. The rules are [`queue`](crate::queue)'s, the state is the store's; who
//! lets people through is a pass.

mod build;
mod tick;
mod used;
mod view;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, watch};

pub use build::RoomBuilder;
pub use tick::Tick;
pub use view::{Admission, Entrance, PlaceView};

use crate::engine::batch::Calls;
use crate::engine::host::Host;
use crate::engine::pass;
use crate::engine::workers::Workers;
use crate::error::{BackendError, Error, ErrorKind};
use crate::event::Outbox;
use crate::id::{BuyerId, RoomId};
use crate::queue::{
    Claim, Ended, Enter, EnterRefusal, Entry, Horizon, Keyring, Kind, Levels, Number, Place, Places, RoomChange,
    RoomRefusal, RoomStore, Standing, Terms, TokenRefusal, TurnRefusal,
};
use crate::time::Timestamp;
use used::Used;

/// A waiting room. A clone is the same one.
#[derive(Clone)]
pub struct WaitingRoom(pub(crate) Arc<Inside>);

/// A question about one member, answered with where he stands and how the room does.
type Asks = Arc<Calls<BuyerId, (Option<Place>, Arc<Levels>)>>;

/// What all clones share.
pub(crate) struct Inside {
    pub(crate) room: RoomId,
    pub(crate) host: Arc<dyn Host>,
    pub(crate) store: Arc<Opened>,
    pub(crate) outbox: Option<Arc<dyn Outbox>>,
    keys: Keyring,
    enters: Arc<Calls<Enter, (Entry, Arc<Levels>)>>,
    places: Asks,
    extends: Asks,
    finishes: Asks,
    leaves: Asks,
    horizon: Mutex<Option<Horizon>>,
    used: Mutex<Used>,
    tick: watch::Sender<Option<Arc<Tick>>>,
    /// Woken when somebody took a place, and whether this is the room.
    pub(crate) came: Arc<Notify>,
    pub(crate) knocked: AtomicBool,
}

impl fmt::Debug for WaitingRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitingRoom").field("room", &self.0.room).field("keys", &self.0.keys).finish_non_exhaustive()
    }
}

/// The store of one room, which is opened again under the terms last seen if the store has forgotten it.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) store: Arc<dyn RoomStore>,
    pub(crate) room: RoomId,
    terms: Mutex<Arc<Terms>>,
    open: AtomicBool,
}

impl Opened {
    /// Opens the room (again): the store did not know it.
    pub(crate) async fn reopen(&self) -> Result<(), BackendError> {
        let terms = self.terms.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.saw(&self.store.open(&self.room, &terms).await?);
        Ok(())
    }

    /// Remembers the terms and the door.
    pub(crate) fn saw(&self, levels: &Levels) {
        self.open.store(levels.door.is_open(), Ordering::Relaxed);
        let mut terms = self.terms.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&terms, &levels.terms) {
            *terms = levels.terms.clone();
        }
    }

    fn paired(&self, told: Places) -> Vec<(Option<Place>, Arc<Levels>)> {
        self.saw(&told.levels);
        let levels = Arc::new(told.levels);
        told.places.into_iter().map(|place| (place, levels.clone())).collect()
    }
}

/// The answer of a store's method; a room that it does not know is opened, and the method called once more.
macro_rules! asked {
    ($opened:expr, $method:ident($($argument:expr),*)) => {
        match $opened.store.$method(&$opened.room, $($argument),*).await? {
            Some(answer) => answer,
            None => {
                $opened.reopen().await?;
                $opened.store.$method(&$opened.room, $($argument),*).await?.ok_or_else(crate::engine::room::forgetful)?
            }
        }
    };
}
pub(crate) use asked;

/// A store that forgets a room as soon as it is opened.
pub(crate) fn forgetful() -> BackendError {
    BackendError::unavailable("room", "the store forgets the room as soon as it is opened")
}

/// Calls of one method that asks about members.
macro_rules! asks {
    ($name:literal, $host:expr, $bounds:expr, $opened:expr, $method:ident) => {{
        let opened: Arc<Opened> = $opened.clone();
        Calls::new($name, $host.clone(), $bounds, move |members: Vec<BuyerId>| {
            let opened = opened.clone();
            async move {
                let told = asked!(opened, $method(&members));
                Ok(opened.paired(told))
            }
        })
    }};
}

impl WaitingRoom {
    /// Begins to describe a room in this store. A room of one name is one room, whichever server asks.
    #[must_use]
    pub fn named(room: RoomId, store: Arc<dyn RoomStore>) -> RoomBuilder {
        RoomBuilder::new(room, store)
    }

    fn new(builder: RoomBuilder, keys: Keyring) -> Self {
        let RoomBuilder { room, store, host, terms, outbox, came, batch_max, queue_max, .. } = builder;
        let opened = Arc::new(Opened {
            store,
            room: room.clone(),
            terms: Mutex::new(Arc::new(terms)),
            open: AtomicBool::new(false),
        });
        let bounds = (batch_max, queue_max);
        let enters = {
            let opened = opened.clone();
            Calls::new("room.enter", host.clone(), bounds, move |batch: Vec<Enter>| {
                let opened = opened.clone();
                async move {
                    let told = asked!(opened, enter(&batch));
                    opened.saw(&told.levels);
                    let levels = Arc::new(told.levels);
                    Ok(told.answers.into_iter().map(|entry| (entry, levels.clone())).collect())
                }
            })
        };
        Self(Arc::new(Inside {
            places: asks!("room.place", host, bounds, opened, place),
            extends: asks!("room.extend", host, bounds, opened, extend),
            finishes: asks!("room.finish", host, bounds, opened, finish),
            leaves: asks!("room.leave", host, bounds, opened, leave),
            enters,
            room,
            host,
            store: opened,
            outbox,
            keys,
            horizon: Mutex::default(),
            used: Mutex::default(),
            tick: watch::Sender::new(None),
            came,
            knocked: AtomicBool::new(false),
        }))
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &RoomId {
        &self.0.room
    }

    /// The time of this server.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.0.host.now()
    }

    /// Takes a place, or goes through. A repeat keeps the place; a ticket brings it back if the store has lost it, and one that is worth
    /// nothing is as none.
    ///
    /// # Errors
    /// [`EnterRefusal`] in its precedence order. A [`BackendError`] means that nothing was promised: repeat.
    ///
    /// # Cancel safety
    /// Dropping the future tears nothing; a repeat finds the place.
    pub async fn enter(&self, member: &BuyerId, ticket: Option<&str>) -> Result<Entrance, Error<EnterRefusal>> {
        let now = self.0.host.now();
        let read = |ticket| self.0.keys.verify(Kind::Ticket, ticket, &self.0.room, member, now);
        let ticket = ticket.and_then(|ticket| read(ticket).ok()).map(|claim| claim.number);
        let (entry, levels) = self.0.enters.call(Enter { member: member.clone(), ticket }).await?;
        Ok(match entry {
            Entry::Refused(refusal) => return Err(Error::Refused(refusal)),
            Entry::Through => Entrance::Through(self.through(member, &levels)),
            Entry::New(place) => {
                self.wake();
                Entrance::New(self.view(member, place, &levels))
            }
            Entry::Same(place) => Entrance::Same(self.view(member, place, &levels)),
        })
    }

    /// Where a member stands; `None` if the room does not know him. Counts as a sign of life.
    ///
    /// # Errors
    /// [`BackendError`].
    pub async fn place(&self, member: &BuyerId) -> Result<Option<PlaceView>, BackendError> {
        let (place, levels) = self.0.places.call(member.clone()).await?;
        Ok(place.map(|place| self.view(member, place, &levels)))
    }

    /// The admission of a member whose turn it is; the same again while the turn lasts.
    ///
    /// # Errors
    /// [`TurnRefusal`] in its precedence order.
    pub async fn admission(&self, member: &BuyerId) -> Result<Admission, Error<TurnRefusal>> {
        let (place, levels) = self.0.places.call(member.clone()).await?;
        self.admitted(member, place, &levels)
    }

    /// Makes a turn longer, once more. A repeat whose answer was lost may use another extension: there are few, and nothing else is at stake.
    ///
    /// # Errors
    /// [`TurnRefusal`] in its precedence order.
    pub async fn extend(&self, member: &BuyerId) -> Result<Admission, Error<TurnRefusal>> {
        let before = self.admission(member).await?;
        if before.extensions_left == 0 {
            return Err(Error::Refused(TurnRefusal::NoneLeft));
        }
        let (place, levels) = self.0.extends.call(member.clone()).await?;
        self.admitted(member, place, &levels)
    }

    /// Ends a member's turn because he did what he came for: its capacity is free at once, and on this server its admission is used.
    ///
    /// # Errors
    /// [`BackendError`]; then repeat, or let the turn go by.
    pub async fn finish(&self, member: &BuyerId) -> Result<Option<Place>, BackendError> {
        let (place, levels) = self.0.finishes.call(member.clone()).await?;
        self.ended(member, place, &levels);
        Ok(place)
    }

    /// Ends a member's place or turn because he leaves.
    ///
    /// # Errors
    /// [`BackendError`].
    pub async fn leave(&self, member: &BuyerId) -> Result<Option<Place>, BackendError> {
        let (place, levels) = self.0.leaves.call(member.clone()).await?;
        self.ended(member, place, &levels);
        Ok(place)
    }

    /// Remembers that the admissions of an ended place are worth nothing.
    pub(crate) fn ended(&self, member: &BuyerId, place: Option<Place>, levels: &Levels) {
        if let Some(Place { number, standing: Standing::Ended(Ended::Finished | Ended::Left) }) = place {
            let longest = levels.terms.turn * (u32::from(levels.terms.extensions) + 1);
            let mut used = self.0.used.lock().unwrap_or_else(PoisonError::into_inner);
            used.note(member, number, levels.now.after(longest), self.0.host.now());
        }
    }

    /// Checks an admission without asking anybody: the signature, whose it is, its end, and whether it was used on this server.
    ///
    /// What it cannot see: that the turn was finished or left on another server; [`WaitingRoom::confirm`] asks. One who came through a closed door was
    /// not counted, so his admission can be used until its end.
    ///
    /// # Errors
    /// [`TokenRefusal`] in its precedence order.
    pub fn check(&self, token: &str, member: &BuyerId) -> Result<Claim, TokenRefusal> {
        let claim = self.0.keys.verify(Kind::Admission, token, &self.0.room, member, self.0.host.now())?;
        let used = self.0.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.knows(member, claim.number) { Err(TokenRefusal::Used) } else { Ok(claim) }
    }

    /// Checks an admission, and asks the store whether its turn goes on: then one that was used on any server is refused. A store that has forgotten the member
    /// does not refuse what we signed.
    ///
    /// # Errors
    /// [`TokenRefusal`] in its precedence order.
    pub async fn confirm(&self, token: &str, member: &BuyerId) -> Result<Claim, Error<TokenRefusal>> {
        let claim = self.check(token, member).map_err(Error::Refused)?;
        if claim.number.no == 0 {
            return Ok(claim);
        }
        match self.0.places.call(member.clone()).await?.0 {
            Some(place) if place.number == claim.number => match place.standing {
                Standing::Ended(Ended::Passed) => Err(Error::Refused(TokenRefusal::Expired)),
                Standing::Ended(Ended::Finished | Ended::Left) => Err(Error::Refused(TokenRefusal::Used)),
                Standing::Turn(_) | Standing::Waiting { .. } | Standing::Absent { .. } => Ok(claim),
            },
            // He has begun anew since.
            Some(place) if place.number > claim.number => Err(Error::Refused(TokenRefusal::Used)),
            _ => Ok(claim),
        }
    }

    /// How the room stands.
    ///
    /// # Errors
    /// [`BackendError`].
    pub async fn levels(&self) -> Result<Levels, BackendError> {
        let opened = &self.0.store;
        let levels = asked!(opened, levels());
        opened.saw(&levels);
        Ok(levels)
    }

    /// Changes the room while people wait. The pass tells it to everybody.
    ///
    /// # Errors
    /// [`RoomRefusal::Terms`] if the result would be out of bounds.
    pub async fn change(&self, change: &RoomChange) -> Result<Levels, Error<RoomRefusal>> {
        let before = self.levels().await?;
        change.to(&before.terms).check().map_err(|bad| Error::Refused(RoomRefusal::Terms(bad)))?;
        let opened = &self.0.store;
        let levels = asked!(opened, change(change));
        opened.saw(&levels);
        self.wake();
        Ok(levels)
    }

    /// Whether the door was open when the store last answered this server: a moment ago, while anybody comes.
    #[must_use]
    pub fn was_open(&self) -> bool {
        self.0.store.open.load(Ordering::Relaxed)
    }

    /// Tells the room what there is to be had behind it; `None` if nobody knows. It is told on as a chance.
    pub fn stands_before(&self, horizon: Option<Horizon>) {
        *self.0.horizon.lock().unwrap_or_else(PoisonError::into_inner) = horizon;
    }

    /// Has the pass look at this room at once.
    fn wake(&self) {
        self.0.knocked.store(true, Ordering::Release);
        self.0.came.notify_one();
    }

    fn horizon(&self) -> Option<Horizon> {
        *self.0.horizon.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What everybody may know, once a second at most and only when it changed; `None` until the pass has run. It is told by [`WaitingRoom::workers`].
    #[must_use]
    pub fn ticks(&self) -> watch::Receiver<Option<Arc<Tick>>> {
        self.0.tick.subscribe()
    }

    /// The pass that this room alone needs: it lets people through.
    #[must_use]
    pub fn workers(&self) -> Workers {
        Workers::new(self.0.host.clone()).with(pass::Admit::of(self.clone()))
    }

    fn sign(&self, kind: Kind, member: &BuyerId, number: Number, until: Timestamp) -> String {
        let claim = Claim { room: self.0.room.clone(), member: member.clone(), number, until };
        self.0.keys.sign(kind, &claim)
    }

    /// The admission of one who came through a closed door: as long as a turn, so that a checkout of several requests is not torn when it opens.
    fn through(&self, member: &BuyerId, levels: &Levels) -> Admission {
        let number = Number { generation: levels.generation, no: 0 };
        let until = levels.now.after(levels.terms.turn);
        let token = self.sign(Kind::Admission, member, number, until);
        Admission { token, number, until, extensions_left: 0, now: levels.now }
    }

    fn admitted(
        &self,
        member: &BuyerId,
        place: Option<Place>,
        levels: &Levels,
    ) -> Result<Admission, Error<TurnRefusal>> {
        let place = place.ok_or(Error::Refused(TurnRefusal::NoPlace))?;
        match place.standing {
            Standing::Turn(turn) => {
                let token = self.sign(Kind::Admission, member, place.number, turn.until);
                let (until, extensions_left) = (turn.until, turn.extensions_left);
                Ok(Admission { token, number: place.number, until, extensions_left, now: levels.now })
            }
            // The room was taken out of the way.
            Standing::Waiting { .. } | Standing::Absent { .. } if !levels.door.is_open() => {
                Ok(self.through(member, levels))
            }
            Standing::Waiting { .. } | Standing::Absent { .. } => Err(Error::Refused(TurnRefusal::NotYet(place))),
            Standing::Ended(Ended::Passed) => Err(Error::Refused(TurnRefusal::TurnPassed)),
            Standing::Ended(how) => Err(Error::Refused(TurnRefusal::Done(how))),
        }
    }

    /// What the pass saw: told on if it changed.
    pub(crate) fn publish(&self, levels: &Levels) {
        let tick = Tick::of(levels, self.horizon());
        self.0.tick.send_if_modified(|last| {
            let told = last.as_ref().is_some_and(|last| !tick.is_news(last));
            if !told {
                *last = Some(Arc::new(tick));
            }
            !told
        });
    }
}

/// Bad terms, as a failure of whoever wired them.
pub(crate) fn misconfigured(bad: &dyn std::error::Error) -> BackendError {
    BackendError::new(ErrorKind::Misconfigured, "room.open", bad.to_string())
}
