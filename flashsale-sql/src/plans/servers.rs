//! PostgreSQL and MariaDB: no step reads more because a sale has many orders, whatever the statistics say.
//!
//! A plan is made where the tables are empty, as when a sale begins, and kept; then the tables are filled, and the rows
//! that the same statements read are counted by the server, in the same sessions and in new ones. PostgreSQL keeps a plan until statistics are gathered again, so it is asked
//! with none, with those of empty tables, and with fresh ones.

use flashsale_core::ManualClock;
use flashsale_testkit::everything::told_of;

use super::NOW;
use crate::{Backend, SqlLedger};

/// Orders of two sales, each with a line and a fact that was sent.
const ROWS: i64 = 20_000;
/// What all statements together may read of a table, or one of them of all: far more than they have to, far less than a table.
const READ_MAX: i64 = 1_200;

/// What the server knows of its tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Statistics {
    /// Nothing.
    None,
    /// That they are empty, which they are not any more.
    OfEmpty,
    /// What is true.
    Fresh,
}

/// Runs every statement on empty tables, then on filled ones; `analyze` gathers statistics, `fill` fills.
async fn run<D: Backend>(
    open: impl AsyncFn() -> SqlLedger<D>,
    statistics: Statistics,
    analyze: impl Fn(),
    fill: impl Fn(),
) {
    let ledger = open().await.with_clock(ManualClock::starting(NOW));
    if statistics == Statistics::OfEmpty {
        analyze();
    }
    told_of(&ledger, "small", "plant", "ann").await;
    fill();
    if statistics == Statistics::Fresh {
        analyze();
    }
    told_of(&ledger, "large", "weed", "bob").await;
    ledger.close().await;
    let ledger = open().await.with_clock(ManualClock::starting(NOW));
    told_of(&ledger, "huge", "reed", "cat").await;
    ledger.close().await;
}

#[cfg(feature = "postgres")]
mod postgres {
    use flashsale_services::{Postgres, PostgresOptions};

    use super::{READ_MAX, ROWS, Statistics, run};
    use crate::PostgresLedger;

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn no_step_reads_more_because_a_sale_has_many_orders() {
        // The first plan is kept at once, not the sixth; nothing gathers statistics but the test.
        let extra = [("plan_cache_mode", "force_generic_plan"), ("autovacuum", "off")];
        let extra = extra.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let server = Postgres::start(&PostgresOptions { extra, ..PostgresOptions::default() });
        let ask = |text: &str| server.sql(text).expect("an answer");
        for statistics in [Statistics::None, Statistics::OfEmpty, Statistics::Fresh] {
            let place = format!("{statistics:?}").to_lowercase();
            ask(&format!("CREATE SCHEMA \"{place}\""));
            let url = format!("{}?options[search_path]={place}", server.url());
            let fill = format!(
                "SET search_path TO \"{place}\"; \
                 INSERT INTO orders (id, sale, hash, state, ver, v, live, lines, list, discount, pays, decided_at, since, due_at) \
                 SELECT 'c' || n || '~k', CASE n % 2 WHEN 0 THEN 'large' ELSE 'huge' END, n, 'accepted', 1, 1, 1, 'hat*1', 9, 0, 9, 5, 5, 99 FROM generate_series(1, {ROWS}) n; \
                 INSERT INTO line (sale, v, order_id, item, units, live) \
                 SELECT CASE n % 2 WHEN 0 THEN 'large' ELSE 'huge' END, 1, 'c' || n || '~k', 'hat', 1, 1 FROM generate_series(1, {ROWS}) n; \
                 INSERT INTO outbox (subject, version, kind, sale, topic, at, fact, sent) \
                 SELECT 'c' || n || '~k', 1, 'order.accepted', 'large', 'orders', 9, '{{}}', 1 FROM generate_series(1, {ROWS}) n; \
                 SELECT pg_stat_reset()"
            );
            let open = async || PostgresLedger::open(&url).await.expect("a ledger");
            run(open, statistics, || drop(ask("VACUUM ANALYZE")), || drop(ask(&fill))).await;
            // A session tells what it read when it ends; the last one may still be at it.
            while ask("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'").trim() != "1" {
                tokio::task::yield_now().await;
            }
            let read = ask(&format!(
                "SELECT t.relname, t.seq_tup_read, COALESCE(SUM(i.idx_tup_read), 0)::bigint FROM pg_stat_user_tables t \
                 LEFT JOIN pg_stat_user_indexes i USING (relid) WHERE t.schemaname = '{place}' GROUP BY 1, 2"
            ));
            assert!(read.lines().any(|line| line.starts_with("orders|") && !line.ends_with("|0|0")), "{read}");
            for line in read.lines() {
                let rows: i64 = line.split('|').skip(1).map(|rows| rows.parse::<i64>().expect("a number")).sum();
                assert!(rows < READ_MAX, "{statistics:?}: {line}");
            }
        }
    }
}

#[cfg(feature = "mysql")]
mod mysql {
    use flashsale_services::{MariaDb, MariaDbOptions};

    use super::{READ_MAX, ROWS, Statistics, run};
    use crate::MySqlLedger;

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn no_step_reads_more_because_a_sale_has_many_orders() {
        let extra = [
            ("innodb_stats_auto_recalc", "0"),
            ("log_output", "TABLE"),
            ("long_query_time", "0"),
            ("slow_query_log", "1"),
        ];
        let extra = extra.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let server = MariaDb::start(&MariaDbOptions { extra, ..MariaDbOptions::default() });
        let ask = |text: &str| server.sql(text).expect("an answer");
        for statistics in [Statistics::None, Statistics::OfEmpty, Statistics::Fresh] {
            let place = format!("of_{statistics:?}").to_lowercase();
            ask(&format!("CREATE DATABASE {place}"));
            let url = server.url();
            let url = format!("{}/{place}", url.rsplit_once('/').expect("an address").0);
            let fill = format!(
                "USE {place}; \
                 INSERT INTO orders (id, sale, hash, state, ver, v, live, `lines`, list, discount, pays, decided_at, since, due_at) \
                 SELECT CONCAT('c', seq, '~k'), IF(seq % 2, 'large', 'huge'), seq, 'accepted', 1, 1, 1, 'hat*1', 9, 0, 9, 5, 5, 99 FROM seq_1_to_{ROWS}; \
                 INSERT INTO line (sale, v, order_id, item, units, live) \
                 SELECT IF(seq % 2, 'large', 'huge'), 1, CONCAT('c', seq, '~k'), 'hat', 1, 1 FROM seq_1_to_{ROWS}; \
                 INSERT INTO outbox (subject, version, kind, sale, topic, at, fact, sent) \
                 SELECT CONCAT('c', seq, '~k'), 1, 'order.accepted', 'large', 'orders', 9, '{{}}', 1 FROM seq_1_to_{ROWS}"
            );
            let open = async || MySqlLedger::open(&url).await.expect("a ledger");
            let analyze = || drop(ask(&format!("USE {place}; ANALYZE TABLE orders, line, outbox, item, sale")));
            run(open, statistics, analyze, || drop((ask(&fill), ask("TRUNCATE mysql.slow_log")))).await;
            let of_ours = "FROM mysql.slow_log WHERE db = DATABASE()";
            let count: i64 = ask(&format!("USE {place}; SELECT COUNT(*) {of_ours}")).trim().parse().expect("a number");
            assert!(count > 100, "only {count} statements were told");
            let more = format!("USE {place}; SELECT rows_examined, sql_text {of_ours} AND rows_examined > {READ_MAX}");
            assert_eq!(ask(&more), "", "{statistics:?}");
        }
    }
}
