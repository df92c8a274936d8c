//! MariaDB and MySQL: their sessions, how statements are sent, and what their errors mean.
//!
//! Owns nothing of a transaction's course, which is in [`ledger`](crate::ledger), and no statement of a noun.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use flashsale_core::error::{BackendError, ErrorKind};
use sqlx::mysql::{MySqlArguments, MySqlConnectOptions, MySqlConnection, MySqlDatabaseError, MySqlPoolOptions};
use sqlx::{Arguments, AssertSqlSafe, ConnectOptions, Executor, MySql, Row};

use crate::dialect::Dialect;
use crate::driver::{Driver, DriverRow};
use crate::error::Meaning;
use crate::ledger::sealed::{Engine, Mode, Sessions, Writers};
use crate::ledger::{Backend, BoxFuture, SqlLedger};
use crate::migration::{self, Migration};
use crate::tx::{Effect, Fault, Reply, Sending};
use crate::value::Value;

/// Every ledger in a database of MariaDB (10.6 or later) or MySQL 8.
pub type MySqlLedger = SqlLedger<MySql>;

/// Connections of [`MySqlLedger::open`]: sales are locked one by one, so a few write at a time.
const CONNECTIONS: u32 = 8;
/// How long a caller waits for one of them.
const ACQUIRE: Duration = Duration::from_secs(5);
/// Statements kept prepared per connection: a few dozen, those with lists in up to ten sizes.
const STATEMENTS: usize = 512;

/// What every session of ours is set to. Nobody waits for a lock for longer than a request; a value that does not fit is an error.
const SETTINGS: &str = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; \
                        SET SESSION innodb_lock_wait_timeout = 1, SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_TRANS_TABLES')";
/// A node that stands still must not hold a sale. MariaDB counts the time inside transactions.
const IDLE_MARIADB: &str = "SET SESSION idle_transaction_timeout = 10, SESSION max_statement_time = 10";
/// MySQL does not: it is the time of any silence, so an idle connection is closed too, which its next user notices and mends.
const IDLE_MYSQL: &str = "SET SESSION wait_timeout = 10";

impl SqlLedger<MySql> {
    /// Opens a database of our own: sets its sessions up, migrates it.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] if it cannot be reached, [`ErrorKind::Misconfigured`] if it cannot keep what is promised.
    pub async fn open(url: &str) -> Result<Self, BackendError> {
        let failed = |error: sqlx::Error| Fault::Driver(error).told("ledger.open_url");
        let options = MySqlConnectOptions::from_str(url).map_err(failed)?;
        let options = options.statement_cache_capacity(STATEMENTS).disable_statement_logging();
        let pool = MySqlPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(ACQUIRE);
        let pool = pool.after_connect(|connection, _| Box::pin(set_up(connection)));
        // A dead connection is told by its first statement, and the transaction is begun again.
        let pool = pool.test_before_acquire(false).connect_with(options).await.map_err(failed)?;
        let ledger = Self::over(pool.clone(), pool, Sessions::Ours);
        ledger.migrate().await?;
        Ok(ledger)
    }
}

async fn set_up(connection: &mut MySqlConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(SETTINGS).execute(&mut *connection).await?;
    let version: String = sqlx::query_scalar("SELECT VERSION()").fetch_one(&mut *connection).await?;
    let idle = if version.contains("MariaDB") { IDLE_MARIADB } else { IDLE_MYSQL };
    sqlx::raw_sql(idle).execute(connection).await.map(drop)
}

impl Backend for MySql {}

impl Engine for MySql {
    const DIALECT: Dialect = Dialect::MySql;
    const WRITERS: Writers = Writers::Many;
    const MIGRATIONS: &'static [Migration] = &[
        Migration { version: 1, name: "ledger", text: include_str!("../migrations/mysql/0001_ledger.sql") },
        Migration { version: 2, name: "notice", text: include_str!("../migrations/mysql/0002_notice.sql") },
        Migration { version: 3, name: "waitlist", text: include_str!("../migrations/mysql/0003_waitlist.sql") },
        Migration { version: 4, name: "payment_line", text: include_str!("../migrations/mysql/0004_payment_line.sql") },
    ];
    const HAS_SCHEMA: &'static str = "SELECT COUNT(*) FROM information_schema.tables \
                                      WHERE table_schema = DATABASE() AND table_name = 'flashsale_schema'";
    const END_MIGRATING: &'static str = "DO RELEASE_LOCK(CONCAT('flashsale ', MD5(COALESCE(DATABASE(), ''))))";

    fn driver(connection: &mut MySqlConnection) -> Driver<'_> {
        Driver::MySql(connection)
    }

    fn connection<'a>(driver: &'a mut Driver<'_>) -> &'a mut MySqlConnection {
        match driver {
            Driver::MySql(connection) => connection,
            #[allow(unreachable_patterns, reason = "other databases have their features")]
            _ => unreachable!("a ledger has connections of one database"),
        }
    }

    fn begin(mode: Mode, sessions: Sessions) -> &'static str {
        match (mode, sessions) {
            (Mode::Write, Sessions::Ours) => "START TRANSACTION",
            (Mode::Write, Sessions::Theirs) => "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; START TRANSACTION",
            (Mode::Snapshot | Mode::Look, _) => {
                "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"
            }
        }
    }

    fn check_write(connection: &mut MySqlConnection) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(strict(connection))
    }

    fn check_theirs(connection: &mut MySqlConnection) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(async move {
            strict(connection).await?;
            isolation(&variables(connection).await?)
        })
    }

    fn check(connection: &mut MySqlConnection, sessions: Sessions) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(server(connection, sessions))
    }

    fn begin_migrating(connection: &mut MySqlConnection) -> BoxFuture<'_, Result<(), Fault>> {
        // A lock of the name of the database; it ends with the session. A table may take its time, if it is not waited for for long.
        const TURN: &str = "SELECT GET_LOCK(CONCAT('flashsale ', MD5(COALESCE(DATABASE(), ''))), ?)";
        Box::pin(async move {
            let version: String = sqlx::query_scalar("SELECT VERSION()").fetch_one(&mut *connection).await?;
            if version.contains("MariaDB") {
                sqlx::raw_sql("SET SESSION max_statement_time = 0").execute(&mut *connection).await?;
            }
            sqlx::raw_sql("SET SESSION lock_wait_timeout = 10, SESSION autocommit = 1")
                .execute(&mut *connection)
                .await?;
            let turn: Option<i64> =
                sqlx::query_scalar(TURN).bind(migration::TURN.as_secs()).fetch_one(&mut *connection).await?;
            match turn {
                Some(1) => Ok(()),
                _ => Err(Fault::Found(
                    ErrorKind::Unavailable,
                    "somebody else has been migrating for a minute".to_owned(),
                )),
            }
        })
    }
}

fn refused(why: String) -> Fault {
    Fault::Found(ErrorKind::Misconfigured, why)
}

/// The variables that matter, as far as this server knows them: MariaDB and MySQL name some differently.
async fn variables(connection: &mut MySqlConnection) -> Result<BTreeMap<String, String>, Fault> {
    let text = "SHOW SESSION VARIABLES WHERE Variable_name IN ('transaction_isolation', 'tx_isolation', \
                'innodb_flush_log_at_trx_commit', 'sync_binlog', 'log_bin', 'innodb_doublewrite', \
                'innodb_lock_wait_timeout', 'idle_transaction_timeout', 'idle_write_transaction_timeout', 'wait_timeout', 'version')";
    let rows = sqlx::query(text).fetch_all(connection).await?;
    let pair = |row: &sqlx::mysql::MySqlRow| Ok((row.try_get_unchecked(0)?, row.try_get_unchecked(1)?));
    rows.iter().map(pair).collect::<Result<_, sqlx::Error>>().map_err(Fault::from)
}

/// Fails unless a value that does not fit is an error in this session.
async fn strict(connection: &mut MySqlConnection) -> Result<(), Fault> {
    let mode: String = sqlx::query_scalar("SELECT @@sql_mode").fetch_one(connection).await?;
    if mode.contains("STRICT_TRANS_TABLES") || mode.contains("STRICT_ALL_TABLES") {
        return Ok(());
    }
    Err(refused(format!("sql_mode is {mode}, it must have STRICT_TRANS_TABLES")))
}

/// Fails unless statements of this session see what was committed before them.
fn isolation(variables: &BTreeMap<String, String>) -> Result<(), Fault> {
    let level = variables.get("transaction_isolation").or_else(|| variables.get("tx_isolation"));
    match level.map(String::as_str) {
        Some("READ-COMMITTED") => Ok(()),
        level => Err(refused(format!("the session is at {level:?}, it must be at READ-COMMITTED"))),
    }
}

/// Fails unless commits of this server are durable, and no session of ours holds a sale for ever; warns where less is kept than could be.
async fn server(connection: &mut MySqlConnection, sessions: Sessions) -> Result<(), Fault> {
    strict(&mut *connection).await?;
    let variables = variables(connection).await?;
    let value = |name: &str| variables.get(name).map_or("", String::as_str);
    if value("innodb_flush_log_at_trx_commit") != "1" {
        let set = value("innodb_flush_log_at_trx_commit");
        return Err(refused(format!("innodb_flush_log_at_trx_commit is {set}, it must be 1")));
    }
    // With a binary log, recovery keeps what that log has.
    if value("log_bin") == "ON" && value("sync_binlog") != "1" {
        return Err(refused(format!("sync_binlog is {}, with a binary log it must be 1", value("sync_binlog"))));
    }
    if value("innodb_doublewrite") == "OFF" {
        tracing::warn!("innodb_doublewrite is off: a page that was half written at a crash cannot be mended");
    }
    let seconds = |name: &str| value(name).parse::<u64>().ok().filter(|seconds| *seconds > 0);
    match sessions {
        Sessions::Ours => isolation(&variables),
        Sessions::Theirs => {
            let idle = ["idle_transaction_timeout", "idle_write_transaction_timeout", "wait_timeout"].map(seconds);
            let waits = seconds("innodb_lock_wait_timeout").unwrap_or(u64::MAX);
            let idle = idle.into_iter().flatten().min().unwrap_or(u64::MAX);
            if waits > 60 || idle > 60 {
                return Err(refused(format!(
                    "a session waits {waits} s for a lock (innodb_lock_wait_timeout) and may hold one in silence for {idle} s \
                     (idle_write_transaction_timeout, on MySQL wait_timeout): set both to 60 or less for every session of the pool"
                )));
            }
            Ok(())
        }
    }
}

/// What an error of MariaDB or MySQL means, by its number.
pub(crate) fn meaning(error: &MySqlDatabaseError) -> Meaning {
    match error.number() {
        // Deadlock, lock wait timeout, record changed since it was read, XA deadlock.
        1213 | 1205 | 1020 | 1614 => Meaning::Busy,
        // Duplicate keys.
        1022 | 1062 | 1586 => Meaning::Twice,
        // Shutdown, gone away, lost, killed, closed for silence.
        1053 | 1927 | 2006 | 2013 | 3169 | 4031 => Meaning::Lost,
        // Null, wrong, out of range, truncated, not in the character set, too long, too large, CHECKs, foreign keys.
        1048 | 1153 | 1216 | 1217 | 1264 | 1265 | 1292 | 1366 | 1406 | 1451 | 1452 | 3140 | 3819 | 4025 => {
            Meaning::Data
        }
        // No database, no table, no column, no right, no such variable, syntax.
        1044 | 1045 | 1049 | 1054 | 1064 | 1142 | 1143 | 1146 | 1193 | 1227 | 1231 => Meaning::Misconfigured,
        // Tables and indexes that are damaged.
        1034 | 1194 | 1195 | 1712 => Meaning::Corrupt,
        _ => Meaning::Unavailable,
    }
}

fn arguments(values: Vec<Value>) -> Result<MySqlArguments, sqlx::Error> {
    let mut arguments = MySqlArguments::default();
    for value in values {
        let added = match value {
            // The dialect has made single values of lists.
            Value::Null | Value::Texts(_) | Value::Ints(_) => arguments.add(None::<&str>),
            Value::Int(number) => arguments.add(number),
            Value::Text(text) => arguments.add(&*text),
        };
        added.map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

/// Sends statements one after the other, and takes the reply of each: the protocol has no way to send several with values.
pub(crate) async fn send(
    connection: &mut MySqlConnection,
    statements: Vec<Sending>,
    sent: &AtomicU64,
) -> Result<Vec<Reply>, sqlx::Error> {
    let mut replies = Vec::with_capacity(statements.len());
    for statement in statements {
        sent.fetch_add(1, Ordering::Relaxed);
        let query = sqlx::query_with(AssertSqlSafe(&*statement.text), arguments(statement.values)?);
        replies.push(match statement.effect {
            Effect::Reads | Effect::Locks => {
                let rows = connection.fetch_all(query).await?.into_iter().map(DriverRow::MySql).collect();
                Reply { rows, wrote: 0 }
            }
            Effect::Inserts(_) | Effect::Changes(_) => {
                Reply { rows: vec![], wrote: connection.execute(query).await?.rows_affected() }
            }
        });
    }
    Ok(replies)
}
