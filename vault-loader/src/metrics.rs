//! What the loader counts, in Prometheus' terms.
//!
//! Stages count in [`Metrics`], and `/metrics` shows the counts. Each source has a [`Metrics`] of its own; all of them
//! count in one registry, and every series has the source's name as a label. Labels are bounded by the models: sources,
//! topics, partitions, tables.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::batch::Partition;
use crate::held::HeldBatch;
use crate::lag::Standing;
use crate::model::Plan;

/// Events loaded, by topic. The name has no `_total`, because the exposition adds that to counters.
pub const EVENTS: &str = "vault_loader_events";
/// Rows written, by vault table.
pub const ROWS: &str = "vault_loader_rows";
/// Candidate versions recognised as loaded before.
pub const REPEATS: &str = "vault_loader_repeats";
/// Events that went to quarantine, by topic.
pub const QUARANTINED: &str = "vault_loader_quarantined";
/// Events in the warehouse's quarantine, whichever loader put them there.
pub const QUARANTINE_EVENTS: &str = "vault_loader_quarantine_events";
/// Keys that wait because of an event in the quarantine.
pub const PARKED_KEYS: &str = "vault_loader_parked_keys";
/// Seconds since the oldest event in the quarantine came; 0 when there is none.
pub const QUARANTINE_OLDEST_SECONDS: &str = "vault_loader_quarantine_oldest_seconds";
/// Events in the quarantine whose content is kept for longer than the configuration says.
pub const QUARANTINE_OVERDUE_EVENTS: &str = "vault_loader_quarantine_overdue_events";
/// Transactions committed.
pub const BATCHES: &str = "vault_loader_batches";
/// Seconds from the arrival of a batch to its commit.
pub const BATCH_SECONDS: &str = "vault_loader_batch_seconds";
/// Bytes of the batches that were read and are not loaded yet.
pub const HELD_BYTES: &str = "vault_loader_held_bytes";
/// Events published and not loaded, by topic and partition.
pub const LAG_EVENTS: &str = "vault_loader_lag_events";
/// Offsets that Kafka deleted before they were loaded and whose loss was accepted, by topic.
pub const LOST_OFFSETS: &str = "vault_loader_lost_offsets";
/// Seconds from the source's commit to ours, of the last event loaded.
pub const SOURCE_LAG_SECONDS: &str = "vault_loader_source_lag_seconds";
/// Seconds since the oldest event that waits was published; 0 while none waits, no sample while that is unknown.
pub const OLDEST_EVENT_AGE_SECONDS: &str = "vault_loader_oldest_event_age_seconds";
/// Seconds since this process last committed; no sample before its first commit.
pub const LAST_COMMIT_AGE_SECONDS: &str = "vault_loader_last_commit_age_seconds";
/// 1 while the source is connected and makes progress, as `/ready` says, and 0 otherwise.
pub const READY: &str = "vault_loader_ready";
/// Batches given up because another loader had moved the offsets.
pub const FENCED: &str = "vault_loader_fenced";
/// 1 for each topic whose table stands still until an operator has seen to it.
pub const PAUSED_TABLES: &str = "vault_loader_paused_tables";
/// Seconds since the publish time up to which all topics are loaded; no sample while that time is not known.
pub const WATERMARK_AGE_SECONDS: &str = "vault_loader_watermark_age_seconds";
/// Attempts repeated, by what failed.
pub const RETRIES: &str = "vault_loader_retries";

type Labels = Vec<(&'static str, String)>;

/// Counters and gauges of one source.
pub struct Metrics {
    registry: Arc<Registry>,
    source: String,
    families: Families,
    standings: Mutex<HashMap<Partition, Standing>>,
    committed_at: Mutex<Option<Instant>>,
    /// the watermark's publish time
    watermark: Mutex<Option<DateTime<Utc>>>,
}

/// What all sources count in.
#[derive(Clone)]
struct Families {
    events: Family<Labels, Counter>,
    rows: Family<Labels, Counter>,
    repeats: Family<Labels, Counter>,
    quarantined: Family<Labels, Counter>,
    quarantine: QuarantineGauges,
    batches: BatchFamilies,
    lag_events: Family<Labels, Gauge<i64, AtomicI64>>,
    lost_offsets: Family<Labels, Gauge<i64, AtomicI64>>,
    source_lag_seconds: Family<Labels, Gauge<f64, AtomicU64>>,
    oldest_event_age: Family<Labels, Gauge<f64, AtomicU64>>,
    ready: Family<Labels, Gauge<i64, AtomicI64>>,
    last_commit_age: Family<Labels, Gauge<f64, AtomicU64>>,
    fenced: Family<Labels, Counter>,
    paused_tables: Family<Labels, Gauge<i64, AtomicI64>>,
    watermark_age: Family<Labels, Gauge<f64, AtomicU64>>,
    retries: Family<Labels, Counter>,
}

/// 1 ms to 33 s: from one insert on an idle machine to a batch on a slow disk.
fn batch_buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 16))
}

/// What is said of batches.
#[derive(Clone)]
struct BatchFamilies {
    committed: Family<Labels, Counter>,
    seconds: Family<Labels, Histogram, fn() -> Histogram>,
    held_bytes: Family<Labels, Gauge<i64, AtomicI64>>,
}

impl BatchFamilies {
    fn register(registry: &mut Registry) -> Self {
        let batches = Self {
            committed: Family::default(),
            seconds: Family::new_with_constructor(batch_buckets as fn() -> Histogram),
            held_bytes: Family::default(),
        };
        let help = "transactions committed";
        registry.register(BATCHES, help, batches.committed.clone());
        let help = "from arrival of a batch to its commit";
        registry.register(BATCH_SECONDS, help, batches.seconds.clone());
        let help = "bytes of batches that were read and are not loaded";
        registry.register(HELD_BYTES, help, batches.held_bytes.clone());
        batches
    }
}

/// What the quarantine holds.
#[derive(Clone, Default)]
struct QuarantineGauges {
    events: Family<Labels, Gauge<i64, AtomicI64>>,
    parked_keys: Family<Labels, Gauge<i64, AtomicI64>>,
    oldest_seconds: Family<Labels, Gauge<f64, AtomicU64>>,
    overdue_events: Family<Labels, Gauge<i64, AtomicI64>>,
}

impl QuarantineGauges {
    fn register(registry: &mut Registry) -> Self {
        let gauges = Self::default();
        registry.register(QUARANTINE_EVENTS, "events in quarantine", gauges.events.clone());
        registry.register(
            PARKED_KEYS,
            "keys that wait behind an event in quarantine",
            gauges.parked_keys.clone(),
        );
        registry.register(
            QUARANTINE_OLDEST_SECONDS,
            "since the oldest event in quarantine came",
            gauges.oldest_seconds.clone(),
        );
        registry.register(
            QUARANTINE_OVERDUE_EVENTS,
            "events in quarantine whose content is kept for too long",
            gauges.overdue_events.clone(),
        );
        gauges
    }
}

impl Metrics {
    /// Registers everything, for a first source.
    #[must_use]
    pub fn new(source: &str) -> Self {
        let mut registry = Registry::default();
        let events = Family::default();
        registry.register(EVENTS, "events loaded", events.clone());
        let rows = Family::default();
        registry.register(ROWS, "rows written to the vault", rows.clone());
        let repeats = Family::default();
        registry.register(REPEATS, "candidate versions that were loaded before", repeats.clone());
        let quarantined = Family::default();
        registry.register(QUARANTINED, "events put into quarantine", quarantined.clone());
        let quarantine = QuarantineGauges::register(&mut registry);
        let batches = BatchFamilies::register(&mut registry);
        let lag_events = Family::default();
        registry.register(LAG_EVENTS, "events published and not loaded", lag_events.clone());
        let lost_offsets = Family::default();
        registry.register(
            LOST_OFFSETS,
            "offsets that Kafka deleted before they were loaded, accepted as lost",
            lost_offsets.clone(),
        );
        let source_lag_seconds = Family::default();
        registry.register(
            SOURCE_LAG_SECONDS,
            "from the source's commit to ours, last event",
            source_lag_seconds.clone(),
        );
        let oldest_event_age = Family::default();
        let help = "since the oldest event that waits was published";
        registry.register(OLDEST_EVENT_AGE_SECONDS, help, oldest_event_age.clone());
        let ready = Family::default();
        registry.register(READY, "whether the source is loaded or can be", ready.clone());
        let last_commit_age = Family::default();
        let help = "since this process last committed";
        registry.register(LAST_COMMIT_AGE_SECONDS, help, last_commit_age.clone());
        let fenced = Family::default();
        registry.register(FENCED, "batches that another loader had loaded", fenced.clone());
        let paused_tables = Family::default();
        registry.register(PAUSED_TABLES, "tables that stand still", paused_tables.clone());
        let watermark_age = Family::default();
        let help = "since the publish time up to which all topics are loaded";
        registry.register(WATERMARK_AGE_SECONDS, help, watermark_age.clone());
        let retries = Family::default();
        registry.register(RETRIES, "attempts repeated", retries.clone());
        let families = Families {
            events,
            rows,
            repeats,
            quarantined,
            quarantine,
            batches,
            lag_events,
            lost_offsets,
            source_lag_seconds,
            oldest_event_age,
            ready,
            last_commit_age,
            fenced,
            paused_tables,
            watermark_age,
            retries,
        };
        Self::of(Arc::new(registry), source, families)
    }

    /// The metrics of a further source in the same registry.
    #[must_use]
    pub fn beside(&self, source: &str) -> Self {
        Self::of(Arc::clone(&self.registry), source, self.families.clone())
    }

    fn of(registry: Arc<Registry>, source: &str, families: Families) -> Self {
        let metrics = Self {
            registry,
            source: source.to_owned(),
            families,
            standings: Mutex::default(),
            committed_at: Mutex::default(),
            watermark: Mutex::default(),
        };
        // Counters are shown from the start, with 0.
        let labels = metrics.labels(&[]);
        let counters = &metrics.families;
        for counter in [&counters.repeats, &counters.batches.committed, &counters.fenced] {
            drop(counter.get_or_create(&labels));
        }
        drop(counters.batches.seconds.get_or_create(&labels));
        drop(counters.batches.held_bytes.get_or_create(&labels));
        metrics.quarantine(0, 0, 0, 0.0);
        metrics
    }

    /// The source's label and further ones.
    fn labels(&self, further: &[(&'static str, &str)]) -> Labels {
        let source = ("source", self.source.as_str());
        let all = [&[source], further].concat();
        all.into_iter().map(|(name, value)| (name, value.to_owned())).collect()
    }

    /// Sets the source's ages to those of this moment, so that they move while nothing commits. Call it before
    /// [`Metrics::expose`].
    pub fn set_ages(&self) {
        let (labels, families) = (self.labels(&[]), &self.families);
        set_or_leave_out(&families.oldest_event_age, &labels, self.oldest_age(now_ms()));
        let committed = *self.committed_at.lock().unwrap_or_else(PoisonError::into_inner);
        set_or_leave_out(&families.last_commit_age, &labels, committed.map(|at| at.elapsed()));
        let published = *self.watermark.lock().unwrap_or_else(PoisonError::into_inner);
        // The clocks of reader and loader may differ.
        let age =
            |at: DateTime<Utc>| Utc::now().signed_duration_since(at).to_std().unwrap_or_default();
        set_or_leave_out(&families.watermark_age, &labels, published.map(age));
    }

    /// Notes the publish time up to which all topics are loaded; none when it is not known any more.
    pub fn watermark(&self, published: Option<DateTime<Utc>>) {
        *self.watermark.lock().unwrap_or_else(PoisonError::into_inner) = published;
    }

    /// Notes what `/ready` says of the source.
    pub fn ready(&self, is_ready: bool) {
        let gauge = self.families.ready.get_or_create(&self.labels(&[]));
        gauge.set(i64::from(is_ready));
    }

    /// The exposition that Prometheus scrapes, of all sources.
    #[must_use]
    pub fn expose(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail. If it did, an empty page would still be valid.
        let _ = encode(&mut text, &self.registry);
        text
    }

    /// Counts a commit and the candidate versions in it that were loaded before.
    pub fn committed(&self, repeat_count: u64) {
        let labels = self.labels(&[]);
        self.families.batches.committed.get_or_create(&labels).inc();
        self.families.repeats.get_or_create(&labels).inc_by(repeat_count);
        *self.committed_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Counts rows written to a vault table.
    pub fn rows_written(&self, table: &str, count: u64) {
        self.families.rows.get_or_create(&self.labels(&[("table", table)])).inc_by(count);
    }

    /// Counts an event of a topic that went to quarantine.
    pub fn quarantined(&self, topic: &str) {
        self.families.quarantined.get_or_create(&self.labels(&[("topic", topic)])).inc();
    }

    /// Notes what the quarantine holds.
    pub(crate) fn quarantine(&self, events: i64, keys: i64, overdue: i64, oldest_s: f64) {
        let (labels, gauges) = (self.labels(&[]), &self.families.quarantine);
        gauges.events.get_or_create(&labels).set(events);
        gauges.parked_keys.get_or_create(&labels).set(keys);
        gauges.oldest_seconds.get_or_create(&labels).set(oldest_s);
        gauges.overdue_events.get_or_create(&labels).set(overdue);
    }

    /// Counts events of a topic that were loaded.
    pub fn events_loaded(&self, topic: &str, count: u64) {
        self.families.events.get_or_create(&self.labels(&[("topic", topic)])).inc_by(count);
    }

    /// Notes that the last event loaded was committed at the source at this time, microseconds since the epoch.
    pub fn last_applied(&self, applied_us: i64) {
        let now = Utc::now().timestamp_micros();
        let lag = u64::try_from(now.saturating_sub(applied_us)).unwrap_or_default();
        let gauge = self.families.source_lag_seconds.get_or_create(&self.labels(&[]));
        gauge.set(Duration::from_micros(lag).as_secs_f64());
    }

    /// Notes how many offsets of a topic were accepted as lost.
    pub fn lost(&self, topic: &str, offset_count: i64) {
        let labels = self.labels(&[("topic", topic)]);
        self.families.lost_offsets.get_or_create(&labels).set(offset_count);
    }

    /// Notes where a partition stands in the warehouse.
    pub fn moved(&self, plan: &Plan, from: Partition, next: i64) {
        self.update(plan, from, |standing| standing.moved(next, now_ms()));
    }

    /// Notes where a partition ends in Kafka. `read` says up to where a consumer has read that has nothing in hand and
    /// waits for what comes at the end.
    pub fn ends(&self, plan: &Plan, from: Partition, end: i64, read: Option<i64>) {
        self.update(plan, from, |standing| {
            standing.ends(end, now_ms());
            if let Some(read) = read {
                standing.read_to_end(read, end, now_ms());
            }
        });
    }

    /// Notes the first event of a batch, published at this time in milliseconds since the epoch.
    pub fn batch_began(&self, plan: &Plan, from: Partition, offset: i64, published_ms: i64) {
        self.update(plan, from, |standing| standing.batch_began(offset, published_ms));
    }

    /// Whether events wait in any of the partitions that count.
    pub fn events_wait(&self, counts: impl Fn(Partition) -> bool) -> bool {
        let waits = |standing: &Standing| standing.lag().is_some_and(|lag| lag > 0);
        self.standings().iter().any(|(&from, standing)| waits(standing) && counts(from))
    }

    /// Stops reporting partitions that were given away.
    pub fn forget_partitions(&self, plan: &Plan) {
        for (from, _) in self.standings().drain() {
            self.families.lag_events.remove(&self.of_partition(plan, from));
        }
    }

    fn of_partition(&self, plan: &Plan, from: Partition) -> Labels {
        let partition = from.partition.to_string();
        self.labels(&[("topic", &plan.tables[from.table].topic), ("partition", &partition)])
    }

    fn update(&self, plan: &Plan, from: Partition, update: impl FnOnce(&mut Standing)) {
        let mut standings = self.standings();
        let standing = standings.entry(from).or_default();
        update(standing);
        if let Some(lag) = standing.lag() {
            self.families.lag_events.get_or_create(&self.of_partition(plan, from)).set(lag);
        }
    }

    /// How long ago the oldest event that waits was published. None when the lag of no partition is known.
    fn oldest_age(&self, now_ms: i64) -> Option<Duration> {
        let standings = self.standings();
        standings.values().find_map(Standing::lag)?;
        let oldest_ms = standings.values().filter_map(Standing::oldest_ms).min();
        let age_ms = oldest_ms.map_or(0, |oldest_ms| now_ms.saturating_sub(oldest_ms));
        Some(Duration::from_millis(u64::try_from(age_ms).unwrap_or_default()))
    }

    fn standings(&self) -> MutexGuard<'_, HashMap<Partition, Standing>> {
        self.standings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the seconds of a batch.
    pub fn batch_took(&self, seconds: f64) {
        self.families.batches.seconds.get_or_create(&self.labels(&[])).observe(seconds);
    }

    /// Counts the bytes of a batch until what is returned is dropped.
    pub(crate) fn batch_held(&self, byte_count: usize) -> HeldBatch {
        let gauge = self.families.batches.held_bytes.get_or_create_owned(&self.labels(&[]));
        HeldBatch::new(gauge, byte_count)
    }

    /// Counts a batch that somebody else had loaded.
    pub fn fenced(&self) {
        self.families.fenced.get_or_create(&self.labels(&[])).inc();
    }

    /// Notes that the table of a topic stands still.
    pub fn paused(&self, topic: &str) {
        self.families.paused_tables.get_or_create(&self.labels(&[("topic", topic)])).set(1);
    }

    /// Notes that the table of a topic does not stand still.
    pub fn goes_on(&self, topic: &str) {
        self.families.paused_tables.get_or_create(&self.labels(&[("topic", topic)])).set(0);
    }

    /// Counts a repeated attempt.
    pub fn retried(&self, what: &str) {
        self.families.retries.get_or_create(&self.labels(&[("what", what)])).inc();
    }
}

/// A gauge has a sample when its value is known, and none otherwise.
fn set_or_leave_out(
    gauge: &Family<Labels, Gauge<f64, AtomicU64>>,
    labels: &Labels,
    value: Option<Duration>,
) {
    match value {
        Some(value) => {
            gauge.get_or_create(labels).set(value.as_secs_f64());
        }
        None => {
            gauge.remove(labels);
        }
    }
}

fn now_ms() -> i64 {
    Utc::now().timestamp_millis()
}
