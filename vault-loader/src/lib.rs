//! Loads Debezium's change events from Kafka into a Data Vault on PostgreSQL, each event exactly once.
//!
//! Records come out of `consume` as a `batch`. `decode` makes typed changes of a batch, `vault` makes rows of the changes,
//! and `load` commits the rows with the batch's offsets in one transaction. `pipeline` ties all of it together. `model`
//! says what the vault looks like, `migrate` makes the warehouse look like it; both loading and migrating keep their books
//! in `control`. The vault is a function of the topics:
//! nothing in it comes from this program's clock. Below, a module imports only modules that stand above it.

pub mod config;
pub mod health;
pub mod model;
pub mod warehouse;

pub mod decode;
pub mod vault;

pub mod batch;
pub mod control;
pub mod load;

pub mod metrics;

pub mod consume;

pub mod migrate;

pub mod pipeline;

pub mod http;
pub mod refresh;
pub mod status;
