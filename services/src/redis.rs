//! One real Redis. Owns its settings, its folder and its life; several of them together are `cluster` and `sentinel`.

use std::fmt::Write as _;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::error::StartError;
use crate::process::{Launch, Process};
use crate::resp::{self, Reply};
use crate::tls::Certificates;
use crate::{port, program};

/// How long a server may take to load its data and answer, on a busy machine.
const READY: Duration = Duration::from_secs(60);
/// How long an answer may take; a paused server gives none.
const ANSWER: Duration = Duration::from_secs(10);
/// How often another port is tried when one was taken between choosing and binding.
const PORTS: usize = 8;
/// The user as which this crate asks: its rights do not depend on those that a test gives to others.
const KEEPER: &str = "flashsale-keeper";
const KEEPER_PASSWORD: &str = "on-loopback-only";

/// What survives the end of a Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Append {
    /// Nothing is written; a restart finds nothing.
    #[default]
    Never,
    /// The append-only file is flushed once a second; the last second may be lost.
    EverySecond,
    /// The append-only file is flushed before every answer.
    Always,
}

/// Whether the connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tls {
    /// Plain TCP.
    #[default]
    Off,
    /// Only TLS, with a certificate for `127.0.0.1` and `localhost` of an authority made for this server.
    On,
}

/// Says how a Redis is started.
#[derive(Debug, Clone)]
pub struct RedisOptions {
    /// The program, a name or a path.
    pub program: String,
    /// What survives its end.
    pub append: Append,
    /// `maxmemory-policy`.
    pub max_memory_policy: String,
    /// Whether connections are encrypted.
    pub tls: Tls,
    /// The password of the default user; none lets everybody in.
    pub password: Option<String>,
    /// Further users, each as in `ACL SETUSER`, such as `gate on >secret ~flash:* +@all`.
    pub users: Vec<String>,
    /// Further settings, each a name and its value.
    pub extra: Vec<(String, String)>,
}

impl Default for RedisOptions {
    /// Nothing is kept, nothing is evicted, everybody on loopback may come in.
    fn default() -> Self {
        Self {
            program: "redis-server".into(),
            append: Append::Never,
            max_memory_policy: "noeviction".into(),
            tls: Tls::Off,
            password: None,
            users: Vec::new(),
            extra: Vec::new(),
        }
    }
}

/// What a process of Redis does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// It holds data.
    Data,
    /// It watches servers and elects a new primary.
    Sentinel,
}

/// A running Redis, killed when it is dropped; its folder goes with it.
#[derive(Debug)]
pub struct Redis {
    options: RedisOptions,
    port: u16,
    certificates: Option<Certificates>,
    // Before the folder: a field is dropped after those above it, and a server must not lose its folder while it runs.
    process: Process,
    folder: TempDir,
}

impl Redis {
    /// Starts a Redis and waits until it answers.
    ///
    /// # Panics
    /// With what [`Redis::try_start`] says.
    #[must_use]
    #[track_caller]
    pub fn start(options: RedisOptions) -> Self {
        Self::try_start(options).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Starts a Redis and waits until it answers.
    ///
    /// # Errors
    /// [`StartError::Missing`] if a program is not installed; otherwise what the system or the server said.
    pub fn try_start(options: RedisOptions) -> Result<Self, StartError> {
        Self::try_start_as(Role::Data, options)
    }

    /// As [`Redis::try_start`], for a server of data or for one that only watches others.
    pub(crate) fn try_start_as(role: Role, options: RedisOptions) -> Result<Self, StartError> {
        Self::try_start_on(port::free, role, options)
    }

    fn try_start_on(mut free: impl FnMut() -> u16, role: Role, options: RedisOptions) -> Result<Self, StartError> {
        let program = program::find(&options.program, "redis-server")?;
        let folder = tempfile::Builder::new().prefix("flashsale-redis-").tempdir();
        let folder = folder.map_err(StartError::system("a folder for Redis"))?;
        let certificates = match options.tls {
            Tls::On => Some(Certificates::make(folder.path())?),
            Tls::Off => None,
        };
        let file = folder.path().join("redis.conf");
        let mut args = vec![file.display().to_string()];
        args.extend((role == Role::Sentinel).then(|| "--sentinel".to_owned()));
        let mut tries = 0;
        let (port, process) = loop {
            tries += 1;
            let port = free();
            let settings = settings(role, &options, port, folder.path(), certificates.as_ref());
            std::fs::write(&file, settings).map_err(StartError::system("Redis' settings"))?;
            let process = Process::start(Launch {
                program: program.clone(),
                args: args.clone(),
                folder: folder.path().to_path_buf(),
                user: None,
            })?;
            match wait(&process, folder.path()) {
                Ok(()) => break (port, process),
                Err(StartError::Ended { said, .. }) if said.contains("Address already in use") && tries < PORTS => {}
                Err(error) => return Err(error),
            }
        };
        Ok(Self { options, port, certificates, process, folder })
    }

    /// Gives the address with the default user's password: `redis://` or `rediss://`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}127.0.0.1:{}", self.scheme(), self.login(), self.port)
    }

    /// Gives the address with the name and password of a user; both are taken as they are, without `%` codes.
    #[must_use]
    pub fn url_as(&self, user: &str, password: &str) -> String {
        format!("{}://{user}:{password}@127.0.0.1:{}", self.scheme(), self.port)
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

    /// Gives the certificate of the authority that clients must trust, if TLS is on.
    #[must_use]
    pub fn ca_file(&self) -> Option<&Path> {
        self.certificates.as_ref().map(|made| made.authority.as_path())
    }

    /// Gives its process id, if it was not killed or stopped.
    #[must_use]
    pub fn process_id(&self) -> Option<u32> {
        self.process.id()
    }

    /// Says whether its process runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.process.is_running()
    }

    /// Says whether it runs and was not paused.
    #[must_use]
    pub fn is_answering(&self) -> bool {
        self.process.is_running() && !self.process.is_paused()
    }

    /// Kills it, as a power failure would but for what the kernel has not written yet, and waits until it is gone.
    pub fn kill9(&self) {
        self.process.kill9();
    }

    /// Lets it end in order (SIGTERM) and waits until it is gone.
    pub fn stop(&self) {
        self.process.resume();
        self.process.stop(Signal::TERM);
    }

    /// Stops it from doing anything while its connections stay open (SIGSTOP), and waits until it does nothing: peers see
    /// silence.
    pub fn pause(&self) {
        self.process.pause();
    }

    /// Lets it go on after [`Redis::pause`].
    pub fn resume(&self) {
        self.process.resume();
    }

    /// Starts it again on the same port, in the same folder, and waits until it answers; kills it first if it runs.
    ///
    /// # Panics
    /// With what [`Redis::try_restart`] says.
    #[track_caller]
    pub fn restart(&self) {
        self.try_restart().unwrap_or_else(|error| panic!("{error}"));
    }

    /// As [`Redis::restart`].
    ///
    /// # Errors
    /// What the system or the server said.
    pub fn try_restart(&self) -> Result<(), StartError> {
        self.begin_restart()?;
        wait(&self.process, self.folder.path())
    }

    /// Starts it again, without waiting until it answers: clients meet a server that is not there yet, or loads its data.
    ///
    /// # Errors
    /// What the system said.
    pub fn begin_restart(&self) -> Result<(), StartError> {
        // What the last one left would be taken for an answer of the next.
        self.process.kill9();
        let _ = std::fs::remove_file(socket(self.folder.path()));
        self.process.again()
    }

    /// Asks it something over a connection of its own, with all rights.
    ///
    /// # Errors
    /// If it does not run, is paused, or does not answer within ten seconds.
    pub fn ask(&self, words: &[&str]) -> io::Result<Reply> {
        if self.process.is_paused() {
            return Err(io::Error::other("it is paused"));
        }
        ask(self.folder.path(), words)
    }

    /// The default user's part of an address.
    pub(crate) fn login(&self) -> String {
        self.options.password.as_ref().map(|password| format!("default:{password}@")).unwrap_or_default()
    }

    fn scheme(&self) -> &'static str {
        match self.options.tls {
            Tls::Off => "redis",
            Tls::On => "rediss",
        }
    }
}

/// One address for several servers.
pub(crate) fn of_many(scheme: &str, login: &str, servers: &[Redis]) -> String {
    let hosts: Vec<String> = servers.iter().map(|server| format!("127.0.0.1:{}", server.port())).collect();
    format!("{scheme}://{login}{}", hosts.join(","))
}

/// Where this crate talks to it: a file in its folder, which no other server can have.
fn socket(folder: &Path) -> PathBuf {
    folder.join("socket")
}

fn ask(folder: &Path, words: &[&str]) -> io::Result<Reply> {
    let mut stream = UnixStream::connect(socket(folder))?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.set_write_timeout(Some(ANSWER))?;
    match resp::ask(&mut stream, &["AUTH", KEEPER, KEEPER_PASSWORD])? {
        Reply::Status(_) => resp::ask(&mut stream, words),
        other => Err(io::Error::other(other.text())),
    }
}

fn wait(process: &Process, folder: &Path) -> Result<(), StartError> {
    let pong = || matches!(ask(folder, &["PING"]), Ok(Reply::Status(said)) if said == "PONG");
    process.until(READY, "an answer to PING", pong)
}

fn settings(
    role: Role,
    options: &RedisOptions,
    port: u16,
    folder: &Path,
    certificates: Option<&Certificates>,
) -> String {
    let mut text = format!(
        "bind 127.0.0.1\nprotected-mode no\ndaemonize no\ndir \"{}\"\nunixsocket \"{}\"\n\
         user {KEEPER} on >{KEEPER_PASSWORD} ~* &* +@all\n",
        folder.display(),
        socket(folder).display(),
    );
    if role == Role::Data {
        let _ = writeln!(text, "save \"\"\nmaxmemory-policy {}", options.max_memory_policy);
        text += match options.append {
            Append::Never => "appendonly no\n",
            Append::EverySecond => "appendonly yes\nappendfsync everysec\n",
            Append::Always => "appendonly yes\nappendfsync always\n",
        };
    }
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name} {value}");
    };
    match certificates {
        None => line("port", &port.to_string()),
        Some(made) => {
            line("port", "0");
            line("tls-port", &port.to_string());
            line("tls-ca-cert-file", &format!("\"{}\"", made.authority.display()));
            line("tls-cert-file", &format!("\"{}\"", made.certificate.display()));
            line("tls-key-file", &format!("\"{}\"", made.key.display()));
            line("tls-auth-clients", "no");
        }
    }
    if let Some(password) = &options.password {
        line("requirepass", &format!("\"{password}\""));
        line("masterauth", &format!("\"{password}\""));
    }
    options.users.iter().for_each(|user| line("user", user));
    options.extra.iter().for_each(|(name, value)| line(name, value));
    text
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    #[test]
    fn a_port_that_is_taken_before_redis_binds_it_is_replaced() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, port::free())).unwrap();
        let taken = taken.local_addr().map(|address| (taken, address.port())).unwrap();
        let mut first = Some(taken.1);
        let mut asked = 0;
        let choose = || {
            asked += 1;
            first.take().unwrap_or_else(port::free)
        };
        let redis = Redis::try_start_on(choose, Role::Data, RedisOptions::default()).unwrap();
        assert_ne!(redis.port(), taken.1);
        assert!(asked > 1);
        assert_eq!(redis.ask(&["PING"]).unwrap().text(), "PONG");
    }

    #[test]
    fn a_redis_outlives_the_thread_that_started_it() {
        let redis = std::thread::spawn(|| Redis::start(RedisOptions::default())).join().unwrap();
        for _ in 0..200 {
            assert_eq!(redis.ask(&["PING"]).unwrap().text(), "PONG");
        }
    }
}
