//! SQLite: a file in a directory of its own, `synchronous=FULL`.

use flashsale_sql::{SqlLedger, SqliteLedger};
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Arguments, AssertSqlSafe, ConnectOptions, Connection, Executor, Row};
use tempfile::TempDir;

use super::bed::{Bed, Cell, Plain, Table};
use crate::Failure;

/// Nothing runs but us.
pub(super) struct SqliteBed;

impl Bed for SqliteBed {
    type Db = sqlx::Sqlite;
    type Place = TempDir;
    type Plain = SqliteConnection;

    // It has one writer at a time; the second one spins.
    const CONNECTIONS: &'static [usize] = &[1];
    const ROWS: usize = 64;

    fn start() -> Result<Self, Failure> {
        Ok(Self)
    }

    fn place(&self) -> Result<TempDir, Failure> {
        Ok(tempfile::tempdir()?)
    }

    fn forget(&self, place: TempDir) -> Result<(), Failure> {
        Ok(place.close()?)
    }

    async fn ledger(&self, place: &TempDir) -> Result<SqlLedger<sqlx::Sqlite>, Failure> {
        Ok(SqliteLedger::open(place.path().join("ledger.db")).await?)
    }

    async fn connect(&self, place: &TempDir) -> Result<SqliteConnection, Failure> {
        let options = SqliteConnectOptions::new()
            .filename(place.path().join("ledger.db"))
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .pragma("temp_store", "MEMORY")
            .pragma("cache_size", "-65536")
            .pragma("wal_autocheckpoint", "8192")
            .disable_statement_logging();
        Ok(options.connect().await?)
    }
}

impl Plain for SqliteConnection {
    const QUOTE: char = '"';

    async fn columns(&mut self, table: &str) -> Result<Vec<(String, bool)>, sqlx::Error> {
        let text = format!("SELECT name, type, hidden, pk FROM pragma_table_xinfo('{table}')");
        let mut columns = Vec::new();
        for row in self.fetch_all(AssertSqlSafe(text)).await? {
            let number = row.try_get::<String, _>(1)? == "INTEGER";
            let (generated, key): (i64, i64) = (row.try_get(2)?, row.try_get(3)?);
            if generated == 0 && !(key == 1 && number) {
                columns.push((row.try_get(0)?, number));
            }
        }
        Ok(columns)
    }

    async fn rows(&mut self, text: String, columns: usize) -> Result<Vec<Vec<Cell>>, sqlx::Error> {
        let cell = |row: &sqlx::sqlite::SqliteRow, at: usize| {
            if let Ok(number) = row.try_get::<Option<i64>, _>(at) {
                return Ok(number.map_or(Cell::Null, Cell::Int));
            }
            Ok(row.try_get::<Option<String>, _>(at)?.map_or(Cell::Null, Cell::Text))
        };
        let rows = self.fetch_all(AssertSqlSafe(text)).await?;
        rows.iter().map(|row| (0..columns).map(|at| cell(row, at)).collect()).collect()
    }

    async fn begin(&mut self) -> Result<(), sqlx::Error> {
        sqlx::raw_sql("BEGIN IMMEDIATE").execute(self).await.map(drop)
    }

    async fn commit(&mut self) -> Result<(), sqlx::Error> {
        sqlx::raw_sql("COMMIT").execute(self).await.map(drop)
    }

    async fn write(&mut self, text: &str, table: &Table, rows: &[Vec<Cell>]) -> Result<u64, sqlx::Error> {
        let mut arguments = SqliteArguments::default();
        arguments.reserve(rows.iter().map(Vec::len).sum(), 0);
        for (cell, _) in table.cells(rows) {
            let added = match cell {
                Cell::Null => arguments.add(None::<i64>),
                Cell::Int(number) => arguments.add(*number),
                Cell::Text(text) => arguments.add(text.clone()),
            };
            added.map_err(sqlx::Error::Encode)?;
        }
        Ok(sqlx::query_with(AssertSqlSafe(text), arguments).execute(self).await?.rows_affected())
    }

    async fn close(self) -> Result<(), sqlx::Error> {
        Connection::close(self).await
    }
}
