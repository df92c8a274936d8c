//! What a run consists of, drawn from its seed: how many nodes and buyers, and what goes wrong how often.

use std::time::Duration;

use flashsale_core::Timestamp;
use flashsale_core::payment::Chances;

use super::executor::World;
use super::faults::{Plant, Rates};

/// Where the gate lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateHome {
    /// In the one node: it forgets when the node crashes.
    InNode,
    /// Beside the nodes, as on a server: it forgets at times of its own.
    Beside,
}

/// The plan of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Nodes that serve buyers and run the workers.
    pub nodes: u32,
    /// Where the gate lives.
    pub gate: GateHome,
    /// Buyers.
    pub buyers: u32,
    /// Purchases that each buyer tries.
    pub purchases: u32,
    /// Units of each of the two items.
    pub units: [u64; 2],
    /// Units of an item per buyer.
    pub per_buyer: u64,
    /// Coupons in the campaign.
    pub coupons: u64,
    /// What happens on the wires.
    pub rates: Rates,
    /// How often a node crashes, in a thousand seconds.
    pub crashes: u32,
    /// How often the gate forgets everything, in a thousand seconds.
    pub forgets: u32,
    /// How often the gate loses its last writes unnoticed, in a thousand seconds.
    pub loses_tail: u32,
    /// How often a buyer sends his request through the log, in a thousand.
    pub through_log: u32,
    /// How often the log goes to another node, in a thousand seconds.
    pub rebalances: u32,
    /// What the payment provider does.
    pub chances: Chances,
    /// How often a buyer cancels, returns or hangs up, in a thousand.
    pub fickle: u32,
    /// How often a buyer who came too late waits for what comes back, in a thousand.
    pub waits: u32,
    /// How often a buyer goes through the waiting room, in a thousand; 0: there is none before the sale.
    pub through_room: u32,
    /// How often the room's store forgets everybody, in a thousand seconds.
    pub room_forgets: u32,
    /// The largest error of a node's clock, in milliseconds.
    pub skew_ms: u64,
    /// A mistake planted on purpose.
    pub plant: Plant,
}

impl Plan {
    /// The plan that belongs to a seed.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        let draw = World::new(seed ^ 0x706c_616e, Timestamp::from_ms(0));
        let some = |most: u64| if draw.chance(500) { u32::try_from(draw.pick(most + 1)).unwrap_or(0) } else { 0 };
        let beside = draw.chance(600);
        let share = |most: u64| draw.pick(most + 1) as f64 / 1000.0;
        Self {
            nodes: if beside { 1 + u32::try_from(draw.pick(3)).unwrap_or(0) } else { 1 },
            gate: if beside { GateHome::Beside } else { GateHome::InNode },
            buyers: 2 + u32::try_from(draw.pick(10)).unwrap_or(0),
            purchases: 1 + u32::try_from(draw.pick(3)).unwrap_or(0),
            units: [1 + draw.pick(8), 1 + draw.pick(5)],
            per_buyer: 1 + draw.pick(3),
            coupons: 1 + draw.pick(4),
            rates: Rates {
                lost: some(100),
                reply_lost: some(150),
                late: some(100),
                late_accept: some(400),
                slow_ms: 1 + draw.pick(200),
            },
            crashes: some(120),
            forgets: some(60),
            loses_tail: some(60),
            chances: Chances {
                decline: share(500),
                leave: share(100),
                unknown: share(400),
                latency: Duration::from_millis(draw.pick(500)),
                seed,
            },
            fickle: some(300),
            skew_ms: draw.pick(400),
            plant: Plant::Nothing,
            through_log: some(1_000),
            rebalances: some(300),
            waits: some(900),
            through_room: some(1_000),
            room_forgets: some(60),
        }
    }

    /// A run in which no unit ever comes back and the gate never forgets: then the order of arrival alone decides (**G6**).
    #[must_use]
    pub fn fair(seed: u64) -> Self {
        let plan = Self::from_seed(seed);
        Self {
            chances: Chances { seed, ..Chances::CERTAIN },
            rates: Rates { slow_ms: plan.rates.slow_ms, ..Rates::NONE },
            crashes: 0,
            forgets: 0,
            loses_tail: 0,
            fickle: 0,
            // Where the log lags behind the holds, the order is that of the log.
            through_log: 0,
            waits: 0,
            through_room: 0,
            gate: GateHome::Beside,
            ..plan
        }
    }

    /// Whether the gate's own exactness can be relied on: it is put back unnoticed in no place of the plan.
    #[must_use]
    pub fn exact(&self) -> bool {
        self.loses_tail == 0
    }
}
