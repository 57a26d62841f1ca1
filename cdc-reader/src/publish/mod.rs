//! Sends events to Kafka, and knows which of them are durable there.
//!
//! [`Publisher`] hands bytes to librdkafka, which owns batching, retries and order; [`Ledger`] turns its
//! acknowledgements, which come back in any order over partitions, into the one position that may be confirmed: the end
//! of the last transaction whose every event, and every event before it, has been acknowledged.
//!
//! [`OffsetStore`] is the connector's place in Kafka Connect's offset topic, and [`Delivery`] is the only way to Kafka
//! for records and offsets.
//!
//! [`HeartbeatSender`] sends heartbeats, which neither the ledger nor the producer of the records knows.
//!
//! [`TopicMaker`] makes a topic at a start or when its first record comes. Until the topic exists, its records wait in
//! librdkafka's queue.
//!
//! Memory is bounded: what waits for Kafka takes at most `producer.override.buffer.memory`, keys, headers and
//! librdkafka's own structures included (`in_flight`), and the ledger has its own bounds. When either is full, the
//! caller stops reading the socket.

mod answers;
mod delivery;
mod failure;
mod heartbeats;
mod in_flight;
mod ledger;
mod maker;
mod offset;
mod offsets;
mod producer;
mod stall;
#[cfg(test)]
mod tests;
mod topics;

pub use delivery::Delivery;
pub use failure::{Breakage, ConfigurationProblem, PublishError};
pub use heartbeats::{Beat, HeartbeatSender, HeartbeatTopic, last_published};
pub use ledger::{Ledger, Position, Transaction};
pub use maker::{OnFirstRecord, TopicMaker};
pub use offset::{History, Offset, Resume, StoredOffset};
pub use offsets::{OffsetError, OffsetStore};
pub use producer::{
    EVENT_BYTES_MAX, Publisher, PublisherOptions, QUEUE_BYTES_MAX, QUEUE_MESSAGES_MAX, Record,
    RecordHeaders, refused_row, row_bytes_max,
};
pub use topics::{NewTopics, cluster_id, ensure_offset_topic};
