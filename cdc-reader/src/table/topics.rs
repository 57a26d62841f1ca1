//! The topics of tables, and the one for offsets.
//!
//! In: the captured tables. Out: an offset topic that is fit for its purpose, and a warning for tables that share a
//! topic. `publish/maker` makes the topics of tables.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use shared::debezium::topic::topic_name;

use crate::catalog::TableHead;
use crate::context::Context;
use crate::error::SessionError;
use crate::publish::{cluster_id, ensure_offset_topic};

/// How long one attempt to reach Kafka may take.
const KAFKA_TIMEOUT: Duration = Duration::from_secs(5);

/// Makes the topic for offsets, checks it, and learns which cluster this is.
pub(crate) fn prepare_offset_topic(context: &Context) -> Result<(), SessionError> {
    let cluster = cluster_id(&context.kafka.admin, KAFKA_TIMEOUT, &context.cancel)?;
    context.observer.kafka_cluster(&cluster);
    let new = context.new_topics().for_offsets();
    let (topic, stop) = (&context.offset_topic, &context.cancel);
    let ensured = ensure_offset_topic(&context.kafka.admin, topic, &new, stop);
    Ok(context.runtime.block_on(ensured)?)
}

/// Warns once of each topic that several of these tables write to.
pub(crate) fn warn_of_shared_topics(context: &Context, tables: &[TableHead]) {
    let all = TopicTables::of(&context.connector.settings.topic_prefix, tables);
    for topic in all.shared() {
        all.warn(topic);
    }
}

/// The topics that several of these tables write to, each with the tables' names.
pub(crate) fn shared_topics(prefix: &str, tables: &[TableHead]) -> Vec<(String, String)> {
    let all = TopicTables::of(prefix, tables);
    all.shared().into_iter().map(|topic| (topic.to_owned(), all.names(topic))).collect()
}

/// Which tables write to which topic. Two tables have one topic when their names differ only in characters that Kafka
/// does not allow; Debezium names topics by the same rule.
#[derive(Debug, Default)]
pub(super) struct TopicTables {
    tables: HashMap<String, BTreeSet<String>>,
}

impl TopicTables {
    /// Enters these tables.
    pub(super) fn of(prefix: &str, tables: &[TableHead]) -> Self {
        let mut all = Self::default();
        for table in tables {
            all.enter(prefix, &table.named.schema, &table.named.name);
        }
        all
    }

    /// Enters a table that appeared while streaming, and warns when others write to its topic.
    pub(super) fn add(&mut self, prefix: &str, schema: &str, table: &str) {
        if let Some(topic) = self.enter(prefix, schema, table) {
            self.warn(&topic);
        }
    }

    /// Enters a table. Gives its topic when the table is new and is not the only one of the topic.
    fn enter(&mut self, prefix: &str, schema: &str, table: &str) -> Option<String> {
        let topic = topic_name(prefix, schema, table);
        let tables = self.tables.entry(topic.clone()).or_default();
        let is_new = tables.insert(format!("{schema}.{table}"));
        (is_new && tables.len() > 1).then_some(topic)
    }

    /// The topics of several tables, in the order of their names.
    fn shared(&self) -> BTreeSet<&str> {
        let shared = self.tables.iter().filter(|(_, tables)| tables.len() > 1);
        shared.map(|(topic, _)| topic.as_str()).collect()
    }

    /// The tables of a topic, in the order of their names.
    fn names(&self, topic: &str) -> String {
        let tables = self.tables.get(topic).into_iter().flatten();
        tables.map(String::as_str).collect::<Vec<_>>().join(", ")
    }

    fn warn(&self, topic: &str) {
        tracing::warn!(
            topic,
            tables = self.names(topic),
            "these tables share one topic, because their names differ only in characters that Kafka does not allow; consumers tell their \
             events apart by source.schema and source.table"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_one_topic_are_found_whenever_they_appear() {
        let mut tables = TopicTables::default();
        let topic = Some("p.public.col_lide".to_owned());
        assert_eq!(tables.enter("p", "public", "col lide"), None);
        assert_eq!(tables.enter("p", "public", "a"), None, "alone");
        assert_eq!(tables.enter("p", "public", "col_lide"), topic);
        assert_eq!(tables.names("p.public.col_lide"), "public.col lide, public.col_lide");
        assert_eq!(tables.shared(), BTreeSet::from(["p.public.col_lide"]));
        assert_eq!(tables.enter("p", "public", "col lide"), None, "known");
        assert_eq!(tables.enter("p", "public", "col-lide"), None, "Kafka allows the hyphen");
        assert_eq!(tables.enter("p", "public", "col:lide"), topic);
    }
}
