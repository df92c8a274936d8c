//! A node's view of the world: its own clock, its own tasks.

use std::time::Duration;

use flashsale_core::engine::{Host, Task};
use flashsale_core::{Clock, Timestamp};

use super::executor::{Group, World};

/// The [`Host`] of one node. Its clock is wrong by `skew_ms`.
#[derive(Debug, Clone)]
pub struct SimHost {
    world: World,
    group: Group,
    skew_ms: i64,
}

impl SimHost {
    /// The host of the node whose tasks are `group`.
    #[must_use]
    pub fn new(world: &World, group: Group, skew_ms: i64) -> Self {
        Self { world: world.clone(), group, skew_ms }
    }
}

impl Clock for SimHost {
    fn now(&self) -> Timestamp {
        Timestamp::from_ms(self.world.now().ms() + self.skew_ms)
    }
}

impl Host for SimHost {
    fn sleep(&self, wait: Duration) -> Task {
        Box::pin(self.world.sleep(wait))
    }

    fn spawn(&self, task: Task) {
        self.world.spawn_boxed(self.group, task);
    }

    fn random(&self) -> u64 {
        self.world.random()
    }
}
