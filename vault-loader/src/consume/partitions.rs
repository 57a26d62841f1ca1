//! Which partitions a topic has.
//!
//! In: a topic. Out: the numbers of its partitions. Only this topic is asked for: the metadata of a whole cluster may
//! be megabytes, and some questions come with every heartbeat.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::metadata::MetadataPartition;

/// The partitions of a topic; none when there is no such topic.
///
/// # Errors
/// When Kafka does not answer or refuses.
pub(super) fn partitions_of<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    timeout: Duration,
) -> KafkaResult<Vec<i32>> {
    let metadata = consumer.fetch_metadata(Some(topic), timeout)?;
    let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
        return Ok(Vec::new());
    };
    match found.error().map(RDKafkaErrorCode::from) {
        None => Ok(found.partitions().iter().map(MetadataPartition::id).collect()),
        Some(RDKafkaErrorCode::UnknownTopicOrPartition) => Ok(Vec::new()),
        Some(error) => Err(KafkaError::MetadataFetch(error)),
    }
}
