//! Notices end to end, in virtual time: orders are placed, and whoever carries notices is slow, down, or dies.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use flashsale_core::engine::notice_of;
use flashsale_core::event::{InProcess, Outbox};
use flashsale_core::memory::{MemoryLedger, MemoryRoomStore, MemoryStockGate};
use flashsale_core::notice::{Notice, Notifier, Outcome, Reach, Recorded, Unsendable};
use flashsale_core::order::{Order, OrderState, Policy};
use flashsale_core::payment::Scripted;
use flashsale_core::queue::Keyring;
use flashsale_core::stock::Change;
use flashsale_core::{
    BackendError, BuyerId, Fact, FlashSale, Item, ItemId, Key, Ports, Purchase, Quantity, Sale, SaleId, Settings,
    VolatileLedger, won,
};
use flashsale_testkit::fixture::START;
use flashsale_testkit::sim::{Faulty, Group, Marks, Plant, Rates, SimHost, Wire, World};

const BUYERS: u64 = 20;

struct Town {
    world: World,
    ledger: MemoryLedger,
    notices: Recorded,
    payment: Scripted,
}

impl Town {
    fn with(notices: Recorded) -> Self {
        let world = World::new(7, START);
        let ledger = MemoryLedger::new(Arc::new(SimHost::new(&world, Group::WORLD, 0)), 7);
        Self { world, ledger, notices, payment: Scripted::approves() }
    }

    /// Starts a node: an engine and its workers.
    fn start(&self, node: Group) -> FlashSale {
        self.start_with(node, Arc::new(self.notices.clone()))
    }

    fn start_with(&self, node: Group, notices: Arc<dyn Notifier>) -> FlashSale {
        let bus = InProcess::default();
        // Rows take their time, so that a node can die between two of them.
        let rates = Rates { slow_ms: 20, ..Rates::NONE };
        let wire = || Wire::new(&self.world, rates, Plant::Nothing, Arc::<AtomicBool>::default(), Marks::default());
        let ports = Ports {
            rooms: Arc::new(MemoryRoomStore::new(Arc::new(SimHost::new(&self.world, Group::WORLD, 0)))),
            keys: Keyring::of_random([1, 2, 3, 4]),
            host: Arc::new(SimHost::new(&self.world, node, 0)),
            gate: Arc::new(MemoryStockGate::new(Arc::new(SimHost::new(&self.world, Group::WORLD, 0)))),
            intake: None,
            ledger: Arc::new(self.ledger.clone()),
            coupons: Arc::new(self.ledger.clone()),
            waitlist: Arc::new(self.ledger.clone()),
            payment: Arc::new(self.payment.clone()),
            outbox: Arc::new(Faulty::new(self.ledger.clone(), wire())),
            sink: Arc::new(bus.clone()),
            source: Arc::new(bus),
            dead: Arc::new(self.ledger.clone()),
            notices,
            to_tell: Arc::new(Faulty::new(self.ledger.clone(), wire())),
        };
        let policy = Policy { offer_within: MINUTE, tell_within: 60 * MINUTE, ..Policy::default() };
        let settings = Settings { volatile: VolatileLedger::Allowed, events_max: 4, policy, ..Settings::default() };
        let shop = FlashSale::new(ports, settings).expect("settings within bounds");
        let workers = shop.workers();
        self.world.spawn(node, async move { workers.run(std::future::pending()).await });
        shop
    }

    /// Everybody buys one.
    fn buy(&self, node: Group, shop: &FlashSale) {
        let (shop, sale) = (shop.clone(), SaleId::new("drop").unwrap());
        self.world.spawn(node, async move {
            let item = Item::named("hat").unwrap().units(BUYERS).unwrap().price(won(9_000));
            shop.stock.open(&Sale::named("drop").unwrap().item(item)).await.unwrap();
            for n in 0..BUYERS {
                let buyer = BuyerId::new(&format!("b{n}")).unwrap();
                let purchase = Purchase::of(&sale, &buyer, Key::new("k").unwrap()).line("hat", 1).unwrap();
                shop.orders.place(&purchase.total(won(9_000))).await.unwrap();
            }
        });
    }

    /// Sam has the only one, ann waits, and another one comes.
    fn offer(&self, node: Group, shop: &FlashSale) {
        let shop = shop.clone();
        self.world.spawn(node, async move {
            let (sale, hat) = (SaleId::new("drop").unwrap(), ItemId::new("hat").unwrap());
            let buyer = |name: &str| BuyerId::new(name).unwrap();
            let item = Item::named("hat").unwrap().units(1).unwrap().price(won(9_000));
            shop.stock.open(&Sale::named("drop").unwrap().item(item)).await.unwrap();
            let purchase = Purchase::of(&sale, &buyer("sam"), Key::new("k").unwrap()).line("hat", 1).unwrap();
            shop.orders.place(&purchase).await.unwrap();
            shop.waitlist.join(&sale, &hat, &buyer("ann"), Quantity::MIN).await.unwrap();
            let restock = Change::Adjust { item: hat, by: 1 };
            shop.stock.change(&sale, &Key::new("restock").unwrap(), &restock).await.unwrap();
        });
    }

    /// The order that ann is offered.
    fn offered(&self) -> Option<Arc<Order>> {
        self.ledger.orders().into_iter().find(|order| order.id.buyer_str() == "ann")
    }

    fn confirmed(&self) -> u64 {
        self.ledger.orders().iter().filter(|order| order.state == OrderState::Confirmed).count() as u64
    }

    /// Waits until this is true, in virtual time.
    fn until(&self, within: Duration, done: impl Fn() -> bool) {
        let limit = self.world.now().after(within);
        assert!(self.world.run_until(limit, done), "not within {within:?}: {:?}", self.notices.attempts().len());
    }

    /// What the facts of the ledger say to members.
    fn expected(&self) -> Vec<Notice> {
        let orders = self.ledger.orders();
        let history = |subject: &str| {
            let history = self.ledger.history(subject);
            futures_util::FutureExt::now_or_never(history).unwrap().unwrap()
        };
        let mut notices: Vec<Notice> =
            orders.iter().flat_map(|order| history(order.id.as_str())).filter_map(|event| notice_of(&event)).collect();
        notices.sort_by(|a, b| a.key.cmp(&b.key));
        notices
    }

    fn handed_over(&self) -> Vec<Notice> {
        let mut over = self.notices.handed_over();
        over.sort_by(|a, b| a.key.cmp(&b.key));
        over
    }

    fn reported(&self, key: &str) -> Vec<Fact> {
        let history = self.ledger.history(key);
        let history = futures_util::FutureExt::now_or_never(history).unwrap().unwrap();
        history.into_iter().map(|event| event.fact).collect()
    }
}

const NODE: Group = Group(1);
const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn what_concerns_a_member_is_told_once_under_the_name_of_its_fact() {
    let town = Town::with(Recorded::default());
    let shop = town.start(NODE);
    town.buy(NODE, &shop);
    let all = || town.notices.handed_over().len() as u64 == 2 * BUYERS;
    town.until(MINUTE, || all() && town.ledger.notices().is_empty());
    assert_eq!(town.handed_over(), town.expected());
    let first = &town.expected()[0];
    assert_eq!((first.key.as_str(), first.to.as_str()), ("b0~k/1/order.accepted", "b0"));
    assert!(matches!(&town.reported(first.key.as_str())[..], [Fact::NoticeSent { .. }]));
}

#[test]
fn a_notifier_that_is_down_holds_no_order_up_and_everybody_is_told_once_it_is_back() {
    let up = Arc::new(Mutex::new(false));
    let state = up.clone();
    let notices =
        Recorded::saying(move |_, _| if *state.lock().unwrap() { Outcome::HandedOver } else { Outcome::NotNow });
    let town = Town::with(notices);
    let shop = town.start(NODE);
    town.buy(NODE, &shop);
    town.until(MINUTE, || town.confirmed() == BUYERS);
    town.until(10 * MINUTE, || town.world.now() >= START.after(9 * MINUTE));
    assert_eq!(town.ledger.notices().len() as u64, 2 * BUYERS);
    assert!(shop.reports()["notify"].failures > 0, "it is reported");
    assert!(town.notices.attempts().len() < 20 * 2 * BUYERS as usize, "with back-off");
    *up.lock().unwrap() = true;
    town.until(10 * MINUTE, || town.ledger.notices().is_empty());
    assert_eq!(town.handed_over(), town.expected());
}

#[test]
fn a_notice_refused_for_good_is_reported_once_and_the_others_go() {
    let town = Town::with(Recorded::saying(|notice, _| match notice.to.as_str() {
        "b3" => Outcome::Refused(Unsendable::BadAddress),
        _ => Outcome::HandedOver,
    }));
    let shop = town.start(NODE);
    town.buy(NODE, &shop);
    town.until(MINUTE, || town.confirmed() == BUYERS && town.ledger.notices().is_empty());
    town.until(MINUTE, || town.notices.handed_over().len() as u64 == 2 * BUYERS - 2);
    let reported = town.reported("b3~k/1/order.accepted");
    assert!(matches!(&reported[..], [Fact::NoticeFailed { reason, .. }] if reason == "bad_address"), "{reported:?}");
}

#[test]
fn a_node_that_dies_while_it_hands_over_says_it_again_under_the_same_key() {
    let town = Town::with(Recorded::default());
    let shop = town.start(NODE);
    town.buy(NODE, &shop);
    // It dies when the first are handed over, before that is written.
    let unwritten = || town.notices.handed_over().iter().any(|notice| town.ledger.notices().contains(notice));
    town.until(MINUTE, unwritten);
    let before = town.notices.handed_over().len();
    town.world.crash(NODE);
    drop(shop);
    town.start(Group(2));
    town.until(10 * MINUTE, || town.ledger.notices().is_empty() && town.notices.handed_over().len() > before);
    town.until(10 * MINUTE, || town.confirmed() == town.ledger.orders().len() as u64);
    town.until(10 * MINUTE, || town.handed_over().len() > town.expected().len() && town.ledger.notices().is_empty());
    let mut said = town.handed_over();
    let repeated = said.len();
    said.dedup();
    assert!(repeated > said.len(), "at least one was said twice");
    assert_eq!(said, town.expected());
}

#[test]
fn the_time_of_an_offer_runs_from_when_its_notice_could_be_handed_over() {
    // Six times not now: 5 + 10 + 20 + 40 + 80 + 160 seconds, much longer than the offer's time.
    let town = Town::with(Recorded::saying(|notice, before| {
        if notice.message.offer().is_some() && before < 6 { Outcome::NotNow } else { Outcome::HandedOver }
    }));
    let shop = town.start(NODE);
    town.offer(NODE, &shop);
    let tried = |times: usize| {
        let of_the_offer = |(notice, _): &&(Notice, Outcome)| notice.message.offer().is_some();
        town.notices.attempts().iter().filter(of_the_offer).count() >= times
    };
    town.until(10 * MINUTE, || tried(6));
    let order = town.offered().unwrap();
    assert!(town.world.now().since(order.decided_at) > 2 * MINUTE, "its time would be over");
    assert_eq!((order.state, order.pay_by), (OrderState::Offered, None), "it does not run before");
    town.until(10 * MINUTE, || tried(7));
    let told = town.world.now();
    town.until(MINUTE, || town.offered().is_some_and(|order| order.pay_by.is_some()));
    let by = town.offered().unwrap().pay_by.unwrap();
    assert!(by >= told.after(MINUTE) && by < told.after(MINUTE + Duration::from_secs(1)), "{by:?} {told:?}");
    // She lets it lapse, and is told so, once.
    town.until(2 * MINUTE, || town.offered().is_some_and(|order| order.state == OrderState::Cancelled));
    town.until(MINUTE, || town.handed_over() == town.expected());
    let of_ann: Vec<&str> = town
        .notices
        .handed_over()
        .iter()
        .filter(|notice| notice.to.as_str() == "ann")
        .map(|n| n.message.kind())
        .collect();
    assert_eq!(of_ann, ["offer_made", "offer_lapsed"]);
}

/// Nobody has an address.
#[derive(Debug)]
struct NoAddress;

#[async_trait]
impl Notifier for NoAddress {
    async fn reach(&self, members: &[BuyerId]) -> Result<Vec<Reach>, BackendError> {
        Ok(vec![Reach::Nowhere; members.len()])
    }

    async fn send(&self, _: &[Notice]) -> Vec<Outcome> {
        panic!("nobody is to be sent anything")
    }
}

#[test]
fn an_offer_to_a_member_without_an_address_is_reported_and_its_time_does_not_run() {
    let town = Town::with(Recorded::default());
    let shop = town.start_with(NODE, Arc::new(NoAddress));
    town.offer(NODE, &shop);
    let failed = |order: &Order| town.reported(&format!("{}/1/waitlist.offered", order.id));
    town.until(MINUTE, || town.offered().is_some_and(|order| !failed(&order).is_empty()));
    let order = town.offered().unwrap();
    let reported = failed(&order);
    assert!(matches!(&reported[..], [Fact::NoticeFailed { reason, .. }] if reason == "no_address"), "{reported:?}");
    let made = order.decided_at;
    town.until(60 * MINUTE, || town.world.now() >= made.after(59 * MINUTE));
    let order = town.offered().unwrap();
    assert_eq!((order.state, order.pay_by, order.stuck.as_deref()), (OrderState::Offered, None, None));
    town.until(2 * MINUTE, || town.offered().is_some_and(|order| order.stuck.is_some()));
    let order = town.offered().unwrap();
    assert_eq!((order.state, order.pay_by, order.stuck.as_deref()), (OrderState::Offered, None, Some("untold")));
}
