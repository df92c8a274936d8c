//! One run: nodes over shared backends, buyers, faults; then peace, and the audit.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flashsale_core::event::{InProcess, Outbox};
use flashsale_core::memory::{MemoryIntakeLog, MemoryLedger, MemoryRoomStore, MemoryStockGate};
use flashsale_core::notice::{Outcome, Recorded, Unsendable};
use flashsale_core::order::{OrderLedger, Policy};
use flashsale_core::payment::Scripted;
use flashsale_core::queue::{Keyring, RoomStore};
use flashsale_core::stock::{StockGate, StockLedger};
use flashsale_core::{
    Campaign, FlashSale, Item, Ports, RoomId, Sale, Settings, Timestamp, VolatileLedger, VolatileLog, won,
};

use super::audit::{Evidence, audit};
use super::buyers::{Buyer, History, Nodes};
use super::executor::{Group, World};
use super::faults::{Faulty, Plant, Wire};
use super::host::SimHost;
use super::marks::Marks;
use super::plan::{GateHome, Plan};
use super::room::{self, WatchedRooms};

/// When every run begins.
const START: Timestamp = Timestamp::from_ms(1_000_000);
/// After which virtual time a run that does not settle has failed.
const PATIENCE: Duration = Duration::from_secs(4 * 3600);

/// What a run showed.
#[derive(Debug, Clone)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// What it consisted of.
    pub plan: Plan,
    /// What happened, line by line.
    pub script: Vec<String>,
    /// How often each fault happened.
    pub faults: BTreeMap<&'static str, u64>,
    /// What was promised and not kept.
    pub violations: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {} with {:?}", self.seed, self.plan)?;
        for line in &self.script {
            writeln!(f, "{line}")?;
        }
        for violation in &self.violations {
            writeln!(f, "VIOLATION  {violation}")?;
        }
        write!(f, "run it again: cargo xtask sim --seed {}", self.seed)
    }
}

/// The backends and what is needed to bring a node up.
struct Town {
    world: World,
    plan: Plan,
    ledger: MemoryLedger,
    gate: Mutex<MemoryStockGate>,
    /// Beside the nodes, as on brokers: it forgets nothing.
    log: MemoryIntakeLog,
    /// Beside the nodes, as on a server.
    rooms: WatchedRooms,
    payment: Scripted,
    notices: Recorded,
    healed: Arc<AtomicBool>,
    nodes: Nodes,
    marks: Marks,
}

impl Town {
    fn gate(&self) -> MemoryStockGate {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Starts the node (again): a new engine over the same backends.
    fn start(&self, number: u32) {
        let group = Group(number + 1);
        let skew = i64::try_from(self.world.pick(2 * self.plan.skew_ms + 1)).unwrap_or(0)
            - i64::try_from(self.plan.skew_ms).unwrap_or(0);
        let host = Arc::new(SimHost::new(&self.world, group, skew));
        let wire = || {
            let (rates, plant) = (self.plan.rates, self.plan.plant);
            Wire::new(&self.world, rates, plant, self.healed.clone(), self.marks.clone())
        };
        if self.plan.gate == GateHome::InNode {
            let clock = Arc::new(SimHost::new(&self.world, Group::WORLD, 0));
            *self.gate.lock().unwrap_or_else(PoisonError::into_inner) = MemoryStockGate::new(clock);
        }
        let bus = InProcess::default();
        let ports = Ports {
            rooms: Arc::new(Faulty::new(self.rooms.clone(), wire())),
            keys: Keyring::of_random([1, 2, 3, 4]),
            host,
            gate: Arc::new(Faulty::new(self.gate(), wire())),
            intake: Some(Arc::new(Faulty::new(self.log.another(), wire()))),
            ledger: Arc::new(Faulty::new(self.ledger.clone(), wire())),
            coupons: Arc::new(Faulty::new(self.ledger.clone(), wire())),
            waitlist: Arc::new(Faulty::new(self.ledger.clone(), wire())),
            payment: Arc::new(Faulty::new(self.payment.clone(), wire())),
            outbox: Arc::new(Faulty::new(self.ledger.clone(), wire())),
            sink: Arc::new(bus.clone()),
            source: Arc::new(bus),
            dead: Arc::new(Faulty::new(self.ledger.clone(), wire())),
            notices: Arc::new(Faulty::new(self.notices.clone(), wire())),
            to_tell: Arc::new(Faulty::new(self.ledger.clone(), wire())),
        };
        let policy = Policy {
            look_up_after: Duration::from_secs(2),
            gateway_max: Duration::from_secs(3_600),
            offer_within: Duration::from_secs(3),
            tell_within: Duration::from_secs(20),
            ..Policy::default()
        };
        let settings = Settings {
            policy,
            reserve_max: 4,
            accept_max: 4,
            intake_max: 8,
            events_max: 8,
            payment_lanes: 4,
            offer_every: Duration::from_millis(500),
            gather_for: Duration::from_secs(5),
            volatile: VolatileLedger::Allowed,
            volatile_log: VolatileLog::Allowed,
            ..Settings::default()
        };
        let shop = FlashSale::new(ports, settings).expect("settings within bounds");
        if self.plan.through_room > 0 {
            let mut terms = room::terms();
            if self.plan.plant == Plant::CapacityIgnored {
                terms.capacity += 1;
            }
            shop.rooms.standing(&room_id(), &terms).expect("terms within bounds");
        }
        let workers = shop.workers();
        self.world.spawn(group, async move { workers.run(std::future::pending()).await });
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)[number as usize] = Some(shop);
    }

    fn crash(&self, number: u32) {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)[number as usize] = None;
        self.world.crash(Group(number + 1));
    }
}

/// What goes wrong outside of the wires, until it is healed.
async fn mischief(town: Arc<Town>) {
    let world = town.world.clone();
    let mut kept = None;
    while !town.healed.load(Ordering::SeqCst) {
        world.sleep(Duration::from_millis(1 + world.pick(1_000))).await;
        if world.chance(town.plan.crashes) {
            let number = u32::try_from(world.pick(u64::from(town.plan.nodes))).unwrap_or(0);
            world.count("node crashes");
            world.say(format_args!("node {number} crashes"));
            town.crash(number);
            world.sleep(Duration::from_millis(world.pick(3_000))).await;
            world.say(format_args!("node {number} starts again"));
            town.start(number);
        }
        if world.chance(town.plan.rebalances) {
            world.count("log moves to another node");
            world.say("the log goes to whoever polls next");
            town.log.rebalance();
        }
        if world.chance(town.plan.forgets) {
            world.count("gate forgets all");
            world.say("the gate forgets everything");
            town.gate().forget_all();
        }
        if town.plan.through_room > 0 && world.chance(town.plan.room_forgets) {
            world.count("room forgets all");
            world.say("the room forgets everybody");
            now(town.rooms.forget(&room_id()));
        }
        if world.chance(500) && town.plan.loses_tail > 0 {
            kept = Some(town.gate().snapshot());
        }
        if world.chance(town.plan.loses_tail)
            && let Some(kept) = &kept
        {
            world.count("gate loses its tail");
            world.say("the gate loses its last writes, unnoticed");
            town.gate().lose_since(kept);
        }
    }
}

/// Hands notices over; some not at once, and that of an offer now and then never.
fn mail(world: World) -> Recorded {
    Recorded::saying(move |notice, before| {
        if notice.message.offer().is_none() || before > 3 {
            return Outcome::HandedOver;
        }
        match world.pick(1_000) {
            0..100 => {
                world.count("notice not handed over");
                Outcome::Refused(Unsendable::Rejected)
            }
            100..200 => Outcome::NotNow,
            _ => Outcome::HandedOver,
        }
    })
}

/// Runs a plan from a seed.
#[must_use]
pub fn run(seed: u64, plan: &Plan) -> Report {
    let world = World::new(seed, START);
    let clock = Arc::new(SimHost::new(&world, Group::WORLD, 0));
    let naps = world.clone();
    let town = Arc::new(Town {
        world: world.clone(),
        plan: plan.clone(),
        ledger: MemoryLedger::new(clock.clone(), seed),
        gate: Mutex::new(MemoryStockGate::new(clock)),
        log: MemoryIntakeLog::default(),
        rooms: WatchedRooms::new(MemoryRoomStore::new(Arc::new(SimHost::new(&world, Group::WORLD, 0)))),
        payment: Scripted::with(plan.chances, move |wait| naps.sleep(wait)),
        notices: mail(world.clone()),
        healed: Arc::default(),
        nodes: Arc::new(Mutex::new(vec![None; plan.nodes as usize])),
        marks: Marks::default(),
    });
    let (sale, campaign) = terms(plan);
    let opened = futures_util::FutureExt::now_or_never(town.ledger.open(&sale));
    assert!(matches!(opened, Some(Ok(Ok(())))), "the terms of every plan are a sale");
    let put = {
        use flashsale_core::coupon::CouponLedger;
        futures_util::FutureExt::now_or_never(town.ledger.campaigns_put(std::slice::from_ref(&campaign)))
    };
    assert!(matches!(put, Some(Ok(()))));
    for number in 0..plan.nodes {
        town.start(number);
    }
    let history = History::default();
    for number in 0..plan.buyers {
        let buyer = Buyer {
            number,
            world: world.clone(),
            plan: plan.clone(),
            nodes: town.nodes.clone(),
            history: history.clone(),
            sale: sale.id.clone(),
            campaign: campaign.id.clone(),
        };
        world.spawn(Group::WORLD, buyer.live());
    }
    world.spawn(Group::WORLD, mischief(town.clone()));

    let limit = START.after(PATIENCE);
    let everybody_left = world.run_until(limit, || history.gone() == plan.buyers);
    world.say("the faults end");
    town.healed.store(true, Ordering::SeqCst);
    // A node that is down comes back; whatever is on its way late arrives; every deadline passes.
    let calm = world.now().after(Duration::from_secs(60));
    world.run_until(calm, || false);
    let settled = everybody_left && world.run_until(limit, || settled(&town, &sale));
    let mut violations = Vec::new();
    if !settled {
        violations.push(format!("G8: nothing settled within {PATIENCE:?}: {:?}", unsettled(&town)));
    }
    let evidence = Evidence {
        plan: plan.clone(),
        ledger: town.ledger.clone(),
        gate: town.gate(),
        payment: town.payment.clone(),
        notices: town.notices.clone(),
        rooms: town.rooms.clone(),
        history,
        sales: sales(&town),
        marks: town.marks.clone(),
    };
    violations.extend(audit(&evidence));
    Report { seed, plan: plan.clone(), script: world.script(), faults: world.counts(), violations }
}

fn terms(plan: &Plan) -> (Sale, Campaign) {
    let item = |name: &str, units: u64, price: u64| {
        let item = Item::named(name).and_then(|item| item.units(units)).and_then(|item| item.per_buyer(plan.per_buyer));
        item.expect("an item").price(won(price))
    };
    let sale = Sale::named("drop")
        .expect("a sale")
        .item(item("left", plan.units[0], 10_000))
        .item(item("right", plan.units[1], 25_000))
        .hold(Duration::from_secs(2))
        .pay_within(Duration::from_secs(60));
    let campaign = Campaign::named("welcome").and_then(|c| c.first(plan.coupons)).expect("a campaign");
    (sale, campaign.takes_off(won(3_000)).from(won(10_000)))
}

/// The room before the sale of every run.
fn room_id() -> RoomId {
    RoomId::new("drop").expect("an id")
}

fn now<T>(call: impl Future<Output = Result<T, flashsale_core::BackendError>>) -> T {
    futures_util::FutureExt::now_or_never(call).expect("memory answers at once").expect("memory does not fail")
}

fn sales(town: &Town) -> Vec<flashsale_core::SaleId> {
    now(town.ledger.sales())
}

/// Orders that are due, events that are unsent, records that are not decided.
fn unsettled(town: &Town) -> (usize, usize, u64) {
    let unsent = now(town.ledger.unsent(None, 10)).len();
    let open = super::audit::open_orders(&town.ledger);
    (open, unsent, town.log.left().0)
}

/// Nothing is due, nothing unsent, and each sale's gate stands where its ledger stands.
fn settled(town: &Town, _: &Sale) -> bool {
    if unsettled(town) != (0, 0, 0) || !now(OrderLedger::due(&town.ledger, 1)).0.is_empty() {
        return false;
    }
    // Whoever vanished from the room is passed, and turns that nobody uses go by.
    if now(town.rooms.levels(&room_id())).is_some_and(|levels| levels.waiting > 0 || levels.turns > 0) {
        return false;
    }
    sales(town).iter().all(|sale| {
        let level = now(town.gate().level(sale));
        let version = now(town.ledger.totals(sale)).map(|totals| totals.version);
        !level.open || (level.holds == 0 && level.version == version)
    })
}
