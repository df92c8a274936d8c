//! Real databases for tests: one server per test binary, a schema or database of its own per ledger.
#![allow(dead_code, reason = "each test file takes what it needs")]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use flashsale_core::ManualClock;
use flashsale_sql::{Backend, BoxFuture, SqlLedger};
use flashsale_testkit::Fixture;

/// A server that ledgers are opened on.
pub(crate) trait Server: Send + Sync + 'static {
    type Db: Backend;

    /// The one server of this test binary.
    fn shared() -> &'static Self;

    /// A server of the test's own, to be hurt.
    fn start() -> Self;

    /// Makes a place with nothing in it, and gives its address.
    fn place(&self) -> String;

    /// Runs statements at a place as a stranger does, and gives what they print.
    fn ask(&self, url: &str, statements: &str) -> String;

    /// Ends all sessions of everybody else.
    fn end_sessions(&self);

    /// How many transactions are open.
    fn open_transactions(&self) -> i64;

    fn port(&self) -> u16;
    fn kill9(&self);
    fn stop(&self);
    fn restart(&self);
    fn data(&self) -> PathBuf;

    /// How COMMIT, and nothing else, looks on the wire.
    const COMMIT: &[u8];

    /// How many statements an accepting transaction is, with BEGIN and COMMIT.
    const STATEMENTS: u64;

    /// Opens a ledger at an address.
    fn open(url: String) -> BoxFuture<'static, SqlLedger<Self::Db>>;
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

/// A server that lasts as long as this test binary. What is static is never dropped, so somebody else waits for our end and
/// removes the folder; the server itself dies with us.
#[expect(clippy::zombie_processes, reason = "it waits for us, not we for it")]
fn lasting<S: Server>() -> S {
    use std::process::{Command, Stdio};
    let server = own::<S>();
    let folder = server.data().parent().expect("a folder of its own").to_path_buf();
    let mut after = Command::new("sh");
    after.args(["-c", "tail --pid=\"$1\" -f /dev/null; rm -rf \"$2\" || rm -rf \"$2\"", "sh"]);
    after.arg(std::process::id().to_string()).arg(folder);
    after.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a shell");
    server
}

/// The number that a stranger reads at a place.
pub(crate) fn count<S: Server>(server: &S, url: &str, text: &str) -> i64 {
    let said = server.ask(url, text);
    said.trim().parse().unwrap_or_else(|_| panic!("{text} says {said}"))
}

/// The last part of an address: the schema, or the database.
fn name_of(url: &str) -> &str {
    url.rsplit(['/', '=']).next().unwrap_or(url)
}

/// A name that nobody else in this test binary has.
pub(crate) fn fresh_name() -> String {
    static MADE: AtomicU32 = AtomicU32::new(0);
    format!("t{}", MADE.fetch_add(1, Ordering::Relaxed))
}

#[cfg(feature = "postgres")]
mod postgres {
    use std::path::PathBuf;
    use std::sync::OnceLock;

    use flashsale_services::{Postgres, PostgresOptions};
    use flashsale_sql::PostgresLedger;

    use super::{BoxFuture, Server, fresh_name, name_of};

    impl Server for Postgres {
        type Db = sqlx::Postgres;

        fn shared() -> &'static Self {
            static SERVER: OnceLock<Postgres> = OnceLock::new();
            SERVER.get_or_init(super::lasting)
        }

        fn start() -> Self {
            // Recovery begins at once instead of syncing every file of the folder by itself.
            let extra = vec![("recovery_init_sync_method".to_owned(), "syncfs".to_owned())];
            Self::start(&PostgresOptions { extra, ..PostgresOptions::default() })
        }

        fn ask(&self, url: &str, statements: &str) -> String {
            self.sql(&format!("SET search_path TO {}; {statements}", name_of(url))).expect("an answer")
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

        fn port(&self) -> u16 {
            self.port()
        }

        fn kill9(&self) {
            self.kill9();
        }

        fn stop(&self) {
            self.stop();
        }

        fn restart(&self) {
            self.restart();
        }

        fn data(&self) -> PathBuf {
            self.dir().join("data")
        }

        // With its end: `READ COMMITTED` has it, too.
        const COMMIT: &[u8] = b"COMMIT\0";

        // BEGIN, the lock, the reads, the writes, COMMIT.
        const STATEMENTS: u64 = 5;

        fn place(&self) -> String {
            let name = fresh_name();
            self.sql(&format!("CREATE SCHEMA {name}")).expect("a schema");
            format!("{}?options[search_path]={name}", self.url())
        }

        fn open(url: String) -> BoxFuture<'static, PostgresLedger> {
            Box::pin(async move { PostgresLedger::open(&url).await.expect("a ledger") })
        }
    }
}

#[cfg(feature = "mysql")]
mod mysql {
    use std::path::PathBuf;
    use std::sync::OnceLock;

    use flashsale_services::{MariaDb, MariaDbOptions};
    use flashsale_sql::MySqlLedger;

    use super::{BoxFuture, Server, fresh_name, name_of};

    impl Server for MariaDb {
        type Db = sqlx::MySql;

        fn shared() -> &'static Self {
            static SERVER: OnceLock<MariaDb> = OnceLock::new();
            SERVER.get_or_init(super::lasting)
        }

        fn start() -> Self {
            Self::start(&MariaDbOptions::default())
        }

        fn ask(&self, url: &str, statements: &str) -> String {
            self.sql(&format!("USE {}; {statements}", name_of(url))).expect("an answer")
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

        fn port(&self) -> u16 {
            self.port()
        }

        fn kill9(&self) {
            self.kill9();
        }

        fn stop(&self) {
            self.stop();
        }

        fn restart(&self) {
            self.restart();
        }

        fn data(&self) -> PathBuf {
            self.dir().join("data")
        }

        const COMMIT: &[u8] = b"COMMIT";

        // BEGIN, the lock, three reads, the facts, the orders, their lines, the items, the version, the sale, COMMIT.
        const STATEMENTS: u64 = 12;

        fn place(&self) -> String {
            let name = fresh_name();
            self.sql(&format!("CREATE DATABASE {name}")).expect("a database");
            let url = self.url();
            let (server, _) = url.rsplit_once('/').expect("an address");
            format!("{server}/{name}")
        }

        fn open(url: String) -> BoxFuture<'static, MySqlLedger> {
            Box::pin(async move { MySqlLedger::open(&url).await.expect("a ledger") })
        }
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
