//! SQLite, with EXPLAIN QUERY PLAN.

use flashsale_core::ManualClock;
use flashsale_testkit::everything::told_of;

use super::NOW;
use crate::SqliteLedger;

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_statement_finds_its_rows_by_a_key() {
    let place = tempfile::tempdir().unwrap();
    let ledger = SqliteLedger::open(place.path().join("ledger.db")).await.unwrap();
    let ledger = ledger.with_clock(ManualClock::starting(NOW));
    told_of(&ledger, "drop", "plant", "ann").await;
    let plans = ledger.plans().await;
    assert!(plans.len() > 60, "only {} statements were sent", plans.len());
    // What is read whole: lists of a few rows, and the front of the outbox, bounded by the limit.
    let whole = ["SELECT id FROM sale", "SELECT terms FROM campaign ORDER", "DELETE FROM outbox"];
    let tables =
        ["sale", "item", "orders", "line", "outbox", "coupon", "wallet", "payment", "dead_letter", "change", "notice"];
    for (text, plan) in &plans {
        for step in plan.iter().filter(|_| !whole.iter().any(|start| text.starts_with(start))) {
            let scanned = step.strip_prefix("SCAN ").and_then(|rest| rest.split(' ').next()).unwrap_or_default();
            // A partial index holds nothing but what is asked for.
            if step.ends_with("USING INDEX orders_stuck") || step.ends_with("USING INDEX dead_letter_open") {
                continue;
            }
            assert!(
                !tables.iter().any(|table| scanned.starts_with(table)) && scanned != "o" && scanned != "w",
                "{step}\n{text}"
            );
        }
    }
    // Where more than one key would do, it is the right one.
    for (start, key) in [
        ("SELECT b.value, o.lines FROM", "SEARCH o USING INDEX sqlite_autoindex_orders_1 (id>? AND id<?)"),
        (
            "SELECT id, hash, state, v, \"lines\" FROM orders WHERE id >",
            "SEARCH orders USING INDEX sqlite_autoindex_orders_1 (id>?)",
        ),
        ("SELECT id, hash, state, v, \"lines\" FROM orders WHERE sale", "orders_version (sale=? AND v>?)"),
        ("SELECT no, subject, version, sale, at, fact FROM outbox WHERE sent", "outbox_unsent (sent=? AND rowid>?)"),
        ("UPDATE orders", "SEARCH orders USING INDEX sqlite_autoindex_orders_1 (id=?)"),
        ("UPDATE line", "SEARCH line USING PRIMARY KEY (sale=? AND v=? AND order_id=? AND item=?)"),
    ] {
        let mut found = plans.iter().filter(|(text, _)| text.starts_with(start)).peekable();
        assert!(found.peek().is_some(), "no statement starts so: {start}");
        for (text, plan) in found {
            assert!(plan.iter().any(|step| step.contains(key)), "{plan:?}\n{text}");
        }
    }
}
