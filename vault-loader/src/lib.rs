//! Loads Debezium's change events from Kafka into a Data Vault on PostgreSQL, each event exactly once.
//!
//! Modules stand in the order in which data flows: records come out of `consume`, become typed changes in `decode`, vault
//! rows in `vault`, and one transaction with their offsets in `load`; `pipeline` ties them together. `model` says what the
//! vault looks like, `migrate` makes the warehouse look like it. The vault is a function of the topics: nothing in it comes
//! from this program's clock.

pub mod config;
pub mod health;
pub mod model;

pub mod decode;
pub mod vault;

pub mod batch;
pub mod load;

pub mod metrics;

pub mod consume;

pub mod migrate;

pub mod pipeline;

pub mod http;
pub mod refresh;
pub mod status;
