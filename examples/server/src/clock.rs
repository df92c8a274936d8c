//! The machine's clock, moved forward by what a development route was told.
//!
//! One clock for gate, ledger and engine, so that a moved clock moves all of them. It never goes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use flashsale_core::{Clock, SystemClock, Timestamp};

/// The machine's clock plus an offset.
#[derive(Debug, Default)]
pub struct ShiftedClock {
    offset_ms: AtomicI64,
}

impl ShiftedClock {
    /// A clock that shows the machine's time.
    #[must_use]
    pub fn shared() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Moves the clock forward to `to`; tells the time that it shows now. An earlier time changes nothing.
    pub fn forward(&self, to: Timestamp) -> Timestamp {
        let offset = to.ms().saturating_sub(SystemClock.now().ms());
        self.offset_ms.fetch_max(offset, Ordering::SeqCst);
        self.now()
    }
}

impl Clock for ShiftedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_ms(SystemClock.now().ms().saturating_add(self.offset_ms.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_clock_goes_forward_and_never_back() {
        let clock = ShiftedClock::shared();
        let before = clock.now();
        let day = Duration::from_secs(86_400);
        assert!(clock.forward(before.after(day)) >= before.after(day));
        assert!(clock.forward(before) >= before.after(day));
    }
}
