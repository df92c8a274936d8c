//! The gate and the rooms on a real Redis pass the suites of their ports, a server of its own for every rule; the rooms on a cluster, too.

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

/// Rooms on a server that is killed for a restart; time is moved by hand.
mod rooms {
    use super::*;
    use flashsale_redis::RedisRoomStore;

    flashsale_testkit::room_store_suite!(Rooms::default());

    struct Rooms {
        clock: Arc<ManualClock>,
        server: Mutex<Option<(Arc<Redis>, RedisConfig)>>,
    }

    impl Rooms {
        async fn store(&self, config: RedisConfig) -> RedisRoomStore {
            RedisBackend::with(config).await.expect("a connection").rooms().with_clock(self.clock.clone())
        }
    }

    impl Default for Rooms {
        fn default() -> Self {
            Self { clock: fixture::clock(), server: Mutex::default() }
        }
    }

    #[async_trait]
    impl Fixture for Rooms {
        type Port = RedisRoomStore;

        async fn fresh(&self) -> RedisRoomStore {
            let server = Arc::new(servers::forgetful());
            let config = servers::config(&server.url());
            *self.server.lock().unwrap() = Some((server, config.clone()));
            self.store(config).await
        }

        async fn advance(&self, by: Duration) {
            self.clock.advance(by);
        }

        async fn restart(&self, _: RedisRoomStore) -> Option<RedisRoomStore> {
            let (server, config) = self.server.lock().unwrap().clone()?;
            server.kill9();
            server.restart();
            Some(self.store(config).await)
        }
    }
}

/// Rooms on a cluster that all rules share, each with a prefix of its own.
mod clustered_rooms {
    use std::sync::OnceLock;

    use super::*;
    use flashsale_redis::RedisRoomStore;
    use flashsale_services::RedisCluster;

    flashsale_testkit::room_store_suite!(Rooms(fixture::clock()));

    struct Rooms(Arc<ManualClock>);

    #[async_trait]
    impl Fixture for Rooms {
        type Port = RedisRoomStore;

        async fn fresh(&self) -> RedisRoomStore {
            static CLUSTER: OnceLock<RedisCluster> = OnceLock::new();
            let cluster = CLUSTER.get_or_init(|| RedisCluster::start(6));
            servers::rooms(&cluster.url()).await.with_clock(self.0.clone())
        }

        async fn advance(&self, by: Duration) {
            self.0.advance(by);
        }
    }
}
