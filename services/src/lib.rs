//! Real servers for tests, marks and people: each a child process on loopback, on a free port, in a folder of its own.
//!
//! Owns starting, killing, restarting and stopping them, what is missing and how it is installed, a proxy that breaks
//! connections on purpose, and a browser that looks at pages. Knows nothing of sales, and takes no driver: what it says to a server, it says in raw bytes.
//! Everything is synchronous, so that tests with and without a runtime can use it.
//!
//! ```no_run
//! use flashsale_services::{Append, Redis, RedisOptions};
//!
//! let redis = Redis::start(RedisOptions { append: Append::Always, ..RedisOptions::default() });
//! redis.ask(&["SET", "word", "kept"])?;
//! redis.kill9();
//! redis.restart();
//! assert_eq!(redis.ask(&["GET", "word"])?.text(), "kept");
//! # Ok::<(), std::io::Error>(())
//! ```

pub mod browser;
pub mod cluster;
mod error;
mod folder;
pub mod kafka;
pub mod mariadb;
pub mod port;
pub mod postgres;
mod process;
pub mod program;
pub mod proxy;
pub mod redis;
mod resp;
pub mod sentinel;
mod server;
mod tls;

pub use cluster::RedisCluster;
pub use error::StartError;
pub use kafka::{Kafka, KafkaOptions};
pub use mariadb::{MariaDb, MariaDbOptions};
pub use postgres::{Flush, Postgres, PostgresOptions};
pub use proxy::{Counts, Proxy};
pub use redis::{Append, Redis, RedisOptions, Tls};
pub use resp::Reply;
pub use sentinel::RedisSentinel;
pub use server::Server;
