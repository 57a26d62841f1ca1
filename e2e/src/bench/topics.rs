//! How many events lie in Kafka.
//!
//! In: topics that were made for this bench and are never compacted. Out: the ends of their partitions.
//! Invariant: a topic begins at offset 0 and holds no control records, so the ends of its partitions are its number of
//! events.

use std::time::Duration;

use anyhow::Context;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// How long one question may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Asks for the ends of topics.
pub(super) struct Topics {
    consumer: BaseConsumer,
}

impl Topics {
    /// Makes a client; it never consumes.
    pub(super) fn new(bootstrap: &str) -> anyhow::Result<Self> {
        let consumer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("client.id", "bench")
            .set("allow.auto.create.topics", "false")
            .create()
            .context("cannot make a Kafka client")?;
        Ok(Self { consumer })
    }

    /// The number of events in a topic of one partition; none while there is no such topic.
    pub(super) fn events(&self, topic: &str) -> anyhow::Result<u64> {
        Ok(u64::try_from(self.end(topic, 0)?)?)
    }

    /// The end of each partition of a topic; 0 while there is no such topic.
    pub(super) fn ends(&self, topic: &str, partitions: i32) -> anyhow::Result<Vec<i64>> {
        (0..partitions).map(|partition| self.end(topic, partition)).collect()
    }

    fn end(&self, topic: &str, partition: i32) -> anyhow::Result<i64> {
        match self.consumer.fetch_watermarks(topic, partition, TIMEOUT) {
            Ok((_, high)) => Ok(high),
            Err(error) if is_not_there_yet(&error) => {
                // The client remembers that the topic was not there; only this makes it ask the broker again.
                self.consumer
                    .fetch_metadata(Some(topic), TIMEOUT)
                    .with_context(|| format!("cannot ask for topic {topic}"))?;
                Ok(0)
            }
            Err(error) => Err(error).with_context(|| format!("cannot ask for the end of {topic}")),
        }
    }
}

fn is_not_there_yet(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::LeaderNotAvailable
                | RDKafkaErrorCode::NotLeaderForPartition
        )
    )
}
