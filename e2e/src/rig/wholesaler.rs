//! The wholesaler Wide World Importers as a source beside the airline.
//!
//! In: a rig, the size of a history. Out: a database that `wideworld seed` has filled, with the connector file, the
//! model and the marts of the project; life in it; the proofs about it, and a rebuild of the whole vault.
//! The reader reads as `wideworld_capture`, and the proofs do so too.

use std::fs::{self, File};
use std::process::Output;
use std::time::Duration;

use anyhow::Context;
use devstack::{PostgresAddress, Process, ProcessOptions, Psql, sql_files};

use super::further::topics;
use super::{FurtherSource, PASSWORD, Rig};

/// The roles whose passwords `sql/wideworld` asks for.
const ROLES: [&str; 3] = ["generator", "capture", "engineer"];

/// How long seeding, simulating and rebuilding may take.
const DEADLINE: Duration = Duration::from_secs(120);

impl Rig {
    /// Adds the wholesaler with a database of its own on the airline's server. `seed` are options of `wideworld seed`.
    /// Returns the source's name. The warehouse is migrated to its model and has its marts.
    ///
    /// # Errors
    /// When a program or a file of SQL fails.
    pub async fn add_wholesaler(&mut self, seed: &[&str]) -> anyhow::Result<String> {
        let name = format!("{}_wideworld", self.options.name);
        self.options.source.create_database(&name)?;
        // Roles are the server's: two rigs must not set them up at once.
        let lock = File::create(devstack::shared::run_dir().join("roles.lock"))?;
        lock.lock()?;
        Psql::new(&self.options.source.superuser(&name))?
            .passwords(&ROLES, PASSWORD)
            .run_files(sql_files("sql/wideworld")?)?;
        drop(lock);
        self.run_wholesaler(&name, "seed", seed)?;
        let source = FurtherSource {
            connector: self.options.dir.join(format!("{name}.json")),
            model: self.options.dir.join(format!("{name}.toml")),
            topics: topics(&name, &self.published(&name).await?),
            database: name.clone(),
            name: name.clone(),
        };
        self.write_wholesaler(&source)?;
        self.further.push(source);
        self.migrate(&self.options.name)?;
        let server = &self.options.warehouse;
        let owner = server.connection_string(&self.options.name, "vault_owner", PASSWORD);
        Psql::new(&owner)?.run_files(sql_files("sql/wideworld_marts")?)?;
        Ok(name)
    }

    /// The project's connector file and model, with the names of this rig.
    fn write_wholesaler(&self, source: &FurtherSource) -> anyhow::Result<()> {
        let root = devstack::workspace_root().join("connectors/wideworld");
        let text = fs::read_to_string(root.join("connector.json"))?;
        let mut connector: serde_json::Value = serde_json::from_str(&text)?;
        connector["name"] = format!("{}-connector", source.name).into();
        let config = &mut connector["config"];
        config["database.dbname"] = source.database.clone().into();
        config["topic.prefix"] = source.name.clone().into();
        config["slot.name"] = source.name.clone().into();
        fs::write(&source.connector, serde_json::to_string_pretty(&connector)?)?;
        let model = fs::read_to_string(root.join("vault.toml"))?;
        let named = format!("name = \"wideworld\"\ntopic_prefix = \"{}\"", source.name);
        let ours = model.replacen("name = \"wideworld\"", &named, 1);
        anyhow::ensure!(ours != model, "the model's source has another name than wideworld");
        fs::write(&source.model, ours).context("cannot write the wholesaler's model")
    }

    /// Starts `cdc-reader run` for the wholesaler.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_wholesaler_reader(&self, name: &str) -> anyhow::Result<Process> {
        let PostgresAddress { host, port, .. } = &self.options.source;
        let options = self.reader_options(name, &self.further_named(name)?.connector)?;
        let options = options
            .env("WIDEWORLD_HOST", host)
            .env("WIDEWORLD_PORT", port.to_string())
            .env("WIDEWORLD_CAPTURE_PASSWORD", PASSWORD);
        Process::start(&options)
    }

    /// Runs `wideworld simulate` with these options to its end.
    ///
    /// # Errors
    /// When it ends with another exit code than 0.
    pub fn simulate_wholesaler(&self, name: &str, options: &[&str]) -> anyhow::Result<()> {
        self.run_wholesaler(name, "simulate", options)
    }

    fn run_wholesaler(&self, database: &str, command: &str, words: &[&str]) -> anyhow::Result<()> {
        let log = self.options.dir.join(format!("wideworld-{command}.log"));
        let url = self.options.source.url(database, "wideworld_generator", PASSWORD);
        let options = ProcessOptions::new(devstack::binary("wideworld")?, log)
            .args([command])
            .args(words)
            .env("WIDEWORLD_DATABASE_URL", url)
            .without_env("RUST_LOG");
        let mut process = Process::start(&options)?;
        let code = process.wait_exit(DEADLINE)?;
        let last = process.last_lines(3);
        anyhow::ensure!(code == 0, "wideworld {command} ended with {code}: {last}");
        Ok(())
    }

    /// Runs a proof of `vault-loader` about the wholesaler to its end, whatever it finds.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn prove_wholesaler(&self, name: &str, command: &[&str]) -> anyhow::Result<Output> {
        let model = &self.further_named(name)?.model;
        let source = self.options.source.url(name, "wideworld_capture", PASSWORD);
        self.prove_with(model, &source, ("vault_loader", &self.options.name), command)
    }

    /// Runs `vault-loader rebuild --keep`: the vault of all sources anew beside the live one, and both compared.
    ///
    /// # Errors
    /// When it ends with another exit code than 0: a table differs, or the vault cannot be rebuilt.
    pub fn rebuild_and_compare(&self) -> anyhow::Result<()> {
        let database = &self.options.name;
        let grant = format!("GRANT CREATE ON DATABASE {database} TO vault_owner");
        self.options.warehouse.execute(database, &grant)?;
        let words = ["rebuild", "--keep"];
        let log = self.options.dir.join("rebuild.log");
        let options = self.loader_options(&self.options.name, "vault_owner", &words, &[])?;
        let mut process = Process::start(&options.0.log_to(log))?;
        let code = process.wait_exit(DEADLINE)?;
        let last = process.last_lines(5);
        anyhow::ensure!(code == 0, "vault-loader rebuild --keep ended with {code}: {last}");
        Ok(())
    }
}
