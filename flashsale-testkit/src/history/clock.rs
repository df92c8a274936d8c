//! A clock that moves because it is read: time passes in a recording without anybody waiting for it.

use std::sync::atomic::{AtomicU64, Ordering};

use flashsale_core::{Clock, Timestamp};

use crate::fixture::START;

/// A clock that moves by a millisecond with every so many readings.
#[derive(Debug)]
pub struct TickingClock {
    readings: AtomicU64,
    per_ms: u64,
}

impl TickingClock {
    /// A clock at [`START`], of so many readings a millisecond.
    #[must_use]
    pub fn every(readings: u64) -> Self {
        Self { readings: AtomicU64::new(0), per_ms: readings.max(1) }
    }
}

impl Clock for TickingClock {
    fn now(&self) -> Timestamp {
        let ms = self.readings.fetch_add(1, Ordering::SeqCst) / self.per_ms;
        Timestamp::from_ms(START.ms() + i64::try_from(ms).unwrap_or(i64::MAX))
    }
}
