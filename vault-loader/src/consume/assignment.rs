//! Takes over partitions: the group names the partitions, and the warehouse says at which offset each one starts.
//!
//! In: a rebalance. Out: an explicit assignment with offsets that were read from the warehouse and compared with
//! Kafka's. Every change of the assignment begins a new generation. Batches of an older generation are dropped.
//!
//! The batches that are being loaded when an assignment ends are waited for, and the others are dropped: they are read
//! again by whoever gets the partitions. So nobody is fenced when a loader comes or goes. The wait has an end, and
//! partitions that are lost are not waited for; then the compare-and-set of the offsets decides.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use foldhash::HashMap;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::Offset;
use rdkafka::{ClientConfig, TopicPartitionList, error::KafkaResult};
use shared::backoff::Backoff;
use shared::postgres::{ConnectOptions, connect};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::brokers::{self, BrokerFacts};
use super::error::ConsumeError;
use super::faults::Fault;
use super::last_records::{self, LastRecord};
use crate::batch::Partition;
use crate::control::{
    StoredOffset, TableTopic, follow_topics, read_epochs, read_offsets, store_pause,
};
use crate::epoch::Epochs;
use crate::health::{Health, HealthCell};
use crate::in_flight::InFlight;
use crate::metrics::Metrics;
use crate::model::{Plan, TableId, TableProjection};
use crate::paused::{PausedTables, TablePause};
use crate::warehouse::WarehouseError;
use crate::writers::Shares;

/// After so many statistics in a row without a broker, which come every 2 s, the client has forgotten all brokers.
const FORGOTTEN_AFTER: u32 = 3;

/// How long one question for a partition's ends may take.
const WATERMARK_TIMEOUT: Duration = Duration::from_secs(10);

/// After so many questions without an answer another client asks.
const ASK_WITH_ANOTHER_AFTER: u32 = 4;

/// How long Kafka may say that a topic does not exist. A broker learns of a new topic a little later than the others.
const MISSING_WAIT: Duration = Duration::from_secs(20);

/// How long the batches in flight are waited for before partitions are given back or taken over. The other members of
/// the group wait meanwhile. A batch takes a second or less; a truncate of a large table may take longer than this.
const BATCHES_WAIT: Duration = Duration::from_secs(20);

/// How long the warehouse may take to answer a question about offsets, or to move them: a few rows by their key, and
/// perhaps the wait for another loader's transaction.
const OFFSETS_TIMEOUT: Duration = Duration::from_secs(60);

/// What the rebalance callback and the intake share.
pub(super) struct Assignment {
    pub(super) plan: Arc<Plan>,
    pub(super) warehouse: ConnectOptions,
    /// librdkafka's properties
    pub(super) client: ClientConfig,
    pub(super) runtime: Handle,
    pub(super) ending: CancellationToken,
    pub(super) metrics: Arc<Metrics>,
    pub(super) health: HealthCell,
    pub(super) paused: PausedTables,
    pub(super) in_flight: InFlight,
    pub(super) current: Mutex<CurrentAssignment>,
    /// so many of librdkafka's statistics in a row named no broker
    pub(super) without_brokers: AtomicU32,
}

/// Where the assigned partitions stand, in the order of the assignment.
#[derive(Debug, Default)]
struct Stand {
    offsets: Vec<i64>,
    epochs: HashMap<TableId, Epochs>,
    faults: Vec<Fault>,
}

impl Stand {
    fn is_faulty(&self, topic: &str) -> bool {
        self.faults.iter().any(|fault| fault.topic == topic)
    }
}

/// Names partitions that a topic has got since it was loaded.
fn name_further(partitions: &[(String, i32)], stored: &[StoredOffset]) {
    for ((topic, partition), _) in partitions.iter().zip(stored).filter(|(_, at)| at.is_further) {
        tracing::warn!(
            topic,
            partition,
            "the topic has a further partition: later events of some keys come from there, and only the events of one \
             partition come in order"
        );
    }
}

/// Whether Kafka says that there is no such topic.
fn is_missing(error: &KafkaError) -> bool {
    let missing = [
        RDKafkaErrorCode::UnknownTopicOrPartition,
        RDKafkaErrorCode::UnknownTopic,
        RDKafkaErrorCode::UnknownPartition,
    ];
    error.rdkafka_error_code().is_some_and(|code| missing.contains(&code))
}

/// The assignment as it is now.
#[derive(Debug)]
pub(super) struct CurrentAssignment {
    /// counts assignments
    pub(super) generation: u64,
    /// where each partition starts in this generation
    pub(super) starts: HashMap<Partition, i64>,
    /// which writer loads which of them
    pub(super) shares: Shares,
    /// the epochs of the assigned tables
    pub(super) epochs: Arc<HashMap<TableId, Epochs>>,
    /// behind the last record of each partition that was read in this generation
    pub(super) read: HashMap<Partition, i64>,
    /// why the intake must end
    pub(super) fatal: Option<ConsumeError>,
}

impl CurrentAssignment {
    /// No assignment yet, for so many writers.
    pub(super) fn new(writers: u16) -> Self {
        Self {
            generation: 0,
            starts: HashMap::default(),
            shares: Shares::new(writers),
            epochs: Arc::default(),
            read: HashMap::default(),
            fatal: None,
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

    /// Up to where a partition was read; none when another loader has it.
    pub(super) fn read_of(&self, from: Partition) -> Option<i64> {
        self.current().read.get(&from).copied()
    }

    pub(super) fn note_brokers(&self, statistics: &Statistics) {
        let has = |topic: &str, partition: i32| {
            let table = self.table_of(topic);
            table.is_some_and(|table| self.read_of(Partition { table, partition }).is_some())
        };
        let BrokerFacts { idle, trouble, none_known } = brokers::look(statistics, has);
        if none_known {
            self.without_brokers.fetch_add(1, Ordering::Relaxed);
        } else {
            self.without_brokers.store(0, Ordering::Relaxed);
        }
        let heard = idle.and_then(|idle| Instant::now().checked_sub(idle));
        self.health.heard_kafka(heard, trouble);
    }

    /// Whether the client has known no broker for a while. It then never asks one again.
    pub(super) fn has_forgotten_brokers(&self) -> bool {
        self.without_brokers.load(Ordering::Relaxed) >= FORGOTTEN_AFTER
    }

    /// Ends the current assignment: none of its batches begins to be loaded from now on. Returns the next generation.
    fn end_generation(&self) -> u64 {
        let mut current = self.current();
        current.generation += 1;
        current.starts.clear();
        current.read.clear();
        self.in_flight.withdraw(current.generation);
        current.generation
    }

    /// Waits for the batches that are being loaded, so that nobody moves an offset that is read afterwards.
    fn wait_for_batches(&self) {
        if !self.in_flight.is_any() {
            return;
        }
        let patience = self.patience();
        tracing::info!("waiting for the batches in flight before partitions change hands");
        self.health.hold(true, Instant::now());
        let is_done = self.in_flight.wait(patience, || self.ending.is_cancelled());
        self.health.hold(false, Instant::now());
        if !is_done && !self.ending.is_cancelled() {
            tracing::warn!(
                waited_s = patience.as_secs(),
                "a batch is still in flight and is not waited for any longer: the offsets in the warehouse decide who \
                 has loaded it"
            );
        }
    }

    /// How long the group may be kept waiting for batches in flight. It counts a member as dead that does not answer
    /// within `max.poll.interval.ms`.
    pub(super) fn patience(&self) -> Duration {
        let set = self.client.get("max.poll.interval.ms").and_then(|text| text.parse().ok());
        set.map_or(BATCHES_WAIT, |ms| BATCHES_WAIT.min(Duration::from_millis(ms) / 3))
    }

    /// Gives all partitions up. Those that the group only asks back are still this loader's until it answers, so the
    /// batches in flight end first. Lost ones may belong to another loader already.
    pub(super) fn give_up(&self, are_lost: bool) {
        let generation = self.end_generation();
        if !are_lost {
            self.wait_for_batches();
        }
        self.metrics.forget_partitions(&self.plan);
        self.health.assigned(false, Instant::now());
        tracing::info!(generation, are_lost, "partitions given back");
    }

    /// Assigns the partitions with the warehouse's offsets, or notes why it must not. Batches that are in flight end
    /// first: they move offsets.
    pub(super) fn take_over<C: ConsumerContext>(
        &self,
        consumer: &BaseConsumer<C>,
        tpl: &TopicPartitionList,
    ) {
        let generation = self.end_generation();
        self.wait_for_batches();
        let partitions: Vec<(String, i32)> = tpl
            .elements()
            .iter()
            .map(|element| (element.topic().to_owned(), element.partition()))
            .collect();
        let outcome = self.stand(consumer, &partitions).and_then(|stand| {
            self.paused.keep_assigned(&partitions, &stand.offsets);
            for fault in &stand.faults {
                self.pause(fault)?;
            }
            self.assign(consumer, &partitions, &stand)?;
            Ok(stand)
        });
        match outcome {
            Ok(stand) => {
                self.note_stand(&partitions, stand);
                self.health.assigned(true, Instant::now());
                let partition_count = partitions.len();
                tracing::info!(partition_count, generation, "partitions taken over");
            }
            Err(err) => self.current().fatal = Some(err),
        }
    }

    /// Notes where reading begins, and which writer gets what. Partitions that cannot be read on have no beginning.
    fn note_stand(&self, partitions: &[(String, i32)], stand: Stand) {
        let mut current = self.current();
        for ((topic, partition), &offset) in partitions.iter().zip(&stand.offsets) {
            if let Some(table) = self.table_of(topic)
                && !stand.is_faulty(topic)
            {
                let from = Partition { table, partition: *partition };
                current.starts.insert(from, offset);
                current.read.insert(from, offset);
                self.metrics.moved(&self.plan, from, offset);
            }
        }
        let CurrentAssignment { shares, starts, .. } = &mut *current;
        shares.renew(starts.keys().copied());
        current.epochs = Arc::new(stand.epochs);
    }

    /// Pauses the table of a partition that cannot be read on, and makes that known.
    fn pause(&self, fault: &Fault) -> Result<(), ConsumeError> {
        let Some(table) = self.table_of(&fault.topic) else { return Ok(()) };
        let pause = TablePause {
            from: Partition { table, partition: fault.partition },
            offset: fault.offset,
            reason: fault.reason.clone(),
            remedy: fault.remedy.clone(),
        };
        let since = self.runtime.block_on(self.answered(async || {
            let client = connect(&self.warehouse).await?;
            Ok(store_pause(&client, self.plan.schemas, &fault.topic, &pause).await?)
        }))?;
        self.paused.pause(&fault.topic, &pause, since);
        Ok(())
    }

    /// Assigns the partitions. Those of a table that cannot be read on stand at their end, and are paused.
    fn assign<C: ConsumerContext>(
        &self,
        consumer: &BaseConsumer<C>,
        partitions: &[(String, i32)],
        stand: &Stand,
    ) -> KafkaResult<()> {
        let mut assignment = TopicPartitionList::with_capacity(partitions.len());
        for ((topic, partition), &offset) in partitions.iter().zip(&stand.offsets) {
            let offset = if stand.is_faulty(topic) { Offset::End } else { Offset::Offset(offset) };
            assignment.add_partition_offset(topic, *partition, offset)?;
        }
        // librdkafka keeps a partition paused over a rebalance. A consumer that gets the partition back would wait for
        // ever.
        consumer.resume(&assignment)?;
        consumer.assign(&assignment)?;
        self.pause_tables(consumer, &assignment)
    }

    /// Pauses those of the assigned partitions whose table stands still. Nothing of them is fetched or kept meanwhile.
    pub(super) fn pause_tables<C: ConsumerContext>(
        &self,
        consumer: &BaseConsumer<C>,
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

    /// Where the partitions stand in the warehouse, after a check that Kafka still has what comes next, and still has
    /// what was loaded.
    fn stand<C: ConsumerContext>(
        &self,
        consumer: &BaseConsumer<C>,
        partitions: &[(String, i32)],
    ) -> Result<Stand, ConsumeError> {
        let (stored, epochs) = self.runtime.block_on(self.stored(partitions))?;
        let mut stand = Stand { epochs, ..Stand::default() };
        let mut last_records = Vec::new();
        for ((topic, partition), stored) in partitions.iter().zip(&stored) {
            let Some((low, high)) = self.watermarks(consumer, topic, *partition)? else {
                stand.offsets.push(stored.next);
                stand.faults.push(Fault::missing(topic, *partition, stored.next));
                continue;
            };
            let next = stored.next;
            stand.offsets.push(next);
            if next < low {
                stand.faults.push(Fault::gap(topic, *partition, next, low));
            } else if next > high {
                stand.faults.push(Fault::shorter(topic, *partition, next, high));
            } else if let Some(digest) = stored.last_digest
                && low < stored.next
            {
                let (topic, offset) = (topic.clone(), stored.next - 1);
                last_records.push(LastRecord { topic, partition: *partition, offset, digest });
            }
        }
        let replaced =
            last_records::replaced(&self.client, last_records, || self.ending.is_cancelled())?;
        stand.faults.extend(replaced.iter().map(Fault::replaced));
        Ok(stand)
    }

    /// The first and the next offset of a partition. `None` when Kafka goes on to say that there is no such topic.
    /// While this thread asks, nothing else of the intake runs, and nobody replaces a client that has forgotten all
    /// brokers. So other clients ask, too.
    fn watermarks<C: ConsumerContext>(
        &self,
        consumer: &BaseConsumer<C>,
        topic: &str,
        partition: i32,
    ) -> Result<Option<(i64, i64)>, ConsumeError> {
        let started = Instant::now();
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        let mut other: Option<BaseConsumer> = None;
        for attempt in 1_u32.. {
            let asked = match &other {
                Some(other) => other.fetch_watermarks(topic, partition, WATERMARK_TIMEOUT),
                None => consumer.fetch_watermarks(topic, partition, WATERMARK_TIMEOUT),
            };
            match asked {
                Ok(watermarks) => return Ok(Some(watermarks)),
                Err(_) if self.ending.is_cancelled() => return Err(ConsumeError::Cancelled),
                Err(error) if is_missing(&error) && started.elapsed() >= MISSING_WAIT => {
                    return Ok(None);
                }
                Err(error) => {
                    let delay = backoff.next_delay();
                    self.metrics.retried("kafka");
                    if backoff.should_log() {
                        tracing::warn!(%error, topic, partition, "cannot ask for a partition's ends, trying again");
                    }
                    std::thread::sleep(delay);
                }
            }
            if attempt.is_multiple_of(ASK_WITH_ANOTHER_AFTER) {
                other = Some(last_records::reader(&self.client)?);
            }
        }
        Err(ConsumeError::Cancelled) // never reached: the loop ends by an answer or by the end of the loader
    }

    /// Reads offsets and epochs from the warehouse. A table that has another topic than before begins an epoch.
    async fn stored(
        &self,
        partitions: &[(String, i32)],
    ) -> Result<(Vec<StoredOffset>, HashMap<TableId, Epochs>), ConsumeError> {
        let mut tables: Vec<TableId> =
            partitions.iter().filter_map(|(topic, _)| self.table_of(topic)).collect();
        tables.sort_unstable();
        tables.dedup();
        self.answered(async || {
            let mut client = connect(&self.warehouse).await?;
            let topics: Vec<TableTopic<'_>> = tables
                .iter()
                .map(|&table| {
                    let TableProjection { topic, record_source, .. } = &self.plan.tables[table];
                    TableTopic { record_source, topic }
                })
                .collect();
            let system_id = self.plan.model.source.system_id;
            for (table, before) in follow_topics(&mut client, &topics, system_id).await? {
                tracing::warn!(
                    topic = table.topic,
                    before,
                    "the table was loaded from another topic before: its offsets count anew"
                );
            }
            let offsets = read_offsets(&client, partitions).await?;
            name_further(partitions, &offsets);
            let sources: Vec<&str> = topics.iter().map(|table| table.record_source).collect();
            let mut stored = read_epochs(&client, &sources).await?;
            let epochs = tables.iter().filter_map(|&table| {
                Some((table, stored.remove(&self.plan.tables[table].record_source)?))
            });
            Ok((offsets, epochs.collect()))
        })
        .await
    }

    /// Asks the warehouse, and asks again until the warehouse answers.
    async fn answered<T>(
        &self,
        question: impl AsyncFn() -> Result<T, WarehouseError>,
    ) -> Result<T, ConsumeError> {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        loop {
            let error = match self.asked(question()).await? {
                Ok(answer) => {
                    self.health.set(Health::Healthy);
                    return Ok(answer);
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
}
