//! Whether everything has settled: counted in the ledger's own rows, read-only.
//!
//! For tests and load tools. The ports have no such count, because no part of the system needs one.

use std::path::Path;

use flashsale_core::error::ErrorKind;
use flashsale_core::{BackendError, Timestamp};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};

/// Counts rows.
#[derive(Debug, Clone)]
pub(crate) struct Counts(SqlitePool);

/// What is still on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OnTheWay {
    /// Orders that are neither at their end nor stuck.
    pub(crate) open_orders: i64,
    /// Of these, orders whose time has come.
    pub(crate) due: i64,
    /// Facts that have not left the outbox.
    pub(crate) unsent_events: i64,
}

impl Counts {
    pub(crate) async fn open(file: &Path) -> Result<Self, BackendError> {
        let options = SqliteConnectOptions::new().filename(file).read_only(true);
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await;
        Ok(Self(pool.map_err(failed)?))
    }

    pub(crate) async fn on_the_way(&self, now: Timestamp) -> Result<OnTheWay, BackendError> {
        let text = "SELECT COUNT(*), COUNT(*) FILTER (WHERE due_at <= ?), (SELECT COUNT(*) FROM outbox WHERE sent = 0) \
                    FROM orders WHERE state IN ('offered', 'accepted', 'paying', 'closing', 'refunding') AND stuck IS NULL";
        let row: (i64, i64, i64) = sqlx::query_as(text).bind(now.ms()).fetch_one(&self.0).await.map_err(failed)?;
        Ok(OnTheWay { open_orders: row.0, due: row.1, unsent_events: row.2 })
    }

    pub(crate) async fn close(&self) {
        self.0.close().await;
    }
}

fn failed(error: sqlx::Error) -> BackendError {
    BackendError::new(ErrorKind::Unavailable, "counts", error)
}
