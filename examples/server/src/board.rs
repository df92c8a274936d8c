//! What public pages and streams show of sales: copied from gate and ledger at most once a second, never read per request.
//!
//! Owns the faces of sales, when they are renewed, and the broadcast that tells of it and of the rooms before them. Figures are approximate by up to a
//! second and say when they were true. The sales that windows of campaigns are do not show here.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use flashsale_core::engine::Tick;
use flashsale_core::sale::{SaleState, Window};
use flashsale_core::stock::{Level, Totals};
use flashsale_core::{BackendError, FlashSale, ItemId, Money, Order, SaleId, Timestamp};
use hyper::body::Bytes;
use tokio::sync::broadcast;

use crate::payline::{PayLine, PayPlace};
use crate::rooms::RoomBook;
use crate::stream;

/// Frames that a slow reader may be behind before it is dropped.
const BEHIND_MAX: usize = 16;

/// A sale whose gate is not loaded is read from the ledger only at every so many looks.
const ASLEEP_EVERY: u64 = 10;

/// Asked for where no sale is shown: no gate has it, and one that answers says so.
const NO_SALE: &str = "-";

/// What a sale's name has when it is a campaign's window; no sale of the shop's own has it.
pub(crate) const WINDOW_MARK: char = ':';

/// A sale as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Face {
    pub(crate) id: SaleId,
    /// Grows by one when anything changes.
    pub(crate) tick: u64,
    /// When these figures were true.
    pub(crate) at: Timestamp,
    pub(crate) state: SaleState,
    pub(crate) window: Window,
    pub(crate) items: Vec<FaceItem>,
    totals: Totals,
    level: Option<Level>,
}

/// An item as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FaceItem {
    pub(crate) item: ItemId,
    pub(crate) price: Money,
    pub(crate) limit: u32,
    pub(crate) total: u32,
    pub(crate) left: u32,
    pub(crate) held: u32,
    pub(crate) sold: u32,
}

/// The word for where a sale stands now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Scheduled,
    Open,
    SoldOut,
    Paused,
    Closed,
}

impl Standing {
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Open => "open",
            Self::SoldOut => "sold_out",
            Self::Paused => "paused",
            Self::Closed => "closed",
        }
    }
}

impl Face {
    fn of(id: &SaleId, totals: Totals, level: Option<Level>, at: Timestamp) -> Self {
        let open = level.as_ref().filter(|level| level.open);
        let items = totals.items.iter().map(|item| {
            let free = item.total.saturating_sub(item.allocated);
            let held = open.and_then(|level| level.items.iter().find(|row| row.0 == item.item));
            let (free, held) = held.map_or((free, 0), |(_, free, held)| (*free, *held));
            FaceItem {
                item: item.item.clone(),
                price: item.price,
                limit: item.limit.units(),
                total: item.total,
                left: free.saturating_sub(held),
                held,
                sold: item.total.saturating_sub(free),
            }
        });
        let (items, state, window) = (items.collect(), totals.door.state, totals.door.window);
        Self { id: id.clone(), tick: 1, at, state, window, items, totals, level }
    }

    /// Where the sale stands at `now`.
    pub(crate) fn standing(&self, now: Timestamp) -> Standing {
        match self.state {
            SaleState::Closed => Standing::Closed,
            _ if now >= self.window.closes_at => Standing::Closed,
            SaleState::Paused => Standing::Paused,
            SaleState::Open if now < self.window.opens_at => Standing::Scheduled,
            SaleState::Open if self.items.iter().all(|item| item.sold >= item.total) => Standing::SoldOut,
            SaleState::Open => Standing::Open,
        }
    }

    /// The price of an item, if the sale has it.
    pub(crate) fn price(&self, item: &ItemId) -> Option<Money> {
        self.items.iter().find(|row| row.item == *item).map(|row| row.price)
    }

    pub(crate) fn opens_at(&self) -> Option<Timestamp> {
        Some(self.window.opens_at).filter(|at| *at != Window::ALWAYS.opens_at)
    }

    pub(crate) fn closes_at(&self) -> Option<Timestamp> {
        Some(self.window.closes_at).filter(|at| *at != Window::ALWAYS.closes_at)
    }

    /// Whether somebody who watches would see a difference.
    fn looks_like(&self, other: &Self, before: Timestamp, now: Timestamp) -> bool {
        self.items == other.items && self.window == other.window && other.standing(before) == self.standing(now)
    }
}

/// A sale's face and its broadcast.
#[derive(Debug, Clone)]
struct Post {
    face: Arc<Face>,
    frames: broadcast::Sender<Bytes>,
    /// The last that was told of the room before it.
    room: Option<Arc<Tick>>,
    pay_line: PayLine,
}

/// Whether the gate answers.
#[derive(Debug, Clone)]
pub(crate) enum Pulse {
    Answers,
    Lost(BackendError),
}

/// All faces.
#[derive(Debug)]
pub(crate) struct Board {
    book: RoomBook,
    posts: RwLock<BTreeMap<SaleId, Post>>,
    looks: AtomicU64,
    searches: AtomicU64,
    pulse: RwLock<Pulse>,
    streams: Arc<AtomicUsize>,
    streams_max: usize,
    /// One renewal at a time.
    renewing: tokio::sync::Mutex<()>,
}

impl Board {
    /// `silent`: why the gate did not answer at the start, if it did not.
    pub(crate) fn new(book: RoomBook, streams_max: u64, silent: Option<BackendError>) -> Self {
        Self {
            book,
            posts: RwLock::default(),
            looks: AtomicU64::new(0),
            searches: AtomicU64::new(0),
            pulse: RwLock::new(silent.map_or(Pulse::Answers, Pulse::Lost)),
            streams: Arc::default(),
            streams_max: usize::try_from(streams_max).unwrap_or(usize::MAX),
            renewing: tokio::sync::Mutex::default(),
        }
    }

    pub(crate) fn face(&self, sale: &SaleId) -> Option<Arc<Face>> {
        self.read().get(sale).map(|post| post.face.clone())
    }

    /// Whether the gate answered at the last look.
    pub(crate) fn pulse(&self) -> Pulse {
        self.pulse.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Face>> {
        self.read().values().map(|post| post.face.clone()).collect()
    }

    /// Where an order stands in its sale's payment line; `None`: nowhere, or no sale of that name is shown.
    pub(crate) fn pay_place(&self, order: &Order, now: Timestamp) -> Option<PayPlace> {
        self.read().get(&order.sale)?.pay_line.place(order, now)
    }

    /// How many stand in each payment line.
    pub(crate) fn pay_lines(&self) -> Vec<(SaleId, u64)> {
        self.read().iter().map(|(sale, post)| (sale.clone(), post.pay_line.length())).collect()
    }

    pub(crate) fn streams(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<SaleId, Post>> {
        self.posts.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at every sale and tells what changed. While the gate does not answer, the ledger's figures show.
    pub(crate) async fn renew(&self, flash: &FlashSale, now: Timestamp) -> Result<(), BackendError> {
        let _alone = self.renewing.lock().await;
        let look = self.looks.fetch_add(1, Ordering::Relaxed);
        let mut sales = flash.stock.sales().await?;
        sales.retain(|id| !id.as_str().contains(WINDOW_MARK));
        // After the sales: a room is written down before its sale, so no sale is shown whose room is not known.
        self.book.take_in(flash, now).await?;
        let mut pulse = Pulse::Answers;
        for id in &sales {
            let level = ask(flash, id, &mut pulse).await;
            self.renew_one(flash, id, level, now, look).await?;
        }
        if let (true, Ok(none)) = (sales.is_empty(), SaleId::new(NO_SALE)) {
            ask(flash, &none, &mut pulse).await;
        }
        self.feel(pulse);
        Ok(())
    }

    /// Looks for a sale that another process may have written down since the last look. All who ask meanwhile share one search.
    pub(crate) async fn find(
        &self,
        flash: &FlashSale,
        sale: &SaleId,
        now: Timestamp,
    ) -> Result<Option<Arc<Face>>, BackendError> {
        let begun = self.searches.load(Ordering::Acquire);
        let _alone = self.renewing.lock().await;
        if self.searches.load(Ordering::Acquire) == begun {
            self.searches.fetch_add(1, Ordering::AcqRel);
            let sales = flash.stock.sales().await?;
            self.book.take_in(flash, now).await?;
            for id in sales {
                if !id.as_str().contains(WINDOW_MARK) && self.face(&id).is_none() {
                    self.renew_one(flash, &id, None, now, 0).await?;
                }
            }
        }
        Ok(self.face(sale))
    }

    /// Writes down whether the gate answers, and tells when that changes.
    fn feel(&self, now: Pulse) {
        let mut pulse = self.pulse.write().unwrap_or_else(PoisonError::into_inner);
        match (&*pulse, &now) {
            (Pulse::Answers, Pulse::Lost(error)) => {
                tracing::error!(%error, "THE GATE DOES NOT ANSWER: purchases are answered 503 until it does");
            }
            (Pulse::Lost(_), Pulse::Answers) => tracing::info!("the gate answers again"),
            _ => {}
        }
        *pulse = now;
    }

    async fn renew_one(
        &self,
        flash: &FlashSale,
        id: &SaleId,
        level: Option<Level>,
        now: Timestamp,
        look: u64,
    ) -> Result<(), BackendError> {
        let before = self.face(id);
        let version = level.as_ref().filter(|level| level.open).and_then(|level| level.version);
        // While people stand in the payment line it moves, without a version.
        let known = before.as_ref().filter(|face| face.totals.line.length() == 0).filter(|face| match version {
            Some(version) => face.totals.version == version,
            None => !look.is_multiple_of(ASLEEP_EVERY),
        });
        let totals = match known {
            Some(face) => face.totals.clone(),
            None => match flash.stock.totals(id).await? {
                Some(totals) => totals,
                None => return Ok(()),
            },
        };
        let line = totals.line;
        let mut face = Face::of(id, totals, level, now);
        let told = match &before {
            Some(old) if face.looks_like(old, old.at, now) => {
                face.tick = old.tick;
                None
            }
            Some(old) => {
                face.tick = old.tick + 1;
                let door = old.window != face.window || old.standing(old.at) != face.standing(now);
                Some(door)
            }
            None => Some(true),
        };
        let face = Arc::new(face);
        let frames = {
            let mut posts = self.posts.write().unwrap_or_else(PoisonError::into_inner);
            let post = posts.entry(id.clone()).or_insert_with(|| {
                let frames = broadcast::channel(BEHIND_MAX).0;
                Post { face: face.clone(), frames, room: None, pay_line: PayLine::at(line) }
            });
            post.face = face.clone();
            post.pay_line.seen(line, now);
            post.frames.clone()
        };
        if let Some(door) = told.filter(|_| frames.receiver_count() > 0) {
            if door {
                let _ = frames.send(stream::sale_frame(&face, now));
            }
            let _ = frames.send(stream::tick_frame(&face, now));
        }
        Ok(())
    }

    /// Tells of rooms that changed to those who watch their sales: one frame each, rendered once however many watch.
    pub(crate) fn tell_rooms(&self, flash: &FlashSale) {
        let mut posts = self.posts.write().unwrap_or_else(PoisonError::into_inner);
        for (sale, post) in posts.iter_mut() {
            let Some(tick) = flash.rooms.known(&sale.into()).and_then(|room| room.ticks().borrow().clone()) else {
                continue;
            };
            if post.room.as_ref().is_some_and(|told| told.at == tick.at) {
                continue;
            }
            if post.frames.receiver_count() > 0 {
                let _ = post.frames.send(stream::room_frame(&tick));
            }
            post.room = Some(tick);
        }
    }

    /// Sends a frame to everybody who watches any sale.
    pub(crate) fn tell_all(&self, frame: &Bytes) {
        for post in self.read().values() {
            // Nobody may be watching.
            let _ = post.frames.send(frame.clone());
        }
    }

    /// Lets one more watch a sale, if there is room.
    pub(crate) fn watch(&self, sale: &SaleId) -> Watching {
        let Some(post) = self.read().get(sale).cloned() else { return Watching::UnknownSale };
        let turn = Turn(self.streams.clone());
        if self.streams.fetch_add(1, Ordering::AcqRel) >= self.streams_max {
            return Watching::Full;
        }
        Watching::Yes { face: post.face, room: post.room, frames: post.frames.subscribe(), turn }
    }
}

/// What the gate shows of a sale. Who did not answer for one sale is not asked, and waited for, for the others.
async fn ask(flash: &FlashSale, id: &SaleId, pulse: &mut Pulse) -> Option<Level> {
    match pulse {
        Pulse::Lost(_) => None,
        Pulse::Answers => flash.stock.level(id).await.unwrap_or_else(|error| {
            *pulse = Pulse::Lost(error);
            None
        }),
    }
}

/// Whether somebody may watch.
#[derive(Debug)]
pub(crate) enum Watching {
    Yes { face: Arc<Face>, room: Option<Arc<Tick>>, frames: broadcast::Receiver<Bytes>, turn: Turn },
    UnknownSale,
    Full,
}

/// A place among the streams, given back when dropped.
#[derive(Debug)]
pub(crate) struct Turn(Arc<AtomicUsize>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
