//! Real servers for the demo, the tests and the benches, on this machine only, and what tests need to talk to them.
//!
//! In: options, a run directory, binaries of this machine or artifacts of Maven Central kept in a cache. Out: running
//! PostgreSQL, Kafka and Kafka Connect, their addresses, and helpers to wait for conditions and to run our own
//! binaries.
//! Invariant: a server ends with the process that started it, however that process ends, unless it was detached into a
//! state file; and nothing is ever signalled that was not started from here.
//!
//! This is also the one support crate of the tests, because who starts a server knows best how to reach it, and because
//! the benches and the whole pipelines of `e2e`, which are no tests, need the same: databases of one's own
//! ([`Database`]), SQL ([`sql`], [`Psql`]), settings of our programs ([`programs`]), topics ([`topics`]), what is
//! compared of a vault ([`vault`]), requests ([`http`]), logs ([`log`]), waiting ([`wait_for`]). What one crate's tests
//! alone need stays in that crate. No shipped program depends on this crate.
//!
//! The functions block unless they are `async`. They may be called from async tests: none of them needs, or disturbs,
//! the caller's runtime.

mod account;
mod artifacts;
mod availability;
mod binaries;
mod companion;
mod connect;
mod database;
#[cfg(test)]
mod deployed;
mod fs;
mod haproxy;
pub mod http;
pub mod jmeter;
mod kafka;
pub mod log;
mod pgbouncer;
mod ports;
mod postgres;
mod postmaster;
mod process;
pub mod profile;
pub mod programs;
mod psql;
mod redis;
mod server;
pub mod shared;
pub mod sql;
mod state;
mod tls;
mod token_endpoint;
pub mod topics;
pub mod vault;
mod wait;

pub use artifacts::{DEBEZIUM_VERSION, JMETER_VERSION, KAFKA_VERSION, fetch_all};
pub use availability::{
    CLUSTER_NODES, Cluster, ClusterNetwork, ClusterOptions, ClusterPorts, Member as ClusterMember,
};
pub use binaries::{binary, client_binary, workspace_root};
pub use companion::CompanionOptions;
pub use connect::{Connect, ConnectOptions, ConnectRest};
pub use database::{Database, unique};
pub use haproxy::Haproxy;
pub use kafka::{
    Kafka, KafkaCluster, KafkaClusterOptions, KafkaOptions, Right, Secured, SecuredOptions,
};
pub use pgbouncer::Pgbouncer;
pub use ports::{PortInUse, free_port, require_free};
pub use postgres::{
    Archive, BackupKind, PasswordAuth, Postgres, PostgresAddress, PostgresOptions, RecoveryPoint,
    RecoveryTarget, StopMode, Tls, Upstream,
};
pub use process::{Frozen, Identity, Process, ProcessOptions};
pub use psql::{Psql, sql_files};
pub use redis::Redis;
pub use token_endpoint::TokenEndpoint;
pub use wait::{Condition, try_wait_for, try_wait_for_async, wait_for, wait_for_async};
