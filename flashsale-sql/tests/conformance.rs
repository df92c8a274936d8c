//! SQLite passes every suite of the testkit.

#![cfg(feature = "sqlite")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flashsale_core::ManualClock;
use flashsale_core::memory::MemoryLedger;
use flashsale_sql::SqliteLedger;
use flashsale_testkit::{Fixture, differential};
use tempfile::TempDir;

/// Ledgers in files of one directory, on one clock that moves when told.
struct Sqlite {
    clock: Arc<ManualClock>,
    dir: TempDir,
    files: std::sync::atomic::AtomicU32,
}

impl Sqlite {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        Self { clock: flashsale_testkit::fixture::clock(), dir, files: 0.into() }
    }

    async fn open(&self, n: u32) -> SqliteLedger {
        let file = self.dir.path().join(format!("{n}.db"));
        SqliteLedger::open(file).await.expect("a ledger").with_clock(self.clock.clone())
    }
}

#[async_trait]
impl Fixture for Sqlite {
    type Port = SqliteLedger;

    async fn fresh(&self) -> SqliteLedger {
        let n = self.files.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        self.open(n).await
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    async fn restart(&self, port: SqliteLedger) -> Option<SqliteLedger> {
        // The rules that restart make one ledger each: it is the last file.
        drop(port);
        Some(self.open(self.files.load(std::sync::atomic::Ordering::Relaxed)).await)
    }
}

flashsale_testkit::stock_ledger_suite!(Sqlite::new());
flashsale_testkit::order_ledger_suite!(Sqlite::new());
flashsale_testkit::coupon_ledger_suite!(Sqlite::new());
flashsale_testkit::wallet_ledger_suite!(Sqlite::new());
flashsale_testkit::waitlist_ledger_suite!(Sqlite::new());
flashsale_testkit::outbox_suite!(Sqlite::new());
flashsale_testkit::dead_letters_suite!(Sqlite::new());
flashsale_testkit::notice_ledger_suite!(Sqlite::new());

/// Thousands of random steps, told to SQLite and to memory, get the same answers.
#[test]
fn sqlite_answers_as_memory_does() {
    let mut seen = differential::Seen::default();
    for seed in 0..8 {
        flashsale_testkit::run(async {
            let place = Sqlite::new();
            let memory = MemoryLedger::new(place.clock.clone(), seed);
            let sqlite = place.fresh().await;
            seen.add(&differential::ledgers(&memory, &sqlite, &place.clock, 500, seed).await);
            assert_eq!(memory.audit(), Vec::<String>::new(), "seed {seed}");
        });
    }
    for answer in ["accepted", "sold_out", "cancelled", "appended", "followed", "rewound", "wallet moved", "told"] {
        assert!(seen.times(answer) > 20, "{answer} was seen {} times in {seen:?}", seen.times(answer));
    }
}
