//! Looks at the first records that wait in Kafka: how old and how large they are.
//!
//! In: partitions and the offsets from which the warehouse has not loaded. Out: what stands there. The records are read
//! as the loader reads them: committed ones only. The consumer is no member of the loader's group.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::Offset;
use rdkafka::{ClientConfig, TopicPartitionList};

/// Records that are read of each partition.
const RECORDS_MAX: i64 = 200;

/// How long the reading of one topic may take. What has not come by then stays unknown.
const PATIENCE: Duration = Duration::from_secs(5);

/// What waits at the beginning of a partition's lag.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Waiting {
    /// when the first record was published, milliseconds since the epoch; none when no record was found
    pub(super) oldest_ms: Option<i64>,
    /// records read
    pub(super) records: i64,
    /// bytes of their keys and values
    pub(super) bytes: i64,
    /// whether these are all records that wait
    pub(super) is_all: bool,
}

impl Waiting {
    /// The records that wait: exactly when all were read, else as the offsets say.
    pub(super) fn records_of(&self, offsets: i64) -> i64 {
        if self.is_all { self.records } else { offsets }
    }

    /// The bytes that wait, estimated from the size of those that were read. None when none was read and some wait.
    pub(super) fn bytes_of(&self, offsets: i64) -> Option<i64> {
        if self.is_all {
            return Some(self.bytes);
        }
        (self.records > 0).then(|| self.bytes.saturating_mul(offsets) / self.records)
    }
}

/// Says nothing in the log: the end of a partition is an error for librdkafka, and wanted here.
struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(facility, message, "librdkafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "librdkafka reports an error");
    }
}

impl ConsumerContext for Quiet {}

/// Reads the first records of these partitions of one topic, each from an offset on. This blocks the thread.
///
/// # Errors
/// When librdkafka does not take the configuration or the assignment.
pub(super) fn look(
    client: &ClientConfig,
    topic: &str,
    partitions: &[(i32, i64)],
) -> KafkaResult<HashMap<i32, Waiting>> {
    let mut client = client.clone();
    client.set("enable.partition.eof", "true");
    client.set("queued.min.messages", "1000");
    let consumer: BaseConsumer<Quiet> = client.create_with_context(Quiet)?;
    let mut assignment = TopicPartitionList::with_capacity(partitions.len());
    for &(partition, from) in partitions {
        assignment.add_partition_offset(topic, partition, Offset::Offset(from))?;
    }
    consumer.assign(&assignment)?;
    let mut found: HashMap<i32, Waiting> =
        partitions.iter().map(|&(partition, _)| (partition, Waiting::default())).collect();
    let is_open = |waiting: &Waiting| !waiting.is_all && waiting.records < RECORDS_MAX;
    let started = Instant::now();
    while started.elapsed() < PATIENCE && found.values().any(is_open) {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let Some(waiting) = found.get_mut(&message.partition()) else { continue };
                if is_open(waiting) {
                    let length = message.key_len() + message.payload_len();
                    waiting.records += 1;
                    waiting.bytes += i64::try_from(length).unwrap_or(i64::MAX);
                    waiting.oldest_ms = waiting.oldest_ms.or(message.timestamp().to_millis());
                }
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                if let Some(waiting) = found.get_mut(&partition)
                    && is_open(waiting)
                {
                    waiting.is_all = true;
                }
            }
            // The offset is gone, or a broker is away: what waits there stays unknown.
            Some(Err(_)) | None => {}
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_to_the_end_is_exact_and_the_rest_is_estimated() {
        let all = Waiting { oldest_ms: Some(1), records: 3, bytes: 90, is_all: true };
        assert_eq!((all.records_of(4), all.bytes_of(4)), (3, Some(90)));
        let part = Waiting { is_all: false, ..all };
        assert_eq!((part.records_of(10), part.bytes_of(10)), (10, Some(300)));
        let nothing = Waiting::default();
        assert_eq!((nothing.records_of(10), nothing.bytes_of(10)), (10, None));
    }
}
