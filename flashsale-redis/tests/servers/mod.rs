//! Servers and gates for tests: what several test files begin with.
#![allow(dead_code, reason = "each test file takes what it needs")]

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use flashsale_core::SaleId;
use flashsale_core::stock::{StockGate, Synced};
use flashsale_redis::{RedisBackend, RedisConfig, RedisRoomStore, RedisStockGate};
use flashsale_services::{Append, Redis, RedisOptions};
use flashsale_testkit::sample;

/// A server that keeps nothing over a restart.
pub(crate) fn forgetful() -> Redis {
    Redis::start(RedisOptions { append: Append::Never, ..RedisOptions::default() })
}

/// A configuration with a prefix that nobody else has.
pub(crate) fn config(url: &str) -> RedisConfig {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let prefix = format!("t{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
    patient(url).prefix(&prefix).expect("a prefix")
}

/// A configuration that waits: two cores run many tests at once, and a late answer is not what is tested. The prefix is the default.
pub(crate) fn patient(url: &str) -> RedisConfig {
    RedisConfig::new(url)
        .expect("a URL")
        .response_timeout(Duration::from_secs(20))
        .expect("a wait")
        .connect_timeout(Duration::from_secs(20))
        .expect("a wait")
}

/// A configuration as a shop has it: a server that is gone is noticed soon. The prefix is the default.
pub(crate) fn brisk(url: &str) -> RedisConfig {
    let wait = Duration::from_millis(500);
    RedisConfig::new(url).expect("a URL").response_timeout(wait).expect("a wait").connect_timeout(wait).expect("a wait")
}

/// A gate of its own on a server.
pub(crate) async fn gate(url: &str) -> RedisStockGate {
    RedisBackend::with(config(url)).await.expect("a connection").gate()
}

/// A gate on a server, with the waits that a shop has.
pub(crate) async fn brisk_gate(url: &str) -> RedisStockGate {
    RedisBackend::with(brisk(url)).await.expect("a connection").gate()
}

/// Rooms of their own on a server.
pub(crate) async fn rooms(url: &str) -> RedisRoomStore {
    RedisBackend::with(config(url)).await.expect("a connection").rooms()
}

/// Opens a sale of `free` units of the item `a`, ten per buyer.
pub(crate) async fn opened(gate: &RedisStockGate, free: u32) -> SaleId {
    let (sale, load) = (sample::sale_id("drop"), sample::load(&[sample::level("a", free, 10)]));
    gate.begin(&sale, load.nonce).await.expect("begin");
    assert_eq!(gate.load(&sale, &load).await.expect("load"), Synced::Done);
    sale
}
