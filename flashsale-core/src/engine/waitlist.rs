//! `Waitlist`: wishes, and the offers that they become. The offering itself is a pass.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::engine::batch::Calls;
use crate::engine::drive::{Driven, Driver, Inbound};
use crate::engine::lane::Answer;
use crate::engine::pass;
use crate::engine::stock::Stock;
use crate::engine::workers::Workers;
use crate::error::{BackendError, Error};
use crate::id::{BuyerId, ItemId, OrderId, SaleId};
use crate::order::{Input, Order, Verdict};
use crate::stock::OrderState;
use crate::time::Timestamp;
use crate::unit::Quantity;
use crate::waitlist::{
    Join, JoinRefusal, Joined, Leave, LeaveRefusal, Left, Parting, Place, TakeRefusal, WaitlistLedger, Wish, WishState,
};

/// How many wishes of a member are looked through for his open offers: he has at most one open wish for each item.
const OF_MEMBER: usize = 256;

/// The waitlist, alone or as part of the full system. A clone is the same one.
#[derive(Debug, Clone)]
pub struct Waitlist {
    stock: Stock,
    ledger: Arc<dyn WaitlistLedger>,
    driver: Driver,
    paid: Paid,
    /// Single requests that become batches.
    joins: Arc<Calls<(SaleId, Join), Joined>>,
}

/// Who sees to the payment of an offer that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paid {
    /// The saga: it has the sale's time to be paid.
    BySaga,
    /// The embedder: it stays accepted.
    Elsewhere,
}

/// A wish that somebody joined with, and whether this request wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wished {
    /// The wish.
    pub wish: Wish,
    /// First answer or repeat.
    pub answer: Answer,
}

/// Units that are allocated to a member until he takes them, declines, or lets them lapse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The wish that it answers.
    pub wish: Wish,
    /// The order that it is.
    pub order: Arc<Order>,
    /// Until when he can take it. `None`: he was not told yet, and his time has not begun.
    pub until: Option<Timestamp>,
}

impl Waitlist {
    /// A waitlist over a stock whose ledger also keeps wishes. An offer that is taken stays accepted: payment is the embedder's.
    ///
    /// Run [`Waitlist::workers`] beside [`Stock::workers`], and tell [`Waitlist::offer_told`] when somebody was told. In the full system the hand-over of the notice tells it.
    #[must_use]
    pub fn new(stock: Stock, ledger: Arc<dyn WaitlistLedger>) -> Self {
        let driver = Driver::new(ledger.clone(), stock.lanes().clone());
        Self::over(stock, ledger, driver, Paid::Elsewhere)
    }

    pub(crate) fn over(stock: Stock, ledger: Arc<dyn WaitlistLedger>, driver: Driver, paid: Paid) -> Self {
        let street = &stock.lanes().street;
        let bounds = (street.settings.accept_max, street.settings.queue_max);
        let (asked, lanes) = (ledger.clone(), stock.lanes().clone());
        let joins = Calls::new("waitlist.join", street.host.clone(), bounds, move |batch: Vec<(SaleId, Join)>| {
            let (ledger, lanes) = (asked.clone(), lanes.clone());
            async move {
                // A shutdown waits for it.
                let _in_flight = lanes.street.in_flight.entered();
                let mut sales: BTreeMap<SaleId, Vec<(usize, Join)>> = BTreeMap::new();
                let mut answers: Vec<Option<Joined>> = vec![None; batch.len()];
                for (n, (sale, join)) in batch.into_iter().enumerate() {
                    sales.entry(sale).or_default().push((n, join));
                }
                for (sale, joins) in sales {
                    let (numbers, joins): (Vec<usize>, Vec<Join>) = joins.into_iter().unzip();
                    let (joined, update) = ledger.join(&sale, &joins).await?;
                    lanes.street.told.notify_one();
                    if let (Some(update), Some(lane)) = (update, lanes.known(&sale)) {
                        lane.hint(&update).await;
                    }
                    for (n, joined) in numbers.into_iter().zip(joined) {
                        answers[n] = Some(joined);
                    }
                }
                Ok(answers.into_iter().flatten().collect())
            }
        });
        Self { stock, ledger, driver, paid, joins }
    }

    /// Puts a member at the end of the line of an item. The same wish again is the same wish.
    ///
    /// # Errors
    /// [`JoinRefusal`] in its precedence order.
    ///
    /// # Cancel safety
    /// Dropping the future tears nothing; a repeat finds the wish.
    pub async fn join(
        &self,
        sale: &SaleId,
        item: &ItemId,
        member: &BuyerId,
        units: Quantity,
    ) -> Result<Wished, Error<JoinRefusal>> {
        let join = Join { item: item.clone(), member: member.clone(), units };
        match self.joins.call((sale.clone(), join)).await? {
            Joined::Done(wish) => Ok(Wished { wish, answer: Answer::First }),
            Joined::Already(wish) if wish.units == units => Ok(Wished { wish, answer: Answer::Repeated }),
            Joined::Already(wish) => {
                let refusal = JoinRefusal::Already { item: wish.item, units: wish.units.units() };
                Err(Error::Refused(refusal))
            }
            Joined::Refused(refusal) => Err(Error::Refused(refusal)),
        }
    }

    /// Takes a member out of the line of an item. Repeats change nothing.
    ///
    /// # Errors
    /// [`LeaveRefusal`] in its precedence order.
    pub async fn leave(&self, sale: &SaleId, item: &ItemId, member: &BuyerId) -> Result<Wish, Error<LeaveRefusal>> {
        let unknown = || Error::Refused(LeaveRefusal::Unknown);
        let Place { wish, .. } = self.ledger.place(sale, item, member).await?.ok_or_else(unknown)?;
        let mut left = self.leaves(sale, &[Leave { offer: wish.offer, why: Parting::Member }]).await?;
        match left.pop() {
            Some(Left::Done(wish)) => Ok(wish),
            Some(Left::Already(wish)) if wish.state == WishState::Left => Ok(wish),
            Some(Left::Already(wish)) if wish.state == WishState::Offered => {
                Err(Error::Refused(LeaveRefusal::Offered(wish.offer)))
            }
            _ => Err(unknown()),
        }
    }

    pub(crate) async fn leaves(&self, sale: &SaleId, batch: &[Leave]) -> Result<Vec<Left>, BackendError> {
        let (left, update) = self.ledger.leave(sale, batch).await?;
        let lanes = self.stock.lanes();
        lanes.street.told.notify_one();
        if let (Some(update), Some(lane)) = (update, lanes.known(sale)) {
            lane.hint(&update).await;
        }
        Ok(left)
    }

    /// The latest wish of a member for an item, and how many wait before him; `None` if he never waited for it.
    ///
    /// # Errors
    /// [`BackendError`].
    pub async fn place(&self, sale: &SaleId, item: &ItemId, member: &BuyerId) -> Result<Option<Place>, BackendError> {
        self.ledger.place(sale, item, member).await
    }

    /// At most `limit` wishes of a member, latest first, whatever became of them.
    ///
    /// # Errors
    /// [`BackendError`].
    pub async fn wishes(&self, member: &BuyerId, limit: usize) -> Result<Vec<Wish>, BackendError> {
        self.ledger.wishes(member, limit).await
    }

    /// The open offers of a member, latest first, and the ledger's time.
    ///
    /// # Errors
    /// [`BackendError`].
    pub async fn offers(&self, member: &BuyerId) -> Result<(Vec<Offer>, Timestamp), BackendError> {
        let wishes = self.ledger.wishes(member, OF_MEMBER).await?;
        let offered: Vec<Wish> = wishes.into_iter().filter(|wish| wish.state == WishState::Offered).collect();
        let ids: Vec<OrderId> = offered.iter().map(|wish| wish.offer.clone()).collect();
        let (orders, now) = self.driver.ledger().load(&ids).await?;
        let open = offered.into_iter().zip(orders).filter_map(|(wish, order)| {
            // It may have been taken between the two reads.
            let order = order.filter(|order| order.state == OrderState::Offered)?;
            Some(Offer { wish, until: order.pay_by, order })
        });
        Ok((open.collect(), now))
    }

    /// The member takes an offer: it is an accepted order, and no unit moves. Repeats change nothing.
    ///
    /// # Errors
    /// [`TakeRefusal`] in its precedence order.
    pub async fn take(&self, offer: &OrderId) -> Result<Arc<Order>, Error<TakeRefusal>> {
        let pay_within = match self.paid {
            Paid::Elsewhere => None,
            Paid::BySaga => {
                let (rows, _) = self.driver.ledger().load(std::slice::from_ref(offer)).await?;
                let order = rows.into_iter().next().flatten().ok_or(Error::Refused(TakeRefusal::Unknown))?;
                let lane = self.stock.lanes().lane(&order.sale).await?;
                lane.map(|lane| lane.terms.pay_within)
            }
        };
        let driven = self.driver.one(inbound(offer, Input::OfferTaken { pay_within })).await?;
        answer(driven)
    }

    /// The member does not want an offer: its units go to the next. Repeats change nothing.
    ///
    /// # Errors
    /// [`TakeRefusal`] in its precedence order; one that was taken is [`TakeRefusal::NotAnOffer`]: cancel the order.
    pub async fn decline(&self, offer: &OrderId) -> Result<Arc<Order>, Error<TakeRefusal>> {
        let driven = self.driver.one(inbound(offer, Input::OfferDeclined)).await?;
        answer(driven)
    }

    /// The notice of an offer was handed over: the member's time to take it begins now, once. Tells until when.
    ///
    /// `None`: there is no open offer of this name, and nothing changed.
    ///
    /// # Errors
    /// [`BackendError`].
    pub async fn offer_told(&self, offer: &OrderId) -> Result<Option<Timestamp>, BackendError> {
        Ok(match self.driver.one(inbound(offer, Input::OfferTold)).await? {
            Driven::Moved(order) | Driven::Stayed(Verdict::Already, Some(order)) => order.pay_by,
            Driven::Stayed(..) => None,
        })
    }

    /// [`Self::offer_told`] of many, one append per sale.
    pub(crate) async fn offers_told(&self, offers: &[OrderId]) -> Result<(), BackendError> {
        let inputs = offers.iter().map(|offer| inbound(offer, Input::OfferTold)).collect();
        self.driver.many(inputs).await.map(drop)
    }

    /// The passes that a waitlist alone needs beside those of its stock: offer, and lapse.
    #[must_use]
    pub fn workers(&self) -> Workers {
        let host = self.stock.lanes().street.host.clone();
        Workers::new(host)
            .with(self.offering())
            .with(pass::Lapse { street: self.stock.lanes().street.clone(), driver: self.driver.clone() })
    }

    pub(crate) fn offering(&self) -> pass::Offer {
        pass::Offer { lanes: self.stock.lanes().clone(), ledger: self.ledger.clone(), waitlist: self.clone() }
    }
}

fn inbound(offer: &OrderId, input: Input) -> Inbound {
    Inbound { order: offer.clone(), input, trace: None }
}

fn answer(driven: Driven) -> Result<Arc<Order>, Error<TakeRefusal>> {
    match driven {
        Driven::Moved(order) | Driven::Stayed(Verdict::Already, Some(order)) => Ok(order),
        Driven::Stayed(Verdict::OfferLapsed, _) => Err(Error::Refused(TakeRefusal::Lapsed)),
        Driven::Stayed(_, Some(_)) => Err(Error::Refused(TakeRefusal::NotAnOffer)),
        Driven::Stayed(_, None) => Err(Error::Refused(TakeRefusal::Unknown)),
    }
}
