//! Reading Kafka: from a group's partitions to batches.
//!
//! The group only shares out partitions. At every assignment the warehouse says from which offset each partition is
//! read. The loader compares that offset with the offsets that Kafka still has, and pauses a table whose events
//! Kafka no longer has. Records
//! leave as [`crate::batch::Batch`]es, in order.

mod brokers;
mod partitions;
mod patience;
mod topics;
mod unowned;

mod client;
mod ends;
mod error;
mod last_records;

mod heartbeats;

mod assignment;
mod callbacks;
mod faults;

mod incoming;
mod intake;
mod outlets;
mod reading;
mod watch;

mod policies;
mod spans;

pub use client::{consumer_config, probe_brokers};
pub use ends::{Ends, PartitionEnds, ask, asking_client, partition_ends};
pub use error::ConsumeError;
pub(crate) use heartbeats::{EndsAsker, HeartbeatReader, is_bare};
pub use intake::{Intake, IntakeCommand, IntakeOptions};
pub(crate) use policies::incomplete_topics;
pub(crate) use spans::{Span, SpanOptions, SpanReader};
pub(crate) use topics::Topics;
pub use watch::{TopicsWatch, watch_topics};
