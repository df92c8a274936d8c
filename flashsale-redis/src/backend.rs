//! `RedisBackend`: one connection, and the stores that share it.

use std::sync::Arc;

use flashsale_core::BackendError;
use flashsale_core::error::ErrorKind;

use crate::config::RedisConfig;
use crate::link::Link;
use crate::room::RedisRoomStore;
use crate::stock::RedisStockGate;

/// A connection to Redis that its stores share. A clone is the same connection.
#[derive(Debug, Clone)]
pub struct RedisBackend {
    link: Arc<Link>,
    config: Arc<RedisConfig>,
}

impl RedisBackend {
    /// Connects with the defaults of [`RedisConfig::new`].
    ///
    /// # Errors
    /// As [`RedisBackend::with`].
    pub async fn connect(url: &str) -> Result<Self, BackendError> {
        let config = RedisConfig::new(url)
            .map_err(|error| BackendError::new(ErrorKind::Misconfigured, "redis.connect", error))?;
        Self::with(config).await
    }

    /// Connects, and checks the server: its version, and that it never evicts a key by itself.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`] for a wrong password, missing rights, an eviction policy other than `noeviction` or a server
    /// older than 6.2; [`ErrorKind::Unavailable`] if no server answers in time.
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing behind.
    pub async fn with(config: RedisConfig) -> Result<Self, BackendError> {
        let link = Arc::new(Link::new(config.clone()));
        link.check().await?;
        Ok(Self { link, config: Arc::new(config) })
    }

    /// As [`RedisBackend::with`], but dials at the first call: for a process that must start while Redis is down.
    #[must_use]
    pub fn lazy(config: RedisConfig) -> Self {
        Self { link: Arc::new(Link::new(config.clone())), config: Arc::new(config) }
    }

    /// The gate.
    #[must_use]
    pub fn gate(&self) -> RedisStockGate {
        RedisStockGate::over(self.link.clone(), &self.config)
    }

    /// The waiting rooms.
    #[must_use]
    pub fn rooms(&self) -> RedisRoomStore {
        RedisRoomStore::over(self.link.clone(), &self.config)
    }
}
