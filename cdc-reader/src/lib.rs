//! A PostgreSQL database's changes into Kafka, byte for byte as Debezium writes them.
//!
//! The modules stand in the order in which data flows: bytes from the socket (`replication`), to messages (`pgoutput`), to transactions
//! (`transaction`), to keys and values (`envelope`), to Kafka (`publish`). `pipeline` wires them; `catalog` is what it asks the
//! source at a start. Beside the flow stand the connector's configuration (`connector`), and what can be seen from outside
//! (`metrics`, `rest`, `observe`).

pub mod connector;
pub mod metrics;

pub mod disposition;
pub mod ended;

pub mod replication;

pub mod pgoutput;

pub mod transaction;

pub mod envelope;

pub mod publish;

pub mod catalog;
pub mod copy_text;

pub mod rest;

pub mod observe;

pub mod pipeline;

pub mod cli;
