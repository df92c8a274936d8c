//! The ledger by configuration: a file of SQLite, or a database of PostgreSQL, MariaDB or MySQL. Owns what a start does with one
//! that is down or not set up.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use flashsale_core::coupon::CouponLedger;
use flashsale_core::error::ErrorKind;
use flashsale_core::event::{DeadLetters, Outbox};
use flashsale_core::notice::NoticeLedger;
use flashsale_core::payment::WalletLedger;
use flashsale_core::waitlist::WaitlistLedger;
use flashsale_core::{BackendError, Clock};
use flashsale_sql::{Backend, MySqlLedger, PostgresLedger, SqlLedger, SqliteLedger};

use crate::config::{Database, SqlUrl};

/// Every port of a ledger, whatever database it is kept in.
#[async_trait]
pub(crate) trait Ledger:
    WaitlistLedger + CouponLedger + WalletLedger + Outbox + DeadLetters + NoticeLedger
{
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

/// Opens the ledger that the configuration names, by this clock. Servers that start together take turns in it to set it up.
///
/// # Errors
/// [`LedgerError`] for a database that does not answer, or cannot keep what is promised.
pub(crate) async fn open(url: &SqlUrl, clock: &Arc<dyn Clock>) -> Result<Arc<dyn Ledger>, LedgerError> {
    fn by<D: Backend>(ledger: SqlLedger<D>, clock: &Arc<dyn Clock>) -> Arc<dyn Ledger> {
        Arc::new(ledger.with_clock(clock.clone()))
    }
    let opened = match url.database() {
        Database::Sqlite(file) => {
            let directory = file.parent().unwrap_or(Path::new(""));
            std::fs::create_dir_all(directory)
                .map_err(|error| LedgerError(BackendError::new(ErrorKind::Misconfigured, "sql.url", error)))?;
            SqliteLedger::open(file).await.map(|ledger| by(ledger, clock))
        }
        Database::Postgres => PostgresLedger::open(url.secret()).await.map(|ledger| by(ledger, clock)),
        Database::MySql => MySqlLedger::open(url.secret()).await.map(|ledger| by(ledger, clock)),
    };
    opened.map_err(LedgerError)
}
