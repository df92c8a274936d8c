//! Real databases for tests: one server per test binary, a schema or database of its own per ledger; for SQLite a file.
#![allow(dead_code, unused_imports, unused_macros, reason = "each test file takes what it needs")]

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use flashsale_core::ManualClock;
use flashsale_sql::{Backend, BoxFuture, SqlLedger};
use flashsale_testkit::Fixture;

/// Where ledgers are opened.
pub(crate) trait Database: Send + Sync + 'static {
    type Db: Backend;

    /// The one of this test binary.
    fn shared() -> &'static Self;

    /// Makes a place with nothing in it, and gives its address.
    fn place(&self) -> String;

    /// Runs statements at a place as a stranger does, and gives what they print.
    fn ask(&self, url: &str, statements: &str) -> String;

    /// Opens a ledger at an address.
    fn open(url: String) -> BoxFuture<'static, SqlLedger<Self::Db>>;

    /// Makes a pool at an address as an embedder does.
    fn pool(url: String) -> BoxFuture<'static, sqlx::Pool<Self::Db>>;
}

/// A server that ledgers are opened on, and that is hurt.
pub(crate) trait Server: Database + Deref<Target = flashsale_services::Server> {
    /// A server of the test's own, to be hurt.
    fn start() -> Self;

    /// Ends all sessions of everybody else.
    fn end_sessions(&self);

    /// How many transactions are open.
    fn open_transactions(&self) -> i64;

    /// Starts it again in the same folder.
    fn restart(&self);

    /// How COMMIT, and nothing else, looks on the wire.
    const COMMIT: &[u8];

    /// How many statements an accepting transaction is, with BEGIN and COMMIT.
    const STATEMENTS: u64;
}

/// Starts servers one after the other: what prepares their folders uses files of the same names.
pub(crate) fn one_by_one<T>(start: impl FnOnce() -> T) -> T {
    static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    start()
}

/// A server of the test's own, to be hurt.
pub(crate) fn own<S: Server>() -> S {
    one_by_one(S::start)
}

/// A server that lasts as long as this test binary; it dies with us.
fn lasting<S: Server>() -> S {
    let server = own::<S>();
    removed_after_us(server.dir());
    server
}

/// What is static is never dropped, so somebody else waits for our end and removes the folder.
#[expect(clippy::zombie_processes, reason = "it waits for us, not we for it")]
fn removed_after_us(folder: &std::path::Path) {
    use std::process::{Command, Stdio};
    let mut after = Command::new("sh");
    after.args(["-c", "tail --pid=\"$1\" -f /dev/null; rm -rf \"$2\" || rm -rf \"$2\"", "sh"]);
    after.arg(std::process::id().to_string()).arg(folder);
    after.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a shell");
}

/// The number that a stranger reads at a place.
pub(crate) fn count<S: Database>(server: &S, url: &str, text: &str) -> i64 {
    let said = server.ask(url, text);
    said.trim().parse().unwrap_or_else(|_| panic!("{text} says {said}"))
}

/// Each of these rules is a test on each of these databases.
macro_rules! rules {
    ([$($rule:ident),* $(,)?] on $($name:ident: $database:ty, $feature:literal;)*) => {
        $crate::servers::rules!(@each [$($name, $database, $feature);*] [$($rule),*]);
    };
    (@each [$($name:ident, $database:ty, $feature:literal);*] $rules:tt) => {
        $($crate::servers::rules!(@one $name, $database, $feature, $rules);)*
    };
    (@one $name:ident, $database:ty, $feature:literal, [$($rule:ident),*]) => {
        #[cfg(feature = $feature)]
        mod $name {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $rule() {
                    super::$rule::<$database>().await;
                }
            )*
        }
    };
}
pub(crate) use rules;

/// The last part of an address: the schema, or the database.
fn name_of(url: &str) -> &str {
    url.rsplit(['/', '=']).next().unwrap_or(url)
}

/// A name that nobody else in this test binary has.
pub(crate) fn fresh_name() -> String {
    static MADE: AtomicU32 = AtomicU32::new(0);
    format!("t{}", MADE.fetch_add(1, Ordering::Relaxed))
}

/// Files of SQLite in one folder.
#[cfg(feature = "sqlite")]
pub(crate) struct Sqlite(PathBuf);

#[cfg(feature = "sqlite")]
mod sqlite {
    use std::sync::OnceLock;

    use flashsale_sql::SqliteLedger;
    use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
    use sqlx::{AssertSqlSafe, Connection, Row};

    use super::{BoxFuture, Database, Sqlite, fresh_name};

    impl Database for Sqlite {
        type Db = sqlx::Sqlite;

        fn shared() -> &'static Self {
            static FOLDER: OnceLock<Sqlite> = OnceLock::new();
            FOLDER.get_or_init(|| {
                let folder = tempfile::tempdir().expect("a directory").keep();
                super::removed_after_us(&folder);
                Sqlite(folder)
            })
        }

        fn place(&self) -> String {
            self.0.join(fresh_name()).display().to_string()
        }

        fn ask(&self, url: &str, statements: &str) -> String {
            let (url, statements) = (url.to_owned(), statements.to_owned());
            // A stranger has a thread, and here a runtime, of his own.
            let asked = std::thread::spawn(move || {
                flashsale_testkit::run(async move {
                    let options = SqliteConnectOptions::new().filename(url).create_if_missing(true);
                    let mut stranger = sqlx::SqliteConnection::connect_with(&options).await.expect("the file");
                    let rows = sqlx::raw_sql(AssertSqlSafe(statements)).fetch_all(&mut stranger).await;
                    let rows = rows.expect("an answer");
                    let field = |row: &sqlx::sqlite::SqliteRow, at| {
                        row.try_get_unchecked::<Option<String>, _>(at).expect("a text").unwrap_or_default()
                    };
                    let line = |row| (0..Row::len(row)).map(|at| field(row, at)).collect::<Vec<_>>().join("|") + "\n";
                    rows.iter().map(line).collect()
                })
            });
            asked.join().expect("no panic")
        }

        fn open(url: String) -> BoxFuture<'static, SqliteLedger> {
            Box::pin(async move { SqliteLedger::open(url).await.expect("a ledger") })
        }

        fn pool(url: String) -> BoxFuture<'static, SqlitePool> {
            let options = SqliteConnectOptions::new().filename(url).create_if_missing(true);
            let options = options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full);
            let pool = SqlitePoolOptions::new().max_connections(2);
            Box::pin(async move { pool.connect_with(options).await.expect("a pool") })
        }
    }
}

#[cfg(feature = "postgres")]
mod postgres {
    use std::sync::OnceLock;

    use flashsale_services::{Postgres, PostgresOptions};
    use flashsale_sql::PostgresLedger;

    use super::{BoxFuture, Database, Server, fresh_name, name_of};

    impl Database for Postgres {
        type Db = sqlx::Postgres;

        fn shared() -> &'static Self {
            static SERVER: OnceLock<Postgres> = OnceLock::new();
            SERVER.get_or_init(super::lasting)
        }

        fn place(&self) -> String {
            let name = fresh_name();
            self.sql(&format!("CREATE SCHEMA {name}")).expect("a schema");
            format!("{}?options[search_path]={name}", self.url())
        }

        fn ask(&self, url: &str, statements: &str) -> String {
            self.sql(&format!("SET search_path TO {}; {statements}", name_of(url))).expect("an answer")
        }

        fn open(url: String) -> BoxFuture<'static, PostgresLedger> {
            Box::pin(async move { PostgresLedger::open(&url).await.expect("a ledger") })
        }

        fn pool(url: String) -> BoxFuture<'static, sqlx::PgPool> {
            Box::pin(async move { sqlx::PgPool::connect(&url).await.expect("a pool") })
        }
    }

    impl Server for Postgres {
        fn start() -> Self {
            // Recovery begins at once instead of syncing every file of the folder by itself.
            let extra = vec![("recovery_init_sync_method".to_owned(), "syncfs".to_owned())];
            Self::start(&PostgresOptions { extra, ..PostgresOptions::default() })
        }

        fn end_sessions(&self) {
            let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                          WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'";
            self.sql(others).expect("an answer");
        }

        fn open_transactions(&self) -> i64 {
            let open = "SELECT count(*) FROM pg_stat_activity WHERE state <> 'idle' AND pid <> pg_backend_pid() \
                        AND backend_type = 'client backend'";
            self.sql(open).expect("an answer").trim().parse().expect("a number")
        }

        fn restart(&self) {
            self.restart();
        }

        // With its end: `READ COMMITTED` has it, too.
        const COMMIT: &[u8] = b"COMMIT\0";

        // BEGIN, the lock, the reads, the writes, COMMIT.
        const STATEMENTS: u64 = 5;
    }
}

#[cfg(feature = "mysql")]
mod mysql {
    use std::sync::OnceLock;

    use flashsale_services::{MariaDb, MariaDbOptions};
    use flashsale_sql::MySqlLedger;

    use super::{BoxFuture, Database, Server, fresh_name, name_of};

    impl Database for MariaDb {
        type Db = sqlx::MySql;

        fn shared() -> &'static Self {
            static SERVER: OnceLock<MariaDb> = OnceLock::new();
            SERVER.get_or_init(super::lasting)
        }

        fn place(&self) -> String {
            let name = fresh_name();
            self.sql(&format!("CREATE DATABASE {name}")).expect("a database");
            let url = self.url();
            let (server, _) = url.rsplit_once('/').expect("an address");
            format!("{server}/{name}")
        }

        fn ask(&self, url: &str, statements: &str) -> String {
            self.sql(&format!("USE {}; {statements}", name_of(url))).expect("an answer")
        }

        fn open(url: String) -> BoxFuture<'static, MySqlLedger> {
            Box::pin(async move { MySqlLedger::open(&url).await.expect("a ledger") })
        }

        fn pool(url: String) -> BoxFuture<'static, sqlx::MySqlPool> {
            let pool = sqlx::mysql::MySqlPoolOptions::new().after_connect(|connection, _| {
                Box::pin(async move {
                    sqlx::raw_sql("SET SESSION idle_transaction_timeout = 10").execute(connection).await.map(drop)
                })
            });
            Box::pin(async move { pool.connect(&url).await.expect("a pool") })
        }
    }

    impl Server for MariaDb {
        fn start() -> Self {
            Self::start(&MariaDbOptions::default())
        }

        fn end_sessions(&self) {
            let others = "SELECT CONCAT('KILL ', id) FROM information_schema.processlist \
                          WHERE id <> CONNECTION_ID() AND user = 'flashsale'";
            for kill in self.sql(others).expect("an answer").lines() {
                // One that ended meanwhile needs no end.
                let _ = self.sql(kill);
            }
        }

        fn open_transactions(&self) -> i64 {
            let open = "SELECT COUNT(*) FROM information_schema.innodb_trx";
            self.sql(open).expect("an answer").trim().parse().expect("a number")
        }

        fn restart(&self) {
            self.restart();
        }

        // With the byte that says that it is a query: `READ COMMITTED` has the word, too.
        const COMMIT: &[u8] = b"\x03COMMIT";

        // BEGIN, the lock, three reads, the facts, the orders, their lines, the items, the version, the sale, COMMIT.
        const STATEMENTS: u64 = 12;
    }
}

/// Ledgers on the shared server, on one clock that moves when told.
pub(crate) struct Places<S: Server> {
    pub(crate) clock: Arc<ManualClock>,
    last: std::sync::Mutex<String>,
    server: std::marker::PhantomData<fn() -> S>,
}

impl<S: Server> Places<S> {
    pub(crate) fn new() -> Self {
        let clock = flashsale_testkit::fixture::clock();
        Self { clock, last: std::sync::Mutex::default(), server: std::marker::PhantomData }
    }

    async fn open(&self, url: String) -> SqlLedger<S::Db> {
        S::open(url).await.with_clock(self.clock.clone())
    }
}

#[async_trait]
impl<S: Server> Fixture for Places<S> {
    type Port = SqlLedger<S::Db>;

    async fn fresh(&self) -> Self::Port {
        let url = S::shared().place();
        self.last.lock().expect("no panic").clone_from(&url);
        self.open(url).await
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    async fn restart(&self, port: Self::Port) -> Option<Self::Port> {
        // The rules that restart make one ledger each: it is at the last place.
        drop(port);
        let url = self.last.lock().expect("no panic").clone();
        Some(self.open(url).await)
    }
}
