//! Which servers a profile has, and on which ports.
//!
//! In: a profile, ports and passwords from the environment. Out: options to start its servers with.

use std::path::Path;

use crate::kafka::KafkaOptions;
use crate::ports;
use crate::postgres::PostgresOptions;
use crate::state::{Kind, State};

/// A set of servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// `primary`, `warehouse` and Kafka on well-known ports, durable, with their databases.
    Demo,
    /// PostgreSQL 15 and 18, a warehouse and Kafka on free ports, not durable.
    Test,
}

impl Profile {
    /// Its name in the state file and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Demo => "demo",
            Self::Test => "test",
        }
    }

    /// The PostgreSQL servers of the profile, each with the database it is made for.
    pub(super) fn postgres(
        self,
        dir: &Path,
    ) -> anyhow::Result<Vec<(&'static str, PostgresOptions, Option<&'static str>)>> {
        let demo = |name: &'static str, variable: &str, default, database| {
            let options = PostgresOptions::new(15)
                .name(name)
                .port(port_from(variable, default)?)
                .port_variable(variable)
                .dir(dir.join(name))
                // The first load fills empty tables: without fresh statistics the first queries are planned badly.
                .setting("autovacuum_naptime", "5s")
                .superuser(
                    &variable_or("VAULTSTREAM_ADMIN_USER", "admin"),
                    &variable_or("VAULTSTREAM_ADMIN_PASSWORD", "adminpassword"),
                );
            anyhow::Ok((name, options, Some(database)))
        };
        let test = |name: &'static str, version| {
            let options = PostgresOptions::new(version)
                .name(name)
                .dir(dir.join(name))
                .fsync(false)
                .setting("max_connections", "300")
                .setting("max_replication_slots", "50")
                .setting("max_wal_senders", "50");
            (name, options, None)
        };
        match self {
            Self::Demo => Ok(vec![
                demo("primary", "VAULTSTREAM_PRIMARY_PORT", 5432, "airline_tickets")?,
                demo("warehouse", "VAULTSTREAM_DWH_PORT", 5434, "airline_tickets_dwh")?,
            ]),
            Self::Test => {
                Ok(vec![test("postgres15", 15), test("postgres18", 18), test("warehouse", 15)])
            }
        }
    }

    pub(super) fn kafka(self, dir: &Path) -> anyhow::Result<KafkaOptions> {
        let options = KafkaOptions::default().dir(dir.join("kafka"));
        match self {
            Self::Demo => {
                let variable = "VAULTSTREAM_KAFKA_PORT";
                Ok(options.port(port_from(variable, 9092)?).port_variable(variable))
            }
            // Rows of tests are large at times.
            Self::Test => Ok(options.heap_megabytes(768).setting("message.max.bytes", "10485760")),
        }
    }

    /// The names of what is recorded, has ended, and cannot be done without.
    pub(super) fn missing(self, state: &State) -> Vec<&str> {
        let ended = state.processes.iter().filter(|record| !record.identity.is_alive());
        // Tests start Kafka Connect and programs when they need them, and again when these have ended.
        let needed =
            |kind: Kind| self == Self::Demo || matches!(kind, Kind::Kafka | Kind::Postgres);
        ended.filter(|record| needed(record.kind)).map(|record| record.name.as_str()).collect()
    }

    /// Names the first taken port before anything is started.
    pub(super) fn check_ports(self) -> anyhow::Result<()> {
        if self == Self::Demo {
            for (service, variable, default) in [
                ("the primary database", "VAULTSTREAM_PRIMARY_PORT", 5432),
                ("the warehouse database", "VAULTSTREAM_DWH_PORT", 5434),
                ("kafka", "VAULTSTREAM_KAFKA_PORT", 9092),
                ("the reader's REST interface", "VAULTSTREAM_READER_PORT", 8083),
                ("the loader's metrics", "VAULTSTREAM_LOADER_PORT", 8084),
            ] {
                ports::require_free(port_from(variable, default)?, service, Some(variable))?;
            }
        }
        Ok(())
    }
}

/// A word from the environment.
fn variable_or(variable: &str, default: &str) -> String {
    std::env::var(variable)
        .ok()
        .filter(|text| !text.is_empty())
        .unwrap_or_else(|| default.to_owned())
}

/// A port from the environment.
fn port_from(variable: &str, default: u16) -> anyhow::Result<u16> {
    match std::env::var(variable) {
        Ok(text) if !text.is_empty() => match text.parse() {
            Ok(port) if port != 0 => Ok(port),
            _ => anyhow::bail!(
                "{variable} is {text}, which is no port; give a number from 1 to 65535"
            ),
        },
        _ => Ok(default),
    }
}
