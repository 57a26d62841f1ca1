//! The servers of the bench.
//!
//! In: options. Out: a source, a warehouse and a broker that run, and what they use while a clock runs.
//! Invariant: a measurement begins with nothing left to write to disk from the one before.

use std::time::Instant;

use devstack::{Kafka, Postgres, workspace_root};
use serde::{Deserialize, Serialize};

use super::Options;
use crate::bench::interrupt::{self, Patience};
use crate::bench::servers;
use crate::bench::sql::Sql;
use crate::bench::topics::Topics;

/// Servers, and a directory that goes with them.
pub(super) struct Place {
    pub(super) source: Postgres,
    pub(super) warehouse: Postgres,
    pub(super) kafka: Kafka,
    pub(super) topics: Topics,
    pub(super) patience: Patience,
    pub(super) dir: tempfile::TempDir,
}

/// What the servers have used while something was measured.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Cost {
    /// Wall-clock time.
    pub(super) seconds: f64,
    /// CPU of the warehouse's server, all processes.
    pub(super) warehouse_cpu_seconds: f64,
    /// CPU of the broker.
    pub(super) broker_cpu_seconds: f64,
    /// What the warehouse has written to its log.
    pub(super) wal_bytes: u64,
}

/// A clock that runs.
pub(super) struct Clock<'p> {
    place: &'p Place,
    sql: &'p Sql,
    started: Instant,
    warehouse_cpu_seconds: f64,
    broker_cpu_seconds: f64,
    lsn: String,
}

impl Place {
    pub(super) fn start(options: &Options) -> anyhow::Result<Self> {
        let root = options.run_dir.clone().unwrap_or_else(|| workspace_root().join(".run"));
        let dir = servers::run_dir(&root)?;
        let source = servers::postgres(dir.path(), "source")?;
        let warehouse = servers::postgres(dir.path(), "warehouse")?;
        let kafka = servers::kafka(dir.path())?;
        let topics = Topics::new(&kafka.bootstrap())?;
        let patience = servers::patience(options.deadline);
        interrupt::check()?;
        Ok(Self { source, warehouse, kafka, topics, patience, dir })
    }

    /// Starts a clock; `sql` is a connection to the warehouse.
    pub(super) fn clock<'p>(&'p self, sql: &'p Sql) -> anyhow::Result<Clock<'p>> {
        sql.execute("CHECKPOINT")?;
        Ok(Clock {
            warehouse_cpu_seconds: servers::postgres_cpu_seconds(&self.warehouse)?,
            broker_cpu_seconds: servers::kafka_cpu_seconds(&self.kafka)?,
            lsn: sql.value("SELECT pg_current_wal_lsn()::text")?,
            place: self,
            sql,
            started: Instant::now(),
        })
    }
}

impl Clock<'_> {
    /// Seconds so far.
    pub(super) fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// What was used until now.
    pub(super) fn stop(&self) -> anyhow::Result<Cost> {
        let seconds = self.seconds();
        let wal: i64 = self.sql.value(&format!(
            "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '{}')::bigint",
            self.lsn
        ))?;
        let warehouse = servers::postgres_cpu_seconds(&self.place.warehouse)?;
        Ok(Cost {
            seconds,
            warehouse_cpu_seconds: warehouse - self.warehouse_cpu_seconds,
            broker_cpu_seconds: servers::kafka_cpu_seconds(&self.place.kafka)?
                - self.broker_cpu_seconds,
            wal_bytes: u64::try_from(wal)?,
        })
    }
}
