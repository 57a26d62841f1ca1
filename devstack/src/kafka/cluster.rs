//! Three Kafka nodes, each broker and controller, that know clients and each other by TLS and SASL/SCRAM.
//!
//! In: [`KafkaClusterOptions`]. Out: a cluster on 127.0.0.1 whose nodes can be stopped, killed, frozen, started again,
//! restarted in turn, and replaced by empty ones; logins of its users; rights.
//!
//! Each topic has three replicas and takes no record that fewer than two of them have. With one node away everything
//! goes on. With two away there is no majority of controllers either: nothing is acknowledged until one is back. The
//! settings are those of the composition (`deploy/kafka/cluster/node.properties`).
//!
//! Invariant: a node keeps its ports for as long as the cluster lives; nobody but this machine reaches it.

mod node;
mod options;
mod rights;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::metadata::Metadata;

pub use options::KafkaClusterOptions;
pub use rights::Right;

use self::node::{Common, NUMBERS, Node};
use self::options::ADMIN;
use super::java;
use crate::process::Frozen;
use crate::wait::try_wait_for;
use crate::{artifacts, fs, ports, tls};

/// How long replicas may take until they are in sync again, and a new node until it is a voter.
const SYNC_DEADLINE: Duration = Duration::from_secs(180);

/// How long the cluster may take for one answer.
const ANSWER: Duration = Duration::from_secs(10);

/// How often the cluster is started on other ports when somebody took one of them first.
const PORT_ATTEMPTS: usize = 3;

/// A running cluster; dropping it ends it and removes its data.
#[derive(Debug)]
pub struct KafkaCluster {
    options: KafkaClusterOptions,
    libs: PathBuf,
    dir: PathBuf,
    nodes: Vec<Node>,
}

impl KafkaCluster {
    /// Makes certificates, formats the nodes' data directories and starts all of them.
    ///
    /// # Errors
    /// When a node does not answer.
    pub fn start(options: KafkaClusterOptions) -> anyhow::Result<Self> {
        let libs = artifacts::kafka_libs()?;
        let mut attempt = 1;
        loop {
            let mut cluster = Self {
                options: options.clone(),
                libs: libs.clone(),
                dir: fs::temp_dir("vaultstream-cluster-")?,
                nodes: Vec::new(),
            };
            let started = cluster.start_first();
            let lost = cluster.nodes.iter().any(|node| ports::were_taken(node.log()));
            match started {
                Err(_) if lost && attempt < PORT_ATTEMPTS => attempt += 1,
                Err(error) => return Err(error),
                Ok(()) => return Ok(cluster),
            }
        }
    }

    fn start_first(&mut self) -> anyhow::Result<()> {
        tls::authority(&fs::make_dir(&self.tls())?)?;
        for number in NUMBERS {
            self.nodes.push(Node::new(number, &self.dir)?);
        }
        self.renew_certificates()?;
        self.at_once(&NUMBERS, |node, common| {
            node.prepare(common)?;
            node.start(common)
        })
    }

    fn tls(&self) -> PathBuf {
        self.dir.join("tls")
    }

    /// Does something with several nodes at the same time: one alone would wait for a majority.
    fn at_once(
        &mut self,
        numbers: &[usize],
        act: impl Fn(&mut Node, &Common<'_>) -> anyhow::Result<()> + Sync,
    ) -> anyhow::Result<()> {
        let tls = self.tls();
        let common = Common {
            client: self.client(ADMIN)?,
            controllers: self.nodes.iter().map(Node::voter).collect(),
            options: &self.options,
            libs: &self.libs,
            tls: &tls,
        };
        let (act, common) = (&act, &common);
        std::thread::scope(|scope| {
            let wanted = self.nodes.iter_mut().filter(|node| numbers.contains(&node.number()));
            let threads: Vec<_> =
                wanted.map(|node| scope.spawn(move || act(node, common))).collect();
            threads.into_iter().try_for_each(|thread| match thread.join() {
                Ok(outcome) => outcome,
                Err(_) => anyhow::bail!("a thread that handled a node panicked"),
            })
        })
    }

    fn node(&mut self, number: usize) -> anyhow::Result<&mut Node> {
        let node = self.nodes.iter_mut().find(|node| node.number() == number);
        node.with_context(|| format!("there is no node {number}"))
    }

    /// Ends a node in order. Its partitions get other leaders before it ends.
    pub fn stop(&mut self, number: usize) -> anyhow::Result<()> {
        self.node(number)?.stop()
    }

    /// Kills a node, as `kill -9` does, and waits until it is gone.
    pub fn kill9(&mut self, number: usize) -> anyhow::Result<()> {
        self.node(number)?.kill9();
        Ok(())
    }

    /// Stops a node's process until the guard is dropped, as a machine that hangs would.
    pub fn freeze(&mut self, number: usize) -> anyhow::Result<Frozen> {
        self.node(number)?.freeze()
    }

    /// Starts nodes that were stopped or killed, on the same ports and data, and waits until they answer. A cluster
    /// without a majority of nodes needs as many of them at once as make one.
    pub fn start_again(&mut self, numbers: &[usize]) -> anyhow::Result<()> {
        self.at_once(numbers, Node::start)
    }

    /// Takes the data of a node that does not run, and starts an empty one in its place. See
    /// [`KafkaCluster::wait_until_whole`].
    pub fn replace(&mut self, number: usize) -> anyhow::Result<()> {
        self.at_once(&[number], |node, common| {
            node.lose_data(common)?;
            node.start(common)
        })
    }

    /// Restarts every node, the next one when all replicas are in sync again. `meanwhile` is called when a node is
    /// back.
    pub fn restart_in_turn(
        &mut self,
        mut meanwhile: impl FnMut(usize) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        for number in NUMBERS {
            self.stop(number)?;
            self.start_again(&[number])?;
            self.wait_until_in_sync()?;
            meanwhile(number)?;
        }
        Ok(())
    }

    /// Gives every node a new key and a new certificate of the same authority, for its next start.
    pub fn renew_certificates(&self) -> anyhow::Result<()> {
        self.nodes.iter().try_for_each(|node| node.certify(&self.tls()))
    }

    /// The nodes that run.
    pub fn running(&self) -> Vec<usize> {
        self.nodes.iter().filter(|node| node.runs()).map(Node::number).collect()
    }

    /// Waits until all nodes are there and every partition has all its replicas in sync.
    pub fn wait_until_in_sync(&self) -> anyhow::Result<()> {
        try_wait_for(SYNC_DEADLINE, "all replicas to be in sync", || {
            // A new client each time: one that has met a broker just coming back may know no brokers at all.
            let client: BaseConsumer = self.client(ADMIN)?.create()?;
            in_sync(&client.fetch_metadata(None, ANSWER)?)
        })
    }

    /// Waits until everything is in sync and every node has a vote, an empty one that took a lost one's place included.
    pub fn wait_until_whole(&self) -> anyhow::Result<()> {
        self.wait_until_in_sync()?;
        let wanted: Vec<String> =
            self.nodes.iter().map(Node::directory).collect::<Result<_, _>>()?;
        let what = "every node to be a voter";
        try_wait_for(SYNC_DEADLINE, what, || {
            let voters = self.tool(
                "org.apache.kafka.tools.MetadataQuorumCommand",
                &["--bootstrap-server", &self.bootstrap(), "describe", "--status"],
            )?;
            let line = voters.lines().find(|line| line.starts_with("CurrentVoters:"));
            let line = line.context("Kafka names no voters")?;
            let missing = wanted.iter().find(|directory| !line.contains(directory.as_str()));
            anyhow::ensure!(missing.is_none(), "{missing:?} is not among {line}");
            Ok(true)
        })
    }

    /// Allows a user operations.
    pub fn allow(&self, user: &str, rights: &[Right]) -> anyhow::Result<()> {
        self.options.password(user)?;
        rights.iter().try_for_each(|right| {
            let bootstrap = self.bootstrap();
            let own = ["--bootstrap-server", &bootstrap].map(str::to_owned);
            let arguments = [own.to_vec(), right.arguments(user)].concat();
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            self.tool("org.apache.kafka.tools.AclCommand", &arguments).map(drop)
        })
    }

    /// Runs one of Kafka's own programs as the user who may do everything.
    fn tool(&self, class: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let path = self.dir.join("admin.properties");
        if !path.exists() {
            let lines =
                self.login(ADMIN)?.into_iter().map(|(name, value)| format!("{name}={value}\n"));
            fs::write_secret(&path, &lines.collect::<String>())?;
        }
        let path = path.display().to_string();
        let arguments: Vec<String> = [&["--command-config", &path], arguments]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect();
        java::tool(&self.libs, class, &arguments)
    }

    /// `host:port` of every node, for `bootstrap.servers`.
    pub fn bootstrap(&self) -> String {
        self.nodes.iter().map(Node::bootstrap).collect::<Vec<_>>().join(",")
    }

    /// What a user's client sets, by the names of Kafka's Java clients.
    pub fn login(&self, user: &str) -> anyhow::Result<Vec<(&'static str, String)>> {
        const SCRAM: &str = "org.apache.kafka.common.security.scram.ScramLoginModule";
        let password = self.options.password(user)?;
        let jaas = format!("{SCRAM} required username=\"{user}\" password=\"{password}\";");
        Ok(vec![
            ("security.protocol", "SASL_SSL".to_owned()),
            ("sasl.mechanism", "SCRAM-SHA-512".to_owned()),
            ("sasl.jaas.config", jaas),
            ("ssl.truststore.type", "PEM".to_owned()),
            ("ssl.truststore.location", self.authority().display().to_string()),
        ])
    }

    /// The authority that clients trust, in PEM.
    fn authority(&self) -> PathBuf {
        self.tls().join("ca.crt")
    }

    /// A user's client of librdkafka.
    pub fn client(&self, user: &str) -> anyhow::Result<ClientConfig> {
        let mut client = ClientConfig::new();
        client
            .set("bootstrap.servers", self.bootstrap())
            .set("client.id", "devstack")
            .set("security.protocol", "sasl_ssl")
            .set("sasl.mechanism", "SCRAM-SHA-512")
            .set("sasl.username", user)
            .set("sasl.password", self.options.password(user)?)
            .set("ssl.ca.location", self.authority().display().to_string());
        Ok(client)
    }

    /// The log of a node.
    pub fn log(&mut self, number: usize) -> anyhow::Result<PathBuf> {
        Ok(self.node(number)?.log().to_owned())
    }
}

impl Drop for KafkaCluster {
    fn drop(&mut self) {
        // Nobody will read this data, so the nodes need not end in order.
        self.nodes.iter_mut().for_each(Node::kill9);
        let _ = fs::remove(Path::new(&self.dir));
    }
}

/// Whether all nodes are there and every partition has all its replicas.
fn in_sync(metadata: &Metadata) -> anyhow::Result<bool> {
    let brokers = metadata.brokers().len();
    anyhow::ensure!(brokers == NUMBERS.len(), "there are {brokers} brokers");
    for topic in metadata.topics() {
        for partition in topic.partitions() {
            let (isr, replicas) = (partition.isr().len(), partition.replicas().len());
            anyhow::ensure!(
                isr == replicas && replicas > 0,
                "{} {}: {isr} of {replicas} replicas are in sync",
                topic.name(),
                partition.id()
            );
        }
    }
    Ok(true)
}
