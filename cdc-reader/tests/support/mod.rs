//! Databases, connectors, the reader's process, and what stands in Kafka, for all scenarios.

mod connector;
pub(crate) mod heartbeats;
pub(crate) mod late_leader;
pub(crate) mod load;
pub(crate) mod parity;
mod reader;
pub(crate) mod slow_link;
mod source;
mod switch;
mod topics;

use std::time::Duration;

pub(crate) use connector::Connector;
pub(crate) use devstack::topics::Record;
pub(crate) use devstack::unique;
pub(crate) use reader::{Launch, Reader};
pub(crate) use source::Source;
pub(crate) use switch::Switch;
pub(crate) use topics::{
    compacted, make_topic, publish, record_count, records, set_topic, topics_of,
};

/// How long anything that must happen may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
