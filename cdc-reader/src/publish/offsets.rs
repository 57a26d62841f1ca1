//! Positions in Kafka Connect's own offset topic and form, so that Debezium can go on where this reader stopped, and
//! the other way round.
//!
//! Key `["<connector>",{"server":"<topic.prefix>"}]`, value a map. The value that is written has the keys that Debezium
//! 3.6 writes after a commit. The value that is read may be any offset of Debezium's: after a commit, or in the middle
//! of a transaction or a snapshot.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use rdkafka::Message as _;
use rdkafka::Offset;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionList;
use serde_json::{Value, json};
use shared::position::Lsn;

use super::ledger::Position;
use super::topics::QuietContext;

/// Kafka Connect's own default for `offset.storage.partitions`.
pub const OFFSET_PARTITIONS: i32 = 25;

/// Reading a compacted topic of offsets takes milliseconds. A broker that is starting needs longer.
const READ_DEADLINE: Duration = Duration::from_secs(60);

/// How long a new topic may take to be known.
const TOPIC_DEADLINE: Duration = Duration::from_secs(10);

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

/// Where a connector stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredOffset {
    /// Nothing is stored, or a snapshot that was not finished.
    None,
    /// Everything that committed before `position` has been published.
    Resume {
        /// The position.
        position: Lsn,
        /// The offset's `lsn_commit`: the end of the last commit that was published, or the end of WAL without changes
        /// after that commit. None when Debezium wrote the offset before the first commit.
        last_commit: Option<Lsn>,
    },
}

/// One connector's place in the offset topic.
#[derive(Debug, Clone)]
pub struct OffsetStore {
    bootstrap_servers: String,
    topic: String,
    connector: String,
    server: String,
}

impl OffsetStore {
    /// The place of connector `connector` with topic prefix `server`.
    #[must_use]
    pub fn new(bootstrap_servers: &str, topic: &str, connector: &str, server: &str) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.to_owned(),
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

    /// The record's value after the commit at `position`.
    #[must_use]
    pub fn value(position: &Position) -> Value {
        let lsn = position.end_lsn.0;
        json!({
            "lsn_proc": lsn,
            "messageType": "COMMIT",
            "lsn_commit": lsn,
            "lsn": lsn,
            "txId": position.tx_id,
            "ts_usec": position.commit_ts_us,
        })
    }

    /// Reads the topic to its end and returns the last offset of this connector.
    ///
    /// # Errors
    /// When Kafka does not answer in time, or the stored value is no offset.
    pub fn load(&self) -> Result<StoredOffset, OffsetError> {
        let consumer: BaseConsumer<Quiet> = ClientConfig::new()
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("client.id", "cdc-reader-offsets")
            .set("group.id", "cdc-reader-offsets")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("isolation.level", "read_committed")
            // Most of the topic's partitions are empty. Waiting for further records in each of them would take most of
            // the start.
            .set("fetch.wait.max.ms", "10")
            .create_with_context(Quiet)
            .map_err(|error| self.read_error(&error.to_string()))?;
        let mut unfinished = self.assign_all(&consumer)?;
        let key: Value = json!([self.connector, { "server": self.server }]);
        let mut last = None;
        let mut newest = None;
        let started = Instant::now();
        while !unfinished.is_empty() {
            if started.elapsed() > READ_DEADLINE {
                return Err(self.read_error("the end of the topic was not reached in time"));
            }
            match consumer.poll(Duration::from_millis(100)) {
                None => {}
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    unfinished.remove(&partition);
                }
                Some(Err(error)) if transient(&error) => {}
                Some(Err(error)) => return Err(self.read_error(&error.to_string())),
                Some(Ok(message)) => {
                    let ours = message
                        .key()
                        .and_then(|bytes| serde_json::from_slice::<Value>(bytes).ok())
                        .is_some_and(|other| other == key);
                    // Records of one key are in one partition, unless another partitioner wrote some of them. The
                    // newest record counts.
                    let written = message.timestamp().to_millis();
                    if ours && written >= newest {
                        newest = written;
                        last = Some(message.payload().map(<[u8]>::to_vec));
                    }
                }
            }
        }
        match last.flatten() {
            None => Ok(StoredOffset::None),
            Some(bytes) => parse(&bytes).map_err(|problem| OffsetError::Malformed {
                topic: self.topic.clone(),
                connector: self.connector.clone(),
                problem,
            }),
        }
    }

    fn assign_all(&self, consumer: &BaseConsumer<Quiet>) -> Result<HashSet<i32>, OffsetError> {
        let partitions = self.partitions(consumer)?;
        let mut list = TopicPartitionList::new();
        for &partition in &partitions {
            list.add_partition_offset(&self.topic, partition, Offset::Beginning)
                .map_err(|error| self.read_error(&error.to_string()))?;
        }
        consumer.assign(&list).map_err(|error| self.read_error(&error.to_string()))?;
        Ok(partitions)
    }

    /// The topic's partitions. A topic that was made a moment ago is not known to every broker yet.
    fn partitions(&self, consumer: &BaseConsumer<Quiet>) -> Result<HashSet<i32>, OffsetError> {
        let started = Instant::now();
        loop {
            let metadata = consumer
                .fetch_metadata(Some(&self.topic), READ_DEADLINE)
                .map_err(|error| self.read_error(&error.to_string()))?;
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

    fn read_error(&self, reason: &str) -> OffsetError {
        OffsetError::Read { topic: self.topic.clone(), reason: reason.to_owned() }
    }
}

fn transient(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::Resolve
        )
    )
}

/// The position that an offset stands for.
///
/// `lsn_commit` is the end of the last commit seen. An offset without `lsn_commit` was written inside the first
/// transaction after a snapshot or a new slot. Every transaction that committed before the row at `lsn` was written has
/// been delivered. So starting at `lsn` is safe, and the open transaction comes again as a whole.
fn parse(bytes: &[u8]) -> Result<StoredOffset, &'static str> {
    let value: Value = serde_json::from_slice(bytes).map_err(|_| "not JSON")?;
    let map = match value {
        Value::Null => return Ok(StoredOffset::None),
        Value::Object(map) => map,
        _ => return Err("not a map"),
    };
    let truth = |name: &str| map.get(name).and_then(Value::as_bool);
    let in_snapshot = map.get("snapshot").is_some_and(|mark| !mark.is_null() && mark != false);
    let finished = truth("snapshot_completed").or_else(|| truth("last_snapshot_record"));
    if in_snapshot && finished != Some(true) {
        return Ok(StoredOffset::None);
    }
    let lsn = |name: &str| map.get(name).and_then(Value::as_u64).filter(|&lsn| lsn > 0).map(Lsn);
    let last_commit = lsn("lsn_commit");
    let position = last_commit.or_else(|| lsn("lsn")).ok_or("it has no lsn")?;
    Ok(StoredOffset::Resume { position, last_commit })
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
    use super::*;

    #[test]
    fn offsets_have_kafka_connects_form() {
        let store = OffsetStore::new("k:9092", "connect-offsets", "obs", "obs");
        assert_eq!(store.key(), br#"["obs",{"server":"obs"}]"#);
        let position = Position {
            end_lsn: Lsn(1_467_071_720),
            tx_id: Some(25_566),
            commit_ts_us: 1_795_228_672_325_479,
        };
        assert_eq!(
            OffsetStore::value(&position).to_string(),
            r#"{"lsn_proc":1467071720,"messageType":"COMMIT","lsn_commit":1467071720,"lsn":1467071720,"txId":25566,"ts_usec":1795228672325479}"#
        );
    }

    #[track_caller]
    fn check(text: &str, expected: Result<StoredOffset, &'static str>) {
        assert_eq!(parse(text.as_bytes()), expected, "{text}");
    }

    fn resume(position: u64, last_commit: Option<u64>) -> StoredOffset {
        StoredOffset::Resume { position: Lsn(position), last_commit: last_commit.map(Lsn) }
    }

    #[test]
    fn debeziums_offsets_are_understood_wherever_they_were_written() {
        check(
            r#"{"lsn_proc":9,"messageType":"COMMIT","lsn_commit":9,"lsn":9,"txId":1,"ts_usec":1}"#,
            Ok(resume(9, Some(9))),
        );
        // Inside a transaction the row's LSN is greater than the position up to which everything is complete.
        check(
            r#"{"lsn_proc":20,"messageType":"INSERT","lsn_commit":9,"lsn":20,"txId":1,"ts_usec":1}"#,
            Ok(resume(9, Some(9))),
        );
        check(r#"{"lsn":20,"txId":1,"ts_usec":1}"#, Ok(resume(20, None)));
        check(r#"{"snapshot":"INITIAL","snapshot_completed":true,"lsn":20}"#, Ok(resume(20, None)));
        check(r#"{"snapshot":true,"last_snapshot_record":false,"lsn":20}"#, Ok(StoredOffset::None));
        check("null", Ok(StoredOffset::None));
    }

    #[test]
    fn what_is_no_offset_is_refused() {
        check("x", Err("not JSON"));
        check("[]", Err("not a map"));
        check("{}", Err("it has no lsn"));
        check(r#"{"lsn":"x"}"#, Err("it has no lsn"));
    }
}
