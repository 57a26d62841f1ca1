//! The contract on the topics, as Debezium 3.6 keeps it. Pure: bytes and names in, bytes and names out.
//!
//! The reader writes it and the loader reads it. Each rule stands here once, both directions beside each other.

pub mod topic;

pub mod types;

pub mod envelope;
