//! Sets of servers that are brought up together and live on in a run directory.
//!
//! In: a profile, a run directory, ports from the environment. Out: detached servers, recorded in the state file.
//! Invariant: either all servers come up, or none is left running. `down` ends what the state file names and nothing
//! else.

mod servers;
#[cfg(test)]
mod tests;

use std::path::Path;

use anyhow::Context;

use servers::Servers;

use crate::kafka::KafkaOptions;
use crate::postgres::PostgresOptions;
use crate::process::{Process, ProcessOptions};
use crate::state::Locked;
pub use crate::state::{Kind, Record, State};
use crate::{fs, ports};

/// A set of servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// `primary`, `warehouse` and Kafka on well-known ports, durable, with their databases.
    Demo,
    /// PostgreSQL 15 and 18, a warehouse and Kafka on free ports, not durable.
    Test,
}

impl Profile {
    /// Its name in the state file and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Demo => "demo",
            Self::Test => "test",
        }
    }

    /// The PostgreSQL servers of the profile, each with the database it is made for.
    fn postgres(
        self,
        dir: &Path,
    ) -> anyhow::Result<Vec<(&'static str, PostgresOptions, Option<&'static str>)>> {
        let demo = |name: &'static str, variable: &str, default, database| {
            let options = PostgresOptions::new(15)
                .name(name)
                .port(port_from(variable, default)?)
                .port_variable(variable)
                .dir(dir.join(name))
                // The first load fills empty tables: without fresh statistics the first queries are planned badly.
                .setting("autovacuum_naptime", "5s")
                .superuser(
                    &variable_or("VAULTSTREAM_ADMIN_USER", "admin"),
                    &variable_or("VAULTSTREAM_ADMIN_PASSWORD", "adminpassword"),
                );
            anyhow::Ok((name, options, Some(database)))
        };
        let test = |name: &'static str, version| {
            let options = PostgresOptions::new(version)
                .name(name)
                .dir(dir.join(name))
                .fsync(false)
                .setting("max_connections", "300")
                .setting("max_replication_slots", "50")
                .setting("max_wal_senders", "50");
            (name, options, None)
        };
        match self {
            Self::Demo => Ok(vec![
                demo("primary", "VAULTSTREAM_PRIMARY_PORT", 5432, "airline_tickets")?,
                demo("warehouse", "VAULTSTREAM_DWH_PORT", 5434, "airline_tickets_dwh")?,
            ]),
            Self::Test => {
                Ok(vec![test("postgres15", 15), test("postgres18", 18), test("warehouse", 15)])
            }
        }
    }

    fn kafka(self, dir: &Path) -> anyhow::Result<KafkaOptions> {
        let options = KafkaOptions::default().dir(dir.join("kafka"));
        match self {
            Self::Demo => {
                let variable = "VAULTSTREAM_KAFKA_PORT";
                Ok(options.port(port_from(variable, 9092)?).port_variable(variable))
            }
            // Rows of tests are large at times.
            Self::Test => Ok(options.heap_megabytes(768).setting("message.max.bytes", "10485760")),
        }
    }

    /// The names of what is recorded, has ended, and cannot be done without.
    fn missing(self, state: &State) -> Vec<&str> {
        let ended = state.processes.iter().filter(|record| !record.identity.is_alive());
        // Tests start Kafka Connect and programs when they need them, and again when these have ended.
        let needed =
            |kind: Kind| self == Self::Demo || matches!(kind, Kind::Kafka | Kind::Postgres);
        ended.filter(|record| needed(record.kind)).map(|record| record.name.as_str()).collect()
    }

    /// Names the first taken port before anything is started.
    fn check_ports(self) -> anyhow::Result<()> {
        if self == Self::Demo {
            for (service, variable, default) in [
                ("the primary database", "VAULTSTREAM_PRIMARY_PORT", 5432),
                ("the warehouse database", "VAULTSTREAM_DWH_PORT", 5434),
                ("kafka", "VAULTSTREAM_KAFKA_PORT", 9092),
                ("the reader's REST interface", "VAULTSTREAM_READER_PORT", 8083),
                ("the loader's metrics", "VAULTSTREAM_LOADER_PORT", 8084),
            ] {
                ports::require_free(port_from(variable, default)?, service, Some(variable))?;
            }
        }
        Ok(())
    }
}

/// A word from the environment.
fn variable_or(variable: &str, default: &str) -> String {
    std::env::var(variable)
        .ok()
        .filter(|text| !text.is_empty())
        .unwrap_or_else(|| default.to_owned())
}

/// A port from the environment.
fn port_from(variable: &str, default: u16) -> anyhow::Result<u16> {
    match std::env::var(variable) {
        Ok(text) if !text.is_empty() => match text.parse() {
            Ok(port) if port != 0 => Ok(port),
            _ => anyhow::bail!(
                "{variable} is {text}, which is no port; give a number from 1 to 65535"
            ),
        },
        _ => Ok(default),
    }
}

/// Brings `profile` up in `run_dir`, or finds it running there. `fresh` starts from empty servers.
pub fn up(profile: Profile, run_dir: &Path, fresh: bool) -> anyhow::Result<State> {
    let locked = Locked::take(run_dir)?;
    up_locked(profile, &locked, fresh)
}

/// Brings `profile` up in `run_dir` for as long as this process lives. Returns only with an error.
pub fn hold(profile: Profile, run_dir: &Path, fresh: bool) -> anyhow::Result<()> {
    let locked = Locked::take(run_dir)?;
    anyhow::ensure!(
        find_running(profile, &locked)?.is_none(),
        "{} is up already; end it with `devstack down` first",
        locked.dir().display()
    );
    prepare(profile, &locked, fresh)?;
    let servers = Servers::start(profile, locked.dir())?;
    locked.save(&servers.state(profile)?)?;
    drop(locked);
    loop {
        // Whatever ends this process ends the servers.
        std::thread::park();
    }
}

fn up_locked(profile: Profile, locked: &Locked, fresh: bool) -> anyhow::Result<State> {
    if let Some(state) = find_running(profile, locked)? {
        return Ok(state);
    }
    prepare(profile, locked, fresh)?;
    let servers = Servers::start(profile, locked.dir())?;
    // The servers are recorded first and detached afterwards, so that no running server is unknown, whatever happens in
    // between.
    let state = servers.state(profile)?;
    locked.save(&state)?;
    servers.detach()?;
    Ok(state)
}

/// Like [`up`] with empty servers, for one of many processes that share them. When some servers have ended, other
/// processes may still use the rest.
pub(crate) fn join(profile: Profile, run_dir: &Path) -> anyhow::Result<State> {
    let locked = Locked::take(run_dir)?;
    if let Some(state) = locked.load()? {
        let missing = profile.missing(&state);
        anyhow::ensure!(
            missing.is_empty() || !state.any_alive(),
            "of the servers in {} these have ended: {}; look at their logs, then end the rest with `devstack down`",
            locked.dir().display(),
            missing.join(", ")
        );
    }
    up_locked(profile, &locked, true)
}

/// What runs in the run directory already. When some servers of it have ended, the others are ended too.
fn find_running(profile: Profile, locked: &Locked) -> anyhow::Result<Option<State>> {
    if let Some(state) = locked.load()? {
        let missing = profile.missing(&state);
        if missing.is_empty() {
            anyhow::ensure!(
                state.profile == profile.name(),
                "{} runs the profile {}; end it with `devstack down` first",
                locked.dir().display(),
                state.profile
            );
            return Ok(Some(state));
        }
        tracing::warn!(missing = ?missing, "servers have ended since they were brought up; starting all anew");
        state.end_all()?;
        locked.clear()?;
    }
    Ok(None)
}

fn prepare(profile: Profile, locked: &Locked, fresh: bool) -> anyhow::Result<()> {
    profile.check_ports()?;
    if fresh {
        remove_data(profile, locked.dir())?;
    }
    Ok(())
}

/// Starts a program of ours, detached and recorded, in a run directory that is up.
pub fn spawn(
    run_dir: &Path,
    name: &str,
    endpoint: &str,
    command: &[std::ffi::OsString],
) -> anyhow::Result<Record> {
    let locked = Locked::take(run_dir)?;
    let mut state =
        locked.load()?.with_context(|| format!("nothing is up in {}", locked.dir().display()))?;
    if let Some(old) = state.processes.iter().find(|record| record.name == name) {
        anyhow::ensure!(
            !old.identity.is_alive(),
            "{name} runs already, as process {}",
            old.identity.pid
        );
    }
    let (program, args) = command.split_first().context("no program given")?;
    let log = locked.dir().join(format!("{name}.log"));
    let dir = std::env::current_dir().context("cannot find the working directory")?;
    let process = Process::start(&ProcessOptions::new(program, &log).args(args).dir(dir))?;
    let record = Record {
        name: name.to_owned(),
        kind: Kind::Program,
        identity: process.identity().clone(),
        endpoint: endpoint.to_owned(),
        log,
    };
    state.processes.retain(|record| record.name != name);
    state.processes.push(record.clone());
    locked.save(&state)?;
    process.detach()?;
    Ok(record)
}

/// Ends what runs in `run_dir`; with `purge`, removes its data. Returns what was recorded.
pub fn down(run_dir: &Path, purge: bool) -> anyhow::Result<Option<State>> {
    if !run_dir.exists() {
        return Ok(None);
    }
    let locked = Locked::take(run_dir)?;
    let state = locked.load()?;
    if let Some(state) = &state {
        state.end_all()?;
        locked.clear()?;
    }
    if purge {
        for profile in [Profile::Demo, Profile::Test] {
            remove_data(profile, locked.dir())?;
        }
    }
    Ok(state)
}

/// What is recorded in `run_dir`, if anything is.
pub fn status(run_dir: &Path) -> anyhow::Result<Option<State>> {
    if !run_dir.exists() {
        return Ok(None);
    }
    Locked::take(run_dir)?.load()
}

/// Removes the directories of a profile's servers, and where they lie outside of the run directory.
fn remove_data(profile: Profile, run_dir: &Path) -> anyhow::Result<()> {
    let names: &[&str] = match profile {
        Profile::Demo => &["primary", "warehouse", "kafka"],
        Profile::Test => &["postgres15", "postgres18", "warehouse", "kafka", "connect"],
    };
    for dir in names.iter().map(|name| run_dir.join(name)) {
        // The stand-in for a directory stays when a checkout is removed, and the next checkout would find it.
        let outside = std::fs::read_link(dir.join("outside")).ok().or(fs::own_substitute(&dir));
        for dir in outside.into_iter().chain([dir]).filter(|dir| dir.is_dir()) {
            fs::remove(&dir)?;
        }
    }
    Ok(())
}
