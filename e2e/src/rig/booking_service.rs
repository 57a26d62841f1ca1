//! What the booking service keeps, as a source beside the airline.
//!
//! In: a rig. Out: the source `booking` by the connector file and the model of `connectors/booking`, with the mart that
//! stands on both models. The reader reads as `cdc_reader` and the proof does so too, because no other role may read
//! these tables.

use std::fs;
use std::process::Output;

use anyhow::Context;
use devstack::{PostgresAddress, Psql, sql_files};

use super::further::topics;
use super::{FurtherSource, PASSWORD, Rig};

/// The captured tables of the schema `service`.
const TABLES: [&str; 5] = ["accounts", "orders", "seat_assignments", "messages", "uploads"];

impl Rig {
    /// Adds what the booking service keeps in the airline's database as a source of its own. Returns the source's name.
    pub fn add_booking_service(&mut self) -> anyhow::Result<String> {
        let name = format!("{}_booking", self.options.name);
        let root = devstack::workspace_root().join("connectors/booking");
        let text = fs::read_to_string(root.join("connector.json"))?;
        let mut connector: serde_json::Value = serde_json::from_str(&text)?;
        connector["name"] = format!("{name}-connector").into();
        let config = &mut connector["config"];
        config["database.dbname"] = self.options.name.clone().into();
        config["topic.prefix"] = name.clone().into();
        config["slot.name"] = name.clone().into();
        let model = fs::read_to_string(root.join("vault.toml"))?;
        let named = format!("name = \"booking\"\ntopic_prefix = \"{name}\"");
        let ours = model.replacen("name = \"booking\"", &named, 1);
        anyhow::ensure!(ours != model, "the model's source has another name than booking");
        let table = |table: &&str| ("service".to_owned(), (*table).to_owned());
        let source = FurtherSource {
            connector: self.options.dir.join(format!("{name}.json")),
            model: self.options.dir.join(format!("{name}.toml")),
            topics: topics(&name, &TABLES.iter().map(table).collect::<Vec<_>>()),
            database: self.options.name.clone(),
            name: name.clone(),
        };
        fs::write(&source.connector, serde_json::to_string_pretty(&connector)?)?;
        fs::write(&source.model, ours)?;
        self.further.push(source);
        self.migrate(&self.options.name)?;
        let server = &self.options.warehouse;
        let owner = server.connection_string(&self.options.name, "vault_owner", PASSWORD);
        Psql::new(&owner)?.run_files(sql_files("sql/service_marts")?)?;
        Ok(name)
    }

    /// Runs a proof of `vault-loader` about what the booking service keeps, to its end, whatever it finds.
    pub fn prove_booking_service(&self, command: &[&str]) -> anyhow::Result<Output> {
        let name = format!("{}_booking", self.options.name);
        let model = &self.further_named(&name).context("add_booking_service first")?.model;
        let PostgresAddress { host, port, .. } = &self.options.source;
        let database = &self.options.name;
        let source = format!("postgres://cdc_reader:{PASSWORD}@{host}:{port}/{database}");
        self.prove_with(model, &source, ("vault_loader", database), command)
    }
}
