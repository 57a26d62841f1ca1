//! Sets of servers that are brought up together and live on in a run directory.
//!
//! In: a profile, a run directory, ports from the environment. Out: detached servers, recorded in the state file.
//! Invariant: either all servers come up, or none is left running. `down` ends what the state file names and nothing
//! else.

mod add;
mod member;
mod orderly;
mod plan;
mod recover;
mod servers;
#[cfg(test)]
mod tests;

use std::path::Path;

use anyhow::Context;

use plan::PRIMARY;
use servers::Servers;

use crate::fs;
use crate::process::{Process, ProcessOptions};
use crate::state::Locked;
pub use crate::state::{Kind, Promotion, Record, State};
pub use add::{Part, add};
pub use member::{start, stop};
pub use plan::Profile;
pub use recover::{Promoted, archive, promote, restore};

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
        "{} is up already; end it with {} first",
        locked.dir().display(),
        locked.command("down")
    );
    prepare(profile, &locked, fresh)?;
    let servers = Servers::start(profile, &locked)?;
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
    let servers = Servers::start(profile, locked)?;
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
            "of the servers in {} these have ended: {}; look at their logs, then end the rest with {}",
            locked.dir().display(),
            missing.join(", "),
            locked.command("down")
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
                "{} runs the profile {}; end it with {} first",
                locked.dir().display(),
                state.profile,
                locked.command("down")
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
        if profile.directories().contains(&PRIMARY) {
            locked.record_promotion(None)?;
        }
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
        data: None,
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
        for profile in Profile::ALL {
            remove_data(profile, locked.dir())?;
        }
        locked.record_promotion(None)?;
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
    let names = profile.directories().iter().chain(&add::NAMES);
    for dir in names.map(|name| run_dir.join(name)) {
        // The stand-in for a directory stays when a checkout is removed, and the next checkout would find it.
        let outside = std::fs::read_link(dir.join("outside")).ok().or(fs::own_substitute(&dir));
        for dir in outside.into_iter().chain([dir]).filter(|dir| dir.is_dir()) {
            fs::remove(&dir)?;
        }
    }
    Ok(())
}
