//! A thread that looks at the model's topics and, under static membership, at the group.
//!
//! In: a client of Kafka that is no member of the group. Out: what is wrong with the topics, for `/ready` and the log,
//! and the command to join the group anew when partitions belong to nobody.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use shared::backoff::Backoff;
use tokio_util::sync::CancellationToken;

use super::intake::IntakeCommand;
use super::partitions::partitions_of;
use super::topics::Topics;
use super::unowned::{Place, Unowned, assigned_partitions};
use crate::health::HealthCell;
use crate::metrics::Metrics;
use crate::model::Plan;

/// How often the brokers are asked.
const LOOK_EVERY: Duration = Duration::from_secs(4);

/// How often they are asked for all topics, when all is well: a table that is not in the model is named within this
/// time.
const LOOK_EVERY_WELL: Duration = Duration::from_secs(60);

/// How soon the end of the loader is noticed between two looks.
const NOTICE_END: Duration = Duration::from_millis(100);

/// How long one question may take.
const QUESTION: Duration = Duration::from_secs(10);

/// After so many questions in a row without an answer another client asks.
const FAILURES_MAX: u32 = 3;

/// What the watch needs.
pub struct TopicsWatch {
    /// librdkafka's properties, those of the intake
    pub client: ClientConfig,
    /// the compiled model, whose topics are looked for
    pub plan: Arc<Plan>,
    /// how long none of the topics may exist before that is a problem
    pub wait: Duration,
    /// what `/ready` says
    pub health: HealthCell,
    /// what to count with
    pub metrics: Arc<Metrics>,
    /// the way to the intake
    pub commands: Sender<IntakeCommand>,
    /// cancelled when the loader ends
    pub ending: CancellationToken,
}

/// Looks until the loader ends. This blocks the thread.
///
/// # Errors
/// When librdkafka does not take the configuration.
pub fn watch_topics(watch: TopicsWatch) -> KafkaResult<()> {
    let mut client = watch.client.clone();
    let group = match client.get("group.instance.id") {
        Some(_) => client.get("group.id").map(str::to_owned),
        None => None,
    };
    client.remove("group.instance.id");
    client.set("statistics.interval.ms", "0");
    let consumer: BaseConsumer = client.create()?;
    let again = client;
    let topics = watch.plan.tables.iter().map(|table| table.topic.clone()).collect();
    let mut look = Look {
        watch,
        consumer,
        topics,
        exists: false,
        all_seen: None,
        named: HashSet::new(),
        group,
        unowned: Unowned::new(),
        started: Instant::now(),
        warnings: Backoff::new(Duration::from_secs(1), Duration::from_secs(60)),
    };
    let ending = look.watch.ending.clone();
    let mut failures = 0;
    while !ending.is_cancelled() {
        match look.look() {
            Ok(()) => failures = 0,
            Err(error) => {
                tracing::debug!(%error, "the brokers cannot be asked about topics and group");
                failures += 1;
            }
        }
        // The client may have forgotten all brokers (see `Intake::replace_client`).
        if failures >= FAILURES_MAX {
            failures = 0;
            match again.create() {
                Ok(consumer) => look.consumer = consumer,
                Err(error) => tracing::debug!(%error, "no other client of Kafka"),
            }
        }
        let looked = Instant::now();
        while looked.elapsed() < look.pause() && !ending.is_cancelled() {
            std::thread::sleep(NOTICE_END);
        }
    }
    Ok(())
}

struct Look {
    watch: TopicsWatch,
    consumer: BaseConsumer,
    topics: Vec<String>,
    /// whether one of the topics was seen
    exists: bool,
    /// when the names of all topics were looked at last
    all_seen: Option<Instant>,
    /// topics of which the log has said that the model does not name them
    named: HashSet<String>,
    /// the group, when this loader is a static member of it
    group: Option<String>,
    unowned: Unowned,
    started: Instant,
    warnings: Backoff,
}

impl Look {
    /// Without static membership the brokers are asked often until the first topic exists.
    fn pause(&self) -> Duration {
        if self.group.is_some() || !self.exists { LOOK_EVERY } else { LOOK_EVERY_WELL }
    }

    fn look(&mut self) -> KafkaResult<()> {
        if !self.exists || self.all_seen.is_none_or(|at| at.elapsed() >= LOOK_EVERY_WELL) {
            self.look_at_all()?;
        }
        match self.group.clone() {
            Some(group) => self.look_at_group(&group),
            None => Ok(()),
        }
    }

    /// Looks at the names of all topics of the cluster.
    fn look_at_all(&mut self) -> KafkaResult<()> {
        let metadata = self.consumer.fetch_metadata(None, QUESTION)?;
        let existing = metadata.topics().iter().filter(|topic| topic.error().is_none());
        let topics = Topics::compare(&self.topics, existing.map(|topic| topic.name()));
        if !self.exists {
            self.report(&topics);
            self.exists = topics.none_exists().is_none();
        }
        self.name_unknown(topics.not_in_model);
        self.all_seen = Some(Instant::now());
        Ok(())
    }

    /// The partitions of the model's topics.
    fn places(&self) -> KafkaResult<Vec<Place>> {
        let mut places = Vec::new();
        for topic in &self.topics {
            let partitions = partitions_of(&self.consumer, topic, QUESTION)?.into_iter();
            places.extend(partitions.map(|partition| (topic.clone(), partition)));
        }
        Ok(places)
    }

    fn report(&mut self, topics: &Topics) {
        let problem = topics.none_exists().filter(|_| self.started.elapsed() >= self.watch.wait);
        if let Some(problem) = &problem {
            self.warnings.next_delay();
            if self.warnings.should_log() {
                tracing::warn!("{problem}");
            }
        }
        self.watch.health.topics(problem);
    }

    /// Names each table once that the source publishes and the model does not have.
    fn name_unknown(&mut self, not_in_model: Vec<String>) {
        for topic in not_in_model {
            if self.named.insert(topic.clone()) {
                tracing::warn!(
                    topic,
                    "the source publishes a table that the model does not name: the table is not loaded"
                );
            }
        }
    }

    fn look_at_group(&mut self, group: &str) -> KafkaResult<()> {
        let places = self.places()?;
        let groups = self.consumer.fetch_group_list(Some(group), QUESTION)?;
        let found = groups.groups().iter().find(|found| found.name() == group);
        let Some(found) = found.filter(|found| found.state() == "Stable") else {
            self.unowned.wait();
            return Ok(());
        };
        let mut owned: HashSet<Place> = HashSet::new();
        for member in found.members() {
            let Some(assigned) = assigned_partitions(member.assignment().unwrap_or_default())
            else {
                self.unowned.wait(); // a member of another kind: nobody knows what it has
                return Ok(());
            };
            owned.extend(assigned);
        }
        let Some(left) = self.unowned.look(places, &owned, Instant::now()) else { return Ok(()) };
        let (topic, partition) = &left[0];
        tracing::warn!(
            group,
            partition_count = left.len(),
            topic,
            partition,
            "the group has given partitions to nobody, joining it anew"
        );
        self.watch.metrics.retried("group");
        // A closed channel means the intake has ended, and this thread ends with it.
        let _ = self.watch.commands.send(IntakeCommand::Rejoin);
        Ok(())
    }
}
