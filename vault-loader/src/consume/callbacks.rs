//! What librdkafka tells the loader while the thread that polls is in it: rebalances, statistics, its log.
//!
//! In: librdkafka's calls. Out: the [`Assignment`] takes partitions over or gives them back; metrics and health learn
//! what the statistics say.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;

use super::assignment::Assignment;
use crate::batch::Partition;

/// The callbacks of our consumer.
pub(super) struct ConsumerCallbacks {
    assignment: Arc<Assignment>,
    /// whether another client has taken this one's place
    is_retired: AtomicBool,
}

impl ConsumerCallbacks {
    pub(super) fn new(assignment: Arc<Assignment>) -> Self {
        Self { assignment, is_retired: AtomicBool::new(false) }
    }

    /// From now on the callbacks change nothing.
    pub(super) fn retire(&self) {
        self.is_retired.store(true, Ordering::Release);
    }

    fn is_retired(&self) -> bool {
        self.is_retired.load(Ordering::Acquire)
    }
}

impl ClientContext for ConsumerCallbacks {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        // Important errors also arrive as errors of the consumer. They are logged there, less and less often.
        tracing::debug!(facility, message, "librdkafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "librdkafka reports an error");
    }

    fn stats(&self, statistics: Statistics) {
        if self.is_retired() {
            return;
        }
        self.assignment.note_brokers(&statistics);
        for (name, topic) in &statistics.topics {
            let Some(table) = self.assignment.table_of(name) else { continue };
            for (&partition, stats) in &topic.partitions {
                let from = Partition { table, partition };
                let Some(read) = self.assignment.read_of(from) else { continue };
                if stats.ls_offset >= 0 {
                    let read = is_read_to_the_end(stats).then_some(read);
                    self.assignment.metrics.ends(
                        &self.assignment.plan,
                        from,
                        stats.ls_offset,
                        read,
                    );
                }
            }
        }
        // The events of a paused table wait for an operator.
        let goes_on = |from: Partition| {
            !self.assignment.paused.contains(&self.assignment.plan.tables[from.table].topic)
        };
        self.assignment
            .health
            .waiting(self.assignment.metrics.events_wait(goes_on), Instant::now());
    }
}

/// Whether nothing of a partition waits for the loader, and librdkafka asks for what comes at the partition's end.
/// These statistics are older than what the thread that polls has read since, so that may only be more.
fn is_read_to_the_end(stats: &rdkafka::statistics::Partition) -> bool {
    stats.next_offset >= stats.ls_offset && stats.fetchq_cnt == 0
}

impl ConsumerContext for ConsumerCallbacks {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        err: RDKafkaRespErr,
        tpl: &mut TopicPartitionList,
    ) {
        let done = match err {
            _ if self.is_retired() => consumer.unassign(),
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                self.assignment.take_over(consumer, tpl);
                Ok(())
            }
            _ => {
                self.assignment.give_up(consumer.assignment_lost());
                consumer.unassign()
            }
        };
        if let Err(error) = done {
            tracing::warn!(%error, "giving partitions back failed");
        }
    }
}
