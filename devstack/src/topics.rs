//! What stands in Kafka: whole topics, read from their beginning, and single records written.
//!
//! In: brokers, names of topics. Out: names, ends and records.
//! Invariant: nothing is remembered between two questions, neither by a consumer group nor here, and asking for a topic
//! never makes it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers as _};
use rdkafka::metadata::MetadataPartition;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use rdkafka::{ClientConfig, ClientContext, Message, Offset, TopicPartitionList};

use crate::wait::try_wait_for;

/// How long the broker may take for one answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long a topic may take to be read to its end, and a record to be written, on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// After this silence another client goes on. A broker that was frozen answers for a moment with an empty list of
/// brokers; a client that has read it asks none again (<https://github.com/confluentinc/librdkafka/issues/5301>).
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The key as text.
    pub key: Option<String>,
    /// The value as text; nothing in a tombstone.
    pub value: Option<String>,
    /// The headers in their order.
    pub headers: Vec<(String, Option<String>)>,
}

impl Record {
    /// The value as JSON; `null` for a tombstone.
    ///
    /// # Panics
    /// When the value is no JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        match &self.value {
            None => serde_json::Value::Null,
            Some(value) => match serde_json::from_str(value) {
                Ok(json) => json,
                Err(err) => panic!("{value} is no JSON: {err}"),
            },
        }
    }

    fn of(message: &BorrowedMessage<'_>) -> anyhow::Result<Self> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec());
        let mut headers = Vec::new();
        for header in message.headers().into_iter().flat_map(|headers| headers.iter()) {
            headers.push((header.key.to_owned(), header.value.map(text).transpose()?));
        }
        let (key, value) = (message.key().map(text), message.payload().map(text));
        Ok(Self { key: key.transpose()?, value: value.transpose()?, headers })
    }
}

/// The topics of a cluster.
pub struct Topics {
    config: ClientConfig,
    consumer: BaseConsumer,
}

fn client(config: &ClientConfig) -> anyhow::Result<BaseConsumer> {
    config
        .clone()
        .set("group.id", "devstack-topics")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("fetch.wait.max.ms", "10")
        .create()
        .context("cannot make a Kafka client")
}

impl Topics {
    /// Makes a client.
    pub fn at(bootstrap: &str) -> anyhow::Result<Self> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", bootstrap);
        Self::with(&config)
    }

    /// Makes a client that goes this way: brokers, TLS, a login.
    pub fn with(config: &ClientConfig) -> anyhow::Result<Self> {
        Ok(Self { config: config.clone(), consumer: client(config)? })
    }

    /// The names that begin with `prefix`.
    pub fn named(&self, prefix: &str) -> anyhow::Result<Vec<String>> {
        let metadata = try_wait_for(DEADLINE, "the cluster's metadata", || {
            self.consumer.fetch_metadata(None, TIMEOUT).map(Some)
        })?;
        let names = metadata.topics().iter().map(|topic| topic.name().to_owned());
        Ok(names.filter(|name| name.starts_with(prefix)).collect())
    }

    /// The partitions of a topic; none when there is no such topic.
    fn partitions(&self, topic: &str) -> anyhow::Result<Vec<i32>> {
        try_wait_for(DEADLINE, &format!("metadata of topic {topic}"), || {
            let metadata = self.consumer.fetch_metadata(Some(topic), TIMEOUT)?;
            let found = metadata.topics().first().context("the broker does not name the topic")?;
            match found.error().map(RDKafkaErrorCode::from) {
                None | Some(RDKafkaErrorCode::UnknownTopicOrPartition) => {}
                Some(error) => anyhow::bail!("{error}"),
            }
            Ok(Some(found.partitions().iter().map(MetadataPartition::id).collect()))
        })
    }

    /// The next offset of each partition of a topic; nothing when there is no such topic.
    ///
    /// # Errors
    /// Among others, a partition of a topic that was just made and has no leader yet.
    pub fn ends(&self, topic: &str) -> anyhow::Result<BTreeMap<i32, i64>> {
        let end = |partition| {
            let (_, end) = self.consumer.fetch_watermarks(topic, partition, TIMEOUT)?;
            Ok((partition, end))
        };
        self.partitions(topic)?.into_iter().map(end).collect()
    }

    /// The records of a topic, those of a partition in their order; none when there is no such topic.
    pub fn records(&self, topic: &str) -> anyhow::Result<Vec<Record>> {
        let mut records = Vec::new();
        self.read(topic, |message| {
            records.push(Record::of(message)?);
            Ok(())
        })?;
        Ok(records)
    }

    /// Reads a topic's partitions from their beginnings to their ends.
    pub fn read(
        &self,
        topic: &str,
        mut take: impl FnMut(&BorrowedMessage<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut open: BTreeMap<i32, Offset> =
            self.partitions(topic)?.into_iter().map(|found| (found, Offset::Beginning)).collect();
        let until = Instant::now() + DEADLINE;
        let mut another = None;
        while !open.is_empty() {
            let consumer = another.as_ref().unwrap_or(&self.consumer);
            read_until_silence(consumer, topic, &mut open, until, &mut take)?;
            if !open.is_empty() {
                another = Some(client(&self.config)?);
            }
        }
        Ok(())
    }
}

/// Reads the partitions that are `open`, until they are at their ends or nothing comes.
fn read_until_silence(
    consumer: &BaseConsumer,
    topic: &str,
    open: &mut BTreeMap<i32, Offset>,
    until: Instant,
    take: &mut impl FnMut(&BorrowedMessage<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in &*open {
        list.add_partition_offset(topic, *partition, *offset)?;
    }
    consumer.assign(&list)?;
    let mut last = Instant::now();
    while !open.is_empty() && last.elapsed() < SILENCE_MAX {
        anyhow::ensure!(Instant::now() < until, "the end of {topic} was not reached");
        match consumer.poll(Duration::from_millis(100)) {
            None => continue,
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                open.remove(&partition);
            }
            Some(Err(error)) if passes(&error) => continue,
            Some(Err(error)) => return Err(error).with_context(|| format!("reading {topic}")),
            Some(Ok(message)) => {
                // A partition that was read to its end once is done.
                if let Some(next) = open.get_mut(&message.partition()) {
                    *next = Offset::Offset(message.offset() + 1);
                    take(&message)?;
                }
            }
        }
        last = Instant::now();
    }
    Ok(())
}

/// Whether librdkafka goes on by itself: it tells of a connection that was closed while idle.
fn passes(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::BrokerTransportFailure)
    )
}

/// Keeps the error of a record that was not written.
#[derive(Default)]
struct Delivery(Mutex<Option<KafkaError>>);

impl ClientContext for Delivery {}

impl ProducerContext for Delivery {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _opaque: ()) {
        if let Err((error, _)) = result {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.clone());
        }
    }
}

/// Writes a record, in the partition where Kafka's own producer would write it, and waits until the broker has
/// acknowledged it.
pub fn publish(bootstrap: &str, topic: &str, key: Option<&str>, value: &str) -> anyhow::Result<()> {
    let producer: BaseProducer<Delivery> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("partitioner", "murmur2_random")
        .create_with_context(Delivery::default())
        .context("cannot make a Kafka client")?;
    let mut record: BaseRecord<'_, str, str> = BaseRecord::to(topic).payload(value);
    record.key = key;
    producer.send(record).map_err(|(error, _)| error)?;
    producer.flush(DEADLINE).with_context(|| format!("cannot write to {topic}"))?;
    let failure = producer.context().0.lock().unwrap_or_else(PoisonError::into_inner).take();
    match failure {
        None => Ok(()),
        Some(error) => Err(error).with_context(|| format!("cannot write to {topic}")),
    }
}
