//! A child process that does not outlive its starter: started, signalled, waited for, reaped.
//!
//! Owns process ids and signals. On Linux the child is started through `setpriv --pdeathsig KILL` (util-linux, which every
//! Debian has): the kernel kills the server when whoever started it dies, even by `kill -9`. The same by a library needs
//! code between fork and exec, which is unsafe in Rust and forbidden here.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use crate::error::StartError;
use crate::program;

/// How often something is looked at that tells nobody when it changes.
const LOOK: Duration = Duration::from_millis(5);
/// How long an orderly end may take before it becomes a disorderly one.
const STOP: Duration = Duration::from_secs(20);
/// How much of a log is told.
const TOLD: u64 = 4_096;

/// What to start, and where.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
    pub(crate) folder: PathBuf,
    /// The user to run as, where the starter is root and the server refuses to be.
    pub(crate) user: Option<String>,
}

/// A server's process, or the place of one that is not running.
#[derive(Debug)]
pub(crate) struct Process {
    launch: Launch,
    child: Mutex<Option<Child>>,
    paused: AtomicBool,
}

impl Process {
    pub(crate) fn start(launch: Launch) -> Result<Self, StartError> {
        let process = Self { launch, child: Mutex::new(None), paused: AtomicBool::new(false) };
        process.again()?;
        Ok(process)
    }

    /// Starts the same program again, after the last one has ended.
    pub(crate) fn again(&self) -> Result<(), StartError> {
        let mut place = self.place();
        end(&mut place);
        let child = spawn(self.launch.command()?);
        self.paused.store(false, Ordering::SeqCst);
        *place = Some(child.map_err(StartError::system(format!("starting {}", self.launch.program.display())))?);
        Ok(())
    }

    pub(crate) fn id(&self) -> Option<u32> {
        self.place().as_ref().map(Child::id)
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&self) -> Option<ExitStatus> {
        self.place().as_mut().and_then(|child| child.try_wait().ok().flatten())
    }

    pub(crate) fn is_running(&self) -> bool {
        self.place().as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Kills it and waits until it is gone.
    pub(crate) fn kill9(&self) {
        end(&mut self.place());
    }

    /// Asks it to end with a signal, waits, and kills it if it does not.
    pub(crate) fn stop(&self, signal: Signal) {
        let mut place = self.place();
        if let Some(child) = place.as_mut() {
            send(child, signal);
            let begun = Instant::now();
            while matches!(child.try_wait(), Ok(None)) && begun.elapsed() < STOP {
                thread::sleep(LOOK);
            }
        }
        end(&mut place);
    }

    /// Stops it with SIGSTOP and waits until every thread of it stands still.
    pub(crate) fn pause(&self) {
        let mut place = self.place();
        let Some(child) = place.as_mut() else { return };
        self.paused.store(true, Ordering::SeqCst);
        send(child, Signal::STOP);
        let Some(id) = pid(child) else { return };
        // Only the stop is asked for, so that an end stays there for whoever reaps the child.
        let options = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
        while matches!(child.try_wait(), Ok(None)) && matches!(waitid(WaitId::Pid(id), options), Ok(None)) {
            thread::sleep(LOOK);
        }
    }

    /// Lets it go on after [`Process::pause`].
    pub(crate) fn resume(&self) {
        if let Some(child) = self.place().as_mut() {
            send(child, Signal::CONT);
        }
        self.paused.store(false, Ordering::SeqCst);
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::SeqCst)
    }

    /// The end of what it has said since it was started first.
    pub(crate) fn said(&self) -> String {
        self.launch.said()
    }

    /// Waits until `ready` says so, and no longer than `most`.
    pub(crate) fn until(
        &self,
        most: Duration,
        awaited: &str,
        mut ready: impl FnMut() -> bool,
    ) -> Result<(), StartError> {
        let program = || self.launch.program.display().to_string();
        let there = until(most, || ready() || self.ended().is_some());
        if self.ended().is_some() {
            return Err(StartError::Ended { program: program(), said: self.said() });
        }
        there.then_some(()).ok_or_else(|| StartError::Late {
            program: program(),
            awaited: awaited.into(),
            said: self.said(),
        })
    }

    fn place(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill9();
    }
}

impl Launch {
    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// The end of what was said in this folder.
    pub(crate) fn said(&self) -> String {
        tail(&self.log()).unwrap_or_else(|error| format!("nothing that could be read: {error}"))
    }

    pub(crate) fn command(&self) -> Result<Command, StartError> {
        let mut command = if cfg!(target_os = "linux") {
            let mut command = Command::new(program::find("setpriv", "util-linux")?);
            command.args(["--pdeathsig", "KILL"]);
            if let Some(user) = &self.user {
                command.args(["--reuid", user, "--regid", user, "--init-groups"]);
            }
            command.arg("--").arg(&self.program);
            command
        } else {
            Command::new(&self.program)
        };
        let log = OpenOptions::new().create(true).append(true).open(self.log());
        let log = log.map_err(StartError::system(format!("opening {}", self.log().display())))?;
        let both = log.try_clone().map_err(StartError::system("a second handle of the log"))?;
        // MariaDB removes every temporary table it finds when it starts, those of another server, too.
        command.env("TMPDIR", &self.folder);
        command.args(&self.args).current_dir(&self.folder).stdin(Stdio::null()).stdout(both).stderr(log);
        Ok(command)
    }
}

/// Looks again and again whether something is so, for servers that tell nobody; says whether it was so in time.
pub(crate) fn until(most: Duration, mut so: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    loop {
        if so() {
            return true;
        }
        if begun.elapsed() > most {
            return false;
        }
        thread::sleep(LOOK);
    }
}

/// Starts a child from a thread that lives as long as the process.
///
/// The kernel's death signal is sent when the *thread* that started the child ends, and the threads of a test harness
/// end with their test: a server that several tests share would die with the first of them.
pub(crate) fn spawn(command: Command) -> io::Result<Child> {
    type Order = (Command, mpsc::Sender<io::Result<Child>>);
    static ORDERS: OnceLock<Mutex<mpsc::Sender<Order>>> = OnceLock::new();
    let orders = ORDERS.get_or_init(|| {
        let (orders, taken) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, done) in taken {
                // Whoever ordered it waits for the answer; if they are gone, so is their child.
                if let Err(mpsc::SendError(Ok(mut child))) = done.send(command.spawn()) {
                    let _ = child.kill();
                    let _ = child.wait();
                }
            }
        });
        Mutex::new(orders)
    });
    let (done, answer) = mpsc::channel();
    let sent = orders.lock().unwrap_or_else(PoisonError::into_inner).send((command, done));
    sent.map_err(|_| io::Error::other("the thread that starts children is gone"))?;
    answer.recv().map_err(|_| io::Error::other("the thread that starts children is gone"))?
}

fn send(child: &mut Child, signal: Signal) {
    // A child that was not waited for keeps its id, so that the signal cannot reach another process.
    let running = matches!(child.try_wait(), Ok(None));
    if let (true, Some(id)) = (running, pid(child)) {
        let _ = kill_process(id, signal);
    }
}

fn pid(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

fn end(place: &mut Option<Child>) {
    if let Some(mut child) = place.take() {
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn tail(log: &Path) -> io::Result<String> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TOLD)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
