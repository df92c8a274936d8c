//! Servers as separate processes: built or found, started on free ports over one gate and ledger, stopped by their ids.
//!
//! Owns the processes and their directory, and that none of it outlives the run, whatever ends it. Does not talk HTTP.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use crate::Failure;
use crate::kafka::Bus;
use crate::kill::Victim;
use crate::redis::Gate;
use crate::scenario::Stage;
use crate::sql::Database;

/// How long the server may take to listen.
const START: Duration = Duration::from_secs(30);

/// What the simulated payment does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rates {
    /// The chance that a payment is declined.
    pub(crate) decline: f64,
    /// The chance that a buyer leaves the payment page.
    pub(crate) leave: f64,
}

impl Rates {
    /// Everybody pays.
    pub(crate) const NONE: Self = Self { decline: 0.0, leave: 0.0 };
}

/// For what orders and claims wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Intake {
    /// The ledger: the first answer counts
    Ledger,
    /// The log: what is recorded is looked at until it is decided
    Log,
}

/// A directory that goes when it is dropped.
#[derive(Debug)]
pub(crate) struct Directory(PathBuf);

impl Directory {
    /// A new one among the machine's temporary files.
    pub(crate) fn create() -> Result<Self, Failure> {
        let nanos = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos();
        let at = std::env::temp_dir().join(format!("flashsale-loadtest-{}-{nanos}", std::process::id()));
        std::fs::create_dir(&at)?;
        Ok(Self(at))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // Nothing can be done about a file that stays; the system's own clean-up will.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Which time servers go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clock {
    /// The machine's; with a gate on Redis, that of Redis.
    Machine,
    /// One that the scenario moves.
    Moved,
}

/// The servers that are wanted.
#[derive(Debug)]
pub(crate) struct Plan {
    /// What the simulated payment does.
    pub(crate) rates: Rates,
    /// How long a member of the waitlist has to take an offer; `None` for the server's own time.
    pub(crate) offer_within_s: Option<u64>,
    /// Chooses its fates.
    pub(crate) seed: u64,
    /// Which time they go by.
    pub(crate) clock: Clock,
    /// Where their gate is kept.
    pub(crate) gate: Gate,
    /// Where their events travel.
    pub(crate) bus: Bus,
    /// Where their ledger is kept.
    pub(crate) database: Database,
    /// Where their logs are, and a ledger that is a file. It goes with them.
    pub(crate) directory: Directory,
    /// For what orders and claims wait.
    pub(crate) intake: Intake,
    /// Where their logs are to be kept.
    pub(crate) logs: Option<PathBuf>,
    /// How many.
    pub(crate) count: u8,
}

/// What is the same for all servers of a run.
#[derive(Debug)]
struct Common {
    binary: PathBuf,
    flags: Vec<OsString>,
    variables: Vec<(&'static str, String)>,
    directory: Directory,
    logs: PathBuf,
    count: u8,
}

/// A process and where it listens. It is killed when this is dropped.
#[derive(Debug)]
struct Process {
    n: u8,
    child: Child,
    address: SocketAddr,
}

/// Servers that this tool started, over one ledger and one gate. They are killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Servers {
    processes: Vec<Process>,
    common: Arc<Common>,
    /// Which is killed next.
    next: usize,
}

impl Servers {
    /// Starts servers, all at the same time.
    ///
    /// # Errors
    /// [`Failure::Server`] if they cannot be built, or one does not listen in time.
    pub(crate) async fn start(plan: Plan) -> Result<Self, Failure> {
        let binary = locate().await?;
        let flags = flags(&plan);
        let variables = [plan.gate.variables(), plan.bus.variables(), vec![plan.database.variable()]].concat();
        let logs = plan.logs.map_or_else(|| Ok(plan.directory.path().to_owned()), std::path::absolute)?;
        std::fs::create_dir_all(&logs)?;
        let common = Arc::new(Common { binary, flags, variables, directory: plan.directory, logs, count: plan.count });
        let mut starts = JoinSet::new();
        for n in 0..plan.count {
            let common = common.clone();
            let any = SocketAddr::from(([127, 0, 0, 1], 0));
            starts.spawn(async move { common.launch(n, any, 0).await });
        }
        let mut processes = Vec::new();
        while let Some(started) = starts.join_next().await {
            processes.push(started.map_err(std::io::Error::other)??);
        }
        Ok(Self { processes, common, next: 0 })
    }

    /// Where they listen.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.processes.iter().map(|process| process.address).collect()
    }

    /// Kills one as a crash would, and starts it again on the same ledger and the same port; each takes its turn.
    ///
    /// # Errors
    /// [`Failure::Server`] if it does not come back.
    pub(crate) async fn kill_and_restart(&mut self, stage: &Stage) -> Result<(), Failure> {
        let killed = &mut self.processes[self.next];
        self.next = (self.next + 1) % usize::from(self.common.count);
        killed.child.kill().await?;
        loop {
            // A server refuses to start without its stores. Whoever keeps it running starts it again: so does this tool, while
            // it keeps one of them down itself.
            let is_excused = || stage.watch.kills.are_under_way_beside(Victim::Server);
            let excused = is_excused();
            // The clock that the scenario moved went with it.
            match self.common.launch(killed.n, killed.address, stage.clock_at_ms()).await {
                Err(Failure::Server(_)) if excused || is_excused() => {}
                launched => {
                    *killed = launched?;
                    return Ok(());
                }
            }
        }
    }

    /// Stops them and waits until they are gone.
    pub(crate) async fn stop(mut self) {
        for process in &mut self.processes {
            // It may have ended by itself; then there is nothing to stop.
            let _ = process.child.kill().await;
        }
    }
}

fn flags(plan: &Plan) -> Vec<OsString> {
    let Plan { rates, seed, clock, intake, offer_within_s, .. } = plan;
    let mut pairs: Vec<(&str, OsString)> = vec![
        ("--dev.members", "true".into()),
        ("--dev.clock", (*clock == Clock::Moved).to_string().into()),
        ("--payment.decline-rate", rates.decline.to_string().into()),
        ("--payment.leave-rate", rates.leave.to_string().into()),
        ("--payment.unknown-rate", "0".into()),
        ("--payment.latency-ms", "1".into()),
        ("--payment.lanes", "256".into()),
        ("--payment.seed", seed.to_string().into()),
        ("--sale.intake", if *intake == Intake::Log { "log" } else { "ledger" }.into()),
    ];
    pairs.extend(offer_within_s.map(|within| ("--sale.offer-within-s", within.to_string().into())));
    pairs.into_iter().flat_map(|(name, value)| [name.into(), value]).collect()
}

/// The server's binary: beside this one, built if need be.
async fn locate() -> Result<PathBuf, Failure> {
    let own = std::env::current_exe()?;
    let binary = own.with_file_name(format!("flashsale-server{}", std::env::consts::EXE_SUFFIX));
    // Under cargo a binary that is there may still be older than its source; cargo knows.
    let cargo = std::env::var_os("CARGO");
    if binary.exists() && cargo.is_none() {
        return Ok(binary);
    }
    let mut build = Command::new(cargo.unwrap_or_else(|| "cargo".into()));
    build.args(["build", "--quiet", "--package", "flashsale-server"]);
    if own.parent().and_then(Path::file_name).is_some_and(|profile| profile == "release") {
        build.arg("--release");
    }
    let status = build.kill_on_drop(true).status().await?;
    if status.success() && binary.exists() {
        Ok(binary)
    } else {
        Err(Failure::Server(format!("the server could not be built: {status}")))
    }
}

impl Common {
    /// Starts a process and waits until it listens.
    async fn launch(&self, n: u8, bind: SocketAddr, clock_at_ms: i64) -> Result<Process, Failure> {
        let log = self.logs.join(format!("server-{n}.log"));
        let errors = std::fs::OpenOptions::new().create(true).append(true).open(&log)?;
        let mut child = Command::new(&self.binary)
            .arg("serve")
            .args(["--http.bind", &bind.to_string(), "--dev.clock-at-ms", &clock_at_ms.to_string()])
            .args(&self.flags)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .kill_on_drop(true)
            .spawn()?;
        let stdout = child.stdout.take().ok_or_else(|| Failure::Server("no standard output".into()))?;
        let mut lines = BufReader::new(stdout).lines();
        let heard = tokio::time::timeout(START, async {
            while let Some(line) = lines.next_line().await? {
                if let Some(address) = listening(&line) {
                    return Ok(Some(address));
                }
            }
            Ok::<_, std::io::Error>(None)
        });
        let Ok(Ok(Some(address))) = heard.await else {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            return Err(Failure::Server(format!("it does not listen; it said:\n{said}")));
        };
        // Whatever else it prints must not fill the pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Process { n, child, address })
    }
}

/// The address in the line with which the server says that it listens.
fn listening(line: &str) -> Option<SocketAddr> {
    let rest = line.split_once("listening on http://")?.1;
    rest.split([' ', '/']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_from_the_line_that_says_so() {
        assert_eq!(listening("listening on http://127.0.0.1:4711"), Some(([127, 0, 0, 1], 4711).into()));
        assert_eq!(listening("INFO listening on http://127.0.0.1:80/ now"), Some(([127, 0, 0, 1], 80).into()));
        assert_eq!(listening("not listening"), None);
    }

    #[test]
    fn a_directory_goes_with_its_owner() {
        let directory = Directory::create().unwrap();
        let at = directory.path().to_owned();
        std::fs::write(at.join("file"), "x").unwrap();
        drop(directory);
        assert!(!at.exists());
    }
}
