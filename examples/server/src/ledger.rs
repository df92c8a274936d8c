//! The ledger by configuration: a file of SQLite, or a database of PostgreSQL, MariaDB or MySQL. Owns what a start does with one
//! that is down or not set up, and that servers which start together set it up once.

use std::fmt;
use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flashsale_core::coupon::CouponLedger;
use flashsale_core::error::ErrorKind;
use flashsale_core::event::{DeadLetters, Outbox};
use flashsale_core::order::OrderLedger;
use flashsale_core::payment::WalletLedger;
use flashsale_core::{BackendError, Clock};
use flashsale_sql::{Backend, MySqlLedger, PostgresLedger, SqlLedger, SqliteLedger};

use crate::config::{Database, SqlUrl};

/// How long a server waits for others that set up the same file.
const SET_UP_MAX: Duration = Duration::from_secs(30);
/// How often it looks whether they are through.
const SET_UP_LOOK: Duration = Duration::from_millis(10);

/// Every port of a ledger, whatever database it is kept in.
#[async_trait]
pub(crate) trait Ledger: OrderLedger + CouponLedger + WalletLedger + Outbox + DeadLetters {
    /// Closes its connections, once what is under way has ended.
    async fn close(&self);
}

#[async_trait]
impl<D: Backend> Ledger for SqlLedger<D> {
    async fn close(&self) {
        Self::close(self).await;
    }
}

/// The ledger cannot be opened.
#[derive(Debug)]
pub struct LedgerError(BackendError);

impl std::error::Error for LedgerError {}

/// Says what is wrong, and what to do next.
impl fmt::Display for LedgerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = std::error::Error::source(&self.0).map_or_else(|| self.0.to_string(), ToString::to_string);
        let has = |words: &[&str]| words.iter().any(|word| told.contains(word));
        let next = if has(&["authentication failed", "(using password", "no password supplied"]) {
            "put the user and password that the database knows into sql.url (postgres://USER:PASSWORD@HOST/DATABASE, percent-encoded), \
             or into FLASHSALE_SQL__URL, which no list of processes shows; then start again"
        } else if has(&["does not exist", "Unknown database", "Access denied", "permission denied", "command denied"]) {
            "create the database, and give the user the right to make tables in it; then start again"
        } else if matches!(self.0.kind(), ErrorKind::Unavailable | ErrorKind::Unknown) {
            "start the database, or put where it is into sql.url; then start again"
        } else {
            "docs/guide/sql.md says how a database is set up; then start again"
        };
        write!(f, "the ledger cannot be used: {told}. Next: {next}")
    }
}

/// Opens the ledger that the configuration names, by this clock.
///
/// # Errors
/// [`LedgerError`] for a database that does not answer, or cannot keep what is promised.
pub(crate) async fn open(url: &SqlUrl, clock: &Arc<dyn Clock>) -> Result<Arc<dyn Ledger>, LedgerError> {
    fn by<D: Backend>(ledger: SqlLedger<D>, clock: &Arc<dyn Clock>) -> Arc<dyn Ledger> {
        Arc::new(ledger.with_clock(clock.clone()))
    }
    let opened = match url.database() {
        Database::Sqlite(file) => SqliteLedger::open(file).await.map(|ledger| by(ledger, clock)),
        Database::Postgres => PostgresLedger::open(url.secret()).await.map(|ledger| by(ledger, clock)),
        Database::MySql => MySqlLedger::open(url.secret()).await.map(|ledger| by(ledger, clock)),
    };
    opened.map_err(LedgerError)
}

/// The turn to set up a ledger, until it is dropped, or the process ends.
#[derive(Debug)]
pub(crate) enum Turn {
    /// The lock on a file beside SQLite's.
    File(#[expect(dead_code, reason = "the lock ends when the file is closed")] File),
    /// A server lets one at a time migrate, and seeding is made of transactions.
    Nobody,
}

/// Waits for the turn: servers that start together must not migrate and seed one file at the same time.
///
/// # Errors
/// [`LedgerError`] where another server has it for long.
pub(crate) async fn turn_to_set_up(url: &SqlUrl) -> Result<Turn, LedgerError> {
    let Database::Sqlite(ledger) = url.database() else { return Ok(Turn::Nobody) };
    let failed = |error| LedgerError(BackendError::new(ErrorKind::Misconfigured, "sql.url", error));
    if let Some(directory) = ledger.parent().filter(|path| *path != Path::new("")) {
        std::fs::create_dir_all(directory).map_err(failed)?;
    }
    // A file of its own: closing the ledger's would end locks that the database has on it.
    let mut name = ledger.clone().into_os_string();
    name.push(".start");
    let lock = File::create(&name).map_err(failed)?;
    let began = std::time::Instant::now();
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(Turn::File(lock)),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
            Err(TryLockError::WouldBlock) if began.elapsed() > SET_UP_MAX => {
                let why =
                    format!("another server has been setting up the ledger for long; it locks {}", name.display());
                return Err(LedgerError(BackendError::unavailable("sql.url", why)));
            }
            Err(TryLockError::WouldBlock) => tokio::time::sleep(SET_UP_LOOK).await,
        }
    }
}
