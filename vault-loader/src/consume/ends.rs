//! Where the partitions of topics begin and end in Kafka.
//!
//! In: topics. Out: the first offset and the end of each of their partitions. Nothing is consumed, and no group is
//! joined.

use std::collections::HashMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::metadata::{MetadataPartition, MetadataTopic};
use tokio_util::sync::CancellationToken;

use super::client::{consumer_config, probe_brokers};
use super::error::ConsumeError;
use crate::config::Config;

/// How long one question to Kafka may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The group that a client names which joins none.
const NO_GROUP: &str = "vault-loader";

/// What Kafka has of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionEnds {
    /// Kafka topic
    pub topic: String,
    /// partition of it
    pub partition: i32,
    /// first offset that Kafka still has
    pub first: i64,
    /// offset behind the last record
    pub end: i64,
}

/// What Kafka has of some topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ends {
    /// every partition of those topics that exist, in the order of the topics that were asked for
    pub partitions: Vec<PartitionEnds>,
    /// names of all topics
    pub existing: Vec<String>,
}

/// The properties of a client that asks and joins no group. A broker has answered by then.
///
/// # Errors
/// When Kafka does not answer or refuses, or librdkafka refuses a property.
pub async fn asking_client(config: &Config) -> Result<ClientConfig, ConsumeError> {
    let mut client = consumer_config(config, NO_GROUP)?;
    client.remove("group.instance.id");
    client.set("statistics.interval.ms", "0");
    let probed = config.clone();
    ask(move || probe_brokers(&probed, TIMEOUT, &CancellationToken::new())).await?;
    Ok(client)
}

/// Asks Kafka about every partition of the topics that exist.
///
/// # Errors
/// When Kafka does not answer or refuses.
pub async fn partition_ends(
    client: &ClientConfig,
    topics: &[String],
) -> Result<Ends, ConsumeError> {
    let (client, topics) = (client.clone(), topics.to_vec());
    ask(move || ends(&client, &topics)).await
}

/// Asks Kafka on a thread that may block.
///
/// # Errors
/// Those of the question.
pub async fn ask<T: Send + 'static>(
    question: impl FnOnce() -> Result<T, ConsumeError> + Send + 'static,
) -> Result<T, ConsumeError> {
    tokio::task::spawn_blocking(question).await.map_err(|_| ConsumeError::Cancelled)?
}

fn ends(client: &ClientConfig, topics: &[String]) -> Result<Ends, ConsumeError> {
    let consumer: BaseConsumer = client.create()?;
    let metadata = consumer.fetch_metadata(None, TIMEOUT)?;
    let existing: HashMap<&str, &MetadataTopic> = metadata
        .topics()
        .iter()
        .filter(|topic| topic.error().is_none())
        .map(|topic| (topic.name(), topic))
        .collect();
    let mut partitions = Vec::new();
    for name in topics {
        // A topic that is not created yet has nothing to load.
        let Some(topic) = existing.get(name.as_str()) else { continue };
        for partition in topic.partitions().iter().map(MetadataPartition::id) {
            let (first, end) = consumer.fetch_watermarks(name, partition, TIMEOUT)?;
            partitions.push(PartitionEnds { topic: name.clone(), partition, first, end });
        }
    }
    Ok(Ends { partitions, existing: existing.into_keys().map(str::to_owned).collect() })
}
