//! Reads given stretches of partitions, without a group.
//!
//! In: for each partition the offset of the first record and the one behind the last. Out: [`Batch`]es, in the order of
//! each partition, until every stretch is read. `vault-loader rebuild` reads with it what the loaders have loaded.
//!
//! A stretch ends with a record: offsets of loaders stand behind one. Hard cases: a record that an operator has taken
//! out, which passes as if it were a tombstone; brokers that are away for a while; a record that Kafka deletes
//! meanwhile.

use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::{HashMap, HashSet};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::topic_partition_list::Offset;
use rdkafka::{ClientConfig, TopicPartitionList};
use tokio::sync::mpsc::Sender;
use tokio_util::sync::CancellationToken;

use super::error::ConsumeError;
use super::incoming::borrow;
use crate::batch::{Batch, Content, Partition, Start};
use crate::config::BatchLimits;
use crate::epoch::Epochs;
use crate::model::{Plan, TableId};

/// How long a poll waits for a record.
const POLL: Duration = Duration::from_millis(100);

/// After so long without a record or an answer reading is given up.
const SILENT_MAX: Duration = Duration::from_secs(120);

/// A stretch of one partition.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    pub(crate) from: Partition,
    /// the offset at which the warehouse stands
    pub(crate) start: i64,
    /// the offset behind the last record
    pub(crate) end: i64,
    /// offsets whose records say nothing, because an operator has decided so
    pub(crate) skipped: Arc<HashSet<i64>>,
}

/// What a reader needs beside its stretches.
#[derive(Debug, Clone)]
pub(crate) struct SpanOptions {
    /// librdkafka's properties
    pub(crate) client: ClientConfig,
    /// the plan whose topics are read
    pub(crate) plan: Arc<Plan>,
    /// the epochs of its tables
    pub(crate) epochs: Arc<HashMap<TableId, Epochs>>,
    /// when a batch is full
    pub(crate) limits: BatchLimits,
    /// ends the reading
    pub(crate) stop: CancellationToken,
}

/// Where a stretch stands.
struct Progress {
    next: i64,
    end: i64,
    skipped: Arc<HashSet<i64>>,
}

/// Reads stretches of partitions.
pub(crate) struct SpanReader {
    consumer: BaseConsumer,
    options: SpanOptions,
    topics: HashMap<String, TableId>,
    open: HashMap<Partition, Progress>,
    batch: Batch,
}

impl SpanReader {
    /// Assigns the partitions.
    ///
    /// # Errors
    /// When librdkafka does not take the configuration or the partitions.
    pub(crate) fn new(options: SpanOptions, spans: &[Span]) -> Result<Self, ConsumeError> {
        let mut client = options.client.clone();
        client.remove("group.instance.id");
        client.set("statistics.interval.ms", "0");
        let consumer: BaseConsumer = client.create()?;
        let mut assignment = TopicPartitionList::with_capacity(spans.len());
        let mut open = HashMap::default();
        for Span { from, start, end, skipped } in spans {
            if start < end {
                let topic = &options.plan.tables[from.table].topic;
                assignment.add_partition_offset(topic, from.partition, Offset::Offset(*start))?;
                let skipped = Arc::clone(skipped);
                open.insert(*from, Progress { next: *start, end: *end, skipped });
            }
        }
        consumer.assign(&assignment)?;
        let topics = options.plan.tables.with_ids();
        let topics = topics.map(|(id, table)| (table.topic.clone(), id)).collect();
        let batch = Batch::new(0, Arc::clone(&options.epochs));
        Ok(Self { consumer, options, topics, open, batch })
    }

    /// Sends batches until everything is read, the other side is gone, or reading has to end. This blocks.
    ///
    /// # Errors
    /// When Kafka refuses, no longer has a record, or is silent for too long.
    pub(crate) fn run(mut self, batches: &Sender<Batch>) -> Result<(), ConsumeError> {
        let mut heard = Instant::now();
        let mut last_error = String::new();
        while !self.open.is_empty() {
            if self.options.stop.is_cancelled() {
                return Err(ConsumeError::Cancelled);
            }
            match self.consumer.poll(POLL) {
                Some(Ok(message)) => {
                    heard = Instant::now();
                    let done = take(&message, &self.topics, &mut self.open, &mut self.batch);
                    self.finish(done)?;
                }
                Some(Err(error)) if is_final(&error) => return Err(ConsumeError::Refused(error)),
                Some(Err(error)) => last_error = error.to_string(),
                None => {}
            }
            if heard.elapsed() >= SILENT_MAX {
                return Err(ConsumeError::Silent {
                    wait_s: SILENT_MAX.as_secs(),
                    reason: last_error,
                });
            }
            let limits = &self.options.limits;
            let is_full = self.batch.records.len() >= limits.rows_max
                || self.batch.byte_count() >= limits.bytes_max;
            if is_full {
                if !self.send(batches) {
                    return Ok(());
                }
                heard = Instant::now(); // the wait was for the writer, and not for Kafka
            }
        }
        if !self.batch.records.is_empty() {
            self.send(batches);
        }
        Ok(())
    }

    /// `false` when the other side is gone; it has an error of its own then.
    fn send(&mut self, batches: &Sender<Batch>) -> bool {
        let empty = self.batch.next();
        batches.blocking_send(std::mem::replace(&mut self.batch, empty)).is_ok()
    }

    /// Stops reading a partition.
    fn finish(&mut self, done: Option<Partition>) -> Result<(), ConsumeError> {
        let Some(from) = done.filter(|from| self.open.remove(from).is_some()) else {
            return Ok(());
        };
        let mut read = TopicPartitionList::with_capacity(1);
        read.add_partition(&self.options.plan.tables[from.table].topic, from.partition);
        Ok(self.consumer.incremental_unassign(&read)?)
    }
}

/// Adds a record to the batch, if it belongs to its stretch. Returns the partition when its stretch is read.
fn take(
    message: &BorrowedMessage<'_>,
    topics: &HashMap<String, TableId>,
    open: &mut HashMap<Partition, Progress>,
    batch: &mut Batch,
) -> Option<Partition> {
    let record = borrow(message);
    let table = *topics.get(record.topic)?;
    let from = Partition { table, partition: record.partition };
    let progress = open.get_mut(&from)?;
    if record.offset < progress.next {
        return None;
    }
    if record.offset < progress.end {
        let epoch = batch.epochs_of(table).current().number;
        let start = Start { offset: progress.next, epoch };
        batch.starts.entry(from).or_insert(start);
        let is_skipped = progress.skipped.contains(&record.offset);
        // A tombstone has a key, and of a truncate there is none.
        let tombstone = Content { key: record.content.key.or(Some(b"")), ..Content::default() };
        let content = if is_skipped { tombstone } else { record.content };
        batch.push(from, record.offset, content);
        progress.next = record.offset + 1;
    }
    (record.offset + 1 >= progress.end).then_some(from)
}

/// Whether waiting does not help.
fn is_final(error: &KafkaError) -> bool {
    let finals = [
        RDKafkaErrorCode::Fatal,
        RDKafkaErrorCode::TopicAuthorizationFailed,
        RDKafkaErrorCode::SaslAuthenticationFailed,
        RDKafkaErrorCode::AutoOffsetReset,
        RDKafkaErrorCode::OffsetOutOfRange,
    ];
    error.rdkafka_error_code().is_some_and(|code| finals.contains(&code))
}
