//! The durable ledger of `flashsale` on SQL: SQLite, PostgreSQL, and MariaDB or MySQL, each behind its feature.
//!
//! [`SqlLedger`] is one type for every ledger port of [`flashsale_core`]: [`StockLedger`], [`OrderLedger`], [`CouponLedger`],
//! [`WalletLedger`], [`Outbox`], [`DeadLetters`] and [`NoticeLedger`], because they share transactions: an order, its units, its coupon and its
//! facts are one commit. It is called `SqliteLedger`, `PostgresLedger` or `MySqlLedger` by its database. Each noun has a file of its own,
//! whose statements are the same everywhere; where databases differ is in one file, `dialect`.
//!
//! ```no_run
//! # #[cfg(feature = "sqlite")]
//! # async fn example() -> Result<(), flashsale_core::BackendError> {
//! use flashsale_sql::SqliteLedger;
//! let ledger = SqliteLedger::open("shop.db").await?;                  // a file of our own: created, migrated, checked
//! # Ok(())
//! # }
//! # #[cfg(feature = "postgres")]
//! # async fn postgres() -> Result<(), flashsale_core::BackendError> {
//! # use flashsale_sql::PostgresLedger;
//! let ledger = PostgresLedger::open("postgres://shop@db/shop?options[search_path]=flashsale").await?;
//! # Ok(())
//! # }
//! # #[cfg(feature = "mysql")]
//! # async fn mysql() -> Result<(), flashsale_core::BackendError> {
//! # use flashsale_sql::MySqlLedger;
//! let ledger = MySqlLedger::open("mysql://shop@db/shop").await?;
//! # Ok(())
//! # }
//! # #[cfg(feature = "sqlite")]
//! # async fn theirs(pool: sqlx::SqlitePool) -> Result<(), flashsale_core::BackendError> {
//! # use flashsale_sql::SqliteLedger;
//! let ledger = SqliteLedger::new(pool);                               // your pool
//! ledger.migrate().await?;                                            // or hand the files to your own tool and
//! ledger.check_migrations().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What it stands on
//! - **G2** a commit is on the disk before it is told: `synchronous=FULL` in WAL mode on SQLite, `synchronous_commit` and `fsync` on
//!   PostgreSQL, `innodb_flush_log_at_trx_commit=1` on MariaDB and MySQL. Other settings are refused.
//! - **G1, G3, G4** every transaction that moves stock reads the sale's row first, under the lock, in a statement of its own and at READ
//!   COMMITTED, and decides with [`flashsale_core::stock::decide()`]; CHECKs, keys and row counts are tripwires behind it.
//! - A transaction runs in a task of its own: a caller that goes away tears nothing. One that met another, or lost its connection before
//!   COMMIT, is begun again as a whole, a bounded number of times; one that lost it during COMMIT is *unknown*, and the same call
//!   again finds out.
//! - On SQLite one writer at a time is let to the database, in order of arrival; on servers sales are locked row by row.
//!
//! [`StockLedger`]: flashsale_core::stock::StockLedger
//! [`OrderLedger`]: flashsale_core::order::OrderLedger
//! [`CouponLedger`]: flashsale_core::coupon::CouponLedger
//! [`WalletLedger`]: flashsale_core::payment::WalletLedger
//! [`Outbox`]: flashsale_core::event::Outbox
//! [`DeadLetters`]: flashsale_core::event::DeadLetters
//! [`NoticeLedger`]: flashsale_core::notice::NoticeLedger

#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
mod dialect;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
mod driver;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
mod error;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
mod ledger;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
mod migration;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
mod turns;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
mod tx;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
mod value;

// A file per database.
#[cfg(feature = "sqlite")]
mod sqlite;

#[cfg(feature = "postgres")]
mod postgres;

#[cfg(feature = "mysql")]
mod mysql;

#[cfg(all(test, any(feature = "sqlite", feature = "postgres", feature = "mysql")))]
mod plans;

// One file per noun, in the order in which a purchase meets them.
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
mod coupon;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
mod event;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
mod notice;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
mod order;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
mod payment;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
mod stock;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
mod waitlist;

#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
pub use ledger::{Backend, BoxError, BoxFuture, SqlLedger};
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
pub use migration::Migration;
#[cfg(feature = "mysql")]
pub use mysql::MySqlLedger;
#[cfg(feature = "postgres")]
pub use postgres::PostgresLedger;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteLedger;
