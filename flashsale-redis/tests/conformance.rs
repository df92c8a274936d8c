//! The gate on a real Redis passes the suite of the port, a server of its own for every rule.

mod servers;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use flashsale_core::ManualClock;
use flashsale_redis::{RedisBackend, RedisConfig, RedisStockGate};
use flashsale_services::Redis;
use flashsale_testkit::{Fixture, fixture};

flashsale_testkit::stock_gate_suite!(Gates::default());

/// Gates on a server that is killed for a restart; time is moved by hand.
struct Gates {
    clock: Arc<ManualClock>,
    server: Mutex<Option<(Arc<Redis>, RedisConfig)>>,
}

impl Gates {
    async fn gate(&self, config: RedisConfig) -> RedisStockGate {
        RedisBackend::with(config).await.expect("a connection").gate().with_clock(self.clock.clone())
    }
}

impl Default for Gates {
    fn default() -> Self {
        Self { clock: fixture::clock(), server: Mutex::default() }
    }
}

#[async_trait]
impl Fixture for Gates {
    type Port = RedisStockGate;

    async fn fresh(&self) -> RedisStockGate {
        let server = Arc::new(servers::forgetful());
        let config = servers::config(&server.url());
        *self.server.lock().unwrap() = Some((server, config.clone()));
        self.gate(config).await
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    async fn restart(&self, _: RedisStockGate) -> Option<RedisStockGate> {
        let (server, config) = self.server.lock().unwrap().clone()?;
        server.kill9();
        server.restart();
        // The old connection's first call would only say that it is broken.
        Some(self.gate(config).await)
    }
}
