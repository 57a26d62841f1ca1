//! Sends heartbeats, beside the records and without any effect on them.
//!
//! In: the claim of one heartbeat at a time. Out: its record in the heartbeat topic. A thread and a producer of their
//! own make the topic and send the record, and wait until Kafka has answered. While the thread waits, a further
//! heartbeat is not taken, so one is on its way at most, whatever Kafka does. A heartbeat that cannot be sent is given
//! up and logged, less and less often: neither records nor offsets wait for it.
//!
//! A heartbeat that arrives late says less than a later one, and is still true.
//!
//! [`last_published`] reads the time up to which an earlier process has called everything complete.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use shared::backoff::Backoff;
use shared::debezium::heartbeat::{
    HEARTBEAT_PARTITION, Reached, heartbeat_key, heartbeat_value, read_heartbeat,
};
use shared::kafka::Cluster;
use tokio_util::sync::CancellationToken;

use super::maker::OnFirstRecord;
use super::topics::{NewTopics, QuietContext, TopicAdmin};

/// How long Kafka may take to answer a heartbeat. It is given up afterwards.
const TIMEOUT_MS: &str = "5000";

/// How often the thread looks whether it has to end, and lets the client do its own work.
const STEP: Duration = Duration::from_millis(100);

/// After so many heartbeats in a row that Kafka has not answered, another client sends: the one before may have
/// forgotten all brokers (see `stall`), and would never send again.
const REPLACE_AFTER: u32 = 3;

/// How many of the topic's last heartbeats are read at a start; more of them when none of these is the connector's own,
/// because several connectors may share one topic.
const READ_MAX: [i64; 2] = [100, 10_000];

/// How long one question about the topic may take. A stop waits for the answer.
const QUESTION: Duration = Duration::from_secs(2);

/// How long reading them may take.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// One heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beat {
    /// When it is sent, milliseconds since the epoch.
    pub sent_ms: i64,
    /// What it says.
    pub reached: Reached,
}

/// Where heartbeats go.
#[derive(Debug, Clone)]
pub struct HeartbeatTopic {
    /// The topic's name.
    pub name: String,
    /// The connector's topic prefix.
    pub server: String,
    /// How the topic is made.
    pub new: NewTopics,
}

/// The way to the thread that sends heartbeats.
#[derive(Debug)]
pub struct HeartbeatSender {
    beats: Option<SyncSender<Beat>>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl HeartbeatSender {
    /// Starts the thread. `admin` makes the topic, and `producer` sends.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(
        topic: HeartbeatTopic,
        [admin, producer]: [&Cluster; 2],
        runtime: tokio::runtime::Handle,
        on_first_record: OnFirstRecord,
    ) -> std::io::Result<Self> {
        // Without a place in the channel, a heartbeat is taken only while the thread waits for one.
        let (sender, beats) = sync_channel(0);
        let stop = CancellationToken::new();
        let worker = Worker {
            topic,
            admin: admin.clone(),
            config: producer_config(producer),
            runtime,
            on_first_record,
            stop: stop.clone(),
            producer: None,
            is_made: false,
            failures: Backoff::new(Duration::from_secs(1), Duration::from_secs(60)),
        };
        let thread = std::thread::Builder::new().name("heartbeats".to_owned());
        let thread = thread.spawn(move || worker.run(&beats))?;
        Ok(Self { beats: Some(sender), stop, thread: Some(thread) })
    }

    /// Hands a heartbeat over; false while the one before is still on its way.
    pub fn offer(&self, beat: Beat) -> bool {
        self.beats.as_ref().is_some_and(|beats| beats.try_send(beat).is_ok())
    }
}

impl Drop for HeartbeatSender {
    fn drop(&mut self) {
        self.stop.cancel();
        self.beats = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by its hook.
            let _ = thread.join();
        }
    }
}

fn producer_config(cluster: &Cluster) -> ClientConfig {
    let mut config = cluster.client("cdc-reader-heartbeats");
    config
        .set("acks", "all")
        .set("message.timeout.ms", TIMEOUT_MS)
        .set("linger.ms", "0")
        .set("allow.auto.create.topics", "false")
        .set("reconnect.backoff.max.ms", "2000")
        .set_log_level(RDKafkaLogLevel::Warning);
    config
}

/// The thread's side.
struct Worker {
    topic: HeartbeatTopic,
    admin: Cluster,
    config: ClientConfig,
    runtime: tokio::runtime::Handle,
    on_first_record: OnFirstRecord,
    stop: CancellationToken,
    producer: Option<BaseProducer<Answer>>,
    /// Whether the topic was made or found.
    is_made: bool,
    failures: Backoff,
}

/// What Kafka has answered to the heartbeat on its way.
#[derive(Debug, Clone, Default)]
struct Answer(Arc<Mutex<Option<KafkaResult<()>>>>);

impl Answer {
    fn take(&self) -> Option<KafkaResult<()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl ClientContext for Answer {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(?level, facility, message, "librdkafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // The producer of the records warns of the same outage.
        tracing::debug!(%error, reason, "the heartbeats' client");
    }
}

impl ProducerContext for Answer {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let answer = result.as_ref().map(drop).map_err(|(error, _)| error.clone());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
    }
}

impl ConsumerContext for QuietContext {}

impl Worker {
    fn run(mut self, beats: &Receiver<Beat>) {
        while !self.stop.is_cancelled() {
            match beats.recv_timeout(STEP) {
                Ok(beat) => self.try_beat(beat),
                Err(RecvTimeoutError::Timeout) => {
                    // A client renews its token only while it is polled.
                    if let Some(producer) = &self.producer {
                        producer.poll(Duration::ZERO);
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn try_beat(&mut self, beat: Beat) {
        let sent = self.make_topic().and_then(|()| {
            self.send(beat).map_err(|error| {
                self.is_made &= !is_unknown_topic(&error);
                error.to_string()
            })
        });
        if self.stop.is_cancelled() {
            return;
        }
        match sent {
            Ok(()) => self.failures.reset(),
            Err(reason) => {
                let _delay = self.failures.next_delay();
                if self.failures.attempts().is_multiple_of(REPLACE_AFTER) {
                    self.producer = None;
                }
                if self.failures.should_log() {
                    let topic = &self.topic.name;
                    tracing::warn!(
                        topic,
                        reason,
                        attempts = self.failures.attempts(),
                        "a heartbeat could not be sent: the loader's watermark stands still meanwhile; records are not affected"
                    );
                }
            }
        }
    }

    fn make_topic(&mut self) -> Result<(), String> {
        if self.is_made {
            return Ok(());
        }
        let admin = TopicAdmin::new(&self.admin).map_err(|error| error.to_string())?;
        let names = [self.topic.name.clone()];
        let failed = self.runtime.block_on(admin.make(&names, &self.topic.new, &self.stop));
        if let Some((_, error)) = failed.into_iter().next() {
            return Err(error.to_string());
        }
        self.is_made = true;
        (self.on_first_record)(&self.topic.name);
        Ok(())
    }

    /// Sends a heartbeat, and waits until Kafka has answered or librdkafka gives the heartbeat up.
    fn send(&mut self, beat: Beat) -> KafkaResult<()> {
        let producer = match &mut self.producer {
            Some(producer) => producer,
            none => none.insert(self.config.create_with_context(Answer::default())?),
        };
        let (key, value) = (heartbeat_key(&self.topic.server), heartbeat_value(beat.sent_ms));
        let mut headers = OwnedHeaders::new();
        for (key, value) in beat.reached.headers() {
            headers = headers.insert(Header { key, value: Some(&value) });
        }
        let record = BaseRecord::to(&self.topic.name)
            .partition(HEARTBEAT_PARTITION)
            .key(&key)
            .payload(&value)
            .headers(headers);
        let _earlier = producer.context().take();
        producer.send(record).map_err(|(error, _)| error)?;
        loop {
            producer.poll(STEP);
            if let Some(answer) = producer.context().take() {
                return answer;
            }
            if self.stop.is_cancelled() {
                return Err(KafkaError::Canceled);
            }
        }
    }
}

/// Whether somebody has deleted the topic.
fn is_unknown_topic(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownPartition
        )
    )
}

/// The latest publish time that a heartbeat of the connector has called complete, among the last heartbeats of the
/// topic. None when there is no such topic or no such heartbeat.
///
/// # Errors
/// When Kafka does not answer in time, or refuses.
pub fn last_published(
    cluster: &Cluster,
    topic: &HeartbeatTopic,
    stop: &CancellationToken,
) -> KafkaResult<Option<i64>> {
    let consumer: BaseConsumer<QuietContext> = cluster
        .client("cdc-reader-heartbeats")
        .set("group.id", "cdc-reader-heartbeats")
        .set("enable.auto.commit", "false")
        .set("allow.auto.create.topics", "false")
        .set("fetch.wait.max.ms", "10")
        .create_with_context(QuietContext)?;
    let metadata = consumer.fetch_metadata(Some(&topic.name), QUESTION)?;
    let exists = metadata.topics().iter().any(|found| !found.partitions().is_empty());
    if !exists {
        return Ok(None);
    }
    let (first, end) = consumer.fetch_watermarks(&topic.name, HEARTBEAT_PARTITION, QUESTION)?;
    for max in READ_MAX {
        let from = first.max(end - max);
        let latest = published_between(&consumer, topic, from..end, stop)?;
        if latest.is_some() || from == first {
            return Ok(latest);
        }
    }
    Ok(None)
}

/// The latest publish time that a heartbeat of the connector has called complete, among those at these offsets.
fn published_between(
    consumer: &BaseConsumer<QuietContext>,
    topic: &HeartbeatTopic,
    offsets: std::ops::Range<i64>,
    stop: &CancellationToken,
) -> KafkaResult<Option<i64>> {
    if offsets.is_empty() {
        return Ok(None);
    }
    let mut place = TopicPartitionList::with_capacity(1);
    let from = Offset::Offset(offsets.start);
    place.add_partition_offset(&topic.name, HEARTBEAT_PARTITION, from)?;
    consumer.assign(&place)?;
    let started = Instant::now();
    let mut latest = None;
    while started.elapsed() < READ_TIMEOUT {
        if stop.is_cancelled() {
            return Err(KafkaError::Canceled);
        }
        let Some(message) = consumer.poll(STEP).transpose()? else { continue };
        latest = latest.max(published_of(&message, &topic.server));
        if message.offset() + 1 >= offsets.end {
            return Ok(latest);
        }
    }
    Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut))
}

/// The publish time that a heartbeat of this connector names.
fn published_of(message: &impl Message, server: &str) -> Option<i64> {
    let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
    let headers = headers.filter_map(|header| Some((header.key, header.value?)));
    let heartbeat = read_heartbeat(message.key(), message.payload(), headers)?;
    (heartbeat.server == server).then_some(())?;
    heartbeat.reached?.published_us
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::DefaultProducerContext;
    use shared::kafka::Security;
    use shared::position::Lsn;

    use super::*;

    const SERVER: &str = "airline";

    fn topic() -> HeartbeatTopic {
        let name = format!("heartbeats.{SERVER}");
        HeartbeatTopic { name, server: SERVER.to_owned(), new: NewTopics::default() }
    }

    fn beat(published_us: i64) -> Beat {
        let reached = Reached {
            position: Lsn(1),
            timeline: 1,
            committed_us: None,
            published_us: Some(published_us),
        };
        Beat { sent_ms: 1, reached }
    }

    fn worker(cluster: &Cluster, runtime: &tokio::runtime::Runtime) -> Worker {
        let mut config = producer_config(cluster);
        config.set("message.timeout.ms", "500");
        Worker {
            topic: topic(),
            admin: cluster.clone(),
            config,
            runtime: runtime.handle().clone(),
            on_first_record: Box::new(|_| {}),
            stop: CancellationToken::new(),
            producer: None,
            is_made: true,
            failures: Backoff::new(Duration::from_secs(1), Duration::from_secs(60)),
        }
    }

    #[test]
    fn a_client_that_gets_no_answer_is_replaced() {
        let mock: MockCluster<'_, DefaultProducerContext> = MockCluster::new(1).unwrap();
        mock.create_topic(&topic().name, 1, 1).unwrap();
        let cluster = Cluster::new(&mock.bootstrap_servers(), Security::default());
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let mut worker = worker(&cluster, &runtime);
        // It knows no broker that lives, as one that has forgotten all brokers knows none at all.
        let nobody = worker.config.clone().set("bootstrap.servers", "127.0.0.1:1").clone();
        worker.producer = Some(nobody.create_with_context(Answer::default()).unwrap());
        for failures in 1..=REPLACE_AFTER {
            worker.try_beat(beat(7));
            assert_eq!(worker.failures.attempts(), failures);
        }
        worker.try_beat(beat(8));
        assert_eq!(worker.failures.attempts(), 0, "the other client did not send either");
        let published = last_published(&cluster, &topic(), &CancellationToken::new()).unwrap();
        assert_eq!(published, Some(8));
    }

    #[test]
    fn the_heartbeats_of_many_connectors_do_not_hide_the_own_one() {
        let mock: MockCluster<'_, DefaultProducerContext> = MockCluster::new(1).unwrap();
        mock.create_topic(&topic().name, 1, 1).unwrap();
        let cluster = Cluster::new(&mock.bootstrap_servers(), Security::default());
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let mut worker = worker(&cluster, &runtime);
        worker.try_beat(beat(9));
        let (name, key) = (topic().name, heartbeat_key("another"));
        let others: BaseProducer = worker.config.create().unwrap();
        for number in 0..2 * READ_MAX[0] {
            let value = heartbeat_value(number);
            let record = BaseRecord::to(&name).partition(HEARTBEAT_PARTITION);
            assert!(others.send(record.key(&key).payload(&value)).is_ok());
        }
        others.flush(READ_TIMEOUT).unwrap();
        let published = last_published(&cluster, &topic(), &CancellationToken::new()).unwrap();
        assert_eq!(published, Some(9));
    }
}
