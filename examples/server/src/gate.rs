//! Gate and waiting rooms by configuration: in this process's memory, or on Redis. Owns what a start does with a Redis that is down or not set up.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use flashsale_core::error::ErrorKind;
use flashsale_core::memory::{MemoryRoomStore, MemoryStockGate};
use flashsale_core::queue::RoomStore;
use flashsale_core::stock::StockGate;
use flashsale_core::{BackendError, Clock};
use flashsale_redis::{RedisBackend, RedisConfig, RedisConfigError, Topology};

use crate::config::{Config, Switch};

/// What the gate is kept in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// This process's memory: no other process sees it.
    Memory,
    /// Redis: every process with the same URL and prefix has the same gate.
    Redis(Topology),
}

impl Kept {
    /// The word for it: the scheme of its URL.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Redis(Topology::Single) => "redis",
            Self::Redis(Topology::Sentinel) => "redis+sentinel",
            Self::Redis(Topology::Cluster) => "redis+cluster",
        }
    }
}

/// A gate and a store of rooms, and whether they answered at the start.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) gate: Arc<dyn StockGate>,
    pub(crate) rooms: Arc<dyn RoomStore>,
    pub(crate) kept: Kept,
    /// Why it did not answer; it is asked again by every purchase.
    pub(crate) silent: Option<BackendError>,
}

/// Redis is there and not set up as it must be, or the settings cannot be used.
#[derive(Debug)]
pub struct GateError(BackendError);

impl std::error::Error for GateError {}

/// Says what is wrong, and what to do next.
impl fmt::Display for GateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = std::error::Error::source(&self.0).map_or_else(|| self.0.to_string(), ToString::to_string);
        let has = |words: &[&str]| words.iter().any(|word| told.contains(word));
        let next = if has(&["WRONGPASS", "NOAUTH", "AuthenticationFailed", "authentication failed"]) {
            "put the user and password that Redis knows into redis.url (redis://USER:PASSWORD@HOST:PORT, percent-encoded), or into \
             FLASHSALE_REDIS__URL, which no list of processes shows; then start again"
        } else if has(&["NOPERM", "NoPerm", "no permissions"]) {
            "give the user the rights that docs/guide/redis.md lists, by ACL SETUSER; then start again"
        } else if has(&["maxmemory-policy"]) {
            "do so on every server, also in its configuration file; then start again"
        } else {
            "docs/guide/redis.md says how Redis is set up; then start again"
        };
        write!(f, "the gate on Redis cannot be used: {told}. Next: {next}")
    }
}

/// Opens the gate that the configuration names.
///
/// A Redis that does not answer is no reason not to start: orders are shown, paid and cancelled without it, and it may be back
/// before the first purchase.
///
/// # Errors
/// [`GateError`] for a Redis that answers and cannot be used, and for a certificate file that cannot be read.
pub(crate) async fn open(config: &Config, clock: &Arc<dyn Clock>) -> Result<Opened, GateError> {
    let Some(url) = &config.redis_url else {
        let gate = Arc::new(MemoryStockGate::new(clock.clone()));
        let rooms = Arc::new(MemoryRoomStore::new(clock.clone()));
        return Ok(Opened { gate, rooms, kept: Kept::Memory, silent: None });
    };
    let refused = |why: &RedisConfigError| misconfigured(why.to_string());
    let mut redis = RedisConfig::new(url.secret())
        .and_then(|redis| redis.prefix(&config.redis_prefix.0))
        .and_then(|redis| redis.response_timeout(Duration::from_millis(config.redis_response_timeout_ms)))
        .map_err(|why| refused(&why))?;
    if let Some(file) = &config.redis_ca {
        let pem = std::fs::read(file).map_err(|why| misconfigured(format!("redis.ca: {}: {why}", file.display())))?;
        redis = redis.trusting(pem);
    }
    let kept = Kept::Redis(redis.topology());
    let (backend, silent) = match RedisBackend::with(redis.clone()).await {
        Ok(backend) => (backend, None),
        Err(error) if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Unknown) => {
            (RedisBackend::lazy(redis), Some(error))
        }
        Err(error) => return Err(GateError(error)),
    };
    let (gate, rooms) = (backend.gate(), backend.rooms());
    // A clock that is moved moves gate, rooms and ledger; otherwise the server's own counts, which all processes share.
    let (gate, rooms) = match config.dev_clock {
        Switch::On => (gate.with_clock(clock.clone()), rooms.with_clock(clock.clone())),
        Switch::Off => (gate, rooms),
    };
    Ok(Opened { gate: Arc::new(gate), rooms: Arc::new(rooms), kept, silent })
}

fn misconfigured(why: String) -> GateError {
    GateError(BackendError::new(ErrorKind::Misconfigured, "redis.connect", why))
}
