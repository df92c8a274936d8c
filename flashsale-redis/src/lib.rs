//! The gate and the waiting rooms of [`flashsale_core`] on Redis: one server, Sentinel or Cluster; one script call per batch.
//!
//! Each method of [`StockGate`](flashsale_core::stock::StockGate) and of [`RoomStore`](flashsale_core::queue::RoomStore) is one script of `lua/`,
//! whose head says what it is handed, what it answers and what it holds. All keys of a sale share one hash tag, and all of a room, so each lives on one node of a cluster.
//!
//! The gate may forget, and Redis does: at a restart, a failover, a `FLUSHALL`. Each script reads the server's `run_id` first, so
//! the first call after a loss notices it, and the sale is loaded anew from the ledger. Nothing that a buyer was promised is
//! kept here. A room goes on with what the server kept; of what it lost, tickets bring the places back. `docs/guide/redis.md` says how to set a server up, and what it needs to be allowed.
//!
//! | file | what it owns |
//! |---|---|
//! | `config.rs` | where the servers are, and the bounds of waiting for them |
//! | `dial.rs` | one connection to whatever serves now, and what is checked before it is used |
//! | `link.rs` | a deadline of our own for each call, and a new connection after a broken one |
//! | `fault.rs` | what each error means: nothing happened, unknown, misconfigured |
//! | `key.rs`, `script.rs`, `reply.rs` | the keys of a sale and of a room, the scripts, the parts of a reply |
//! | `stock/`, `room/` | requests to words, words to answers |
//!
//! ```no_run
//! # async fn demo() -> Result<(), flashsale_core::BackendError> {
//! use flashsale_redis::RedisBackend;
//!
//! let redis = RedisBackend::connect("redis://127.0.0.1:6379").await?;
//! let (gate, rooms) = (redis.gate(), redis.rooms());
//! # Ok(()) }
//! ```

mod backend;
mod config;
mod dial;
mod fault;
mod key;
mod link;
mod reply;
mod room;
mod script;
mod stock;

pub use backend::RedisBackend;
pub use config::{RedisConfig, RedisConfigError, Topology};
pub use room::RedisRoomStore;
pub use stock::RedisStockGate;
