//! Waitlists with a bug.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use flashsale_core::error::BackendError;
use flashsale_core::event::{Event, Outbox, OutboxNo};
use flashsale_core::memory::MemoryLedger;
use flashsale_core::order::{Append, Appended, OrderLedger, OrderQuery};
use flashsale_core::stock::{
    Accept, Acceptance, Accepted, Adopted, Answers, Cancel, Cancelled, Change, ChangeRefusal, Durability, Epoch,
    Followed, HoldNo, Nonce, Order, StockLedger, Then, Totals, Update, Version,
};
use flashsale_core::waitlist::{Join, Joined, Leave, Left, Line, Parting, Place, Sought, WaitlistLedger, Wish};
use flashsale_core::{BuyerId, ItemId, Key, ManualClock, OrderId, Sale, SaleId, Timestamp};

use crate::{Fixture, fixture};

/// What is wrong with a waitlist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitlistBug {
    /// Nothing.
    Nothing,
    /// A gate is not told that people wait: what comes back is visible to the public before it is offered.
    FlagNotTold,
    /// The join reads what is free, then what came back meanwhile is not seen: two steps instead of one.
    JoinInTwoSteps,
    /// An offer that is asked for again takes units again.
    OfferedTwice,
    /// Two who wait are both offered the only unit: it is counted once.
    OneUnitForTwo,
    /// A wish that was offered goes on waiting.
    WishNotMoved,
    /// An offer that ended leaves its wish offered.
    WishNotFollowed,
    /// The flag stays when the last one left.
    FlagKept,
}

/// A memory ledger with a bug in its waitlist.
#[derive(Debug)]
pub struct PlantedWaitlist {
    inner: MemoryLedger,
    bug: WaitlistBug,
    made_up: AtomicU32,
}

impl PlantedWaitlist {
    fn plain(&self, update: Option<Update>) -> Option<Update> {
        let mut update = update?;
        match self.bug {
            WaitlistBug::FlagNotTold => update.items.iter_mut().for_each(|level| level.waiting = false),
            WaitlistBug::FlagKept => update.items.iter_mut().for_each(|level| level.waiting = true),
            _ => {}
        }
        Some(update)
    }

    fn name(&self) -> String {
        format!("nobody~{}", self.made_up.fetch_add(1, Ordering::Relaxed))
    }

    /// Takes the units of an offer once more, under a made-up name.
    async fn take_again(&self, sale: &SaleId, ask: &Accept) -> Result<(), BackendError> {
        let more = Change::Adjust { item: ask.lines[0].item.clone(), by: i64::from(ask.lines[0].units.units()) };
        let key = Key::new(&self.name().replace('~', "-")).expect("a key");
        let _ = self.inner.change(sale, &key, &more).await?;
        let id = OrderId::new(&self.name()).expect("a name");
        // As an offer to one who waits: the public would be refused.
        let member = id.buyer();
        let join = Join { item: ask.lines[0].item.clone(), member, units: ask.lines[0].units };
        let again = match self.inner.join(sale, &[join]).await?.0.remove(0) {
            Joined::Done(wish) => Accept { id: wish.offer, ..ask.clone() },
            // Nobody waits: it can be bought.
            _ => Accept { id, then: Then::Keep, ..ask.clone() },
        };
        self.inner.accept(sale, &[again]).await?;
        Ok(())
    }
}

#[async_trait]
impl StockLedger for PlantedWaitlist {
    fn durability(&self) -> Durability {
        self.inner.durability()
    }

    async fn open(&self, sale: &Sale) -> Result<Result<(), ChangeRefusal>, BackendError> {
        self.inner.open(sale).await
    }

    async fn sales(&self) -> Result<Vec<SaleId>, BackendError> {
        self.inner.sales().await
    }

    async fn totals(&self, sale: &SaleId) -> Result<Option<Totals>, BackendError> {
        let mut totals = self.inner.totals(sale).await?;
        if self.bug == WaitlistBug::FlagNotTold {
            totals.iter_mut().flat_map(|totals| &mut totals.items).for_each(|item| item.waiting = false);
        }
        Ok(totals)
    }

    async fn adopt(&self, sale: &SaleId, nonce: Nonce, epoch: Epoch) -> Result<Adopted, BackendError> {
        self.inner.adopt(sale, nonce, epoch).await
    }

    async fn answers<'a>(
        &self,
        sale: &SaleId,
        after: Option<&'a OrderId>,
        limit: usize,
    ) -> Result<Answers, BackendError> {
        self.inner.answers(sale, after, limit).await
    }

    async fn accept(&self, sale: &SaleId, batch: &[Accept]) -> Result<Accepted, BackendError> {
        let before = self.inner.snapshot();
        let mut accepted = self.inner.accept(sale, batch).await?;
        let offers = batch.iter().zip(&accepted.answers).filter(|(ask, _)| ask.is_offer());
        let offers: Vec<(Accept, Acceptance)> = offers.map(|(ask, answer)| (ask.clone(), answer.clone())).collect();
        for (ask, answer) in &offers {
            match (self.bug, answer) {
                (WaitlistBug::OfferedTwice, Acceptance::Already(_)) => self.take_again(sale, ask).await?,
                (WaitlistBug::OneUnitForTwo, Acceptance::NotOffered(_)) => {
                    self.take_again(sale, ask).await?;
                    let order = Order { id: ask.id.clone(), ..self.inner.orders()[0].as_ref().clone() };
                    let at = batch.iter().position(|other| other.id == ask.id).unwrap_or_default();
                    accepted.answers[at] = Acceptance::Decided(Arc::new(order));
                }
                (WaitlistBug::WishNotMoved, Acceptance::Decided(_)) => {
                    // What was told did not happen.
                    self.inner.restore(before.clone());
                    return Ok(accepted);
                }
                _ => {}
            }
        }
        accepted.update = self.plain(accepted.update);
        Ok(accepted)
    }

    async fn cancel(&self, sale: &SaleId, batch: &[Cancel]) -> Result<(Vec<Cancelled>, Option<Update>), BackendError> {
        let (answers, update) = self.inner.cancel(sale, batch).await?;
        Ok((answers, self.plain(update)))
    }

    async fn follow(
        &self,
        sale: &SaleId,
        nonce: Nonce,
        version: Version,
        lapsed: HoldNo,
    ) -> Result<Followed, BackendError> {
        Ok(match self.inner.follow(sale, nonce, version, lapsed).await? {
            Followed::Update(update) => Followed::Update(self.plain(Some(update)).expect("an update")),
            told => told,
        })
    }

    async fn change(
        &self,
        sale: &SaleId,
        id: &Key,
        change: &Change,
    ) -> Result<Result<Option<Update>, ChangeRefusal>, BackendError> {
        Ok(self.inner.change(sale, id, change).await?.map(|update| self.plain(update)))
    }

    async fn forget(&self, sale: &SaleId, before: Timestamp, limit: usize) -> Result<usize, BackendError> {
        self.inner.forget(sale, before, limit).await
    }
}

#[async_trait]
impl OrderLedger for PlantedWaitlist {
    async fn append(&self, sale: &SaleId, batch: &[Append]) -> Result<(Vec<Appended>, Option<Update>), BackendError> {
        let (answers, update) = self.inner.append(sale, batch).await?;
        Ok((answers, self.plain(update)))
    }

    async fn load(&self, ids: &[OrderId]) -> Result<(Vec<Option<Arc<Order>>>, Timestamp), BackendError> {
        self.inner.load(ids).await
    }

    async fn due(&self, limit: usize) -> Result<(Vec<Arc<Order>>, Timestamp), BackendError> {
        self.inner.due(limit).await
    }

    async fn list(&self, query: &OrderQuery) -> Result<Vec<Arc<Order>>, BackendError> {
        self.inner.list(query).await
    }

    async fn stuck(&self, limit: usize) -> Result<Vec<Arc<Order>>, BackendError> {
        self.inner.stuck(limit).await
    }
}

#[async_trait]
impl WaitlistLedger for PlantedWaitlist {
    async fn join(&self, sale: &SaleId, batch: &[Join]) -> Result<(Vec<Joined>, Option<Update>), BackendError> {
        if self.bug == WaitlistBug::JoinInTwoSteps {
            // Reads, and lets others in before it writes what it read.
            let read = self.inner.snapshot();
            tokio::task::yield_now().await;
            let meanwhile = self.inner.snapshot();
            self.inner.restore(read);
            let (joined, update) = self.inner.join(sale, batch).await?;
            if matches!(joined.first(), Some(Joined::Done(_))) {
                self.inner.restore(meanwhile);
            }
            return Ok((joined, update));
        }
        let (joined, update) = self.inner.join(sale, batch).await?;
        Ok((joined, self.plain(update)))
    }

    async fn leave(&self, sale: &SaleId, batch: &[Leave]) -> Result<(Vec<Left>, Option<Update>), BackendError> {
        let (left, update) = self.inner.leave(sale, batch).await?;
        Ok((left, self.plain(update)))
    }

    async fn end(&self, sale: &SaleId, limit: usize) -> Result<(usize, Option<Update>), BackendError> {
        let (count, update) = self.inner.end(sale, limit).await?;
        Ok((count, self.plain(update)))
    }

    async fn gather(&self, wishes: &[OrderId]) -> Result<(), BackendError> {
        self.inner.gather(wishes).await
    }

    async fn sought(&self, limit: usize) -> Result<(Vec<Sought>, Timestamp), BackendError> {
        self.inner.sought(limit).await
    }

    async fn line(&self, sale: &SaleId, item: &ItemId, limit: usize) -> Result<Option<Line>, BackendError> {
        self.inner.line(sale, item, limit).await
    }

    async fn place(&self, sale: &SaleId, item: &ItemId, member: &BuyerId) -> Result<Option<Place>, BackendError> {
        let mut place = self.inner.place(sale, item, member).await?;
        if self.bug == WaitlistBug::WishNotFollowed
            && let Some(place) = &mut place
            && !place.wish.state.is_open()
            && place.wish.why != Some(Parting::Member)
        {
            place.wish.state = flashsale_core::waitlist::WishState::Offered;
        }
        Ok(place)
    }

    async fn wishes(&self, member: &BuyerId, limit: usize) -> Result<Vec<Wish>, BackendError> {
        self.inner.wishes(member, limit).await
    }
}

#[async_trait]
impl Outbox for PlantedWaitlist {
    async fn unsent(&self, after: Option<OutboxNo>, limit: usize) -> Result<Vec<(OutboxNo, Event)>, BackendError> {
        self.inner.unsent(after, limit).await
    }

    async fn sent(&self, rows: &[OutboxNo]) -> Result<(), BackendError> {
        self.inner.sent(rows).await
    }

    async fn put(&self, events: &[Event]) -> Result<(), BackendError> {
        self.inner.put(events).await
    }

    async fn history(&self, subject: &str) -> Result<Vec<Event>, BackendError> {
        self.inner.history(subject).await
    }

    async fn prune(&self, before: Timestamp, limit: usize) -> Result<usize, BackendError> {
        self.inner.prune(before, limit).await
    }
}

/// Makes ledgers with this bug.
#[derive(Debug)]
pub struct PlantedWaitlists {
    clock: Arc<ManualClock>,
    bug: WaitlistBug,
}

impl PlantedWaitlists {
    /// A fixture of ledgers with this bug.
    #[must_use]
    pub fn with(bug: WaitlistBug) -> Self {
        Self { clock: fixture::clock(), bug }
    }
}

#[async_trait]
impl Fixture for PlantedWaitlists {
    type Port = PlantedWaitlist;

    async fn fresh(&self) -> PlantedWaitlist {
        PlantedWaitlist { inner: MemoryLedger::new(self.clock.clone(), 1), bug: self.bug, made_up: AtomicU32::new(0) }
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }
}
