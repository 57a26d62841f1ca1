//! A highly available PostgreSQL: three servers under Patroni, three nodes of etcd, HAProxy as the address of clients.
//!
//! In: ports, a directory, how the nodes are connected. Out: a cluster whose writes go to one port and whose reads to
//! another, and what can happen to its nodes. A server that vanishes is replaced when its lease in etcd has ended, or
//! at once when its Patroni knows that it is gone. Hard cases:
//!
//! * A commit is confirmed when one standby has it, and only a standby that has it is promoted (quorum).
//! * The slot of a reader outlives a failover: both standbys copy it, and the primary sends the reader nothing that a
//!   standby does not have (`synchronized_standby_slots`).
//! * A server that was the primary has a slot of its own under the name of the slot that it has to copy. It is dropped.
//! * Patroni starts PostgreSQL, and the server lives on when Patroni has ended. So whoever ends a node ends both.
//!
//! `docs/HIGH_AVAILABILITY.md` says what each setting is for.

mod etcd;
mod network;
mod node;
mod options;
mod part;
mod patroni;
mod place;
mod proxy;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

pub use network::ClusterNetwork;
pub use node::Member;
pub use options::{ClusterOptions, ClusterPorts};
pub(crate) use part::{Role, Running};

use crate::log;
use crate::ports::free_port;
use crate::postgres::PostgresAddress;
use crate::process::Frozen;
use crate::wait::try_wait_for;
use etcd::Etcd;
use network::Network;
use node::Node;
use place::Place;
use proxy::Proxy;

/// How many servers, and how many nodes of etcd: one of three may be gone.
pub const CLUSTER_NODES: usize = 3;

/// How long the first start may take, which makes a server and copies it twice.
const START_DEADLINE: Duration = Duration::from_secs(180);

/// Ports from one node to the next, when they are not chosen freely.
const PORTS_EACH: u16 = 10;

/// A running cluster; dropping it ends it.
#[derive(Debug)]
pub struct Cluster {
    // The order is that of their ends.
    proxy: Proxy,
    nodes: Vec<Node>,
    etcd: Vec<Etcd>,
    network: Network,
    place: Place,
    options: ClusterOptions,
}

impl Cluster {
    /// Starts etcd, the servers and HAProxy, and waits until the cluster is whole.
    ///
    /// # Errors
    /// When a program is missing, or the cluster is not whole in time.
    pub fn start(options: ClusterOptions) -> anyhow::Result<Self> {
        let place = Place::make(options.dir.as_deref())?;
        let network = Network::make(options.network, CLUSTER_NODES)?;
        let ports = |node: usize| -> anyhow::Result<[u16; 4]> {
            let base = options.ports.nodes;
            if base == 0 {
                return Ok([free_port()?, free_port()?, free_port()?, free_port()?]);
            }
            let first = base + PORTS_EACH * u16::try_from(node)?;
            Ok([first, first + 1, first + 2, first + 3])
        };
        let ports = (0..CLUSTER_NODES).map(ports).collect::<anyhow::Result<Vec<_>>>()?;
        let etcd_ports: Vec<[u16; 2]> = ports.iter().map(|ports| [ports[2], ports[3]]).collect();
        let etcd = etcd::start(&place, network.host(), &etcd_ports)?;
        let nodes = (0..CLUSTER_NODES)
            .map(|number| Node::new(&place, &network, number, [ports[number][0], ports[number][1]]))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let proxy = Proxy::start(&options, &place, &nodes)?;
        let mut cluster = Self { proxy, nodes, etcd, network, place, options };
        for number in 0..CLUSTER_NODES {
            cluster.start_node(number)?;
        }
        cluster.wait_until_whole(START_DEADLINE)?;
        try_wait_for(START_DEADLINE, "HAProxy to find the primary", || {
            cluster.write_address().execute("postgres", "SELECT 1").map(|()| true)
        })?;
        Ok(cluster)
    }

    /// Where the primary is reached, whichever server it is. Connections end when the primary changes.
    #[must_use]
    pub fn write_address(&self) -> PostgresAddress {
        self.address("127.0.0.1", self.proxy.write_port(), self.proxy.log())
    }

    /// Where a standby is reached, whichever it is.
    #[must_use]
    pub fn read_address(&self) -> PostgresAddress {
        self.address("127.0.0.1", self.proxy.read_port(), self.proxy.log())
    }

    /// Where this server is reached, whatever its role is.
    #[must_use]
    pub fn node_address(&self, number: usize) -> PostgresAddress {
        let node = &self.nodes[number];
        self.address(node.host(), node.port(), node.log())
    }

    /// The URL of HAProxy's page of statistics.
    #[must_use]
    pub fn statistics_url(&self) -> String {
        format!("http://127.0.0.1:{}/stats", self.proxy.statistics_port())
    }

    /// The name of a node, by which Patroni and HAProxy know it.
    #[must_use]
    pub fn name(&self, number: usize) -> &str {
        self.nodes[number].name()
    }

    fn address(&self, host: &str, port: u16, log: &Path) -> PostgresAddress {
        PostgresAddress {
            version: patroni::POSTGRES_MAJOR,
            host: host.to_owned(),
            port,
            // The servers have no Unix socket: the name of a host in its place leads over TCP.
            socket_dir: PathBuf::from(host),
            user: self.options.user.clone(),
            password: self.options.password.clone(),
            bin_dir: self.place.bin_dir().to_owned(),
            log: log.to_owned(),
            ca: None,
        }
    }

    /// The node that says of itself that it is the primary, among those that can be asked.
    #[must_use]
    pub fn primary(&self) -> Option<usize> {
        (0..self.nodes.len()).find(|&number| self.nodes[number].is_primary())
    }

    /// The cluster as Patroni sees it, asked at any node that answers.
    ///
    /// # Errors
    /// When none answers.
    pub fn members(&self) -> anyhow::Result<Vec<Member>> {
        let mut answers = self.nodes.iter().map(Node::members);
        answers.find_map(Result::ok).context("no Patroni of the cluster answers")
    }

    /// Waits until all servers run, and both standbys stream on the primary's timeline.
    ///
    /// # Errors
    /// When that does not happen in time; the message says what is missing.
    pub fn wait_until_whole(&self, deadline: Duration) -> anyhow::Result<()> {
        try_wait_for(deadline, "the cluster to be whole", || {
            let members = self.members()?;
            anyhow::ensure!(members.len() == CLUSTER_NODES, "members: {members:?}");
            let leader = members.iter().find(|member| member.is_leader());
            let leader = leader.with_context(|| format!("no leader: {members:?}"))?;
            let is_well = |member: &Member| member.is_well(leader);
            anyhow::ensure!(members.iter().all(is_well), "members: {members:?}");
            anyhow::Ok(true)
        })
    }

    /// Waits until both standbys have copied this logical slot of the primary, so that it outlives a failover.
    ///
    /// # Errors
    /// When that does not happen in time.
    pub fn wait_until_copied(&self, slot: &str, deadline: Duration) -> anyhow::Result<()> {
        let copied = format!(
            "SELECT 1 / (SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{slot}' AND failover AND NOT temporary
               AND invalidation_reason IS NULL AND (synced OR NOT pg_is_in_recovery()))"
        );
        try_wait_for(deadline, &format!("the standbys to copy slot {slot}"), || {
            for number in 0..self.nodes.len() {
                self.node_address(number)
                    .execute("postgres", &copied)
                    .with_context(|| format!("{} does not have it", self.name(number)))?;
            }
            anyhow::Ok(true)
        })
    }

    /// Kills Patroni and all processes of the server, as `kill -9` does and as a machine that is switched off.
    ///
    /// # Errors
    /// When a process does not end.
    pub fn kill(&mut self, number: usize) -> anyhow::Result<()> {
        self.nodes[number].kill9()
    }

    /// Starts the Patroni of a node that does not run; it starts the server.
    ///
    /// # Errors
    /// When Patroni does not answer in time.
    pub fn start_node(&mut self, number: usize) -> anyhow::Result<()> {
        let etcd: Vec<String> = self.etcd.iter().map(Etcd::client).collect();
        let names: Vec<&str> = self.nodes.iter().map(Node::name).collect();
        let settings = patroni::Settings {
            options: &self.options,
            place: &self.place,
            etcd: &etcd,
            names: &names,
            network: self.network.access(),
        };
        let configuration = patroni::configuration(&settings, &self.nodes[number]);
        let pgpass = patroni::superuser_pgpass(&self.options, &self.nodes[number]);
        self.nodes[number].start(&self.place, &configuration, &pgpass)
    }

    /// Makes a standby the primary, in order. Returns when Patroni says that it is done.
    ///
    /// # Errors
    /// When Patroni refuses.
    pub fn switch_over(&self, from: usize, to: usize) -> anyhow::Result<()> {
        let password = patroni::rest_password(&self.options);
        self.nodes[from].switch_over(self.name(from), self.name(to), &password)
    }

    /// Takes a node from the network: nobody reaches it, and it reaches nobody.
    ///
    /// # Errors
    /// When the nodes share the network of this machine.
    pub fn cut_off(&self, number: usize) -> anyhow::Result<()> {
        self.network.cut_off(number)
    }

    /// Gives a node that was cut off its network again.
    ///
    /// # Errors
    /// When the nodes share the network of this machine.
    pub fn reconnect(&self, number: usize) -> anyhow::Result<()> {
        self.network.reconnect(number)
    }

    /// Stops a node's processes until the guards are dropped. Nobody gets an answer from it meanwhile.
    ///
    /// # Errors
    /// When the node does not run.
    pub fn freeze(&self, number: usize) -> anyhow::Result<Vec<Frozen>> {
        self.nodes[number].freeze()
    }

    /// The ends of the logs of all nodes and of HAProxy, for a message.
    #[must_use]
    pub fn last_words(&self, lines: usize) -> String {
        let logs = self.nodes.iter().map(Node::log).chain([self.proxy.log()]);
        logs.map(|log| format!("--- {}\n{}\n", log.display(), log::tail(log, lines))).collect()
    }

    /// Processes to record, in the order in which they are to end: name, what it is, which it is, address, log.
    pub(crate) fn processes(&self) -> anyhow::Result<Vec<Running>> {
        let mut all = vec![self.proxy.running()?];
        for node in &self.nodes {
            all.push(node.running()?);
        }
        for etcd in &self.etcd {
            all.push(etcd.running()?);
        }
        Ok(all)
    }

    /// Lets the cluster live on after us.
    pub(crate) fn detach(self) -> anyhow::Result<()> {
        let Self { proxy, nodes, etcd, network, mut place, .. } = self;
        proxy.detach()?;
        nodes.into_iter().try_for_each(Node::detach)?;
        etcd.into_iter().try_for_each(Etcd::detach)?;
        network.keep();
        place.keep();
        Ok(())
    }
}
