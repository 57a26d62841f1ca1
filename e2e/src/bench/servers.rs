//! The servers of a bench, set up as for production: durable, and with enough memory.
//!
//! In: a run directory. Out: PostgreSQL servers and a broker on free ports, and what they have used.
//! Invariant: the settings are told in the report; all servers and their directories go when they are dropped.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use devstack::{Kafka, KafkaOptions, Postgres, PostgresOptions};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::interrupt::Patience;
use super::usage::tree_cpu_seconds;

/// PostgreSQL's major version.
const POSTGRES_VERSION: u16 = 15;

/// The broker's largest heap.
const KAFKA_HEAP_MIB: u32 = 1024;

/// What differs from PostgreSQL's defaults: no checkpoint and no vacuum falls into one contender's run and not into
/// another's.
const SETTINGS: [(&str, &str); 4] = [
    ("shared_buffers", "1GB"),
    ("max_wal_size", "16GB"),
    ("checkpoint_timeout", "1h"),
    ("autovacuum", "off"),
];

/// The pause between two looks at a process or at Kafka: a thousandth of what is measured.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A directory of this run alone, below `root`; removed when dropped.
pub(super) fn run_dir(root: &Path) -> anyhow::Result<TempDir> {
    std::fs::create_dir_all(root).with_context(|| format!("cannot make {}", root.display()))?;
    tempfile::Builder::new()
        .prefix("bench-")
        // PostgreSQL runs as a user of its own.
        .permissions(Permissions::from_mode(0o755))
        .tempdir_in(root)
        .with_context(|| format!("cannot make a directory in {}", root.display()))
}

/// A durable PostgreSQL.
pub(super) fn postgres(dir: &Path, name: &str) -> anyhow::Result<Postgres> {
    let options = PostgresOptions::new(POSTGRES_VERSION).name(name).dir(dir.join(name));
    Postgres::start(
        SETTINGS.iter().fold(options, |options, (name, value)| options.setting(name, value)),
    )
}

/// A broker tuned to run, not to start.
pub(super) fn kafka(dir: &Path) -> anyhow::Result<Kafka> {
    let options = KafkaOptions::default()
        .dir(dir.join("kafka"))
        .heap_megabytes(KAFKA_HEAP_MIB)
        .quick_start(false);
    Kafka::start(options)
}

/// The servers' settings, for the report.
pub(super) fn settings(partitions: i32) -> Value {
    let postgres: serde_json::Map<String, Value> =
        SETTINGS.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    json!({
        "postgres": { "fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "changed": postgres },
        "kafka": { "version": devstack::KAFKA_VERSION, "brokers": 1, "partitions_per_topic": partitions, "heap_mib": KAFKA_HEAP_MIB },
    })
}

/// Seconds of CPU that a PostgreSQL server has used, with all its processes.
pub(super) fn postgres_cpu_seconds(server: &Postgres) -> anyhow::Result<f64> {
    let path = server.data_dir().join("postmaster.pid");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    let pid = text.lines().next().and_then(|line| line.trim().parse().ok());
    Ok(tree_cpu_seconds(pid.with_context(|| format!("no process id in {}", path.display()))?))
}

/// Seconds of CPU that the broker has used.
pub(super) fn kafka_cpu_seconds(kafka: &Kafka) -> anyhow::Result<f64> {
    Ok(tree_cpu_seconds(kafka.identity()?.pid))
}

/// How to wait for the end of something that is measured.
pub(super) fn patience(deadline_seconds: u64) -> Patience {
    Patience { every: LOOK_EVERY, deadline: Duration::from_secs(deadline_seconds) }
}

/// The profile of this build, which is that of the programs beside it: the name of the directory that they lie in.
pub(super) fn build_profile() -> String {
    let own = std::env::current_exe().ok();
    let dir = own.as_deref().and_then(Path::parent).and_then(Path::file_name);
    dir.map_or_else(|| "unknown".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// An error when this is no release build, unless that is wanted.
pub(super) fn require_release(any_build: bool) -> anyhow::Result<()> {
    anyhow::ensure!(
        any_build || !cfg!(debug_assertions),
        "figures of a debug build mean nothing: use `make bench-reader`, `make bench-loader` or `make load-test`, or give --any-build"
    );
    Ok(())
}
