//! The topics that are loaded: written once by `cdc-reader`, copied for each load.
//!
//! In: the source and a broker. Out: a topic for each load that holds the scenarios which the load has reached.
//! Invariant: every load reads the same bytes in the same partitions and the same order. Copying happens before the
//! clock starts, and a copy counts only if each partition holds as many records as the original.
//!
//! A loader cannot be told to stop at an offset, so a scenario's records reach its topic when the scenario begins.

use std::time::Duration;

use anyhow::Context;
use devstack::{Kafka, binary};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use tokio::runtime::Runtime;

use super::place::Place;
use super::scenario::Scenario;
use super::work::Work;
use crate::airline::topic;
use crate::bench::airline;
use crate::bench::interrupt::{self, wait};
use crate::bench::say;

/// The table that everything here is about.
pub(super) const TABLE: &str = "ticket_flights";

/// Prefix of the topics that the reader writes.
const PREFIX: &str = "prepared";

/// How long the broker may take for one answer, and for what a copy has sent.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Properties of the copying client: as the reader's, so that a copy lies in the broker as the original does.
const COPYING: [(&str, &str); 5] = [
    ("compression.type", "lz4"),
    ("linger.ms", "5"),
    ("enable.idempotence", "true"),
    ("group.id", "bench"),
    ("enable.auto.commit", "false"),
];

/// The records of a scenario: from and up to an offset in each partition.
#[derive(Debug, Clone)]
struct Span {
    scenario: Scenario,
    from: Vec<i64>,
    to: Vec<i64>,
}

/// Topics that hold every scenario once.
pub(super) struct Prepared {
    spans: Vec<Span>,
    partitions: i32,
}

impl Prepared {
    /// Lets the reader publish the segments that the source has; then lets the source change, scenario by scenario, and
    /// the reader publish that.
    pub(super) fn make(place: &Place, work: Work, partitions: i32) -> anyhow::Result<Self> {
        interrupt::check()?;
        let count = partitions.to_string();
        let changes = [
            ("topic.prefix", PREFIX),
            ("slot.name", PREFIX),
            ("snapshot.mode", "initial"),
            ("table.include.list", "public.ticket_flights"),
            ("topic.creation.default.partitions", count.as_str()),
            ("topic.creation.default.replication.factor", "1"),
        ];
        let connector = airline::connector(place.source.address(), PREFIX, &changes)?;
        let program = binary("cdc-reader")?;
        let mut reader =
            airline::start_reader(&program, &place.kafka, &connector, place.dir.path())?;
        let mut prepared = Self { spans: Vec::new(), partitions };
        for scenario in [Scenario::First, Scenario::Updates, Scenario::Mixed] {
            say(&format!("preparing: {}", scenario.title()));
            match scenario {
                Scenario::First | Scenario::Repeats => {}
                Scenario::Updates => work.update(&place.source)?,
                Scenario::Mixed => work.mix(&place.source)?,
            }
            let from =
                prepared.spans.last().map_or(vec![0; count_of(partitions)], |span| span.to.clone());
            let wanted = from.iter().sum::<i64>() + i64::try_from(work.size(scenario).records)?;
            let to = wait(place.patience, &format!("{wanted} records of {PREFIX}"), || {
                airline::require_alive(&mut reader, "cdc-reader")?;
                let ends = place.topics.ends(&topic(PREFIX, TABLE), partitions)?;
                Ok((ends.iter().sum::<i64>() >= wanted).then_some(ends))
            })
            .with_context(|| airline::log_end(reader.log()))?;
            anyhow::ensure!(
                to.iter().sum::<i64>() == wanted,
                "{to:?} records, not {wanted} in all"
            );
            prepared.spans.push(Span { scenario, from, to });
        }
        airline::end(reader, "cdc-reader")?;
        Ok(prepared)
    }

    /// Gives a load's topic what a scenario adds to it; makes the topic with the first one.
    pub(super) fn give(
        &self,
        place: &Place,
        prefix: &str,
        scenario: Scenario,
    ) -> anyhow::Result<()> {
        // Repeats read again what is there.
        let Some(span) = self.spans.iter().find(|span| span.scenario == scenario) else {
            return Ok(());
        };
        interrupt::check()?;
        let to = topic(prefix, TABLE);
        if scenario == Scenario::First {
            make_topic(&place.kafka, &to, self.partitions)?;
        }
        Copying::new(&place.kafka)?.copy(span, &topic(PREFIX, TABLE), &to)?;
        // A client that knew a topic of this name needs a moment for the new one.
        wait(place.patience, &format!("{to} to end at {:?}", span.to), || {
            let found = place.topics.ends(&to, self.partitions)?;
            let is_beyond = found.iter().zip(&span.to).any(|(found, wanted)| found > wanted);
            anyhow::ensure!(!is_beyond, "{to} ends at {found:?} and not at {:?}", span.to);
            Ok((found == span.to).then_some(()))
        })
    }

    /// Removes a load's topic.
    pub(super) fn take_back(&self, place: &Place, prefix: &str) -> anyhow::Result<()> {
        let name = topic(prefix, TABLE);
        let (admin, runtime) = admin(&place.kafka)?;
        let names = [name.as_str()];
        for gone in runtime.block_on(admin.delete_topics(&names, &AdminOptions::new()))? {
            gone.map_err(|(topic, error)| anyhow::anyhow!("cannot remove {topic}: {error}"))?;
        }
        wait(place.patience, &format!("{name} to be gone"), || {
            let ends = place.topics.ends(&name, self.partitions)?;
            Ok(ends.iter().all(|end| *end == 0).then_some(()))
        })
    }
}

fn count_of(partitions: i32) -> usize {
    usize::try_from(partitions).unwrap_or_default()
}

/// What makes and removes topics.
fn admin(kafka: &Kafka) -> anyhow::Result<(AdminClient<DefaultClientContext>, Runtime)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok((ClientConfig::new().set("bootstrap.servers", kafka.bootstrap()).create()?, runtime))
}

/// Makes a topic.
fn make_topic(kafka: &Kafka, name: &str, partitions: i32) -> anyhow::Result<()> {
    let (admin, runtime) = admin(kafka)?;
    let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    for made in runtime.block_on(admin.create_topics(&[topic], &AdminOptions::new()))? {
        made.map_err(|(topic, error)| anyhow::anyhow!("cannot make {topic}: {error}"))?;
    }
    Ok(())
}

/// Copies records of one topic to another one.
struct Copying {
    consumer: BaseConsumer,
    producer: BaseProducer,
}

impl Copying {
    fn new(kafka: &Kafka) -> anyhow::Result<Self> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", kafka.bootstrap());
        let (producer, consumer) = COPYING.split_at(3);
        let with = |properties: &[(&str, &str)]| {
            let mut config = config.clone();
            for (name, value) in properties {
                config.set(*name, *value);
            }
            config
        };
        Ok(Self {
            consumer: with(consumer).create().context("cannot make a consumer")?,
            producer: with(producer).create().context("cannot make a producer")?,
        })
    }

    fn copy(&self, span: &Span, from: &str, to: &str) -> anyhow::Result<()> {
        let mut list = TopicPartitionList::new();
        let mut left: Vec<i64> =
            span.from.iter().zip(&span.to).map(|(from, to)| to - from).collect();
        for (partition, (&offset, _)) in
            span.from.iter().zip(&left).enumerate().filter(|(_, (_, left))| **left > 0)
        {
            list.add_partition_offset(from, i32::try_from(partition)?, Offset::Offset(offset))?;
        }
        self.consumer.assign(&list)?;
        while left.iter().any(|left| *left > 0) {
            interrupt::check()?;
            let message = self.consumer.poll(TIMEOUT).context("the prepared topic is silent")??;
            let left =
                left.get_mut(usize::try_from(message.partition())?).context("a new partition")?;
            // What lies behind the span belongs to the next scenario.
            if *left > 0 {
                *left -= 1;
                self.send(to, &message)?;
            }
        }
        self.producer.flush(TIMEOUT).with_context(|| format!("cannot write to {to}"))
    }

    fn send(&self, to: &str, message: &BorrowedMessage<'_>) -> anyhow::Result<()> {
        let mut record: BaseRecord<'_, [u8], [u8]> =
            BaseRecord::to(to).partition(message.partition());
        record.key = message.key();
        record.payload = message.payload();
        record.timestamp = message.timestamp().to_millis();
        record.headers = message.headers().map(rdkafka::message::BorrowedHeaders::detach);
        while let Err((error, again)) = self.producer.send(record) {
            anyhow::ensure!(
                error == KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull),
                "cannot write to {to}: {error}"
            );
            self.producer.poll(Duration::from_millis(10));
            record = again;
        }
        Ok(())
    }
}
