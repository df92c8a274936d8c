//! MariaDB: one server, a database for each place, `innodb_flush_log_at_trx_commit=1`.

use std::cell::Cell as Counter;
use std::str::FromStr;

use flashsale_services::{MariaDb, MariaDbOptions};
use flashsale_sql::{MySqlLedger, SqlLedger};
use sqlx::mysql::{MySqlArguments, MySqlConnectOptions, MySqlConnection, MySqlRow};
use sqlx::{Arguments, AssertSqlSafe, Column, ConnectOptions, Connection, Executor, Row, TypeInfo};

use super::bed::{Bed, Cell, Plain, Table};
use crate::Failure;

/// As somebody sets it who sells on it: memory for what is hot, and a log that need not be written back every few seconds.
const SETTINGS: [(&str, &str); 2] = [("innodb_buffer_pool_size", "2G"), ("innodb_log_file_size", "2G")];

/// A server.
pub(super) struct MariaDbBed {
    server: MariaDb,
    places: Counter<u32>,
}

impl Bed for MariaDbBed {
    type Db = sqlx::MySql;
    type Place = String;
    type Plain = MySqlConnection;

    const CONNECTIONS: &'static [usize] = &[1, 4, 16, 64];
    const ROWS: usize = 64;

    fn start() -> Result<Self, Failure> {
        let extra = SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let server = MariaDb::try_start(&MariaDbOptions { extra, ..MariaDbOptions::default() })?;
        Ok(Self { server, places: Counter::new(0) })
    }

    fn place(&self) -> Result<String, Failure> {
        let place = format!("place{}", self.places.replace(self.places.get() + 1));
        self.server.sql(&format!("CREATE DATABASE {place}"))?;
        Ok(place)
    }

    fn forget(&self, place: String) -> Result<(), Failure> {
        self.server.sql(&format!("DROP DATABASE {place}"))?;
        Ok(())
    }

    async fn ledger(&self, place: &String) -> Result<SqlLedger<sqlx::MySql>, Failure> {
        Ok(MySqlLedger::open(&self.url(place)).await?)
    }

    async fn connect(&self, place: &String) -> Result<MySqlConnection, Failure> {
        let options = MySqlConnectOptions::from_str(&self.url(place))?.disable_statement_logging();
        let mut connection = options.connect().await?;
        let isolation = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED";
        sqlx::raw_sql(isolation).execute(&mut connection).await?;
        Ok(connection)
    }
}

impl MariaDbBed {
    fn url(&self, place: &str) -> String {
        let url = self.server.url();
        let server = url.rsplit_once('/').map_or(url.as_str(), |(server, _)| server);
        format!("{server}/{place}")
    }
}

impl Plain for MySqlConnection {
    const QUOTE: char = '`';

    async fn columns(&mut self, table: &str) -> Result<Vec<(String, bool)>, sqlx::Error> {
        let text = format!(
            "SELECT column_name, data_type FROM information_schema.columns \
             WHERE table_schema = DATABASE() AND table_name = '{table}' \
             AND extra NOT LIKE '%GENERATED%' AND extra NOT LIKE '%auto_increment%' ORDER BY ordinal_position"
        );
        let column =
            |row: &MySqlRow| Ok((row.try_get_unchecked(0)?, row.try_get_unchecked::<String, _>(1)? == "bigint"));
        self.fetch_all(AssertSqlSafe(text)).await?.iter().map(column).collect()
    }

    async fn rows(&mut self, text: String, columns: usize) -> Result<Vec<Vec<Cell>>, sqlx::Error> {
        let cell = |row: &MySqlRow, at: usize| {
            if row.column(at).type_info().name() == "BIGINT" {
                return Ok(row.try_get::<Option<i64>, _>(at)?.map_or(Cell::Null, Cell::Int));
            }
            Ok(row.try_get_unchecked::<Option<String>, _>(at)?.map_or(Cell::Null, Cell::Text))
        };
        let rows = self.fetch_all(AssertSqlSafe(text)).await?;
        rows.iter().map(|row| (0..columns).map(|at| cell(row, at)).collect()).collect()
    }

    async fn begin(&mut self) -> Result<(), sqlx::Error> {
        sqlx::raw_sql("START TRANSACTION").execute(self).await.map(drop)
    }

    async fn commit(&mut self) -> Result<(), sqlx::Error> {
        sqlx::raw_sql("COMMIT").execute(self).await.map(drop)
    }

    async fn write(&mut self, text: &str, table: &Table, rows: &[Vec<Cell>]) -> Result<u64, sqlx::Error> {
        let mut arguments = MySqlArguments::default();
        for (cell, _) in table.cells(rows) {
            let added = match cell {
                Cell::Null => arguments.add(None::<i64>),
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
}
