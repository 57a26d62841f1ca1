//! What is added to a run directory that is up: Redis, PgBouncer, HAProxy.
//!
//! In: a run directory and a part. Out: the part running, detached and recorded; `down` ends it after the programs and
//! before the databases. Invariant: under the run directory's lock. A part that runs already is found.

use std::path::Path;

use anyhow::Context;

use super::plan::{port_from, variable_or};
use crate::companion::{Companion, CompanionOptions};
use crate::haproxy::Haproxy;
use crate::pgbouncer::Pgbouncer;
use crate::redis::Redis;
use crate::state::{Kind, Locked, Record, State};

/// Connections of PgBouncer to the server, for each database and role.
const POOL_SIZE: u16 = 20;

/// The names of what can be added, which are those of their directories.
pub(super) const NAMES: [&str; 3] = ["redis", "pgbouncer", "haproxy"];

/// What is added.
#[derive(Debug, Clone)]
pub enum Part {
    /// Redis on `VAULTSTREAM_REDIS_PORT` (6380), with `BOOKING_REDIS_PASSWORD`.
    Redis,
    /// PgBouncer on `VAULTSTREAM_PGBOUNCER_PORT` (6432), before a server of the run directory, for roles.
    Pgbouncer {
        /// The server, as the state file names it.
        server: String,
        /// The roles, which exist.
        roles: Vec<String>,
    },
    /// HAProxy on a port, before instances on other ports.
    Haproxy {
        /// Its port.
        port: u16,
        /// The instances' ports.
        instances: Vec<u16>,
    },
}

/// Starts a part, or finds it running.
pub fn add(run_dir: &Path, part: &Part) -> anyhow::Result<Record> {
    anyhow::ensure!(run_dir.exists(), "nothing is up in {}", run_dir.display());
    let locked = Locked::take(run_dir)?;
    let mut state =
        locked.load()?.with_context(|| format!("nothing is up in {}", locked.dir().display()))?;
    let name = part.name();
    let runs = |record: &&Record| record.name == name && record.identity.is_alive();
    if let Some(record) = state.processes.iter().find(runs) {
        return Ok(record.clone());
    }
    let companion = part.start(locked.dir(), &state)?;
    let record = Record {
        name: name.to_owned(),
        kind: Kind::Companion,
        identity: companion.identity()?,
        endpoint: format!("127.0.0.1:{}", companion.port()),
        log: companion.log().to_owned(),
        data: None,
    };
    state.processes.retain(|record| record.name != name);
    state.processes.push(record.clone());
    locked.save(&state)?;
    companion.detach()?;
    Ok(record)
}

impl Part {
    fn name(&self) -> &'static str {
        match self {
            Self::Redis => NAMES[0],
            Self::Pgbouncer { .. } => NAMES[1],
            Self::Haproxy { .. } => NAMES[2],
        }
    }

    fn start(&self, dir: &Path, state: &State) -> anyhow::Result<Companion> {
        let options = |port, variable: Option<&str>| CompanionOptions {
            port,
            port_variable: variable.map(str::to_owned),
            dir: Some(dir.join(self.name())),
        };
        let from =
            |variable, default| anyhow::Ok(options(port_from(variable, default)?, Some(variable)));
        Ok(match self {
            Self::Redis => {
                let password = variable_or("BOOKING_REDIS_PASSWORD", "booking_redis_password");
                Redis::start(&from("VAULTSTREAM_REDIS_PORT", 6380)?, &password)?.into_companion()
            }
            Self::Pgbouncer { server, roles } => {
                let address = state
                    .postgres
                    .get(server)
                    .with_context(|| format!("no PostgreSQL server here is called {server}"))?;
                let roles: Vec<&str> = roles.iter().map(String::as_str).collect();
                let options = from("VAULTSTREAM_PGBOUNCER_PORT", 6432)?;
                Pgbouncer::start(&options, address, &roles, POOL_SIZE)?.into_companion()
            }
            Self::Haproxy { port, instances } => {
                let options = options(*port, Some("VAULTSTREAM_BOOKING_PORT"));
                Haproxy::start(&options, instances)?.into_companion()
            }
        })
    }
}
