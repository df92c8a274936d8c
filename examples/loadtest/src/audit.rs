//! Looks for what must not be in the rows: oversold, lost, leaked, duplicated.
//!
//! Owns the four counts and the SQL behind them. It asks neither the gate nor the server's counters, and trusts no column that
//! another one can contradict: units are counted from lines *and* from states *and* from the item's own figure.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use crate::Failure;
use crate::ledger::{HOLDS_UNITS, Ledger, OPEN, Scope};

/// Four counts that must be zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Audit {
    /// Units, or coupons of a window, beyond what there is.
    pub(crate) oversold: u64,
    /// Promises that the tool received and the rows do not keep.
    pub(crate) lost: u64,
    /// Units neither sold nor free, coupons neither used nor usable, money neither here nor there.
    pub(crate) leaked: u64,
    /// Things that are there twice, or beyond the limit of one buyer.
    pub(crate) duplicated: u64,
}

impl Audit {
    /// Whether nothing was found.
    pub(crate) fn is_clean(self) -> bool {
        self == Self::default()
    }
}

/// What the server promised by a 2xx.
#[derive(Debug, Clone, Default)]
pub(crate) struct Received {
    /// Orders, by name.
    pub(crate) orders: Vec<String>,
    /// Coupons, by name.
    pub(crate) coupons: Vec<String>,
    /// Charges and trades, by the name of their request.
    pub(crate) wallet: Vec<String>,
}

/// Audits the rows of a run, after everything has settled.
pub(crate) async fn audit(ledger: &Ledger, scope: &Scope, received: &Received) -> Result<Audit, Failure> {
    let mut found = Audit::default();
    let mut states = HashMap::new();
    for sale in ledger.sales(scope).await? {
        items(ledger, &sale, &mut found).await?;
        orders(ledger, &sale, &mut found).await?;
        for row in ledger.rows.of("SELECT id, state FROM orders WHERE sale = ?", &[&sale]).await? {
            states.insert(row.text(0)?, row.text(1)?);
        }
    }
    for campaign in &scope.campaigns {
        coupons(ledger, campaign, &mut found).await?;
    }
    wallets(ledger, scope, &mut found).await?;
    found.lost += lost(ledger, scope, received, &states).await?;
    Ok(found)
}

/// Units, counted three ways.
async fn items(ledger: &Ledger, sale: &str, found: &mut Audit) -> Result<(), Failure> {
    // By state: what the orders say. By line: what the lines say. `allocated`: what the item says.
    let sql = format!(
        "SELECT i.total, i.allocated,
                CAST(COALESCE(SUM(CASE WHEN o.state IN {HOLDS_UNITS} THEN l.units END), 0) AS BIGINT),
                CAST(COALESCE(SUM(CASE WHEN l.live = 1 THEN l.units END), 0) AS BIGINT)
         FROM item i LEFT JOIN line l ON l.item = i.id AND l.sale = i.sale LEFT JOIN orders o ON o.id = l.order_id
         WHERE i.sale = ? GROUP BY i.id, i.total, i.allocated"
    );
    for row in ledger.rows.of(&sql, &[sale]).await? {
        let (total, allocated, by_state, by_line) = (row.int(0)?, row.int(1)?, row.int(2)?, row.int(3)?);
        let most = allocated.max(by_state).max(by_line);
        let above = (most - total).max(0) + (by_state.max(by_line) - allocated).max(0);
        // What the item counts as taken and no live order has; and what no line keeps for a live order.
        let nobody = (allocated - by_state.min(by_line)).max(0) + (by_line - by_state).max(0);
        found.oversold += above.unsigned_abs();
        found.leaked += nobody.unsigned_abs();
    }
    Ok(())
}

/// Orders that are there twice, buyers beyond their limit, orders that never ended.
async fn orders(ledger: &Ledger, sale: &str, found: &mut Audit) -> Result<(), Failure> {
    let twice = beyond_one("SELECT COUNT(*) n FROM orders WHERE sale = ? GROUP BY id");
    let limit = format!(
        "SELECT CAST(COALESCE(SUM(units - buyer_limit), 0) AS BIGINT) FROM
         (SELECT i.buyer_limit, SUM(l.units) units FROM line l JOIN orders o ON o.id = l.order_id
          JOIN item i ON i.sale = l.sale AND i.id = l.item
          WHERE l.sale = ? AND o.state IN {HOLDS_UNITS} GROUP BY l.item, o.buyer, i.buyer_limit) bought
         WHERE units > buyer_limit"
    );
    let lines = beyond_one("SELECT COUNT(*) n FROM line WHERE sale = ? GROUP BY order_id, item");
    let facts = beyond_one(
        "SELECT COUNT(*) n FROM outbox x JOIN orders o ON o.id = x.subject
         WHERE o.sale = ? GROUP BY x.subject, x.version, x.kind",
    );
    for sql in [twice, limit, lines, facts] {
        found.duplicated += count(ledger, &sql, &[sale]).await?;
    }
    // Its units are allocated and will not be sold: once everything has settled nothing may be on its way.
    let open = format!(
        "SELECT CAST(COALESCE(SUM(l.units), 0) AS BIGINT) FROM line l JOIN orders o ON o.id = l.order_id
         WHERE l.sale = ? AND o.state IN {OPEN}"
    );
    found.leaked += count(ledger, &open, &[sale]).await?;
    // Promised a unit that nothing counts: the same unit can be sold again.
    let uncounted = format!(
        "SELECT COUNT(*) FROM orders WHERE sale = ? AND state IN {HOLDS_UNITS}
         AND id NOT IN (SELECT order_id FROM line WHERE sale = ?)"
    );
    found.oversold += count(ledger, &uncounted, &[sale, sale]).await?;
    Ok(())
}

/// Coupons: two to a member in a window, used twice, or marked as used by an order that has no use of it.
async fn coupons(ledger: &Ledger, campaign: &str, found: &mut Audit) -> Result<(), Failure> {
    let twice = beyond_one("SELECT COUNT(*) n FROM coupon WHERE campaign = ? GROUP BY \"window\", member");
    let used_twice = beyond_one(&format!(
        "SELECT COUNT(*) n FROM orders o JOIN coupon c ON c.id = o.coupon
         WHERE c.campaign = ? AND o.state IN {HOLDS_UNITS} GROUP BY c.id"
    ));
    found.duplicated += count(ledger, &twice, &[campaign]).await? + count(ledger, &used_twice, &[campaign]).await?;
    // A coupon that an ended order still keeps; trades stand in the wallet, not among the orders.
    let kept = "SELECT COUNT(*) FROM coupon c JOIN orders o ON o.id = c.used_by
         WHERE c.campaign = ? AND o.state IN ('cancelled', 'refused')";
    // One that an order uses and that could be used again.
    let free = format!(
        "SELECT COUNT(*) FROM orders o JOIN coupon c ON c.id = o.coupon
         WHERE c.campaign = ? AND o.state IN {HOLDS_UNITS} AND (c.used_by IS NULL OR c.used_by <> o.id)"
    );
    found.leaked += count(ledger, kept, &[campaign]).await?;
    found.duplicated += count(ledger, &free, &[campaign]).await?;
    // A window's cap is its sale's total; an issued coupon without its order, or the other way round, is one of the two.
    let rows = "SELECT COUNT(*) FROM coupon c WHERE c.campaign = ? AND NOT EXISTS
         (SELECT 1 FROM orders o WHERE o.sale = CONCAT(c.campaign, ':', c.\"window\") AND o.buyer = c.member AND o.state = 'confirmed')";
    found.oversold += count(ledger, rows, &[campaign]).await?;
    Ok(())
}

/// Money: every balance is the sum of its entries, and no request moved a wallet twice.
async fn wallets(ledger: &Ledger, scope: &Scope, found: &mut Audit) -> Result<(), Failure> {
    for member in &scope.members {
        let sum = "SELECT CAST(ABS(COALESCE((SELECT balance FROM wallet WHERE member = ?), 0)
             - COALESCE((SELECT SUM(amount) FROM wallet_entry WHERE member = ?), 0)) AS BIGINT)";
        let twice = beyond_one("SELECT COUNT(*) n FROM wallet_entry WHERE member = ? GROUP BY cause, kind");
        found.leaked += count(ledger, sum, &[member, member]).await?;
        found.duplicated += count(ledger, &twice, &[member]).await?;
    }
    Ok(())
}

/// Promises that the rows do not keep.
async fn lost(
    ledger: &Ledger,
    scope: &Scope,
    received: &Received,
    states: &HashMap<String, String>,
) -> Result<u64, Failure> {
    let kept = |id: &String| states.get(id).is_some_and(|state| state != "refused");
    let mut lost = received.orders.iter().filter(|id| !kept(id)).count();
    let mut there = HashSet::new();
    for campaign in &scope.campaigns {
        for row in ledger.rows.of("SELECT id FROM coupon WHERE campaign = ?", &[campaign]).await? {
            there.insert(row.text(0)?);
        }
    }
    lost += received.coupons.iter().filter(|id| !there.contains(*id)).count();
    for request in &received.wallet {
        let sql = "SELECT COUNT(*) FROM wallet_request WHERE id = ?";
        lost += usize::from(count(ledger, sql, &[request]).await? == 0);
    }
    Ok(lost as u64)
}

/// How many rows of groups there are beyond the first of each; `groups` counts them as `n`.
fn beyond_one(groups: &str) -> String {
    format!("SELECT CAST(COALESCE(SUM(n - 1), 0) AS BIGINT) FROM ({groups}) counted")
}

async fn count(ledger: &Ledger, sql: &str, values: &[&str]) -> Result<u64, Failure> {
    ledger.rows.one(sql, values).await?.count(0)
}

#[cfg(test)]
mod tests {
    use flashsale_services::{MariaDb, MariaDbOptions, Postgres, PostgresOptions};
    use sqlx::sqlite::{SqlitePool, SqlitePoolOptions};

    use super::*;
    use crate::rows::Rows;

    /// The columns that the audit reads, without the constraints that would keep a violation out.
    const BARE: &str = "
        CREATE TABLE sale (id TEXT);
        CREATE TABLE item (sale TEXT, id TEXT, total INTEGER, allocated INTEGER, buyer_limit INTEGER);
        CREATE TABLE orders (id TEXT, sale TEXT, buyer TEXT, state TEXT, reason TEXT, coupon TEXT);
        CREATE TABLE line (sale TEXT, item TEXT, buyer TEXT, order_id TEXT, units INTEGER, live INTEGER);
        CREATE TABLE outbox (subject TEXT, version INTEGER, kind TEXT);
        CREATE TABLE coupon (id TEXT, campaign TEXT, \"window\" TEXT, member TEXT, used_by TEXT);
        CREATE TABLE wallet (member TEXT, balance INTEGER);
        CREATE TABLE wallet_entry (member TEXT, kind TEXT, amount INTEGER, cause TEXT);
        CREATE TABLE wallet_request (id TEXT);";

    /// A clean run: three units, two sold, one given back by a declined order; two coupons, one of them used; one trade.
    const CLEAN: &str = "
        INSERT INTO sale VALUES ('s'), ('c:w'), ('other');
        INSERT INTO item VALUES ('s', 'unit', 3, 2, 1), ('c:w', 'coupon', 2, 2, 1), ('other', 'unit', 1, 9, 1);
        INSERT INTO orders VALUES
            ('a~1', 's', 'a', 'confirmed', NULL, 'c~w~a'), ('b~1', 's', 'b', 'confirmed', NULL, NULL),
            ('d~1', 's', 'd', 'cancelled', 'declined', NULL), ('e~1', 's', 'e', 'refused', 'sold_out', NULL),
            ('a~c~k', 'c:w', 'a', 'confirmed', NULL, NULL), ('b~c~k', 'c:w', 'b', 'confirmed', NULL, NULL);
        INSERT INTO line VALUES
            ('s', 'unit', 'a', 'a~1', 1, 1), ('s', 'unit', 'b', 'b~1', 1, 1), ('s', 'unit', 'd', 'd~1', 1, 0),
            ('c:w', 'coupon', 'a', 'a~c~k', 1, 1), ('c:w', 'coupon', 'b', 'b~c~k', 1, 1);
        INSERT INTO outbox VALUES ('a~1', 1, 'accepted'), ('a~1', 2, 'confirmed'), ('b~1', 1, 'accepted');
        INSERT INTO coupon VALUES ('c~w~a', 'c', 'w', 'a', 'a~1'), ('c~w~b', 'c', 'w', 'b', 'b~wallet~t');
        INSERT INTO wallet VALUES ('b', 3000), ('seller', 10000);
        INSERT INTO wallet_entry VALUES ('b', 'charged', 10000, 'b~wallet~c'), ('b', 'paid', -7000, 'b~wallet~t'),
            ('seller', 'received', 10000, 'b~wallet~t');
        INSERT INTO wallet_request VALUES ('b~wallet~c'), ('b~wallet~t');";

    async fn memory() -> SqlitePool {
        SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await.unwrap()
    }

    async fn run(pool: &SqlitePool, sql: &'static str) {
        sqlx::raw_sql(sql).execute(pool).await.unwrap();
    }

    fn scope() -> Scope {
        Scope { sales: vec!["s".into()], campaigns: vec!["c".into()], members: vec!["b".into(), "seller".into()] }
    }

    fn received() -> Received {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Received {
            orders: owned(&["a~1", "b~1", "d~1"]),
            coupons: owned(&["c~w~a", "c~w~b"]),
            wallet: owned(&["b~wallet~c", "b~wallet~t"]),
        }
    }

    async fn found(planted: &'static str) -> Audit {
        let pool = memory().await;
        run(&pool, BARE).await;
        run(&pool, CLEAN).await;
        run(&pool, planted).await;
        audit(&Ledger { rows: Rows::Sqlite(pool) }, &scope(), &received()).await.unwrap()
    }

    #[tokio::test]
    async fn a_clean_run_is_clean_whatever_stands_beside_it() {
        assert_eq!(found("").await, Audit::default());
    }

    const OVERSOLD: [(&str, u64); 6] = [
        ("UPDATE item SET total = 1 WHERE sale = 's'", 1),
        // Sold to two, counted as one: by lines, by states, by both.
        ("UPDATE item SET allocated = 1 WHERE sale = 's'", 1),
        ("UPDATE item SET total = 1, allocated = 1 WHERE sale = 's'", 2),
        ("UPDATE item SET total = 1 WHERE sale = 'c:w'", 1),
        // Sold, and counted nowhere.
        ("DELETE FROM line WHERE order_id = 'b~1'; UPDATE item SET allocated = 1 WHERE sale = 's'", 1),
        // A coupon that no order of its window stands for.
        ("INSERT INTO coupon VALUES ('c~w~z', 'c', 'w', 'z', NULL)", 1),
    ];

    #[tokio::test]
    async fn what_is_oversold_is_found() {
        for (planted, units) in OVERSOLD {
            assert_eq!(found(planted).await, Audit { oversold: units, ..Audit::default() }, "{planted}");
        }
    }

    const LOST: [&str; 3] = [
        "DELETE FROM orders WHERE id = 'd~1'",
        "UPDATE orders SET state = 'refused' WHERE id = 'd~1'",
        "DELETE FROM wallet_request WHERE id = 'b~wallet~t'",
    ];

    #[tokio::test]
    async fn what_is_lost_is_found() {
        for planted in LOST {
            assert_eq!(found(planted).await, Audit { lost: 1, ..Audit::default() }, "{planted}");
        }
        assert_eq!(found("DELETE FROM coupon WHERE member = 'b'").await.lost, 1);
    }

    const LEAKED: [(&str, u64); 6] = [
        // Counted as taken, and nobody has it.
        ("UPDATE item SET allocated = 3 WHERE sale = 's'", 1),
        // Never ended: its unit is neither sold nor free.
        ("UPDATE orders SET state = 'paying' WHERE id = 'b~1'", 1),
        // Ended, and the item still counts it.
        ("UPDATE line SET live = 0 WHERE order_id = 'b~1'; UPDATE orders SET state = 'cancelled' WHERE id = 'b~1'", 1),
        // Undone, and the coupon is still used.
        ("UPDATE coupon SET used_by = 'd~1' WHERE member = 'b'", 1),
        // Ten that came from nowhere.
        ("UPDATE wallet SET balance = 10010 WHERE member = 'seller'", 10),
        ("DELETE FROM wallet WHERE member = 'b'", 3_000),
    ];

    #[tokio::test]
    async fn what_has_leaked_is_found() {
        for (planted, leaked) in LEAKED {
            assert_eq!(found(planted).await, Audit { leaked, ..Audit::default() }, "{planted}");
        }
    }

    // A live order whose line is dead, and a dead order whose line is live: the item agrees with one of the two.
    const DISAGREE: [&str; 3] = [
        "UPDATE line SET live = 0 WHERE order_id = 'b~1'",
        "UPDATE line SET live = 1 WHERE order_id = 'd~1'",
        "UPDATE orders SET state = 'cancelled' WHERE id = 'b~1'",
    ];

    #[tokio::test]
    async fn lines_and_states_that_disagree_are_found() {
        for planted in DISAGREE {
            assert!(!found(planted).await.is_clean(), "{planted}");
        }
    }

    const TWICE: [&str; 7] = [
        "INSERT INTO orders VALUES ('e~1', 's', 'e', 'refused', 'sold_out', NULL)",
        "INSERT INTO outbox VALUES ('a~1', 2, 'confirmed')",
        "INSERT INTO coupon VALUES ('c~w~a', 'c', 'w', 'a', NULL)",
        // A second unit for one buyer; a second order on one coupon; one that an order uses and that is free again.
        "UPDATE orders SET buyer = 'a' WHERE id = 'b~1'",
        "UPDATE orders SET coupon = 'c~w~a' WHERE id = 'b~1'",
        "UPDATE coupon SET used_by = NULL WHERE member = 'a'",
        "INSERT INTO wallet_entry VALUES ('seller', 'received', 0, 'b~wallet~t')",
    ];

    #[tokio::test]
    async fn what_is_there_twice_is_found() {
        for planted in TWICE {
            let audit = found(planted).await;
            assert!(audit.duplicated >= 1 && audit.lost == 0, "{planted}: {audit:?}");
        }
    }

    #[tokio::test]
    async fn the_audit_finds_the_same_on_every_database() {
        let (postgres, mariadb) =
            (Postgres::start(&PostgresOptions::default()), MariaDb::start(&MariaDbOptions::default()));
        // With columns as the ledger's: ids are bytes on MariaDB.
        let on_mariadb = |text: &str| text.replace('"', "`").replace("TEXT", "VARBINARY(255)");
        let pairs = OVERSOLD.iter().chain(&LEAKED).map(|(planted, _)| *planted);
        for planted in pairs.chain(LOST).chain(DISAGREE).chain(TWICE).chain([""]) {
            let expected = found(planted).await;
            let all = format!("{BARE}{CLEAN}{planted}");
            postgres.sql(&format!("DROP SCHEMA public CASCADE; CREATE SCHEMA public; {all}")).unwrap();
            let fresh = "DROP DATABASE flashsale; CREATE DATABASE flashsale; USE flashsale;";
            mariadb.sql(&on_mariadb(&format!("{fresh}{all}"))).unwrap();
            for url in [postgres.url(), mariadb.url()] {
                let ledger = Ledger::open(&url).await.unwrap();
                assert_eq!(audit(&ledger, &scope(), &received()).await.unwrap(), expected, "{url}: {planted}");
            }
        }
    }

    #[tokio::test]
    async fn the_audit_fits_the_published_schema() {
        let pool = memory().await;
        run(&pool, include_str!("../../../flashsale-sql/migrations/sqlite/0001_ledger.sql")).await;
        run(
            &pool,
            "INSERT INTO sale (id, state, opens_at, closes_at, hold_ms, pay_within_ms, v, tag, terms)
                 VALUES ('s', 'open', 0, 1, 1, 1, 1, 1, '{}');
             INSERT INTO item (sale, id, total, allocated, price, buyer_limit) VALUES ('s', 'unit', 3, 2, 5, 1);
             INSERT INTO orders (id, sale, hash, state, ver, v, live, lines, list, discount, pays, decided_at, since)
                 VALUES ('a~1', 's', 0, 'confirmed', 1, 1, 1, 'unit*1', 5, 0, 5, 0, 0);",
        )
        .await;
        let ledger = Ledger { rows: Rows::Sqlite(pool) };
        let scope = Scope { sales: vec!["s".into()], ..scope() };
        let received = Received { orders: vec!["a~1".into(), "b~1".into()], ..Received::default() };
        let audit = audit(&ledger, &scope, &received).await.unwrap();
        assert_eq!(audit, Audit { oversold: 1, leaked: 2, lost: 1, duplicated: 0 }, "two allocated, no line");
        assert_eq!(ledger.ended("s").await.unwrap().confirmed, 1);
        assert_eq!(ledger.free_and_open("s").await.unwrap(), (1, 0));
        assert_eq!(ledger.coupons("c").await.unwrap(), []);
    }
}
