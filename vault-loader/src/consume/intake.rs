//! The thread that polls Kafka and fills batches.
//!
//! In: records. Out: batches through a bounded channel. While the loader is busy, the thread waits with its batch. When
//! the wait is long, the thread pauses its partitions and goes on polling, so that the group does not count it as dead.
//! A batch of an older generation is dropped, because another loader may have its partitions now.

use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use chrono::Utc;
use foldhash::{HashMap, HashMapExt, HashSet, HashSetExt};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::Offset;
use rdkafka::{ClientConfig, TopicPartitionList};
use shared::backoff::Backoff;
use shared::kafka::Mechanism;
use shared::postgres::ConnectOptions;
use tokio::runtime::Handle;
use tokio::sync::mpsc::Sender;
use tokio_util::sync::CancellationToken;

use super::assignment::{Assignment, CurrentAssignment};
use super::callbacks::ConsumerCallbacks;
use super::error::ConsumeError;
use super::incoming::{Incoming, borrow};
use super::patience::{Fencings, Looks, Silence};
use crate::batch::{Batch, Partition, Start};
use crate::config;
use crate::health::HealthCell;
use crate::metrics::Metrics;
use crate::model::{Plan, TableId};
use crate::paused::PausedTables;

/// How long an idle poll sleeps. Commands and the end of the loader are delayed by up to this time.
const IDLE_POLL: Duration = Duration::from_millis(50);

/// How long the thread waits for the loader without polling. The group waits for 300 s before it counts a member as
/// dead.
const HOLD: Duration = Duration::from_secs(20);

/// What the loader tells the intake.
#[derive(Debug)]
pub enum IntakeCommand {
    /// these offsets are loaded; the group is told them for those who watch its lag
    Commit(Vec<(Partition, i64)>),
    /// the offsets of this generation are wrong and must be read again
    Reset(u64),
    /// another table is paused, so its partitions are not to be read
    Pause,
    /// the group has left partitions to nobody, and must share them out anew
    Rejoin,
}

/// What an intake needs.
pub struct IntakeOptions {
    /// librdkafka's properties
    pub client: ClientConfig,
    /// how the client proves itself
    pub mechanism: Option<Mechanism>,
    /// the compiled model, whose topics are read
    pub plan: Arc<Plan>,
    /// where the offsets are
    pub warehouse: ConnectOptions,
    /// when a batch is full
    pub batch: config::BatchLimits,
    /// what to count with
    pub metrics: Arc<Metrics>,
    /// what `/health` says
    pub health: HealthCell,
    /// the tables that stand still
    pub paused: PausedTables,
    /// cancelled when the loader ends
    pub ending: CancellationToken,
}

/// Polls Kafka.
pub struct Intake {
    consumer: BaseConsumer<ConsumerCallbacks>,
    assignment: Arc<Assignment>,
    limits: config::BatchLimits,
    batches: Sender<Result<Batch, ConsumeError>>,
    commands: Receiver<IntakeCommand>,
    topics: HashMap<String, TableId>,
    next: HashMap<Partition, i64>,
    batch: Batch,
    first_at: Option<Instant>,
    /// the partitions that `hand_over` has paused and `deliver` still has to resume, with their generation
    paused: Option<(u64, TopicPartitionList)>,
    failures: Backoff,
    missing: HashSet<String>,
    /// what Kafka said about an offset, until the partitions are looked at again
    offset_fault: Option<KafkaError>,
    looks: Looks,
    silence: Silence,
    fencings: Fencings,
    mechanism: Option<Mechanism>,
}

impl Intake {
    /// Subscribes to the model's topics. `runtime` runs the questions to the warehouse.
    ///
    /// # Errors
    /// When librdkafka does not take the configuration or the topics' names.
    pub fn new(
        options: IntakeOptions,
        runtime: Handle,
        batches: Sender<Result<Batch, ConsumeError>>,
        commands: Receiver<IntakeCommand>,
    ) -> Result<Self, ConsumeError> {
        let assignment = Arc::new(Assignment {
            plan: options.plan,
            warehouse: options.warehouse,
            client: options.client.clone(),
            runtime,
            ending: options.ending,
            metrics: options.metrics,
            health: options.health,
            paused: options.paused,
            current: std::sync::Mutex::new(CurrentAssignment::default()),
            without_brokers: AtomicU32::new(0),
        });
        let consumer = join(&assignment)?;
        let topics = assignment.plan.tables.with_ids();
        let topics = topics.map(|(id, table)| (table.topic.clone(), id)).collect();
        Ok(Self {
            consumer,
            assignment,
            limits: options.batch,
            batches,
            commands,
            topics,
            next: HashMap::new(),
            batch: Batch::default(),
            first_at: None,
            paused: None,
            failures: Backoff::new(Duration::from_millis(100), Duration::from_secs(1)),
            missing: HashSet::new(),
            offset_fault: None,
            looks: Looks::default(),
            silence: Silence::default(),
            fencings: Fencings::default(),
            mechanism: options.mechanism,
        })
    }

    /// Polls until the end. An error is the last value that goes through the channel.
    pub fn run(mut self) {
        while !self.assignment.ending.is_cancelled() {
            if let Err(err) = self.turn().or_else(|err| self.join_again(err)) {
                if !matches!(err, ConsumeError::Cancelled) {
                    // The channel is closed only when the loader has ended, and then the loader has an error of its
                    // own.
                    let _ = self.batches.blocking_send(Err(err));
                }
                return;
            }
        }
    }

    fn turn(&mut self) -> Result<(), ConsumeError> {
        self.carry_out_commands()?;
        let linger = Duration::from_millis(self.limits.linger_ms);
        let wait = match self.first_at {
            Some(first_at) => linger.saturating_sub(first_at.elapsed()).min(IDLE_POLL),
            None => IDLE_POLL,
        };
        match self.consumer.poll(wait) {
            Some(Ok(message)) => {
                let record = borrow(&message);
                if push(&mut self.batch, &mut self.next, &self.topics, &self.assignment, record) {
                    self.looks.helped();
                }
                self.first_at.get_or_insert_with(Instant::now);
                self.failures.reset();
            }
            Some(Err(err)) => self.note(err)?,
            None => self.look_at_client()?,
        }
        self.look_again()?;
        self.check_generation()?;
        let full = self.batch.records.len() >= self.limits.rows_max
            || self.batch.byte_count() >= self.limits.bytes_max;
        let lingered = self.first_at.is_some_and(|first_at| first_at.elapsed() >= linger);
        if !self.batch.records.is_empty() && (full || lingered) {
            self.deliver()?;
        }
        Ok(())
    }

    /// No record came. Looks whether this client can still get any.
    fn look_at_client(&mut self) -> Result<(), ConsumeError> {
        let silent = self.assignment.health.facts(Instant::now()).kafka_silent;
        if self.assignment.has_forgotten_brokers() {
            self.replace_client("the Kafka client has forgotten all brokers")
        } else if self.silence.is_too_long(silent) {
            self.replace_client("the Kafka client has heard no broker for too long")
        } else {
            Ok(())
        }
    }

    /// Joins the group with another client after this one was fenced, unless that was a short while ago. librdkafka
    /// says so to the thread that polls and to every other call.
    fn join_again(&mut self, err: ConsumeError) -> Result<(), ConsumeError> {
        if !err.is_fenced() || !self.fencings.may_join_again(Instant::now()) {
            return Err(err);
        }
        self.replace_client("Kafka says that another loader has this one's group.instance.id")
    }

    /// Joins the group with another client. A broker that was frozen answers for a moment with an empty list of
    /// brokers. librdkafka then forgets all brokers and asks none again
    /// (<https://github.com/confluentinc/librdkafka/issues/5301>). Whatever else keeps a client silent while brokers
    /// are there, another client may come through.
    fn replace_client(&mut self, reason: &'static str) -> Result<(), ConsumeError> {
        tracing::warn!(reason, "going on with a new client of Kafka");
        self.assignment.metrics.retried("kafka");
        let consumer = join(&self.assignment)?;
        self.consumer.context().retire();
        self.assignment.give_up();
        self.assignment.without_brokers.store(0, Ordering::Relaxed);
        self.offset_fault = None;
        let forgetful = std::mem::replace(&mut self.consumer, consumer);
        // It may take its time to leave the group, whose brokers it does not know.
        std::thread::spawn(move || drop(forgetful));
        Ok(())
    }

    /// After a new assignment, the collected records are dropped, and reading starts at the warehouse's offsets.
    fn check_generation(&mut self) -> Result<(), ConsumeError> {
        let mut current = self.assignment.current();
        if let Some(fatal) = current.fatal.take() {
            return Err(fatal);
        }
        if current.generation != self.batch.generation {
            self.batch = Batch::new(current.generation, Arc::clone(&current.epochs));
            self.next.clone_from(&current.starts);
            self.first_at = None;
        }
        Ok(())
    }

    fn carry_out_commands(&mut self) -> Result<(), ConsumeError> {
        loop {
            match self.commands.try_recv() {
                Ok(IntakeCommand::Commit(moves)) => {
                    let mut offsets = TopicPartitionList::with_capacity(moves.len());
                    for (from, next) in moves {
                        let topic = &self.assignment.plan.tables[from.table].topic;
                        offsets.add_partition_offset(
                            topic,
                            from.partition,
                            Offset::Offset(next),
                        )?;
                    }
                    if let Err(error) = self.consumer.commit(&offsets, CommitMode::Async) {
                        tracing::debug!(%error, "the group was not told the offsets");
                    }
                }
                Ok(IntakeCommand::Reset(generation)) => {
                    if self.assignment.current().generation == generation {
                        let assigned = self.consumer.assignment()?;
                        self.assignment.take_over(&self.consumer, &assigned);
                        self.check_generation()?;
                    }
                }
                Ok(IntakeCommand::Pause) => {
                    let assigned = self.consumer.assignment()?;
                    self.assignment.pause_tables(&self.consumer, &assigned)?;
                }
                Ok(IntakeCommand::Rejoin) => subscribe(&self.consumer, &self.assignment.plan)?,
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return Ok(()),
            }
        }
    }

    /// Hands the batch over or drops it. In both cases only the partitions of paused tables stay paused.
    fn deliver(&mut self) -> Result<(), ConsumeError> {
        self.batch.latest_us = Utc::now()
            .timestamp_micros()
            .saturating_add(self.limits.clock_ahead_max_ms.saturating_mul(1000).cast_signed());
        self.assignment.health.hold(true, Instant::now());
        let outcome = self.hand_over();
        self.assignment.health.hold(false, Instant::now());
        if let Some((generation, partitions)) = self.paused.take() {
            if self.assignment.current().generation == generation {
                self.read_on()?;
            }
            self.consumer.resume(&partitions)?;
            self.assignment.pause_tables(&self.consumer, &partitions)?;
        }
        outcome
    }

    /// Assigns the partitions once more, each at the offset of its next record. By its source, librdkafka drops the
    /// errors that wait for this thread when a partition is paused, and does not look again at an offset that is gone
    /// when the partition is resumed. The partition would stand still without an error.
    fn read_on(&self) -> Result<(), ConsumeError> {
        let assigned = self.consumer.assignment()?;
        let mut places = TopicPartitionList::with_capacity(assigned.count());
        for element in assigned.elements() {
            let table = self.topics.get(element.topic());
            let from = table.map(|&table| Partition { table, partition: element.partition() });
            // A partition without a next record belongs to a table that stands still.
            let next = from.and_then(|from| self.next.get(&from));
            let place = next.map_or(Offset::End, |&next| Offset::Offset(next));
            places.add_partition_offset(element.topic(), element.partition(), place)?;
        }
        Ok(self.consumer.assign(&places)?)
    }

    /// Waits for the loader. When the wait is long, it goes on polling with paused partitions.
    fn hand_over(&mut self) -> Result<(), ConsumeError> {
        loop {
            let ending = self.assignment.ending.clone();
            let batches = self.batches.clone();
            let hold = if self.paused.is_some() { IDLE_POLL } else { HOLD };
            let permit = self.assignment.runtime.block_on(async {
                tokio::select! {
                    biased; // an end beats a free place
                    () = ending.cancelled() => Err(ConsumeError::Cancelled),
                    permit = batches.reserve_owned() => Ok(permit.ok()),
                    () = tokio::time::sleep(hold) => Ok(None),
                }
            })?;
            if let Some(permit) = permit {
                let empty = self.batch.next();
                permit.send(Ok(std::mem::replace(&mut self.batch, empty)));
                self.first_at = None;
                return Ok(());
            }
            if self.batches.is_closed() {
                return Err(ConsumeError::Cancelled);
            }
            if self.paused.is_none() {
                let partitions = self.consumer.assignment()?;
                self.consumer.pause(&partitions)?;
                tracing::info!("the loader is busy, partitions paused");
                self.paused = Some((self.batch.generation, partitions));
            }
            self.carry_out_commands()?;
            match self.consumer.poll(Duration::ZERO) {
                Some(Ok(_)) => {
                    // A record arrived in spite of the pause. There is no room for it here, so it is read again.
                    let assigned = self.consumer.assignment()?;
                    self.assignment.take_over(&self.consumer, &assigned);
                }
                Some(Err(err)) => self.note(err)?,
                None => {}
            }
            self.check_generation()?;
            if self.batch.records.is_empty() {
                return Ok(()); // the assignment changed
            }
        }
    }

    /// A final error ends the intake. Every other error is logged, less and less often.
    fn note(&mut self, error: KafkaError) -> Result<(), ConsumeError> {
        let code = error.rdkafka_error_code();
        match code {
            // A token's endpoint that does not answer for a while is reported like this. The last token is still good.
            Some(RDKafkaErrorCode::Authentication)
                if self.mechanism == Some(Mechanism::OauthBearer) =>
            {
                self.log_failure(&error);
                Ok(())
            }
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                let what = error.to_string();
                if self.missing.insert(what) {
                    tracing::info!(%error, "a topic does not exist yet, waiting for it");
                }
                Ok(())
            }
            Some(
                RDKafkaErrorCode::Fatal
                | RDKafkaErrorCode::FencedInstanceId
                | RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::GroupAuthorizationFailed
                | RDKafkaErrorCode::SaslAuthenticationFailed
                | RDKafkaErrorCode::Authentication,
            ) => Err(ConsumeError::Refused(error)),
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                self.offset_fault.get_or_insert(error);
                Ok(())
            }
            _ => {
                self.log_failure(&error);
                Ok(())
            }
        }
    }

    /// When Kafka does not have an offset that it had when the partitions were taken over, taking them over again finds
    /// out which table has to stand still. Each partition of a topic reports such an error by itself, and some errors
    /// come after the look. When several looks in a row changed nothing, the loader ends.
    fn look_again(&mut self) -> Result<(), ConsumeError> {
        if self.offset_fault.is_none() || !self.looks.is_due(Instant::now()) {
            return Ok(());
        }
        let assigned = self.consumer.assignment()?;
        if assigned.count() == 0 {
            return Ok(()); // between two assignments, the second of which looks at all partitions
        }
        let Some(error) = self.offset_fault.take() else { return Ok(()) };
        if !self.looks.note(Instant::now()) {
            return Err(ConsumeError::Refused(error));
        }
        tracing::warn!(%error, "Kafka has other offsets than before, looking at all partitions again");
        let before = self.assignment.paused.count();
        self.assignment.take_over(&self.consumer, &assigned);
        if self.assignment.paused.count() > before {
            self.looks.helped();
        }
        Ok(())
    }

    fn log_failure(&mut self, error: &KafkaError) {
        self.failures.next_delay();
        self.assignment.metrics.retried("kafka");
        if self.failures.should_log() {
            tracing::warn!(%error, "Kafka fails, trying again");
        }
    }
}

/// A new member of the group.
fn join(assignment: &Arc<Assignment>) -> Result<BaseConsumer<ConsumerCallbacks>, ConsumeError> {
    let callbacks = ConsumerCallbacks::new(Arc::clone(assignment));
    let consumer: BaseConsumer<ConsumerCallbacks> =
        assignment.client.create_with_context(callbacks)?;
    subscribe(&consumer, &assignment.plan)?;
    Ok(consumer)
}

/// Subscribes to the model's topics. A second call makes the consumer join its group anew: the broker then asks all
/// members, when the consumer is the one that shares out the partitions.
fn subscribe(consumer: &BaseConsumer<ConsumerCallbacks>, plan: &Plan) -> Result<(), ConsumeError> {
    let names = plan.tables.iter().map(|table| table.topic.as_str());
    Ok(consumer.subscribe(&names.collect::<Vec<_>>())?)
}

/// Adds a record, unless it belongs to an older assignment. `false` when it was not added.
fn push(
    batch: &mut Batch,
    next: &mut HashMap<Partition, i64>,
    topics: &HashMap<String, TableId>,
    assignment: &Assignment,
    record: Incoming<'_>,
) -> bool {
    let mut current = assignment.current();
    if current.generation != batch.generation {
        *batch = Batch::new(current.generation, Arc::clone(&current.epochs));
        next.clone_from(&current.starts);
    }
    let Some(&table) = topics.get(record.topic) else { return false };
    let from = Partition { table, partition: record.partition };
    let Some(next) = next.get_mut(&from) else { return false };
    if record.offset < *next {
        return false; // fetched before the assignment moved on
    }
    let epoch = batch.epochs_of(table).current().number;
    if let Entry::Vacant(first) = batch.starts.entry(from) {
        first.insert(Start { offset: *next, epoch });
        if let Some(published_ms) = record.published_ms {
            let metrics = &assignment.metrics;
            metrics.batch_began(&assignment.plan, from, record.offset, published_ms);
        }
    }
    *next = record.offset + 1;
    current.read.insert(from, *next);
    batch.push(from, record.offset, record.content);
    true
}
