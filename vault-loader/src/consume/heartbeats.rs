//! Reads the heartbeats of a source, and asks where its partitions end.
//!
//! In: the topic of the source's heartbeats, and the topics of its tables. Out: the newest heartbeat, the ends of all
//! partitions, and whether a partition has nothing to load up to its end. No group is joined and no offset is kept:
//! only heartbeats that come from now on are read, because a later heartbeat says more than an earlier one.
//!
//! - Ends are those of all records, committed or not. A broker that only counts committed transactions would leave out
//!   records of a transaction whose end it has not heard of yet, and a heartbeat of that transaction may be here.
//! - Heartbeats are those of committed transactions only, as are the events that the loader loads.
//! - A partition may end with records that no consumer sees: the end of a transaction, or an aborted one. No event
//!   moves the warehouse's offset past them. So where a partition stands still before its end, it is read up to there.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Headers, Message};
use rdkafka::topic_partition_list::Offset;
use rdkafka::{ClientConfig, TopicPartitionList};
use shared::debezium::heartbeat::{HEARTBEAT_PARTITION, Heartbeat, read_heartbeat};
use tokio_util::sync::CancellationToken;

use super::ends::PartitionEnds;
use super::error::ConsumeError;
use super::last_records::reader;
use super::partitions::partitions_of;

/// How long one question to Kafka may take.
const QUESTION: Duration = Duration::from_secs(5);

/// How long one wait for a record takes. The end of the loader is delayed by up to this time.
const STEP: Duration = Duration::from_millis(100);

/// How long reading up to a partition's end may take.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// The property by which a client sees records of open and aborted transactions, or does not.
const ISOLATION: &str = "isolation.level";

/// A consumer of one source's heartbeats.
pub(crate) struct HeartbeatReader {
    consumer: BaseConsumer,
    server: String,
}

impl HeartbeatReader {
    /// Reads this topic from its end on; none when there is no such topic. `server` is the topic prefix of the
    /// connector whose heartbeats are wanted: several connectors may share the topic.
    ///
    /// # Errors
    /// When Kafka does not answer or refuses.
    pub(crate) fn open(
        client: &ClientConfig,
        topic: &str,
        server: &str,
    ) -> Result<Option<Self>, ConsumeError> {
        let consumer = reader(client)?;
        let metadata = consumer.fetch_metadata(Some(topic), QUESTION)?;
        let denied = Some(RDKafkaErrorCode::TopicAuthorizationFailed);
        let mut found = metadata.topics().iter();
        if found.any(|found| found.error().map(RDKafkaErrorCode::from) == denied) {
            let refusal = KafkaError::MetadataFetch(RDKafkaErrorCode::TopicAuthorizationFailed);
            return Err(ConsumeError::Refused(refusal));
        }
        if metadata.topics().iter().all(|found| found.partitions().is_empty()) {
            return Ok(None);
        }
        let mut place = TopicPartitionList::with_capacity(1);
        place.add_partition_offset(topic, HEARTBEAT_PARTITION, Offset::End)?;
        consumer.assign(&place)?;
        Ok(Some(Self { consumer, server: server.to_owned() }))
    }

    /// The newest heartbeat that comes within a moment.
    ///
    /// # Errors
    /// What Kafka says. Another reader of the topic is needed then.
    pub(crate) fn newest(&self) -> Result<Option<Heartbeat>, ConsumeError> {
        let mut newest = None;
        let mut wait = STEP;
        while let Some(polled) = self.consumer.poll(wait) {
            wait = Duration::ZERO;
            match polled {
                Ok(message) => newest = self.heartbeat(&message).or(newest),
                Err(error) if is_passing(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(newest)
    }

    fn heartbeat(&self, message: &impl Message) -> Option<Heartbeat> {
        let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
        let headers = headers.filter_map(|header| Some((header.key, header.value?)));
        let heartbeat = read_heartbeat(message.key(), message.payload(), headers)?;
        (heartbeat.server == self.server).then_some(heartbeat)
    }
}

/// Errors after which librdkafka goes on by itself.
fn is_passing(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::Resolve
        )
    )
}

/// A client that asks where partitions end, records of open transactions included.
pub(crate) struct EndsAsker(BaseConsumer);

impl EndsAsker {
    /// Makes the client.
    ///
    /// # Errors
    /// When librdkafka does not take the configuration.
    pub(crate) fn new(client: &ClientConfig) -> Result<Self, ConsumeError> {
        let mut client = client.clone();
        client.set(ISOLATION, "read_uncommitted");
        Ok(Self(reader(&client)?))
    }

    /// First offset and end of every partition of these topics. A topic that does not exist has none.
    ///
    /// # Errors
    /// When Kafka does not answer or refuses.
    pub(crate) fn ends(
        &self,
        topics: &[String],
        ending: &CancellationToken,
    ) -> Result<Vec<PartitionEnds>, ConsumeError> {
        let mut ends = Vec::new();
        for topic in topics {
            for partition in partitions_of(&self.0, topic, QUESTION)? {
                if ending.is_cancelled() {
                    return Err(ConsumeError::Cancelled);
                }
                let (first, end) = self.0.fetch_watermarks(topic, partition, QUESTION)?;
                ends.push(PartitionEnds { topic: topic.clone(), partition, first, end });
            }
        }
        Ok(ends)
    }
}

/// Whether no event stands in a partition from the offset `next` to the end that was noted. Every transaction up to
/// there has ended, and nothing was deleted that was not loaded.
///
/// # Errors
/// When Kafka does not answer or refuses.
pub(crate) fn is_bare(
    client: &ClientConfig,
    noted: &PartitionEnds,
    next: i64,
    ending: &CancellationToken,
) -> Result<bool, ConsumeError> {
    let mut client = client.clone();
    client.set("enable.partition.eof", "true");
    let consumer = reader(&client)?;
    // The end as a consumer of committed transactions sees it.
    let (first, end) = consumer.fetch_watermarks(&noted.topic, noted.partition, QUESTION)?;
    if next < first || end < noted.end {
        return Ok(false);
    }
    let mut place = TopicPartitionList::with_capacity(1);
    place.add_partition_offset(&noted.topic, noted.partition, Offset::Offset(next))?;
    consumer.assign(&place)?;
    let started = Instant::now();
    while started.elapsed() < READ_TIMEOUT {
        if ending.is_cancelled() {
            return Err(ConsumeError::Cancelled);
        }
        match consumer.poll(STEP) {
            Some(Ok(message)) => return Ok(message.offset() >= noted.end),
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(true),
            Some(Err(error)) if is_passing(&error) => {}
            Some(Err(error)) => return Err(error.into()),
            None => {}
        }
    }
    Ok(false)
}
