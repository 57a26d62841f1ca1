//! What stands in Kafka: whole topics, read from their beginning.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use devstack::wait_for;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Headers as _;
use rdkafka::metadata::Metadata;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

use super::PATIENCE;

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) key: Option<String>,
    pub(crate) value: Option<String>,
    pub(crate) headers: Vec<(String, Option<String>)>,
}

impl Record {
    /// The value as JSON; `null` for a tombstone.
    pub(crate) fn json(&self) -> serde_json::Value {
        self.value.as_deref().map_or(serde_json::Value::Null, |v| serde_json::from_str(v).unwrap())
    }
}

/// The records of each topic of a prefix, by the topic's name without it. Each topic has one partition here.
pub(crate) fn topics_of(bootstrap: &str, prefix: &str) -> BTreeMap<String, Vec<Record>> {
    let consumer = consumer(bootstrap);
    let metadata = metadata(&consumer);
    let start = format!("{prefix}.");
    let names: Vec<&str> = metadata
        .topics()
        .iter()
        .map(rdkafka::metadata::MetadataTopic::name)
        .filter(|name| name.starts_with(&start))
        .collect();
    let mut found: BTreeMap<String, Vec<Record>> =
        names.iter().map(|name| (name[start.len()..].to_owned(), Vec::new())).collect();
    read(&consumer, &names, |topic, record| {
        found.get_mut(&topic[start.len()..]).unwrap().push(record);
    });
    found
}

/// The records of one topic with one partition; none when there is no such topic.
pub(crate) fn records(bootstrap: &str, topic: &str) -> Vec<Record> {
    let (prefix, rest) = topic.split_once('.').unwrap();
    topics_of(bootstrap, prefix).remove(rest).unwrap_or_default()
}

/// How many records a topic holds in all its partitions; 0 when there is no such topic.
pub(crate) fn record_count(bootstrap: &str, topic: &str) -> u64 {
    let consumer = consumer(bootstrap);
    let metadata = metadata(&consumer);
    let partitions =
        metadata.topics().iter().filter(|found| found.name() == topic).flat_map(|t| t.partitions());
    let ends = partitions.map(|partition| {
        // A topic that was just made has no leader yet.
        let (_, end) = wait_for(PATIENCE, "a partition's leader", || {
            consumer.fetch_watermarks(topic, partition.id(), Duration::from_secs(10)).ok()
        });
        u64::try_from(end).unwrap()
    });
    ends.sum()
}

/// Writes a record, in the partition where Kafka's own producer would write it.
pub(crate) fn publish(bootstrap: &str, topic: &str, key: &str, value: &str) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("partitioner", "murmur2_random")
        .create()
        .unwrap();
    producer.send(BaseRecord::to(topic).key(key).payload(value)).unwrap();
    producer.flush(PATIENCE).unwrap();
}

/// What compaction would leave: the last value of each key, without those that are deleted.
pub(crate) fn compacted(records: &[Record]) -> BTreeMap<String, serde_json::Value> {
    let mut last = BTreeMap::new();
    for record in records {
        let Some(key) = &record.key else { continue };
        match &record.value {
            Some(_) => last.insert(key.clone(), record.json()["after"].clone()),
            None => last.remove(key),
        };
    }
    last
}

fn consumer(bootstrap: &str) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "cdc-reader-tests")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("fetch.wait.max.ms", "10")
        .create()
        .unwrap()
}

fn metadata(consumer: &BaseConsumer) -> Metadata {
    wait_for(PATIENCE, "the cluster's metadata", || {
        consumer.fetch_metadata(None, Duration::from_secs(10)).map(Some)
    })
}

fn read(consumer: &BaseConsumer, topics: &[&str], mut take: impl FnMut(&str, Record)) {
    // One after the other: the end of a partition is told without its topic's name.
    for topic in topics {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
        consumer.assign(&list).unwrap();
        let started = Instant::now();
        loop {
            assert!(started.elapsed() < PATIENCE, "the end of {topic} was not reached");
            match consumer.poll(Duration::from_millis(100)) {
                None => {}
                Some(Err(KafkaError::PartitionEOF(_))) => break,
                Some(Err(error)) if passes(&error) => {}
                Some(Err(error)) => panic!("{error}"),
                Some(Ok(message)) => take(message.topic(), record(&message)),
            }
        }
    }
}

/// Whether librdkafka goes on by itself: it tells of a connection that was closed while idle.
fn passes(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::BrokerTransportFailure)
    )
}

fn record(message: &impl Message) -> Record {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    Record {
        key: message.key().map(text),
        value: message.payload().map(text),
        headers: message.headers().map_or_else(Vec::new, |headers| {
            headers.iter().map(|header| (header.key.to_owned(), header.value.map(text))).collect()
        }),
    }
}
