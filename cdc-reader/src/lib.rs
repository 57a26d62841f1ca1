//! Publishes the changes of a PostgreSQL database to Kafka, byte for byte as Debezium writes them.
//!
//! The modules stand in the order in which data flows, and each imports only modules that stand before it.
//! `replication` reads bytes from the socket, `pgoutput` decodes them into messages, `transaction` checks the order of
//! the messages, `envelope` writes keys and values, and `publish` sends them to Kafka. `emit` makes records of changes
//! with the plans of `table`. `stream` reads changes, and `snapshot` reads rows.
//!
//! One thread runs a `session`: it connects, checks the source, takes a snapshot if one is due, and streams until
//! something fails or somebody asks it to stop. `supervise` starts the next session after a failure that may pass, and
//! ends the reader after any other failure. Only the delivery to Kafka lives longer than a session. Everything else
//! that the next session needs is in Kafka, which keeps events and offsets, and in the slot, which keeps the confirmed
//! position.
//!
//! ```text
//! writer_lock ─► ready ─► preflight ─► start ─► slot ─► [snapshot] ─► stream ─► emit ─► publish
//!                                                                       ▲                  │ acknowledgements
//!                                                                       └──── confirm ◄────┘
//! ```
//!
//! Beside the flow are the connector's configuration (`connector`), the questions to the source's catalog (`catalog`),
//! and what is shown to the outside (`metrics`, `readiness`, `rest`, `observe`, `source_watch`). `offset_command` is
//! what an operator does with the stored offset while the reader does not run, `reconcile` publishes the deletes of
//! rows that vanished in a gap, and `init` is a first look at a source.

pub mod disposition;
pub mod ended;
pub mod exit;

pub mod connector;
pub mod kafka_clients;
pub mod metrics;

pub mod replication;

pub mod orderly_end;

pub mod pgoutput;

pub mod transaction;

pub mod envelope;

pub mod publish;

pub mod catalog;
pub mod clock;
pub mod copy_text;

pub mod readiness;
pub mod rest;

pub mod observe;
pub mod source_watch;

pub mod setup_problem;

pub mod gap;

pub mod context;
pub mod error;
mod one_server;

mod table;

mod emit;

mod stream;

mod snapshot;

mod session;

pub mod supervise;

pub mod cli;

pub mod offset_command;
pub mod reconcile;

pub mod init;
