//! The producer. In: keys, values and headers. Out: records in Kafka, and their acknowledgements in the ledger.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::metrics::gauge::Gauge;
use rdkafka::Message as _;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{
    BaseRecord, DeliveryResult, NoCustomPartitioner, Producer, ProducerContext, ThreadedProducer,
};
use shared::kafka::Cluster;

use super::failure::{Breakage, ConfigurationProblem, Failures, PublishError, Rejected};
use super::in_flight::{HeaderMemory, Ticket};
use super::ledger::Ledger;
use super::stall::{StallWatch, Topics, Waiting};
use crate::disposition::Disposition;

/// The memory for what is in flight, unless `producer.override.buffer.memory` sets another size. Kafka's own producer
/// takes 32 MiB.
pub const QUEUE_BYTES_MAX: u64 = 64 << 20;

/// The most messages in flight. Small rows would reach librdkafka's default of 100 000 before they reach the limit in
/// bytes.
pub const QUEUE_MESSAGES_MAX: usize = 1_000_000;

/// The largest event, unless `producer.override.max.request.size` sets another limit: the default of Kafka's own
/// producer. That one adds up to 46 bytes more around an event than librdkafka does, so librdkafka takes each event
/// that it takes. For the last bytes the broker decides, whose own default is 1,048,588 with everything around the
/// event.
pub const EVENT_BYTES_MAX: u64 = 1 << 20;

/// A row is read whatever its event may take, up to this size: columns may be left out of the event.
const ROW_BYTES_MIN: u64 = 64 << 20;

/// How much larger a row can be than its event: the text of a bit string is six times its form in an event, and nothing
/// shrinks more.
const ROW_TO_EVENT: u64 = 8;

/// How long the records of a topic that does not exist wait for it, in milliseconds. After that the session fails, and
/// the next one begins at the same record. Much more than half an hour would overflow an `int` of librdkafka 2.12.
const TOPIC_WAIT_MAX_MS: u32 = 300_000;

/// The wait between two checks of a failure that is not decided yet.
const UNDECIDED_WAIT: Duration = Duration::from_millis(10);

/// How long the end of a producer waits for the answers to what is on its way.
const LAST_ANSWERS_WAIT: Duration = Duration::from_secs(1);

/// The size from which on a row's event cannot be sent, with these properties of the producer. A larger row is not even
/// read.
#[must_use]
pub fn row_bytes_max(overrides: &[(String, String)]) -> u64 {
    let set = overrides.iter().rev().find(|(name, _)| name == "message.max.bytes");
    let event: u64 = set.and_then(|(_, value)| value.parse().ok()).unwrap_or(EVENT_BYTES_MAX);
    event.saturating_mul(ROW_TO_EVENT).max(ROW_BYTES_MIN)
}

/// Why a row of so many bytes, which is more than [`row_bytes_max`], is not read.
#[must_use]
pub fn refused_row(topic: &str, bytes: u64) -> PublishError {
    tracing::error!(topic, bytes, "a row is larger than any event that Kafka takes");
    PublishError::Refused {
        topic: topic.to_owned(),
        reason: "the row is more than eight times as large as producer.override.max.request.size, and larger than 64 MiB: raise it and \
                 the topic's max.message.bytes, or leave the table out with table.exclude.list",
    }
}

/// How to reach Kafka and what events carry.
#[derive(Debug, Clone)]
pub struct PublisherOptions {
    /// The brokers, and how the producer reaches them.
    pub cluster: Cluster,
    /// librdkafka properties from `producer.override.*`.
    pub overrides: Vec<(String, String)>,
    /// Headers of every data event, as `(name, value)`.
    pub context_headers: Vec<(String, String)>,
    /// Shows for how many seconds Kafka has acknowledged nothing of what waits.
    pub stalled_seconds: Gauge,
}

/// One record to send.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Topic.
    pub topic: &'a str,
    /// Key; none for a truncate and for tables without a key.
    pub key: Option<&'a [u8]>,
    /// Value; none for a tombstone.
    pub value: Option<&'a [u8]>,
    /// What it carries beside key and value.
    pub headers: RecordHeaders<'a>,
}

impl<'a> From<&Record<'a>> for Rejected<'a> {
    fn from(record: &Record<'a>) -> Self {
        Self { topic: record.topic, key: record.key, value: record.value }
    }
}

/// Headers of a record.
#[derive(Debug, Clone, Copy)]
pub enum RecordHeaders<'a> {
    /// None: offsets.
    None,
    /// Debezium's context.
    Context,
    /// Some of its own (the row's other key, the columns' types), then the context.
    With(&'a [(&'a str, &'a [u8])]),
}

/// Sends records and keeps the ledger.
pub struct Publisher {
    producer: ThreadedProducer<Context>,
    state: Arc<State>,
    /// The memory of all records that were sent.
    memory_sent: u64,
    /// What all records that wait may take in memory.
    queue_bytes_max: u64,
    headers: Option<OwnedHeaders>,
    header_memory: HeaderMemory,
    context_headers: Vec<(String, String)>,
    last_topic: String,
    topics: Arc<Topics>,
    _stall_watch: StallWatch,
}

#[derive(Default)]
struct State {
    ledger: Mutex<Ledger>,
    events_sent: AtomicU64,
    /// The memory of all records that were acknowledged.
    memory_returned: AtomicU64,
    failures: Mutex<Failures>,
    broker_error: Mutex<BrokerErrors>,
}

impl State {
    fn waiting(&self) -> Waiting {
        let (acknowledged, oldest) = {
            let ledger = lock(&self.ledger);
            (ledger.acknowledged(), ledger.low_water())
        };
        let sent = self.events_sent.load(Ordering::Acquire);
        Waiting { records: sent.saturating_sub(acknowledged), oldest }
    }
}

/// Broker errors since the last acknowledgement. They are logged less and less often.
#[derive(Default)]
struct BrokerErrors {
    count: u32,
}

impl Publisher {
    /// Makes a producer; it connects in the background.
    ///
    /// # Errors
    /// When librdkafka refuses the configuration, or no thread can be started.
    pub fn new(options: &PublisherOptions) -> Result<Self, PublishError> {
        let state = Arc::new(State::default());
        let config = producer_config(options);
        let producer = config
            .create_with_context::<_, ThreadedProducer<Context>>(Context {
                state: Arc::clone(&state),
            })
            .map_err(|error| PublishError::Configuration(ConfigurationProblem::client(&error)))?;
        let context_headers = options.context_headers.clone();
        let headers = (!context_headers.is_empty())
            .then(|| push_headers(OwnedHeaders::new_with_capacity(4), &context_headers));
        let lengths = context_headers.iter().map(|(name, value)| (name.len(), value.len()));
        let header_memory = HeaderMemory::of(lengths);
        let queue_bytes_max = queue_bytes_max(&config);
        let topics = Arc::new(Topics::default());
        let (watched, stuck) = (Arc::clone(&state), Arc::clone(&state));
        let stall_watch = StallWatch::start(
            config,
            options.stalled_seconds.clone(),
            Arc::clone(&topics),
            move || watched.waiting(),
            move || lock(&stuck.failures).note_stuck(),
        )
        .map_err(|error| PublishError::Broken(Breakage::Thread { reason: error.to_string() }))?;
        Ok(Self {
            producer,
            state,
            memory_sent: 0,
            queue_bytes_max,
            headers,
            header_memory,
            context_headers,
            last_topic: String::new(),
            topics,
            _stall_watch: stall_watch,
        })
    }

    /// Hands one record to librdkafka, which copies it.
    ///
    /// # Errors
    /// [`PublishError::QueueFull`] when there is no room, else what makes the record impossible.
    pub fn send(&mut self, record: &Record<'_>) -> Result<(), PublishError> {
        let number = self.events_sent();
        let ticket = Ticket::new(number, self.header_memory_of(record))
            .ok_or(PublishError::Broken(Breakage::EventNumbers))?;
        let word = ticket.to_word().ok_or(PublishError::Broken(Breakage::EventNumbers))?;
        let memory = memory_of(ticket, record.key, record.value);
        let waiting = self.in_flight_bytes();
        if waiting > 0 && waiting + memory > self.queue_bytes_max {
            return Err(PublishError::QueueFull);
        }
        let mut message: BaseRecord<'_, [u8], [u8], usize> =
            BaseRecord::with_opaque_to(record.topic, word);
        message.key = record.key;
        message.payload = record.value;
        message.headers = self.headers_of(record);
        match self.producer.send(message) {
            Ok(()) => {
                self.state.events_sent.store(number + 1, Ordering::Release);
                self.memory_sent += memory;
                self.note_topic(record.topic);
                Ok(())
            }
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                // The memory in flight does not answer this, because an acknowledged record keeps its room in
                // librdkafka for a moment longer.
                let value_bytes = record.value.map_or(0, <[u8]>::len);
                if u64::try_from(value_bytes).is_ok_and(|bytes| bytes <= self.queue_bytes_max) {
                    return Err(PublishError::QueueFull);
                }
                Err(PublishError::Refused {
                    topic: record.topic.to_owned(),
                    reason: "the event is larger than the producer's queue (producer.override.buffer.memory)",
                })
            }
            // After an earlier failure, this one is its consequence. It is noted, so that the next session makes
            // another producer, which looks for its topics again.
            Err((error, _)) => {
                lock(&self.state.failures).note(&error, record.into(), Instant::now());
                Err(self
                    .failure()
                    .unwrap_or_else(|| PublishError::of_record(&error, record.into())))
            }
        }
    }

    /// Changes of one table often follow each other, so most topics are known by the last one.
    fn note_topic(&mut self, topic: &str) {
        if self.last_topic != topic {
            topic.clone_into(&mut self.last_topic);
            self.topics.note(topic);
        }
    }

    fn header_memory_of(&self, record: &Record<'_>) -> HeaderMemory {
        match record.headers {
            RecordHeaders::None => HeaderMemory::default(),
            RecordHeaders::Context => self.header_memory,
            RecordHeaders::With(own) => {
                own.iter().fold(self.header_memory, |memory, (name, value)| {
                    memory.with(name.len(), value.len())
                })
            }
        }
    }

    fn headers_of(&self, record: &Record<'_>) -> Option<OwnedHeaders> {
        match record.headers {
            RecordHeaders::None => None,
            RecordHeaders::Context => self.headers.clone(),
            RecordHeaders::With(own) => {
                let mut headers = OwnedHeaders::new_with_capacity(6);
                for &(key, value) in own {
                    headers = headers.insert(Header { key, value: Some(value) });
                }
                Some(push_headers(headers, &self.context_headers))
            }
        }
    }

    /// Memory that records may take while they wait for Kafka: `producer.override.buffer.memory`, or
    /// [`QUEUE_BYTES_MAX`].
    #[must_use]
    pub fn queue_bytes_max(&self) -> u64 {
        self.queue_bytes_max
    }

    /// How many events have been sent.
    #[must_use]
    pub fn events_sent(&self) -> u64 {
        self.state.events_sent.load(Ordering::Relaxed)
    }

    /// The ledger.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.state.ledger)
    }

    /// Whether so much waits for acknowledgements that nothing more should be read.
    #[must_use]
    pub fn is_ledger_full(&self) -> bool {
        self.ledger().is_full()
    }

    /// The failure that ends the session, if one is known. The failed record is not acknowledged, so nothing after it
    /// is confirmed. What the ledger has confirmed stays confirmed.
    #[must_use]
    pub fn failure(&self) -> Option<PublishError> {
        let of_record = lock(&self.state.failures).decisive(Instant::now());
        if of_record.as_ref().is_some_and(|error| error.disposition() == Disposition::Stop) {
            return of_record;
        }
        let fatal = self.producer.client().fatal_error();
        fatal.and_then(|(code, reason)| PublishError::of_producer(code, reason)).or(of_record)
    }

    /// Events that wait for Kafka.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.state.waiting().records
    }

    /// The memory of the records that wait for Kafka, in bytes: keys, values, headers and librdkafka's structures.
    #[must_use]
    pub fn in_flight_bytes(&self) -> u64 {
        self.memory_sent.saturating_sub(self.state.memory_returned.load(Ordering::Relaxed))
    }

    /// Waits until every event is acknowledged, a failure is known, or `deadline` has passed; true when nothing is in
    /// flight.
    #[must_use]
    pub fn flush(&self, deadline: Duration) -> bool {
        let flushed = self.producer.flush(deadline).is_ok();
        if flushed && self.in_flight() > 0 && self.failure().is_none() {
            // A failure came back that is not decided yet, and librdkafka has nothing left to wait for.
            std::thread::sleep(deadline.min(UNDECIDED_WAIT));
        }
        flushed && self.in_flight() == 0 && self.failure().is_none()
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        // Records that are still queued were not confirmed. The slot will send their changes again.
        self.producer.purge(rdkafka::producer::PurgeConfig::default().queue());
        // A record that is on its way may still be appended. It must not come after those of another producer.
        let _answered = self.producer.flush(LAST_ANSWERS_WAIT);
        self.producer.purge(rdkafka::producer::PurgeConfig::default().inflight());
    }
}

fn producer_config(options: &PublisherOptions) -> ClientConfig {
    let mut config = options.cluster.client("cdc-reader");
    config
        .set("queue.buffering.max.kbytes", (QUEUE_BYTES_MAX >> 10).to_string())
        .set("message.max.bytes", EVENT_BYTES_MAX.to_string())
        .set("queue.buffering.max.messages", QUEUE_MESSAGES_MAX.to_string())
        // The hash of the key is the one that Kafka's own producer computes. So events of a key go to the partition of
        // the events that Debezium wrote for it.
        .set("partitioner", "murmur2_random")
        .set("reconnect.backoff.max.ms", "2000")
        // A topic may have been made while a broker hung. Its records wait until the producer asks for the topic again;
        // librdkafka's own interval is five minutes.
        .set("topic.metadata.refresh.interval.ms", "10000")
        .set_log_level(RDKafkaLogLevel::Warning);
    for (name, value) in &options.overrides {
        config.set(name, value);
    }
    config
        // These settings keep the order in each partition, and the producer's own retries make no duplicates. An outage
        // of any length only fills the queue. When a batch is refused, nothing of its partition is written after it.
        .set("enable.idempotence", "true")
        .set("enable.gapless.guarantee", "true")
        .set("acks", "all")
        .set("message.timeout.ms", "0")
        // Topics are made by `maker`, with the settings of topic.creation.*, and not by the broker's own rule. The
        // records of a topic that does not exist yet wait as long as this before librdkafka gives them back.
        .set("allow.auto.create.topics", "false")
        .set("topic.metadata.propagation.max.ms", TOPIC_WAIT_MAX_MS.to_string());
    config
}

/// The size of the queue by the configuration, in bytes. librdkafka counts the bytes of values only, and the reader
/// counts all the memory of a record.
fn queue_bytes_max(config: &ClientConfig) -> u64 {
    let kilobytes = config.get("queue.buffering.max.kbytes").and_then(|text| text.parse().ok());
    kilobytes.map_or(QUEUE_BYTES_MAX, |count: u64| count << 10)
}

fn memory_of(ticket: Ticket, key: Option<&[u8]>, value: Option<&[u8]>) -> u64 {
    let length = |part: Option<&[u8]>| part.map_or(0, <[u8]>::len);
    ticket.memory(length(key), length(value))
}

fn push_headers(headers: OwnedHeaders, pairs: &[(String, String)]) -> OwnedHeaders {
    pairs.iter().fold(headers, |headers, (key, value)| {
        headers.insert(Header { key, value: Some(value.as_bytes()) })
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No thread panics while it holds these. If one did, the data would still be consistent.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Context {
    state: Arc<State>,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // `error` reports outages of brokers, less and less often. librdkafka's own lines repeat for each broker and
        // attempt.
        tracing::debug!(?level, facility, message, "librdkafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let mut errors = lock(&self.state.broker_error);
        errors.count = errors.count.saturating_add(1);
        if errors.count.is_power_of_two() {
            tracing::warn!(%error, reason, attempts = errors.count, "Kafka is not reachable, trying again");
        }
    }
}

impl ProducerContext<NoCustomPartitioner> for Context {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, word: usize) {
        match result {
            // With acks=all a broker answers every batch that it takes with an offset. A record that librdkafka calls
            // delivered without one was concluded to be there, and may be lost: see `Breakage::NoOffset`.
            Ok(message) if message.offset() < 0 => {
                lock(&self.state.failures)
                    .note_without_offset(message.topic(), message.partition());
            }
            Ok(message) => {
                let ticket = Ticket::from_word(word);
                let memory = memory_of(ticket, message.key(), message.payload());
                self.state.memory_returned.fetch_add(memory, Ordering::Relaxed);
                lock(&self.state.ledger).acknowledge(ticket.number());
                let mut errors = lock(&self.state.broker_error);
                if errors.count > 0 {
                    tracing::info!(attempts = errors.count, "Kafka is reachable again");
                    errors.count = 0;
                }
            }
            Err((error, message)) => {
                let record = Rejected {
                    topic: message.topic(),
                    key: message.key(),
                    value: message.payload(),
                };
                lock(&self.state.failures).note(error, record, Instant::now());
            }
        }
    }
}
