//! Settings of the engine: each has a default, a reason and a bound. Ports have no defaults.

use std::time::Duration;

use crate::order::Policy;

/// Whether a ledger that forgets at a crash may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum VolatileLedger {
    /// Wiring is refused.
    #[default]
    Refused,
    /// Asked for by name: tests, simulations, a first look.
    Allowed,
}

/// Whether a log of recorded requests that forgets at a crash may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum VolatileLog {
    /// Wiring is refused.
    #[default]
    Refused,
    /// Asked for by name: tests, simulations, a first look.
    Allowed,
}

/// A setting is out of its bounds, or the wiring is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Not within the bounds.
    #[error("{name} is {value}, it must be from {least} to {most}")]
    Bound {
        /// Which setting.
        name: &'static str,
        /// Its value.
        value: u64,
        /// The smallest value.
        least: u64,
        /// The largest value.
        most: u64,
    },
    /// A volatile ledger, not asked for by name.
    #[error(
        "the ledger forgets at a crash; take a durable one, or ask for it by name: Settings {{ volatile: VolatileLedger::Allowed, .. }}"
    )]
    Volatile,
    /// A volatile log, not asked for by name.
    #[error(
        "the log of intake forgets at a crash, so that `recorded` would promise nothing; take a durable one, or ask for it by name: \
         Settings {{ volatile_log: VolatileLog::Allowed, .. }}"
    )]
    VolatileLog,
}

/// How the engine works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The most requests in one call of [`StockGate::reserve`](crate::stock::StockGate::reserve). 1 to 500, default 256: larger
    /// batches gain little and delay the first.
    pub reserve_max: usize,
    /// The most orders in one accepting transaction. 1 to 500, default 256.
    pub accept_max: usize,
    /// The most recorded requests in one accepting transaction, and in one append to the log. 1 to 500, default 500: nobody waits for the
    /// first of them, so the batch is as large as it may be.
    pub intake_max: usize,
    /// The most requests waiting for a place in a batch; more are told to come again. 1 to 1,000,000, default 65,536.
    pub queue_max: usize,
    /// How often each sale's gate is brought up to the ledger. Default 50 ms: a unit given back is for sale that much later.
    pub follow_every: Duration,
    /// How often the outbox is looked at when nobody said that there is something. Default 100 ms.
    pub relay_every: Duration,
    /// How often due orders are looked at. Default 100 ms.
    pub recover_every: Duration,
    /// How often it is looked whether units are free for those who wait. Default 100 ms.
    pub offer_every: Duration,
    /// How long units are gathered for the first in a line who wants more than there are, once; then those behind him are no longer held
    /// up. Default 10 min: units come back within that time while a sale is young, and nobody buys what lies on the shelf.
    pub gather_for: Duration,
    /// The most events taken from the outbox, or from a source, at once. 1 to 10,000, default 512.
    pub events_max: usize,
    /// The most payments asked for at the same time. 1 to 4,096, default 16: providers limit it.
    pub payment_lanes: usize,
    /// How often a consumer tries an event before it becomes a dead letter. 1 to 100, default 5.
    pub consumer_tries: u32,
    /// The most notices handed over at once. 1 to 500, default 32: mail takes up to seconds each, and a batch should end within a minute.
    pub notices_max: usize,
    /// How long a notice that cannot be handed over is tried again before it is given up. An hour to thirty days, default two days: a mail
    /// server that is down is back by then, and older news is none.
    pub notice_patience: Duration,
    /// The bounds of the saga.
    pub policy: Policy,
    /// How long sent events are kept, as the history of their orders. Default: for ever.
    pub keep_events: Option<Duration>,
    /// How long versions of a sale's stock are kept, by which a ledger that was put back is told from a gate that is late. An hour to ten
    /// years, default a day: a gate follows within seconds, and one that does not is loaded anew.
    pub keep_versions: Duration,
    /// Whether a ledger that forgets at a crash may be used.
    pub volatile: VolatileLedger,
    /// Whether a log that forgets at a crash may be used.
    pub volatile_log: VolatileLog,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            reserve_max: 256,
            accept_max: 256,
            intake_max: 500,
            queue_max: 65_536,
            follow_every: Duration::from_millis(50),
            relay_every: Duration::from_millis(100),
            recover_every: Duration::from_millis(100),
            offer_every: Duration::from_millis(100),
            gather_for: Duration::from_secs(600),
            events_max: 512,
            payment_lanes: 16,
            consumer_tries: 5,
            notices_max: 32,
            notice_patience: Duration::from_secs(2 * 86_400),
            policy: Policy::default(),
            keep_events: None,
            keep_versions: Duration::from_secs(86_400),
            volatile: VolatileLedger::Refused,
            volatile_log: VolatileLog::Refused,
        }
    }
}

impl Settings {
    /// Checks the bounds.
    ///
    /// # Errors
    /// [`ConfigError::Bound`] for the first setting that is out of them.
    pub fn check(&self) -> Result<(), ConfigError> {
        let bounds = [
            ("reserve_max", self.reserve_max as u64, 1, 500),
            ("accept_max", self.accept_max as u64, 1, 500),
            ("intake_max", self.intake_max as u64, 1, 500),
            ("queue_max", self.queue_max as u64, 1, 1_000_000),
            ("events_max", self.events_max as u64, 1, 10_000),
            ("payment_lanes", self.payment_lanes as u64, 1, 4_096),
            ("consumer_tries", u64::from(self.consumer_tries), 1, 100),
            ("notices_max", self.notices_max as u64, 1, 500),
            ("notice_patience in seconds", self.notice_patience.as_secs(), 3_600, 30 * 86_400),
            ("keep_versions in seconds", self.keep_versions.as_secs(), 3_600, 315_360_000),
        ];
        for (name, value, least, most) in bounds {
            if !(least..=most).contains(&value) {
                return Err(ConfigError::Bound { name, value, least, most });
            }
        }
        Ok(())
    }
}
