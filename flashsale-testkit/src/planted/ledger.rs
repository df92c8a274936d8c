//! Ledgers with a bug.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use flashsale_core::error::BackendError;
use flashsale_core::memory::MemoryLedger;
use flashsale_core::sale::Lines;
use flashsale_core::stock::{
    Accept, Acceptance, Accepted, Adopted, Answers, Cancel, Cancelled, Change, ChangeRefusal, Durability, Epoch,
    Followed, HoldNo, Nonce, Order, OrderState, StockLedger, Totals, Update, Version,
};
use flashsale_core::{ItemId, Key, ManualClock, OrderId, Quantity, Sale, SaleId, Timestamp};

use crate::{Fixture, fixture};

/// What is wrong with a ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LedgerBug {
    /// Nothing.
    Nothing,
    /// A sealed hold is accepted.
    SealNotChecked,
    /// What lapsed is not written down.
    SealNotWritten,
    /// A hold of a gate that was replaced is accepted.
    EpochNotChecked,
    /// One unit more than the cap is sold.
    CapOffByOne,
    /// The limit per buyer is one too high.
    LimitOffByOne,
    /// A second cancel gives the units back again.
    RestoreTwice,
    /// A refusal leaves no row: the same id is decided twice.
    RefusalNotRecorded,
    /// Of an order that has several lines, those that fit are accepted.
    LinesTornApart,
    /// The number of a version is compared, its tag is not.
    TagNotCompared,
    /// A gate is adopted whatever the epoch was.
    AdoptWithoutCompare,
    /// A change is made again when it is asked for again.
    ChangeMadeTwice,
    /// The follower is told the levels, not the orders.
    FollowForgetsOrders,
    /// Versions are forgotten however young they are.
    VersionsForgottenEarly,
    /// Each batch numbers its orders from 1.
    NumbersBegunAnew,
    /// A second cancel counts an order once more that has left the payment line.
    ServedTwice,
}

/// A memory ledger with a bug.
#[derive(Debug)]
pub struct PlantedLedger {
    inner: MemoryLedger,
    bug: LedgerBug,
    excess: Mutex<Excess>,
}

/// What a bug has done too often.
#[derive(Debug, Default)]
struct Excess {
    /// Units that were given back once more.
    units: BTreeMap<(SaleId, ItemId), u32>,
    /// How many names were made up for changes.
    names: u32,
    /// Cancels of what had ended before.
    repeats: u64,
}

impl PlantedLedger {
    fn excess(&self) -> MutexGuard<'_, Excess> {
        self.excess.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn made_up(&self) -> Key {
        let mut excess = self.excess();
        excess.names += 1;
        Key::new(&format!("made-up-{}", excess.names)).expect("a key")
    }

    async fn give_back_again(&self, sale: &SaleId, lines: &Lines) -> Result<(), BackendError> {
        for line in lines.iter() {
            let units = line.units.units();
            *self.excess().units.entry((sale.clone(), line.item.clone())).or_default() += units;
            let more = Change::Adjust { item: line.item.clone(), by: i64::from(units) };
            let _ = self.inner.change(sale, &self.made_up(), &more).await?;
        }
        Ok(())
    }

    /// Decides, and forgets what was refused.
    async fn forgetting_refusals(&self, sale: &SaleId, batch: &[Accept]) -> Result<Accepted, BackendError> {
        let before = self.inner.snapshot();
        let first = self.inner.accept(sale, batch).await?;
        let refused =
            |answer: &Acceptance| matches!(answer, Acceptance::Decided(order) if order.state == OrderState::Refused);
        if !first.answers.iter().any(refused) {
            return Ok(first);
        }
        self.inner.restore(before);
        let kept: Vec<Accept> = batch
            .iter()
            .zip(&first.answers)
            .filter(|(_, answer)| !refused(answer))
            .map(|(ask, _)| ask.clone())
            .collect();
        let second = self.inner.accept(sale, &kept).await?;
        let mut rest = second.answers.into_iter();
        let answers = first
            .answers
            .into_iter()
            .map(|answer| if refused(&answer) { answer } else { rest.next().expect("one answer per request") });
        Ok(Accepted { answers: answers.collect(), update: second.update })
    }
}

#[async_trait]
impl StockLedger for PlantedLedger {
    fn durability(&self) -> Durability {
        self.inner.durability()
    }

    async fn open(&self, sale: &Sale) -> Result<Result<(), ChangeRefusal>, BackendError> {
        let mut sale = sale.clone();
        for item in &mut sale.items {
            let more = |units: Quantity| Quantity::new(u64::from(units.units()) + 1).unwrap_or(units);
            match self.bug {
                LedgerBug::CapOffByOne => item.total = more(item.total),
                LedgerBug::LimitOffByOne => item.per_buyer = more(item.per_buyer),
                _ => {}
            }
        }
        self.inner.open(&sale).await
    }

    async fn sales(&self) -> Result<Vec<SaleId>, BackendError> {
        self.inner.sales().await
    }

    async fn totals(&self, sale: &SaleId) -> Result<Option<Totals>, BackendError> {
        let mut totals = self.inner.totals(sale).await?;
        for row in totals.iter_mut().flat_map(|totals| &mut totals.items) {
            let excess = self.excess().units.get(&(sale.clone(), row.item.clone())).copied().unwrap_or(0);
            row.total = row.total.saturating_sub(excess);
            row.allocated = row.allocated.saturating_sub(excess);
        }
        if let Some(totals) = &mut totals {
            totals.line.served += self.excess().repeats;
        }
        Ok(totals)
    }

    async fn adopt(&self, sale: &SaleId, nonce: Nonce, epoch: Epoch) -> Result<Adopted, BackendError> {
        let now = self.inner.totals(sale).await?.map_or(epoch, |totals| totals.epoch);
        let epoch = if self.bug == LedgerBug::AdoptWithoutCompare { now } else { epoch };
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
        let totals = self.inner.totals(sale).await?;
        let mut asks = batch.to_vec();
        for ask in &mut asks {
            match self.bug {
                LedgerBug::SealNotChecked => ask.hold = ask.hold.map(|(epoch, _)| (epoch, HoldNo(u64::MAX))),
                LedgerBug::EpochNotChecked => {
                    let epoch = totals.as_ref().map(|totals| totals.epoch);
                    ask.hold = ask.hold.map(|(was, no)| (epoch.unwrap_or(was), no));
                }
                LedgerBug::LinesTornApart => {
                    let fits = |line: &&flashsale_core::sale::Line| {
                        let row = totals.iter().flat_map(|t| &t.items).find(|row| row.item == line.item);
                        row.is_none_or(|row| row.total - row.allocated >= line.units.units())
                    };
                    let fitting: Vec<_> = ask.lines.iter().filter(fits).cloned().collect();
                    ask.lines = Lines::new(fitting).unwrap_or_else(|_| ask.lines.clone());
                }
                LedgerBug::RefusalNotRecorded => return self.forgetting_refusals(sale, batch).await,
                _ => {}
            }
        }
        let mut accepted = self.inner.accept(sale, &asks).await?;
        if self.bug == LedgerBug::NumbersBegunAnew {
            let before = totals.map_or(0, |totals| totals.line.issued);
            for answer in &mut accepted.answers {
                if let Acceptance::Decided(order) = answer {
                    let pay_no = order.pay_no.map(|no| no - before);
                    *order = Arc::new(Order { pay_no, ..order.as_ref().clone() });
                }
            }
        }
        Ok(accepted)
    }

    async fn cancel(&self, sale: &SaleId, batch: &[Cancel]) -> Result<(Vec<Cancelled>, Option<Update>), BackendError> {
        let (answers, update) = self.inner.cancel(sale, batch).await?;
        if self.bug == LedgerBug::RestoreTwice {
            for answer in &answers {
                if let Cancelled::Already(order) = answer
                    && order.state == OrderState::Cancelled
                {
                    self.give_back_again(sale, &order.lines).await?;
                }
            }
        }
        if self.bug == LedgerBug::ServedTwice {
            self.excess().repeats +=
                answers.iter().filter(|answer| matches!(answer, Cancelled::Already(_))).count() as u64;
        }
        Ok((answers, update))
    }

    async fn follow(
        &self,
        sale: &SaleId,
        nonce: Nonce,
        version: Version,
        lapsed: HoldNo,
    ) -> Result<Followed, BackendError> {
        let lapsed = if self.bug == LedgerBug::SealNotWritten { HoldNo(0) } else { lapsed };
        let told = self.inner.follow(sale, nonce, version, lapsed).await?;
        Ok(match told {
            Followed::Rewound if self.bug == LedgerBug::TagNotCompared => Followed::Current,
            Followed::Update(update) if self.bug == LedgerBug::FollowForgetsOrders => {
                Followed::Update(Update { orders: vec![], ..update })
            }
            told => told,
        })
    }

    async fn change(
        &self,
        sale: &SaleId,
        id: &Key,
        change: &Change,
    ) -> Result<Result<Option<Update>, ChangeRefusal>, BackendError> {
        let told = self.inner.change(sale, id, change).await?;
        if self.bug == LedgerBug::ChangeMadeTwice && told == Ok(None) {
            return self.inner.change(sale, &self.made_up(), change).await;
        }
        Ok(told)
    }

    async fn forget(&self, sale: &SaleId, before: Timestamp, limit: usize) -> Result<usize, BackendError> {
        let before = if self.bug == LedgerBug::VersionsForgottenEarly { Timestamp::FAR } else { before };
        self.inner.forget(sale, before, limit).await
    }
}

/// Makes ledgers with this bug.
#[derive(Debug)]
pub struct PlantedLedgers {
    clock: Arc<ManualClock>,
    bug: LedgerBug,
}

impl PlantedLedgers {
    /// A fixture of ledgers with this bug.
    #[must_use]
    pub fn with(bug: LedgerBug) -> Self {
        Self { clock: fixture::clock(), bug }
    }
}

#[async_trait]
impl Fixture for PlantedLedgers {
    type Port = PlantedLedger;

    async fn fresh(&self) -> PlantedLedger {
        let inner = MemoryLedger::new(self.clock.clone(), 1);
        PlantedLedger { inner, bug: self.bug, excess: Mutex::default() }
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }
}
