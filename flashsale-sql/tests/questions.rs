//! The questions that the guide gives to readers, on each database: they say 0 of a ledger that is whole, and each finds what it asks for.

#![cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]

mod audit;
mod servers;

use flashsale_core::ManualClock;
use flashsale_core::Timestamp;
use flashsale_testkit::everything;
use servers::{Database, count};

/// What breaks each question, in their order.
const BREAKS: [&str; 14] = [
    // The database itself refuses this one, so the question is asked of what it would find: nothing.
    "",
    "UPDATE item SET allocated = allocated + 1 WHERE id = 'hat'",
    "UPDATE orders SET live = 1 WHERE state = 'cancelled'",
    "UPDATE line SET live = 1 WHERE live = 0",
    "UPDATE line SET live = 1, units = units + 9 WHERE item = 'hat'",
    "UPDATE sale SET v = v + 1 WHERE id = 'drop'",
    "DELETE FROM sale_version WHERE sale = 'drop' AND v = 2",
    "UPDATE orders SET v = 99",
    "UPDATE coupon SET used_by = 'ann~1'; UPDATE orders SET coupon = 'another' WHERE id = 'ann~1'",
    "UPDATE item SET waiting = 1 WHERE sale = 'drop'",
    "UPDATE waitlist SET state = 'declined' WHERE state = 'offered'",
    "DELETE FROM waitlist WHERE state = 'offered'",
    "UPDATE orders SET pay_no = 1 WHERE pay_no = 2",
    "UPDATE payment_line SET served = served + 1 WHERE sale = 'drop'",
];

async fn the_questions_of_the_guide_say_0_and_each_finds_what_it_asks_for<S: Database>() {
    let server = S::shared();
    for (question, breaks) in audit::questions().into_iter().zip(BREAKS) {
        let url = server.place();
        let ledger = S::open(url.clone()).await.with_clock(ManualClock::starting(Timestamp::from_ms(5)));
        everything::told(&ledger).await;
        audit::audit(server, &url);
        if !breaks.is_empty() {
            for statement in breaks.split("; ") {
                server.ask(&url, statement);
            }
            assert!(count(server, &url, question) > 0, "after {breaks}: {question}");
        }
        ledger.close().await;
    }
    assert_eq!(audit::questions().len(), BREAKS.len());
}

servers::rules!(
    [the_questions_of_the_guide_say_0_and_each_finds_what_it_asks_for] on
    sqlite: crate::servers::Sqlite, "sqlite";
    postgres: flashsale_services::Postgres, "postgres";
    mariadb: flashsale_services::MariaDb, "mysql";
);
