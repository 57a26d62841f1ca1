//! The thread that polls Kafka and fills batches.
//!
//! In: records. Out: batches through bounded channels, one for each writer. While a writer is busy and its next batch
//! is full, the thread waits with it. When the wait is long, or another writer has nothing to do meanwhile, the thread
//! pauses the partitions of the busy writer and goes on polling: so the group does not count the loader as dead, and
//! the other writers go on. A batch of an older generation is dropped, because another loader may have its partitions
//! now.
//!
//! To pause a partition costs what was fetched of it ahead, so a short wait is better than a pause.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use foldhash::{HashSet, HashSetExt};
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
use super::incoming::borrow;
use super::outlets::{Handed, Outlets};
use super::patience::{Fencings, Looks, Silence};
use super::reading::Reading;
use crate::batch::{Batch, Partition};
use crate::config;
use crate::health::HealthCell;
use crate::in_flight::InFlight;
use crate::metrics::Metrics;
use crate::model::{Id, Plan};
use crate::paused::PausedTables;
use crate::writers::{WriterId, batch_limits};

/// How long an idle poll sleeps. Commands and the end of the loader are delayed by up to this time.
const IDLE_POLL: Duration = Duration::from_millis(50);

/// How long the thread waits for a writer without polling. The group waits for 300 s before it counts a member as dead.
const HOLD: Duration = Duration::from_secs(20);

/// How long it waits while another writer has nothing to do. A batch takes less than this.
const HOLD_BESIDE_IDLE: Duration = Duration::from_millis(500);

/// How long librdkafka may take to go to an offset. It only notes the offset.
const SEEK_MAX: Duration = Duration::from_secs(5);

/// How often it looks meanwhile whether another writer takes a batch.
const HOLD_LOOK: Duration = Duration::from_millis(20);

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
    /// what is being loaded
    pub in_flight: InFlight,
    /// cancelled when the loader ends
    pub ending: CancellationToken,
}

/// Polls Kafka.
pub struct Intake {
    consumer: BaseConsumer<ConsumerCallbacks>,
    assignment: Arc<Assignment>,
    outlets: Outlets,
    commands: Receiver<IntakeCommand>,
    reading: Reading,
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
    /// Subscribes to the model's topics. `runtime` runs the questions to the warehouse. There is a channel for each
    /// writer.
    ///
    /// # Errors
    /// When librdkafka does not take the configuration or the topics' names.
    pub fn new(
        options: IntakeOptions,
        runtime: Handle,
        batches: Vec<Sender<Batch>>,
        commands: Receiver<IntakeCommand>,
    ) -> Result<Self, ConsumeError> {
        let writers = u16::try_from(batches.len()).unwrap_or(u16::MAX);
        let limits = batch_limits(options.batch, writers);
        let outlets = Outlets::new(batches, limits, Arc::clone(&options.metrics));
        let assignment = Arc::new(Assignment {
            plan: options.plan,
            warehouse: options.warehouse,
            client: options.client.clone(),
            runtime,
            ending: options.ending,
            metrics: options.metrics,
            health: options.health,
            paused: options.paused,
            in_flight: options.in_flight,
            current: std::sync::Mutex::new(CurrentAssignment::new(writers)),
            without_brokers: AtomicU32::new(0),
        });
        let consumer = join(&assignment)?;
        let reading = Reading::new(&assignment.plan);
        Ok(Self {
            consumer,
            assignment,
            outlets,
            commands,
            reading,
            failures: Backoff::new(Duration::from_millis(100), Duration::from_secs(1)),
            missing: HashSet::new(),
            offset_fault: None,
            looks: Looks::default(),
            silence: Silence::default(),
            fencings: Fencings::default(),
            mechanism: options.mechanism,
        })
    }

    /// Polls until the end. The channels are closed then, and the writers load what is in them.
    ///
    /// # Errors
    /// When reading cannot go on.
    pub fn run(mut self) -> Result<(), ConsumeError> {
        while !self.assignment.ending.is_cancelled() {
            match self.turn().or_else(|err| self.join_again(err)) {
                Err(ConsumeError::Cancelled) => return Ok(()),
                outcome => outcome?,
            }
        }
        Ok(())
    }

    fn turn(&mut self) -> Result<(), ConsumeError> {
        self.carry_out_commands()?;
        match self.consumer.poll(self.outlets.poll_time(IDLE_POLL)) {
            Some(Ok(message)) => {
                let record = borrow(&message);
                if self.reading.take(&mut self.outlets, &self.assignment, record) {
                    self.looks.helped();
                }
                self.failures.reset();
            }
            Some(Err(err)) => self.note(err)?,
            None => self.look_at_client()?,
        }
        self.look_again()?;
        self.check_generation()?;
        for writer in self.outlets.outlets.ids() {
            if self.outlets.is_due(writer) {
                self.deliver(writer)?;
            }
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
        self.assignment.give_up(true);
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
        self.reading.follow(&current, &mut self.outlets);
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

    /// Hands a batch over that is due. A batch that is not full can wait for its writer and is collected on meanwhile.
    fn deliver(&mut self, writer: WriterId) -> Result<(), ConsumeError> {
        let is_paused = self.outlets.outlets[writer].is_paused;
        let mut handed = self.outlets.try_hand_over(writer);
        if handed == Handed::NotYet && self.outlets.is_full(writer) && !is_paused {
            self.assignment.health.hold(true, Instant::now());
            let held = self.hold(writer);
            self.assignment.health.hold(false, Instant::now());
            handed = held?;
            if handed == Handed::NotYet {
                self.pause(writer)?;
            }
        }
        match handed {
            Handed::Over if is_paused => self.go_on(writer),
            Handed::Over | Handed::NotYet => Ok(()),
            Handed::Nobody => Err(ConsumeError::Cancelled), // a writer has ended, for a reason of its own
        }
    }

    /// Waits for a writer, but not for too long. Other writers get what is there for them meanwhile.
    fn hold(&mut self, writer: WriterId) -> Result<Handed, ConsumeError> {
        let ending = self.assignment.ending.clone();
        let batches = self.outlets.outlets[writer].batches.clone();
        let (begun, mut idle_since) = (Instant::now(), None);
        let patience = HOLD.min(self.assignment.patience());
        loop {
            let place = self.assignment.runtime.block_on(async {
                tokio::select! {
                    biased; // an end beats a free place
                    () = ending.cancelled() => Err(ConsumeError::Cancelled),
                    place = batches.reserve() => Ok(Some(place)),
                    () = tokio::time::sleep(HOLD_LOOK) => Ok(None),
                }
            })?;
            match place {
                Some(Ok(place)) => {
                    self.outlets.hand_over(writer, place);
                    return Ok(Handed::Over);
                }
                Some(Err(_)) => return Ok(Handed::Nobody),
                None => {}
            }
            self.outlets.hand_over_others(writer);
            let is_idle = self.outlets.is_another_idle(writer);
            idle_since = is_idle.then(|| idle_since.unwrap_or_else(Instant::now));
            let waits_beside = |since: Instant| since.elapsed() >= HOLD_BESIDE_IDLE;
            if begun.elapsed() >= patience || idle_since.is_some_and(waits_beside) {
                return Ok(Handed::NotYet);
            }
        }
    }

    /// Pauses the partitions of a writer until it takes the batch that waits for it.
    fn pause(&mut self, writer: WriterId) -> Result<(), ConsumeError> {
        let partitions = self.partitions_of(writer)?;
        self.consumer.pause(&partitions)?;
        tracing::info!(
            writer = writer.to_index(),
            partition_count = partitions.count(),
            "the loader is busy, partitions paused"
        );
        self.outlets.outlets[writer].is_paused = true;
        Ok(())
    }

    /// Reads the partitions of a writer on, but not those of paused tables.
    fn go_on(&mut self, writer: WriterId) -> Result<(), ConsumeError> {
        self.outlets.outlets[writer].is_paused = false;
        let partitions = self.partitions_of(writer)?;
        if !self.seek_next(&partitions) {
            self.read_on()?;
        }
        self.consumer.resume(&partitions)?;
        Ok(self.assignment.pause_tables(&self.consumer, &partitions)?)
    }

    /// The assigned partitions of a writer.
    fn partitions_of(&self, writer: WriterId) -> Result<TopicPartitionList, ConsumeError> {
        let assigned = self.consumer.assignment()?;
        let current = self.assignment.current();
        let mut partitions = TopicPartitionList::with_capacity(assigned.count());
        for element in assigned.elements() {
            let from = self.reading.partition(element.topic(), element.partition());
            if from.is_some_and(|from| current.shares.writer_of(from) == writer) {
                partitions.add_partition(element.topic(), element.partition());
            }
        }
        Ok(partitions)
    }

    /// Goes to the next record of each partition. By its source, librdkafka drops the errors that wait for this thread
    /// when a partition is paused, and does not look again at an offset that is gone when the partition is resumed. The
    /// partition would stand still without an error. `false` when that is the case already: such a partition cannot be
    /// moved.
    fn seek_next(&self, partitions: &TopicPartitionList) -> bool {
        partitions.elements().iter().all(|element| {
            let from = self.reading.partition(element.topic(), element.partition());
            // A partition without a next record belongs to a table that stands still.
            let Some(next) = from.and_then(|from| self.reading.next_of(from)) else { return true };
            let place = Offset::Offset(next);
            self.consumer.seek(element.topic(), element.partition(), place, SEEK_MAX).is_ok()
        })
    }

    /// Assigns all partitions once more, each at the offset of its next record.
    fn read_on(&self) -> Result<(), ConsumeError> {
        let assigned = self.consumer.assignment()?;
        let mut places = TopicPartitionList::with_capacity(assigned.count());
        for element in assigned.elements() {
            let from = self.reading.partition(element.topic(), element.partition());
            let next = from.and_then(|from| self.reading.next_of(from));
            let place = next.map_or(Offset::End, Offset::Offset);
            places.add_partition_offset(element.topic(), element.partition(), place)?;
        }
        Ok(self.consumer.assign(&places)?)
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
