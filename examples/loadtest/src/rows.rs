//! A connection to each kind of database that a ledger is kept in, for reading, and one way to ask all of them.
//!
//! Owns how a text is put to each, and that a database which is killed and comes back is asked again. Knows no table.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, Instant};

use sqlx::mysql::{MySqlConnectOptions, MySqlPool, MySqlPoolOptions, MySqlRow};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgRow};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions, SqliteRow};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor};

use crate::Failure;

/// How long a database that does not answer is asked again: longer than one that was killed takes to come back.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long it is left alone in between.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);

/// A database, on one connection that cannot write.
#[derive(Debug, Clone)]
pub(crate) enum Rows {
    Sqlite(SqlitePool),
    Postgres(PgPool),
    MySql(MySqlPool),
}

/// One row, of whatever database.
#[derive(Debug)]
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
    MySql(MySqlRow),
}

macro_rules! field {
    ($row:expr, $kind:ty, $n:expr) => {
        match $row {
            Row::Sqlite(row) => sqlx::Row::try_get_unchecked::<$kind, _>(row, $n),
            Row::Postgres(row) => sqlx::Row::try_get_unchecked::<$kind, _>(row, $n),
            Row::MySql(row) => sqlx::Row::try_get_unchecked::<$kind, _>(row, $n),
        }
    };
}

impl Row {
    /// The number in a column.
    pub(crate) fn int(&self, n: usize) -> Result<i64, Failure> {
        Ok(field!(self, i64, n)?)
    }

    /// The number in a column that counts something.
    pub(crate) fn count(&self, n: usize) -> Result<u64, Failure> {
        Ok(self.int(n)?.unsigned_abs())
    }

    /// The text in a column.
    pub(crate) fn text(&self, n: usize) -> Result<String, Failure> {
        Ok(field!(self, String, n)?)
    }
}

impl Rows {
    /// Connects to the database of a URL, for reading.
    ///
    /// # Errors
    /// [`Failure::Ledger`] if it cannot be reached; [`Failure::Usage`] for a URL of anything else.
    pub(crate) async fn open(url: &str) -> Result<Self, Failure> {
        match url.split_once("://") {
            Some(("sqlite", path)) => {
                let options = SqliteConnectOptions::new().filename(PathBuf::from(path)).read_only(true);
                let options = options.busy_timeout(Duration::from_secs(5));
                let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
                Ok(Self::Sqlite(pool))
            }
            Some(("postgres" | "postgresql", _)) => {
                let options = PgConnectOptions::from_str(url)?.options([("default_transaction_read_only", "on")]);
                let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(CONNECT);
                Ok(Self::Postgres(pool.connect_with(options.disable_statement_logging()).await?))
            }
            Some(("mysql" | "mariadb", _)) => {
                let options = MySqlConnectOptions::from_str(url)?.disable_statement_logging();
                let pool = MySqlPoolOptions::new().max_connections(1).acquire_timeout(CONNECT);
                let pool = pool.after_connect(|connection, _| {
                    Box::pin(async move { connection.execute("SET SESSION TRANSACTION READ ONLY").await.map(drop) })
                });
                Ok(Self::MySql(pool.connect_with(options).await?))
            }
            _ => Err(Failure::Usage("a ledger is at sqlite://PATH, postgres:// or mysql://".into())),
        }
    }

    /// The rows of a SELECT, as SQLite writes it: `?` for a value, names in double quotes, `AS BIGINT` for a number.
    ///
    /// One that does not answer is asked again for a while: a run may kill it.
    ///
    /// # Errors
    /// [`Failure::Ledger`].
    pub(crate) async fn of(&self, text: &str, values: &[&str]) -> Result<Vec<Row>, Failure> {
        let (text, began) = (self.written(text), Instant::now());
        loop {
            match self.ask(&text, values).await {
                Ok(rows) => return Ok(rows),
                Err(error) if is_away(&error) && began.elapsed() < PATIENCE => tokio::time::sleep(PAUSE).await,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The one row of a SELECT.
    ///
    /// # Errors
    /// [`Failure::Ledger`], also where there is none.
    pub(crate) async fn one(&self, text: &str, values: &[&str]) -> Result<Row, Failure> {
        self.of(text, values).await?.pop().ok_or(Failure::Ledger(sqlx::Error::RowNotFound))
    }

    async fn ask(&self, text: &str, values: &[&str]) -> Result<Vec<Row>, sqlx::Error> {
        macro_rules! ask {
            ($pool:expr, $kind:expr) => {{
                let mut query = sqlx::query(AssertSqlSafe(text));
                for value in values {
                    query = query.bind((*value).to_owned());
                }
                Ok(query.fetch_all($pool).await?.into_iter().map($kind).collect())
            }};
        }
        match self {
            Self::Sqlite(pool) => ask!(pool, Row::Sqlite),
            Self::Postgres(pool) => ask!(pool, Row::Postgres),
            Self::MySql(pool) => ask!(pool, Row::MySql),
        }
    }

    /// A text as this database writes it.
    fn written(&self, text: &str) -> String {
        match self {
            Self::Sqlite(_) => text.to_owned(),
            Self::Postgres(_) => {
                let mut parts = text.split('?');
                let mut numbered = parts.next().unwrap_or_default().to_owned();
                for (n, part) in parts.enumerate() {
                    numbered.push_str(&format!("${}{part}", n + 1));
                }
                numbered
            }
            Self::MySql(_) => text.replace('"', "`").replace("AS BIGINT", "AS SIGNED"),
        }
    }
}

/// Whether the database did not answer, or was on its way up or down.
fn is_away(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::PoolTimedOut => true,
        // PostgreSQL: shut down, or not up yet.
        sqlx::Error::Database(told) => told.code().is_some_and(|code| ["57P01", "57P02", "57P03"].contains(&&*code)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use flashsale_services::{MariaDb, MariaDbOptions, Postgres, PostgresOptions};

    use super::*;

    #[tokio::test]
    async fn what_is_read_cannot_be_written_and_is_asked_again_after_a_crash() {
        let (postgres, mariadb) =
            (Postgres::start(&PostgresOptions::default()), MariaDb::start(&MariaDbOptions::default()));
        let table = "CREATE TABLE t (n BIGINT, s VARCHAR(9)); INSERT INTO t VALUES (7, 'a?\"b')";
        postgres.sql(table).unwrap();
        mariadb.sql(table).unwrap();
        let restarts: [(String, &dyn Fn()); 2] =
            [(postgres.url(), &|| postgres.restart()), (mariadb.url(), &|| mariadb.restart())];
        for (url, restart) in restarts {
            let rows = Rows::open(&url).await.unwrap();
            let one = async || {
                let text = "SELECT CAST(SUM(n) AS BIGINT), MIN(\"s\") FROM t WHERE n > -1 AND s <> ? AND s <> ?";
                let row = rows.one(text, &["x", "y"]).await.unwrap();
                (row.count(0).unwrap(), row.text(1).unwrap())
            };
            let expected = (7, "a?\"b".to_owned());
            assert_eq!(one().await, expected, "{url}");
            restart();
            assert_eq!(one().await, expected, "{url}, after a kill and a restart");
            let refused = rows.of("UPDATE t SET n = 8", &[]).await.unwrap_err();
            assert!(
                refused.to_string().to_lowercase().contains("read-only")
                    || refused.to_string().to_lowercase().contains("read only"),
                "{refused}"
            );
        }
    }
}
