//! Which servers a profile has, and on which ports.
//!
//! In: a profile, ports and passwords from the environment. Out: options to start its servers with.

use std::path::Path;

use anyhow::Context;

use crate::availability::{ClusterOptions, ClusterPorts};
use crate::kafka::KafkaOptions;
use crate::ports;
use crate::postgres::{Archive, PostgresOptions, Upstream};
use crate::state::{Kind, Promotion, State};

/// Servers of the profile `replicas`: name, the variable of its port, its default port.
const REPLICATED: [(&str, &str, u16); 3] = [
    (PRIMARY, "VAULTSTREAM_REPLICATED_PORT", 5440),
    ("replica_one", "VAULTSTREAM_REPLICA_ONE_PORT", 5441),
    ("replica_two", "VAULTSTREAM_REPLICA_TWO_PORT", 5442),
];

/// The server that a profile with replicas names first. It takes the writes until another one is promoted.
pub(super) const PRIMARY: &str = "primary";

/// The server that follows the primary of the profile `backup`.
pub(super) const HOT_BACKUP: &str = "hot_backup";

/// The directory of the archive in a run directory.
pub(super) const ARCHIVE: &str = "archive";

/// The role as which replicas replicate.
const REPLICATOR: &str = "replicator";

/// A set of servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// `primary`, `warehouse` and Kafka on well-known ports, durable, with their databases.
    Demo,
    /// PostgreSQL 15 and 18, a warehouse and Kafka on free ports, not durable.
    Test,
    /// The servers of the demo, with a hot backup of `primary`, and an archive of its WAL with base backups.
    Backup,
    /// `primary` and the read replicas `replica_one` and `replica_two` on well-known ports, durable. No Kafka.
    Replicas,
    /// Three servers under Patroni, three nodes of etcd, HAProxy before them. No Kafka.
    Available,
}

/// A PostgreSQL server of a profile.
#[derive(Debug)]
pub(super) struct Planned {
    /// Its name in the run directory.
    pub(super) name: &'static str,
    /// How it is started.
    pub(super) options: PostgresOptions,
    /// The database that it is made for.
    pub(super) database: Option<&'static str>,
    /// How it follows the server that the plan names first, if it is a replica.
    pub(super) upstream: Option<Upstream>,
}

impl Profile {
    /// All profiles.
    pub(super) const ALL: [Self; 5] =
        [Self::Demo, Self::Backup, Self::Test, Self::Replicas, Self::Available];

    /// Its name in the state file and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Demo => "demo",
            Self::Backup => "backup",
            Self::Test => "test",
            Self::Replicas => "replicas",
            Self::Available => "ha",
        }
    }

    /// The profile of that name.
    pub(super) fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name() == name)
    }

    /// The names of its servers, which are those of their directories.
    pub(super) fn directories(self) -> &'static [&'static str] {
        match self {
            Self::Demo => &[PRIMARY, "warehouse", "kafka"],
            Self::Backup => &[PRIMARY, HOT_BACKUP, "warehouse", "kafka", ARCHIVE],
            Self::Test => &["postgres15", "postgres18", "warehouse", "kafka", "connect"],
            Self::Replicas => &[PRIMARY, "replica_one", "replica_two"],
            Self::Available => &["availability/haproxy", "availability"],
        }
    }

    /// The PostgreSQL servers of the profile, a primary before its replicas.
    pub(super) fn postgres(self, dir: &Path) -> anyhow::Result<Vec<Planned>> {
        let demo = |name: &'static str, variable: &str, default, database| {
            let options = PostgresOptions::new(15)
                .name(name)
                .port(port_from(variable, default)?)
                .port_variable(variable)
                .dir(dir.join(name))
                // The first load fills empty tables: without fresh statistics the first queries are planned badly.
                .setting("autovacuum_naptime", "5s");
            let options = with_superuser(options);
            anyhow::Ok(Planned { name, options, database: Some(database), upstream: None })
        };
        let test = |name: &'static str, version| {
            let options = PostgresOptions::new(version)
                .name(name)
                .dir(dir.join(name))
                .fsync(false)
                .setting("max_connections", "300")
                .setting("max_replication_slots", "50")
                .setting("max_wal_senders", "50");
            Planned { name, options, database: None, upstream: None }
        };
        match self {
            Self::Demo => Ok(vec![
                demo(PRIMARY, "VAULTSTREAM_PRIMARY_PORT", 5432, "airline_tickets")?,
                demo("warehouse", "VAULTSTREAM_DWH_PORT", 5434, "airline_tickets_dwh")?,
            ]),
            Self::Backup => {
                let archive = Archive::at(&dir.join(ARCHIVE))?;
                let database = "airline_tickets";
                let mut primary = demo(PRIMARY, "VAULTSTREAM_PRIMARY_PORT", 5432, database)?;
                primary.options = of_hot_backup(primary.options, &archive);
                let mut backup = demo(HOT_BACKUP, "VAULTSTREAM_REPLICA_PORT", 5433, database)?;
                backup.options = of_hot_backup(backup.options, &archive);
                backup.database = None;
                backup.upstream = Some(upstream(HOT_BACKUP)?);
                let warehouse =
                    demo("warehouse", "VAULTSTREAM_DWH_PORT", 5434, "airline_tickets_dwh")?;
                Ok(vec![primary, backup, warehouse])
            }
            Self::Test => {
                Ok(vec![test("postgres15", 15), test("postgres18", 18), test("warehouse", 15)])
            }
            Self::Replicas => REPLICATED.iter().map(|server| replicated(server, dir)).collect(),
            Self::Available => Ok(Vec::new()),
        }
    }

    /// How the PostgreSQL servers are started as things are now: first the one that takes the writes, then the others,
    /// which follow it.
    pub(super) fn postgres_now(
        self,
        dir: &Path,
        promoted: Option<&Promotion>,
    ) -> anyhow::Result<Vec<Planned>> {
        let mut plan = self.postgres(dir)?;
        let Some(Promotion { server, replaced }) = promoted else { return Ok(plan) };
        let place = plan.iter().position(|planned| planned.name == server).with_context(|| {
            format!(
                "{server} was promoted in {dir} in place of {}, and the profile {} has no such server; bring up the profile that has it, \
                 or remove all data with `devstack down --run-dir {dir} --purge`",
                replaced.join(", "),
                self.name(),
                dir = dir.display()
            )
        })?;
        if let Some(first) = plan.first_mut() {
            (first.upstream, first.database) = (Some(upstream(first.name)?), None);
        }
        let mut promoted = plan.remove(place);
        promoted.upstream = None;
        plan.insert(0, promoted);
        Ok(plan)
    }

    /// The highly available cluster, for the profile that is one.
    pub(super) fn cluster(self, dir: &Path) -> anyhow::Result<Option<ClusterOptions>> {
        if self != Self::Available {
            return Ok(None);
        }
        let default = ClusterOptions::default();
        Ok(Some(ClusterOptions {
            dir: Some(dir.join("availability")),
            ports: ClusterPorts {
                write: port_from("VAULTSTREAM_HA_WRITE_PORT", 5450)?,
                read: port_from("VAULTSTREAM_HA_READ_PORT", 5451)?,
                statistics: port_from("VAULTSTREAM_HA_STATS_PORT", 8404)?,
                nodes: port_from("VAULTSTREAM_HA_NODE_PORT", 5460)?,
            },
            user: variable_or("VAULTSTREAM_ADMIN_USER", &default.user),
            password: variable_or("VAULTSTREAM_ADMIN_PASSWORD", &default.password),
            statistics_password: variable_or(
                "HAPROXY_STATS_PASSWORD",
                &default.statistics_password,
            ),
            ..default
        }))
    }

    /// Kafka, for a profile that has it.
    pub(super) fn kafka(self, dir: &Path) -> anyhow::Result<Option<KafkaOptions>> {
        let options = KafkaOptions::default().dir(dir.join("kafka"));
        Ok(match self {
            Self::Demo | Self::Backup => {
                let variable = "VAULTSTREAM_KAFKA_PORT";
                Some(options.port(port_from(variable, 9092)?).port_variable(variable))
            }
            // Rows of tests are large at times.
            Self::Test => {
                Some(options.heap_megabytes(768).setting("message.max.bytes", "10485760"))
            }
            Self::Replicas | Self::Available => None,
        })
    }

    /// The names of what is recorded, has ended, and cannot be done without.
    pub(super) fn missing(self, state: &State) -> Vec<&str> {
        let ended = state.processes.iter().filter(|record| !record.identity.is_alive());
        // Tests start Kafka Connect and programs when they need them, and again when these have ended.
        let needed =
            |kind: Kind| self != Self::Test || matches!(kind, Kind::Kafka | Kind::Postgres);
        // A server in whose place another one was promoted is not needed any more.
        let replaced =
            |name: &str| state.promoted.as_ref().is_some_and(|promotion| promotion.replaces(name));
        ended
            .filter(|record| needed(record.kind) && !replaced(&record.name))
            .map(|record| record.name.as_str())
            .collect()
    }

    /// Names the first taken port before anything is started.
    pub(super) fn check_ports(self) -> anyhow::Result<()> {
        if self == Self::Backup {
            let variable = "VAULTSTREAM_REPLICA_PORT";
            ports::require_free(port_from(variable, 5433)?, "the hot backup", Some(variable))?;
        }
        if matches!(self, Self::Demo | Self::Backup) {
            for (service, variable, default) in [
                ("the primary database", "VAULTSTREAM_PRIMARY_PORT", 5432),
                ("the warehouse database", "VAULTSTREAM_DWH_PORT", 5434),
                ("kafka", "VAULTSTREAM_KAFKA_PORT", 9092),
                ("the reader's REST interface", "VAULTSTREAM_READER_PORT", 8083),
                ("the booking tables' reader", "VAULTSTREAM_BOOKING_READER_PORT", 8085),
                ("the loader's metrics", "VAULTSTREAM_LOADER_PORT", 8084),
                ("the booking service", "VAULTSTREAM_BOOKING_PORT", 4000),
                ("redis", "VAULTSTREAM_REDIS_PORT", 6380),
                ("pgbouncer", "VAULTSTREAM_PGBOUNCER_PORT", 6432),
            ] {
                ports::require_free(port_from(variable, default)?, service, Some(variable))?;
            }
        }
        if self == Self::Replicas {
            for (service, variable, default) in REPLICATED {
                ports::require_free(port_from(variable, default)?, service, Some(variable))?;
            }
        }
        Ok(())
    }
}

/// A server of the profile `replicas`. All have the same settings, because each replica is a possible primary.
fn replicated(
    &(name, variable, default): &(&'static str, &str, u16),
    dir: &Path,
) -> anyhow::Result<Planned> {
    let options = PostgresOptions::new(15)
        .name(name)
        .port(port_from(variable, default)?)
        .port_variable(variable)
        .dir(dir.join(name))
        // A replica that is gone keeps no more than this of the primary's disk; then it has to be copied anew.
        .setting("max_slot_wal_keep_size", "1GB");
    let is_primary = name == PRIMARY;
    Ok(Planned {
        name,
        options: with_superuser(replicator_only(options)),
        database: is_primary.then_some("airline_tickets"),
        upstream: if is_primary { None } else { Some(upstream(name)?) },
    })
}

/// A server of the profile `backup` that is, or may become, the primary.
fn of_hot_backup(options: PostgresOptions, archive: &Archive) -> PostgresOptions {
    // A hot backup that is away keeps no more than this of the primary's disk. The bound holds for the readers' slots,
    // too.
    replicator_only(options).setting("max_slot_wal_keep_size", "8GB").archive(archive)
}

/// Only this role replicates, and only from this machine.
fn replicator_only(options: PostgresOptions) -> PostgresOptions {
    options
        .access(&format!("host replication {REPLICATOR} 127.0.0.1/32 scram-sha-256"))
        .access("host replication all all reject")
        .access("local replication all reject")
}

/// How the server of that name follows another one.
pub(super) fn upstream(name: &str) -> anyhow::Result<Upstream> {
    let password = variable_or("REPLICATOR_PASSWORD", "replicator_password");
    Upstream::new(name, REPLICATOR, &password)
}

fn with_superuser(options: PostgresOptions) -> PostgresOptions {
    options.superuser(
        &variable_or("VAULTSTREAM_ADMIN_USER", "admin"),
        &variable_or("VAULTSTREAM_ADMIN_PASSWORD", "adminpassword"),
    )
}

/// A word from the environment.
pub(super) fn variable_or(variable: &str, default: &str) -> String {
    std::env::var(variable)
        .ok()
        .filter(|text| !text.is_empty())
        .unwrap_or_else(|| default.to_owned())
}

/// A port from the environment.
pub(super) fn port_from(variable: &str, default: u16) -> anyhow::Result<u16> {
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
