//! One node of a cluster: its directory, its ports, its certificate, its process.
//!
//! In: what all nodes share. Out: `server.properties`, a formatted data directory, a broker that answers.
//! Invariant: a data directory is formatted once with the identity that the voters know it by. A later one, which takes
//! the place of a lost one, gets an identity of its own and joins the voters when it has caught up.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rustix::process::Signal;

use super::options::{BROKER, KafkaClusterOptions};
use crate::kafka::java;
use crate::process::{Frozen, ProcessOptions};
use crate::server::Server;
use crate::tls::{self, Purpose};
use crate::{fs, ports};

/// The text that the composition's nodes have, too.
const PROPERTIES: &str = include_str!("../../../../deploy/kafka/cluster/node.properties");

/// The cluster id of all clusters, which are never connected with each other.
const CLUSTER_ID: &str = "ZGV2c3RhY2stY2x1c3Rlcg";

/// The identities of the first data directories, which the first voters' list names: 16 bytes each.
const DIRECTORIES: [&str; 3] =
    ["ZGV2c3RhY2stbm9kZS0wMQ", "ZGV2c3RhY2stbm9kZS0wMg", "ZGV2c3RhY2stbm9kZS0wMw"];

/// How long a node may take to answer; recovery after a crash included.
const START_DEADLINE: Duration = Duration::from_secs(180);

/// What all nodes share.
pub(super) struct Common<'c> {
    pub(super) options: &'c KafkaClusterOptions,
    pub(super) libs: &'c Path,
    /// where the authority and the certificates are
    pub(super) tls: &'c Path,
    /// `number@host:port` of each controller
    pub(super) controllers: Vec<String>,
    /// how to ask as the user who may do everything, but for the address
    pub(super) client: ClientConfig,
}

/// A node.
#[derive(Debug)]
pub(super) struct Node {
    /// from 1
    number: usize,
    dir: PathBuf,
    client: u16,
    internal: u16,
    controller: u16,
    server: Server,
}

/// The three numbers, as the cluster has them.
pub(super) const NUMBERS: [usize; 3] = [1, 2, 3];

impl Node {
    /// Chooses ports; starts nothing.
    pub(super) fn new(number: usize, cluster: &Path) -> anyhow::Result<Self> {
        let dir = fs::make_dir(&cluster.join(format!("node{number}")))?;
        Ok(Self {
            number,
            client: ports::free_port()?,
            internal: ports::free_port()?,
            controller: ports::free_port()?,
            server: Server::new(&format!("kafka node {number}"), dir.join("kafka.log")),
            dir,
        })
    }

    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// `host:port` for clients.
    pub(super) fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.client)
    }

    /// `number@host:port` of its controller.
    pub(super) fn voter(&self) -> String {
        format!("{}@127.0.0.1:{}", self.number, self.controller)
    }

    pub(super) fn log(&self) -> &Path {
        self.server.log()
    }

    fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    fn properties(&self) -> PathBuf {
        self.dir.join("server.properties")
    }

    /// Writes its configuration and formats its first data directory.
    pub(super) fn prepare(&self, common: &Common<'_>) -> anyhow::Result<()> {
        fs::write_secret(&self.properties(), &self.text(common)?)?;
        let voters = common.controllers.iter().zip(DIRECTORIES);
        let voters = voters.map(|(voter, directory)| format!("{voter}:{directory}"));
        let mut arguments = vec!["--initial-controllers".to_owned()];
        arguments.push(voters.collect::<Vec<_>>().join(","));
        arguments.extend(common.options.format_arguments());
        self.format(common, arguments)
    }

    /// Removes the data of the ended node and formats another, empty directory.
    pub(super) fn lose_data(&self, common: &Common<'_>) -> anyhow::Result<()> {
        anyhow::ensure!(!self.runs(), "kafka node {} runs", self.number);
        fs::remove(&self.data())?;
        self.format(common, vec!["--no-initial-controllers".to_owned()])
    }

    fn format(&self, common: &Common<'_>, more: Vec<String>) -> anyhow::Result<()> {
        let path = self.properties().display().to_string();
        let arguments = ["format", "-t", CLUSTER_ID, "-c", &path].map(str::to_owned);
        let arguments = [arguments.to_vec(), more].concat();
        java::tool(common.libs, "kafka.tools.StorageTool", &arguments).map(drop)
    }

    /// Makes a new key and a new certificate, which the next start uses.
    pub(super) fn certify(&self, tls: &Path) -> anyhow::Result<()> {
        let name = format!("kafka-{}", self.number);
        let subject = format!("/CN={name}");
        let hosts = Some("DNS:localhost, IP:127.0.0.1");
        let files = tls::issue_peer(tls, &name, &Purpose { subject: &subject, hosts })?;
        let read = |path: &Path| {
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
        };
        let store = format!("{}{}", read(&files.key)?, read(&files.cert)?);
        fs::write_secret(&self.keystore(tls), &store)
    }

    fn keystore(&self, tls: &Path) -> PathBuf {
        tls.join(format!("kafka-{}.pem", self.number))
    }

    /// The text of `server.properties`.
    fn text(&self, common: &Common<'_>) -> anyhow::Result<String> {
        let addresses = common.controllers.iter().filter_map(|voter| voter.split_once('@'));
        let addresses: Vec<&str> = addresses.map(|(_, address)| address).collect();
        let values = [
            ("NODE_ID", self.number.to_string()),
            ("DATA_DIR", self.data().display().to_string()),
            ("CONTROLLERS", addresses.join(",")),
            ("LISTEN", "127.0.0.1".to_owned()),
            ("HOST", "127.0.0.1".to_owned()),
            ("CLIENT_PORT", self.client.to_string()),
            ("INTERNAL_PORT", self.internal.to_string()),
            ("CONTROLLER_PORT", self.controller.to_string()),
            ("LOCAL_LISTENER", String::new()),
            ("KEYSTORE", self.keystore(common.tls).display().to_string()),
            ("TRUSTSTORE", common.tls.join("ca.crt").display().to_string()),
            ("BROKER_PASSWORD", common.options.password(BROKER)?.to_owned()),
        ];
        let mut text = PROPERTIES.to_owned();
        for (name, value) in values {
            text = text.replace(&format!("${{{name}}}"), &value);
        }
        anyhow::ensure!(!text.contains("${"), "a name of node.properties has no value");
        for (name, value) in &common.options.settings {
            text.push_str(&format!("{name}={value}\n"));
        }
        Ok(text)
    }

    /// Starts the node and waits until it answers as one of the cluster's brokers. A cluster needs two nodes for that,
    /// so the first node answers when another one has started.
    pub(super) fn start(&mut self, common: &Common<'_>) -> anyhow::Result<()> {
        let options = common.options;
        let start = ProcessOptions::new(java(), self.server.log())
            .args(java::java_options(options.heap_megabytes, options.quick_start))
            .args(["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp"])
            .args([common.libs.join("*")])
            .args(["kafka.Kafka".into(), self.properties()]);
        let (number, port) = (self.number, self.client);
        let mut client = common.client.clone();
        client.set("bootstrap.servers", self.bootstrap());
        self.server.start(&start, port, START_DEADLINE, || answers(number, port, &client))
    }

    /// Ends it in order; one that does not end is killed.
    pub(super) fn stop(&mut self) -> anyhow::Result<()> {
        self.server.stop(Signal::TERM)
    }

    pub(super) fn kill9(&mut self) {
        self.server.kill9();
    }

    pub(super) fn runs(&self) -> bool {
        self.server.identity().is_ok()
    }

    pub(super) fn freeze(&self) -> anyhow::Result<Frozen> {
        Ok(Frozen::with_children(self.server.identity()?))
    }

    /// The identity of its data directory.
    pub(super) fn directory(&self) -> anyhow::Result<String> {
        let path = self.data().join("meta.properties");
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let value = text.lines().find_map(|line| line.strip_prefix("directory.id="));
        Ok(value.context("meta.properties names no directory.id")?.trim().to_owned())
    }
}

/// Asks a broker for the cluster's metadata, in which it has to stand itself.
fn answers(number: usize, port: u16, client: &ClientConfig) -> anyhow::Result<()> {
    anyhow::ensure!(ports::answers(port), "nobody listens");
    let consumer: BaseConsumer = client.create().context("cannot make a kafka client")?;
    let metadata = consumer.fetch_metadata(None, Duration::from_secs(5))?;
    let is_there =
        metadata.brokers().iter().any(|broker| usize::try_from(broker.id()) == Ok(number));
    anyhow::ensure!(is_there, "the cluster does not count it among its brokers yet");
    Ok(())
}
