//! SQLite: the ledger's type, its sessions, its transactions, and what the database's errors mean.
//!
//! Owns beginning, committing, retrying and checking. Does not own any statement of a noun.

use std::fmt;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use flashsale_core::error::{BackendError, ErrorKind};
use flashsale_core::stock::{Accept, Accepted};
use flashsale_core::{Clock, Event, SaleId, SystemClock};
use futures_util::TryStreamExt;
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteRow, SqliteSynchronous,
};
use sqlx::{Arguments, AssertSqlSafe, ConnectOptions, Connection, Executor, Row};

use crate::dialect::{Dialect, Texts, Value};
use crate::turns::{Turn, Turns, Waits};
use crate::tx::{End, Fault, Lock, Pending, Reply, Tx};

/// A future that borrows for `'a`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Any error of the embedder's.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How long a writer waits for one of another process, each time.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a whole transaction is tried that met a writer of another process.
const TRIES: u32 = 3;
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

/// The version of the schema that this code works with: the number of the last migration.
const SCHEMA: i64 = 1;

/// Every ledger on SQLite: stock, orders, coupons, wallet, outbox, dead letters. A clone is the same ledger.
#[derive(Clone)]
pub struct SqliteLedger {
    db: Arc<Database>,
    clock: Arc<dyn Clock>,
    hooks: Arc<[Hook]>,
}

/// What the clones share.
struct Database {
    writer: SqlitePool,
    readers: SqlitePool,
    sessions: Sessions,
    /// One writer at a time: the database itself would let them spin.
    turns: Arc<Turns>,
    texts: Texts,
    sent: AtomicU64,
}

/// Who made the sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sessions {
    /// We did, with the settings that we need.
    Ours,
    /// The embedder did: each is looked at before it writes.
    Theirs,
}

/// Which lock a transaction begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Write,
    Snapshot,
}

impl fmt::Debug for SqliteLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteLedger").field("sessions", &self.db.sessions).field("hooks", &self.hooks).finish()
    }
}

impl SqliteLedger {
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
        let writer = pool(1).connect_with(writing).await.map_err(failed)?;
        let readers = pool(READERS).connect_with(options).await.map_err(failed)?;
        let ledger = Self::over(writer, readers, Sessions::Ours);
        ledger.migrate().await?;
        Ok(ledger)
    }

    /// Takes a pool of the embedder's. Call [`migrate`](Self::migrate) or [`check_migrations`](Self::check_migrations) next:
    /// both refuse a pool whose sessions are not durable.
    ///
    /// Every write then looks at `synchronous` first, because a pool can make sessions of several kinds; sessions of
    /// [`open`](Self::open) need no look. Our tables have the names that the migrations show.
    #[must_use]
    pub fn new(pool: SqlitePool) -> Self {
        Self::over(pool.clone(), pool, Sessions::Theirs)
    }

    fn over(writer: SqlitePool, readers: SqlitePool, sessions: Sessions) -> Self {
        let db = Database {
            writer,
            readers,
            sessions,
            turns: Arc::default(),
            texts: Texts::new(Dialect::Sqlite),
            sent: AtomicU64::new(0),
        };
        Self { db: Arc::new(db), clock: SystemClock::shared(), hooks: Arc::new([]) }
    }

    /// Sets the clock by which the ledger dates what it decides. The default is the machine's.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// Lets the embedder write rows of his own *inside our accepting transaction*: in the same commit, or not at all.
    ///
    /// The hook is called after the decision, once per batch in which something was accepted, with the facts of what was
    /// accepted. Its time is lock time: write one multi-row statement. It must not begin, commit or roll back.
    /// If it fails, the batch is rolled back and everybody in it is told to come again with the same id; the error names it.
    ///
    /// ```
    /// # use flashsale_sql::SqliteLedger;
    /// use flashsale_core::Fact;
    /// # fn example(ledger: SqliteLedger) -> SqliteLedger {
    /// ledger.enlist(|tx, events| Box::pin(async move {
    ///     for event in events {
    ///         let Fact::OrderAccepted(order) = &event.fact else { continue };
    ///         sqlx::query("INSERT INTO parcels (order_id) VALUES (?)").bind(order.order.as_str()).execute(&mut *tx).await?;
    ///     }
    ///     Ok(())
    /// }))
    /// # }
    /// ```
    #[must_use]
    pub fn enlist<F>(self, hook: F) -> Self
    where
        F: for<'a> Fn(&'a mut SqliteConnection, &'a [Event]) -> BoxFuture<'a, Result<(), BoxError>>
            + Send
            + Sync
            + 'static,
    {
        let hook = Hook { name: std::any::type_name::<F>(), call: Arc::new(hook) };
        Self { hooks: self.hooks.iter().cloned().chain([hook]).collect(), ..self }
    }

    /// Accepts *inside a transaction of the embedder's own*: the same lock, the same decision, the same rows as
    /// [`accept`](flashsale_core::stock::StockLedger::accept). Durable with his commit, not before: only then may a buyer be told.
    ///
    /// What it costs: SQLite has one write lock, and it is held from this call to the end of his transaction, so every other
    /// order of every sale waits for his statements. And where his task is dropped in between, the roll-back is his.
    /// Begin with `BEGIN IMMEDIATE`: a transaction that read before it wrote cannot get the lock any more if somebody else wrote.
    ///
    /// A failure rolls back to where this call began, and leaves his transaction open. Enlisted hooks are not called.
    ///
    /// # Errors
    /// As `accept`; [`ErrorKind::Misconfigured`] if his session is not durable.
    pub async fn accept_in(
        &self,
        transaction: &mut SqliteConnection,
        sale: &SaleId,
        batch: &[Accept],
    ) -> Result<Accepted, BackendError> {
        const OPERATION: &str = "ledger.accept_in";
        let told = |fault: Fault| fault.told(OPERATION);
        synchronous(transaction).await.map_err(told)?;
        let driver = |error: sqlx::Error| Fault::Driver(error).told(OPERATION);
        sqlx::query("SAVEPOINT flashsale_accept").execute(&mut *transaction).await.map_err(driver)?;
        let mut pending = Pending::default();
        let tx = self.tx(&mut *transaction, &mut pending, Lock::Take);
        let mut outcome = crate::stock::accept(tx, sale.clone(), batch.into()).await;
        if matches!(outcome, Ok(End::Commit(_)))
            && let Err(fault) = self.tx(&mut *transaction, &mut pending, Lock::Take).flush().await
        {
            outcome = Err(fault);
        }
        if !matches!(outcome, Ok(End::Commit(_))) {
            sqlx::query("ROLLBACK TO flashsale_accept").execute(&mut *transaction).await.map_err(driver)?;
        }
        sqlx::query("RELEASE flashsale_accept").execute(&mut *transaction).await.map_err(driver)?;
        match outcome.map_err(told)? {
            End::Commit(accepted) | End::Nothing(accepted) => Ok(accepted),
        }
    }

    /// Brings the schema up to date, once. The files are plain SQL in `migrations/sqlite`; what was run is kept in `flashsale_migrations`.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`] if the pool's sessions are not durable, or the schema was changed by another hand.
    pub async fn migrate(&self) -> Result<(), BackendError> {
        const OPERATION: &str = "ledger.migrate";
        let driver = |error: sqlx::Error| Fault::Driver(error).told(OPERATION);
        let mut connection = self.db.writer.acquire().await.map_err(driver)?;
        durable(&mut connection).await.map_err(|fault| fault.told(OPERATION))?;
        let mut migrator = sqlx::migrate!("migrations/sqlite");
        // A table of our own: the embedder's migrations are none of ours.
        migrator.dangerous_set_table_name("flashsale_migrations");
        migrator
            .run_direct(None, &mut *connection, false)
            .await
            .map_err(|error| BackendError::new(ErrorKind::Misconfigured, OPERATION, error))
    }

    /// Checks that the schema is the one that this code works with, whoever ran the files, and that the pool's sessions are durable.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`] if not.
    pub async fn check_migrations(&self) -> Result<(), BackendError> {
        const OPERATION: &str = "ledger.check_migrations";
        let driver = |error: sqlx::Error| Fault::Driver(error).told(OPERATION);
        let mut connection = self.db.writer.acquire().await.map_err(driver)?;
        durable(&mut connection).await.map_err(|fault| fault.told(OPERATION))?;
        let version: Option<i64> = sqlx::query_scalar("SELECT MAX(version) FROM flashsale_schema")
            .fetch_one(&mut *connection)
            .await
            .map_err(driver)?;
        if version == Some(SCHEMA) {
            return Ok(());
        }
        let why = format!("the schema has version {version:?}, this code works with {SCHEMA}");
        Err(BackendError::new(ErrorKind::Misconfigured, OPERATION, why))
    }

    /// How many statements were sent so far, with BEGIN, COMMIT and ROLLBACK: a figure for metrics and tests.
    #[must_use]
    pub fn statements_sent(&self) -> u64 {
        self.db.sent.load(Ordering::Relaxed)
    }

    /// Closes the connections, once what is under way has ended. A crash instead of this loses nothing that was told.
    pub async fn close(&self) {
        self.db.readers.close().await;
        self.db.writer.close().await;
    }

    /// How the database would run each statement that was sent so far, with its text.
    #[cfg(test)]
    pub(crate) async fn plans(&self) -> Vec<(Arc<str>, Vec<String>)> {
        let mut plans = Vec::new();
        for text in self.db.texts.all() {
            let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {text}"));
            let rows = sqlx::query(explain).fetch_all(&self.db.readers).await.expect("a plan");
            plans.push((text, rows.iter().map(|row| row.get_unchecked::<String, _>("detail")).collect()));
        }
        plans
    }

    fn tx<'t>(&'t self, connection: &'t mut SqliteConnection, pending: &'t mut Pending, lock: Lock) -> Tx<'t> {
        let hooks = if lock == Lock::Held { &*self.hooks } else { &[] };
        Tx {
            driver: Driver::Sqlite(connection),
            pending,
            texts: &self.db.texts,
            sent: &self.db.sent,
            hooks,
            now: self.clock.now(),
            lock,
        }
    }

    /// Runs a step that writes, as one transaction in a task of its own.
    ///
    /// # Cancel safety
    /// Dropping the future before its turn came does nothing; later, the transaction ends as it would have.
    pub(crate) async fn write<T, F>(&self, operation: &'static str, step: F) -> Result<T, BackendError>
    where
        T: Send + 'static,
        F: for<'t> Fn(Tx<'t>) -> BoxFuture<'t, Result<End<T>, Fault>> + Send + Sync + 'static,
    {
        let turn = self.db.turns.take(Waits::Nobody).await;
        self.run(operation, Mode::Write, step, Some(turn)).await
    }

    /// As [`write`](Self::write), before all that nobody waits for.
    ///
    /// # Cancel safety
    /// As there.
    pub(crate) async fn write_first<T, F>(&self, operation: &'static str, step: F) -> Result<T, BackendError>
    where
        T: Send + 'static,
        F: for<'t> Fn(Tx<'t>) -> BoxFuture<'t, Result<End<T>, Fault>> + Send + Sync + 'static,
    {
        let turn = self.db.turns.take(Waits::Buyer).await;
        self.run(operation, Mode::Write, step, Some(turn)).await
    }

    /// Runs a step that reads with several statements, all of one moment.
    pub(crate) async fn snapshot<T, F>(&self, operation: &'static str, step: F) -> Result<T, BackendError>
    where
        T: Send + 'static,
        F: for<'t> Fn(Tx<'t>) -> BoxFuture<'t, Result<End<T>, Fault>> + Send + Sync + 'static,
    {
        self.run(operation, Mode::Snapshot, step, None).await
    }

    /// Runs a step that reads with one statement.
    pub(crate) async fn look<T, F>(&self, operation: &'static str, step: F) -> Result<T, BackendError>
    where
        F: for<'t> FnOnce(Tx<'t>) -> BoxFuture<'t, Result<T, Fault>>,
    {
        let driver = |error: sqlx::Error| Fault::Driver(error).told(operation);
        let mut connection = self.db.readers.acquire().await.map_err(driver)?;
        let mut pending = Pending::default();
        step(self.tx(&mut connection, &mut pending, Lock::Held)).await.map_err(|fault| fault.told(operation))
    }

    async fn run<T, F>(
        &self,
        operation: &'static str,
        mode: Mode,
        step: F,
        turn: Option<Turn>,
    ) -> Result<T, BackendError>
    where
        T: Send + 'static,
        F: for<'t> Fn(Tx<'t>) -> BoxFuture<'t, Result<End<T>, Fault>> + Send + Sync + 'static,
    {
        let ledger = self.clone();
        // In a task: a future that is dropped between BEGIN and COMMIT must not leave a transaction open, or its outcome untold.
        let task = tokio::spawn(async move {
            let _turn = turn;
            let mut tries = 1;
            loop {
                match ledger.attempt(mode, &step).await {
                    Err(Fault::Driver(error)) if busy(&error) && tries < TRIES => tries += 1,
                    outcome => return outcome.map_err(|fault| fault.told(operation)),
                }
            }
        });
        task.await.unwrap_or_else(|error| Err(BackendError::unknown(operation, error)))
    }

    async fn attempt<T, F>(&self, mode: Mode, step: &F) -> Result<T, Fault>
    where
        F: for<'t> Fn(Tx<'t>) -> BoxFuture<'t, Result<End<T>, Fault>>,
    {
        let (pool, begin) = match mode {
            Mode::Write => (&self.db.writer, "BEGIN IMMEDIATE"),
            Mode::Snapshot => (&self.db.readers, "BEGIN"),
        };
        let mut connection = pool.acquire().await?;
        if mode == Mode::Write && self.db.sessions == Sessions::Theirs {
            synchronous(&mut connection).await?;
        }
        self.db.sent.fetch_add(2, Ordering::Relaxed);
        let mut transaction = connection.begin_with(begin).await?;
        let mut pending = Pending::default();
        let mut outcome = step(self.tx(&mut transaction, &mut pending, Lock::Held)).await;
        if matches!(outcome, Ok(End::Commit(_)))
            && let Err(fault) = self.tx(&mut transaction, &mut pending, Lock::Held).flush().await
        {
            outcome = Err(fault);
        }
        match outcome {
            Ok(End::Commit(answer)) => match transaction.commit().await {
                Ok(()) => Ok(answer),
                // It holds the transaction open, and the roll-back follows.
                Err(error) if busy(&error) => Err(Fault::Driver(error)),
                Err(error) => Err(Fault::Commit(error)),
            },
            Ok(End::Nothing(answer)) => {
                transaction.rollback().await?;
                Ok(answer)
            }
            Err(fault) => {
                // The fault is the answer; a roll-back that fails closes the connection.
                let _ = transaction.rollback().await;
                Err(fault)
            }
        }
    }
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

/// The primary result code, where the database gave one.
fn code(error: &sqlx::Error) -> Option<u32> {
    let extended: u32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(extended & 0xff)
}

/// Whether somebody else had the lock: nothing happened, the whole transaction can be tried again.
fn busy(error: &sqlx::Error) -> bool {
    matches!(code(error), Some(5 | 6))
}

/// What an error outside COMMIT means. Nothing happened: the transaction was rolled back.
pub(crate) fn kind(error: &sqlx::Error) -> ErrorKind {
    match (code(error), error) {
        // CORRUPT, NOTADB.
        (Some(11 | 26), _) => ErrorKind::Corrupt,
        // TOOBIG, CONSTRAINT, MISMATCH, RANGE.
        (Some(18..=20 | 25), _) => ErrorKind::Data,
        // ERROR (such as a missing table), PERM, READONLY, AUTH.
        (Some(1 | 3 | 8 | 23), _) | (None, sqlx::Error::Configuration(_)) => ErrorKind::Misconfigured,
        (
            None,
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::ColumnIndexOutOfBounds { .. },
        ) => ErrorKind::Corrupt,
        // BUSY, LOCKED, FULL, IOERR, CANTOPEN and what is not of the database at all.
        _ => ErrorKind::Unavailable,
    }
}

/// The connection of one transaction.
#[derive(Debug)]
pub(crate) enum Driver<'t> {
    Sqlite(&'t mut SqliteConnection),
}

fn arguments(values: Vec<Value>) -> Result<SqliteArguments, sqlx::Error> {
    let mut arguments = SqliteArguments::default();
    arguments.reserve(values.len(), 0);
    for value in values {
        let added = match value {
            Value::Null => arguments.add(None::<i64>),
            Value::Int(number) => arguments.add(number),
            Value::Text(text) => arguments.add(text),
        };
        added.map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

impl Driver<'_> {
    /// Sends statements, separated by semicolons, and takes their replies.
    pub(crate) async fn send(&mut self, text: String, values: Vec<Value>) -> Result<Vec<Reply>, sqlx::Error> {
        match self {
            Self::Sqlite(connection) => {
                let query = sqlx::query_with(AssertSqlSafe(text), arguments(values)?);
                let (mut replies, mut reply) = (Vec::new(), Reply::default());
                let mut stream = (&mut **connection).fetch_many(query);
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
        }
    }
}

/// A row as its driver gave it.
pub(crate) enum DriverRow {
    Sqlite(SqliteRow),
}

impl fmt::Debug for DriverRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DriverRow")
    }
}

impl DriverRow {
    pub(crate) fn int(&self, at: usize) -> Result<Option<i64>, sqlx::Error> {
        match self {
            Self::Sqlite(row) => row.try_get_unchecked(at),
        }
    }

    pub(crate) fn text(&self, at: usize) -> Result<Option<&str>, sqlx::Error> {
        match self {
            Self::Sqlite(row) => row.try_get_unchecked(at),
        }
    }
}

type Call = dyn for<'a> Fn(&'a mut SqliteConnection, &'a [Event]) -> BoxFuture<'a, Result<(), BoxError>> + Send + Sync;

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
    /// The path of the function or closure: an error names it.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) async fn call(&self, driver: &mut Driver<'_>, events: &[Event]) -> Result<(), BoxError> {
        match driver {
            Driver::Sqlite(connection) => (self.call)(connection, events).await,
        }
    }
}
