//! `Coupons`: claims, quotes, and what a member has. A claim is an order of the window's sale.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use crate::coupon::{At, Campaign, ClaimRefusal, Coupon, CouponLedger, CouponRefusal, Opening};
use crate::engine::intake::Taken;
use crate::engine::lane::{Answer, Lane, Placed};
use crate::engine::stock::Stock;
use crate::engine::workers::Workers;
use crate::error::{BackendError, Error, ErrorKind};
use crate::event::{Event, Fact, Outbox};
use crate::id::{BuyerId, CampaignId, ContentHash, CouponId, Key, Method, OrderId, SaleId};
use crate::order::{OrderRefusal, Recorded};
use crate::payment::Split;
use crate::sale::Lines;
use crate::stock::{Accept, ChangeRefusal, Counted, ReserveRefusal, Standing, Then};
use crate::time::Timestamp;
use crate::trace::TraceParent;
use crate::unit::{Money, Quantity};

/// Coupons alone, or as part of the full system. A clone is the same one.
#[derive(Debug, Clone)]
pub struct Coupons {
    stock: Stock,
    ledger: Arc<dyn CouponLedger>,
    outbox: Option<Arc<dyn Outbox>>,
    /// Terms as they were read a moment ago: a rush of claims reads them once.
    terms: Arc<Mutex<Terms>>,
    /// Held while a window is written down: the first claims of a rush do it once.
    opening: Arc<Mutex<()>>,
    trace: Option<TraceParent>,
}

/// Terms, and when they were read.
type Terms = BTreeMap<CampaignId, (Timestamp, Arc<Campaign>)>;

/// How long terms are taken as read: a change by another node is seen that much later.
const TERMS_FOR: Duration = Duration::from_secs(1);

/// A coupon that a claim got, and whether this claim issued it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// The coupon.
    pub coupon: Coupon,
    /// First answer or repeat.
    pub answer: Answer,
}

/// What a claim that was to be recorded is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TakenClaim {
    /// Held and recorded: the ledger has not decided. The coupon that it would get has this name.
    Recorded(CouponId, Arc<Recorded>),
    /// The ledger had decided it before.
    Claimed(Claimed),
}

/// A claim on its way: what the ledger is asked, and what it is about.
struct Claim {
    terms: Arc<Campaign>,
    window: Opening,
    coupon: Coupon,
    lane: Arc<Lane>,
    accept: Accept,
}

/// Where a campaign stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CampaignView {
    /// Its terms.
    pub campaign: Campaign,
    /// The window that is open, if one is.
    pub window: Option<Opening>,
    /// When the next one opens, if there is one.
    pub next_opens_at: Option<Timestamp>,
    /// Coupons left in the open window; `None` before its first claim.
    pub left: Option<u32>,
    /// The time of this view.
    pub now: Timestamp,
}

impl Coupons {
    /// Coupons over a stock whose ledger also keeps coupons. The gate of that stock is optional: SQL alone is correct.
    #[must_use]
    pub fn new(stock: Stock, ledger: Arc<dyn CouponLedger>) -> Self {
        Self { stock, ledger, outbox: None, terms: Arc::default(), opening: Arc::default(), trace: None }
    }

    /// Tells `campaign.window_opened` through this outbox.
    #[must_use]
    pub fn telling(self, outbox: Arc<dyn Outbox>) -> Self {
        Self { outbox: Some(outbox), ..self }
    }

    /// The same coupons, for a request that stands in this trace: the facts that it causes carry it.
    #[must_use]
    pub fn traced(&self, trace: TraceParent) -> Self {
        Self { trace: Some(trace), ..self.clone() }
    }

    /// Writes down campaigns. The terms of a known one are replaced; a window that has opened keeps its own.
    ///
    /// # Errors
    /// [`BackendError`].
    pub async fn open(&self, campaigns: &[Campaign]) -> Result<(), BackendError> {
        self.ledger.campaigns_put(campaigns).await?;
        self.terms.lock().await.clear();
        Ok(())
    }

    /// The terms of a campaign, at most [`TERMS_FOR`] old.
    async fn terms(&self, id: &CampaignId) -> Result<Option<Arc<Campaign>>, BackendError> {
        let now = self.now();
        // Held over the read: a thousand claims at once read the terms once.
        let mut terms = self.terms.lock().await;
        if let Some((read, campaign)) = terms.get(id)
            && now.since(*read) < TERMS_FOR
        {
            return Ok(Some(campaign.clone()));
        }
        let Some(campaign) = self.ledger.campaign(id).await?.map(Arc::new) else { return Ok(None) };
        terms.insert(id.clone(), (now, campaign.clone()));
        Ok(Some(campaign))
    }

    /// Claims the coupon of the window that is open now.
    ///
    /// # Errors
    /// [`ClaimRefusal`] in its precedence order. A [`BackendError`] means that nothing was promised: repeat with the same key.
    ///
    /// # Cancel safety
    /// Dropping the future tears nothing; a repeat under the same key finds the outcome.
    pub async fn claim(
        &self,
        campaign: &CampaignId,
        member: &BuyerId,
        key: Key,
    ) -> Result<Claimed, Error<ClaimRefusal>> {
        let Claim { terms, window, coupon, lane, accept } = self.ask(campaign, member, &key).await?;
        match lane.place(accept, Standing::Public).await {
            Ok(placed) => self.claimed(&terms, coupon, placed).await,
            Err(Error::Refused(refusal)) => Err(refused(&terms, &window, coupon.id, refusal)),
            Err(Error::Backend(error)) => Err(Error::Backend(error)),
        }
    }

    /// Records the claim of a coupon of the window that is open now: held by the gate, appended to the log, answered. The ledger issues it, or
    /// refuses it, later: [`Coupons::coupon`] finds it then, [`Coupons::recorded`] until then, and a repeat is told how it was decided.
    ///
    /// # Errors
    /// As [`Coupons::claim`]; *misconfigured* where no log is wired.
    ///
    /// # Cancel safety
    /// As [`Coupons::claim`].
    pub async fn record(
        &self,
        campaign: &CampaignId,
        member: &BuyerId,
        key: Key,
    ) -> Result<TakenClaim, Error<ClaimRefusal>> {
        let Claim { terms, window, coupon, lane, accept } = self.ask(campaign, member, &key).await?;
        match lane.record(accept).await {
            // Of a repeat across the edge of a window it is the first claim that is recorded.
            Ok(Taken::Recorded(record)) => match &record.accept.then {
                Then::Issue(coupon) => Ok(TakenClaim::Recorded(coupon.id.clone(), record)),
                _ => Err(BackendError::corrupt("coupons.record", "the record of a claim issues no coupon").into()),
            },
            Ok(Taken::Decided(placed)) => self.claimed(&terms, coupon, placed).await.map(TakenClaim::Claimed),
            Err(Error::Refused(refusal)) => Err(refused(&terms, &window, coupon.id, refusal)),
            Err(Error::Backend(error)) => Err(Error::Backend(error)),
        }
    }

    /// The recorded claim of this coupon, if this node knows of one and the ledger has not decided it; see
    /// [`Orders::status`](crate::engine::Orders::status) for what a node knows.
    #[must_use]
    pub fn recorded(&self, coupon: &CouponId) -> Option<Arc<Recorded>> {
        self.stock.lanes().street.recorded.of(coupon.as_str())
    }

    /// What the ledger is to be asked for a claim.
    async fn ask(&self, campaign: &CampaignId, member: &BuyerId, key: &Key) -> Result<Claim, Error<ClaimRefusal>> {
        let unknown = || Error::Refused(ClaimRefusal::UnknownCampaign(campaign.clone()));
        let terms = self.terms(campaign).await?.ok_or_else(unknown)?;
        let now = self.now();
        let window = match terms.at(now) {
            At::Open(window) => window,
            At::Before(opens_at) => return Err(Error::Refused(ClaimRefusal::NotOpen { opens_at })),
            At::Ended => return Err(Error::Refused(ClaimRefusal::Ended)),
        };
        let sale = self.window_sale(&terms, &window).await?;
        let coupon = terms.coupon(&window, member, now).map_err(|bad| defect(&bad))?;
        let accept = Accept {
            id: OrderId::scoped(member, campaign.as_str(), key).map_err(|bad| defect(&bad))?,
            // The window is left out: a repeat across its edge is the same claim, and finds the coupon of the first.
            hash: ContentHash::over([b"claim".as_slice(), campaign.as_str().as_bytes()]),
            lines: Lines::one(&Campaign::item(), Quantity::MIN),
            hold: None,
            expect: None,
            coupon: None,
            method: None,
            note: None,
            then: Then::Issue(Box::new(coupon.clone())),
            trace: self.trace,
        };
        let lane = self.stock.lane(&sale).await.map_err(|_| unavailable())?;
        Ok(Claim { terms, window, coupon, lane, accept })
    }

    /// The coupon of an answer: of a repeat, the one of the first.
    async fn claimed(&self, terms: &Campaign, coupon: Coupon, placed: Placed) -> Result<Claimed, Error<ClaimRefusal>> {
        let Placed { order, answer } = placed;
        if answer == Answer::First {
            return Ok(Claimed { coupon, answer });
        }
        let label = order.sale.as_str().strip_prefix(&format!("{}:", terms.id)).unwrap_or_default();
        let id = CouponId::of(&terms.id, label, &coupon.member).map_err(|bad| defect(&bad))?;
        match self.ledger.coupons(&[id]).await?.into_iter().next().flatten() {
            Some(coupon) => Ok(Claimed { coupon, answer }),
            None => Err(BackendError::corrupt("coupons.claim", "the claim has an order but no coupon").into()),
        }
    }

    /// The window's sale, written down at its first claim.
    async fn window_sale(&self, terms: &Campaign, window: &Opening) -> Result<SaleId, Error<ClaimRefusal>> {
        let sale = terms.sale(window).map_err(|bad| defect(&bad))?;
        if self.stock.lanes().known(&sale.id).is_some() {
            return Ok(sale.id);
        }
        let _alone = self.opening.lock().await;
        if self.stock.lanes().known(&sale.id).is_some() {
            return Ok(sale.id);
        }
        match self.stock.open(&sale).await {
            // Another terms' window: it keeps them.
            Ok(()) | Err(Error::Refused(ChangeRefusal::Conflict | ChangeRefusal::Closed)) => {}
            Err(Error::Refused(other)) => return Err(defect(&other)),
            Err(Error::Backend(error)) => return Err(Error::Backend(error)),
        }
        if let Some(outbox) = &self.outbox {
            let fact = Fact::CampaignWindowOpened {
                campaign: terms.id.clone(),
                window: window.label.clone(),
                cap: terms.cap.units(),
            };
            let event = Event {
                subject: terms.id.as_str().to_owned(),
                version: u64::try_from(window.opens_at.ms()).unwrap_or(0),
                sale: Some(sale.id.clone()),
                time: self.now(),
                fact,
                trace: self.trace,
            };
            outbox.put(&[event]).await?;
        }
        self.stock.lanes().lane(&sale.id).await?;
        Ok(sale.id)
    }

    /// What an amount would cost with a coupon, now, paid by wallet.
    ///
    /// # Errors
    /// [`CouponRefusal`] in its precedence order.
    pub async fn quote(
        &self,
        member: &BuyerId,
        coupon: &CouponId,
        amount: Money,
        method: Option<&Method>,
    ) -> Result<Split, Error<CouponRefusal>> {
        let coupon = self.ledger.coupons(std::slice::from_ref(coupon)).await?.into_iter().next().flatten();
        let coupon = coupon.ok_or(Error::Refused(CouponRefusal::NotYours))?;
        let off = coupon.off(member.as_str(), amount, method, self.now()).map_err(Error::Refused)?;
        Ok(Split::of(amount, off))
    }

    /// Where a campaign stands; `None` if there is no such campaign.
    ///
    /// # Errors
    /// [`BackendError`].
    pub async fn view(&self, id: &CampaignId) -> Result<Option<CampaignView>, BackendError> {
        let Some(campaign) = self.ledger.campaign(id).await? else { return Ok(None) };
        let now = self.now();
        let mut view = CampaignView { campaign, window: None, next_opens_at: None, left: None, now };
        match view.campaign.at(now) {
            At::Before(opens_at) => view.next_opens_at = Some(opens_at),
            At::Ended => {}
            At::Open(window) => {
                view.next_opens_at = view.campaign.next_after(&window);
                if let Ok(sale) = view.campaign.sale_id(&window.label) {
                    let totals = self.stock.totals(&sale).await?;
                    view.left = totals.and_then(|t| t.items.first().map(|i| i.total.saturating_sub(i.allocated)));
                }
                view.window = Some(window);
            }
        }
        Ok(Some(view))
    }

    /// All campaigns.
    ///
    /// # Errors
    /// [`BackendError`].
    pub async fn campaigns(&self) -> Result<Vec<Campaign>, BackendError> {
        self.ledger.campaigns().await
    }

    /// One coupon of a member; `None` if there is none of this name, or it is somebody else's.
    ///
    /// # Errors
    /// [`BackendError`].
    pub async fn coupon(&self, member: &BuyerId, id: &CouponId) -> Result<Option<Coupon>, BackendError> {
        let found = self.ledger.coupons(std::slice::from_ref(id)).await?.into_iter().next().flatten();
        Ok(found.filter(|coupon| coupon.member == *member))
    }

    /// Coupons of a member, in order of name, after `after`.
    ///
    /// # Errors
    /// [`BackendError`].
    pub async fn list(
        &self,
        member: &BuyerId,
        after: Option<&CouponId>,
        limit: usize,
    ) -> Result<Vec<Coupon>, BackendError> {
        self.ledger.coupons_of(member, after, limit).await
    }

    /// The passes that coupons alone need: those of the stock.
    #[must_use]
    pub fn workers(&self) -> Workers {
        self.stock.workers()
    }

    fn now(&self) -> Timestamp {
        self.stock.lanes().street.host.now()
    }
}

fn defect(bad: &dyn std::error::Error) -> Error<ClaimRefusal> {
    BackendError::new(ErrorKind::Misconfigured, "coupons.claim", bad.to_string()).into()
}

fn unavailable() -> Error<ClaimRefusal> {
    BackendError::unavailable("coupons.claim", "the window is being opened").into()
}

/// What a claimant is told of stock's refusal.
fn refused(terms: &Campaign, window: &Opening, coupon: CouponId, refusal: OrderRefusal) -> Error<ClaimRefusal> {
    let next_opens_at = terms.next_after(window);
    let over = || match next_opens_at {
        Some(opens_at) => ClaimRefusal::NotOpen { opens_at },
        None => ClaimRefusal::Ended,
    };
    Error::Refused(match refusal {
        OrderRefusal::Gate(ReserveRefusal::Conflict) => ClaimRefusal::Conflict,
        OrderRefusal::Gate(ReserveRefusal::Paused) => ClaimRefusal::Paused,
        // The gate's clock decides at the edge of a window (hole 37).
        OrderRefusal::Gate(ReserveRefusal::NotOpen { opens_at }) => ClaimRefusal::NotOpen { opens_at },
        OrderRefusal::Gate(ReserveRefusal::Closed) => over(),
        OrderRefusal::Ledger(order) if order.reason == Some(crate::order::Reason::Closed) => over(),
        OrderRefusal::Gate(ReserveRefusal::Limit { by, .. }) => ClaimRefusal::AlreadyClaimed { coupon, by },
        OrderRefusal::Gate(ReserveRefusal::AllHeld { .. }) => ClaimRefusal::AllHeld,
        OrderRefusal::Ledger(order) if order.reason == Some(crate::order::Reason::BuyerLimit) => {
            ClaimRefusal::AlreadyClaimed { coupon, by: Counted::Bought }
        }
        _ => ClaimRefusal::Exhausted { next_opens_at },
    })
}
