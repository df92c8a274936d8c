//! PostgreSQL: one server, a schema for each place, `fsync` on.

use std::cell::Cell as Counter;
use std::str::FromStr;

use flashsale_services::{Postgres, PostgresOptions};
use flashsale_sql::{PostgresLedger, SqlLedger};
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgRow};
use sqlx::{Arguments, AssertSqlSafe, ConnectOptions, Connection, Executor, Row};

use super::bed::{Bed, Cell, Plain, Table};
use crate::Failure;

/// As somebody sets it who sells on it: memory for what is hot, and no checkpoint every few seconds.
const SETTINGS: [(&str, &str); 3] =
    [("shared_buffers", "2GB"), ("max_wal_size", "8GB"), ("checkpoint_timeout", "15min")];

/// A server.
pub(super) struct PostgresBed {
    server: Postgres,
    places: Counter<u32>,
}

impl Bed for PostgresBed {
    type Db = sqlx::Postgres;
    type Place = String;
    type Plain = PgConnection;

    const CONNECTIONS: &'static [usize] = &[1, 4, 16, 64];
    const ROWS: usize = 64;

    fn start() -> Result<Self, Failure> {
        let extra = SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let server = Postgres::try_start(&PostgresOptions { extra, ..PostgresOptions::default() })?;
        Ok(Self { server, places: Counter::new(0) })
    }

    fn place(&self) -> Result<String, Failure> {
        let place = format!("place{}", self.places.replace(self.places.get() + 1));
        self.server.sql(&format!("CREATE SCHEMA {place}"))?;
        Ok(place)
    }

    fn forget(&self, place: String) -> Result<(), Failure> {
        self.server.sql(&format!("SET client_min_messages TO warning; DROP SCHEMA {place} CASCADE"))?;
        Ok(())
    }

    async fn ledger(&self, place: &String) -> Result<SqlLedger<sqlx::Postgres>, Failure> {
        Ok(PostgresLedger::open(&self.url(place)).await?)
    }

    async fn connect(&self, place: &String) -> Result<PgConnection, Failure> {
        let options = PgConnectOptions::from_str(&self.url(place))?.disable_statement_logging();
        Ok(options.connect().await?)
    }
}

impl PostgresBed {
    fn url(&self, place: &str) -> String {
        format!("{}?options[search_path]={place}", self.server.url())
    }
}

impl Plain for PgConnection {
    const QUOTE: char = '"';

    async fn columns(&mut self, table: &str) -> Result<Vec<(String, bool)>, sqlx::Error> {
        let text = format!(
            "SELECT column_name::text, data_type::text FROM information_schema.columns \
             WHERE table_schema = current_schema() AND table_name = '{table}' \
             AND is_generated = 'NEVER' AND is_identity = 'NO' ORDER BY ordinal_position"
        );
        let column = |row: &PgRow| Ok((row.try_get(0)?, row.try_get::<String, _>(1)? == "bigint"));
        self.fetch_all(AssertSqlSafe(text)).await?.iter().map(column).collect()
    }

    async fn rows(&mut self, text: String, columns: usize) -> Result<Vec<Vec<Cell>>, sqlx::Error> {
        let cell = |row: &PgRow, at: usize| {
            if let Ok(number) = row.try_get::<Option<i64>, _>(at) {
                return Ok(number.map_or(Cell::Null, Cell::Int));
            }
            Ok(row.try_get::<Option<String>, _>(at)?.map_or(Cell::Null, Cell::Text))
        };
        let rows = self.fetch_all(AssertSqlSafe(text)).await?;
        rows.iter().map(|row| (0..columns).map(|at| cell(row, at)).collect()).collect()
    }

    async fn begin(&mut self) -> Result<(), sqlx::Error> {
        sqlx::raw_sql("BEGIN").execute(self).await.map(drop)
    }

    async fn commit(&mut self) -> Result<(), sqlx::Error> {
        sqlx::raw_sql("COMMIT").execute(self).await.map(drop)
    }

    async fn write(&mut self, text: &str, table: &Table, rows: &[Vec<Cell>]) -> Result<u64, sqlx::Error> {
        let mut arguments = PgArguments::default();
        for (cell, number) in table.cells(rows) {
            let added = match cell {
                Cell::Null if number => arguments.add(None::<i64>),
                Cell::Null => arguments.add(None::<&str>),
                Cell::Int(number) => arguments.add(*number),
                Cell::Text(text) => arguments.add(text.as_str()),
            };
            added.map_err(sqlx::Error::Encode)?;
        }
        Ok(sqlx::query_with(AssertSqlSafe(text), arguments).execute(self).await?.rows_affected())
    }

    async fn close(self) -> Result<(), sqlx::Error> {
        Connection::close(self).await
    }

    fn parameter(n: usize) -> String {
        format!("${n}")
    }
}
