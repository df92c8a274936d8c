//! All ports of the full system on one page, in the order in which a purchase meets them.

use std::sync::Arc;

use crate::coupon::CouponLedger;
use crate::engine::Host;
use crate::event::{DeadLetters, EventSink, EventSource, Outbox};
use crate::notice::{NoticeLedger, Notifier};
use crate::order::{IntakeLog, OrderLedger};
use crate::payment::PaymentGateway;
use crate::queue::{Keyring, RoomStore};
use crate::stock::StockGate;
use crate::waitlist::WaitlistLedger;

/// What a [`FlashSale`](crate::FlashSale) runs on. It is written as a literal: a new port is a compile error, never silently memory.
///
/// Swap one by struct update: `Ports { gate: Arc::new(mine), ..ports }`.
#[derive(Debug, Clone)]
pub struct Ports {
    /// Time, sleep, randomness and spawning.
    pub host: Arc<dyn Host>,
    /// Keeps who waits; may forget.
    pub rooms: Arc<dyn RoomStore>,
    /// Sign tickets and admissions: the same on every server.
    pub keys: Keyring,
    /// Holds units; may forget.
    pub gate: Arc<dyn StockGate>,
    /// Keeps requests that are to be decided later; `None` where every request waits for the ledger.
    pub intake: Option<Arc<dyn IntakeLog>>,
    /// Allocates units and keeps orders; durable.
    pub ledger: Arc<dyn OrderLedger>,
    /// Keeps campaigns and coupons, in the ledger's database.
    pub coupons: Arc<dyn CouponLedger>,
    /// Keeps who waits for what, in the ledger's database.
    pub waitlist: Arc<dyn WaitlistLedger>,
    /// Moves money.
    pub payment: Arc<dyn PaymentGateway>,
    /// The facts of the ledger's database.
    pub outbox: Arc<dyn Outbox>,
    /// Where facts go.
    pub sink: Arc<dyn EventSink>,
    /// Where consumers get them from.
    pub source: Arc<dyn EventSource>,
    /// What consumers gave up on.
    pub dead: Arc<dyn DeadLetters>,
    /// Tells members what concerns them; a shop without mail passes [`Quiet`](crate::notice::Quiet) by name.
    pub notices: Arc<dyn Notifier>,
    /// What members are not told yet, in the ledger's database.
    pub to_tell: Arc<dyn NoticeLedger>,
}
