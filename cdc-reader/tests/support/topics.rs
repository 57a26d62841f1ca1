//! What stands in Kafka: whole topics, read from their beginning, and what compaction would keep of them.

use std::collections::BTreeMap;

use devstack::topics::Topics;
use devstack::wait_for;
use rdkafka::ClientConfig;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;

use super::{PATIENCE, Record};

/// The records of each topic of a prefix that has any, by the topic's name without the prefix.
pub(crate) fn topics_of(bootstrap: &str, prefix: &str) -> BTreeMap<String, Vec<Record>> {
    let topics = Topics::at(bootstrap).unwrap();
    let start = format!("{prefix}.");
    let names = topics.named(&start).unwrap();
    names
        .iter()
        .map(|name| (name[start.len()..].to_owned(), topics.records(name).unwrap()))
        .filter(|(_, records)| !records.is_empty())
        .collect()
}

/// The records of one topic; none when there is no such topic.
pub(crate) fn records(bootstrap: &str, topic: &str) -> Vec<Record> {
    Topics::at(bootstrap).unwrap().records(topic).unwrap()
}

/// How many records a topic holds in all its partitions; 0 when there is no such topic.
pub(crate) fn record_count(bootstrap: &str, topic: &str) -> u64 {
    let topics = Topics::at(bootstrap).unwrap();
    // A topic that was just made has no leader yet.
    let ends = wait_for(PATIENCE, "the ends of a topic", || topics.ends(topic).map(Some));
    ends.values().map(|end| u64::try_from(*end).unwrap()).sum()
}

/// Writes a record, in the partition where Kafka's own producer would write it.
pub(crate) fn publish(bootstrap: &str, topic: &str, key: &str, value: &str) {
    devstack::topics::publish(bootstrap, topic, Some(key), value).unwrap();
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

fn admin(bootstrap: &str) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", bootstrap).create().unwrap()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Makes a topic. Each of its partitions has its replicas on these brokers, and all of them have to be in sync.
pub(crate) fn make_topic(
    bootstrap: &str,
    topic: &str,
    partitions: &[&[i32]],
) -> Result<bool, String> {
    let in_sync = partitions[0].len().to_string();
    let count = i32::try_from(partitions.len()).unwrap();
    let new = NewTopic::new(topic, count, TopicReplication::Variable(partitions))
        .set("min.insync.replicas", &in_sync);
    let options = AdminOptions::new();
    let made = block_on(admin(bootstrap).create_topics(&[new], &options));
    match made.map_err(|error| error.to_string())?.remove(0) {
        Ok(_) => Ok(true),
        Err((_, code)) => Err(code.to_string()),
    }
}

/// Sets a property of a topic; the others go back to their defaults.
#[track_caller]
pub(crate) fn set_topic(bootstrap: &str, topic: &str, property: &str, value: &str) {
    let resource = ResourceSpecifier::Topic(topic);
    let change = AlterConfig::new(resource).set(property, value);
    let options = AdminOptions::new();
    for altered in block_on(admin(bootstrap).alter_configs(&[change], &options)).unwrap() {
        altered.unwrap();
    }
}
