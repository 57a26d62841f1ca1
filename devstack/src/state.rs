//! The state file: which detached processes belong to a run directory.
//!
//! In and out: `<run dir>/state.json`.
//! Invariant: it is read and written under the run directory's lock, and replaced whole.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use crate::postgres::PostgresAddress;
use crate::process::Identity;

/// How long a process may take to end by itself.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a process is, which decides when and how it is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A program of ours: ended first.
    Program,
    /// Redis, PgBouncer or HAProxy.
    Companion,
    /// Kafka Connect.
    Connect,
    /// Kafka.
    Kafka,
    /// PostgreSQL: ended with its `fast` shutdown.
    Postgres,
    /// Patroni with its PostgreSQL server, which it stops in order.
    Patroni,
    /// A node of etcd, which outlives the servers that look into it.
    Etcd,
}

/// A detached process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// What messages call it.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Which process it is.
    pub identity: Identity,
    /// Where it listens, if it does.
    pub endpoint: String,
    /// Its log.
    pub log: PathBuf,
}

/// All of a run directory.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct State {
    /// The profile that was brought up.
    pub profile: String,
    /// Its processes.
    pub processes: Vec<Record>,
    /// The addresses of its PostgreSQL servers.
    pub postgres: BTreeMap<String, PostgresAddress>,
    /// The server that was promoted, and takes the writes in place of the one that the profile names first.
    #[serde(default)]
    pub promoted: Option<String>,
    /// Kafka's `host:port`.
    pub kafka_bootstrap: String,
    /// The REST address of Kafka Connect, once somebody asked for it.
    pub connect_url: Option<String>,
}

impl State {
    /// Whether anything runs of what is recorded.
    pub(crate) fn any_alive(&self) -> bool {
        self.processes.iter().any(|record| record.identity.is_alive())
    }

    /// Ends all processes, our programs first, the databases last.
    pub(crate) fn end_all(&self) -> anyhow::Result<()> {
        let mut order: Vec<&Record> = self.processes.iter().collect();
        order.sort_by_key(|record| record.kind);
        for group in order.chunk_by(|one, other| one.kind == other.kind) {
            for record in group {
                record.identity.signal(record.kind.signal());
            }
            for record in group {
                tracing::info!(name = record.name, pid = record.identity.pid, "ending");
                record
                    .identity
                    .end(record.kind.signal(), PATIENCE)
                    .with_context(|| format!("cannot end {}", record.name))?;
            }
        }
        Ok(())
    }
}

impl Kind {
    /// The signal that ends such a process in order.
    fn signal(self) -> Signal {
        match self {
            Self::Postgres => Signal::INT,
            Self::Program
            | Self::Companion
            | Self::Connect
            | Self::Kafka
            | Self::Patroni
            | Self::Etcd => Signal::TERM,
        }
    }
}

/// A run directory that is ours as long as this value lives.
pub(crate) struct Locked {
    dir: PathBuf,
    _lock: File,
}

impl Locked {
    /// Waits for the run directory and takes it.
    pub(crate) fn take(run_dir: &Path) -> anyhow::Result<Self> {
        let dir = crate::fs::make_dir(run_dir)?;
        let lock = File::create(dir.join("lock"))
            .with_context(|| format!("cannot make a lock file in {}", dir.display()))?;
        lock.lock().with_context(|| format!("cannot lock {}", dir.display()))?;
        Ok(Self { dir, _lock: lock })
    }

    /// The absolute run directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    fn file(&self) -> PathBuf {
        self.dir.join("state.json")
    }

    /// What is recorded, if anything is.
    pub(crate) fn load(&self) -> anyhow::Result<Option<State>> {
        let file = self.file();
        match std::fs::read(&file) {
            Ok(bytes) => {
                let state = serde_json::from_slice(&bytes).with_context(|| {
                    format!(
                        "{} is not a state file of ours; end its processes by hand and remove it",
                        file.display()
                    )
                })?;
                Ok(Some(state))
            }
            Err(err) if err.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(err) => Err(err).with_context(|| format!("cannot read {}", file.display())),
        }
    }

    /// Records `state`.
    pub(crate) fn save(&self, state: &State) -> anyhow::Result<()> {
        let partial = self.dir.join("state.json.partial");
        crate::fs::write(
            &partial,
            &serde_json::to_string_pretty(state).context("cannot write the state as JSON")?,
        )?;
        std::fs::rename(&partial, self.file()).context("cannot replace the state file")
    }

    /// Records that nothing runs.
    pub(crate) fn clear(&self) -> anyhow::Result<()> {
        match std::fs::remove_file(self.file()) {
            Err(err) if err.kind() != std::io::ErrorKind::NotFound => {
                Err(err).context("cannot remove the state file")
            }
            _ => Ok(()),
        }
    }
}
