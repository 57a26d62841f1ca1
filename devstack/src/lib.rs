//! Real servers for the demo, the tests and the benches, on this machine only.
//!
//! In: options, a run directory, binaries of this machine or artifacts of Maven Central kept in a cache. Out: running PostgreSQL,
//! Kafka and Kafka Connect, their addresses, and helpers to wait for conditions and to run our own binaries.
//! Invariant: a server ends with the process that started it, however that process ends, unless it was detached into a state
//! file; and nothing is ever signalled that was not started from here.
//!
//! The functions block. They may be called from async tests: none of them needs, or disturbs, the caller's runtime.

mod account;
mod artifacts;
mod binaries;
mod connect;
mod fs;
pub mod http;
mod kafka;
mod ports;
mod postgres;
mod process;
pub mod profile;
mod server;
pub mod shared;
mod sql;
mod state;
mod tls;
mod wait;

pub use artifacts::{DEBEZIUM_VERSION, KAFKA_VERSION, fetch_all};
pub use binaries::{binary, client_binary, workspace_root};
pub use connect::{Connect, ConnectOptions, ConnectRest};
pub use kafka::{Kafka, KafkaOptions};
pub use ports::{PortInUse, free_port, require_free};
pub use postgres::{PasswordAuth, Postgres, PostgresAddress, PostgresOptions, StopMode, Tls};
pub use process::{Identity, Process, ProcessOptions};
pub use wait::{Condition, try_wait_for, try_wait_for_async, wait_for, wait_for_async};
