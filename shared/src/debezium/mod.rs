//! The contract on the topics, as Debezium 3.6 keeps it. Pure: bytes and names in, bytes and names out.
//!
//! The reader writes it and the loader reads it. Each rule is here once, and writing stands beside reading.

pub mod heartbeat;
pub mod topic;

pub mod columns;
pub mod types;

pub mod envelope;
