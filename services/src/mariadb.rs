//! One real MariaDB. Owns its settings, its folder and its life.

use std::fmt::Write as _;
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

use crate::error::StartError;
use crate::folder::Folder;
use crate::postgres::Flush;
use crate::process::Process;
use crate::program;
use crate::server::{READY, Server};

const PACKAGE: &str = "mariadb-server";
/// The user that the package brings.
const USER: &str = "mysql";
/// The name of the database and of its owner.
const DATABASE: &str = "flashsale";

/// Says how a MariaDB is started.
#[derive(Debug, Clone, Default)]
pub struct MariaDbOptions {
    /// Whether commits are durable.
    pub flush: Flush,
    /// Further settings, each a name and its value.
    pub extra: Vec<(String, String)>,
}

/// A running MariaDB with an empty database, killed when it is dropped; its folder goes with it.
#[derive(Debug)]
pub struct MariaDb(Server);

impl Deref for MariaDb {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

impl MariaDb {
    /// Starts a MariaDB and waits until it answers.
    ///
    /// # Panics
    /// With what [`MariaDb::try_start`] says.
    #[must_use]
    #[track_caller]
    pub fn start(options: &MariaDbOptions) -> Self {
        Self::try_start(options).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Starts a MariaDB and waits until it answers.
    ///
    /// # Errors
    /// [`StartError::Missing`] if a program is not installed; otherwise what the system or the server said.
    pub fn try_start(options: &MariaDbOptions) -> Result<Self, StartError> {
        let [install, server] = ["mariadb-install-db", "mariadbd"].map(|name| program::find(name, PACKAGE));
        let (install, server) = (install?, server?);
        let folder = Folder::make("flashsale-mariadb-", USER)?;
        let data = format!("--datadir={}", folder.path().join("data").display());
        let plain =
            ["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"];
        folder.prepare(install, plain.map(str::to_owned).into_iter().chain([data]).collect())?;
        let first = format!(
            "CREATE DATABASE IF NOT EXISTS {DATABASE};\nCREATE USER IF NOT EXISTS '{DATABASE}'@'%';\n\
             GRANT ALL ON *.* TO '{DATABASE}'@'%' WITH GRANT OPTION;\n"
        );
        let dir = folder.path().to_path_buf();
        let write = |name: &str, text: &str| {
            std::fs::write(dir.join(name), text).map_err(StartError::system("MariaDB's settings"))
        };
        write("first.sql", &first)?;
        let launch = |folder: &Folder, port: u16| {
            write("my.cnf", &settings(options, port, folder.path()))?;
            let arguments = vec![format!("--defaults-file={}", folder.path().join("my.cnf").display())];
            Ok(folder.launch(server.clone(), arguments))
        };
        let ready = |process: &Process, folder: &Path, _| wait(process, folder);
        Server::start(folder, Signal::TERM, launch, ready).map(Self)
    }

    /// Gives the address of the database.
    #[must_use]
    pub fn url(&self) -> String {
        format!("mysql://{DATABASE}@127.0.0.1:{}/{DATABASE}", self.port())
    }

    /// Starts it again on the same port, in the same folder, and waits until it answers; kills it first if it runs.
    ///
    /// # Panics
    /// With what [`MariaDb::try_restart`] says.
    #[track_caller]
    pub fn restart(&self) {
        self.try_restart().unwrap_or_else(|error| panic!("{error}"));
    }

    /// As [`MariaDb::restart`].
    ///
    /// # Errors
    /// What the system or the server said.
    pub fn try_restart(&self) -> Result<(), StartError> {
        self.process().again()?;
        wait(self.process(), self.dir())
    }

    /// Runs statements with all rights and gives what they print, a row a line, columns parted by tabs.
    ///
    /// # Errors
    /// What the server or the system said.
    pub fn sql(&self, statements: &str) -> io::Result<String> {
        sql(self.dir(), statements)
    }
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("socket")
}

fn settings(options: &MariaDbOptions, port: u16, folder: &Path) -> String {
    let at_commit = if options.flush == Flush::On { 1 } else { 0 };
    let mut text = format!(
        "[mariadbd]\ndatadir={0}/data\nsocket={1}\npid-file={0}/pid\ninit-file={0}/first.sql\nport={port}\n\
         bind-address=127.0.0.1\nskip-name-resolve\ninnodb_flush_log_at_trx_commit={at_commit}\n",
        folder.display(),
        socket(folder).display(),
    );
    for (name, value) in &options.extra {
        let _ = writeln!(text, "{name}={value}");
    }
    text
}

fn wait(process: &Process, folder: &Path) -> Result<(), StartError> {
    process.until(READY, "an answer to SELECT", || sql(folder, "SELECT 1").is_ok())
}

/// Asks through the socket in its folder, which no other server can have.
fn sql(folder: &Path, statements: &str) -> io::Result<String> {
    let client = program::find("mariadb", "mariadb-client").map_err(io::Error::other)?;
    let mut command = Command::new(client);
    command.arg("--no-defaults").arg(format!("--socket={}", socket(folder).display()));
    let output = command.args(["-u", DATABASE, "-N", "-B", "-e", statements, DATABASE]).output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()))
}
