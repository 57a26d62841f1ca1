//! Topics that exist before the first record is sent to them: those of the captured tables, and the one for offsets.

use std::time::Duration;

use shared::debezium::topic::topic_name;

use crate::catalog::CatalogTable;
use crate::context::Context;
use crate::error::SessionError;
use crate::publish::{OFFSET_PARTITIONS, Topic, cluster_id, ensure_topics};

/// How long one attempt to reach Kafka may take.
const KAFKA_TIMEOUT: Duration = Duration::from_secs(5);

/// Makes the topic of a table that appeared while streaming.
pub(crate) fn create_topic(context: &Context, name: &str) -> Result<(), SessionError> {
    let creation = &context.connector.settings.topic_creation;
    let topic = Topic {
        name,
        partitions: creation.partitions,
        replication_factor: creation.replication_factor.map(i32::from),
        config: &creation.config,
    };
    Ok(context.runtime.block_on(ensure_topics(&context.bootstrap_servers, &[topic]))?)
}

/// Makes the topics of these tables and the one for offsets, and learns which cluster this is.
pub(crate) fn create_topics(
    context: &Context,
    tables: &[CatalogTable],
) -> Result<(), SessionError> {
    let cluster = cluster_id(&context.bootstrap_servers, KAFKA_TIMEOUT)?;
    context.observer.kafka_cluster(&cluster);
    let settings = &context.connector.settings;
    let creation = &settings.topic_creation;
    let names: Vec<String> = tables
        .iter()
        .map(|table| topic_name(&settings.topic_prefix, &table.info.schema, &table.info.name))
        .collect();
    let compact = [("cleanup.policy".to_owned(), "compact".to_owned())];
    let mut topics: Vec<Topic<'_>> = names
        .iter()
        .map(|name| Topic {
            name,
            partitions: creation.partitions,
            replication_factor: creation.replication_factor.map(i32::from),
            config: &creation.config,
        })
        .collect();
    topics.push(Topic {
        name: &context.offset_topic,
        partitions: Some(OFFSET_PARTITIONS),
        replication_factor: creation.replication_factor.map(i32::from),
        config: &compact,
    });
    context.runtime.block_on(ensure_topics(&context.bootstrap_servers, &topics))?;
    context.observer.topics(&names);
    Ok(())
}
