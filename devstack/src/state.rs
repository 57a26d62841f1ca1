//! The state file: which detached processes belong to a run directory. Beside it, which server was promoted.
//!
//! In and out: `<run dir>/state.json`, `<run dir>/promoted.json`.
//! Invariant: both are read and written under the run directory's lock, and replaced whole. The state goes when the
//! servers have ended. The promotion is a fact about the data, and goes with the data alone.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use rustix::process::Signal;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::postgres::PostgresAddress;
use crate::postmaster;
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
    /// The data directory of a server that may outlive the process: Patroni's PostgreSQL.
    #[serde(default)]
    pub data: Option<PathBuf>,
}

/// A server that takes the writes in place of the one that the profile names first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promotion {
    /// The server that takes the writes.
    pub server: String,
    /// The servers that took them before, the last one at the end.
    pub replaced: Vec<String>,
}

impl Promotion {
    /// `server` is promoted in place of `earlier`, after the promotion `before`.
    pub(crate) fn of(server: &str, earlier: &str, before: Option<&Self>) -> Self {
        let mut replaced = before.map(|before| before.replaced.clone()).unwrap_or_default();
        replaced.retain(|name| name != server && name != earlier);
        replaced.push(earlier.to_owned());
        Self { server: server.to_owned(), replaced }
    }

    /// Whether another server was promoted in place of this one.
    pub(crate) fn replaces(&self, name: &str) -> bool {
        self.replaced.iter().any(|replaced| replaced == name)
    }
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
    /// The server that was promoted, if one was. It is kept in a file of its own.
    #[serde(skip)]
    pub promoted: Option<Promotion>,
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
                if let Some(data) = &record.data {
                    postmaster::end(data, PATIENCE)
                        .with_context(|| format!("cannot end the server of {}", record.name))?;
                }
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

    /// A command of ours on this run directory, as a message names it.
    pub(crate) fn command(&self, words: &str) -> String {
        format!("`devstack {words} --run-dir {}`", self.dir.display())
    }

    fn file(&self) -> PathBuf {
        self.dir.join("state.json")
    }

    /// What is recorded, if anything is.
    pub(crate) fn load(&self) -> anyhow::Result<Option<State>> {
        let file = self.file();
        let state: Option<State> = read(&file).with_context(|| {
            format!(
                "{} is not a state file of ours; end its processes by hand and remove it",
                file.display()
            )
        })?;
        let Some(mut state) = state else { return Ok(None) };
        state.promoted = self.promotion()?;
        Ok(Some(state))
    }

    /// Records `state`.
    pub(crate) fn save(&self, state: &State) -> anyhow::Result<()> {
        replace(&self.file(), state)
    }

    /// Records that nothing runs. A promotion stays recorded.
    pub(crate) fn clear(&self) -> anyhow::Result<()> {
        remove(&self.file())
    }

    fn promotion_file(&self) -> PathBuf {
        self.dir.join("promoted.json")
    }

    /// Which server was promoted, if one was.
    pub(crate) fn promotion(&self) -> anyhow::Result<Option<Promotion>> {
        let file = self.promotion_file();
        read(&file).with_context(|| {
            format!("{} names no promoted server; see which server is the primary", file.display())
        })
    }

    /// Records which server was promoted, or that none was.
    pub(crate) fn record_promotion(&self, promotion: Option<&Promotion>) -> anyhow::Result<()> {
        let file = self.promotion_file();
        match promotion {
            Some(promotion) => replace(&file, promotion),
            None => remove(&file),
        }
    }
}

/// What a file of JSON says, if there is such a file.
fn read<T: DeserializeOwned>(file: &Path) -> anyhow::Result<Option<T>> {
    match std::fs::read(file) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(err) => Err(err.into()),
    }
}

/// Replaces a file of JSON whole. It is on the disk when this returns.
fn replace<T: Serialize>(file: &Path, value: &T) -> anyhow::Result<()> {
    let cannot = || format!("cannot replace {}", file.display());
    let partial = file.with_extension("json.partial");
    let text = serde_json::to_string_pretty(value).with_context(cannot)?;
    crate::fs::write(&partial, &text)?;
    File::open(&partial).and_then(|file| file.sync_all()).with_context(cannot)?;
    std::fs::rename(&partial, file).with_context(cannot)
}

fn remove(file: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(file) {
        Err(err) if err.kind() != std::io::ErrorKind::NotFound => {
            Err(err).with_context(|| format!("cannot remove {}", file.display()))
        }
        _ => Ok(()),
    }
}
