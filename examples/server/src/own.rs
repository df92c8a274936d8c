//! Tables of the server's own, in the ledger's database: the pool that reaches them. What stands in them is its owners' business.

use std::str::FromStr;
use std::time::Duration;

use flashsale_core::BackendError;
use flashsale_core::error::ErrorKind;
use sqlx::ConnectOptions;
use sqlx::mysql::{MySqlConnectOptions, MySqlPool, MySqlPoolOptions};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions};

use crate::config::{Database, SqlUrl};

const WAIT: Duration = Duration::from_secs(5);

/// The pool, whichever database it is. A clone is the same one.
#[derive(Debug, Clone)]
pub(crate) enum Own {
    Sqlite(SqlitePool),
    Postgres(PgPool),
    MySql(MySqlPool),
}

/// Does the same with each kind of pool; `Db` is its database.
macro_rules! with {
    ($own:expr, $pool:ident => $do:expr) => {
        match $own {
            $crate::own::Own::Sqlite($pool) => {
                #[allow(dead_code)]
                type Db = sqlx::Sqlite;
                $do
            }
            $crate::own::Own::Postgres($pool) => {
                #[allow(dead_code)]
                type Db = sqlx::Postgres;
                $do
            }
            $crate::own::Own::MySql($pool) => {
                #[allow(dead_code)]
                type Db = sqlx::MySql;
                $do
            }
        }
    };
}
pub(crate) use with;

/// How a table is made where it is not there.
pub(crate) struct Table {
    /// Reads nothing of it: fails where it is not there.
    pub(crate) there: &'static str,
    pub(crate) sqlite: &'static str,
    pub(crate) postgres: &'static str,
    pub(crate) mysql: &'static str,
}

/// What of the database's codes wants a person: no such table, no right, no such statement (classes 28 and 42 of SQLSTATE; SQLite's 1). All else passes.
fn wants_a_person(code: &str) -> bool {
    code.starts_with("28") || code.starts_with("42") || code == "1"
}

/// A table of the server's own does not answer. Nothing of it is told but the code: a message of the database may have an address or a secret in it.
pub(crate) fn failed(operation: &'static str, error: &sqlx::Error) -> BackendError {
    let code = error.as_database_error().and_then(|error| error.code().map(String::from));
    let kind = match error {
        sqlx::Error::ColumnDecode { .. } => ErrorKind::Misconfigured,
        sqlx::Error::Database(_) if code.as_deref().is_none_or(wants_a_person) => ErrorKind::Misconfigured,
        _ => ErrorKind::Unavailable,
    };
    BackendError::new(kind, operation, code.map_or_else(|| "no answer".to_owned(), |code| format!("error {code}")))
}

impl Own {
    /// Opens the pool beside the ledger, which must be there.
    pub(crate) fn open(url: &SqlUrl) -> Result<Self, BackendError> {
        let bad = |error: sqlx::Error| failed("own.open", &error);
        Ok(match url.database() {
            Database::Sqlite(file) => {
                let options =
                    SqliteConnectOptions::new().filename(file).busy_timeout(WAIT).journal_mode(SqliteJournalMode::Wal);
                let pool = SqlitePoolOptions::new().max_connections(2).acquire_timeout(WAIT);
                Self::Sqlite(pool.connect_lazy_with(options.disable_statement_logging()))
            }
            Database::Postgres => {
                let options = PgConnectOptions::from_str(url.secret()).map_err(bad)?.disable_statement_logging();
                Self::Postgres(PgPoolOptions::new().max_connections(2).acquire_timeout(WAIT).connect_lazy_with(options))
            }
            Database::MySql => {
                let options = MySqlConnectOptions::from_str(url.secret()).map_err(bad)?.disable_statement_logging();
                Self::MySql(MySqlPoolOptions::new().max_connections(2).acquire_timeout(WAIT).connect_lazy_with(options))
            }
        })
    }

    /// Makes a table if it is not there. Who may not make tables may use one that is there.
    pub(crate) async fn table(&self, table: &Table) -> Result<(), BackendError> {
        let is_there = async || with!(self, pool => sqlx::query(table.there).fetch_all(pool).await.is_ok());
        if is_there().await {
            return Ok(());
        }
        let text = match self {
            Self::Sqlite(_) => table.sqlite,
            Self::Postgres(_) => table.postgres,
            Self::MySql(_) => table.mysql,
        };
        match with!(self, pool => sqlx::query(text).execute(pool).await.map(drop)) {
            // Two servers that start together: the other one has just made it. PostgreSQL has several errors for that.
            Err(_) if is_there().await => Ok(()),
            made => made.map_err(|error| failed("own.table", &error)),
        }
    }

    pub(crate) async fn close(&self) {
        with!(self, pool => pool.close().await);
    }
}
