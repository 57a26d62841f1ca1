//! Heartbeats as they stand in their topic, and a watch that reads them as they come.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Headers as _;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use shared::debezium::heartbeat::{
    Heartbeat, Reached, heartbeat_key, heartbeat_value, read_heartbeat,
};

use super::{PATIENCE, Record, records};

/// The topic of a connector's heartbeats.
pub(crate) fn topic_of(prefix: &str) -> String {
    format!("__debezium-heartbeat.{prefix}")
}

/// The heartbeat that a record is.
#[track_caller]
pub(crate) fn heartbeat(record: &Record) -> Heartbeat {
    let headers = record.headers.iter();
    let headers =
        headers.filter_map(|(name, value)| Some((name.as_str(), value.as_deref()?.as_bytes())));
    let bytes = |text: &'_ Option<String>| text.clone().map(String::into_bytes);
    let (key, value) = (bytes(&record.key), bytes(&record.value));
    read_heartbeat(key.as_deref(), value.as_deref(), headers).expect("a heartbeat")
}

/// What the heartbeats of a topic claim, in their order.
#[track_caller]
pub(crate) fn claims(bootstrap: &str, topic: &str) -> Vec<Reached> {
    records(bootstrap, topic).iter().filter_map(|record| heartbeat(record).reached).collect()
}

/// Writes a heartbeat as the reader does.
#[track_caller]
pub(crate) fn publish_heartbeat(bootstrap: &str, topic: &str, server: &str, reached: Reached) {
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", bootstrap).create().unwrap();
    let mut headers = rdkafka::message::OwnedHeaders::new();
    for (key, value) in reached.headers() {
        headers = headers.insert(rdkafka::message::Header { key, value: Some(&value) });
    }
    let (key, value) = (heartbeat_key(server), heartbeat_value(1));
    let record = BaseRecord::to(topic).partition(0).key(&key).payload(&value).headers(headers);
    producer.send(record).map_err(|(error, _)| error).unwrap();
    producer.flush(PATIENCE).unwrap();
}

/// Reads heartbeats as they come.
pub(crate) struct Watch(BaseConsumer);

impl Watch {
    /// From the first heartbeat on. The topic exists.
    pub(crate) fn of(bootstrap: &str, topic: &str) -> Self {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("group.id", "heartbeats-watch")
            .set("enable.auto.commit", "false")
            .set("fetch.wait.max.ms", "10")
            .create()
            .unwrap();
        let mut place = TopicPartitionList::new();
        place.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
        consumer.assign(&place).unwrap();
        Self(consumer)
    }

    /// The next heartbeat's claim, if one comes within a moment.
    pub(crate) fn next(&self) -> Option<Reached> {
        let message = self.0.poll(Duration::from_millis(200))?.unwrap();
        let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
        let headers = headers.filter_map(|header| Some((header.key, header.value?)));
        read_heartbeat(message.key(), message.payload(), headers)?.reached
    }
}
