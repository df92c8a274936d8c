//! Whether everything has settled: counted in the ledger's own rows, read-only.
//!
//! For tests and load tools. The ports have no such count, because no part of the system needs one.

use std::str::FromStr;

use flashsale_core::error::ErrorKind;
use flashsale_core::{BackendError, Timestamp};
use sqlx::mysql::{MySqlConnectOptions, MySqlPool, MySqlPoolOptions};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions};

use crate::config::{Database, SqlUrl};

/// Counts rows, on a connection of its own.
#[derive(Debug, Clone)]
pub(crate) enum Counts {
    Sqlite(SqlitePool),
    Postgres(PgPool),
    MySql(MySqlPool),
}

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
    /// Opens nothing yet: the connection is made by the first count.
    pub(crate) fn of(url: &SqlUrl) -> Result<Self, BackendError> {
        Ok(match url.database() {
            Database::Sqlite(file) => {
                let options = SqliteConnectOptions::new().filename(file).read_only(true);
                Self::Sqlite(SqlitePoolOptions::new().max_connections(1).connect_lazy_with(options))
            }
            Database::Postgres => {
                let options = PgConnectOptions::from_str(url.secret()).map_err(failed)?.disable_statement_logging();
                let options = options.options([("default_transaction_read_only", "on")]);
                Self::Postgres(PgPoolOptions::new().max_connections(1).connect_lazy_with(options))
            }
            Database::MySql => {
                let options = MySqlConnectOptions::from_str(url.secret()).map_err(failed)?.disable_statement_logging();
                Self::MySql(MySqlPoolOptions::new().max_connections(1).connect_lazy_with(options))
            }
        })
    }

    pub(crate) async fn on_the_way(&self, now: Timestamp) -> Result<OnTheWay, BackendError> {
        // The time is a number, and each database has its own mark for a value.
        let text = AssertSqlSafe(format!(
            "SELECT COUNT(*), COUNT(CASE WHEN due_at <= {} THEN 1 END), (SELECT COUNT(*) FROM outbox WHERE sent = 0) \
             FROM orders WHERE state IN ('offered', 'accepted', 'paying', 'closing', 'refunding') AND stuck IS NULL",
            now.ms()
        ));
        let row: Result<(i64, i64, i64), _> = match self {
            Self::Sqlite(pool) => sqlx::query_as(text).persistent(false).fetch_one(pool).await,
            Self::Postgres(pool) => sqlx::query_as(text).persistent(false).fetch_one(pool).await,
            Self::MySql(pool) => sqlx::query_as(text).persistent(false).fetch_one(pool).await,
        };
        let (open_orders, due, unsent_events) = row.map_err(failed)?;
        Ok(OnTheWay { open_orders, due, unsent_events })
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
            Self::MySql(pool) => pool.close().await,
        }
    }
}

fn failed(error: sqlx::Error) -> BackendError {
    BackendError::new(ErrorKind::Unavailable, "counts", error)
}
