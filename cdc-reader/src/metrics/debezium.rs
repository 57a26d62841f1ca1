//! Debezium's metrics of one connector, under the names and labels that the rules of its JMX exporter give them.
//!
//! In: counts, states and the queue's fill. Out: the families of a registry. All are gauges, as the exporter makes
//! them. Each has a label for its context, `streaming` or `snapshot`.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::names::{
    COMMITTED_TRANSACTIONS, CONNECTED, CREATES_SEEN, DELETES_SEEN, EVENTS_ERRONEOUS,
    EVENTS_FILTERED, EVENTS_SEEN, MILLIS_BEHIND_SOURCE, MILLIS_SINCE_LAST_EVENT,
    PUBLISH_QUEUE_BYTES, PUBLISH_QUEUE_MESSAGES, QUEUE_BYTES, QUEUE_BYTES_MAX, QUEUE_CAPACITY,
    QUEUE_REMAINING, ROWS_SCANNED, SNAPSHOT_ABORTED, SNAPSHOT_COMPLETED, SNAPSHOT_RUNNING,
    SNAPSHOT_SECONDS, SNAPSHOT_SKIPPED, SNAPSHOT_TABLES, SNAPSHOT_TABLES_REMAINING, UPDATES_SEEN,
};
use super::register::gauge;

/// Stands for a moment that has not come yet, as in Debezium's metrics.
const NEVER: i64 = -1;

/// Which of the two things an event came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Context {
    Streaming,
    Snapshot,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InContext {
    context: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TableInContext {
    context: &'static str,
    table: String,
}

impl Context {
    fn label(self) -> InContext {
        InContext { context: self.as_str() }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Streaming => "streaming",
            Self::Snapshot => "snapshot",
        }
    }
}

/// Debezium's counts of events in one context; gauges, for that is what the exporter makes of them.
#[derive(Debug, Clone)]
pub struct EventMetrics {
    /// See [`EVENTS_SEEN`].
    pub seen: Gauge,
    /// See [`CREATES_SEEN`].
    pub creates: Gauge,
    /// See [`UPDATES_SEEN`].
    pub updates: Gauge,
    /// See [`DELETES_SEEN`].
    pub deletes: Gauge,
    /// See [`EVENTS_FILTERED`].
    pub filtered: Gauge,
    /// See [`EVENTS_ERRONEOUS`].
    pub erroneous: Gauge,
    since_last: Gauge,
    pub(super) last_at_ms: Arc<AtomicI64>,
}

/// Debezium's metrics of the stream.
#[derive(Debug, Clone)]
pub struct StreamingMetrics {
    /// 1 while the replication connection stands. See [`CONNECTED`].
    pub connected: Gauge,
    /// See [`MILLIS_BEHIND_SOURCE`].
    pub milliseconds_behind_source: Gauge,
    /// See [`COMMITTED_TRANSACTIONS`].
    pub committed_transactions: Gauge,
}

/// Debezium's metrics of the snapshot; flags are 0 or 1.
#[derive(Debug, Clone)]
pub struct SnapshotMetrics {
    /// See [`SNAPSHOT_TABLES`].
    pub tables: Gauge,
    /// See [`SNAPSHOT_TABLES_REMAINING`].
    pub tables_remaining: Gauge,
    /// See [`SNAPSHOT_RUNNING`].
    pub running: Gauge,
    /// See [`SNAPSHOT_COMPLETED`].
    pub completed: Gauge,
    /// See [`SNAPSHOT_ABORTED`].
    pub aborted: Gauge,
    /// See [`SNAPSHOT_SKIPPED`].
    pub skipped: Gauge,
    /// See [`SNAPSHOT_SECONDS`].
    pub duration_seconds: Gauge,
    rows_scanned: Family<TableInContext, Gauge>,
}

/// What waits for Kafka. It is set once, and shown under Debezium's names in both contexts and under this reader's
/// names.
#[derive(Debug, Clone)]
pub struct QueueMetrics {
    capacity: [Gauge; 2],
    remaining: [Gauge; 2],
    bytes_max: [Gauge; 2],
    bytes: [Gauge; 2],
    messages_here: Gauge,
    bytes_here: Gauge,
}

impl EventMetrics {
    /// Notes that an event was read now.
    pub fn note_event(&self) {
        self.last_at_ms.store(now_ms(), Ordering::Relaxed);
    }

    pub(super) fn refresh(&self, now_ms: i64) {
        let last = self.last_at_ms.load(Ordering::Relaxed);
        self.since_last.set(if last == NEVER { NEVER } else { (now_ms - last).max(0) });
    }
}

impl SnapshotMetrics {
    /// The gauge of a table's rows read so far; `table` is `schema.table`.
    #[must_use]
    pub fn rows_scanned(&self, table: &str) -> Gauge {
        self.rows_scanned.get_or_create_owned(&TableInContext {
            context: Context::Snapshot.as_str(),
            table: table.to_owned(),
        })
    }

    /// Notes how long the snapshot has taken.
    pub fn note_duration_since(&self, start: Instant) {
        self.duration_seconds.set(i64::try_from(start.elapsed().as_secs()).unwrap_or(i64::MAX));
    }

    pub(super) fn register(registry: &mut Registry) -> Self {
        let mut one = |name, help| {
            family(registry, name, help).get_or_create_owned(&Context::Snapshot.label())
        };
        let tables = one(SNAPSHOT_TABLES, "Tables of the snapshot");
        let tables_remaining =
            one(SNAPSHOT_TABLES_REMAINING, "Tables of the snapshot that are not done");
        let running = one(SNAPSHOT_RUNNING, "Whether a snapshot runs");
        let completed = one(SNAPSHOT_COMPLETED, "Whether the snapshot was completed");
        let aborted = one(SNAPSHOT_ABORTED, "Whether the snapshot was aborted");
        let skipped = one(SNAPSHOT_SKIPPED, "Whether no snapshot was needed");
        let duration_seconds = one(SNAPSHOT_SECONDS, "Seconds that the snapshot has taken");
        let rows_scanned = Family::default();
        registry.register(ROWS_SCANNED, "Rows read of each table", rows_scanned.clone());
        Self {
            tables,
            tables_remaining,
            running,
            completed,
            aborted,
            skipped,
            duration_seconds,
            rows_scanned,
        }
    }
}

impl StreamingMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let mut one = |name, help| {
            family(registry, name, help).get_or_create_owned(&Context::Streaming.label())
        };
        let metrics = Self {
            connected: one(CONNECTED, "Whether the replication connection stands"),
            milliseconds_behind_source: one(
                MILLIS_BEHIND_SOURCE,
                "Milliseconds between the last event's commit and our reading of it, -1 before the first",
            ),
            committed_transactions: one(COMMITTED_TRANSACTIONS, "Transactions read to their end"),
        };
        metrics.milliseconds_behind_source.set(NEVER);
        metrics
    }
}

impl QueueMetrics {
    /// Notes how much may wait. 0 bytes means no limit.
    pub fn set_capacity(&self, messages: usize, bytes: u64) {
        set(&self.capacity, messages);
        set(&self.remaining, messages);
        set(&self.bytes_max, bytes);
    }

    /// Notes what waits now.
    pub fn set_waiting(&self, messages: usize, bytes: u64) {
        let capacity = self.capacity[0].get();
        let waiting = i64::try_from(messages).unwrap_or(i64::MAX);
        set(&self.remaining, (capacity - waiting).max(0));
        set(&self.bytes, bytes);
        self.messages_here.set(waiting);
        self.bytes_here.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    pub(super) fn register(registry: &mut Registry, topic_prefix: &str) -> Self {
        let messages_here = gauge(registry, PUBLISH_QUEUE_MESSAGES, "Messages that wait for Kafka");
        let bytes_here = gauge(registry, PUBLISH_QUEUE_BYTES, "Bytes that wait for Kafka");
        let debezium = sub_registry(registry, topic_prefix);
        let mut both = |name, help| {
            let family = family(debezium, name, help);
            [Context::Streaming, Context::Snapshot]
                .map(|context| family.get_or_create_owned(&context.label()))
        };
        Self {
            capacity: both(QUEUE_CAPACITY, "Events that may wait for Kafka"),
            remaining: both(QUEUE_REMAINING, "Room for further events"),
            bytes_max: both(QUEUE_BYTES_MAX, "Bytes that may wait for Kafka, 0 for no limit"),
            bytes: both(QUEUE_BYTES, "Bytes that wait for Kafka"),
            messages_here,
            bytes_here,
        }
    }
}

/// Where metrics have the labels that Debezium's have beside their own.
pub(super) fn sub_registry<'r>(registry: &'r mut Registry, topic_prefix: &str) -> &'r mut Registry {
    registry.sub_registry_with_labels(
        [("plugin".into(), "postgres".into()), ("name".into(), topic_prefix.to_owned().into())]
            .into_iter(),
    )
}

/// The families behind [`EventMetrics`], which exist in both contexts.
pub(super) struct EventFamilies([Family<InContext, Gauge>; 7]);

impl EventFamilies {
    pub(super) fn register(registry: &mut Registry) -> Self {
        Self(
            [
                (EVENTS_SEEN, "Events that reached the connector"),
                (CREATES_SEEN, "Inserts that reached the connector"),
                (UPDATES_SEEN, "Updates that reached the connector"),
                (DELETES_SEEN, "Deletes that reached the connector"),
                (EVENTS_FILTERED, "Events left out by filters"),
                (EVENTS_ERRONEOUS, "Events that could not be processed"),
                (MILLIS_SINCE_LAST_EVENT, "Milliseconds since the last event, -1 before the first"),
            ]
            .map(|(name, help)| family(registry, name, help)),
        )
    }

    pub(super) fn in_context(&self, context: Context) -> EventMetrics {
        let [seen, creates, updates, deletes, filtered, erroneous, since_last] =
            self.0.each_ref().map(|family| family.get_or_create_owned(&context.label()));
        let last_at_ms = Arc::new(AtomicI64::new(NEVER));
        EventMetrics {
            seen,
            creates,
            updates,
            deletes,
            filtered,
            erroneous,
            since_last,
            last_at_ms,
        }
    }
}

fn family(registry: &mut Registry, name: &str, help: &str) -> Family<InContext, Gauge> {
    let family = Family::default();
    registry.register(name, help, family.clone());
    family
}

fn set(gauges: &[Gauge; 2], value: impl TryInto<i64>) {
    let value = value.try_into().unwrap_or(i64::MAX);
    for gauge in gauges {
        gauge.set(value);
    }
}

pub(super) fn now_ms() -> i64 {
    chrono::Utc::now().timestamp_millis()
}
