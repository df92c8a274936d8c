//! A PostgreSQL and a MariaDB start, die, come back and keep what they committed.

use flashsale_services::{MariaDb, MariaDbOptions, Postgres, PostgresOptions};

const WRITE: &str = "CREATE TABLE words (word VARCHAR(9)); INSERT INTO words VALUES ('kept')";

#[test]
fn postgres_keeps_what_it_committed_through_kill9_and_stop() {
    let postgres = Postgres::start(&PostgresOptions::default());
    let port = postgres.port();
    postgres.sql(WRITE).unwrap();
    postgres.kill9();
    assert!(!postgres.is_running());
    assert!(postgres.sql("SELECT 1").is_err());
    postgres.restart();
    assert_eq!(postgres.sql("SELECT word FROM words").unwrap(), "kept\n");
    postgres.stop();
    assert!(!postgres.is_running());
    postgres.restart();
    assert_eq!(postgres.sql("SELECT word FROM words; SHOW port").unwrap(), format!("kept\n{port}\n"));
}

#[test]
fn mariadb_keeps_what_it_committed_through_kill9_and_stop() {
    let mariadb = MariaDb::start(&MariaDbOptions::default());
    let port = mariadb.port();
    mariadb.sql(WRITE).unwrap();
    mariadb.kill9();
    assert!(!mariadb.is_running());
    assert!(mariadb.sql("SELECT 1").is_err());
    mariadb.restart();
    assert_eq!(mariadb.sql("SELECT word FROM words").unwrap(), "kept\n");
    mariadb.stop();
    assert!(!mariadb.is_running());
    mariadb.restart();
    assert_eq!(mariadb.sql("SELECT word, @@port FROM words").unwrap(), format!("kept\t{port}\n"));
}

#[test]
fn dropped_databases_leave_neither_process_nor_folder() {
    let postgres = Postgres::start(&PostgresOptions::default());
    let mariadb = MariaDb::start(&MariaDbOptions::default());
    let left = [(postgres.process_id(), postgres.dir()), (mariadb.process_id(), mariadb.dir())];
    let left = left.map(|(id, folder)| (id.unwrap(), folder.to_path_buf()));
    drop((postgres, mariadb));
    for (id, folder) in left {
        assert!(!folder.exists(), "{}", folder.display());
        assert!(!std::path::Path::new(&format!("/proc/{id}")).exists());
    }
}

/// A MariaDB that starts removes the temporary tables of its folder: were it shared, another's would go with them.
#[test]
fn mariadbs_that_start_together_have_folders_of_their_own_for_temporary_tables() {
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mariadb = MariaDb::start(&MariaDbOptions::default());
                let temporary = mariadb.sql("SELECT @@tmpdir").unwrap();
                assert_eq!(temporary.trim_end(), mariadb.dir().display().to_string());
            });
        }
    });
}
