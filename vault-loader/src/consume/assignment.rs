//! Takes over partitions: the group names the partitions, and the warehouse says at which offset each one starts.
//!
//! In: a rebalance. Out: an explicit assignment with offsets that were read from the warehouse and compared with
//! Kafka's. Every change of the assignment begins a new generation. Batches of an older generation are dropped.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::Offset;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{TopicPartitionList, error::KafkaResult};
use shared::backoff::Backoff;
use shared::postgres::{ConnectOptions, connect};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::error::ConsumeError;
use crate::batch::Partition;
use crate::control::{read_offsets, skip_gap};
use crate::health::{Health, HealthCell};
use crate::metrics::Metrics;
use crate::model::{Plan, TableId};
use crate::paused::PausedTables;
use crate::warehouse::WarehouseError;

/// How long one question for a partition's ends may take.
const WATERMARK_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the warehouse may take to answer a question about offsets, or to move them: a few rows by their key, and
/// perhaps the wait for another loader's transaction.
const OFFSETS_TIMEOUT: Duration = Duration::from_secs(60);

/// What the rebalance callback and the intake share.
pub(super) struct Assignment {
    pub(super) plan: Arc<Plan>,
    pub(super) warehouse: ConnectOptions,
    pub(super) runtime: Handle,
    pub(super) ending: CancellationToken,
    pub(super) metrics: Arc<Metrics>,
    pub(super) health: HealthCell,
    pub(super) paused: PausedTables,
    pub(super) accept_gap: bool,
    pub(super) current: Mutex<CurrentAssignment>,
}

/// The assignment as it is now.
#[derive(Debug, Default)]
pub(super) struct CurrentAssignment {
    /// counts assignments
    pub(super) generation: u64,
    /// where each partition starts in this generation
    pub(super) starts: HashMap<Partition, i64>,
    /// why the intake must end
    pub(super) fatal: Option<ConsumeError>,
}

/// The callbacks of our consumer.
#[derive(Clone)]
pub(super) struct ConsumerCallbacks(pub(super) Arc<Assignment>);

impl ClientContext for ConsumerCallbacks {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        // Important errors also arrive as errors of the consumer. They are logged there, less and less often.
        tracing::debug!(facility, message, "librdkafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "librdkafka reports an error");
    }

    fn stats(&self, statistics: Statistics) {
        for (name, topic) in &statistics.topics {
            let Some(table) = self.0.table_of(name) else { continue };
            for (&partition, stats) in &topic.partitions {
                if stats.ls_offset >= 0 && self.0.holds(Partition { table, partition }) {
                    let from = Partition { table, partition };
                    self.0.metrics.high(&self.0.plan, from, stats.ls_offset);
                }
            }
        }
    }
}

impl ConsumerContext for ConsumerCallbacks {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        err: RDKafkaRespErr,
        tpl: &mut TopicPartitionList,
    ) {
        let done = match err {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                self.0.take_over(consumer, tpl);
                Ok(())
            }
            _ => {
                self.0.give_up();
                consumer.unassign()
            }
        };
        if let Err(error) = done {
            tracing::warn!(%error, "giving partitions back failed");
        }
    }
}

impl Assignment {
    pub(super) fn table_of(&self, topic: &str) -> Option<TableId> {
        self.plan.tables.find_id(|table| table.topic == topic)
    }

    pub(super) fn current(&self) -> std::sync::MutexGuard<'_, CurrentAssignment> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn holds(&self, from: Partition) -> bool {
        self.current().starts.contains_key(&from)
    }

    fn give_up(&self) {
        let mut current = self.current();
        current.generation += 1;
        current.starts.clear();
        self.metrics.forget_partitions();
        tracing::info!(generation = current.generation, "partitions given back");
    }

    /// Assigns the partitions with the warehouse's offsets, or notes why it must not.
    pub(super) fn take_over(
        &self,
        consumer: &BaseConsumer<ConsumerCallbacks>,
        tpl: &TopicPartitionList,
    ) {
        let partitions: Vec<(String, i32)> = tpl
            .elements()
            .iter()
            .map(|element| (element.topic().to_owned(), element.partition()))
            .collect();
        let outcome = self.offsets(consumer, &partitions).and_then(|offsets| {
            self.paused.keep_assigned(&partitions, &offsets);
            self.assign(consumer, &partitions, &offsets)?;
            Ok(offsets)
        });
        let mut current = self.current();
        current.generation += 1;
        current.starts.clear();
        match outcome {
            Ok(offsets) => {
                for ((topic, partition), offset) in partitions.iter().zip(offsets) {
                    if let Some(table) = self.table_of(topic) {
                        let from = Partition { table, partition: *partition };
                        current.starts.insert(from, offset);
                        self.metrics.moved(&self.plan, from, offset);
                    }
                }
                let generation = current.generation;
                tracing::info!(
                    partition_count = partitions.len(),
                    generation,
                    "partitions taken over"
                );
            }
            Err(err) => current.fatal = Some(err),
        }
    }

    fn assign(
        &self,
        consumer: &BaseConsumer<ConsumerCallbacks>,
        partitions: &[(String, i32)],
        offsets: &[i64],
    ) -> KafkaResult<()> {
        let mut assignment = TopicPartitionList::with_capacity(partitions.len());
        for ((topic, partition), offset) in partitions.iter().zip(offsets) {
            assignment.add_partition_offset(topic, *partition, Offset::Offset(*offset))?;
        }
        // librdkafka keeps a partition paused over a rebalance. A consumer that gets the partition back would wait for
        // ever.
        consumer.resume(&assignment)?;
        consumer.assign(&assignment)?;
        self.pause_tables(consumer, &assignment)
    }

    /// Pauses those of the assigned partitions whose table stands still. Nothing of them is fetched or kept meanwhile.
    pub(super) fn pause_tables(
        &self,
        consumer: &BaseConsumer<ConsumerCallbacks>,
        assigned: &TopicPartitionList,
    ) -> KafkaResult<()> {
        let mut paused = TopicPartitionList::new();
        for element in assigned.elements() {
            if self.paused.contains(element.topic()) {
                paused.add_partition(element.topic(), element.partition());
            }
        }
        if paused.count() > 0 { consumer.pause(&paused) } else { Ok(()) }
    }

    /// The warehouse's offsets, after a check that Kafka still has them.
    fn offsets(
        &self,
        consumer: &BaseConsumer<ConsumerCallbacks>,
        partitions: &[(String, i32)],
    ) -> Result<Vec<i64>, ConsumeError> {
        let mut offsets = self.runtime.block_on(self.stored(partitions))?;
        for ((topic, partition), stored) in partitions.iter().zip(&mut offsets) {
            let (low, high) = self.watermarks(consumer, topic, *partition)?;
            let (topic, partition) = (topic.clone(), *partition);
            if *stored > high {
                return Err(ConsumeError::Recreated { topic, partition, stored: *stored, high });
            }
            if *stored < low {
                let count = low - *stored;
                if !self.accept_gap {
                    return Err(ConsumeError::Gap {
                        topic,
                        partition,
                        count,
                        stored: *stored,
                        low,
                    });
                }
                tracing::warn!(
                    topic,
                    partition,
                    count,
                    "skipping events that Kafka no longer has, because --accept-gap allows it"
                );
                self.runtime.block_on(self.skip(&topic, partition, *stored, low))?;
                *stored = low;
            }
        }
        Ok(offsets)
    }

    fn watermarks(
        &self,
        consumer: &BaseConsumer<ConsumerCallbacks>,
        topic: &str,
        partition: i32,
    ) -> Result<(i64, i64), ConsumeError> {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        loop {
            match consumer.fetch_watermarks(topic, partition, WATERMARK_TIMEOUT) {
                Ok(watermarks) => return Ok(watermarks),
                Err(_) if self.ending.is_cancelled() => return Err(ConsumeError::Cancelled),
                Err(error) => {
                    let delay = backoff.next_delay();
                    self.metrics.retried("kafka");
                    if backoff.should_log() {
                        tracing::warn!(%error, topic, partition, "cannot ask for a partition's ends, trying again");
                    }
                    std::thread::sleep(delay);
                }
            }
        }
    }

    /// Reads offsets from the warehouse, and tries again until the warehouse answers.
    async fn stored(&self, partitions: &[(String, i32)]) -> Result<Vec<i64>, ConsumeError> {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        loop {
            let read = async {
                let client = connect(&self.warehouse).await?;
                Ok(read_offsets(&client, partitions).await?)
            };
            let error = match self.asked(read).await? {
                Ok(offsets) => {
                    self.health.set(Health::Healthy);
                    return Ok(offsets);
                }
                Err(error) if error.is_retry() => error,
                Err(error) => return Err(ConsumeError::Offsets(error)),
            };
            self.health.set(Health::Failing(format!("cannot read offsets: {error}")));
            let delay = backoff.next_delay();
            self.metrics.retried("offsets");
            if backoff.should_log() {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot read offsets, trying again"
                );
            }
            tokio::select! {
                () = self.ending.cancelled() => return Err(ConsumeError::Cancelled),
                () = tokio::time::sleep(delay) => {}
            }
        }
    }

    /// The warehouse's answer, unless it takes too long or the loader has to end.
    async fn asked<T>(
        &self,
        question: impl Future<Output = Result<T, WarehouseError>>,
    ) -> Result<Result<T, WarehouseError>, ConsumeError> {
        tokio::select! {
            biased; // an end beats an answer
            () = self.ending.cancelled() => Err(ConsumeError::Cancelled),
            answer = tokio::time::timeout(OFFSETS_TIMEOUT, question) => Ok(answer.unwrap_or_else(|_| {
                Err(WarehouseError::Silent { wait_s: OFFSETS_TIMEOUT.as_secs() })
            })),
        }
    }

    async fn skip(
        &self,
        topic: &str,
        partition: i32,
        stored: i64,
        low: i64,
    ) -> Result<(), ConsumeError> {
        let update = async {
            let client = connect(&self.warehouse).await?;
            skip_gap(&client, topic, partition, stored, low).await
        };
        self.asked(update).await?.map_err(ConsumeError::Offsets)
    }
}
