//! A real Apache Kafka: one broker, or several that replicate. Owns their settings, their folders and their lives.
//!
//! Brokers are their own controllers (KRaft). Kafka is not in Debian: its jars come from Maven Central, once per machine, into
//! a folder of the user's cache.

use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::error::StartError;
use crate::process::{Launch, Process};
use crate::{port, program};

/// The version of the jars.
pub const VERSION: &str = "4.3.0";
const LOG4J: &str = "2.25.1";
const COPY_PLUGIN: &str = "3.9.0";
const JAVA: &str = "openjdk-17-jre-headless";
/// Any sixteen bytes in base64: a cluster's name for itself.
const CLUSTER: &str = "Zmxhc2hzYWxlLWthZmthIQ";
/// Small and soon there, rather than fast for long.
const JVM: [&str; 4] =
    ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.apache.logging.log4j.level=INFO"];
/// How long brokers may take to elect a controller and answer, on a busy machine.
const READY: Duration = Duration::from_secs(120);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(5);
/// How often other ports are tried when one was taken between choosing and binding.
const TRIES: usize = 8;

/// Says how brokers are started.
#[derive(Debug, Clone)]
pub struct KafkaOptions {
    /// How many brokers; topics may have as many replicas.
    pub brokers: usize,
    /// Further settings, each a name and its value.
    pub extra: Vec<(String, String)>,
}

impl Default for KafkaOptions {
    /// One broker.
    fn default() -> Self {
        Self { brokers: 1, extra: Vec::new() }
    }
}

/// Running brokers, killed when they are dropped; their folders go with them.
#[derive(Debug)]
pub struct Kafka {
    brokers: Vec<Broker>,
}

#[derive(Debug)]
struct Broker {
    port: u16,
    // Before the folder: fields are dropped in this order.
    process: Process,
    folder: TempDir,
}

/// Where a broker listens: for clients, and for the other controllers.
#[derive(Debug, Clone, Copy)]
struct Ports {
    clients: u16,
    controllers: u16,
}

impl Kafka {
    /// Starts brokers and waits until each answers.
    ///
    /// # Panics
    /// With what [`Kafka::try_start`] says.
    #[must_use]
    #[track_caller]
    pub fn start(options: &KafkaOptions) -> Self {
        Self::try_start(options).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Starts brokers and waits until each answers.
    ///
    /// # Errors
    /// [`StartError::Missing`] if Java or the jars are not there; otherwise what the system or a broker said.
    ///
    /// # Panics
    /// If no broker is asked for.
    pub fn try_start(options: &KafkaOptions) -> Result<Self, StartError> {
        assert!(options.brokers > 0, "a broker at least");
        let java = program::find("java", JAVA)?;
        let jars = jars()?;
        let mut tries = 0;
        loop {
            tries += 1;
            match Self::start_once(&java, &jars, options) {
                Err(StartError::Ended { said, .. }) if said.contains("Address already in use") && tries < TRIES => {}
                outcome => return outcome,
            }
        }
    }

    fn start_once(java: &Path, jars: &Path, options: &KafkaOptions) -> Result<Self, StartError> {
        let ports: Vec<Ports> =
            (0..options.brokers).map(|_| Ports { clients: port::free(), controllers: port::free() }).collect();
        let launch = |number: usize| {
            let folder = tempfile::Builder::new().prefix("flashsale-kafka-").tempdir();
            let folder = folder.map_err(StartError::system("a folder for Kafka"))?;
            let file = folder.path().join("server.properties");
            std::fs::write(&file, settings(options, &ports, number, folder.path()))
                .map_err(StartError::system("Kafka's settings"))?;
            let args = |class: &str, rest: &[&str]| {
                let path = format!("{}/*", jars.display());
                [&JVM[..], &["-cp", &path, class], rest].concat().into_iter().map(str::to_owned).collect::<Vec<_>>()
            };
            let file = file.display().to_string();
            let launch =
                |args| Launch { program: java.to_owned(), args, folder: folder.path().to_path_buf(), user: None };
            let format = launch(args("kafka.tools.StorageTool", &["format", "-t", CLUSTER, "-c", &file]));
            let status = format.command()?.status().map_err(StartError::system("formatting Kafka's folder"))?;
            if !status.success() {
                return Err(StartError::Ended { program: "kafka.tools.StorageTool".into(), said: format.said() });
            }
            let process = Process::start(launch(args("kafka.Kafka", &[&file])))?;
            Ok(Broker { port: ports[number].clients, process, folder })
        };
        let brokers = (0..options.brokers).map(launch).collect::<Result<Vec<Broker>, StartError>>()?;
        brokers.iter().try_for_each(Broker::wait)?;
        Ok(Self { brokers })
    }

    /// Gives the addresses of the brokers, as a client's `bootstrap.servers`.
    #[must_use]
    pub fn brokers(&self) -> String {
        let address = |broker: &Broker| format!("127.0.0.1:{}", broker.port);
        self.brokers.iter().map(address).collect::<Vec<_>>().join(",")
    }

    /// Gives the port of a broker on loopback, the same after a restart.
    #[must_use]
    pub fn port(&self, broker: usize) -> u16 {
        self.brokers[broker].port
    }

    /// Gives the folder of a broker, where its data and its log are.
    #[must_use]
    pub fn dir(&self, broker: usize) -> &Path {
        self.brokers[broker].folder.path()
    }

    /// Says whether a broker's process runs.
    #[must_use]
    pub fn is_running(&self, broker: usize) -> bool {
        self.brokers[broker].process.is_running()
    }

    /// Kills a broker and waits until it is gone.
    pub fn kill9(&self, broker: usize) {
        self.brokers[broker].process.kill9();
    }

    /// Stops a broker from doing anything while its connections stay open (SIGSTOP).
    pub fn pause(&self, broker: usize) {
        self.brokers[broker].process.pause();
    }

    /// Lets it go on after [`Kafka::pause`].
    pub fn resume(&self, broker: usize) {
        self.brokers[broker].process.resume();
    }

    /// Lets a broker end in order (SIGTERM) and waits until it is gone.
    pub fn stop(&self, broker: usize) {
        self.brokers[broker].process.resume();
        self.brokers[broker].process.stop(Signal::TERM);
    }

    /// Starts a broker again on the same port, in the same folder, and waits until it answers; kills it first if it runs.
    ///
    /// # Panics
    /// With what [`Kafka::try_restart`] says.
    #[track_caller]
    pub fn restart(&self, broker: usize) {
        self.try_restart(broker).unwrap_or_else(|error| panic!("{error}"));
    }

    /// As [`Kafka::restart`].
    ///
    /// # Errors
    /// What the system or the broker said.
    pub fn try_restart(&self, broker: usize) -> Result<(), StartError> {
        self.brokers[broker].process.again()?;
        self.brokers[broker].wait()
    }
}

impl Broker {
    fn wait(&self) -> Result<(), StartError> {
        self.process.until(READY, "an answer to ApiVersions", || answers(self.port).is_ok())
    }
}

/// Asks for the versions of the protocol, which every broker answers as soon as it serves clients.
fn answers(port: u16) -> io::Result<()> {
    const API_VERSIONS: i16 = 18;
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(ANSWER))?;
    // Version 0, correlation id 7, a client without a name.
    let request =
        [&API_VERSIONS.to_be_bytes()[..], &0_i16.to_be_bytes(), &7_i32.to_be_bytes(), &(-1_i16).to_be_bytes()];
    let request = request.concat();
    stream.write_all(&(request.len() as u32).to_be_bytes())?;
    stream.write_all(&request)?;
    // Its length, the correlation id, and no error.
    let mut answer = [0; 10];
    stream.read_exact(&mut answer)?;
    if answer[4..8] == 7_i32.to_be_bytes() && answer[8..] == [0, 0] {
        return Ok(());
    }
    Err(io::Error::other("not an answer to ApiVersions"))
}

fn settings(options: &KafkaOptions, ports: &[Ports], number: usize, folder: &Path) -> String {
    let voters = ports.iter().zip(1..).map(|(ports, id)| format!("{id}@127.0.0.1:{}", ports.controllers));
    let voters = voters.collect::<Vec<_>>().join(",");
    let Ports { clients, controllers } = ports[number];
    let (id, replicas) = (number + 1, ports.len());
    let mut text = format!(
        "process.roles=broker,controller\nnode.id={id}\ncontroller.quorum.voters={voters}\n\
         listeners=PLAINTEXT://127.0.0.1:{clients},CONTROLLER://127.0.0.1:{controllers}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{clients}\ncontroller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\nlog.dirs={}/data\n\
         default.replication.factor={replicas}\nmin.insync.replicas={}\n\
         offsets.topic.replication.factor={replicas}\noffsets.topic.num.partitions=4\n\
         transaction.state.log.replication.factor={replicas}\ntransaction.state.log.min.isr=1\n\
         transaction.state.log.num.partitions=4\ngroup.initial.rebalance.delay.ms=0\n\
         auto.create.topics.enable=false\n",
        folder.display(),
        replicas / 2 + 1,
    );
    for (name, value) in &options.extra {
        let _ = writeln!(text, "{name}={value}");
    }
    text
}

/// Where the jars are kept: `FLASHSALE_CACHE`, or the user's cache.
fn cache() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = || set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    let cache = set("FLASHSALE_CACHE").or_else(|| cache().map(|cache| cache.join("flashsale")));
    cache.unwrap_or_else(|| std::env::temp_dir().join("flashsale-cache"))
}

/// Finds the jars.
fn jars() -> Result<PathBuf, StartError> {
    let folder = cache().join(format!("kafka-{VERSION}"));
    let missing = || StartError::Missing { program: format!("Apache Kafka {VERSION}"), package: "maven" };
    folder.is_dir().then_some(folder).ok_or_else(missing)
}

/// Says whether the jars are there.
#[must_use]
pub fn is_installed() -> bool {
    jars().is_ok()
}

/// Fetches the jars with Maven, unless they are there.
///
/// # Errors
/// What Maven or the system said, with what to do.
pub fn install() -> Result<(), String> {
    if is_installed() {
        return Ok(());
    }
    fetch().map_err(|why| format!("Apache Kafka {VERSION} could not be fetched from Maven Central: {why}"))
}

fn fetch() -> Result<(), String> {
    let told = |error: io::Error| error.to_string();
    let maven = program::find("mvn", "maven").map_err(|error| error.to_string())?;
    let cache = cache();
    std::fs::create_dir_all(&cache).map_err(told)?;
    // Beside its place: it takes its name when it is whole.
    let folder = tempfile::Builder::new().prefix("kafka-fetched-").tempdir_in(&cache).map_err(told)?;
    let (pom, jars) = (folder.path().join("pom.xml"), folder.path().join("jars"));
    std::fs::write(&pom, project()).map_err(told)?;
    let copy = format!("org.apache.maven.plugins:maven-dependency-plugin:{COPY_PLUGIN}:copy-dependencies");
    let mut command = Command::new(maven);
    command
        .args(["-q", "-B", "-Dstyle.color=never", "-f"])
        .arg(&pom)
        .arg(copy)
        .arg(format!("-DoutputDirectory={}", jars.display()));
    let status = command.stdin(Stdio::null()).status().map_err(told)?;
    if !status.success() {
        return Err(format!("mvn ended with {status}"));
    }
    let place = cache.join(format!("kafka-{VERSION}"));
    match std::fs::rename(&jars, &place) {
        // Somebody else was faster.
        Err(_) if place.is_dir() => Ok(()),
        moved => moved.map_err(told),
    }
}

/// What Maven is to fetch.
fn project() -> String {
    let dependencies = [
        ("org.apache.kafka", "kafka_2.13", VERSION),
        ("org.apache.kafka", "kafka-tools", VERSION),
        ("org.apache.logging.log4j", "log4j-slf4j-impl", LOG4J),
    ];
    let dependencies = dependencies.map(|(group, artifact, version)| {
        format!(
            "<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version></dependency>"
        )
    });
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>\
         <groupId>flashsale</groupId><artifactId>kafka-for-tests</artifactId><version>1</version>\
         <dependencies>{}</dependencies></project>\n",
        dependencies.concat()
    )
}
