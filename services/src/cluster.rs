//! A Redis Cluster: primaries that share the slots, and a replica for each.
//!
//! Owns how the nodes are joined, and who is primary now. The nodes are plain [`Redis`]; their life is told there.

use std::io;
use std::time::Duration;

use crate::error::StartError;
use crate::port;
use crate::process::until;
use crate::redis::{Redis, RedisOptions, Tls, of_many};

/// The number of slots of every cluster.
const SLOTS: usize = 16_384;
/// After how many milliseconds of silence a node is held for dead: an election then takes about two seconds.
const NODE_TIMEOUT_MS: &str = "1000";
/// How long joining or an election may take on a busy machine.
const AGREED: Duration = Duration::from_secs(60);
/// How often a node is started on other ports when its bus port was taken.
const TRIES: usize = 4;

/// A running cluster. The first half of the nodes begin as primaries, the second half as their replicas, in the same order.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<Redis>,
}

/// What a node knows of itself.
struct View {
    epoch: u64,
    slots: Vec<(usize, usize)>,
}

impl RedisCluster {
    /// Starts a cluster and waits until every node says that it is well.
    ///
    /// # Panics
    /// With what [`RedisCluster::try_start`] says.
    #[must_use]
    #[track_caller]
    pub fn start(nodes: usize) -> Self {
        Self::try_start(nodes, &RedisOptions::default()).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Starts a cluster whose nodes have these options, and waits until every node says that it is well.
    ///
    /// # Errors
    /// As [`Redis::try_start`], or that the nodes did not agree in time.
    ///
    /// # Panics
    /// If the number of nodes is odd or less than six, or TLS is asked for: each node would have an authority of its own.
    pub fn try_start(nodes: usize, options: &RedisOptions) -> Result<Self, StartError> {
        assert!(nodes >= 6 && nodes.is_multiple_of(2), "three primaries at least, and a replica for each");
        assert_eq!(options.tls, Tls::Off, "a cluster is plain TCP");
        let nodes = (0..nodes).map(|_| node(options)).collect::<Result<Vec<_>, _>>()?;
        let cluster = Self { nodes };
        cluster.join().map_err(StartError::system("joining the nodes of a cluster"))?;
        cluster.settle()?;
        Ok(cluster)
    }

    /// Gives the addresses of all nodes, in order.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(Redis::url).collect()
    }

    /// Gives one address for all of it: `redis+cluster://`, with every node.
    #[must_use]
    pub fn url(&self) -> String {
        of_many("redis+cluster", &self.nodes[0].login(), &self.nodes)
    }

    /// Gives the nodes, in order.
    #[must_use]
    pub fn nodes(&self) -> &[Redis] {
        &self.nodes
    }

    /// Kills a node and waits until it is gone.
    pub fn kill9(&self, node: usize) {
        self.nodes[node].kill9();
    }

    /// Starts a node again; it finds the others by itself. [`RedisCluster::settle`] waits until it has.
    ///
    /// # Panics
    /// If it does not come back.
    #[track_caller]
    pub fn restart(&self, node: usize) {
        self.nodes[node].restart();
    }

    /// Gives the node that is primary for a key now: of those that claim its slot, the one elected last; none during an
    /// election.
    #[must_use]
    pub fn primary_of(&self, key: &str) -> Option<usize> {
        let slot =
            self.answering().find_map(|(_, node)| node.ask(&["CLUSTER", "KEYSLOT", key]).ok()?.text().parse().ok())?;
        let views = self.answering().filter_map(|(n, node)| Some((n, view(node)?)));
        let claims = views.filter(|(_, view)| view.slots.iter().any(|(from, to)| (*from..=*to).contains(&slot)));
        claims.max_by_key(|(_, view)| view.epoch).map(|(n, _)| n)
    }

    /// Waits until another node than `old` is primary for a key and takes writes, and gives it.
    ///
    /// # Panics
    /// If none is elected in time.
    #[must_use]
    #[track_caller]
    pub fn elected_after(&self, key: &str, old: usize) -> usize {
        let mut elected = None;
        let most = until(AGREED, || {
            elected = self.primary_of(key).filter(|node| *node != old && self.is_well(*node));
            elected.is_some()
        });
        elected.filter(|_| most).unwrap_or_else(|| panic!("nobody took the place of node {old}"))
    }

    /// Waits until every node that runs says that the cluster is well, knows all of those, and every replica follows.
    ///
    /// # Errors
    /// [`StartError::Late`], with what a node said last.
    pub fn settle(&self) -> Result<(), StartError> {
        let mut ill = None;
        let settled = until(AGREED, || {
            ill = self.answering().map(|(n, _)| n).find(|n| !self.is_well(*n) || !self.is_linked(*n));
            ill.is_none()
        });
        let said = || ill.and_then(|n| self.nodes[n].ask(&["CLUSTER", "INFO"]).ok()).map(|reply| reply.text());
        settled.then_some(()).ok_or_else(|| StartError::Late {
            program: "the cluster".into(),
            awaited: "cluster_state:ok everywhere".into(),
            said: said().unwrap_or_default(),
        })
    }

    fn answering(&self) -> impl Iterator<Item = (usize, &Redis)> {
        self.nodes.iter().enumerate().filter(|(_, node)| node.is_answering())
    }

    fn is_well(&self, node: usize) -> bool {
        let Ok(info) = self.nodes[node].ask(&["CLUSTER", "INFO"]) else { return false };
        let is = |name: &str, value: &str| info.field(name).as_deref() == Some(value);
        is("cluster_state", "ok") && is("cluster_slots_ok", &SLOTS.to_string())
    }

    fn is_linked(&self, node: usize) -> bool {
        let node = &self.nodes[node];
        let Ok(info) = node.ask(&["INFO", "replication"]) else { return false };
        let known = node.ask(&["CLUSTER", "INFO"]).ok().and_then(|info| info.field("cluster_known_nodes"));
        let all = known == Some(self.nodes.len().to_string());
        let follows = info.field("master_link_status").is_none_or(|status| status == "up");
        let started = info.field("role").is_some();
        all && follows && started
    }

    /// Gives the slots to the primaries, lets all nodes meet, and makes the second half follow the first.
    fn join(&self) -> io::Result<()> {
        let primaries = self.nodes.len() / 2;
        for (n, node) in self.nodes.iter().enumerate() {
            told(node, &["CLUSTER", "SET-CONFIG-EPOCH", &(n + 1).to_string()])?;
        }
        for (n, node) in self.nodes.iter().take(primaries).enumerate() {
            let (from, to) = (n * SLOTS / primaries, (n + 1) * SLOTS / primaries - 1);
            told(node, &["CLUSTER", "ADDSLOTSRANGE", &from.to_string(), &to.to_string()])?;
        }
        for node in &self.nodes[1..] {
            let bus = node.ask(&["CONFIG", "GET", "cluster-port"])?.field("cluster-port").unwrap_or_default();
            told(&self.nodes[0], &["CLUSTER", "MEET", "127.0.0.1", &node.port().to_string(), &bus])?;
        }
        for (n, replica) in self.nodes.iter().enumerate().skip(primaries) {
            let id = self.nodes[n - primaries].ask(&["CLUSTER", "MYID"])?.text();
            let follow = || told(replica, &["CLUSTER", "REPLICATE", &id]);
            // The replica hears of its primary from others, soon.
            if !until(AGREED, || follow().is_ok()) {
                follow()?;
            }
        }
        // A replica is one only for those who have heard of it.
        let replicas = (self.nodes.len() - primaries) / primaries;
        let heard = |primary: &Redis| {
            let info = primary.ask(&["INFO", "replication"]).ok();
            info.and_then(|info| info.field("connected_slaves")) == Some(replicas.to_string())
        };
        if until(AGREED, || self.nodes[..primaries].iter().all(heard)) {
            return Ok(());
        }
        Err(io::Error::other("the replicas did not come to their primaries"))
    }
}

fn node(options: &RedisOptions) -> Result<Redis, StartError> {
    let mut tries = 0;
    loop {
        tries += 1;
        let mut options = options.clone();
        let settings = [
            ("cluster-enabled", "yes".to_owned()),
            ("cluster-config-file", "nodes.conf".to_owned()),
            ("cluster-node-timeout", NODE_TIMEOUT_MS.to_owned()),
            ("cluster-allow-replica-migration", "no".to_owned()),
            ("cluster-port", port::free().to_string()),
            ("repl-diskless-sync-delay", "0".to_owned()),
        ];
        // What the caller asks for comes last and wins.
        options.extra.splice(0..0, settings.map(|(name, value)| (name.to_owned(), value)));
        match Redis::try_start(options) {
            Err(StartError::Ended { said, .. }) if said.contains("(cluster), aborting") && tries < TRIES => {}
            outcome => return outcome,
        }
    }
}

fn told(node: &Redis, words: &[&str]) -> io::Result<()> {
    let reply = node.ask(words)?.text();
    if reply == "OK" { Ok(()) } else { Err(io::Error::other(format!("{}: {reply}", words.join(" ")))) }
}

/// Reads the line that a node has about itself, if it is a primary.
fn view(node: &Redis) -> Option<View> {
    let nodes = node.ask(&["CLUSTER", "NODES"]).ok()?.text();
    let own = nodes.lines().find(|line| line.contains("myself"))?;
    let words: Vec<&str> = own.split_whitespace().collect();
    if !words.get(2)?.split(',').any(|flag| flag == "master") {
        return None;
    }
    let range = |word: &&str| {
        let (from, to) = word.split_once('-').unwrap_or((word, word));
        Some((from.parse().ok()?, to.parse().ok()?))
    };
    Some(View { epoch: words.get(6)?.parse().ok()?, slots: words.iter().skip(8).filter_map(range).collect() })
}
