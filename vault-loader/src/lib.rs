//! Loads Debezium's change events from Kafka into a Data Vault on PostgreSQL, each event exactly once.
//!
//! `consume` fills a `batch` with records. `decode` makes typed changes of the batch, `vault` makes rows of the
//! changes, and `load` commits the rows with the batch's offsets in one transaction. `pipeline` runs these stages.
//! `model` describes the vault, and `migrate` changes the warehouse so that it fits the model. Loading and migrating
//! both store their state through `control`. The vault is a function of the topics: nothing in it comes from this
//! program's clock.
//!
//! The modules stand below in the order in which an event passes them, after the modules that several stages need. A
//! module imports only modules that stand above it.

// What several stages need.
pub mod config;
pub mod epoch;
pub mod exit;
pub mod readiness;

pub mod model;
pub mod warehouse;

// An event's way from Kafka to the warehouse.
pub mod batch;
mod held;
mod lag;
pub mod writers;

pub mod health;
pub mod in_flight;
pub mod metrics;
pub mod paused;

pub mod control;

pub mod consume;
pub mod decode;
pub mod vault;

pub mod load;
mod quarantine_watch;
mod warehouse_watch;
mod watermark;

mod crew;
mod lanes;
pub mod pipeline;
pub mod run;
mod stage;

// All sources of one process, and what they say about themselves.
pub mod http;

pub mod fleet;

// What else the program does.
pub mod epochs_command;
pub mod gap;
pub mod infer;
pub mod migrate;

pub mod document;
pub mod model_command;
pub mod quarantine;
pub mod refresh;
pub mod rehash;
pub mod snapshots;
pub mod status;

// What proves that the vault is right.
mod copy_out;
pub mod proof;

pub mod check_command;
pub mod checksum;
pub mod rebuild;
pub mod verify;

pub mod proofs_command;
