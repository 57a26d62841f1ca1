//! Where the partitions of topics begin and end in Kafka.
//!
//! In: topics. Out: the first offset and the end of each of their partitions. Nothing is consumed, and no group is joined.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
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

/// Asks Kafka about every partition of the topics that exist, in the order of the topics.
///
/// # Errors
/// When Kafka does not answer or refuses.
pub async fn partition_ends(
    config: &Config,
    topics: Vec<String>,
) -> Result<Vec<PartitionEnds>, ConsumeError> {
    let mut client = consumer_config(config, NO_GROUP)?;
    client.remove("group.instance.id");
    client.set("statistics.interval.ms", "0");
    let probed = config.clone();
    tokio::task::spawn_blocking(move || {
        probe_brokers(&probed, TIMEOUT, &CancellationToken::new())?;
        ask(&client, &topics)
    })
    .await
    .map_err(|_| ConsumeError::Cancelled)?
}

fn ask(
    client: &rdkafka::ClientConfig,
    topics: &[String],
) -> Result<Vec<PartitionEnds>, ConsumeError> {
    let consumer: BaseConsumer = client.create()?;
    let metadata = consumer.fetch_metadata(None, TIMEOUT)?;
    let mut ends = Vec::new();
    for name in topics {
        let Some(topic) = metadata.topics().iter().find(|topic| topic.name() == name) else {
            continue; // not created yet: nothing published, nothing to load
        };
        for partition in topic.partitions() {
            let (first, end) = consumer.fetch_watermarks(name, partition.id(), TIMEOUT)?;
            ends.push(PartitionEnds { topic: name.clone(), partition: partition.id(), first, end });
        }
    }
    Ok(ends)
}
