//! The durable ledger of `flashsale` on SQL: SQLite now, PostgreSQL and MySQL/MariaDB by the same seam later.
//!
//! [`SqliteLedger`] is one type for every ledger port of [`flashsale_core`]: [`StockLedger`], [`OrderLedger`], [`CouponLedger`],
//! [`WalletLedger`], [`Outbox`] and [`DeadLetters`], because they share transactions: an order, its units, its coupon and its
//! facts are one commit. Each noun has a file of its own; [`dialect`](self) differences are in one place.
//!
//! ```no_run
//! use flashsale_sql::SqliteLedger;
//! # async fn example() -> Result<(), flashsale_core::BackendError> {
//! let ledger = SqliteLedger::open("shop.db").await?;                  // a file of our own: created, migrated, checked
//! # Ok(())
//! # }
//! # async fn theirs(pool: sqlx::SqlitePool) -> Result<(), flashsale_core::BackendError> {
//! let ledger = SqliteLedger::new(pool);                               // your pool
//! ledger.migrate().await?;                                            // or hand the files to your own tool and
//! ledger.check_migrations().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What it stands on
//! - **G2** `synchronous=FULL` in WAL mode: a commit is on the disk before it is told. Other settings are refused.
//! - **G1, G3, G4** every transaction that moves stock reads the sale's row first, under the write lock, and decides with
//!   [`flashsale_core::stock::decide()`]; CHECKs, keys and row counts are tripwires behind it.
//! - A transaction runs in a task of its own: a caller that goes away tears nothing. One writer at a time is let to the database,
//!   in order of arrival; BUSY is tried again as a whole.
//!
//! [`StockLedger`]: flashsale_core::stock::StockLedger
//! [`OrderLedger`]: flashsale_core::order::OrderLedger
//! [`CouponLedger`]: flashsale_core::coupon::CouponLedger
//! [`WalletLedger`]: flashsale_core::payment::WalletLedger
//! [`Outbox`]: flashsale_core::event::Outbox
//! [`DeadLetters`]: flashsale_core::event::DeadLetters

#[cfg(feature = "sqlite")]
mod dialect;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(feature = "sqlite")]
mod turns;
#[cfg(feature = "sqlite")]
mod tx;

#[cfg(all(test, feature = "sqlite"))]
mod plans;

// One file per noun, in the order in which a purchase meets them.
#[cfg(feature = "sqlite")]
mod stock;

#[cfg(feature = "sqlite")]
mod order;

#[cfg(feature = "sqlite")]
mod coupon;

#[cfg(feature = "sqlite")]
mod payment;

#[cfg(feature = "sqlite")]
mod event;

#[cfg(feature = "sqlite")]
pub use sqlite::{BoxError, BoxFuture, SqliteLedger};
