//! The schema on each database: rows outlive its steps, another tool can run them, half of it and too new a one are noticed, and nodes
//! that start together do not run into each other.

#![cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]

mod audit;
mod servers;

use flashsale_core::error::ErrorKind;
use flashsale_core::order::OrderLedger;
use flashsale_core::stock::StockLedger;
use flashsale_core::{ManualClock, Timestamp};
use flashsale_sql::{Migration, SqlLedger};
use flashsale_testkit::{everything, sample};
use servers::{Database, count};

/// A step after the newest of ours.
fn later<S: Later>() -> Migration {
    Migration { version: 1_000, name: "later", text: S::LATER }
}

/// Our steps and a later one.
fn with_later<S: Later>() -> Vec<Migration> {
    [SqlLedger::<S::Db>::migrations(), &[later::<S>()]].concat()
}

trait Later: Database {
    const LATER: &'static str;
    /// Whether a step is all or nothing.
    const ATOMIC: bool;
    /// Whether an index is named with its table.
    const DROPS_INDEX_OF_TABLE: bool = false;
}

#[cfg(feature = "sqlite")]
impl Later for servers::Sqlite {
    const LATER: &'static str = include_str!("later/sqlite.sql");
    const ATOMIC: bool = true;
}

#[cfg(feature = "postgres")]
impl Later for flashsale_services::Postgres {
    const LATER: &'static str = include_str!("later/postgres.sql");
    const ATOMIC: bool = true;
}

#[cfg(feature = "mysql")]
impl Later for flashsale_services::MariaDb {
    const LATER: &'static str = include_str!("later/mysql.sql");
    const ATOMIC: bool = false;
    const DROPS_INDEX_OF_TABLE: bool = true;
}

/// A ledger over an embedder's pool, at the place, without a schema.
async fn bare<S: Later>(url: &str) -> SqlLedger<S::Db> {
    let ledger = SqlLedger::<S::Db>::new(S::pool(url.to_owned()).await);
    ledger.with_clock(ManualClock::starting(Timestamp::from_ms(5)))
}

/// The tables that the steps make.
fn tables<S: Later>() -> Vec<String> {
    let statements = SqlLedger::<S::Db>::migrations().iter().flat_map(Migration::statements);
    let name = |statement: &str| {
        let (_, after) = statement.split_once("CREATE TABLE ")?;
        Some(after.split_whitespace().next()?.to_owned())
    };
    statements.filter_map(name).collect()
}

async fn rows_of_every_table_outlive_a_later_step<S: Later>() {
    assert_eq!(SqlLedger::<S::Db>::migrations().len(), BACK.len() + 1, "rows of each older version are brought on");
    let url = S::shared().place();
    let ledger = bare::<S>(&url).await;
    ledger.migrate().await.unwrap();
    everything::told(&ledger).await;
    let tables = tables::<S>();
    assert!(tables.len() >= 15, "{tables:?}");
    let counts = || -> Vec<i64> {
        let rows = |table: &String| count(S::shared(), &url, &format!("SELECT COUNT(*) FROM {table}"));
        tables.iter().filter(|table| *table != "flashsale_schema").map(rows).collect()
    };
    let (rows, before) = (counts(), everything::read(&ledger).await);
    assert!(rows.iter().all(|rows| *rows > 0), "no rows in one of {tables:?}: {rows:?}");
    for _ in 0..2 {
        ledger.migrate_along(&with_later::<S>()).await.unwrap();
        assert_eq!(counts(), rows);
        assert_eq!(everything::read(&ledger).await, before);
    }
    assert_eq!(
        count(S::shared(), &url, "SELECT SUM(units) FROM later"),
        count(S::shared(), &url, "SELECT SUM(units) FROM line")
    );
    assert!(count(S::shared(), &url, "SELECT COUNT(*) FROM orders WHERE channel = 'till'") > 0);
    // And it goes on.
    let sale = sample::sale_id("drop");
    let hats = [sample::accept("later~k", &[("hat", 1)])];
    let hold = ledger.totals(&sale).await.unwrap().unwrap();
    let held = hats.map(|order| sample::held(hold.epoch.0, 9, order));
    assert!(ledger.accept(&sale, &held).await.unwrap().update.is_some());
    ledger.close().await;
}

/// What takes each step from the second on back again, as far as nothing was told of it: then rows are those that it found.
const BACK: [&[&str]; 3] = [
    &["DROP TABLE notice"],
    &["DROP TABLE waitlist", "DROP INDEX item_waiting", "ALTER TABLE item DROP COLUMN wished"],
    &["DROP TABLE payment_line", "ALTER TABLE sale DROP COLUMN issued", "ALTER TABLE orders DROP COLUMN pay_no"],
];

/// A ledger of an older schema with rows in every table that it had, and what it answers.
async fn older<S: Later>(url: &str, version: usize) -> String {
    let ledger = bare::<S>(url).await;
    ledger.migrate().await.unwrap();
    everything::told_before_wishes(&ledger, "drop", "plant", "ann").await;
    if version >= 2 {
        everything::noticed(&ledger, "ann").await;
    }
    if version >= 3 {
        everything::wished(&ledger, "line", "ann").await;
    }
    let answers = everything::read_before_numbers(&ledger).await;
    ledger.close().await;
    for made in (version + 1..=BACK.len() + 1).rev() {
        for statement in BACK[made - 2] {
            let on = if S::DROPS_INDEX_OF_TABLE && statement.starts_with("DROP INDEX") { " ON item" } else { "" };
            S::shared().ask(url, &format!("{statement}{on}"));
        }
        S::shared().ask(url, &format!("DELETE FROM flashsale_schema WHERE version = {made}"));
    }
    answers
}

async fn rows_of_each_older_schema_are_brought_on<S: Later>() {
    for version in 1..=BACK.len() {
        let url = S::shared().place();
        let before = older::<S>(&url, version).await;
        let ledger = bare::<S>(&url).await;
        let rows = || {
            let tables = ["orders", "line", "outbox", "coupon", "item", "payment", "dead_letter"];
            tables.map(|table| count(S::shared(), &url, &format!("SELECT COUNT(*) FROM {table}")))
        };
        let counts = rows();
        assert!(counts.iter().all(|rows| *rows > 0), "{counts:?}");
        let error = ledger.check_migrations().await.unwrap_err();
        assert!(error.to_string().contains(&format!("files from {} on", version + 1)), "{error}");
        for _ in 0..2 {
            ledger.migrate().await.unwrap();
            assert_eq!(rows(), counts);
            assert_eq!(everything::read_before_numbers(&ledger).await, before, "of version {version}");
        }
        audit::audit(S::shared(), &url);
        // And what is new works on what is old.
        everything::told_of(&ledger, "new", "tree", "bob").await;
        audit::audit(S::shared(), &url);
        let order = ledger.load(&["ann~1".parse().unwrap(), "bob~1".parse().unwrap()]).await.unwrap().0;
        let numbers: Vec<_> = order.iter().flatten().map(|order| order.pay_no).collect();
        assert_eq!(numbers, [None, Some(1)]);
        ledger.close().await;
    }
}

async fn a_schema_of_a_later_program_is_refused_with_advice<S: Later>() {
    let url = S::shared().place();
    let ledger = bare::<S>(&url).await;
    ledger.migrate_along(&with_later::<S>()).await.unwrap();
    for error in [ledger.migrate().await.unwrap_err(), ledger.check_migrations().await.unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
        let told = error.to_string();
        assert!(told.contains("version 1000") && told.contains("knows 4") && told.contains("put back"), "{told}");
    }
    ledger.close().await;
}

async fn the_steps_can_be_run_by_another_tool_one_by_one<S: Later>() {
    let url = S::shared().place();
    let ledger = bare::<S>(&url).await;
    let error = ledger.check_migrations().await.unwrap_err();
    assert!(error.kind() == ErrorKind::Misconfigured && error.to_string().contains("migrate"), "{error}");
    for statement in SqlLedger::<S::Db>::migrations().iter().flat_map(Migration::statements) {
        S::shared().ask(&url, statement);
    }
    ledger.check_migrations().await.unwrap();
    // What is there is not run again.
    ledger.migrate().await.unwrap();
    everything::told(&ledger).await;
    // And the next step by us.
    ledger.migrate_along(&with_later::<S>()).await.unwrap();
    ledger.close().await;
}

async fn a_step_that_did_not_come_to_its_end_is_noticed<S: Later>() {
    for missing in [1, 5, 10, 25, 35] {
        let url = S::shared().place();
        let ledger = bare::<S>(&url).await;
        let statements: Vec<&str> = SqlLedger::<S::Db>::migrations().iter().flat_map(Migration::statements).collect();
        let (run, left) = statements.split_at(statements.len() - missing);
        for statement in run {
            S::shared().ask(&url, statement);
        }
        for error in [ledger.migrate().await.unwrap_err(), ledger.check_migrations().await.unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
            assert!(error.to_string().contains("did not come to its end"), "{error}");
        }
        // As the advice says.
        for statement in left {
            S::shared().ask(&url, statement);
        }
        ledger.check_migrations().await.unwrap();
        ledger.close().await;
    }
}

async fn a_step_that_fails_leaves_the_rows_and_the_version_before_it<S: Later>() {
    let url = S::shared().place();
    let ledger = bare::<S>(&url).await;
    ledger.migrate().await.unwrap();
    everything::told(&ledger).await;
    let before = everything::read(&ledger).await;
    let broken = Box::leak(S::LATER.replace("FROM line GROUP", "FROM nowhere GROUP").into_boxed_str());
    let steps = [SqlLedger::<S::Db>::migrations(), &[Migration { text: broken, ..later::<S>() }]].concat();
    let error = ledger.migrate_along(&steps).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
    assert!(error.to_string().contains("step 1000 of the schema (later) at INSERT INTO later"), "{error}");
    assert_eq!(everything::read(&ledger).await, before);
    let again = ledger.migrate_along(&with_later::<S>()).await;
    if S::ATOMIC {
        again.unwrap();
    } else {
        assert!(again.unwrap_err().to_string().contains("step 1000 of the schema was begun"));
    }
    assert_eq!(everything::read(&ledger).await, before);
    ledger.close().await;
}

async fn nodes_that_start_together_make_one_schema<S: Later>() {
    for _ in 0..5 {
        let url = S::shared().place();
        let nodes: Vec<_> = (0..6).map(|_| tokio::spawn(S::open(url.clone()))).collect();
        for node in nodes {
            let ledger = node.await.unwrap();
            ledger.check_migrations().await.unwrap();
            ledger.close().await;
        }
        let steps = i64::try_from(SqlLedger::<S::Db>::migrations().len()).unwrap();
        assert_eq!(count(S::shared(), &url, "SELECT COUNT(*) FROM flashsale_schema WHERE done = 1"), steps);
    }
}

servers::rules!(
    [
        rows_of_every_table_outlive_a_later_step,
        rows_of_each_older_schema_are_brought_on,
        a_schema_of_a_later_program_is_refused_with_advice,
        the_steps_can_be_run_by_another_tool_one_by_one,
        a_step_that_did_not_come_to_its_end_is_noticed,
        a_step_that_fails_leaves_the_rows_and_the_version_before_it,
        nodes_that_start_together_make_one_schema,
    ] on
    sqlite: crate::servers::Sqlite, "sqlite";
    postgres: flashsale_services::Postgres, "postgres";
    mariadb: flashsale_services::MariaDb, "mysql";
);

/// Every file of the folders is a step, numbered on from 1, that says when it begins and when it is done.
#[test]
fn every_file_is_a_step_that_says_when_it_is_done() {
    fn of(folder: &str, steps: &[Migration]) {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(folder);
        let mut files: Vec<String> =
            std::fs::read_dir(path).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        files.sort();
        let named: Vec<String> = steps.iter().map(|step| format!("{:04}_{}.sql", step.version, step.name)).collect();
        assert_eq!(files, named);
        for (step, version) in steps.iter().zip(1..) {
            assert_eq!(step.version, version);
            let statements = step.statements();
            let begins = format!("INSERT INTO flashsale_schema (version, done) VALUES ({version}, 0)");
            let ends = format!("UPDATE flashsale_schema SET done = 1 WHERE version = {version}");
            assert!(statements.iter().take(2).any(|statement| statement.ends_with(&begins)), "{folder} {version}");
            assert_eq!(statements.last(), Some(&&*ends));
        }
    }
    #[cfg(feature = "sqlite")]
    of("sqlite", flashsale_sql::SqliteLedger::migrations());
    #[cfg(feature = "postgres")]
    of("postgres", flashsale_sql::PostgresLedger::migrations());
    #[cfg(feature = "mysql")]
    of("mysql", flashsale_sql::MySqlLedger::migrations());
}

/// What another process is told: the file to open.
#[cfg(feature = "sqlite")]
const FILE: &str = "FLASHSALE_TEST_OPENS";

/// Is nothing but the other process of the test below.
#[cfg(feature = "sqlite")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_opens_what_it_is_told() {
    if let Ok(file) = std::env::var(FILE) {
        let ledger = flashsale_sql::SqliteLedger::open(file).await.unwrap();
        ledger.check_migrations().await.unwrap();
    }
}

#[cfg(feature = "sqlite")]
#[test]
fn processes_that_open_one_new_file_together_all_do() {
    let this = std::env::current_exe().unwrap();
    for _ in 0..15 {
        let file = servers::Sqlite::shared().place();
        let open = || {
            let mut process = std::process::Command::new(&this);
            process.args(["--exact", "another_process_opens_what_it_is_told"]).env(FILE, &file);
            process.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
        };
        let processes: Vec<_> = (0..4).map(|_| open()).collect();
        for process in processes {
            let ended = process.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&ended.stdout).into_owned();
            assert!(ended.status.success() && said.contains("1 passed"), "{said}");
        }
        assert_eq!(count(servers::Sqlite::shared(), &file, "SELECT COUNT(*) FROM flashsale_schema WHERE done = 1"), 4);
    }
}
