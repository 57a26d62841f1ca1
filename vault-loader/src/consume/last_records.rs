//! Whether a topic still holds the records that were loaded from it.
//!
//! In: for each partition the offset and the digest of the last record that was loaded. Out: the partitions whose record
//! at that offset is another one: the topic was deleted and made again, or something else was put in its place. A record
//! that Kafka no longer has, because it expired or was compacted away, says nothing.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::Offset;
use rdkafka::{ClientConfig, TopicPartitionList};

use super::error::ConsumeError;
use crate::batch::{Digest, digest};

/// How long the comparison waits for the next record. A compacted topic may have none.
const QUIET: Duration = Duration::from_secs(10);

/// The last record that was loaded from a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LastRecord {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) digest: Digest,
}

/// Returns those that are other records now. This blocks; `is_ending` is asked all the time.
pub(super) fn replaced(
    client: &ClientConfig,
    mut records: Vec<LastRecord>,
    is_ending: impl Fn() -> bool,
) -> Result<Vec<LastRecord>, ConsumeError> {
    let mut found = Vec::new();
    if records.is_empty() {
        return Ok(found);
    }
    let consumer = reader(client)?;
    let mut assignment = TopicPartitionList::with_capacity(records.len());
    for LastRecord { topic, partition, offset, .. } in &records {
        assignment.add_partition_offset(topic, *partition, Offset::Offset(*offset))?;
    }
    consumer.assign(&assignment)?;
    let mut heard = Instant::now();
    while !records.is_empty() && heard.elapsed() < QUIET {
        if is_ending() {
            return Err(ConsumeError::Cancelled);
        }
        // Errors of single partitions pass or end the wait; the real consumer reports them.
        let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) else { continue };
        let is_same = |record: &LastRecord| {
            record.topic == message.topic() && record.partition == message.partition()
        };
        let Some(place) = records.iter().position(is_same) else { continue };
        let record = records.swap_remove(place);
        stop_fetching(&consumer, &record)?;
        if message.offset() == record.offset
            && digest(message.key(), message.payload()) != record.digest
        {
            found.push(record);
        }
        heard = Instant::now();
    }
    // Closing the client takes up to 100 ms. A thread of its own does it, so that loading can begin.
    let ended = std::thread::Builder::new().spawn(move || drop(consumer));
    if let Err(error) = ended {
        tracing::debug!(%error, "no thread to close a client of Kafka"); // this thread has closed it
    }
    for LastRecord { topic, partition, offset, .. } in records {
        tracing::warn!(
            topic,
            partition,
            offset,
            "Kafka does not show the last record that was loaded, so nobody can see whether the topic was made again"
        );
    }
    Ok(found)
}

/// Asks for no more of a partition that is compared. Its later records would fill the consumer's queue, and other
/// partitions would wait.
fn stop_fetching(consumer: &BaseConsumer, record: &LastRecord) -> Result<(), ConsumeError> {
    let mut compared = TopicPartitionList::with_capacity(1);
    compared.add_partition(&record.topic, record.partition);
    Ok(consumer.incremental_unassign(&compared)?)
}

/// A consumer that belongs to no group and keeps little.
pub(super) fn reader(client: &ClientConfig) -> Result<BaseConsumer, ConsumeError> {
    let mut client = client.clone();
    client.remove("group.instance.id");
    for (key, value) in [
        ("statistics.interval.ms", "0"),
        ("queued.max.messages.kbytes", "1024"),
        // A broker's answer has at least one set of records, even a larger one. Other partitions may need another
        // request.
        ("max.partition.fetch.bytes", "65536"),
        // By default a partition waits for a second whenever the queue is full.
        ("fetch.queue.backoff.ms", "10"),
        ("auto.offset.reset", "latest"),
    ] {
        client.set(key, value);
    }
    Ok(client.create()?)
}
