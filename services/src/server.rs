//! What servers of databases have in common: a port that stays the same, a folder, and a life that tests cut short.
//!
//! Does not own what is particular to one: how it is prepared, started and asked is in the file of its name.

use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use crate::error::StartError;
use crate::folder::Folder;
use crate::port;
use crate::process::{Launch, Process};

/// How long a server may take to recover and answer, on a busy machine.
pub(crate) const READY: Duration = Duration::from_secs(60);
/// How often another port is tried when one was taken between choosing and binding.
const PORTS: usize = 8;

/// The life of one server, the same for every database.
#[derive(Debug)]
pub struct Server {
    port: u16,
    // Before the folder: fields are dropped in this order.
    process: Process,
    folder: Folder,
    /// How it is asked to end without waiting for its clients.
    end: Signal,
}

impl Server {
    /// Starts a server on a free port and waits until it answers: `launch` says how, `ready` waits.
    pub(crate) fn start(
        folder: Folder,
        end: Signal,
        launch: impl Fn(&Folder, u16) -> Result<Launch, StartError>,
        ready: impl Fn(&Process, &Path, u16) -> Result<(), StartError>,
    ) -> Result<Self, StartError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let port = port::free();
            let process = Process::start(launch(&folder, port)?)?;
            match ready(&process, folder.path(), port) {
                Ok(()) => return Ok(Self { port, process, folder, end }),
                Err(StartError::Ended { said, .. }) if said.contains("Address already in use") && tries < PORTS => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    /// Gives its port on loopback, the same after a restart.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Gives its folder, where its data and its log are.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.folder.path()
    }

    /// Gives the id of its first process, if it was not killed or stopped.
    #[must_use]
    pub fn process_id(&self) -> Option<u32> {
        self.process.id()
    }

    /// Says whether its first process runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.process.is_running()
    }

    /// Kills its first process and waits until it is gone; others, where it has any, end when they notice.
    pub fn kill9(&self) {
        self.process.kill9();
    }

    /// Stops its first process with SIGSTOP while its connections stay open, and waits until it does nothing. Processes of PostgreSQL that
    /// serve open connections go on.
    pub fn pause(&self) {
        self.process.pause();
    }

    /// Lets it go on after [`Server::pause`].
    pub fn resume(&self) {
        self.process.resume();
    }

    /// Lets it end in order, without waiting for its clients, and waits until it is gone.
    pub fn stop(&self) {
        self.process.resume();
        self.process.stop(self.end);
    }
}
