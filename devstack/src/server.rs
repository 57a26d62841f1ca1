//! The life of a server's process, the same for PostgreSQL, Kafka and Kafka Connect.
//!
//! In: what to run, and a question that only a ready server answers. Out: a running process that can be stopped, killed
//! or let go.
//! Invariant: a server that did not become ready is not left running, and the error shows the end of its log.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use rustix::process::Signal;

use crate::log;
use crate::process::{Identity, Process, ProcessOptions};
use crate::wait::try_wait_for;

/// How long a server may take to stop by itself.
pub(crate) const STOP_DEADLINE: Duration = Duration::from_secs(30);

/// How long a server that never became ready may take to end.
const GIVE_UP_DEADLINE: Duration = Duration::from_secs(10);

/// How many lines of a server's log an error shows.
const LOG_LINES: usize = 15;

/// A server that runs or is stopped. Whoever holds it decides how it ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    name: String,
    log: PathBuf,
    process: Option<Process>,
}

impl Server {
    /// A server that does not run yet; messages call it `name`.
    pub(crate) fn new(name: &str, log: PathBuf) -> Self {
        Self { name: name.to_owned(), log, process: None }
    }

    /// Starts the process and waits until `answers` has no error; `port` is for the message.
    pub(crate) fn start(
        &mut self,
        options: &ProcessOptions,
        port: u16,
        deadline: Duration,
        answers: impl Fn() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        anyhow::ensure!(self.process.is_none(), "{} is running already", self.name);
        let mut process = Process::start(options)?;
        let what = format!("{} to answer on port {port}", self.name);
        let ready = try_wait_for(deadline, &what, || match process.exit_code() {
            Ok(None) => answers().map(|()| Some(true)),
            // A server that has ended ends the wait: that is an error, but not one of the wait.
            _ => Ok(Some(false)),
        });
        match ready {
            Ok(true) => {
                self.process = Some(process);
                Ok(())
            }
            Ok(false) => {
                anyhow::bail!("{} ended as it started; {}", self.name, self.last_words())
            }
            Err(err) => {
                process.end(options.signal_on_our_death(), GIVE_UP_DEADLINE)?;
                Err(err.context(self.last_words()))
            }
        }
    }

    /// Asks the server to stop and waits until it has ended; one that does not is killed. Stopping a stopped server
    /// does nothing.
    pub(crate) fn stop(&mut self, signal: Signal) -> anyhow::Result<()> {
        match self.process.take() {
            Some(mut process) => process.end(signal, STOP_DEADLINE).map(drop),
            None => Ok(()),
        }
    }

    /// Kills the server's process, as `kill -9` does, and waits until it is gone.
    pub(crate) fn kill9(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill9();
        }
    }

    /// Takes the process of a running server, to end it in another way.
    pub(crate) fn take(&mut self) -> Option<Process> {
        self.process.take()
    }

    /// Lets the server live on after us.
    pub(crate) fn detach(&mut self) -> anyhow::Result<()> {
        let process = self.process.take();
        let process =
            process.with_context(|| format!("{} is stopped and cannot be detached", self.name))?;
        process.detach().map(drop)
    }

    /// Which process the server is.
    pub(crate) fn identity(&self) -> anyhow::Result<Identity> {
        let process = self.process.as_ref();
        let process = process.with_context(|| format!("{} is stopped", self.name))?;
        Ok(process.identity().clone())
    }

    /// The file that holds what the server printed.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// The end of the server's log, for a message.
    pub(crate) fn last_words(&self) -> String {
        format!("its log ends:\n{}", log::tail(&self.log, LOG_LINES))
    }
}
