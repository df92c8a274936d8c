//! What a backend's author provides: a fresh port, time that passes, and (where it makes sense) a restart.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flashsale_core::memory::{MemoryIntakeLog, MemoryLedger, MemoryRoomStore, MemoryStockGate};
use flashsale_core::{ManualClock, Timestamp};

use crate::suite::intake_log::Logs;

/// Makes ports for the rules of a suite. Each rule makes a fixture of its own and asks it for one port.
///
/// ```
/// use std::time::Duration;
/// use flashsale_core::{ManualClock, Timestamp};
/// use flashsale_core::memory::MemoryStockGate;
/// use flashsale_testkit::Fixture;
///
/// struct Mine(std::sync::Arc<ManualClock>);
///
/// #[async_trait::async_trait]
/// impl Fixture for Mine {
///     type Port = MemoryStockGate;
///     async fn fresh(&self) -> MemoryStockGate {
///         MemoryStockGate::new(self.0.clone())
///     }
///     async fn advance(&self, by: Duration) {
///         self.0.advance(by);
///     }
/// }
///
/// let mine = Mine(ManualClock::starting(Timestamp::from_ms(0)));
/// flashsale_testkit::run(flashsale_testkit::suite::stock_gate::reserve::a_request_is_held_with_the_next_number(&mine));
/// ```
#[async_trait]
pub trait Fixture: Send + Sync {
    /// The backend under test.
    type Port: Send + Sync;

    /// A backend with nothing in it: a new prefix, file or schema, never one that another rule uses.
    async fn fresh(&self) -> Self::Port;

    /// Lets at least `by` pass on the backend's own clock. Where that clock cannot be moved, waits for it.
    async fn advance(&self, by: Duration);

    /// Stops the backend without warning and starts it again: a gate forgets, a durable ledger does not.
    ///
    /// `None` if this backend has nothing to restart; the rules that need it say that they were not run.
    async fn restart(&self, _port: Self::Port) -> Option<Self::Port> {
        None
    }
}

/// When the clocks of the memory fixtures start.
pub const START: Timestamp = Timestamp::from_ms(1_800_000_000_000);

/// A clock for a fixture, at [`START`].
#[must_use]
pub fn clock() -> Arc<ManualClock> {
    ManualClock::starting(START)
}

/// Makes [`MemoryStockGate`]s. A restart forgets everything.
#[derive(Debug)]
pub struct MemoryGates(Arc<ManualClock>);

impl Default for MemoryGates {
    fn default() -> Self {
        Self(clock())
    }
}

#[async_trait]
impl Fixture for MemoryGates {
    type Port = MemoryStockGate;

    async fn fresh(&self) -> MemoryStockGate {
        MemoryStockGate::new(self.0.clone())
    }

    async fn advance(&self, by: Duration) {
        self.0.advance(by);
    }

    async fn restart(&self, port: MemoryStockGate) -> Option<MemoryStockGate> {
        port.forget_all();
        Some(port)
    }
}

/// Makes [`MemoryLedger`]s. They are volatile: there is nothing to restart.
#[derive(Debug)]
pub struct MemoryLedgers(Arc<ManualClock>);

impl Default for MemoryLedgers {
    fn default() -> Self {
        Self(clock())
    }
}

#[async_trait]
impl Fixture for MemoryLedgers {
    type Port = MemoryLedger;

    async fn fresh(&self) -> MemoryLedger {
        MemoryLedger::new(self.0.clone(), 1)
    }

    async fn advance(&self, by: Duration) {
        self.0.advance(by);
    }
}

/// Makes [`MemoryIntakeLog`]s.
#[derive(Debug, Default)]
pub struct MemoryLogs;

#[async_trait]
impl Fixture for MemoryLogs {
    type Port = MemoryIntakeLog;

    async fn fresh(&self) -> MemoryIntakeLog {
        MemoryIntakeLog::default()
    }

    async fn advance(&self, _: Duration) {}
}

#[async_trait]
impl Logs for MemoryLogs {
    type Log = MemoryIntakeLog;

    async fn another(&self, log: &MemoryIntakeLog) -> MemoryIntakeLog {
        log.another()
    }
}

/// Makes [`MemoryRoomStore`]s. A restart forgets everything.
#[derive(Debug)]
pub struct MemoryRooms(Arc<ManualClock>);

impl Default for MemoryRooms {
    fn default() -> Self {
        Self(clock())
    }
}

#[async_trait]
impl Fixture for MemoryRooms {
    type Port = MemoryRoomStore;

    async fn fresh(&self) -> MemoryRoomStore {
        MemoryRoomStore::new(self.0.clone())
    }

    async fn advance(&self, by: Duration) {
        self.0.advance(by);
    }

    async fn restart(&self, port: MemoryRoomStore) -> Option<MemoryRoomStore> {
        port.forget_all();
        Some(port)
    }
}
