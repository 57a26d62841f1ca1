//! One Kafka node, broker and controller in one (`KRaft`).
//!
//! In: [`KafkaOptions`]. Out: a broker that answers on 127.0.0.1.
//! Invariant: nobody but this machine reaches it; its heap is bounded; data and port survive a restart.

mod options;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rustix::process::Signal;

pub use options::KafkaOptions;

use crate::ports::{self, PORT_ATTEMPTS};
use crate::process::{Identity, Process, ProcessOptions};
use crate::wait::try_wait_for;
use crate::{artifacts, fs};

/// How long a broker may take to answer; recovery after a crash included.
const START_DEADLINE: Duration = Duration::from_secs(120);

/// How long a broker may take to stop by itself.
const STOP_DEADLINE: Duration = Duration::from_secs(30);

/// The one cluster id we use: clusters never meet.
const CLUSTER_ID: &str = "ZGV2c3RhY2stY2x1c3Rlcg";

/// A running broker; dropping it stops it.
#[derive(Debug)]
pub struct Kafka {
    options: KafkaOptions,
    libs: PathBuf,
    dir: PathBuf,
    port: u16,
    process: Option<Process>,
    temporary: bool,
}

impl Kafka {
    /// Formats the data directory if there is none yet and starts a broker on it.
    pub fn start(options: KafkaOptions) -> anyhow::Result<Self> {
        let libs = artifacts::kafka_libs()?;
        let (dir, temporary) = match &options.dir {
            Some(dir) => (fs::make_dir(dir)?, false),
            None => (fs::temp_dir("vaultstream-kafka-")?, true),
        };
        let mut kafka = Self { port: options.port, options, libs, dir, process: None, temporary };
        if kafka.port != 0 {
            ports::require_free(kafka.port, "kafka", kafka.options.port_variable.as_deref())?;
            kafka.configure()?;
            kafka.start_again()?;
            return Ok(kafka);
        }
        for attempt in 1.. {
            kafka.port = ports::free_port()?;
            kafka.configure()?;
            match kafka.start_again() {
                Err(err) if attempt < PORT_ATTEMPTS && ports::were_taken(&kafka.log()) => {
                    tracing::debug!(port = kafka.port, error = %err, "somebody took a port first");
                }
                outcome => {
                    outcome?;
                    break;
                }
            }
        }
        Ok(kafka)
    }

    fn configure(&self) -> anyhow::Result<()> {
        let data = self.dir.join("data");
        let properties = self.options.properties(self.port, ports::free_port()?, &data);
        fs::write(&self.properties(), &properties)?;
        if data.join("meta.properties").exists() {
            return Ok(());
        }
        let output = Command::new(java())
            .args([
                "-XX:TieredStopAtLevel=1",
                "-XX:+UseSerialGC",
                "-Xmx128m",
                "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
                "-cp",
            ])
            .arg(self.class_path())
            .args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"])
            .arg(self.properties())
            .output()
            .context("cannot run java; install it with `make setup`")?;
        anyhow::ensure!(
            output.status.success(),
            "kafka's storage tool failed: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    fn properties(&self) -> PathBuf {
        self.dir.join("server.properties")
    }

    fn class_path(&self) -> PathBuf {
        self.libs.join("*")
    }

    /// Starts a stopped or killed broker on the same port and data.
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        anyhow::ensure!(self.process.is_none(), "kafka is running already");
        let mut process = Process::start(
            &ProcessOptions::new(java(), self.log())
                .args(java_options(self.options.heap_megabytes, self.options.quick_start))
                .args(["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp"])
                .args([self.class_path()])
                .args(["kafka.Kafka".into(), self.properties()]),
        )?;
        let what = format!("kafka to answer on port {}", self.port);
        let ready = try_wait_for(START_DEADLINE, &what, || match process.exit_code() {
            Ok(None) => self.answers().map(|()| Some(true)),
            _ => Ok(Some(false)),
        });
        match ready {
            Ok(true) => {
                self.process = Some(process);
                Ok(())
            }
            Ok(false) => anyhow::bail!(
                "kafka ended as it started; its log ends:\n{}",
                fs::tail(&self.log(), 15)
            ),
            Err(err) => {
                process.kill9();
                Err(err.context(format!("its log ends:\n{}", fs::tail(&self.log(), 15))))
            }
        }
    }

    /// Asks the broker for its metadata, as every client does first.
    fn answers(&self) -> anyhow::Result<()> {
        anyhow::ensure!(ports::answers(self.port), "nobody listens");
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.bootstrap())
            .set("client.id", "devstack")
            .create()
            .context("cannot make a kafka client")?;
        let metadata = consumer.fetch_metadata(None, Duration::from_secs(5))?;
        anyhow::ensure!(!metadata.brokers().is_empty(), "it knows no broker yet");
        Ok(())
    }

    /// Stops the broker in order and waits until it has ended. Stopping a stopped broker does nothing.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        match self.process.take() {
            Some(mut process) => process.end(Signal::TERM, STOP_DEADLINE).map(drop),
            None => Ok(()),
        }
    }

    /// Kills the broker, as `kill -9` does, and waits until it is gone.
    pub fn kill9(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill9();
        }
    }

    /// Stops the broker in order and starts it on the same port and data.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.stop()?;
        self.start_again()
    }

    /// Lets the broker live on after us.
    pub(crate) fn detach(mut self) -> anyhow::Result<()> {
        let process = self.process.take().context("a stopped broker cannot be detached")?;
        self.temporary = false;
        process.detach().map(drop)
    }

    /// Which process the broker is.
    pub fn identity(&self) -> anyhow::Result<Identity> {
        self.process
            .as_ref()
            .map(|process| process.identity().clone())
            .context("the broker is stopped")
    }

    /// `host:port`, for `bootstrap.servers`.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The broker's log.
    pub fn log(&self) -> PathBuf {
        self.dir.join("kafka.log")
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        if self.temporary {
            // Nobody will read this data: no need for an orderly end.
            self.kill9();
            let _ = std::fs::remove_dir_all(&self.dir);
        } else if let Err(err) = self.stop() {
            tracing::warn!(error = %err, "cannot stop kafka");
        }
    }
}

/// The Java to run: `JAVA_HOME`'s, else the one in the path.
pub(crate) fn java() -> PathBuf {
    match std::env::var_os("JAVA_HOME") {
        Some(home) if !home.is_empty() => Path::new(&home).join("bin/java"),
        _ => PathBuf::from("java"),
    }
}

/// Options of the Java virtual machine for a server of ours.
pub(crate) fn java_options(heap_megabytes: u32, quick_start: bool) -> Vec<String> {
    let mut options = vec![
        format!("-Xmx{heap_megabytes}m"),
        "-Xms64m".to_owned(),
        "-XX:+ExitOnOutOfMemoryError".to_owned(),
    ];
    if quick_start {
        options.extend(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"].map(str::to_owned));
    }
    options
}
