//! The buyers of a run: what they ask for, how they lose patience, and what they heard.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flashsale_core::coupon::ClaimRefusal;
use flashsale_core::engine::{Entrance, Offer, Status, Taken, TakenClaim};
use flashsale_core::order::{Order, OrderRefusal, OrderState, Reason};
use flashsale_core::queue::Standing as Place;
use flashsale_core::waitlist::TakeRefusal;
use flashsale_core::{
    BuyerId, CampaignId, CouponId, Error, FlashSale, ItemId, Key, OrderId, Purchase, Quantity, SaleId,
};
use futures_util::future::{Either, select};

use super::executor::World;
use super::plan::Plan;

/// How long a buyer waits for an answer if he is in no hurry.
const PATIENCE_MS: u64 = 10_000;

/// What a buyer heard of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// 2xx: accepted, with the number of its hold.
    Accepted(Option<u64>),
    /// The ledger refused it, for good.
    RefusedForGood(String),
    /// The gate refused it at this moment; `after` for want of units.
    Refused(String, Option<u64>),
    /// 503, or nothing.
    Nothing,
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Under which id.
    pub id: OrderId,
    /// How many units of each line's item.
    pub units: Vec<(String, u32)>,
    /// What was heard.
    pub heard: Heard,
}

/// Everything that buyers heard.
#[derive(Debug, Clone, Default)]
pub struct History(Arc<Mutex<Heardof>>);

#[derive(Debug, Default)]
struct Heardof {
    attempts: Vec<Attempt>,
    coupons: BTreeMap<CouponId, u32>,
    recorded: BTreeSet<OrderId>,
    gone: u32,
}

impl History {
    fn lock(&self) -> MutexGuard<'_, Heardof> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All attempts, in the order in which they ended.
    #[must_use]
    pub fn attempts(&self) -> Vec<Attempt> {
        self.lock().attempts.clone()
    }

    /// All coupons that were told to their members.
    #[must_use]
    pub fn coupons(&self) -> Vec<CouponId> {
        self.lock().coupons.keys().cloned().collect()
    }

    /// All requests of which a buyer was told that they are recorded.
    #[must_use]
    pub fn recorded(&self) -> Vec<OrderId> {
        self.lock().recorded.iter().cloned().collect()
    }

    /// How many buyers are done.
    #[must_use]
    pub fn gone(&self) -> u32 {
        self.lock().gone
    }
}

/// The nodes as buyers see them: whichever answers.
pub(crate) type Nodes = Arc<Mutex<Vec<Option<FlashSale>>>>;

/// The life of one buyer.
pub(crate) struct Buyer {
    pub(crate) number: u32,
    pub(crate) world: World,
    pub(crate) plan: Plan,
    pub(crate) nodes: Nodes,
    pub(crate) history: History,
    pub(crate) sale: SaleId,
    pub(crate) campaign: CampaignId,
}

impl Buyer {
    pub(crate) async fn live(self) {
        let name = BuyerId::new(&format!("buyer-{}", self.number)).expect("an id");
        self.pause(3_000).await;
        let coupon = if self.world.chance(500) { self.claim(&name).await } else { None };
        for n in 0..self.plan.purchases {
            self.pause(2_000).await;
            if self.world.chance(self.plan.through_room) {
                self.wait_for_turn(&name).await;
            }
            let purchase = self.draw(&name, n, coupon.as_ref());
            if let Some(id) = self.buy(&purchase).await {
                self.change_mind(&id).await;
            } else if self.world.chance(self.plan.waits) {
                self.wait(&name, &purchase.lines[0].item).await;
            }
        }
        self.history.lock().gone += 1;
    }

    async fn pause(&self, most_ms: u64) {
        self.world.sleep(Duration::from_millis(self.world.pick(most_ms))).await;
    }

    /// What a node answers within so many milliseconds; one that crashed answers nothing.
    async fn within<T>(&self, ms: u64, work: impl Future<Output = T>) -> Option<T> {
        match select(std::pin::pin!(work), self.world.sleep(Duration::from_millis(ms))).await {
            Either::Left((answer, _)) => Some(answer),
            Either::Right(_) => {
                self.world.count("buyer hangs up");
                None
            }
        }
    }

    fn node(&self) -> Option<FlashSale> {
        let nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        let at = usize::try_from(self.world.pick(nodes.len() as u64)).unwrap_or(0);
        nodes.get(at).cloned().flatten()
    }

    /// Waits in the room for his turn, with the ticket that he was given; some leave, some vanish, and buy all the same: no promise of the sale depends on
    /// the room.
    async fn wait_for_turn(&self, member: &BuyerId) {
        let mut ticket: Option<String> = None;
        for _ in 0..40 {
            if let Some(shop) = self.node()
                && let Some(room) = shop.rooms.known(&(&self.sale).into())
            {
                match self.within(PATIENCE_MS, room.enter(member, ticket.as_deref())).await {
                    Some(Ok(Entrance::Through(_))) => return self.world.count("nobody has to wait"),
                    Some(Ok(Entrance::New(view) | Entrance::Same(view))) => match view.place.standing {
                        Place::Turn(_) => return self.world.count("turn"),
                        Place::Waiting { .. } | Place::Absent { .. } => {
                            self.world.count("place in the room");
                            ticket = Some(view.ticket);
                        }
                        Place::Ended(_) => {}
                    },
                    Some(Err(_)) | None => {}
                }
                if self.world.chance(self.plan.fickle / 4) {
                    self.world.count("buyer leaves the room");
                    let _ = self.within(PATIENCE_MS, room.leave(member)).await;
                    return;
                }
                if self.world.chance(self.plan.fickle / 4) {
                    return self.world.count("buyer vanishes from the room");
                }
            }
            self.pause(2_000).await;
        }
    }

    fn draw(&self, buyer: &BuyerId, n: u32, coupon: Option<&CouponId>) -> Purchase {
        let key = Key::new(&format!("key-{n}")).expect("an id");
        let mut purchase = Purchase::of(&self.sale, buyer, key);
        let which = self.world.pick(3);
        for (item, wanted) in [("left", which != 1), ("right", which != 0)] {
            if wanted {
                purchase = purchase.line(item, 1 + self.world.pick(2)).expect("a line");
            }
        }
        match coupon {
            Some(coupon) if self.world.chance(500) => purchase.coupon(coupon.clone()),
            _ => purchase,
        }
    }

    /// Asks until there is an answer, under the same key: at other nodes, sometimes hanging up before it comes.
    async fn buy(&self, purchase: &Purchase) -> Option<OrderId> {
        for _ in 0..40 {
            let heard = self.ask(purchase).await;
            self.world.say(format_args!("{} hears {heard:?}", purchase.id()));
            let units = purchase.lines.iter().map(|line| (line.item.to_string(), line.units.units())).collect();
            self.history.lock().attempts.push(Attempt { id: purchase.id(), units, heard: heard.clone() });
            match heard {
                // Some ask again though they know: a double click, a page that is loaded anew.
                Heard::Accepted(_) if self.world.chance(200) => {}
                Heard::Accepted(_) => return Some(purchase.id()),
                // Some give up without ever knowing: their hold lapses, or their order arrives after all.
                Heard::Nothing if self.world.chance(self.plan.fickle / 2) => return None,
                Heard::Nothing => {}
                Heard::Refused(..) if self.world.chance(300) => {}
                Heard::Refused(..) | Heard::RefusedForGood(_) => return None,
            }
            self.pause(1_500).await;
        }
        None
    }

    async fn ask(&self, purchase: &Purchase) -> Heard {
        let Some(shop) = self.node() else { return Heard::Nothing };
        let patience = if self.world.chance(self.plan.fickle) { self.world.pick(300) } else { PATIENCE_MS };
        if self.world.chance(self.plan.through_log) {
            return self.record(&shop, purchase, patience).await;
        }
        let Some(placed) = self.within(patience, shop.orders.place(purchase)).await else { return Heard::Nothing };
        match placed {
            Ok(placed) => Heard::Accepted(placed.order.hold.map(|(_, no)| no.0)),
            Err(error) => failed(&error),
        }
    }

    /// Sends the request through the log, and looks at it, here and there, until it is decided.
    async fn record(&self, shop: &FlashSale, purchase: &Purchase, patience: u64) -> Heard {
        let Some(taken) = self.within(patience, shop.orders.record(purchase)).await else { return Heard::Nothing };
        match taken {
            Ok(Taken::Recorded(record)) => {
                self.world.count("recorded");
                self.world.say(format_args!("{} is recorded with {:?}", record.id(), record.no()));
                self.history.lock().recorded.insert(record.id().clone());
            }
            Ok(Taken::Decided(placed)) => return Heard::Accepted(placed.order.hold.map(|(_, no)| no.0)),
            Err(error) => return failed(&error),
        }
        for _ in 0..5 {
            self.pause(2_000).await;
            let Some(shop) = self.node() else { continue };
            let status = self.within(PATIENCE_MS, shop.orders.status(&purchase.id())).await;
            if let Some(Ok((Some(Status::Decided(order)), _))) = status {
                return decided(&order);
            }
        }
        Heard::Nothing
    }

    async fn claim(&self, member: &BuyerId) -> Option<CouponId> {
        let key = Key::new("claim-1").expect("an id");
        for _ in 0..40 {
            let Some(shop) = self.node() else {
                self.pause(1_000).await;
                continue;
            };
            let claim = async {
                if self.world.chance(self.plan.through_log) {
                    return shop.coupons.record(&self.campaign, member, key.clone()).await;
                }
                shop.coupons.claim(&self.campaign, member, key.clone()).await.map(TakenClaim::Claimed)
            };
            let Some(answer) = self.within(PATIENCE_MS, claim).await else { continue };
            match answer {
                Ok(TakenClaim::Recorded(_, record)) => {
                    self.world.count("claim recorded");
                    self.history.lock().recorded.insert(record.id().clone());
                    self.pause(1_500).await;
                }
                Ok(TakenClaim::Claimed(claimed)) => {
                    self.world.say(format_args!("{member} gets coupon {}", claimed.coupon.id));
                    *self.history.lock().coupons.entry(claimed.coupon.id.clone()).or_default() += 1;
                    return Some(claimed.coupon.id);
                }
                Err(Error::Refused(ClaimRefusal::AllHeld)) | Err(Error::Backend(_)) => self.pause(1_500).await,
                Err(Error::Refused(refusal)) => {
                    self.world.say(format_args!("{member} gets no coupon: {}", refusal.code()));
                    return None;
                }
            }
        }
        None
    }

    /// Waits for an item; takes what is offered, declines it, or lets it lapse; and leaves the line in the end.
    async fn wait(&self, member: &BuyerId, item: &ItemId) {
        let units = Quantity::new(1 + self.world.pick(2)).expect("a quantity");
        let joined = self.until_answered(|shop| {
            let (sale, item, member) = (self.sale.clone(), item.clone(), member.clone());
            async move { shop.waitlist.join(&sale, &item, &member, units).await }
        });
        match joined.await {
            Some(Ok(wished)) => {
                self.world.count("somebody waits");
                self.world.say(format_args!("{member} waits for {units} of {item}, number {}", wished.wish.number));
            }
            other => return self.world.say(format_args!("{member} does not wait for {item}: {other:?}")),
        }
        for _ in 0..8 {
            self.pause(3_000).await;
            let offers = self.until_answered(|shop| {
                let member = member.clone();
                async move { shop.waitlist.offers(&member).await.map_err(Error::<TakeRefusal>::Backend) }
            });
            let Some(Ok((offers, _))) = offers.await else { continue };
            let Some(offer) = offers.into_iter().find(|offer| offer.wish.item == *item) else { continue };
            return self.answer(&offer).await;
        }
        if self.world.chance(800) {
            self.world.count("buyer leaves the line");
            let left = self.until_answered(|shop| {
                let (sale, item, member) = (self.sale.clone(), item.clone(), member.clone());
                async move { shop.waitlist.leave(&sale, &item, &member).await }
            });
            let left = left.await.map(|left| left.map(|wish| wish.state).map_err(|error| error.to_string()));
            self.world.say(format_args!("{member} leaves the line of {item}: {left:?}"));
        }
    }

    async fn answer(&self, offer: &Offer) {
        let id = offer.order.id.clone();
        let say = |what: &'static str| {
            self.world.count(what);
            self.world.say(format_args!("{id}: {what}"));
        };
        match self.world.pick(4) {
            0 | 1 => {
                say("offer taken");
                let taken = self.until_answered(|shop| {
                    let id = id.clone();
                    async move { shop.waitlist.take(&id).await }
                });
                if let Some(Ok(order)) = taken.await {
                    let units = order.lines.iter().map(|line| (line.item.to_string(), line.units.units())).collect();
                    let attempt = Attempt { id: order.id.clone(), units, heard: Heard::Accepted(None) };
                    self.history.lock().attempts.push(attempt);
                }
            }
            2 => {
                say("offer declined");
                self.until_answered(|shop| {
                    let id = id.clone();
                    async move { shop.waitlist.decline(&id).await }
                })
                .await;
            }
            _ => say("offer left to lapse"),
        }
    }

    /// Asks one node after another until one answers; `None`: none did.
    async fn until_answered<T, E, F: Future<Output = Result<T, Error<E>>>>(
        &self,
        ask: impl Fn(FlashSale) -> F,
    ) -> Option<Result<T, Error<E>>> {
        for _ in 0..20 {
            if let Some(shop) = self.node() {
                match self.within(PATIENCE_MS, ask(shop)).await {
                    None | Some(Err(Error::Backend(_))) => {}
                    answer => return answer,
                }
            }
            self.pause(1_000).await;
        }
        None
    }

    async fn change_mind(&self, id: &OrderId) {
        if !self.world.chance(self.plan.fickle) {
            return;
        }
        self.pause(4_000).await;
        let Some(shop) = self.node() else { return };
        if self.world.chance(600) {
            self.world.count("buyer cancels");
            let answer = self.within(PATIENCE_MS, shop.orders.cancel(id)).await;
            let heard = answer.map(|answer| answer.map(|order| order.state).map_err(|error| error.to_string()));
            self.world.say(format_args!("{id} cancels: {heard:?}"));
        } else {
            self.world.count("buyer returns");
            let answer = self.within(PATIENCE_MS, shop.orders.take_back(id)).await;
            let heard = answer.map(|answer| answer.map(|order| order.state).map_err(|error| error.to_string()));
            self.world.say(format_args!("{id} returns: {heard:?}"));
        }
    }
}

/// What is heard of a row that the ledger decided.
fn decided(order: &Order) -> Heard {
    match order.state {
        OrderState::Refused => Heard::RefusedForGood(order.reason.map_or("refused", Reason::code).to_owned()),
        OrderState::Cancelled if order.ver == 1 => Heard::RefusedForGood("cancelled".to_owned()),
        _ => Heard::Accepted(order.hold.map(|(_, no)| no.0)),
    }
}

fn failed(error: &Error<OrderRefusal>) -> Heard {
    let Error::Refused(refusal) = error else { return Heard::Nothing };
    let code = refusal.code().to_owned();
    match refusal {
        OrderRefusal::Ledger(_) | OrderRefusal::Ended(_) => Heard::RefusedForGood(code),
        refusal => Heard::Refused(code, refusal.after().map(|no| no.0)),
    }
}
