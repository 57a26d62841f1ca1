//! One PostgreSQL server of a run directory that is up: stopped and started while the others go on.
//!
//! In: a run directory and a name. Out: the server stopped, or running and recorded anew. Invariant: under the run
//! directory's lock, so that the state file names a server as long as it runs. A server that is stopped stays in the
//! state file, as one that has ended: `status` shows it, and `down` has nothing to end.

use std::path::Path;

use anyhow::Context;
use rustix::process::Signal;

use super::plan::Profile;
use super::servers::{record, start_planned};
use crate::server::STOP_DEADLINE;
use crate::state::{Kind, Locked, Record, State};

/// Stops a server with PostgreSQL's `fast` shutdown. Stopping a stopped server does nothing.
pub fn stop(run_dir: &Path, name: &str) -> anyhow::Result<()> {
    let (_locked, state) = loaded(run_dir)?;
    let record = find(&state, name)?;
    record.identity.end(Signal::INT, STOP_DEADLINE).with_context(|| format!("cannot stop {name}"))
}

/// Starts a server that was stopped or has ended, on its data and where it listened.
pub fn start(run_dir: &Path, name: &str) -> anyhow::Result<Record> {
    let (locked, mut state) = loaded(run_dir)?;
    let old = find(&state, name)?;
    anyhow::ensure!(
        !old.identity.is_alive(),
        "{name} runs already, as process {}; end it with `devstack stop {name}` first",
        old.identity.pid
    );
    let profile = Profile::of_name(&state.profile)
        .with_context(|| format!("no profile is called {}", state.profile))?;
    let plan = profile.postgres(locked.dir())?;
    let primary = plan.first().and_then(|first| state.postgres.get(first.name)).cloned();
    let mut planned = plan
        .into_iter()
        .find(|planned| planned.name == name)
        .with_context(|| format!("the profile {} has no server {name}", state.profile))?;
    if let Some(address) = state.postgres.get(name) {
        planned.options = planned.options.port(address.port);
    }
    let server = start_planned(planned, primary.as_ref())?;
    let new = record(name, &server)?;
    state.processes.retain(|record| record.name != name);
    state.processes.push(new.clone());
    state.postgres.insert(name.to_owned(), server.address().clone());
    // Recorded first and detached afterwards, so that no running server is unknown.
    locked.save(&state)?;
    server.detach()?;
    Ok(new)
}

fn loaded(run_dir: &Path) -> anyhow::Result<(Locked, State)> {
    anyhow::ensure!(run_dir.exists(), "nothing is up in {}", run_dir.display());
    let locked = Locked::take(run_dir)?;
    let state =
        locked.load()?.with_context(|| format!("nothing is up in {}", locked.dir().display()))?;
    Ok((locked, state))
}

/// The record of a PostgreSQL server.
fn find<'a>(state: &'a State, name: &str) -> anyhow::Result<&'a Record> {
    let servers = state.processes.iter().filter(|record| record.kind == Kind::Postgres);
    let names: Vec<&str> = servers.clone().map(|record| record.name.as_str()).collect();
    servers.into_iter().find(|record| record.name == name).with_context(|| {
        format!("no PostgreSQL server here is called {name}: {}", names.join(", "))
    })
}
