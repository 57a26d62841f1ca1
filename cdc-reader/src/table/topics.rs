//! Topics that exist before the first record is sent to them: those of the captured tables, and the one for offsets.

use std::time::Duration;

use shared::debezium::topic::topic_name;

use crate::catalog::CatalogTable;
use crate::context::Context;
use crate::error::SessionError;
use crate::publish::{OFFSET_PARTITIONS, Topic, cluster_id, ensure_topics};

/// How long one attempt to reach Kafka may take.
const KAFKA_TIMEOUT: Duration = Duration::from_secs(5);

/// Makes the topics of these tables and the one for offsets, and learns which cluster this is.
pub(crate) fn create_topics(
    context: &Context,
    tables: &[CatalogTable],
) -> Result<(), SessionError> {
    let cluster = cluster_id(&context.kafka.admin, KAFKA_TIMEOUT)?;
    context.observer.kafka_cluster(&cluster);
    let prefix = &context.connector.settings.topic_prefix;
    let names: Vec<String> = tables
        .iter()
        .map(|table| topic_name(prefix, &table.info.schema, &table.info.name))
        .collect();
    let compact = [("cleanup.policy".to_owned(), "compact".to_owned())];
    let mut topics: Vec<Topic<'_>> = names.iter().map(|name| table_topic(context, name)).collect();
    topics.push(Topic {
        partitions: Some(OFFSET_PARTITIONS),
        config: &compact,
        ..table_topic(context, &context.offset_topic)
    });
    context.runtime.block_on(ensure_topics(&context.kafka.admin, &topics))?;
    context.observer.topics(&names);
    Ok(())
}

/// Makes the topic of a table that appeared while streaming.
pub(super) fn create_topic(context: &Context, name: &str) -> Result<(), SessionError> {
    let topic = table_topic(context, name);
    Ok(context.runtime.block_on(ensure_topics(&context.kafka.admin, &[topic]))?)
}

fn table_topic<'a>(context: &'a Context, name: &'a str) -> Topic<'a> {
    let creation = &context.connector.settings.topic_creation;
    Topic {
        name,
        partitions: creation.partitions,
        replication_factor: creation.replication_factor.map(i32::from),
        config: &creation.config,
    }
}
