//! One Kafka node, broker and controller in one (`KRaft`); [`KafkaCluster`] is three of them.
//!
//! In: [`KafkaOptions`]. Out: a broker that answers on 127.0.0.1.
//! Invariant: nobody but this machine reaches it; its heap is bounded; data and port survive a restart.

mod cluster;
mod java;
mod options;
mod secured;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rustix::process::Signal;

pub use cluster::{KafkaCluster, KafkaClusterOptions, Right};
pub(crate) use java::{java, java_options};
pub use options::KafkaOptions;
pub use secured::{Secured, SecuredOptions};

use crate::ports::{self, WantedPort};
use crate::process::{Frozen, Identity, ProcessOptions};
use crate::server::Server;
use crate::{artifacts, fs};

/// How long a broker may take to answer; recovery after a crash included.
const START_DEADLINE: Duration = Duration::from_secs(120);

/// The cluster id of all clusters, which are never connected with each other.
const CLUSTER_ID: &str = "ZGV2c3RhY2stY2x1c3Rlcg";

/// A running broker; dropping it stops it.
#[derive(Debug)]
pub struct Kafka {
    options: KafkaOptions,
    libs: PathBuf,
    dir: PathBuf,
    port: u16,
    server: Server,
    temporary: bool,
    secured: Option<Secured>,
}

impl Kafka {
    /// Formats the data directory if there is none yet and starts a broker on it.
    pub fn start(options: KafkaOptions) -> anyhow::Result<Self> {
        let libs = artifacts::kafka_libs()?;
        let (dir, temporary) = match &options.dir {
            Some(dir) => (fs::make_dir(dir)?, false),
            None => (fs::temp_dir("vaultstream-kafka-")?, true),
        };
        let wanted = WantedPort {
            port: options.port,
            service: "kafka".to_owned(),
            variable: options.port_variable.clone(),
        };
        let server = Server::new("kafka", dir.join("kafka.log"));
        let mut kafka = Self { port: 0, options, libs, dir, server, temporary, secured: None };
        let start = |kafka: &mut Self, port| {
            kafka.port = port;
            kafka.configure()?;
            kafka.start_again()
        };
        wanted.start(&mut kafka, start, |kafka| ports::were_taken(kafka.server.log()))?;
        Ok(kafka)
    }

    fn configure(&mut self) -> anyhow::Result<()> {
        let data = self.dir.join("data");
        let controller = ports::free_port()?;
        let (mut more, mut format) = (String::new(), Vec::new());
        if let Some(options) = &self.options.secured {
            let secured = Secured::prepare(&self.dir)?;
            more = secured.properties(self.port, controller, options);
            format = options.format_arguments();
            self.secured = Some(secured);
        }
        let properties = self.options.properties(self.port, controller, &data, &more);
        fs::write(&self.properties(), &properties)?;
        if data.join("meta.properties").exists() {
            return Ok(());
        }
        let path = self.properties().display().to_string();
        let mut arguments = ["format", "-t", CLUSTER_ID, "-c", &path].map(str::to_owned).to_vec();
        arguments.extend(format);
        java::tool(&self.libs, "kafka.tools.StorageTool", &arguments).map(drop)
    }

    /// Grants a user operations (`Read`, `Write`, …) on all topics whose names begin with `prefix`.
    pub fn grant(&self, user: &str, operations: &[&str], prefix: &str) -> anyhow::Result<()> {
        let bootstrap = self.bootstrap();
        let mut arguments = vec!["--bootstrap-server", &bootstrap, "--add"];
        let principal = format!("User:{user}");
        arguments.extend(["--allow-principal", &principal]);
        for operation in operations {
            arguments.extend(["--operation", operation]);
        }
        arguments.extend(["--topic", prefix, "--resource-pattern-type", "prefixed"]);
        let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
        java::tool(&self.libs, "org.apache.kafka.tools.AclCommand", &arguments).map(drop)
    }

    fn properties(&self) -> PathBuf {
        self.dir.join("server.properties")
    }

    fn class_path(&self) -> PathBuf {
        self.libs.join("*")
    }

    /// Starts a stopped or killed broker on the same port and data.
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        let start = ProcessOptions::new(java(), self.server.log())
            .args(java_options(self.options.heap_megabytes, self.options.quick_start))
            .args(["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp"])
            .args([self.class_path()])
            .args(["kafka.Kafka".into(), self.properties()]);
        let port = self.port;
        self.server.start(&start, port, START_DEADLINE, || answers(port))
    }

    /// Stops the broker in order and waits until it has ended. Stopping a stopped broker does nothing.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        self.server.stop(Signal::TERM)
    }

    /// Kills the broker, as `kill -9` does, and waits until it is gone.
    pub fn kill9(&mut self) {
        self.server.kill9();
    }

    /// Stops the broker's process until the guard is dropped, as a machine that hangs would.
    pub fn freeze(&self) -> anyhow::Result<Frozen> {
        Ok(Frozen::with_children(self.identity()?))
    }

    /// Stops the broker in order and starts it on the same port and data.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.stop()?;
        self.start_again()
    }

    /// Lets the broker live on after us.
    pub(crate) fn detach(mut self) -> anyhow::Result<()> {
        self.server.detach()?;
        self.temporary = false;
        Ok(())
    }

    /// Which process the broker is.
    pub fn identity(&self) -> anyhow::Result<Identity> {
        self.server.identity()
    }

    /// `host:port`, for `bootstrap.servers`.
    pub fn bootstrap(&self) -> String {
        bootstrap(self.port)
    }

    /// The listeners with TLS and SASL.
    ///
    /// # Panics
    /// When the broker was started without any.
    pub fn secured(&self) -> &Secured {
        match &self.secured {
            Some(secured) => secured,
            None => panic!("the broker was started without KafkaOptions::secured"),
        }
    }

    /// The TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The broker's log.
    pub fn log(&self) -> PathBuf {
        self.server.log().to_owned()
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        if self.temporary {
            // Nobody will read this data, so the broker need not end in order.
            self.kill9();
            let _ = std::fs::remove_dir_all(&self.dir);
        } else if let Err(err) = self.stop() {
            tracing::warn!(error = %err, "cannot stop kafka");
        }
    }
}

fn bootstrap(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

/// Asks the broker for its metadata, as every client does first.
fn answers(port: u16) -> anyhow::Result<()> {
    anyhow::ensure!(ports::answers(port), "nobody listens");
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap(port))
        .set("client.id", "devstack")
        .create()
        .context("cannot make a kafka client")?;
    let metadata = consumer.fetch_metadata(None, Duration::from_secs(5))?;
    anyhow::ensure!(!metadata.brokers().is_empty(), "it knows no broker yet");
    Ok(())
}
