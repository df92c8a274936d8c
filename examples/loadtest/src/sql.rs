//! The database of a run: a file, a server of its own on a free port, or one that runs already.
//!
//! Owns starting and killing it, and what a server is told of it. What is read from it is [`ledger`](crate::ledger)'s.

use std::path::Path;
use std::sync::Arc;

use clap::ValueEnum;
use flashsale_services::{MariaDb, MariaDbOptions, Postgres, PostgresOptions};

use crate::Failure;
use crate::redis::aside;

/// What a database of the run's own is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// A file of SQLite in the run's directory
    Sqlite,
    /// A PostgreSQL (`postgresql` must be installed)
    Postgres,
    /// A MariaDB (`mariadb-server` must be installed)
    Mariadb,
}

/// Where the ledger of a run is kept.
#[derive(Debug, Clone)]
pub(crate) enum Database {
    /// A file, by its URL.
    File(String),
    /// A PostgreSQL of the run's own. It is killed when the last clone is dropped.
    Postgres(Arc<Postgres>),
    /// A MariaDB of the run's own, likewise.
    MariaDb(Arc<MariaDb>),
    /// One that runs already.
    Given(String),
}

impl Database {
    /// Makes an empty one, with its own durable settings; a file, in this directory.
    ///
    /// # Errors
    /// [`Failure::Start`] if it is not installed, with the command that installs it, or does not start.
    pub(crate) async fn own(kind: Kind, directory: &Path) -> Result<Self, Failure> {
        Ok(match kind {
            Kind::Sqlite => Self::File(format!("sqlite://{}", directory.join("flashsale.db").display())),
            Kind::Postgres => {
                Self::Postgres(Arc::new(aside(|| Postgres::try_start(&PostgresOptions::default())).await?))
            }
            Kind::Mariadb => Self::MariaDb(Arc::new(aside(|| MariaDb::try_start(&MariaDbOptions::default())).await?)),
        })
    }

    /// Its address, with its password.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::File(url) | Self::Given(url) => url.clone(),
            Self::Postgres(postgres) => postgres.url(),
            Self::MariaDb(mariadb) => mariadb.url(),
        }
    }

    /// What a server is told, as a variable of its environment: no list of processes shows a password.
    pub(crate) fn variable(&self) -> (&'static str, String) {
        ("FLASHSALE_SQL__URL", self.url())
    }

    /// Kills a server of our own as a crash would, and starts it again on the same port and files.
    ///
    /// # Errors
    /// [`Failure::Start`] if it does not come back; [`Failure::Usage`] for a file, and for one that is not our own.
    pub(crate) async fn kill_and_restart(&self) -> Result<(), Failure> {
        match self.clone() {
            Self::Postgres(postgres) => {
                aside(move || {
                    postgres.kill9();
                    postgres.try_restart()
                })
                .await
            }
            Self::MariaDb(mariadb) => {
                aside(move || {
                    mariadb.kill9();
                    mariadb.try_restart()
                })
                .await
            }
            Self::File(_) | Self::Given(_) => {
                Err(Failure::Usage("only a database server of the run's own is killed".into()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_database_of_our_own_comes_back_on_its_port_with_its_rows_and_goes_with_the_run() {
        let nowhere = Path::new("/nowhere");
        for kind in [Kind::Postgres, Kind::Mariadb] {
            let database = Database::own(kind, nowhere).await.unwrap();
            let url = database.url();
            database.kill_and_restart().await.unwrap();
            assert_eq!(database.url(), url);
            let (folder, running) = match &database {
                Database::Postgres(postgres) => (postgres.dir().to_owned(), postgres.is_running()),
                Database::MariaDb(mariadb) => (mariadb.dir().to_owned(), mariadb.is_running()),
                other => panic!("{other:?}"),
            };
            assert!(running, "{kind:?}");
            drop(database);
            assert!(!folder.exists(), "{kind:?}");
        }
    }

    #[tokio::test]
    async fn a_database_of_somebody_else_is_not_killed() {
        let file = Database::own(Kind::Sqlite, Path::new("/run")).await.unwrap();
        assert_eq!(file.variable(), ("FLASHSALE_SQL__URL", "sqlite:///run/flashsale.db".to_owned()));
        for database in [file, Database::Given("postgres://127.0.0.1:1/shop".into())] {
            assert!(matches!(database.kill_and_restart().await, Err(Failure::Usage(_))));
        }
    }
}
