//! The connection of one transaction, a row, and a hook, whatever the driver.
//!
//! Owns the choice between drivers and nothing else: how each sends and decodes is in the file of its database.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use flashsale_core::Event;

use crate::ledger::{BoxError, BoxFuture};
use crate::tx::{Reply, Sending};

/// The connection of one transaction.
#[derive(Debug)]
pub enum Driver<'t> {
    #[cfg(feature = "sqlite")]
    Sqlite(&'t mut sqlx::SqliteConnection),
    #[cfg(feature = "postgres")]
    Postgres(&'t mut sqlx::PgConnection),
    #[cfg(feature = "mysql")]
    MySql(&'t mut sqlx::MySqlConnection),
}

impl Driver<'_> {
    /// Sends statements and takes the reply of each; counts what was sent.
    pub(crate) async fn send(&mut self, statements: Vec<Sending>, sent: &AtomicU64) -> Result<Vec<Reply>, sqlx::Error> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(connection) => crate::sqlite::send(connection, statements, sent).await,
            #[cfg(feature = "postgres")]
            Self::Postgres(connection) => crate::postgres::send(connection, statements, sent).await,
            #[cfg(feature = "mysql")]
            Self::MySql(connection) => crate::mysql::send(connection, statements, sent).await,
        }
    }

    /// Sends one statement without values and without rows, unprepared.
    pub(crate) async fn execute(&mut self, text: &'static str) -> Result<(), sqlx::Error> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(connection) => sqlx::raw_sql(text).execute(&mut **connection).await.map(drop),
            #[cfg(feature = "postgres")]
            Self::Postgres(connection) => sqlx::raw_sql(text).execute(&mut **connection).await.map(drop),
            #[cfg(feature = "mysql")]
            Self::MySql(connection) => sqlx::raw_sql(text).execute(&mut **connection).await.map(drop),
        }
    }
}

/// A row as its driver gave it.
pub(crate) enum DriverRow {
    #[cfg(feature = "sqlite")]
    Sqlite(sqlx::sqlite::SqliteRow),
    #[cfg(feature = "postgres")]
    Postgres(sqlx::postgres::PgRow),
    /// A row that came with rows of other statements: its fields as texts.
    #[cfg(feature = "postgres")]
    Record(Vec<Option<String>>),
    #[cfg(feature = "mysql")]
    MySql(sqlx::mysql::MySqlRow),
}

impl fmt::Debug for DriverRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DriverRow")
    }
}

/// A field, whichever driver gave the row; of a record, `$record` makes it from its text.
macro_rules! field {
    ($row:expr, $at:expr, $record:expr) => {{
        #[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
        use sqlx::Row;
        match $row {
            #[cfg(feature = "sqlite")]
            DriverRow::Sqlite(row) => row.try_get_unchecked($at),
            #[cfg(feature = "postgres")]
            DriverRow::Postgres(row) => row.try_get_unchecked($at),
            #[cfg(feature = "postgres")]
            DriverRow::Record(fields) => {
                let text = fields.get($at).ok_or(sqlx::Error::ColumnNotFound($at.to_string()))?;
                $record(text.as_deref())
            }
            #[cfg(feature = "mysql")]
            DriverRow::MySql(row) => row.try_get_unchecked($at),
        }
    }};
}

impl DriverRow {
    pub(crate) fn int(&self, at: usize) -> Result<Option<i64>, sqlx::Error> {
        field!(self, at, |text: Option<&str>| {
            text.map(str::parse).transpose().map_err(|why| sqlx::Error::Decode(Box::new(why)))
        })
    }

    pub(crate) fn text(&self, at: usize) -> Result<Option<&str>, sqlx::Error> {
        field!(self, at, Ok)
    }
}

type Call = dyn for<'a, 'd> Fn(&'a mut Driver<'d>, &'a [Event]) -> BoxFuture<'a, Result<(), BoxError>> + Send + Sync;

/// What the embedder does inside an accepting transaction.
#[derive(Clone)]
pub(crate) struct Hook {
    name: &'static str,
    call: Arc<Call>,
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Hook {
    pub(crate) fn new<C>(name: &'static str, call: C) -> Self
    where
        C: for<'a, 'd> Fn(&'a mut Driver<'d>, &'a [Event]) -> BoxFuture<'a, Result<(), BoxError>>
            + Send
            + Sync
            + 'static,
    {
        Self { name, call: Arc::new(call) }
    }

    /// The path of the function or closure: an error names it.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) async fn call(&self, driver: &mut Driver<'_>, events: &[Event]) -> Result<(), BoxError> {
        (self.call)(driver, events).await
    }
}
