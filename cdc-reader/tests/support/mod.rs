//! Databases, connectors, the reader's process, and what stands in Kafka, for all scenarios.

mod connector;
pub(crate) mod load;
mod reader;
mod source;
mod topics;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub(crate) use connector::Connector;
pub(crate) use reader::Launch;
pub(crate) use source::Source;
pub(crate) use topics::{Record, compacted, publish, record_count, records, topics_of};

/// How long anything that must happen may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A name that no other test has: fit for a database, a slot, a connector and a topic prefix.
pub(crate) fn unique(stem: &str) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!("{stem}_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
}
