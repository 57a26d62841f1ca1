//! Kafka Connect with Debezium's PostgreSQL connector, with which the reader is compared, and with its JDBC sink, with
//! which the loader is.
//!
//! In: [`ConnectOptions`]. Out: a distributed worker whose REST interface answers on 127.0.0.1.
//! Invariant: nobody but this machine reaches it, and its heap is bounded.

mod options;
mod rest;

use std::path::PathBuf;
use std::time::Duration;

pub use options::ConnectOptions;
pub use rest::ConnectRest;
use rustix::process::Signal;

use crate::kafka::{java, java_options};
use crate::ports::{self, WantedPort};
use crate::process::{Identity, ProcessOptions};
use crate::server::Server;
use crate::{artifacts, fs};

/// How long a worker may take to answer.
const START_DEADLINE: Duration = Duration::from_secs(180);

/// A running worker; dropping it stops it.
#[derive(Debug)]
pub struct Connect {
    options: ConnectOptions,
    dir: PathBuf,
    port: u16,
    server: Server,
    temporary: bool,
}

impl Connect {
    /// Starts a worker and waits until it has joined its group.
    pub fn start(options: ConnectOptions) -> anyhow::Result<Self> {
        let mut plugins = vec![artifacts::debezium_plugin()?];
        if options.jdbc_sink {
            plugins.push(artifacts::debezium_jdbc_plugin()?);
        }
        let (dir, temporary) = match &options.dir {
            Some(dir) => (fs::make_dir(dir)?, false),
            None => (fs::temp_dir("vaultstream-connect-")?, true),
        };
        let wanted =
            WantedPort { port: options.port, service: "kafka connect".to_owned(), variable: None };
        let server = Server::new("kafka connect", dir.join("connect.log"));
        let mut connect = Self { port: 0, options, dir, server, temporary };
        let start = |connect: &mut Self, port| {
            connect.port = port;
            connect.configure(&plugins)?;
            connect.start_again()
        };
        wanted.start(&mut connect, start, |connect| ports::were_taken(connect.server.log()))?;
        Ok(connect)
    }

    fn configure(&self, plugins: &[PathBuf]) -> anyhow::Result<()> {
        let properties = self.options.properties(self.port, plugins);
        fs::write(&self.dir.join("connect.properties"), &properties)
    }

    /// Starts a stopped or killed worker on the same port; its connectors go on.
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        let libs = artifacts::kafka_libs()?;
        let mut start = ProcessOptions::new(java(), self.server.log())
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
        let rest = self.rest();
        self.server.start(&start, self.port, START_DEADLINE, || rest.connectors().map(drop))
    }

    /// Stops the worker in order and waits until it has ended. Stopping a stopped worker does nothing.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        self.server.stop(Signal::TERM)
    }

    /// Kills the worker, as `kill -9` does, and waits until it is gone.
    pub fn kill9(&mut self) {
        self.server.kill9();
    }

    /// Lets the worker live on after us.
    pub(crate) fn detach(mut self) -> anyhow::Result<()> {
        self.server.detach()?;
        self.temporary = false;
        Ok(())
    }

    /// Which process the worker is.
    pub fn identity(&self) -> anyhow::Result<Identity> {
        self.server.identity()
    }

    /// Its REST interface.
    pub fn rest(&self) -> ConnectRest {
        ConnectRest::new(&format!("http://127.0.0.1:{}", self.port))
    }

    /// The worker's log.
    pub fn log(&self) -> PathBuf {
        self.server.log().to_owned()
    }
}

impl Drop for Connect {
    fn drop(&mut self) {
        // All state of a worker is in Kafka, so the worker need not end in order.
        self.kill9();
        if self.temporary {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}
