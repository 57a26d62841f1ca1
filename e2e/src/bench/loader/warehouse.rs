//! A warehouse's database for one contender.
//!
//! In: a server, the delivered roles and model, a topic prefix. Out: a database with an empty vault, as `vault-loader
//! migrate` makes it; what is in it.
//! Invariant: every contender's tables are made by the same program from the same model, so they have the same columns,
//! primary keys and indexes.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;
use devstack::{binary, programs, workspace_root};

use super::place::Place;
use crate::airline::WAREHOUSE_ROLES;
use crate::bench::airline::{self, PASSWORD};
use crate::bench::sql::Sql;

/// The role that makes the vault.
const OWNER: &str = "vault_owner";
/// The role that loads it.
const LOADER: &str = "vault_loader";
/// The line of the delivered model that names its source.
const SOURCE_LINE: &str = "name = \"airline\"";

/// A warehouse for the topics of one prefix.
pub(super) struct Warehouse<'p> {
    pub(super) place: &'p Place,
    pub(super) prefix: String,
    pub(super) model: PathBuf,
    pub(super) sql: Sql,
    database: String,
}

impl<'p> Warehouse<'p> {
    /// Makes an empty warehouse, in a database of that name.
    pub(super) fn create(place: &'p Place, prefix: &str, name: &str) -> anyhow::Result<Self> {
        let (server, database) = (place.warehouse.address(), format!("dwh_{name}"));
        server.create_database(&database)?;
        airline::apply(server, &database, "sql/warehouse", &WAREHOUSE_ROLES)?;
        let model = place.dir.path().join(format!("{prefix}-vault.toml"));
        std::fs::write(&model, model_of(prefix)?)
            .with_context(|| format!("cannot write {}", model.display()))?;
        let sql = Sql::connect(&server.superuser(&database))?;
        let warehouse = Self { place, prefix: prefix.to_owned(), model, sql, database };
        warehouse.migrate()?;
        Ok(warehouse)
    }

    /// Leaves it as it is, for copies.
    pub(super) fn into_template(self) -> Template<'p> {
        let Self { place, prefix, model, database, .. } = self;
        Template { place, prefix, model, database }
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

    /// What tells a loader where its servers are.
    pub(super) fn loader_environment(&self) -> Vec<(&'static str, String)> {
        self.environment(LOADER)
    }

    fn environment(&self, role: &str) -> Vec<(&'static str, String)> {
        let server = self.place.warehouse.address();
        let mut variables = vec![("VAULT_LOADER__BOOTSTRAP_SERVERS", self.place.kafka.bootstrap())];
        variables.extend(programs::loader_database(server, &self.database, role, PASSWORD));
        variables
    }

    /// A further connection, as the superuser.
    pub(super) fn connect(&self) -> anyhow::Result<Sql> {
        Sql::connect(&self.place.warehouse.address().superuser(&self.database))
    }

    /// Records that are loaded, by the warehouse's own offsets.
    pub(super) fn loaded(&self) -> anyhow::Result<u64> {
        let next: i64 = self
            .sql
            .value("SELECT coalesce(sum(next_offset), 0)::bigint FROM dwh_control.offsets")?;
        Ok(u64::try_from(next)?)
    }

    /// Forgets what is loaded: the next loader begins at the first record again.
    pub(super) fn rewind(&self) -> anyhow::Result<()> {
        self.sql.execute("DELETE FROM dwh_control.offsets")
    }

    /// An error when an event could not be loaded.
    pub(super) fn require_no_quarantine(&self) -> anyhow::Result<()> {
        let diverted: i64 = self.sql.value("SELECT count(*) FROM dwh_control.quarantine")?;
        anyhow::ensure!(diverted == 0, "{diverted} events are in quarantine");
        Ok(())
    }

    /// Tables of the vault, hubs first, then links, then satellites, which is the order in which the loader writes
    /// them.
    pub(super) fn tables(&self) -> anyhow::Result<Vec<String>> {
        self.sql.values(
            "SELECT tablename::text
             FROM pg_tables
             WHERE schemaname = 'dwh_detailed'
             ORDER BY tablename COLLATE \"C\"",
        )
    }

    /// Rows of all hubs, links and satellites.
    pub(super) fn rows(&self) -> anyhow::Result<u64> {
        let mut rows = 0;
        for table in self.tables()? {
            rows += self.sql.value::<i64>(&format!("SELECT count(*) FROM dwh_detailed.{table}"))?;
        }
        Ok(u64::try_from(rows)?)
    }

    /// Removes the database.
    pub(super) fn drop(self) -> anyhow::Result<()> {
        let Self { place, database, sql, .. } = self;
        drop(sql);
        Sql::connect(&place.warehouse.address().superuser("postgres"))?
            .execute(&format!("DROP DATABASE {database} WITH (FORCE)"))
    }
}

/// A warehouse that nobody is connected to, from which others are copied.
pub(super) struct Template<'p> {
    place: &'p Place,
    prefix: String,
    model: PathBuf,
    database: String,
}

impl<'p> Template<'p> {
    /// Makes a warehouse with the same content. Files are copied as they are, and nothing goes to the log.
    pub(super) fn copy(&self, name: &str) -> anyhow::Result<Warehouse<'p>> {
        let (server, database) = (self.place.warehouse.address(), format!("dwh_{name}"));
        Sql::connect(&server.superuser("postgres"))?.execute(&format!(
            "CREATE DATABASE {database} TEMPLATE {} STRATEGY file_copy",
            self.database
        ))?;
        let sql = Sql::connect(&server.superuser(&database))?;
        let (prefix, model) = (self.prefix.clone(), self.model.clone());
        Ok(Warehouse { place: self.place, prefix, model, sql, database })
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
