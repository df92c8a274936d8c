//! Notices: which fact says what to whom, and the consumer that keeps them until they are handed over.
//!
//! The group's place is kept as soon as its notices are rows of the ledger, so a mail server that is slow or down holds no event up;
//! handing over is the pass [`Notify`](crate::engine::pass::Notify)'s. What waits for the hand-over of an offer's notice is a [`Told`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Notify as Wake;

use crate::engine::handler::{Consumer, Failed};
use crate::engine::lane::Street;
use crate::engine::waitlist::Waitlist;
use crate::error::BackendError;
use crate::event::{Event, Fact, Outbox};
use crate::id::{BuyerId, OrderId};
use crate::notice::{Message, Notice, NoticeKey, NoticeLedger, Notifier, Reach, Unsendable};
use crate::stock::Reason;
use crate::unit::Quantity;

/// The notice that an event is, if it is one. Its key is the event's id: a repeat is the same notice.
#[must_use]
pub fn notice_of(event: &Event) -> Option<Notice> {
    let (to, message) = message(&event.fact)?;
    let key = NoticeKey::new(event.id()).ok()?;
    Some(Notice { key, to, at: event.time, message })
}

/// What a fact says to whom.
fn message(fact: &Fact) -> Option<(BuyerId, Message)> {
    Some(match fact {
        Fact::OrderAccepted(order) => {
            let message = Message::OrderAccepted { order: order.order.clone(), pays: order.pays, pay_by: order.pay_by };
            (order.buyer.clone(), message)
        }
        Fact::OrderConfirmed(order) => {
            (order.buyer.clone(), Message::OrderConfirmed { order: order.order.clone(), pays: order.pays })
        }
        // Of an offer that lapsed its own fact tells.
        Fact::OrderCancelled { reason, .. } if reason == Reason::Lapsed.code() => return None,
        Fact::OrderCancelled { order, buyer, reason } => {
            (buyer.clone(), Message::OrderCancelled { order: order.clone(), reason: reason.clone() })
        }
        Fact::OrderReturned { order, buyer } => (buyer.clone(), Message::OrderReturned { order: order.clone() }),
        Fact::CouponIssued { coupon, campaign, member, until, .. } => {
            let message = Message::CouponIssued { coupon: coupon.clone(), campaign: campaign.clone(), until: *until };
            (member.clone(), message)
        }
        Fact::WaitlistOffered { offer, member, item, units, until: _ } => {
            // How long he has is the engine's policy and may change before he is told; the offer itself says it then.
            let (offer, item, units) = (offer.clone(), item.clone(), Quantity::new(u64::from(*units)).ok()?);
            (member.clone(), Message::OfferMade { offer, item, units, within: None })
        }
        Fact::WaitlistLapsed { offer, member, item, units } => {
            let (offer, item, units) = (offer.clone(), item.clone(), Quantity::new(u64::from(*units)).ok()?);
            (member.clone(), Message::OfferLapsed { offer, item, units })
        }
        _ => return None,
    })
}

/// The fact that a notice was handed over, or never will be.
pub(crate) fn outcome_fact(notice: &Notice, failed: Option<Unsendable>, street: &Street) -> Event {
    let (key, to) = (notice.key.as_str().to_owned(), notice.to.clone());
    let message = notice.message.kind().to_owned();
    let fact = match failed {
        None => Fact::NoticeSent { notice: key.clone(), to, message },
        Some(why) => Fact::NoticeFailed { notice: key.clone(), to, message, reason: why.code().to_owned() },
    };
    Event { subject: key, version: 1, sale: None, time: street.host.now(), fact, trace: None }
}

/// Wants to know when the notice of an offer is handed over: the time of the offer runs from then (hole 34).
///
/// A repeat changes nothing. An offer whose notice failed is never told.
#[async_trait]
pub(crate) trait Told: Debug + Send + Sync {
    async fn handed_over(&self, offers: &[OrderId]) -> Result<(), BackendError>;
}

#[async_trait]
impl Told for Waitlist {
    async fn handed_over(&self, offers: &[OrderId]) -> Result<(), BackendError> {
        self.offers_told(offers).await
    }
}

/// What the consumer and the pass share.
#[derive(Debug, Clone)]
pub(crate) struct Desk {
    pub(crate) street: Arc<Street>,
    pub(crate) notifier: Arc<dyn Notifier>,
    pub(crate) to_tell: Arc<dyn NoticeLedger>,
    pub(crate) outbox: Arc<dyn Outbox>,
    pub(crate) told: Arc<dyn Told>,
    /// Woken when notices were kept.
    pub(crate) kept: Arc<Wake>,
}

impl Desk {
    /// How each of these members is told things.
    async fn reach(&self, notices: &[Notice]) -> Result<BTreeMap<BuyerId, Reach>, BackendError> {
        let members: BTreeSet<&BuyerId> = notices.iter().map(|notice| &notice.to).collect();
        let members: Vec<BuyerId> = members.into_iter().cloned().collect();
        let reach = self.notifier.reach(&members).await?;
        if reach.len() != members.len() {
            let why = format!("{} answers for {} members", reach.len(), members.len());
            return Err(BackendError::corrupt("notices.reach", why));
        }
        Ok(members.into_iter().zip(reach).collect())
    }
}

/// The consumer that turns facts into notices and keeps them.
#[derive(Debug)]
pub(crate) struct NoticesConsumer(pub(crate) Desk);

impl NoticesConsumer {
    pub(crate) const GROUP: &'static str = "notices";

    /// Keeps notices, or does at once what their members' reach asks for.
    pub(crate) async fn take_up(&self, notices: Vec<Notice>) -> Result<(), BackendError> {
        let Self(desk) = self;
        let reach = desk.reach(&notices).await?;
        let (mut keep, mut told, mut failed) = (Vec::new(), Vec::new(), Vec::new());
        for notice in notices {
            match (reach.get(&notice.to).copied().unwrap_or(Reach::Here), notice.message.offer()) {
                (Reach::Here, _) => keep.push(notice),
                (Reach::Elsewhere, Some(offer)) => told.push(offer.clone()),
                (Reach::Nowhere, Some(_)) => {
                    tracing::warn!(notice = %notice.key, "an offer cannot be told: its member gave no address");
                    failed.push(outcome_fact(&notice, Some(Unsendable::NoAddress), &desk.street));
                }
                (Reach::Elsewhere | Reach::Nowhere, None) => {}
            }
        }
        if !keep.is_empty() {
            desk.to_tell.keep(&keep).await?;
            desk.kept.notify_one();
        }
        if !told.is_empty() {
            desk.told.handed_over(&told).await?;
        }
        if !failed.is_empty() {
            desk.outbox.put(&failed).await?;
            desk.street.told.notify_one();
        }
        Ok(())
    }
}

#[async_trait]
impl Consumer for NoticesConsumer {
    fn group(&self) -> &str {
        Self::GROUP
    }

    fn wants(&self, fact: &Fact) -> bool {
        message(fact).is_some()
    }

    async fn handle(&self, events: &[Event]) -> Result<(), Failed> {
        Ok(self.take_up(events.iter().filter_map(notice_of).collect()).await?)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;
    use crate::config::Settings;
    use crate::engine::host::{Host, Task};
    use crate::engine::intake::Register;
    use crate::engine::pass::Notify;
    use crate::engine::workers::Workers;
    use crate::memory::MemoryLedger;
    use crate::notice::{Outcome, Recorded};
    use crate::time::{Clock, ManualClock, Timestamp};

    /// Time passes as it is slept through.
    #[derive(Debug)]
    struct Dozing(Arc<ManualClock>);

    impl Clock for Dozing {
        fn now(&self) -> Timestamp {
            self.0.now()
        }
    }

    impl Host for Dozing {
        fn sleep(&self, wait: Duration) -> Task {
            let clock = self.0.clone();
            Box::pin(async move {
                tokio::task::yield_now().await;
                clock.advance(wait);
            })
        }

        fn spawn(&self, _: Task) {}

        fn random(&self) -> u64 {
            7
        }
    }

    /// Writes down what it is told, and fails the first `fails` times.
    #[derive(Debug, Default)]
    struct Offers {
        told: Mutex<Vec<OrderId>>,
        fails: Mutex<u32>,
    }

    #[async_trait]
    impl Told for Offers {
        async fn handed_over(&self, offers: &[OrderId]) -> Result<(), BackendError> {
            let mut fails = self.fails.lock().unwrap();
            if *fails > 0 {
                *fails -= 1;
                return Err(BackendError::unavailable("waitlist.offer_told", "not now"));
            }
            self.told.lock().unwrap().extend(offers.iter().cloned());
            Ok(())
        }
    }

    /// A member with no address.
    #[derive(Debug)]
    struct Reaching(Reach);

    #[async_trait]
    impl Notifier for Reaching {
        async fn reach(&self, members: &[BuyerId]) -> Result<Vec<Reach>, BackendError> {
            Ok(vec![self.0; members.len()])
        }

        async fn send(&self, _: &[Notice]) -> Vec<Outcome> {
            panic!("nobody is to be sent anything")
        }
    }

    struct Office {
        desk: Desk,
        ledger: MemoryLedger,
        offers: Arc<Offers>,
        host: Arc<dyn Host>,
    }

    impl Office {
        fn with(notifier: Arc<dyn Notifier>, fails: u32) -> Self {
            let clock = ManualClock::starting(Timestamp::from_ms(1_000));
            let ledger = MemoryLedger::new(clock.clone(), 1);
            let host: Arc<dyn Host> = Arc::new(Dozing(clock));
            let street = Street {
                host: host.clone(),
                gate: None,
                ledger: Arc::new(ledger.clone()),
                log: None,
                recorded: Register::default(),
                settings: Settings::default(),
                told: Wake::new(),
                in_flight: Arc::default(),
            };
            let offers = Arc::new(Offers { told: Mutex::default(), fails: Mutex::new(fails) });
            let desk = Desk {
                street: Arc::new(street),
                notifier,
                to_tell: Arc::new(ledger.clone()),
                outbox: Arc::new(ledger.clone()),
                told: offers.clone(),
                kept: Arc::default(),
            };
            Self { desk, ledger, offers, host }
        }

        async fn take_up(&self, notices: Vec<Notice>) {
            NoticesConsumer(self.desk.clone()).take_up(notices).await.unwrap();
        }

        /// Runs the pass until this is true.
        async fn until(&self, done: impl Fn() -> bool + Sync) {
            let stop = async {
                while !done() {
                    tokio::task::yield_now().await;
                }
            };
            Workers::new(self.host.clone()).with(Notify(self.desk.clone())).run(stop).await;
        }

        fn told(&self) -> Vec<OrderId> {
            self.offers.told.lock().unwrap().clone()
        }

        /// The facts about notices: kind, and why.
        async fn facts(&self) -> Vec<(String, Option<String>)> {
            let rows = self.desk.outbox.unsent(None, 100).await.unwrap();
            let fact = |event: Event| match event.fact {
                Fact::NoticeFailed { notice, reason, .. } => (notice, Some(reason)),
                Fact::NoticeSent { notice, .. } => (notice, None),
                other => panic!("{other:?}"),
            };
            rows.into_iter().map(|(_, event)| fact(event)).collect()
        }
    }

    fn offer() -> Notice {
        let message = Message::OfferMade {
            offer: "ann~w1".parse().unwrap(),
            item: "hat".parse().unwrap(),
            units: Quantity::MIN,
            within: Some(Duration::from_secs(600)),
        };
        let key = NoticeKey::new("ann~w1/1/waitlist.offered").unwrap();
        Notice { key, to: "ann".parse().unwrap(), at: Timestamp::from_ms(1_000), message }
    }

    fn failed(why: &str) -> Vec<(String, Option<String>)> {
        vec![(offer().key.to_string(), Some(why.to_owned()))]
    }

    #[tokio::test]
    async fn the_time_of_an_offer_runs_from_the_hand_over_of_its_notice() {
        let notifier = Recorded::saying(|_, before| if before < 3 { Outcome::NotNow } else { Outcome::HandedOver });
        let office = Office::with(Arc::new(notifier.clone()), 0);
        office.take_up(vec![offer()]).await;
        assert_eq!(office.told(), [], "it is made, and not told yet");
        office.until(|| notifier.attempts().len() >= 3).await;
        assert_eq!(office.told(), [], "nobody could be told yet");
        office.until(|| office.ledger.notices().is_empty()).await;
        assert_eq!(office.told(), ["ann~w1".parse().unwrap()]);
        assert!(
            office.host.now().since(Timestamp::from_ms(1_000)) >= Duration::from_secs(5 + 10 + 20),
            "with back-off"
        );
        assert_eq!(office.facts().await, [(offer().key.to_string(), None)]);
    }

    #[tokio::test]
    async fn whoever_waits_for_the_hand_over_is_told_before_the_notice_is_forgotten() {
        let office = Office::with(Arc::new(Recorded::default()), 3);
        office.take_up(vec![offer()]).await;
        office.until(|| office.ledger.notices().is_empty()).await;
        assert_eq!(office.told().len(), 1, "it failed three times, and was repeated");
    }

    #[tokio::test]
    async fn an_offer_that_cannot_be_told_is_reported_and_its_time_does_not_run() {
        let refusing = Recorded::saying(|_, _| Outcome::Refused(Unsendable::Rejected));
        let office = Office::with(Arc::new(refusing), 0);
        office.take_up(vec![offer()]).await;
        office.until(|| office.ledger.notices().is_empty()).await;
        assert_eq!((office.told(), office.facts().await), (vec![], failed("rejected")));

        let office = Office::with(Arc::new(Reaching(Reach::Nowhere)), 0);
        office.take_up(vec![offer()]).await;
        assert_eq!((office.told(), office.facts().await), (vec![], failed("no_address")));
        assert!(office.ledger.notices().is_empty());

        let down = Recorded::saying(|_, _| Outcome::NotNow);
        let office = Office::with(Arc::new(down), 0);
        office.take_up(vec![offer()]).await;
        office.until(|| office.ledger.notices().is_empty()).await;
        assert_eq!((office.told(), office.facts().await), (vec![], failed("gave_up")));
        assert!(office.host.now().since(offer().at) >= Settings::default().notice_patience);
    }

    #[tokio::test]
    async fn a_member_who_is_told_elsewhere_counts_as_told_and_no_row_is_kept() {
        let office = Office::with(Arc::new(Reaching(Reach::Elsewhere)), 0);
        let order = "ann~1".parse().unwrap();
        let other = Notice { key: NoticeKey::new("x").unwrap(), message: Message::OrderReturned { order }, ..offer() };
        office.take_up(vec![other, offer()]).await;
        assert_eq!(office.told(), ["ann~w1".parse().unwrap()]);
        assert!(office.ledger.notices().is_empty() && office.facts().await.is_empty());
    }

    #[tokio::test]
    async fn one_that_cannot_go_now_keeps_no_other_from_going() {
        let notifier = Recorded::saying(|notice, _| match notice.key.as_str() {
            "5" => Outcome::NotNow,
            _ => Outcome::HandedOver,
        });
        let office = Office::with(Arc::new(notifier.clone()), 0);
        let order = || Message::OrderReturned { order: "ann~1".parse().unwrap() };
        let notice = |n: u32| Notice { key: NoticeKey::new(n.to_string()).unwrap(), message: order(), ..offer() };
        office.take_up((0..100).map(notice).collect()).await;
        office.until(|| office.ledger.notices().len() <= 1).await;
        assert_eq!(office.ledger.notices(), [notice(5)]);
        assert_eq!(notifier.handed_over().len(), 99, "each once");
    }
}
