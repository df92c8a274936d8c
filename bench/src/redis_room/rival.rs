//! What a room is compared with: a counter and a sorted set, one `INCR` and one `ZADD NX` a member, a pipeline a batch.
//!
//! It has an order and finds a member again, and that is all: no door, no pace, no turns, no sign of life. The score is the client's own
//! count, as an answer within a pipeline cannot be used in it. The connection is set up as the rooms' own.

use std::sync::atomic::{AtomicU64, Ordering};

use flashsale_core::queue::Enter;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, IntoConnectionInfo};

use crate::Failure;

pub(super) struct Rival {
    connection: MultiplexedConnection,
    joined: AtomicU64,
}

impl Rival {
    pub(super) async fn connect(url: &str) -> Result<Self, Failure> {
        let info = url.into_connection_info()?;
        let tcp = info.tcp_settings().clone().set_nodelay(true);
        let client = Client::open(info.set_tcp_settings(tcp))?;
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        Ok(Self { connection, joined: AtomicU64::new(0) })
    }

    /// Adds the members of a batch, and tells how many were not there.
    pub(super) async fn join(&self, batch: &[Enter]) -> Result<usize, Failure> {
        let mut pipeline = redis::pipe();
        for enter in batch {
            let score = self.joined.fetch_add(1, Ordering::Relaxed);
            pipeline.cmd("INCR").arg("issued").ignore();
            pipeline.cmd("ZADD").arg("line").arg("NX").arg(score).arg(enter.member.as_str());
        }
        let added: Vec<usize> = pipeline.query_async(&mut self.connection.clone()).await?;
        Ok(added.iter().sum())
    }
}
