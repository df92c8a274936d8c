//! One real PostgreSQL. Owns its settings, its folder and its life.

use std::io;
use std::ops::Deref;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use rustix::process::Signal;

use crate::error::StartError;
use crate::folder::Folder;
use crate::process::Process;
use crate::program;
use crate::server::{READY, Server};

const PACKAGE: &str = "postgresql";
/// The user that the package brings.
const USER: &str = "postgres";
/// The name of the database and of its owner.
const DATABASE: &str = "flashsale";

/// Whether a commit is on the disk when it is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flush {
    /// As in production.
    #[default]
    On,
    /// Faster; a power failure, but not `kill -9`, may lose what was acknowledged.
    Off,
}

/// Says how a PostgreSQL is started.
#[derive(Debug, Clone, Default)]
pub struct PostgresOptions {
    /// Whether commits are durable.
    pub flush: Flush,
    /// Further settings, each a name and its value.
    pub extra: Vec<(String, String)>,
}

/// A running PostgreSQL with an empty database, killed when it is dropped; its folder goes with it.
#[derive(Debug)]
pub struct Postgres(Server);

impl Deref for Postgres {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

impl Postgres {
    /// Starts a PostgreSQL and waits until it answers.
    ///
    /// # Panics
    /// With what [`Postgres::try_start`] says.
    #[must_use]
    #[track_caller]
    pub fn start(options: &PostgresOptions) -> Self {
        Self::try_start(options).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Starts a PostgreSQL and waits until it answers.
    ///
    /// # Errors
    /// [`StartError::Missing`] if a program is not installed; otherwise what the system or the server said.
    pub fn try_start(options: &PostgresOptions) -> Result<Self, StartError> {
        let [initdb, server] = ["initdb", "postgres"].map(|name| program::find(name, PACKAGE));
        let (initdb, server) = (initdb?, server?);
        let folder = Folder::make("flashsale-postgres-", USER)?;
        let prepare = format!("-D data -U {DATABASE} --auth=trust --encoding=UTF8 --locale=C --no-sync");
        folder.prepare(initdb, prepare.split(' ').map(str::to_owned).collect())?;
        let launch =
            |folder: &Folder, port: u16| Ok(folder.launch(server.clone(), arguments(options, port, folder.path())));
        let postgres = Self(Server::start(folder, Signal::INT, launch, wait)?);
        let created = sql(postgres.dir(), postgres.port(), "postgres", &format!("CREATE DATABASE {DATABASE}"));
        created.map_err(StartError::system("creating the database"))?;
        Ok(postgres)
    }

    /// Gives the address of the database.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://{DATABASE}@127.0.0.1:{}/{DATABASE}", self.port())
    }

    /// Starts it again on the same port, in the same folder, and waits until it answers; kills it first if it runs.
    ///
    /// # Panics
    /// With what [`Postgres::try_restart`] says.
    #[track_caller]
    pub fn restart(&self) {
        self.try_restart().unwrap_or_else(|error| panic!("{error}"));
    }

    /// As [`Postgres::restart`].
    ///
    /// # Errors
    /// What the system or the server said.
    pub fn try_restart(&self) -> Result<(), StartError> {
        let begun = Instant::now();
        loop {
            self.process().again()?;
            match wait(self.process(), self.dir(), self.port()) {
                // The processes of the killed one have not all noticed yet.
                Err(StartError::Ended { .. }) if begun.elapsed() < READY => {}
                outcome => return outcome,
            }
        }
    }

    /// Runs statements with all rights and gives what they print, a row a line, columns parted by `|`.
    ///
    /// # Errors
    /// What the server or the system said.
    pub fn sql(&self, statements: &str) -> io::Result<String> {
        sql(self.dir(), self.port(), DATABASE, statements)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // At once, but all of its processes: those that are left would write into a folder that goes away.
        self.process().resume();
        self.process().stop(Signal::QUIT);
    }
}

fn arguments(options: &PostgresOptions, port: u16, folder: &Path) -> Vec<String> {
    let flush = if options.flush == Flush::On { "on" } else { "off" };
    let own = [
        ("listen_addresses", "127.0.0.1".to_owned()),
        ("port", port.to_string()),
        ("unix_socket_directories", folder.display().to_string()),
        ("fsync", flush.to_owned()),
    ];
    let mut arguments = vec!["-D".to_owned(), "data".to_owned()];
    let extra = options.extra.iter().map(|(name, value)| (name.as_str(), value.clone()));
    for (name, value) in own.into_iter().chain(extra) {
        arguments.extend(["-c".to_owned(), format!("{name}={value}")]);
    }
    arguments
}

fn wait(process: &Process, folder: &Path, port: u16) -> Result<(), StartError> {
    process.until(READY, "an answer to SELECT", || sql(folder, port, "postgres", "SELECT 1").is_ok())
}

/// Asks through the socket in its folder, which no other server can have.
fn sql(folder: &Path, port: u16, database: &str, statements: &str) -> io::Result<String> {
    let psql = program::find("psql", "postgresql-client").map_err(io::Error::other)?;
    let mut command = Command::new(psql);
    command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", DATABASE, "-d", database, "-c", statements]);
    let output = command.arg("-h").arg(folder).args(["-p", &port.to_string()]).output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()))
}
