//! Faulty wires between a node and its backends: calls that are slow, lost, applied though the answer is lost, or applied late.
//!
//! One macro decorates every port method in the same way, so that no call is reliable by oversight.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use flashsale_core::coupon::{Campaign, Coupon, CouponLedger};
use flashsale_core::engine::Task;
use flashsale_core::event::{DeadLetter, DeadLetters, Event, Outbox, OutboxNo, Replay};
use flashsale_core::notice::{Notice, NoticeKey, NoticeLedger, Notifier, Reach, Settled, Taken};
use flashsale_core::order::{
    Append, Appended, IntakeLog, Order, OrderLedger, OrderQuery, Polled, Recorded, SetAside, Units,
};
use flashsale_core::payment::{Capture, Charge, DeclineReason, Fenced, Moved, Outcome, PaymentGateway, PaymentKey};
use flashsale_core::queue::{Admitted, Enter, Entered, Expired, Levels, Places, RoomChange, RoomStore, Terms};
use flashsale_core::sale;
use flashsale_core::stock::{
    Accept, Acceptance, Accepted, Adopted, Answers, Begun, Cancel, Cancelled, Change, ChangeRefusal, Due, Durability,
    Epoch, Followed, HoldNo, Level, Load, Nonce, Recalled, Reservation, Reserve, ReserveRefusal, Standing, StockGate,
    StockLedger, Synced, Totals, Update, Version,
};
use flashsale_core::waitlist::{Join, Joined, Leave, Left, Line, Place, Sought, WaitlistLedger, Wish};
use flashsale_core::{
    BackendError, BuyerId, CampaignId, CouponId, ItemId, Key, OrderId, RoomId, Sale, SaleId, Timestamp,
};

use super::executor::{Group, World};
use super::marks::Marks;

/// How often what goes wrong, in a thousand calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// The call never arrives.
    pub lost: u32,
    /// The call is done, the answer never arrives.
    pub reply_lost: u32,
    /// The caller gives up; the call is done later.
    pub late: u32,
    /// The same, for accepting transactions alone: it is their lateness that the seal is for.
    pub late_accept: u32,
    /// The longest that a call or an answer takes, in milliseconds.
    pub slow_ms: u64,
}

impl Rates {
    /// Nothing goes wrong, nothing takes time.
    pub const NONE: Self = Self { lost: 0, reply_lost: 0, late: 0, late_accept: 0, slow_ms: 0 };
}

/// A mistake that is planted on purpose, to see that a run finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plant {
    /// None.
    Nothing,
    /// The gate looks at the stock before it looks for the duplicate.
    StockBeforeDuplicate,
    /// The ledger takes every hold, sealed or not, of whatever epoch.
    SealNotChecked,
    /// The gate copies an update whatever version it stands at.
    SyncWithoutVersion,
    /// An order that ends keeps its units.
    UnitsNotGivenBack,
    /// A payment in doubt is treated as refused.
    UnknownIsDeclined,
    /// The place in the log is kept before the ledger has decided.
    CommitBeforeEffect,
    /// The gate lets the public pass those who wait.
    WaitlistIgnored,
    /// The room has more turns at once than it may.
    CapacityIgnored,
}

/// The wire of one node. Its faults can be switched off for the end of a run.
#[derive(Debug, Clone)]
pub struct Wire {
    world: World,
    rates: Rates,
    plant: Plant,
    healed: Arc<AtomicBool>,
    marks: Marks,
}

impl Wire {
    /// A wire with these rates, and a mistake.
    #[must_use]
    pub fn new(world: &World, rates: Rates, plant: Plant, healed: Arc<AtomicBool>, marks: Marks) -> Self {
        Self { world: world.clone(), rates, plant, healed, marks }
    }

    fn rates(&self) -> Rates {
        if self.healed.load(Ordering::SeqCst) { Rates::NONE } else { self.rates }
    }

    async fn slow(&self, rates: Rates) {
        if rates.slow_ms > 0 {
            let wait = self.world.pick(rates.slow_ms + 1);
            self.world.sleep(Duration::from_millis(wait)).await;
        }
    }

    /// Carries one call.
    async fn carry<T: Send + 'static>(
        &self,
        name: &'static str,
        call: impl Future<Output = Result<T, BackendError>> + Send + 'static,
    ) -> Result<T, BackendError> {
        let rates = self.rates();
        self.slow(rates).await;
        if self.world.chance(rates.lost) {
            self.world.count("call lost");
            self.world.say(format_args!("{name}: the call is lost"));
            return Err(BackendError::unavailable(name, "the call is lost"));
        }
        let late = if name == "ledger.accept" { rates.late.max(rates.late_accept) } else { rates.late };
        if self.world.chance(late) {
            self.world.count("applied late");
            let (world, wait) = (self.world.clone(), Duration::from_millis(self.world.pick(20_000)));
            self.world.say(format_args!("{name}: the caller gives up, it is done {} ms later", wait.as_millis()));
            let late: Task = Box::pin(async move {
                world.sleep(wait).await;
                let _ = call.await;
            });
            self.world.spawn_boxed(Group::WORLD, late);
            return Err(BackendError::unknown(name, "no answer in time"));
        }
        let answer = call.await;
        self.slow(rates).await;
        if self.world.chance(rates.reply_lost) {
            self.world.count("reply lost");
            self.world.say(format_args!("{name}: done, the reply is lost"));
            return Err(BackendError::unknown(name, "the reply is lost"));
        }
        answer
    }
}

/// A backend behind a wire.
#[derive(Debug, Clone)]
pub struct Faulty<B> {
    backend: B,
    wire: Wire,
}

impl<B> Faulty<B> {
    /// Puts a backend behind a wire.
    pub fn new(backend: B, wire: Wire) -> Self {
        Self { backend, wire }
    }
}

/// Carries a method: the arguments are cloned, because the call may be done after its caller is gone.
macro_rules! carry {
    ($self:ident, $name:literal, $method:ident, $($arg:ident),*) => {{
        let backend = $self.backend.clone();
        $(let $arg = $arg.to_owned();)*
        $self.wire.carry($name, async move { backend.$method($(&$arg),*).await }).await
    }};
}

#[async_trait]
impl<B: StockGate + Clone + 'static> StockGate for Faulty<B> {
    async fn begin(&self, sale: &SaleId, nonce: Nonce) -> Result<Begun, BackendError> {
        let (backend, sale) = (self.backend.clone(), sale.clone());
        self.wire.carry("gate.begin", async move { backend.begin(&sale, nonce).await }).await
    }
    async fn forget(&self, sale: &SaleId, nonce: Nonce) -> Result<(), BackendError> {
        let (backend, sale) = (self.backend.clone(), sale.clone());
        self.wire.carry("gate.forget", async move { backend.forget(&sale, nonce).await }).await
    }
    async fn answers(&self, sale: &SaleId, nonce: Nonce, page: &Answers) -> Result<Synced, BackendError> {
        let (backend, sale, page) = (self.backend.clone(), sale.clone(), page.clone());
        self.wire.carry("gate.answers", async move { backend.answers(&sale, nonce, &page).await }).await
    }
    async fn load(&self, sale: &SaleId, load: &Load) -> Result<Synced, BackendError> {
        let (backend, sale, load, marks) = (self.backend.clone(), sale.clone(), load.clone(), self.wire.marks.clone());
        let call = async move {
            let synced = backend.load(&sale, &load).await?;
            if synced == Synced::Done {
                marks.copied(&sale, &load.items);
            }
            Ok(synced)
        };
        self.wire.carry("gate.load", call).await
    }
    async fn reserve(&self, sale: &SaleId, batch: &[Reserve]) -> Result<Reservation, BackendError> {
        if self.wire.plant == Plant::StockBeforeDuplicate {
            let level = self.backend.level(sale).await?;
            let empty = |request: &Reserve| {
                let short = |line: &sale::Line| {
                    level.items.iter().any(|(item, free, held)| {
                        *item == line.item && u64::from(line.units.units()) + u64::from(*held) > u64::from(*free)
                    })
                };
                request.lines.iter().find(|line| short(line)).cloned()
            };
            if let [request] = batch
                && let Some(line) = empty(request)
            {
                let after = HoldNo(level.next.0 - 1);
                return Ok(Reservation::Answers(vec![Err(ReserveRefusal::SoldOut { item: line.item, after })]));
            }
        }
        let mut asked = batch.to_vec();
        if self.wire.plant == Plant::WaitlistIgnored {
            asked.iter_mut().for_each(|request| request.standing = Standing::Offer);
        }
        let (backend, sale, batch, marks) =
            (self.backend.clone(), sale.clone(), batch.to_vec(), self.wire.marks.clone());
        let call = async move {
            let answer = backend.reserve(&sale, &asked).await?;
            marks.reserved(&sale, &batch, &answer);
            Ok(answer)
        };
        self.wire.carry("gate.reserve", call).await
    }
    async fn due(&self, sale: &SaleId) -> Result<Option<Due>, BackendError> {
        carry!(self, "gate.due", due, sale)
    }
    async fn sync(&self, sale: &SaleId, update: &Update) -> Result<Synced, BackendError> {
        let mut update = update.clone();
        if self.wire.plant == Plant::SyncWithoutVersion
            && let Some(version) = self.backend.level(sale).await?.version
        {
            update.from = version;
        }
        let (backend, sale, marks) = (self.backend.clone(), sale.clone(), self.wire.marks.clone());
        let call = async move {
            let synced = backend.sync(&sale, &update).await?;
            if synced == Synced::Done {
                marks.copied(&sale, &update.items);
            }
            Ok(synced)
        };
        self.wire.carry("gate.sync", call).await
    }
    async fn level(&self, sale: &SaleId) -> Result<Level, BackendError> {
        carry!(self, "gate.level", level, sale)
    }
    async fn recall(&self, sale: &SaleId, cursor: u64) -> Result<Recalled, BackendError> {
        let (backend, sale) = (self.backend.clone(), sale.clone());
        self.wire.carry("gate.recall", async move { backend.recall(&sale, cursor).await }).await
    }
}

#[async_trait]
impl<B: StockLedger + Clone + 'static> StockLedger for Faulty<B> {
    fn durability(&self) -> Durability {
        self.backend.durability()
    }
    async fn open(&self, sale: &Sale) -> Result<Result<(), ChangeRefusal>, BackendError> {
        carry!(self, "ledger.open", open, sale)
    }
    async fn sales(&self) -> Result<Vec<SaleId>, BackendError> {
        carry!(self, "ledger.sales", sales,)
    }
    async fn totals(&self, sale: &SaleId) -> Result<Option<Totals>, BackendError> {
        carry!(self, "ledger.totals", totals, sale)
    }
    async fn adopt(&self, sale: &SaleId, nonce: Nonce, epoch: Epoch) -> Result<Adopted, BackendError> {
        let (backend, sale) = (self.backend.clone(), sale.clone());
        self.wire.carry("ledger.adopt", async move { backend.adopt(&sale, nonce, epoch).await }).await
    }
    async fn answers<'a>(
        &self,
        sale: &SaleId,
        after: Option<&'a OrderId>,
        limit: usize,
    ) -> Result<Answers, BackendError> {
        let (backend, sale, after) = (self.backend.clone(), sale.clone(), after.cloned());
        let call = async move { backend.answers(&sale, after.as_ref(), limit).await };
        self.wire.carry("ledger.answers", call).await
    }
    async fn accept(&self, sale: &SaleId, batch: &[Accept]) -> Result<Accepted, BackendError> {
        let mut batch = batch.to_vec();
        if self.wire.plant == Plant::SealNotChecked
            && let Some(totals) = self.backend.totals(sale).await?
        {
            for accept in batch.iter_mut().filter(|accept| accept.hold.is_some()) {
                accept.hold = Some((totals.epoch, HoldNo(u64::MAX >> 1)));
            }
        }
        let (backend, sale, world) = (self.backend.clone(), sale.clone(), self.wire.world.clone());
        let call = async move {
            let accepted = backend.accept(&sale, &batch).await?;
            for (accept, answer) in batch.iter().zip(&accepted.answers) {
                if *answer == Acceptance::HoldExpired {
                    world.count("hold ended before its order arrived");
                    world.say(format_args!("{}: its hold had ended", accept.id));
                }
            }
            Ok(accepted)
        };
        self.wire.carry("ledger.accept", call).await
    }
    async fn cancel(&self, sale: &SaleId, batch: &[Cancel]) -> Result<(Vec<Cancelled>, Option<Update>), BackendError> {
        carry!(self, "ledger.cancel", cancel, sale, batch)
    }
    async fn follow(
        &self,
        sale: &SaleId,
        nonce: Nonce,
        version: Version,
        lapsed: HoldNo,
    ) -> Result<Followed, BackendError> {
        let (backend, sale) = (self.backend.clone(), sale.clone());
        let call = async move { backend.follow(&sale, nonce, version, lapsed).await };
        self.wire.carry("ledger.follow", call).await
    }
    async fn change(
        &self,
        sale: &SaleId,
        id: &Key,
        change: &Change,
    ) -> Result<Result<Option<Update>, ChangeRefusal>, BackendError> {
        carry!(self, "ledger.change", change, sale, id, change)
    }
    async fn forget(&self, sale: &SaleId, before: Timestamp, limit: usize) -> Result<usize, BackendError> {
        let (backend, sale) = (self.backend.clone(), sale.clone());
        self.wire.carry("ledger.forget", async move { backend.forget(&sale, before, limit).await }).await
    }
}

#[async_trait]
impl<B: RoomStore + Clone + 'static> RoomStore for Faulty<B> {
    async fn open(&self, room: &RoomId, terms: &Terms) -> Result<Levels, BackendError> {
        carry!(self, "room.open", open, room, terms)
    }
    async fn change(&self, room: &RoomId, change: &RoomChange) -> Result<Option<Levels>, BackendError> {
        carry!(self, "room.change", change, room, change)
    }
    async fn enter(&self, room: &RoomId, batch: &[Enter]) -> Result<Option<Entered>, BackendError> {
        carry!(self, "room.enter", enter, room, batch)
    }
    async fn place(&self, room: &RoomId, members: &[BuyerId]) -> Result<Option<Places>, BackendError> {
        carry!(self, "room.place", place, room, members)
    }
    async fn admit(&self, room: &RoomId, most: usize) -> Result<Option<Admitted>, BackendError> {
        let (backend, room) = (self.backend.clone(), room.clone());
        self.wire.carry("room.admit", async move { backend.admit(&room, most).await }).await
    }
    async fn extend(&self, room: &RoomId, members: &[BuyerId]) -> Result<Option<Places>, BackendError> {
        carry!(self, "room.extend", extend, room, members)
    }
    async fn finish(&self, room: &RoomId, members: &[BuyerId]) -> Result<Option<Places>, BackendError> {
        carry!(self, "room.finish", finish, room, members)
    }
    async fn leave(&self, room: &RoomId, members: &[BuyerId]) -> Result<Option<Places>, BackendError> {
        carry!(self, "room.leave", leave, room, members)
    }
    async fn expire(&self, room: &RoomId, most: usize) -> Result<Option<Expired>, BackendError> {
        let (backend, room) = (self.backend.clone(), room.clone());
        self.wire.carry("room.expire", async move { backend.expire(&room, most).await }).await
    }
    async fn levels(&self, room: &RoomId) -> Result<Option<Levels>, BackendError> {
        carry!(self, "room.levels", levels, room)
    }
    async fn forget(&self, room: &RoomId) -> Result<(), BackendError> {
        carry!(self, "room.forget", forget, room)
    }
}

#[async_trait]
impl<B: IntakeLog + Clone + 'static> IntakeLog for Faulty<B> {
    fn durability(&self) -> Durability {
        self.backend.durability()
    }
    async fn append(&self, batch: &[Recorded]) -> Result<(), BackendError> {
        carry!(self, "intake.append", append, batch)
    }
    async fn poll(&self, max: usize) -> Result<Polled, BackendError> {
        // It is asked by whoever waits for it, or by nobody: there is no such thing as a poll that arrives late.
        let rates = self.wire.rates();
        self.wire.slow(rates).await;
        if self.wire.world.chance(rates.lost) {
            self.wire.world.count("call lost");
            return Err(BackendError::unavailable("intake.poll", "the call is lost"));
        }
        let polled = self.backend.poll(max).await?;
        if self.wire.plant == Plant::CommitBeforeEffect {
            self.backend.commit(polled.position).await?;
        }
        self.wire.slow(rates).await;
        if self.wire.world.chance(rates.reply_lost) {
            self.wire.world.count("reply lost");
            return Err(BackendError::unknown("intake.poll", "the reply is lost"));
        }
        Ok(polled)
    }
    async fn commit(&self, position: u64) -> Result<(), BackendError> {
        let backend = self.backend.clone();
        self.wire.carry("intake.commit", async move { backend.commit(position).await }).await
    }
    async fn rewind(&self) -> Result<(), BackendError> {
        carry!(self, "intake.rewind", rewind,)
    }
    async fn watch(&self, max: usize) -> Result<Vec<Recorded>, BackendError> {
        self.backend.watch(max).await
    }
    async fn set_aside(&self, records: &[SetAside]) -> Result<(), BackendError> {
        carry!(self, "intake.set_aside", set_aside, records)
    }
    async fn recall(&self, max: usize) -> Result<usize, BackendError> {
        let backend = self.backend.clone();
        self.wire.carry("intake.recall", async move { backend.recall(max).await }).await
    }
}

#[async_trait]
impl<B: OrderLedger + Clone + 'static> OrderLedger for Faulty<B> {
    async fn append(&self, sale: &SaleId, batch: &[Append]) -> Result<(Vec<Appended>, Option<Update>), BackendError> {
        let mut batch = batch.to_vec();
        if self.wire.plant == Plant::UnitsNotGivenBack {
            batch.iter_mut().for_each(|append| append.units = Units::Keep);
        }
        let batch = &batch;
        carry!(self, "ledger.append", append, sale, batch)
    }
    async fn load(&self, ids: &[OrderId]) -> Result<(Vec<Option<Arc<Order>>>, Timestamp), BackendError> {
        carry!(self, "ledger.load", load, ids)
    }
    async fn due(&self, limit: usize) -> Result<(Vec<Arc<Order>>, Timestamp), BackendError> {
        let backend = self.backend.clone();
        self.wire.carry("ledger.due", async move { backend.due(limit).await }).await
    }
    async fn list(&self, query: &OrderQuery) -> Result<Vec<Arc<Order>>, BackendError> {
        carry!(self, "ledger.list", list, query)
    }
    async fn stuck(&self, limit: usize) -> Result<Vec<Arc<Order>>, BackendError> {
        let backend = self.backend.clone();
        self.wire.carry("ledger.stuck", async move { backend.stuck(limit).await }).await
    }
}

#[async_trait]
impl<B: WaitlistLedger + Clone + 'static> WaitlistLedger for Faulty<B> {
    async fn join(&self, sale: &SaleId, batch: &[Join]) -> Result<(Vec<Joined>, Option<Update>), BackendError> {
        carry!(self, "waitlist.join", join, sale, batch)
    }
    async fn leave(&self, sale: &SaleId, batch: &[Leave]) -> Result<(Vec<Left>, Option<Update>), BackendError> {
        carry!(self, "waitlist.leave", leave, sale, batch)
    }
    async fn end(&self, sale: &SaleId, limit: usize) -> Result<(usize, Option<Update>), BackendError> {
        let (backend, sale) = (self.backend.clone(), sale.clone());
        self.wire.carry("waitlist.end", async move { backend.end(&sale, limit).await }).await
    }
    async fn gather(&self, wishes: &[OrderId]) -> Result<(), BackendError> {
        carry!(self, "waitlist.gather", gather, wishes)
    }
    async fn sought(&self, limit: usize) -> Result<(Vec<Sought>, Timestamp), BackendError> {
        let backend = self.backend.clone();
        self.wire.carry("waitlist.sought", async move { backend.sought(limit).await }).await
    }
    async fn line(&self, sale: &SaleId, item: &ItemId, limit: usize) -> Result<Option<Line>, BackendError> {
        let (backend, sale, item) = (self.backend.clone(), sale.clone(), item.clone());
        self.wire.carry("waitlist.line", async move { backend.line(&sale, &item, limit).await }).await
    }
    async fn place(&self, sale: &SaleId, item: &ItemId, member: &BuyerId) -> Result<Option<Place>, BackendError> {
        carry!(self, "waitlist.place", place, sale, item, member)
    }
    async fn wishes(&self, member: &BuyerId, limit: usize) -> Result<Vec<Wish>, BackendError> {
        let (backend, member) = (self.backend.clone(), member.clone());
        self.wire.carry("waitlist.wishes", async move { backend.wishes(&member, limit).await }).await
    }
}

#[async_trait]
impl<B: CouponLedger + Clone + 'static> CouponLedger for Faulty<B> {
    async fn campaigns_put(&self, campaigns: &[Campaign]) -> Result<(), BackendError> {
        carry!(self, "coupons.campaigns_put", campaigns_put, campaigns)
    }
    async fn campaigns(&self) -> Result<Vec<Campaign>, BackendError> {
        carry!(self, "coupons.campaigns", campaigns,)
    }
    async fn campaign(&self, id: &CampaignId) -> Result<Option<Campaign>, BackendError> {
        carry!(self, "coupons.campaign", campaign, id)
    }
    async fn coupons(&self, ids: &[CouponId]) -> Result<Vec<Option<Coupon>>, BackendError> {
        carry!(self, "coupons.coupons", coupons, ids)
    }
    async fn coupons_of<'a>(
        &self,
        member: &BuyerId,
        after: Option<&'a CouponId>,
        limit: usize,
    ) -> Result<Vec<Coupon>, BackendError> {
        let (backend, member, after) = (self.backend.clone(), member.clone(), after.cloned());
        let call = async move { backend.coupons_of(&member, after.as_ref(), limit).await };
        self.wire.carry("coupons.coupons_of", call).await
    }
}

#[async_trait]
impl<B: Outbox + Clone + 'static> Outbox for Faulty<B> {
    async fn unsent(&self, after: Option<OutboxNo>, limit: usize) -> Result<Vec<(OutboxNo, Event)>, BackendError> {
        let backend = self.backend.clone();
        self.wire.carry("outbox.unsent", async move { backend.unsent(after, limit).await }).await
    }
    async fn sent(&self, rows: &[OutboxNo]) -> Result<(), BackendError> {
        carry!(self, "outbox.sent", sent, rows)
    }
    async fn put(&self, events: &[Event]) -> Result<(), BackendError> {
        carry!(self, "outbox.put", put, events)
    }
    async fn history(&self, subject: &str) -> Result<Vec<Event>, BackendError> {
        carry!(self, "outbox.history", history, subject)
    }
    async fn prune(&self, before: Timestamp, limit: usize) -> Result<usize, BackendError> {
        let backend = self.backend.clone();
        self.wire.carry("outbox.prune", async move { backend.prune(before, limit).await }).await
    }
}

#[async_trait]
impl<B: DeadLetters + Clone + 'static> DeadLetters for Faulty<B> {
    async fn bury(&self, letters: &[DeadLetter]) -> Result<(), BackendError> {
        carry!(self, "dead.bury", bury, letters)
    }
    async fn letters(&self, limit: usize) -> Result<Vec<DeadLetter>, BackendError> {
        let backend = self.backend.clone();
        self.wire.carry("dead.letters", async move { backend.letters(limit).await }).await
    }
    async fn letter(&self, consumer: &str, event: &str) -> Result<Option<(DeadLetter, Option<Replay>)>, BackendError> {
        let (backend, consumer, event) = (self.backend.clone(), consumer.to_owned(), event.to_owned());
        self.wire.carry("dead.letter", async move { backend.letter(&consumer, &event).await }).await
    }
    async fn settle(&self, consumer: &str, event: &str, how: Replay) -> Result<Option<DeadLetter>, BackendError> {
        let (backend, consumer, event) = (self.backend.clone(), consumer.to_owned(), event.to_owned());
        self.wire.carry("dead.settle", async move { backend.settle(&consumer, &event, how).await }).await
    }
}

#[async_trait]
impl<B: NoticeLedger + Clone + 'static> NoticeLedger for Faulty<B> {
    async fn keep(&self, notices: &[Notice]) -> Result<(), BackendError> {
        carry!(self, "to_tell.keep", keep, notices)
    }
    async fn take(&self, limit: usize, lease: Duration) -> Result<Vec<Taken>, BackendError> {
        let backend = self.backend.clone();
        self.wire.carry("to_tell.take", async move { backend.take(limit, lease).await }).await
    }
    async fn settle(&self, batch: &[(NoticeKey, Settled)]) -> Result<(), BackendError> {
        let (backend, batch) = (self.backend.clone(), batch.to_vec());
        self.wire.carry("to_tell.settle", async move { NoticeLedger::settle(&backend, &batch).await }).await
    }
}

#[async_trait]
impl<B: Notifier + Clone + 'static> Notifier for Faulty<B> {
    async fn reach(&self, members: &[BuyerId]) -> Result<Vec<Reach>, BackendError> {
        carry!(self, "notices.reach", reach, members)
    }
    async fn send(&self, notices: &[Notice]) -> Vec<flashsale_core::notice::Outcome> {
        let (backend, batch) = (self.backend.clone(), notices.to_vec());
        let sent = self.wire.carry("notices.send", async move { Ok(backend.send(&batch).await) }).await;
        sent.unwrap_or_else(|_| vec![flashsale_core::notice::Outcome::NotNow; notices.len()])
    }
}

#[async_trait]
impl<B: PaymentGateway + Clone + 'static> PaymentGateway for Faulty<B> {
    async fn authorize(&self, charge: &Charge) -> Result<Outcome, BackendError> {
        let outcome = carry!(self, "payment.authorize", authorize, charge);
        if self.wire.plant == Plant::UnknownIsDeclined && !matches!(outcome, Ok(Outcome::Approved { .. })) {
            return Ok(Outcome::Declined(DeclineReason::Refused));
        }
        outcome
    }
    async fn lookup(&self, key: &PaymentKey) -> Result<Option<Outcome>, BackendError> {
        carry!(self, "payment.lookup", lookup, key)
    }
    async fn cancel(&self, key: &PaymentKey) -> Result<Fenced, BackendError> {
        carry!(self, "payment.cancel", cancel, key)
    }
    async fn capture(&self, capture: &Capture) -> Result<Moved, BackendError> {
        carry!(self, "payment.capture", capture, capture)
    }
    async fn refund(&self, key: &PaymentKey) -> Result<Moved, BackendError> {
        carry!(self, "payment.refund", refund, key)
    }
}
