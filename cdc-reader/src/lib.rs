//! A PostgreSQL database's changes into Kafka, byte for byte as Debezium writes them.
//!
//! The modules stand in the order in which data flows, and each imports only what stands before it: bytes from the
//! socket (`replication`), to messages (`pgoutput`), in an order that is checked (`transaction`), to keys and values
//! (`envelope`), to Kafka (`publish`). `emit` makes records of changes with the plans of `table`; `stream` and
//! `snapshot` are where changes and rows come from.
//!
//! One thread runs a `session`: it connects, checks the source, takes a snapshot if one is due, and streams until
//! something breaks or somebody asks it to stop. `supervise` starts the next session after a failure that may pass, and
//! gives up on a failure that time does not mend. A session keeps nothing that the next one needs: what is durable
//! stands in Kafka (events, offsets) and in the slot (the confirmed position).
//!
//! ```text
//! preflight ─► start ─► slot ─► [snapshot] ─► stream ─► emit ─► publish
//!                                               ▲                  │ acknowledgements
//!                                               └──── confirm ◄────┘
//! ```
//!
//! Beside the flow stand the connector's configuration (`connector`), what the source's catalog says (`catalog`), and
//! what can be seen from outside (`metrics`, `rest`, `observe`).

pub mod disposition;
pub mod ended;
pub mod exit;

pub mod connector;
pub mod metrics;

pub mod replication;

pub mod pgoutput;

pub mod transaction;

pub mod envelope;

pub mod publish;

pub mod catalog;
mod clock;
pub mod copy_text;

pub mod rest;

pub mod observe;

pub mod setup_problem;

pub mod context;
pub mod error;

mod table;

mod emit;

mod stream;

mod snapshot;

mod session;

pub mod supervise;

pub mod cli;
