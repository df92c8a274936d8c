//! Real databases for tests: one server per test binary, a schema or database of its own per ledger.
#![allow(dead_code, reason = "each test file takes what it needs")]

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

    /// Makes a place with nothing in it, and gives its address.
    fn place(&self) -> String;

    /// Opens a ledger at an address.
    fn open(url: String) -> BoxFuture<'static, SqlLedger<Self::Db>>;
}

/// A name that nobody else in this test binary has.
pub(crate) fn fresh_name() -> String {
    static MADE: AtomicU32 = AtomicU32::new(0);
    format!("t{}", MADE.fetch_add(1, Ordering::Relaxed))
}

#[cfg(feature = "postgres")]
mod postgres {
    use std::sync::OnceLock;

    use flashsale_services::{Postgres, PostgresOptions};
    use flashsale_sql::PostgresLedger;

    use super::{BoxFuture, Server, fresh_name};

    impl Server for Postgres {
        type Db = sqlx::Postgres;

        fn shared() -> &'static Self {
            static SERVER: OnceLock<Postgres> = OnceLock::new();
            SERVER.get_or_init(|| Postgres::start(&PostgresOptions::default()))
        }

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
    use std::sync::OnceLock;

    use flashsale_services::{MariaDb, MariaDbOptions};
    use flashsale_sql::MySqlLedger;

    use super::{BoxFuture, Server, fresh_name};

    impl Server for MariaDb {
        type Db = sqlx::MySql;

        fn shared() -> &'static Self {
            static SERVER: OnceLock<MariaDb> = OnceLock::new();
            SERVER.get_or_init(|| MariaDb::start(&MariaDbOptions::default()))
        }

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
