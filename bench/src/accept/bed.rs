//! What the marks ask of a database: places for ledgers, and plain connections to them.

use std::future::Future;

use flashsale_sql::{Backend, SqlLedger};

use crate::Failure;

/// A database that runs.
pub(super) trait Bed: Sized {
    /// Its kind.
    type Db: Backend;
    /// Where one ledger is: a file, a schema, a database.
    type Place;
    /// A connection of the baselines.
    type Plain: Plain;

    /// With how many connections a transaction per order is tried; the best counts.
    const CONNECTIONS: &'static [usize];
    /// Rows of one multi-row insert: of 16, 64 and 256 the fastest.
    const ROWS: usize;

    /// Starts it.
    fn start() -> Result<Self, Failure>;

    /// Makes a place with nothing in it.
    fn place(&self) -> Result<Self::Place, Failure>;

    /// Removes a place with all that is in it.
    fn forget(&self, place: Self::Place) -> Result<(), Failure>;

    /// Opens a ledger.
    async fn ledger(&self, place: &Self::Place) -> Result<SqlLedger<Self::Db>, Failure>;

    /// Opens a plain connection with the settings that the ledger has.
    async fn connect(&self, place: &Self::Place) -> Result<Self::Plain, Failure>;
}

/// A plain connection.
pub(super) trait Plain: Send + 'static {
    /// What stands around a name that is a word of the dialect.
    const QUOTE: char;

    /// The columns of a table whose values are given by who inserts, in their order; `true` for one of numbers.
    async fn columns(&mut self, table: &str) -> Result<Vec<(String, bool)>, sqlx::Error>;

    /// Reads rows.
    async fn rows(&mut self, text: String, columns: usize) -> Result<Vec<Vec<Cell>>, sqlx::Error>;

    /// Begins a transaction.
    fn begin(&mut self) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Commits it.
    fn commit(&mut self) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Sends one statement, which is kept prepared, and tells how many rows it wrote.
    fn write(
        &mut self,
        text: &str,
        table: &Table,
        rows: &[Vec<Cell>],
    ) -> impl Future<Output = Result<u64, sqlx::Error>> + Send;

    /// Closes it.
    async fn close(self) -> Result<(), sqlx::Error>;

    /// The statement that inserts so many rows.
    fn insert(table: &Table, rows: usize) -> String {
        let (mut text, mut bound) = (format!("INSERT INTO {} (", table.name), 0);
        let names: Vec<String> =
            table.columns.iter().map(|name| format!("{}{name}{}", Self::QUOTE, Self::QUOTE)).collect();
        text.push_str(&format!("{}) VALUES ", names.join(", ")));
        for row in 0..rows {
            let mut one = || {
                bound += 1;
                Self::parameter(bound)
            };
            let values: Vec<String> = names.iter().map(|_| one()).collect();
            text.push_str(&format!("{}({})", if row == 0 { "" } else { ", " }, values.join(", ")));
        }
        text
    }

    /// How the value of this number stands in a statement.
    fn parameter(_: usize) -> String {
        "?".to_owned()
    }
}

/// A value of a row.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    Null,
    Int(i64),
    Text(String),
}

/// All rows of a table, in order of writing.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) columns: Vec<String>,
    /// Whether a column is of numbers.
    pub(super) numbers: Vec<bool>,
    pub(super) rows: Vec<Vec<Cell>>,
}

impl Table {
    /// The cells of these rows, each with whether its column is of numbers.
    pub(super) fn cells<'a>(&'a self, rows: &'a [Vec<Cell>]) -> impl Iterator<Item = (&'a Cell, bool)> {
        rows.iter().flat_map(|row| row.iter().zip(self.numbers.iter().copied()))
    }
}
