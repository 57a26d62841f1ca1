//! The connector's place in Kafka Connect's own offset topic, so that Debezium can go on where this reader stopped, and
//! the other way round.
//!
//! In: the connector's name and topic prefix. Out: the last offset that was stored under the key
//! `["<connector>",{"server":"<topic.prefix>"}]`.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use rdkafka::Message as _;
use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionList;
use serde_json::{Value, json};
use shared::kafka::{Cluster, refused_property};
use tokio_util::sync::CancellationToken;

use super::offset::{StoredOffset, parse};
use super::topics::QuietContext;

/// Reading a compacted topic of offsets takes milliseconds. A broker that is starting needs longer.
const READ_DEADLINE: Duration = Duration::from_secs(60);

/// How long a new topic may take to be known.
const TOPIC_DEADLINE: Duration = Duration::from_secs(10);

/// How long one question to the brokers may take. Between two questions a stop is heard.
const QUESTION: Duration = Duration::from_millis(500);

/// The pause between two questions for it.
const TOPIC_PAUSE: Duration = Duration::from_millis(50);

/// Why the stored offset cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OffsetError {
    /// Kafka does not answer as it should.
    #[error("cannot read offsets from topic {topic}: {reason}")]
    Read {
        /// The topic.
        topic: String,
        /// Why not.
        reason: String,
    },
    /// The topic may not be read.
    #[error(
        "not allowed to read offsets from topic {topic}: the principal of the consumer needs the rights Read and Describe on it"
    )]
    Denied {
        /// The topic.
        topic: String,
    },
    /// The stored record is not an offset.
    #[error(
        "the stored offset of connector {connector} in topic {topic} is not one of Debezium's PostgreSQL connector: {problem}"
    )]
    Malformed {
        /// The topic.
        topic: String,
        /// The connector.
        connector: String,
        /// What is wrong.
        problem: &'static str,
    },
}

/// One connector's place in the offset topic.
#[derive(Debug, Clone)]
pub struct OffsetStore {
    cluster: Cluster,
    topic: String,
    connector: String,
    server: String,
}

impl OffsetStore {
    /// The place of connector `connector` with topic prefix `server`.
    #[must_use]
    pub fn new(cluster: &Cluster, topic: &str, connector: &str, server: &str) -> Self {
        Self {
            cluster: cluster.clone(),
            topic: topic.to_owned(),
            connector: connector.to_owned(),
            server: server.to_owned(),
        }
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The record's key.
    #[must_use]
    pub fn key(&self) -> Vec<u8> {
        json!([self.connector, { "server": self.server }]).to_string().into_bytes()
    }

    /// Reads the topic to its end and returns the last offset of this connector: what it means, and as it stands there.
    ///
    /// # Errors
    /// When Kafka does not answer in time or before `stop` is cancelled, or the stored value is no offset.
    pub fn load(
        &self,
        stop: &CancellationToken,
    ) -> Result<(StoredOffset, Option<Value>), OffsetError> {
        let consumer: BaseConsumer<Quiet> = self
            .cluster
            .client("cdc-reader-offsets")
            .set("group.id", "cdc-reader-offsets")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("isolation.level", "read_committed")
            // Most of the topic's partitions are empty. Waiting for further records in each of them would take most of
            // the start.
            .set("fetch.wait.max.ms", "10")
            .create_with_context(Quiet)
            .map_err(|error| {
                let refused = refused_property(&error);
                self.read_error(&refused.unwrap_or_else(|| error.to_string()))
            })?;
        let mut unfinished = self.assign_all(&consumer, stop)?;
        let key: Value = json!([self.connector, { "server": self.server }]);
        let mut newest = Newest::default();
        let started = Instant::now();
        while !unfinished.is_empty() {
            self.check_stop(stop)?;
            if started.elapsed() > READ_DEADLINE {
                return Err(self.read_error("the end of the topic was not reached in time"));
            }
            match consumer.poll(Duration::from_millis(100)) {
                None => {}
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    unfinished.remove(&partition);
                }
                Some(Err(error)) if transient(&error) => {}
                Some(Err(error)) if is_denied(&error) => return Err(self.denied()),
                Some(Err(error)) => return Err(self.read_error(&error.to_string())),
                Some(Ok(message)) => {
                    let ours = message
                        .key()
                        .and_then(|bytes| serde_json::from_slice::<Value>(bytes).ok())
                        .is_some_and(|other| other == key);
                    if ours {
                        let written = message.timestamp().to_millis();
                        let value = message.payload().map(<[u8]>::to_vec);
                        newest.take(message.partition(), written, value);
                    }
                }
            }
        }
        match newest.value() {
            None => Ok((StoredOffset::None, None)),
            Some(bytes) => {
                let offset = parse(&bytes).map_err(|problem| OffsetError::Malformed {
                    topic: self.topic.clone(),
                    connector: self.connector.clone(),
                    problem,
                })?;
                Ok((offset, serde_json::from_slice(&bytes).ok().filter(Value::is_object)))
            }
        }
    }

    fn assign_all(
        &self,
        consumer: &BaseConsumer<Quiet>,
        stop: &CancellationToken,
    ) -> Result<HashSet<i32>, OffsetError> {
        let partitions = self.partitions(consumer, stop)?;
        let mut list = TopicPartitionList::new();
        for &partition in &partitions {
            list.add_partition_offset(&self.topic, partition, Offset::Beginning)
                .map_err(|error| self.read_error(&error.to_string()))?;
        }
        consumer.assign(&list).map_err(|error| self.read_error(&error.to_string()))?;
        Ok(partitions)
    }

    /// The topic's partitions. A topic that was made a moment ago is not known to every broker yet.
    fn partitions(
        &self,
        consumer: &BaseConsumer<Quiet>,
        stop: &CancellationToken,
    ) -> Result<HashSet<i32>, OffsetError> {
        let started = Instant::now();
        loop {
            self.check_stop(stop)?;
            let metadata = match consumer.fetch_metadata(Some(&self.topic), QUESTION) {
                Ok(metadata) => metadata,
                Err(_) if started.elapsed() < READ_DEADLINE => {
                    std::thread::sleep(TOPIC_PAUSE);
                    continue;
                }
                Err(error) => return Err(self.read_error(&error.to_string())),
            };
            let denied = Some(RDKafkaErrorCode::TopicAuthorizationFailed);
            let mut found = metadata.topics().iter();
            if found.any(|topic| topic.error().map(RDKafkaErrorCode::from) == denied) {
                return Err(self.denied());
            }
            let partitions: HashSet<i32> = metadata
                .topics()
                .iter()
                .flat_map(|topic| topic.partitions().iter().map(|partition| partition.id()))
                .collect();
            if !partitions.is_empty() {
                return Ok(partitions);
            }
            if started.elapsed() > TOPIC_DEADLINE {
                return Err(self.read_error("the topic has no partitions"));
            }
            std::thread::sleep(TOPIC_PAUSE);
        }
    }

    fn check_stop(&self, stop: &CancellationToken) -> Result<(), OffsetError> {
        if stop.is_cancelled() {
            return Err(self.read_error("stopped before Kafka had answered"));
        }
        Ok(())
    }

    fn denied(&self) -> OffsetError {
        OffsetError::Denied { topic: self.topic.clone() }
    }

    fn read_error(&self, reason: &str) -> OffsetError {
        OffsetError::Read { topic: self.topic.clone(), reason: reason.to_owned() }
    }
}

fn is_denied(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::TopicAuthorizationFailed)
}

/// What does not keep us from reading on. The consumer is in no group, so it needs no right on one.
fn transient(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::GroupAuthorizationFailed
        )
    )
}

/// The record of a key that counts: the last one of its partition.
///
/// Records of one key are in one partition, unless another partitioner wrote some of them. Between partitions the time
/// stamps decide.
#[derive(Debug, Default)]
struct Newest {
    /// For each partition the last record: when it was written, and its value; none for a tombstone.
    last: BTreeMap<i32, (Option<i64>, Option<Vec<u8>>)>,
}

impl Newest {
    fn take(&mut self, partition: i32, written: Option<i64>, value: Option<Vec<u8>>) {
        self.last.insert(partition, (written, value));
    }

    fn value(self) -> Option<Vec<u8>> {
        self.last.into_values().max_by_key(|(written, _)| *written).and_then(|(_, value)| value)
    }
}

/// A consumer that logs nothing by itself.
struct Quiet;

impl rdkafka::ClientContext for Quiet {
    fn log(&self, level: rdkafka::config::RDKafkaLogLevel, facility: &str, message: &str) {
        QuietContext.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        QuietContext.error(error, reason);
    }
}

impl rdkafka::consumer::ConsumerContext for Quiet {}

#[cfg(test)]
mod tests {
    use shared::kafka::Security;

    use super::*;

    #[test]
    fn the_key_has_kafka_connects_form() {
        let store = OffsetStore::new(&Cluster::default(), "connect-offsets", "obs", "obs");
        assert_eq!(store.key(), br#"["obs",{"server":"obs"}]"#);
    }

    #[test]
    fn a_stop_ends_the_wait_for_brokers_that_do_not_answer() {
        let nobody = Cluster::new("127.0.0.1:1", Security::default());
        let store = OffsetStore::new(&nobody, "connect-offsets", "obs", "obs");
        let stop = CancellationToken::new();
        let asking = {
            let stop = stop.clone();
            std::thread::spawn(move || store.load(&stop))
        };
        stop.cancel();
        let error = asking.join().unwrap().unwrap_err();
        assert!(
            matches!(&error, OffsetError::Read { reason, .. } if reason.starts_with("stopped")),
            "{error}"
        );
    }

    #[track_caller]
    fn newest_of(records: &[(i32, Option<i64>, Option<&str>)]) -> Option<String> {
        let mut newest = Newest::default();
        for (partition, written, value) in records {
            newest.take(*partition, *written, value.map(|text| text.as_bytes().to_vec()));
        }
        newest.value().map(|value| String::from_utf8(value).unwrap())
    }

    #[test]
    fn the_order_in_a_partition_decides_and_not_the_clock() {
        assert_eq!(
            newest_of(&[(3, Some(20), Some("a")), (3, Some(10), Some("b"))]).as_deref(),
            Some("b")
        );
        assert_eq!(newest_of(&[(3, Some(20), Some("a")), (3, Some(10), None)]), None);
        assert_eq!(newest_of(&[]), None);
    }

    #[test]
    fn between_partitions_the_newer_record_counts() {
        assert_eq!(
            newest_of(&[(3, Some(20), Some("a")), (5, Some(10), Some("b"))]).as_deref(),
            Some("a")
        );
        assert_eq!(
            newest_of(&[(5, Some(10), Some("b")), (3, Some(20), Some("a"))]).as_deref(),
            Some("a")
        );
    }
}
