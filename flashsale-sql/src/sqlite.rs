//! SQLite: its sessions, how its statements are sent, and what its errors mean.
//!
//! Owns nothing of a transaction's course, which is in [`ledger`](crate::ledger), and no statement of a noun.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use flashsale_core::error::{BackendError, ErrorKind};
use futures_util::TryStreamExt;
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteError, SqliteJournalMode, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{Arguments, AssertSqlSafe, ConnectOptions, Executor, Sqlite};

use crate::dialect::Dialect;
use crate::driver::{Driver, DriverRow};
use crate::error::Meaning;
use crate::ledger::sealed::{Engine, Mode, Sessions, Writers};
use crate::ledger::{Backend, BoxFuture, SqlLedger};
use crate::migration::{self, Migration};
use crate::tx::{Fault, Reply, Sending};
use crate::value::Value;

/// Every ledger in one file of SQLite. One transaction writes at a time, in order of arrival.
pub type SqliteLedger = SqlLedger<Sqlite>;

/// How long a writer waits for one of another process, each time.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections that read beside the writer.
const READERS: u32 = 4;
/// Statements kept prepared per connection: a dozen per noun, bulk ones in up to ten sizes.
const STATEMENTS: usize = 256;
/// The writer's page cache in KiB. Ids are random, so the leaves of a large sale are revisited in no order.
const CACHE_KIB: i64 = 64 * 1024;
/// The log is copied into the file after so many pages (32 MiB): each page once, however often it was written meanwhile.
const CHECKPOINT_PAGES: i64 = 4096;
/// The page size of a new file. A commit is written page by page, each with calls of its own: fewer, larger ones measured faster.
const PAGE_BYTES: u32 = 8192;

impl SqlLedger<Sqlite> {
    /// Opens a file of our own: creates it, sets its sessions up (WAL, `synchronous=FULL`), migrates it.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] if it cannot be opened, [`ErrorKind::Misconfigured`] if it cannot be set up so.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, BackendError> {
        const OPERATION: &str = "ledger.open_file";
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .statement_cache_capacity(STATEMENTS)
            .page_size(PAGE_BYTES)
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES.to_string())
            // What a statement would undo if it failed halfway is kept in memory, not in a temporary file.
            .pragma("temp_store", "MEMORY")
            .disable_statement_logging();
        let pool = |connections| {
            // A connection that was idle has its pages and statements still: none is closed, none is pinged first.
            let pool = SqlitePoolOptions::new().max_connections(connections).idle_timeout(None).max_lifetime(None);
            pool.test_before_acquire(false)
        };
        let writing = options.clone().pragma("cache_size", (-CACHE_KIB).to_string());
        let failed = |error: sqlx::Error| Fault::Driver(error).told(OPERATION);
        let writer = first(|| pool(1).connect_with(writing.clone())).await.map_err(failed)?;
        let readers = pool(READERS).connect_with(options).await.map_err(failed)?;
        let ledger = Self::over(writer, readers, Sessions::Ours);
        ledger.migrate().await?;
        Ok(ledger)
    }

    /// How the database would run each statement that was sent so far, with its text.
    #[cfg(test)]
    pub(crate) async fn plans(&self) -> Vec<(std::sync::Arc<str>, Vec<String>)> {
        use sqlx::Row;
        let mut plans = Vec::new();
        for text in self.texts().all() {
            let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {text}"));
            let rows = sqlx::query(explain).fetch_all(self.readers()).await.expect("a plan");
            plans.push((text, rows.iter().map(|row| row.get_unchecked::<String, _>("detail")).collect()));
        }
        plans
    }
}

impl Backend for Sqlite {}

impl Engine for Sqlite {
    const DIALECT: Dialect = Dialect::Sqlite;
    const WRITERS: Writers = Writers::One;
    const MIGRATIONS: &'static [Migration] = &[
        Migration { version: 1, name: "ledger", text: include_str!("../migrations/sqlite/0001_ledger.sql") },
        Migration { version: 2, name: "notice", text: include_str!("../migrations/sqlite/0002_notice.sql") },
        Migration { version: 3, name: "waitlist", text: include_str!("../migrations/sqlite/0003_waitlist.sql") },
        Migration {
            version: 4,
            name: "payment_line",
            text: include_str!("../migrations/sqlite/0004_payment_line.sql"),
        },
    ];
    const HAS_SCHEMA: &'static str =
        "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'flashsale_schema'";
    const END_MIGRATING: &'static str = "COMMIT";

    fn driver(connection: &mut SqliteConnection) -> Driver<'_> {
        Driver::Sqlite(connection)
    }

    fn connection<'a>(driver: &'a mut Driver<'_>) -> &'a mut SqliteConnection {
        match driver {
            Driver::Sqlite(connection) => connection,
            #[allow(unreachable_patterns, reason = "other databases have their features")]
            _ => unreachable!("a ledger has connections of one database"),
        }
    }

    fn begin(mode: Mode, _: Sessions) -> &'static str {
        match mode {
            Mode::Write => "BEGIN IMMEDIATE",
            Mode::Snapshot | Mode::Look => "BEGIN",
        }
    }

    fn check_write(connection: &mut SqliteConnection) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(synchronous(connection))
    }

    fn check_theirs(connection: &mut SqliteConnection) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(synchronous(connection))
    }

    fn check(connection: &mut SqliteConnection, _: Sessions) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(durable(connection))
    }

    fn begin_migrating(connection: &mut SqliteConnection) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(async move {
            let begun = Instant::now();
            loop {
                match sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut *connection).await {
                    // It has waited for a while already.
                    Err(error) if busy(&error) && begun.elapsed() < migration::TURN => {}
                    outcome => return outcome.map(drop).map_err(Fault::from),
                }
            }
        })
    }
}

/// How long is waited before a file is asked again that does not wait by itself.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Makes the first session with a file, which sets its page size and its log. Whoever finds another one at that is refused at once,
/// without the wait that all other statements have.
async fn first<T, F>(session: impl Fn() -> F) -> Result<T, sqlx::Error>
where
    F: Future<Output = Result<T, sqlx::Error>>,
{
    let begun = Instant::now();
    loop {
        match session().await {
            Err(error) if busy(&error) && begun.elapsed() < migration::TURN => tokio::time::sleep(LOOK_AGAIN).await,
            outcome => return outcome,
        }
    }
}

fn busy(error: &sqlx::Error) -> bool {
    crate::error::meaning(error) == Meaning::Busy
}

/// Fails unless a commit of this session is on the disk when it is told.
async fn synchronous(connection: &mut SqliteConnection) -> Result<(), Fault> {
    let level: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(connection).await?;
    match level {
        2 | 3 => Ok(()),
        _ => Err(Fault::Found(ErrorKind::Misconfigured, format!("synchronous is {level}, it must be FULL (2)"))),
    }
}

/// As [`synchronous`], and fails unless the file has a write-ahead log and keys are checked.
async fn durable(connection: &mut SqliteConnection) -> Result<(), Fault> {
    synchronous(connection).await?;
    let journal: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut *connection).await?;
    if journal != "wal" {
        return Err(Fault::Found(ErrorKind::Misconfigured, format!("journal_mode is {journal}, it must be wal")));
    }
    let keys: i64 = sqlx::query_scalar("PRAGMA foreign_keys").fetch_one(connection).await?;
    if keys != 1 {
        return Err(Fault::Found(ErrorKind::Misconfigured, "foreign_keys must be on".to_owned()));
    }
    Ok(())
}

/// What an error of SQLite means, by its primary result code.
pub(crate) fn meaning(error: &SqliteError) -> Meaning {
    use sqlx::error::DatabaseError;
    let extended: Option<u32> = error.code().and_then(|code| code.parse().ok());
    match extended.map(|code| code & 0xff) {
        // BUSY, LOCKED.
        Some(5 | 6) => Meaning::Busy,
        // CORRUPT, NOTADB.
        Some(11 | 26) => Meaning::Corrupt,
        // TOOBIG, CONSTRAINT, MISMATCH, RANGE.
        Some(18..=20 | 25) => Meaning::Data,
        // ERROR (such as a missing table), PERM, READONLY, AUTH.
        Some(1 | 3 | 8 | 23) => Meaning::Misconfigured,
        // FULL, IOERR, CANTOPEN and the rest.
        _ => Meaning::Unavailable,
    }
}

fn arguments(values: Vec<Value>) -> Result<SqliteArguments, sqlx::Error> {
    let mut arguments = SqliteArguments::default();
    arguments.reserve(values.len(), 0);
    for value in values {
        let added = match value {
            Value::Null => arguments.add(None::<i64>),
            Value::Int(number) => arguments.add(number),
            Value::Text(text) => arguments.add(text),
            // The dialect has made texts of lists.
            Value::Texts(_) | Value::Ints(_) => arguments.add(None::<i64>),
        };
        added.map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

/// Sends all statements as one text, and takes their replies.
pub(crate) async fn send(
    connection: &mut SqliteConnection,
    statements: Vec<Sending>,
    sent: &AtomicU64,
) -> Result<Vec<Reply>, sqlx::Error> {
    sent.fetch_add(statements.len() as u64, Ordering::Relaxed);
    let (mut text, mut values, mut bound) = (String::new(), Vec::new(), 0);
    for statement in statements {
        if !text.is_empty() {
            text.push_str(";\n");
        }
        text.push_str(&statement.text);
        // What the statement before left out is null.
        values.resize(bound, Value::Null);
        values.extend(statement.values);
        bound += statement.binds;
    }
    let query = sqlx::query_with(AssertSqlSafe(text), arguments(values)?);
    let (mut replies, mut reply) = (Vec::new(), Reply::default());
    let mut stream = connection.fetch_many(query);
    while let Some(part) = stream.try_next().await? {
        match part {
            sqlx::Either::Right(row) => reply.rows.push(DriverRow::Sqlite(row)),
            sqlx::Either::Left(done) => {
                reply.wrote = done.rows_affected();
                replies.push(std::mem::take(&mut reply));
            }
        }
    }
    Ok(replies)
}
