//! Kafka Connect with Debezium's PostgreSQL connector: what our reader is compared with.
//!
//! In: [`ConnectOptions`]. Out: a distributed worker whose REST interface answers on 127.0.0.1.
//! Invariant: nobody but this machine reaches it, and its heap is bounded.

mod options;
mod rest;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use rustix::process::Signal;

pub use options::ConnectOptions;
pub use rest::ConnectRest;

use crate::kafka::{java, java_options};
use crate::ports::{self, PORT_ATTEMPTS};
use crate::process::{Identity, Process, ProcessOptions};
use crate::wait::try_wait_for;
use crate::{artifacts, fs};

/// How long a worker may take to answer.
const START_DEADLINE: Duration = Duration::from_secs(180);

/// How long a worker may take to stop by itself.
const STOP_DEADLINE: Duration = Duration::from_secs(30);

/// A running worker; dropping it stops it.
#[derive(Debug)]
pub struct Connect {
    options: ConnectOptions,
    dir: PathBuf,
    port: u16,
    process: Option<Process>,
    temporary: bool,
}

impl Connect {
    /// Starts a worker and waits until it has joined its group.
    pub fn start(options: ConnectOptions) -> anyhow::Result<Self> {
        let plugin = artifacts::debezium_plugin()?;
        let (dir, temporary) = match &options.dir {
            Some(dir) => (fs::make_dir(dir)?, false),
            None => (fs::temp_dir("vaultstream-connect-")?, true),
        };
        let mut connect = Self { port: options.port, options, dir, process: None, temporary };
        if connect.port != 0 {
            ports::require_free(connect.port, "kafka connect", None)?;
            connect.configure(&plugin)?;
            connect.start_again()?;
            return Ok(connect);
        }
        for attempt in 1.. {
            connect.port = ports::free_port()?;
            connect.configure(&plugin)?;
            match connect.start_again() {
                Err(err) if attempt < PORT_ATTEMPTS && ports::were_taken(&connect.log()) => {
                    tracing::debug!(port = connect.port, error = %err, "somebody took the port first");
                }
                outcome => {
                    outcome?;
                    break;
                }
            }
        }
        Ok(connect)
    }

    fn configure(&self, plugin: &Path) -> anyhow::Result<()> {
        let properties = self.options.properties(self.port, plugin);
        fs::write(&self.dir.join("connect.properties"), &properties)
    }

    /// Starts a stopped or killed worker on the same port; its connectors go on.
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        anyhow::ensure!(self.process.is_none(), "kafka connect is running already");
        let libs = artifacts::kafka_libs()?;
        let mut start = ProcessOptions::new(java(), self.log())
            .args(java_options(self.options.heap_megabytes, self.options.quick_start))
            .args([
                "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
                "-Dorg.slf4j.simpleLogger.log.io.debezium=info",
                "-cp",
            ])
            .args([libs.join("*")])
            .args([
                "org.apache.kafka.connect.cli.ConnectDistributed".into(),
                self.dir.join("connect.properties"),
            ])
            .dir(&self.dir);
        for (name, value) in &self.options.env {
            start = start.env(name, value);
        }
        let mut process = Process::start(&start)?;
        let rest = self.rest();
        let what = format!("kafka connect to answer on port {}", self.port);
        let ready = try_wait_for(START_DEADLINE, &what, || match process.exit_code() {
            Ok(None) => rest.connectors().map(|_| Some(true)),
            _ => Ok(Some(false)),
        });
        match ready {
            Ok(true) => {
                self.process = Some(process);
                Ok(())
            }
            Ok(false) => anyhow::bail!(
                "kafka connect ended as it started; its log ends:\n{}",
                fs::tail(&self.log(), 15)
            ),
            Err(err) => Err(err.context(format!("its log ends:\n{}", fs::tail(&self.log(), 15)))),
        }
    }

    /// Stops the worker in order and waits until it has ended. Stopping a stopped worker does nothing.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        match self.process.take() {
            Some(mut process) => process.end(Signal::TERM, STOP_DEADLINE).map(drop),
            None => Ok(()),
        }
    }

    /// Kills the worker, as `kill -9` does, and waits until it is gone.
    pub fn kill9(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill9();
        }
    }

    /// Lets the worker live on after us.
    pub(crate) fn detach(mut self) -> anyhow::Result<()> {
        let process = self.process.take().context("a stopped worker cannot be detached")?;
        self.temporary = false;
        process.detach().map(drop)
    }

    /// Which process the worker is.
    pub fn identity(&self) -> anyhow::Result<Identity> {
        self.process
            .as_ref()
            .map(|process| process.identity().clone())
            .context("the worker is stopped")
    }

    /// Its REST interface.
    pub fn rest(&self) -> ConnectRest {
        ConnectRest::new(&format!("http://127.0.0.1:{}", self.port))
    }

    /// The worker's log.
    pub fn log(&self) -> PathBuf {
        self.dir.join("connect.log")
    }
}

impl Drop for Connect {
    fn drop(&mut self) {
        // What a worker knows is in Kafka: no need for an orderly end.
        self.kill9();
        if self.temporary {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}
