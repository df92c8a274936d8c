//! What the engine takes from outside: time, sleep, randomness, spawning.
//!
//! With these in hand one thread in virtual time can run all of it; the testkit's simulator does.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::time::{Clock, SystemClock, Timestamp};

/// A future that the host runs.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The world around the engine.
pub trait Host: Clock + Debug {
    /// Ends after `wait`.
    fn sleep(&self, wait: Duration) -> Task;

    /// Runs a task to its end, whether or not anybody waits for it. Used for batches in flight, which a caller that hangs up must
    /// not tear; they are bounded and [`FlashSale::drain`](crate::FlashSale::drain) waits for them.
    fn spawn(&self, task: Task);

    /// 64 random bits: for nonces and tags, of which no two should be alike.
    fn random(&self) -> u64;
}

/// The host of a tokio program: its runtime, the machine's clock (or another), the system's randomness.
#[derive(Debug, Clone)]
pub struct TokioHost(Arc<dyn Clock>);

impl TokioHost {
    /// With the machine's clock.
    #[must_use]
    pub fn shared() -> Arc<dyn Host> {
        Self::with_clock(SystemClock::shared())
    }

    /// With another clock. Sleeping still takes real time.
    #[must_use]
    pub fn with_clock(clock: Arc<dyn Clock>) -> Arc<dyn Host> {
        Arc::new(Self(clock))
    }
}

impl Clock for TokioHost {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the host through which everything else must go")]
impl Host for TokioHost {
    fn sleep(&self, wait: Duration) -> Task {
        Box::pin(tokio::time::sleep(wait))
    }

    fn spawn(&self, task: Task) {
        tokio::spawn(task);
    }

    fn random(&self) -> u64 {
        rand::random()
    }
}
