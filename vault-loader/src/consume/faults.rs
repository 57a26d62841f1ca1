//! Why a partition cannot be read on, in words for an operator.
//!
//! In: where the warehouse stands, and what Kafka has. Out: the reason and the remedy of a pause.

use super::last_records::LastRecord;
use crate::control::Gap;

/// A partition that cannot be read on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) reason: String,
    pub(super) remedy: String,
}

impl Fault {
    /// Kafka ends before the warehouse's offset.
    pub(super) fn shorter(topic: &str, partition: i32, offset: i64, high: i64) -> Self {
        let reason = format!(
            "the warehouse stands at offset {offset} of partition {partition}, but Kafka ends at {high}: the topic was deleted \
             and made again, or has lost records"
        );
        Self::recreated(topic, partition, offset, reason)
    }

    /// Kafka has another record than the one that was loaded.
    pub(super) fn replaced(record: &LastRecord) -> Self {
        let LastRecord { topic, partition, offset, .. } = record;
        let reason = format!(
            "the record at offset {offset} of partition {partition} is not the record that was loaded from there: the topic was \
             deleted and made again, or has other records now"
        );
        Self::recreated(topic, *partition, offset + 1, reason)
    }

    /// Kafka deleted events before they were loaded.
    pub(super) fn gap(topic: &str, partition: i32, next: i64, low: i64) -> Self {
        let gap = Gap { topic: topic.to_owned(), partition, first: next, last: low - 1 };
        let (count, last) = (low - next, gap.last);
        Self {
            topic: topic.to_owned(),
            partition,
            offset: next,
            reason: format!(
                "refusing to skip {count} events: Kafka no longer has the offsets {next} to {last} of partition {partition}, and \
                 they are not loaded"
            ),
            remedy: format!(
                "load them from elsewhere, or {}, and start the loader again",
                gap.acceptance()
            ),
        }
    }

    /// Kafka has no such topic.
    pub(super) fn missing(topic: &str, partition: i32, offset: i64) -> Self {
        let reason = format!(
            "the warehouse stands at offset {offset} of partition {partition}, but Kafka has no such topic: the topic was deleted"
        );
        Self::recreated(topic, partition, offset, reason)
    }

    fn recreated(topic: &str, partition: i32, offset: i64, reason: String) -> Self {
        let remedy = format!(
            "if the topic was made again on purpose, run `vault-loader epoch start --topic {topic} --topic-recreated`, and start \
             the loader again: it reads the topic from its beginning, and loads what is new"
        );
        Self { topic: topic.to_owned(), partition, offset, reason, remedy }
    }
}
