//! What is done when the primary of a run directory is gone, or holds what it should not: a hot backup is promoted, or
//! the primary is recovered to a point in time.
//!
//! In: a run directory. Out: the promoted or recovered server, recorded.
//!
//! A promotion never leaves two primaries: a primary that still runs is stopped first, in order, so that its standby
//! has every commit. The standby is asked whether it has, and is promoted only then. From then on `start` starts the
//! promoted server as the primary, and the earlier primary as its replica.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use super::member::{find, keep, loaded, plan_of, planned, primary};
use super::orderly::stop_in_order;
use super::plan::ARCHIVE;
use crate::postgres::{Archive, Postgres, PostgresAddress, RecoveryPoint};
use crate::server::STOP_DEADLINE;
use crate::sql;
use crate::state::{Locked, Promotion, Record, State};
use crate::wait::try_wait_for;

/// What a promotion found and made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promoted {
    /// The server in whose place another one was promoted.
    pub earlier: String,
    /// Whether that server was running, and was stopped in order: then no commit is lost.
    pub in_order: bool,
    /// Up to where the promoted server has the earlier one's WAL.
    pub received: String,
}

/// Promotes a standby to be the primary.
///
/// # Errors
/// When it is no standby that runs, or lacks commits of a primary that runs.
pub fn promote(run_dir: &Path, name: &str) -> anyhow::Result<Promoted> {
    let (locked, state) = loaded(run_dir)?;
    let primary = primary(&plan_of(&locked, &state)?)?;
    anyhow::ensure!(
        find(&state, name)?.identity.is_alive(),
        "{name} does not run; start it with {} first",
        locked.command(&format!("start {name}"))
    );
    let address = address(&state, name)?;
    let is_standby = is_standby(address)?;
    // A promotion that was cut off has recorded the server, which may be a standby still: it is promoted now.
    let begun = state.promoted.as_ref().filter(|promotion| promotion.server == name);
    let earlier = match begun.and_then(|promotion| promotion.replaced.last()) {
        Some(earlier) if is_standby => earlier.clone(),
        _ => primary.to_owned(),
    };
    anyhow::ensure!(earlier != name, "{name} is the primary already");
    anyhow::ensure!(is_standby, "{name} is no standby");
    let old = find(&state, &earlier)?;
    let in_order = old.identity.is_alive();
    if in_order {
        stop_after_standby(&locked, &state, &earlier, name)?;
    }
    let received = asked(
        address,
        "SELECT greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())::text",
    )?;
    promote_recorded(&locked, &state, name, &earlier)?;
    Ok(Promoted { earlier, in_order, received })
}

/// Promotes a standby. It is recorded first: a promoted server that nobody knows of would get a primary beside it.
fn promote_recorded(
    locked: &Locked,
    state: &State,
    name: &str,
    earlier: &str,
) -> anyhow::Result<()> {
    let address = address(state, name)?;
    let before = state.promoted.as_ref();
    locked.record_promotion(Some(&Promotion::of(name, earlier, before)))?;
    match asked(address, "SELECT pg_promote(true, 60)::text") {
        Ok(promoted) if promoted == "true" => Ok(()),
        Ok(_) => anyhow::bail!(
            "{name} is not a primary after a minute and may become one yet; see its log, then say {} again",
            locked.command(&format!("promote {name}"))
        ),
        Err(err) if is_standby(address).is_ok_and(|is_standby| is_standby) => {
            locked.record_promotion(before)?;
            Err(err.context(format!(
                "{name} was not promoted; {earlier} does not run, and {} starts it again",
                locked.command(&format!("start {earlier}"))
            )))
        }
        Err(err) => Err(err.context(format!(
            "{name} was asked to be the primary, and is recorded as such; see its log, then say {} again",
            locked.command(&format!("promote {name}"))
        ))),
    }
}

fn is_standby(address: &PostgresAddress) -> anyhow::Result<bool> {
    Ok(asked(address, "SELECT pg_is_in_recovery()::text")? == "true")
}

/// Stops a primary that runs. Its shutdown waits until each standby that is connected has all of its WAL.
fn stop_after_standby(
    locked: &Locked,
    state: &State,
    primary: &str,
    standby: &str,
) -> anyhow::Result<()> {
    let address = address(state, primary)?;
    let streaming = format!(
        "SELECT count(*)::text FROM pg_stat_replication WHERE application_name = '{standby}' AND state = 'streaming'"
    );
    anyhow::ensure!(
        asked(address, &streaming)? == "1",
        "{standby} does not stream from {primary}, which runs, and would lack commits; wait until it streams, or stop {primary} first \
         with {} if these commits may be lost",
        locked.command(&format!("stop {primary}"))
    );
    let data = PathBuf::from(asked(address, "SHOW data_directory")?);
    stop_in_order(primary, &find(state, primary)?.identity, Some(address))?;
    let end = last_checkpoint(address, &data)?;
    let standby_address = self::address(state, standby)?;
    let has_all = format!("SELECT (pg_last_wal_receive_lsn() > '{end}')::text");
    try_wait_for(
        STOP_DEADLINE,
        &format!(
            "{standby} to have the WAL of {primary} up to {end}; {primary} is stopped, {} starts it again",
            locked.command(&format!("start {primary}"))
        ),
        || Ok::<_, anyhow::Error>(asked(standby_address, &has_all)? == "true"),
    )
}

/// Where a server that was stopped in order wrote its last record.
fn last_checkpoint(address: &PostgresAddress, data: &Path) -> anyhow::Result<String> {
    let output = Command::new(address.bin_dir.join("pg_controldata"))
        .arg(data)
        .env("LC_ALL", "C.UTF-8")
        .output()
        .context("cannot run pg_controldata")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let value = |name: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(found, _)| *found == name).map(|(_, value)| value.trim().to_owned())
    };
    let state = value("Database cluster state").context("pg_controldata says nothing")?;
    anyhow::ensure!(
        state == "shut down",
        "the primary did not end in order: {} is {state}; start it again",
        data.display()
    );
    value("Latest checkpoint location").context("pg_controldata names no checkpoint")
}

/// Recovers the primary to a point in time. Gives the record of the recovered server, and where its earlier data lies.
///
/// # Errors
/// When nothing is archived here, or the point is not reached. The primary is then stopped, with the data that it had.
pub fn restore(run_dir: &Path, point: &RecoveryPoint) -> anyhow::Result<(Record, PathBuf)> {
    let (locked, mut state) = loaded(run_dir)?;
    let name = primary(&plan_of(&locked, &state)?)?;
    let (planned, _) = planned(&locked, &state, name)?;
    let running = &find(&state, name)?.identity;
    stop_in_order(name, running, state.postgres.get(name))?;
    let (server, kept) = Postgres::start_restored(planned.options, point)?;
    let record = keep(&locked, &mut state, name, server)?;
    Ok((record, kept))
}

/// The archive of a run directory, and the name of the server that writes to it.
///
/// # Errors
/// When nothing is archived here.
pub fn archive(run_dir: &Path) -> anyhow::Result<(Archive, String)> {
    let (locked, state) = loaded(run_dir)?;
    let dir = locked.dir().join(ARCHIVE);
    anyhow::ensure!(
        dir.exists(),
        "the profile {} archives nothing; bring up the profile backup",
        state.profile
    );
    let name = primary(&plan_of(&locked, &state)?)?.to_owned();
    Ok((Archive::at(&dir)?, name))
}

fn address<'a>(state: &'a State, name: &str) -> anyhow::Result<&'a PostgresAddress> {
    state.postgres.get(name).with_context(|| format!("the address of {name} is unknown"))
}

/// The one text value that a query gives.
fn asked(address: &PostgresAddress, query: &str) -> anyhow::Result<String> {
    let values = sql::column(&address.superuser_on_socket("postgres"), query)?;
    values.into_iter().next().context("the server gave no row")
}
