//! The first adapter: everything in this process's memory, gone with it.
//!
//! [`MemoryLedger`] keeps the same promises as a ledger in SQL but for durability, and is what other ledgers are compared
//! with. One lock stands for the transaction: a method does its whole effect within one poll. Owns the rows and the lock; the
//! rules are [`decide`](crate::stock::decide()) and the facts of [`order`](crate::order), as in every ledger. One file per noun.

mod audit;
mod coupon;
mod event;
mod gate;
mod index;
mod intake;
mod notice;
mod order;
mod payment;
mod room;
mod stock;
mod waitlist;

pub use gate::{GateSnapshot, MemoryStockGate};
pub use intake::MemoryIntakeLog;
pub use room::{MemoryRoomStore, RoomSnapshot};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::coupon::Campaign;
use crate::discount::Coupon;
use crate::id::{BuyerId, CampaignId, CouponId, OrderId, SaleId};
use crate::stock::Order;
use crate::time::{Clock, Timestamp};

/// A ledger in memory: stock, orders, coupons, waitlist, wallet, outbox, dead letters and notices. A clone is the same ledger.
///
/// ```
/// use flashsale_core::memory::MemoryLedger;
/// use flashsale_core::stock::{Durability, StockLedger};
/// use flashsale_core::SystemClock;
/// let ledger = MemoryLedger::new(SystemClock::shared(), 1);
/// assert_eq!(ledger.durability(), Durability::Volatile);
/// ```
#[derive(Debug, Clone)]
pub struct MemoryLedger(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    clock: Arc<dyn Clock>,
    tables: Mutex<Tables>,
}

impl MemoryLedger {
    /// An empty ledger. `seed` begins the row of tags, so that a simulation can be run again to the byte.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, seed: u64) -> Self {
        let tables = Mutex::new(Tables { tags: Tags(seed), ..Tables::default() });
        Self(Arc::new(Shared { clock, tables }))
    }

    /// All rows as they are now, to be put back later by [`MemoryLedger::restore`].
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(self.tables().clone())
    }

    /// Puts the rows back to an earlier state, as a failover to a replica that lags does.
    ///
    /// What was committed in between is gone; versions written from now on have other tags than those that are gone.
    pub fn restore(&self, snapshot: Snapshot) {
        let mut tables = self.tables();
        let tags = tables.tags;
        *tables = Tables { tags, ..snapshot.0 };
    }

    /// Checks the rows against each other (protocol 4, I1 to I7 and I19) and tells each violation in a sentence.
    #[must_use]
    pub fn audit(&self) -> Vec<String> {
        self.tables().audit()
    }

    /// All orders as they stand, in order of name: for audits of tests.
    #[must_use]
    pub fn orders(&self) -> Vec<Arc<Order>> {
        self.tables().orders.values().map(|row| row.order.clone()).collect()
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Timestamp {
        self.0.clock.now()
    }
}

/// All rows of a [`MemoryLedger`] at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot(Tables);

/// The rows. Orders are keyed by their name alone: it is unique over all sales.
#[derive(Debug, Clone, Default)]
struct Tables {
    tags: Tags,
    sales: BTreeMap<SaleId, stock::SaleRow>,
    orders: BTreeMap<OrderId, OrderRow>,
    /// Orders that want attention, by the time when.
    due: BTreeSet<(Timestamp, OrderId)>,
    stuck: BTreeSet<OrderId>,
    campaigns: BTreeMap<CampaignId, Campaign>,
    coupons: BTreeMap<CouponId, Coupon>,
    coupons_of: BTreeSet<(BuyerId, CouponId)>,
    wishes: waitlist::WishRows,
    wallet: payment::WalletRows,
    outbox: event::OutboxRows,
    dead: event::DeadRows,
    notices: notice::NoticeRows,
}

/// An order, and whether its lines are counted in `allocated`.
#[derive(Debug, Clone)]
struct OrderRow {
    order: Arc<Order>,
    live: bool,
}

/// A small generator of tags (SplitMix64): no two in a row are alike, and a seed gives the same ones again.
#[derive(Debug, Clone, Copy, Default)]
struct Tags(u64);

impl Tags {
    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}
