//! A Redis with replicas, watched by Sentinels that elect another primary when it dies.
//!
//! Owns how they are told of each other, and who is primary now. All of them are plain [`Redis`].

use std::time::Duration;

use crate::error::StartError;
use crate::process::until;
use crate::redis::{Redis, RedisOptions, Role, Tls, of_many};

/// The name under which the Sentinels know the primary.
const MASTER_NAME: &str = "flashsale";
/// After how many milliseconds of silence a Sentinel holds the primary for dead.
///
/// A Sentinel asks a new primary for the first time after a second, or after this time if it is shorter, and counts from
/// its election: with a second or less it holds every new primary for dead, and one failover follows the other.
const DOWN_AFTER_MS: &str = "1500";
/// How many milliseconds an attempt at a failover may take; another begins after twice as long.
const FAILOVER_TIMEOUT_MS: &str = "3000";
/// How long it may take until all have found each other, or another primary, on a busy machine.
const AGREED: Duration = Duration::from_secs(60);

/// A running primary with replicas and Sentinels.
#[derive(Debug)]
pub struct RedisSentinel {
    nodes: Vec<Redis>,
    sentinels: Vec<Redis>,
}

impl RedisSentinel {
    /// Starts a primary, its replicas and the Sentinels, and waits until they have found each other.
    ///
    /// # Panics
    /// With what [`RedisSentinel::try_start`] says.
    #[must_use]
    #[track_caller]
    pub fn start(replicas: usize, sentinels: usize) -> Self {
        Self::try_start(replicas, sentinels, &RedisOptions::default()).unwrap_or_else(|error| panic!("{error}"))
    }

    /// As [`RedisSentinel::start`], with these options for the primary and the replicas. A majority of the Sentinels
    /// decides that the primary is dead.
    ///
    /// # Errors
    /// As [`Redis::try_start`], or that they did not find each other in time.
    ///
    /// # Panics
    /// If there is no replica or no Sentinel, or TLS is asked for: each server would have an authority of its own.
    pub fn try_start(replicas: usize, sentinels: usize, options: &RedisOptions) -> Result<Self, StartError> {
        assert!(replicas > 0 && sentinels > 0, "a replica and a Sentinel at least");
        assert_eq!(options.tls, Tls::Off, "replicas are plain TCP");
        let data = |extra: &[(&str, String)]| {
            let mut options = options.clone();
            options.extra.splice(0..0, owned(extra));
            Redis::try_start(options)
        };
        let at_once = ("repl-diskless-sync-delay", "0".to_owned());
        let mut nodes = vec![data(std::slice::from_ref(&at_once))?];
        let primary = nodes[0].port();
        for _ in 0..replicas {
            nodes.push(data(&[at_once.clone(), ("replicaof", format!("127.0.0.1 {primary}"))])?);
        }
        let quorum = sentinels / 2 + 1;
        let mut watch = vec![
            ("sentinel", format!("monitor {MASTER_NAME} 127.0.0.1 {primary} {quorum}")),
            ("sentinel", format!("down-after-milliseconds {MASTER_NAME} {DOWN_AFTER_MS}")),
            ("sentinel", format!("failover-timeout {MASTER_NAME} {FAILOVER_TIMEOUT_MS}")),
        ];
        if let Some(password) = &options.password {
            watch.push(("sentinel", format!("auth-pass {MASTER_NAME} {password}")));
        }
        let watcher = || {
            let extra = owned(&watch).collect();
            let program = options.program.clone();
            Redis::try_start_as(Role::Sentinel, RedisOptions { program, extra, ..RedisOptions::default() })
        };
        let sentinels = (0..sentinels).map(|_| watcher()).collect::<Result<Vec<_>, _>>()?;
        for sentinel in &sentinels {
            // They find each other and their replicas sooner; a version that cannot do it takes ten seconds longer.
            let _ = sentinel.ask(&["SENTINEL", "DEBUG", "INFO-PERIOD", "1000", "PUBLISH-PERIOD", "500"]);
        }
        let all = Self { nodes, sentinels };
        all.settle()?;
        Ok(all)
    }

    /// Gives the addresses of the Sentinels.
    #[must_use]
    pub fn sentinel_urls(&self) -> Vec<String> {
        self.sentinels.iter().map(Redis::url).collect()
    }

    /// Gives one address for all of it: `redis+sentinel://`, with every Sentinel and the primary's name.
    #[must_use]
    pub fn url(&self) -> String {
        let login = self.nodes[0].login();
        format!("{}/{MASTER_NAME}", of_many("redis+sentinel", &login, &self.sentinels))
    }

    /// Gives the name under which the Sentinels know the primary.
    #[must_use]
    pub fn master_name(&self) -> &'static str {
        MASTER_NAME
    }

    /// Gives the servers that hold data; the first began as the primary.
    #[must_use]
    pub fn nodes(&self) -> &[Redis] {
        &self.nodes
    }

    /// Gives the Sentinels.
    #[must_use]
    pub fn sentinels(&self) -> &[Redis] {
        &self.sentinels
    }

    /// Asks the Sentinels for the port of the primary; the first that answers is believed, as a client would.
    #[must_use]
    pub fn primary_port(&self) -> Option<u16> {
        let ask = |sentinel: &Redis| {
            let reply = sentinel.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER_NAME]).ok()?;
            reply.list().get(1)?.text().parse().ok()
        };
        self.sentinels.iter().filter(|sentinel| sentinel.is_answering()).find_map(ask)
    }

    /// Gives the place in [`RedisSentinel::nodes`] of the server that the Sentinels hold for the primary.
    #[must_use]
    pub fn primary(&self) -> Option<usize> {
        let port = self.primary_port()?;
        self.nodes.iter().position(|node| node.port() == port)
    }

    /// Kills the primary, waits until it is gone, and gives its place in [`RedisSentinel::nodes`].
    ///
    /// # Panics
    /// If no Sentinel answers.
    #[track_caller]
    pub fn kill9_primary(&self) -> usize {
        let primary = self.primary().expect("a Sentinel that answers");
        self.nodes[primary].kill9();
        primary
    }

    /// Waits until all Sentinels that run name another primary than `old`, and it takes writes; gives its place.
    ///
    /// # Panics
    /// If none is elected in time.
    #[must_use]
    #[track_caller]
    pub fn elected_after(&self, old: usize) -> usize {
        let mut elected = None;
        until(AGREED, || {
            elected = self.primary().filter(|node| *node != old && self.leads(*node));
            elected.is_some()
        });
        elected.unwrap_or_else(|| panic!("nobody took the place of node {old}"))
    }

    /// Starts a node again; the Sentinels make it a replica if another was elected. [`RedisSentinel::settle`] waits for it.
    ///
    /// # Panics
    /// If it does not come back.
    #[track_caller]
    pub fn restart(&self, node: usize) {
        self.nodes[node].restart();
    }

    /// Waits until the Sentinels that run know each other, and every node that runs leads or follows.
    ///
    /// # Errors
    /// [`StartError::Late`], with what a Sentinel said last.
    pub fn settle(&self) -> Result<(), StartError> {
        let watchers = || self.sentinels.iter().filter(|sentinel| sentinel.is_answering());
        let others = (self.sentinels.len() - 1).to_string();
        let replicas = (self.nodes.len() - 1).to_string();
        let knows = |sentinel: &Redis| {
            let Ok(master) = sentinel.ask(&["SENTINEL", "MASTER", MASTER_NAME]) else { return false };
            let is = |name: &str, value: &str| master.field(name).as_deref() == Some(value);
            is("flags", "master") && is("num-other-sentinels", &others) && is("num-slaves", &replicas)
        };
        let settled = until(AGREED, || {
            let Some(primary) = self.primary() else { return false };
            let follows = |n: usize, node: &Redis| n == primary || !node.is_answering() || self.follows(n, primary);
            watchers().all(knows)
                && self.leads(primary)
                && self.nodes.iter().enumerate().all(|(n, node)| follows(n, node))
        });
        let said = || watchers().next()?.ask(&["INFO", "sentinel"]).ok();
        settled.then_some(()).ok_or_else(|| StartError::Late {
            program: "the Sentinels".into(),
            awaited: "all know each other".into(),
            said: said().map(|reply| reply.text()).unwrap_or_default(),
        })
    }

    /// Whether every Sentinel that runs names this node, and it knows itself as the primary.
    fn leads(&self, node: usize) -> bool {
        let port = self.nodes[node].port().to_string();
        let names = |sentinel: &Redis| {
            let reply = sentinel.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER_NAME]);
            reply.is_ok_and(|reply| reply.list().get(1).is_some_and(|named| named.text() == port))
        };
        let agreed = self.sentinels.iter().filter(|sentinel| sentinel.is_answering()).all(names);
        agreed && self.replication(node, "role").as_deref() == Some("master")
    }

    fn follows(&self, node: usize, primary: usize) -> bool {
        let port = self.nodes[primary].port().to_string();
        self.replication(node, "master_port") == Some(port)
            && self.replication(node, "master_link_status").as_deref() == Some("up")
    }

    fn replication(&self, node: usize, field: &str) -> Option<String> {
        self.nodes[node].ask(&["INFO", "replication"]).ok()?.field(field)
    }
}

fn owned<'a>(settings: &'a [(&str, String)]) -> impl Iterator<Item = (String, String)> + 'a {
    settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone()))
}
