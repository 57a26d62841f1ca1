//! One PostgreSQL server of a run directory that is up: stopped and started while the others go on.
//!
//! In: a run directory and a name. Out: the server stopped, or running and recorded anew. Invariant: under the run
//! directory's lock, so that the state file names a server as long as it runs. A server that is stopped stays in the
//! state file, as one that has ended: `status` shows it, and `down` has nothing to end.

use std::path::Path;

use anyhow::Context;

use super::orderly::stop_in_order;
use super::plan::{Planned, Profile};
use super::servers::{record, start_planned};
use crate::postgres::{Postgres, PostgresAddress};
use crate::state::{Kind, Locked, Record, State};

/// Stops a server in order. Stopping a stopped server does nothing.
pub fn stop(run_dir: &Path, name: &str) -> anyhow::Result<()> {
    let (_locked, state) = loaded(run_dir)?;
    let record = find(&state, name)?;
    stop_in_order(name, &record.identity, state.postgres.get(name))
}

/// Starts a server that was stopped or has ended, on its data and where it listened.
pub fn start(run_dir: &Path, name: &str) -> anyhow::Result<Record> {
    let (locked, mut state) = loaded(run_dir)?;
    let old = find(&state, name)?;
    anyhow::ensure!(
        !old.identity.is_alive(),
        "{name} runs already, as process {}; end it with {} first",
        old.identity.pid,
        locked.command(&format!("stop {name}"))
    );
    let (planned, primary) = planned(&locked, &state, name)?;
    let server = start_planned(planned, primary.as_ref())?;
    keep(&locked, &mut state, name, server)
}

/// How a server is started as things are now: where it listened, and as a replica of the server that takes the writes,
/// unless it is that one. Also that server's address.
pub(super) fn planned(
    locked: &Locked,
    state: &State,
    name: &str,
) -> anyhow::Result<(Planned, Option<PostgresAddress>)> {
    let plan = plan_of(locked, state)?;
    let primary = primary(&plan)?;
    let mut planned = plan
        .into_iter()
        .find(|planned| planned.name == name)
        .with_context(|| format!("the profile {} has no server {name}", state.profile))?;
    if let Some(address) = state.postgres.get(name) {
        planned.options = planned.options.port(address.port);
    }
    Ok((planned, state.postgres.get(primary).cloned()))
}

/// The plan of a run directory that is up.
pub(super) fn plan_of(locked: &Locked, state: &State) -> anyhow::Result<Vec<Planned>> {
    let profile = Profile::of_name(&state.profile)
        .with_context(|| format!("no profile is called {}", state.profile))?;
    profile.postgres_now(locked.dir(), state.promoted.as_ref())
}

/// The name of the server that takes the writes.
pub(super) fn primary(plan: &[Planned]) -> anyhow::Result<&'static str> {
    plan.first().map(|planned| planned.name).context("this profile has no PostgreSQL server")
}

/// Records a server that was started, and lets it live on.
pub(super) fn keep(
    locked: &Locked,
    state: &mut State,
    name: &str,
    server: Postgres,
) -> anyhow::Result<Record> {
    let new = record(name, &server)?;
    state.processes.retain(|record| record.name != name);
    state.processes.push(new.clone());
    state.postgres.insert(name.to_owned(), server.address().clone());
    // Recorded first and detached afterwards, so that no running server is unknown.
    locked.save(state)?;
    server.detach()?;
    Ok(new)
}

pub(super) fn loaded(run_dir: &Path) -> anyhow::Result<(Locked, State)> {
    anyhow::ensure!(run_dir.exists(), "nothing is up in {}", run_dir.display());
    let locked = Locked::take(run_dir)?;
    let state =
        locked.load()?.with_context(|| format!("nothing is up in {}", locked.dir().display()))?;
    Ok((locked, state))
}

/// The record of a PostgreSQL server.
pub(super) fn find<'a>(state: &'a State, name: &str) -> anyhow::Result<&'a Record> {
    let servers = state.processes.iter().filter(|record| record.kind == Kind::Postgres);
    let names: Vec<&str> = servers.clone().map(|record| record.name.as_str()).collect();
    servers.into_iter().find(|record| record.name == name).with_context(|| {
        format!("no PostgreSQL server here is called {name}: {}", names.join(", "))
    })
}
