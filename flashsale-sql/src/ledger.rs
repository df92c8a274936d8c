//! The ledger's type and its transactions: begun, committed, tried again, whatever the database.
//!
//! Owns nothing that differs between databases: that is what [`Backend`] asks for, and each database's file answers.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use flashsale_core::error::{BackendError, ErrorKind};
use flashsale_core::stock::{Accept, Accepted};
use flashsale_core::{Clock, Event, SaleId, SystemClock};
use sqlx::Connection;

use crate::dialect::{Dialect, Texts};
use crate::driver::{Driver, Hook};
use crate::error::{Meaning, meaning};
use crate::migration::{self, Migration};
use crate::turns::{Turn, Turns, Waits};
use crate::tx::{Access, End, Fault, Pending, Tx};

/// A future that borrows for `'a`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Any error of the embedder's.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How often a whole transaction is tried that met somebody else's.
const TRIES: u32 = 4;
/// How often a transaction is tried whose connection was lost before COMMIT: a pool may hold as many that are dead.
const TRIES_LOST: u32 = 20;

/// How long a server may be silent in a transaction before its connection is given up. Longer than the time that the server itself
/// gives a statement: only a connection that is dead and does not say so takes so long.
const SILENT: Duration = Duration::from_secs(15);

/// A database that a ledger can be kept in: [`sqlx::Sqlite`], [`sqlx::Postgres`] or [`sqlx::MySql`], each behind its feature.
///
/// Closed: the statements know their databases.
pub trait Backend: sqlx::Database + sealed::Engine {}

pub(crate) mod sealed {
    use super::{BoxFuture, Dialect, Driver};
    use crate::migration::Migration;
    use crate::tx::Fault;

    /// How transactions of a database begin, and who may write at a time.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Mode {
        /// A transaction that writes.
        Write,
        /// A transaction that reads with several statements, all of one moment.
        Snapshot,
        /// One statement that reads.
        Look,
    }

    /// Who made the sessions.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Sessions {
        /// We did, with the settings that we need.
        Ours,
        /// The embedder did: each is looked at, or set, before it writes.
        Theirs,
    }

    /// How many transactions may write at a time.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Writers {
        /// One; the others would spin.
        One,
        /// As many as there are connections: rows are locked.
        Many,
    }

    /// What the ledger asks of a database.
    pub trait Engine: sqlx::Database {
        /// How its texts are written.
        const DIALECT: Dialect;
        /// How many may write.
        const WRITERS: Writers;
        /// The steps of its schema, in order.
        const MIGRATIONS: &'static [Migration];
        /// Counts the tables named `flashsale_schema` that the session sees: one or none.
        const HAS_SCHEMA: &'static str;
        /// Ends what [`begin_migrating`](Self::begin_migrating) began, once all is done.
        const END_MIGRATING: &'static str;

        /// The connection as a step sees it.
        fn driver(connection: &mut Self::Connection) -> Driver<'_>;
        /// The connection as an embedder's hook sees it.
        fn connection<'a>(driver: &'a mut Driver<'_>) -> &'a mut Self::Connection;
        /// The text that begins a transaction.
        fn begin(mode: Mode, sessions: Sessions) -> &'static str;
        /// Fails unless a commit of ours in this session of the embedder's is durable.
        fn check_write(connection: &mut Self::Connection) -> BoxFuture<'_, Result<(), Fault>>;
        /// Fails unless a commit in this transaction of the embedder's is durable, and what is read under a lock is of now.
        fn check_theirs(connection: &mut Self::Connection) -> BoxFuture<'_, Result<(), Fault>>;
        /// Fails unless the session can keep what we promise; warns where it keeps less than it could.
        fn check(connection: &mut Self::Connection, sessions: Sessions) -> BoxFuture<'_, Result<(), Fault>>;
        /// Waits until nobody else migrates, and begins; a transaction where tables can be made in one.
        fn begin_migrating(connection: &mut Self::Connection) -> BoxFuture<'_, Result<(), Fault>>;
    }
}

pub(crate) use sealed::{Mode, Sessions, Writers};

/// A connection of a database.
pub(crate) type Conn<D> = <D as sqlx::Database>::Connection;

/// Every ledger on one database: stock, orders, coupons, wallet, outbox, dead letters. A clone is the same ledger.
pub struct SqlLedger<D: Backend> {
    db: Arc<Shared<D>>,
    clock: Arc<dyn Clock>,
    hooks: Arc<[Hook]>,
}

/// What the clones share.
struct Shared<D: Backend> {
    writer: sqlx::Pool<D>,
    readers: sqlx::Pool<D>,
    sessions: Sessions,
    /// Whose turn it is, where one may write at a time.
    turns: Arc<Turns>,
    texts: Texts,
    sent: AtomicU64,
    repeated: AtomicU64,
}

impl<D: Backend> Clone for SqlLedger<D> {
    fn clone(&self) -> Self {
        Self { db: self.db.clone(), clock: self.clock.clone(), hooks: self.hooks.clone() }
    }
}

impl<D: Backend> fmt::Debug for SqlLedger<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlLedger")
            .field("database", &D::NAME)
            .field("sessions", &self.db.sessions)
            .field("hooks", &self.hooks)
            .finish()
    }
}

impl<D: Backend> SqlLedger<D> {
    /// Takes a pool of the embedder's. Call [`migrate`](Self::migrate) or [`check_migrations`](Self::check_migrations) next:
    /// both refuse a pool whose sessions cannot keep what is promised.
    ///
    /// Every write then looks at its session first or sets what it needs, because a pool can make sessions of several kinds; sessions of
    /// `open` need no look. Our tables have the names that the migrations show, wherever the pool's sessions look for tables.
    #[must_use]
    pub fn new(pool: sqlx::Pool<D>) -> Self {
        Self::over(pool.clone(), pool, Sessions::Theirs)
    }

    pub(crate) fn over(writer: sqlx::Pool<D>, readers: sqlx::Pool<D>, sessions: Sessions) -> Self {
        let db = Shared {
            writer,
            readers,
            sessions,
            turns: Arc::default(),
            texts: Texts::new(D::DIALECT),
            sent: AtomicU64::new(0),
            repeated: AtomicU64::new(0),
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
    /// accepted. Its time is lock time: write one multi-row statement. It must not begin, commit or roll back, and may be called again
    /// where a transaction is tried again.
    /// If it fails, the batch is rolled back and everybody in it is told to come again with the same id; the error names it.
    ///
    /// ```
    /// # #[cfg(feature = "sqlite")]
    /// # fn example(ledger: flashsale_sql::SqliteLedger) -> flashsale_sql::SqliteLedger {
    /// use flashsale_core::Fact;
    /// ledger.enlist(|tx, events| Box::pin(async move {
    ///     for event in events {
    ///         let Fact::OrderAccepted(order) = &event.fact else { continue };
    ///         sqlx::query("INSERT INTO parcels (order_id) VALUES (?)").bind(order.order.as_str()).execute(&mut *tx).await?;
    ///     }
    ///     Ok(())
    /// }))
    /// # }
    /// # #[cfg(feature = "postgres")]
    /// # fn of_postgres(ledger: flashsale_sql::PostgresLedger) -> flashsale_sql::PostgresLedger {
    /// // The same on PostgreSQL, as one statement.
    /// ledger.enlist(|tx, events| Box::pin(async move {
    ///     let orders: Vec<String> = events.iter().map(|event| event.subject.clone()).collect();
    ///     sqlx::query("INSERT INTO parcels (order_id) SELECT * FROM unnest($1::text[])").bind(orders).execute(&mut *tx).await?;
    ///     Ok(())
    /// }))
    /// # }
    /// # #[cfg(feature = "mysql")]
    /// # fn of_mysql(ledger: flashsale_sql::MySqlLedger) -> flashsale_sql::MySqlLedger {
    /// # use flashsale_core::Fact;
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
        F: for<'a> Fn(&'a mut Conn<D>, &'a [Event]) -> BoxFuture<'a, Result<(), BoxError>> + Send + Sync + 'static,
    {
        let hook = Hook::new(std::any::type_name::<F>(), move |driver, events| hook(D::connection(driver), events));
        Self { hooks: self.hooks.iter().cloned().chain([hook]).collect(), ..self }
    }

    /// Accepts *inside a transaction of the embedder's own*: the same lock, the same decision, the same rows as
    /// [`accept`](flashsale_core::stock::StockLedger::accept). Durable with his commit, not before: only then may a buyer be told.
    ///
    /// What it costs: the sale is locked from this call to the end of his transaction, so every other order of the sale waits for
    /// his statements; on SQLite, every other write. And where his task is dropped in between, the roll-back is his.
    /// On SQLite begin with `BEGIN IMMEDIATE`: a transaction that read before it wrote cannot get the lock any more if somebody else
    /// wrote. Elsewhere begin at READ COMMITTED: an older view would not show what was sold before the lock was had.
    ///
    /// A failure rolls back to where this call began, and leaves his transaction open; after a deadlock MySQL has rolled back all of
    /// it. Enlisted hooks are not called.
    ///
    /// # Errors
    /// As `accept`; [`ErrorKind::Misconfigured`] if his session is not durable or his transaction at another isolation.
    pub async fn accept_in(
        &self,
        transaction: &mut Conn<D>,
        sale: &SaleId,
        batch: &[Accept],
    ) -> Result<Accepted, BackendError> {
        const OPERATION: &str = "ledger.accept_in";
        let told = |fault: Fault| fault.told(OPERATION);
        let driver = |error: sqlx::Error| Fault::Driver(error).told(OPERATION);
        D::check_theirs(transaction).await.map_err(told)?;
        D::driver(transaction).execute("SAVEPOINT flashsale_accept").await.map_err(driver)?;
        let mut pending = Pending::default();
        let tx = self.tx(&mut *transaction, &mut pending, Access::Theirs);
        let mut outcome = crate::stock::accept(tx, sale.clone(), batch.into()).await;
        if matches!(outcome, Ok(End::Commit(_)))
            && let Err(fault) = self.tx(&mut *transaction, &mut pending, Access::Theirs).flush().await
        {
            outcome = Err(fault);
        }
        let mut connection = D::driver(transaction);
        if !matches!(outcome, Ok(End::Commit(_)))
            && let Err(error) = connection.execute("ROLLBACK TO SAVEPOINT flashsale_accept").await
        {
            // Where there is nothing to go back to, the fault says more.
            return Err(outcome.err().unwrap_or(Fault::Driver(error)).told(OPERATION));
        }
        connection.execute("RELEASE SAVEPOINT flashsale_accept").await.map_err(driver)?;
        match outcome.map_err(told)? {
            End::Commit(accepted) | End::Nothing(accepted) => Ok(accepted),
        }
    }

    /// The steps of the schema, in order: what [`migrate`](Self::migrate) runs, for a tool of the embedder's.
    #[must_use]
    pub fn migrations() -> &'static [Migration] {
        D::MIGRATIONS
    }

    /// Brings the schema up to date: runs what is not there yet, one node after the other. What was run is kept in `flashsale_schema`,
    /// also by another tool.
    ///
    /// On SQLite and PostgreSQL all steps are one transaction. MariaDB and MySQL commit every statement that makes a table: a step that
    /// did not come to its end is noticed there, and refused.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`] if the pool's sessions cannot keep what is promised, if the schema is newer than this program, if a
    /// step was left half done, or if a statement fails; [`ErrorKind::Unavailable`] if somebody else has been migrating for a minute.
    pub async fn migrate(&self) -> Result<(), BackendError> {
        self.migrate_along(D::MIGRATIONS).await
    }

    /// As [`migrate`](Self::migrate), along other steps: how the tests of upgrades see what is not written yet.
    #[doc(hidden)]
    pub async fn migrate_along(&self, steps: &[Migration]) -> Result<(), BackendError> {
        const OPERATION: &str = "ledger.migrate";
        let (mut connection, checked) = self.checked(OPERATION, steps.to_vec()).await?;
        // Most of the time there is nothing to do, and no reason to wait for others.
        if checked.is_ok() {
            return Ok(());
        }
        // Closed in any case, with what it waits for, holds and has set: by its end, or by its caller's.
        connection.close_on_drop();
        migration::run::<D>(&mut connection, steps).await.map_err(|fault| fault.told(OPERATION))
    }

    /// Checks that the schema is the one that this code works with, whoever ran the files, and the settings of the pool's sessions.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`] if not; the error says what to do.
    pub async fn check_migrations(&self) -> Result<(), BackendError> {
        const OPERATION: &str = "ledger.check_migrations";
        let (_, checked) = self.checked(OPERATION, D::MIGRATIONS.to_vec()).await?;
        checked.map_err(|fault| fault.told(OPERATION))
    }

    /// A connection whose session can keep what is promised, and whether its schema has come along these steps.
    async fn checked(
        &self,
        operation: &'static str,
        steps: Vec<Migration>,
    ) -> Result<(sqlx::pool::PoolConnection<D>, Result<(), Fault>), BackendError> {
        let ledger = self.clone();
        // In a task, as all that reads: a future that is dropped in the middle spoils a connection of MySQL.
        let task = tokio::spawn(async move {
            let mut connection = ledger.db.writer.acquire().await?;
            D::check(&mut connection, ledger.db.sessions).await?;
            let checked = migration::check::<D>(&mut connection, &steps).await;
            Ok((connection, checked))
        });
        let looked: Result<_, Fault> = task.await.map_err(|error| BackendError::unavailable(operation, error))?;
        looked.map_err(|fault| fault.told(operation))
    }

    /// How many statements were sent so far, with BEGIN, COMMIT and ROLLBACK: a figure for metrics and tests.
    #[must_use]
    pub fn statements_sent(&self) -> u64 {
        self.db.sent.load(Ordering::Relaxed)
    }

    /// How many transactions were begun again as a whole so far, because somebody else's was in the way or the connection was lost.
    #[must_use]
    pub fn transactions_repeated(&self) -> u64 {
        self.db.repeated.load(Ordering::Relaxed)
    }

    /// Closes the connections, once what is under way has ended. A crash instead of this loses nothing that was told.
    pub async fn close(&self) {
        self.db.readers.close().await;
        self.db.writer.close().await;
    }

    #[cfg(all(test, feature = "sqlite"))]
    pub(crate) fn readers(&self) -> &sqlx::Pool<D> {
        &self.db.readers
    }

    #[cfg(all(test, feature = "sqlite"))]
    pub(crate) fn texts(&self) -> &Texts {
        &self.db.texts
    }

    fn tx<'t>(&'t self, connection: &'t mut Conn<D>, pending: &'t mut Pending, access: Access) -> Tx<'t> {
        let hooks = if access == Access::Theirs { &[] } else { &*self.hooks };
        Tx {
            driver: D::driver(connection),
            pending,
            texts: &self.db.texts,
            sent: &self.db.sent,
            hooks,
            clock: &*self.clock,
            now: self.clock.now(),
            access,
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
        let turn = self.turn(Waits::Nobody).await;
        self.run(operation, Mode::Write, step, turn).await
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
        let turn = self.turn(Waits::Buyer).await;
        self.run(operation, Mode::Write, step, turn).await
    }

    async fn turn(&self, waits: Waits) -> Option<Turn> {
        match D::WRITERS {
            Writers::One => Some(self.db.turns.take(waits).await),
            Writers::Many => None,
        }
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
        T: Send + 'static,
        F: for<'t> Fn(Tx<'t>) -> BoxFuture<'t, Result<T, Fault>> + Send + Sync + 'static,
    {
        self.run(
            operation,
            Mode::Look,
            move |tx| {
                let looked = step(tx);
                Box::pin(async move { looked.await.map(End::Nothing) })
            },
            None,
        )
        .await
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
        // In a task: a future that is dropped between BEGIN and COMMIT must not leave a transaction open, or its outcome untold; and
        // one that is dropped between PREPARE and its answer spoils a connection of MySQL.
        let task = tokio::spawn(async move {
            let _turn = turn;
            let (mut tries, mut lost) = (1, 1);
            loop {
                let outcome = ledger.attempt(mode, &step).await;
                match &outcome {
                    Err(Fault::Driver(error)) => match meaning(error) {
                        Meaning::Busy | Meaning::Twice if tries < TRIES => tries += 1,
                        Meaning::Lost if lost < TRIES_LOST => lost += 1,
                        _ => return outcome.map_err(|fault| fault.told(operation)),
                    },
                    _ => return outcome.map_err(|fault| fault.told(operation)),
                }
                ledger.db.repeated.fetch_add(1, Ordering::Relaxed);
            }
        });
        task.await.unwrap_or_else(|error| Err(BackendError::unknown(operation, error)))
    }

    async fn attempt<T, F>(&self, mode: Mode, step: &F) -> Result<T, Fault>
    where
        F: for<'t> Fn(Tx<'t>) -> BoxFuture<'t, Result<End<T>, Fault>>,
    {
        let (pool, access) = match mode {
            Mode::Write => (&self.db.writer, Access::Write),
            Mode::Snapshot | Mode::Look => (&self.db.readers, Access::Look),
        };
        let mut connection = pool.acquire().await?;
        let transaction = self.transact(&mut connection, mode, access, step);
        if D::WRITERS == Writers::One {
            return transaction.await;
        }
        match tokio::time::timeout(SILENT, transaction).await {
            Ok(outcome) => outcome,
            Err(elapsed) => {
                // Not back to the pool, which would wait for it.
                connection.close_on_drop();
                let silence = sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, elapsed));
                match mode {
                    Mode::Write => Err(Fault::Commit(silence)),
                    Mode::Snapshot | Mode::Look => Err(Fault::Found(ErrorKind::Unavailable, silence.to_string())),
                }
            }
        }
    }

    async fn transact<T, F>(&self, connection: &mut Conn<D>, mode: Mode, access: Access, step: &F) -> Result<T, Fault>
    where
        F: for<'t> Fn(Tx<'t>) -> BoxFuture<'t, Result<End<T>, Fault>>,
    {
        let mut pending = Pending::default();
        if mode == Mode::Look {
            return match step(self.tx(connection, &mut pending, access)).await? {
                End::Commit(answer) | End::Nothing(answer) => Ok(answer),
            };
        }
        self.db.sent.fetch_add(2, Ordering::Relaxed);
        let mut transaction = connection.begin_with(D::begin(mode, self.db.sessions)).await?;
        let checked = match (mode, self.db.sessions) {
            (Mode::Write, Sessions::Theirs) => D::check_write(&mut transaction).await,
            _ => Ok(()),
        };
        let mut outcome = match checked {
            Ok(()) => step(self.tx(&mut transaction, &mut pending, access)).await,
            Err(fault) => Err(fault),
        };
        if matches!(outcome, Ok(End::Commit(_)))
            && let Err(fault) = self.tx(&mut transaction, &mut pending, access).flush().await
        {
            outcome = Err(fault);
        }
        match outcome {
            Ok(End::Commit(answer)) => match transaction.commit().await {
                Ok(()) => Ok(answer),
                // The database says that it did not commit, and the roll-back follows.
                Err(error) if meaning(&error) == Meaning::Busy => Err(Fault::Driver(error)),
                Err(error) => Err(Fault::Commit(error)),
            },
            Ok(End::Nothing(answer)) => {
                // What was read stands, whatever becomes of the connection: nothing was written.
                let _ = transaction.rollback().await;
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
