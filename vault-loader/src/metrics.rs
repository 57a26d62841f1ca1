//! What the loader counts, in Prometheus' terms.
//!
//! Stages count in [`Metrics`], and `/metrics` shows the counts. Labels are bounded by the model: topics, partitions,
//! tables.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::batch::Partition;
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
/// Events published and not loaded, by topic and partition.
pub const LAG_EVENTS: &str = "vault_loader_lag_events";
/// Seconds from the source's commit to ours, of the last event loaded.
pub const SOURCE_LAG_SECONDS: &str = "vault_loader_source_lag_seconds";
/// Batches given up because another loader had moved the offsets.
pub const FENCED: &str = "vault_loader_fenced";
/// 1 for each topic whose table stands still until an operator has seen to it.
pub const PAUSED_TABLES: &str = "vault_loader_paused_tables";
/// Attempts repeated, by what failed.
pub const RETRIES: &str = "vault_loader_retries";

type Labels = Vec<(&'static str, String)>;

/// Counters and gauges of one loader.
pub struct Metrics {
    registry: Registry,
    events: Family<Labels, Counter>,
    rows: Family<Labels, Counter>,
    repeats: Counter,
    quarantined: Family<Labels, Counter>,
    quarantine: QuarantineGauges,
    batches: Counter,
    batch_seconds: Histogram,
    lag_events: Family<Labels, Gauge<i64, AtomicI64>>,
    source_lag_seconds: Gauge<f64, AtomicU64>,
    fenced: Counter,
    paused_tables: Family<Labels, Gauge<i64, AtomicI64>>,
    retries: Family<Labels, Counter>,
    ends: Mutex<HashMap<Partition, Ends>>,
}

/// What the quarantine holds.
#[derive(Default)]
struct QuarantineGauges {
    events: Gauge<i64, AtomicI64>,
    parked_keys: Gauge<i64, AtomicI64>,
    oldest_seconds: Gauge<f64, AtomicU64>,
    overdue_events: Gauge<i64, AtomicI64>,
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

/// The two offsets whose difference is the lag.
#[derive(Debug, Default, Clone, Copy)]
struct Ends {
    next: Option<i64>,
    high: Option<i64>,
}

impl Metrics {
    /// Registers everything.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let events = Family::default();
        registry.register(EVENTS, "events loaded", events.clone());
        let rows = Family::default();
        registry.register(ROWS, "rows written to the vault", rows.clone());
        let repeats = Counter::default();
        registry.register(REPEATS, "candidate versions that were loaded before", repeats.clone());
        let quarantined = Family::default();
        registry.register(QUARANTINED, "events put into quarantine", quarantined.clone());
        let quarantine = QuarantineGauges::register(&mut registry);
        let batches = Counter::default();
        registry.register(BATCHES, "transactions committed", batches.clone());
        // 1 ms to 33 s: from one insert on an idle machine to a batch on a slow disk.
        let batch_seconds = Histogram::new(exponential_buckets(0.001, 2.0, 16));
        registry.register(
            BATCH_SECONDS,
            "from arrival of a batch to its commit",
            batch_seconds.clone(),
        );
        let lag_events = Family::default();
        registry.register(LAG_EVENTS, "events published and not loaded", lag_events.clone());
        let source_lag_seconds = Gauge::default();
        registry.register(
            SOURCE_LAG_SECONDS,
            "from the source's commit to ours, last event",
            source_lag_seconds.clone(),
        );
        let fenced = Counter::default();
        registry.register(FENCED, "batches that another loader had loaded", fenced.clone());
        let paused_tables = Family::default();
        registry.register(PAUSED_TABLES, "tables that stand still", paused_tables.clone());
        let retries = Family::default();
        registry.register(RETRIES, "attempts repeated", retries.clone());
        Self {
            registry,
            events,
            rows,
            repeats,
            quarantined,
            quarantine,
            batches,
            batch_seconds,
            lag_events,
            source_lag_seconds,
            fenced,
            paused_tables,
            retries,
            ends: Mutex::default(),
        }
    }

    /// The exposition that Prometheus scrapes.
    #[must_use]
    pub fn expose(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail. If it did, an empty page would still be valid.
        let _ = encode(&mut text, &self.registry);
        text
    }

    /// Counts a commit and the candidate versions in it that were loaded before.
    pub fn committed(&self, repeat_count: u64) {
        self.batches.inc();
        self.repeats.inc_by(repeat_count);
    }

    /// Counts rows written to a vault table.
    pub fn rows_written(&self, table: &str, count: u64) {
        self.rows.get_or_create(&vec![("table", table.to_owned())]).inc_by(count);
    }

    /// Counts an event of a topic that went to quarantine.
    pub fn quarantined(&self, topic: &str) {
        self.quarantined.get_or_create(&vec![("topic", topic.to_owned())]).inc();
    }

    /// Notes what the quarantine holds.
    pub(crate) fn quarantine(&self, events: i64, keys: i64, overdue: i64, oldest_s: f64) {
        self.quarantine.events.set(events);
        self.quarantine.parked_keys.set(keys);
        self.quarantine.oldest_seconds.set(oldest_s);
        self.quarantine.overdue_events.set(overdue);
    }

    /// Counts events of a topic that were loaded.
    pub fn events_loaded(&self, topic: &str, count: u64) {
        self.events.get_or_create(&vec![("topic", topic.to_owned())]).inc_by(count);
    }

    /// Notes that the last event loaded was committed at the source at this time, microseconds since the epoch.
    pub fn last_applied(&self, applied_us: i64) {
        let now = chrono::Utc::now().timestamp_micros();
        let lag = u64::try_from(now.saturating_sub(applied_us)).unwrap_or_default();
        self.source_lag_seconds.set(Duration::from_micros(lag).as_secs_f64());
    }

    /// Notes where a partition stands in the warehouse.
    pub fn moved(&self, plan: &Plan, from: Partition, next: i64) {
        self.update_ends(plan, from, |ends| ends.next = Some(next));
    }

    /// Notes where a partition ends in Kafka.
    pub fn high(&self, plan: &Plan, from: Partition, high: i64) {
        self.update_ends(plan, from, |ends| ends.high = Some(high));
    }

    /// Stops reporting partitions that were given away.
    pub fn forget_partitions(&self) {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.lag_events.clear();
    }

    fn update_ends(&self, plan: &Plan, from: Partition, update: impl FnOnce(&mut Ends)) {
        let mut all = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let ends = all.entry(from).or_default();
        update(ends);
        if let Ends { next: Some(next), high: Some(high) } = *ends {
            let topic = plan.tables[from.table].topic.clone();
            let labels = vec![("topic", topic), ("partition", from.partition.to_string())];
            self.lag_events.get_or_create(&labels).set(high.saturating_sub(next).max(0));
        }
    }

    /// Counts the seconds of a batch.
    pub fn batch_took(&self, seconds: f64) {
        self.batch_seconds.observe(seconds);
    }

    /// Counts a batch that somebody else had loaded.
    pub fn fenced(&self) {
        self.fenced.inc();
    }

    /// Notes that the table of a topic stands still.
    pub fn paused(&self, topic: &str) {
        self.paused_tables.get_or_create(&vec![("topic", topic.to_owned())]).set(1);
    }

    /// Notes that the table of a topic does not stand still.
    pub fn goes_on(&self, topic: &str) {
        self.paused_tables.get_or_create(&vec![("topic", topic.to_owned())]).set(0);
    }

    /// Counts a repeated attempt.
    pub fn retried(&self, what: &str) {
        self.retries.get_or_create(&vec![("what", what.to_owned())]).inc();
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
