//! `vault-loader` as a contender.
//!
//! In: a warehouse whose topic holds a scenario, numbers of processes and writers. Out: what loading it took.
//! Invariant: a load counts only if every record is loaded, none is in quarantine, and the vault has exactly the rows
//! more that the scenario adds.
//!
//! Several writers are those of one process, and several processes are members of one consumer group. Both share the
//! partitions of one topic.

use anyhow::Context;
use devstack::{Process, ProcessOptions, binary, free_port};

use super::run::{Measured, Team};
use super::scenario::Scenario;
use super::warehouse::Warehouse;
use super::work::Size;
use crate::bench::airline;
use crate::bench::interrupt::wait;
use crate::bench::usage::Usage;

/// Loads a scenario.
pub(super) fn load(
    warehouse: &Warehouse<'_>,
    team: Team,
    scenario: Scenario,
    size: Size,
) -> anyhow::Result<Measured> {
    if scenario == Scenario::Repeats {
        warehouse.rewind()?;
    }
    let place = warehouse.place;
    let rows_before = warehouse.rows()?;
    let loaded_before = warehouse.loaded()?;
    let wanted = loaded_before + size.records;
    let clock = place.clock(&warehouse.sql)?;
    let mut processes = Processes::start(warehouse, team)?;
    let mut first_commit_seconds = None;
    let loaded = wait(place.patience, &format!("{} records to be loaded", size.records), || {
        processes.require_alive()?;
        let loaded = warehouse.loaded()?;
        if loaded > loaded_before && first_commit_seconds.is_none() {
            first_commit_seconds = Some(clock.seconds());
        }
        Ok((loaded >= wanted).then_some(loaded))
    })
    .with_context(|| processes.log_end())?;
    let cost = clock.stop()?;
    let usage = processes.usage()?;
    processes.end()?;
    anyhow::ensure!(loaded == wanted, "{loaded} records are loaded, there are {wanted}");
    warehouse.require_no_quarantine()?;
    let rows = warehouse.rows()? - rows_before;
    anyhow::ensure!(
        rows == size.vault_rows,
        "{} has added {rows} rows instead of {}",
        scenario.title(),
        size.vault_rows
    );
    Ok(Measured { cost, usage, first_commit_seconds, rows })
}

/// The processes that load: how a team becomes programs is decided here alone.
struct Processes(Vec<Process>);

impl Processes {
    fn start(warehouse: &Warehouse<'_>, team: Team) -> anyhow::Result<Self> {
        let mut processes = Vec::new();
        for number in 1..=team.processes {
            processes.push(start_process(warehouse, number, team.writers)?);
        }
        Ok(Self(processes))
    }

    fn require_alive(&mut self) -> anyhow::Result<()> {
        self.0.iter_mut().try_for_each(|process| airline::require_alive(process, "vault-loader"))
    }

    fn log_end(&self) -> String {
        self.0.iter().map(|process| airline::log_end(process.log())).collect()
    }

    /// What all of them have used together, memory included.
    fn usage(&self) -> anyhow::Result<Usage> {
        let mut all = Usage::default();
        for process in &self.0 {
            let own = Usage::of(process.pid()).context("vault-loader ended too early")?;
            all.user_seconds += own.user_seconds;
            all.system_seconds += own.system_seconds;
            all.peak_resident_bytes += own.peak_resident_bytes;
        }
        Ok(all)
    }

    fn end(self) -> anyhow::Result<()> {
        self.0.into_iter().try_for_each(|process| airline::end(process, "vault-loader"))
    }
}

fn start_process(warehouse: &Warehouse<'_>, number: u16, writers: u16) -> anyhow::Result<Process> {
    let log = warehouse.place.dir.path().join(format!("{}-loader-{number}.log", warehouse.prefix));
    let options = ProcessOptions::new(binary("vault-loader")?, log)
        .args(["run", "--writers", &writers.to_string(), "--model"])
        .args([&warehouse.model])
        .env("VAULT_LOADER__LISTEN", format!("127.0.0.1:{}", free_port()?));
    let options = warehouse
        .loader_environment()
        .into_iter()
        .fold(options, |options, (name, value)| options.env(name, value));
    Process::start(&options)
}
