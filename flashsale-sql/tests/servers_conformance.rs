//! PostgreSQL and MariaDB pass every suite of the testkit, and answer as memory does.

#![cfg(any(feature = "postgres", feature = "mysql"))]

mod servers;

use flashsale_core::memory::MemoryLedger;
use flashsale_testkit::{Fixture, differential};
use servers::{Places, Server};

/// Random steps, told to a server and to memory, get the same answers.
fn answers_as_memory_does<S: Server>() {
    let mut seen = differential::Seen::default();
    for seed in 0..5 {
        flashsale_testkit::run(async {
            let place = Places::<S>::new();
            let memory = MemoryLedger::new(place.clock.clone(), seed);
            let ledger = place.fresh().await;
            seen.add(&differential::ledgers(&memory, &ledger, &place.clock, 300, seed).await);
            assert_eq!(memory.audit(), Vec::<String>::new(), "seed {seed}");
            ledger.close().await;
        });
    }
    for answer in ["accepted", "sold_out", "cancelled", "appended", "followed", "rewound", "wallet moved", "told"] {
        assert!(seen.times(answer) > 3, "{answer} was seen {} times in {seen:?}", seen.times(answer));
    }
}

macro_rules! suites {
    ($name:ident, $server:ty, $feature:literal) => {
        #[cfg(feature = $feature)]
        mod $name {
            use super::*;

            flashsale_testkit::stock_ledger_suite!(Places::<$server>::new());
            flashsale_testkit::order_ledger_suite!(Places::<$server>::new());
            flashsale_testkit::coupon_ledger_suite!(Places::<$server>::new());
            flashsale_testkit::wallet_ledger_suite!(Places::<$server>::new());
            flashsale_testkit::waitlist_ledger_suite!(Places::<$server>::new());
            flashsale_testkit::outbox_suite!(Places::<$server>::new());
            flashsale_testkit::dead_letters_suite!(Places::<$server>::new());
            flashsale_testkit::notice_ledger_suite!(Places::<$server>::new());

            #[test]
            fn it_answers_as_memory_does() {
                answers_as_memory_does::<$server>();
            }
        }
    };
}

suites!(postgres, flashsale_services::Postgres, "postgres");
suites!(mariadb, flashsale_services::MariaDb, "mysql");
