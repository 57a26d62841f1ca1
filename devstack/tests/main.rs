//! The servers really start, survive what they should, and end with whoever started them.
//!
//! In: this machine's PostgreSQL and the cache's Kafka. Out: pass or fail.
//! Invariant: each test stops what it starts; only the shared stack stays.

#![allow(clippy::unwrap_used, reason = "the helpers of tests may panic as tests do")]

mod cluster;
mod command;
mod companions;
mod connect;
mod kafka;
mod lifetime;
mod postgres;
mod recovery;
mod replicas;
mod shared;
