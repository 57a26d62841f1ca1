//! A warehouse's database, and the loader that fills it.
//!
//! In: a server, the delivered roles and model, a topic prefix. Out: phases: a loader started, awaited, ended, and what
//! it took.
//! Invariant: a phase counts only if every event is loaded and none is in quarantine.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::Context;
use devstack::{
    Kafka, Postgres, Process, ProcessOptions, binary, free_port, programs, workspace_root,
};

use crate::airline::WAREHOUSE_ROLES;
use crate::bench::airline::{self, PASSWORD};
use crate::bench::interrupt::{Patience, wait};
use crate::bench::servers;
use crate::bench::sql::Sql;
use crate::bench::usage::Usage;

/// The role that makes the vault.
const OWNER: &str = "vault_owner";
/// The role that loads it.
const LOADER: &str = "vault_loader";
/// The line of the delivered model that names its source.
const SOURCE_LINE: &str = "name = \"airline\"";

/// A warehouse for the topics of one prefix.
pub(super) struct Warehouse<'a> {
    server: &'a Postgres,
    kafka: &'a Kafka,
    dir: &'a Path,
    database: String,
    model: PathBuf,
    sql: Sql,
}

/// What a phase took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Loaded {
    /// From the start of the process until the last event's transaction is committed.
    pub(super) seconds: f64,
    /// What the loader used until then.
    pub(super) usage: Usage,
    /// What the warehouse's server used meanwhile.
    pub(super) server_cpu_seconds: f64,
    /// Rows that the vault has more than before.
    pub(super) rows: u64,
}

impl<'a> Warehouse<'a> {
    /// Makes an empty warehouse.
    pub(super) fn create(
        server: &'a Postgres,
        kafka: &'a Kafka,
        dir: &'a Path,
        prefix: &str,
    ) -> anyhow::Result<Self> {
        let database = format!("dwh_{prefix}");
        server.address().create_database(&database)?;
        airline::apply(server.address(), &database, "sql/warehouse", &WAREHOUSE_ROLES)?;
        let model = dir.join(format!("{prefix}-vault.toml"));
        std::fs::write(&model, model_of(prefix)?)
            .with_context(|| format!("cannot write {}", model.display()))?;
        let sql = Sql::connect(&server.address().superuser(&database))?;
        let warehouse = Self { server, kafka, dir, database, model, sql };
        warehouse.migrate()?;
        Ok(warehouse)
    }

    fn migrate(&self) -> anyhow::Result<()> {
        let output = Command::new(binary("vault-loader")?)
            .arg("migrate")
            .arg("--model")
            .arg(&self.model)
            .envs(self.environment(OWNER))
            .output()
            .context("cannot run vault-loader")?;
        anyhow::ensure!(
            output.status.success(),
            "vault-loader migrate failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    fn environment(&self, role: &str) -> Vec<(&'static str, String)> {
        let server = self.server.address();
        let mut variables = vec![("VAULT_LOADER__BOOTSTRAP_SERVERS", self.kafka.bootstrap())];
        variables.extend(programs::loader_database(server, &self.database, role, PASSWORD));
        variables
    }

    /// Loads until the offsets have moved on by `events`, and ends the loader.
    pub(super) fn load(&self, events: u64, patience: Patience) -> anyhow::Result<Loaded> {
        let rows_before = self.rows()?;
        let wanted = self.loaded()? + events;
        // Every phase begins with nothing left to write to disk from the one before.
        self.sql.execute("CHECKPOINT")?;
        let server_before = servers::postgres_cpu_seconds(self.server)?;
        let listen = format!("127.0.0.1:{}", free_port()?);
        let started = Instant::now();
        let mut process = self.start(&listen)?;
        let found = wait(patience, &format!("{events} events to be loaded"), || {
            airline::require_alive(&mut process, "vault-loader")?;
            let loaded = self.loaded()?;
            Ok((loaded >= wanted).then_some(loaded))
        })
        .with_context(|| airline::log_end(process.log()))?;
        let seconds = started.elapsed().as_secs_f64();
        let usage = Usage::of(process.pid()).context("vault-loader ended too early")?;
        let server_cpu_seconds = servers::postgres_cpu_seconds(self.server)? - server_before;
        airline::end(process, "vault-loader")?;
        anyhow::ensure!(found == wanted, "{found} events are loaded, there are {wanted}");
        let diverted: i64 = self.sql.value("SELECT count(*) FROM dwh_control.quarantine")?;
        anyhow::ensure!(diverted == 0, "{diverted} events are in quarantine");
        let rows = self.rows()? - rows_before;
        Ok(Loaded { seconds, usage, server_cpu_seconds, rows })
    }

    fn start(&self, listen: &str) -> anyhow::Result<Process> {
        let log = self.dir.join(format!("{}-loader.log", self.database));
        let options = ProcessOptions::new(binary("vault-loader")?, log)
            .args(["run", "--model"])
            .args([&self.model]);
        let options = self
            .environment(LOADER)
            .into_iter()
            .fold(options, |options, (name, value)| options.env(name, value))
            .env("VAULT_LOADER__LISTEN", listen);
        Process::start(&options)
    }

    /// Events that are loaded, by the warehouse's own offsets.
    fn loaded(&self) -> anyhow::Result<u64> {
        let next: i64 = self
            .sql
            .value("SELECT coalesce(sum(next_offset), 0)::bigint FROM dwh_control.offsets")?;
        Ok(u64::try_from(next)?)
    }

    /// Forgets what is loaded: the next loader begins at the first event again.
    pub(super) fn rewind(&self) -> anyhow::Result<()> {
        self.sql.execute("DELETE FROM dwh_control.offsets")
    }

    /// Rows of all hubs, links and satellites.
    fn rows(&self) -> anyhow::Result<u64> {
        let query: String = self.sql.value(
            "SELECT 'SELECT sum(n)::bigint FROM (' || string_agg(
                 format('SELECT count(*) AS n FROM dwh_detailed.%I', tablename), ' UNION ALL '
             ) || ') AS counted'
             FROM pg_tables
             WHERE schemaname = 'dwh_detailed'",
        )?;
        Ok(u64::try_from(self.sql.value::<i64>(&query)?)?)
    }
}

/// The delivered model for topics of another prefix.
fn model_of(prefix: &str) -> anyhow::Result<String> {
    let path = workspace_root().join("connectors/airline/vault.toml");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    anyhow::ensure!(
        text.contains(SOURCE_LINE),
        "{} has no line {SOURCE_LINE}; adjust the bench to the model",
        path.display()
    );
    Ok(text.replacen(SOURCE_LINE, &format!("name = \"{prefix}\""), 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delivered_model_takes_another_prefix() {
        let text = model_of("other").unwrap();
        assert!(text.contains("name = \"other\"") && !text.contains(SOURCE_LINE));
    }
}
