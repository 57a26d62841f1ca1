//! What the sessions report to the outside: metrics, and the status that the REST interface shows.
//!
//! The hot path counts in plain numbers and regularly hands over a [`Sample`]. Here the numbers become metrics.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Instant;

use prometheus_client::metrics::gauge::Gauge;
use shared::position::Lsn;

use crate::catalog::SlotWal;
use crate::metrics::{Metrics, Peer};
use crate::publish::{Offset, OnFirstRecord, QUEUE_BYTES_MAX, QUEUE_MESSAGES_MAX};
use crate::readiness::Phase;
use crate::rest::{ConnectorState, RestState};

/// Events since the sample before.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counts {
    /// Inserts, and the create of a moved key.
    pub creates: u64,
    /// Updates.
    pub updates: u64,
    /// Deletes.
    pub deletes: u64,
    /// Truncates.
    pub truncates: u64,
    /// Rows read by a snapshot.
    pub reads: u64,
    /// Changes that are not captured.
    pub filtered: u64,
    /// Events in which NULL stands in place of a value that has no form.
    pub nulls_instead: u64,
}

/// Where the stream stands.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Events since the last sample.
    pub counts: Counts,
    /// Commits since the last sample.
    pub commits: u64,
    /// Everything before has been read.
    pub received: Lsn,
    /// Everything before is durable in Kafka.
    pub confirmed: Lsn,
    /// Records that wait for Kafka.
    pub in_flight: u64,
    /// What they take in memory, in bytes.
    pub in_flight_bytes: u64,
    /// Records of this session that Kafka has acknowledged.
    pub acknowledged: u64,
    /// Transactions that wait for Kafka.
    pub ledger_waiting: usize,
    /// How old the last commit was when it was read, in milliseconds; none when there was none since the last sample.
    pub behind_ms: Option<i64>,
}

/// Takes what the sessions report.
#[derive(Debug)]
pub struct Observer {
    metrics: Metrics,
    state: RestState,
    snapshot_start: Mutex<Option<Instant>>,
    /// Table and column.
    left_out: Mutex<HashSet<(String, String)>>,
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

impl Observer {
    /// An observer that reports to these.
    #[must_use]
    pub fn new(metrics: Metrics, state: RestState) -> Self {
        metrics.queue.set_capacity(QUEUE_MESSAGES_MAX, QUEUE_BYTES_MAX);
        let left_out = Mutex::new(HashSet::new());
        Self { metrics, state, snapshot_start: Mutex::new(None), left_out }
    }

    /// Notes the columns of a table that are left out of its events. Each is logged once, as a warning.
    pub fn columns_left_out<'c>(&self, table: &str, columns: impl Iterator<Item = &'c str>) {
        let mut known = self.left_out.lock().unwrap_or_else(PoisonError::into_inner);
        for column in columns {
            if known.insert((table.to_owned(), column.to_owned())) {
                tracing::warn!(
                    table,
                    column,
                    "the column is left out of events: its type has no form in an event, as in Debezium without include.unknown.datatypes"
                );
            }
        }
        self.metrics.tables.columns_left_out.set(i64::try_from(known.len()).unwrap_or(i64::MAX));
    }

    /// How many things are wrong with single captured tables: not published, or not readable.
    pub fn table_problems(&self, count: usize) {
        self.metrics.tables.problems.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Takes the name of each topic that gets its first record.
    pub fn on_first_record(&self) -> OnFirstRecord {
        let state = self.state.clone();
        Box::new(move |topic| state.note_topic(topic))
    }

    /// The offset that was stored last.
    pub fn offset(&self, offset: &Offset) {
        self.state.set_offset(offset.value());
    }

    /// The offset that an earlier session, or Debezium, has stored.
    pub fn stored_offset(&self, value: Option<serde_json::Value>) {
        if let Some(value) = value {
            self.state.set_offset(value);
        }
    }

    /// The cluster that answered.
    pub fn kafka_cluster(&self, id: &str) {
        self.state.set_kafka_cluster_id(id);
    }

    /// Bytes that may wait for Kafka in the producer that is used from now on.
    pub fn queue_bytes_max(&self, bytes: u64) {
        self.metrics.queue.set_capacity(QUEUE_MESSAGES_MAX, bytes);
    }

    /// The gauge for the seconds in which Kafka has acknowledged nothing of what waits.
    #[must_use]
    pub fn publish_stalled(&self) -> Gauge {
        self.metrics.publish.stalled_seconds.clone()
    }

    /// Source and Kafka have answered.
    pub fn running(&self) {
        self.state.set(ConnectorState::Running);
        self.enter(Phase::Preparing);
    }

    /// A session ended by `cause` and another one follows. The cause is not logged here.
    pub fn restarting(&self, peer: Peer, cause: String) {
        self.state.set_task(ConnectorState::Restarting);
        self.enter(Phase::Restarting { cause });
        self.metrics.reconnects_to(peer).inc();
    }

    /// The reader has ended and no further session follows.
    pub fn failed(&self, trace: &str) {
        self.state.set_task(ConnectorState::Failed { trace: trace.to_owned() });
        self.enter(Phase::Failed { cause: trace.to_owned() });
    }

    /// Whether changes are streamed. As in Debezium, they are not while a snapshot runs.
    pub fn streaming(&self, connected: bool) {
        self.metrics.streaming.connected.set(i64::from(connected));
        self.enter(if connected { Phase::Streaming } else { Phase::Connecting });
    }

    /// The reader waits for this before it can begin.
    pub fn waiting(&self, what: &str) {
        self.enter(Phase::Waiting { what: what.to_owned() });
    }

    /// Nothing is waited for any more. The slot is being made, or what an interrupted snapshot left is retracted.
    pub fn preparing(&self) {
        self.enter(Phase::Preparing);
    }

    fn enter(&self, phase: Phase) {
        self.state.progress().enter(phase, Instant::now());
    }

    /// A transaction became durable this long after its commit.
    pub fn published(&self, age_us: i64) {
        let micros = u32::try_from(age_us.max(0)).unwrap_or(u32::MAX);
        self.metrics.publish.latency_seconds.observe(f64::from(micros) / 1e6);
    }

    /// The WAL that concerns the slot, as far as it is known now.
    pub fn slot_wal(&self, wal: &SlotWal) {
        self.metrics.slot_retained_wal_bytes.set(wal.retained);
        self.metrics.slot_unconfirmed_wal_bytes.set(wal.unconfirmed);
    }

    /// The source was asked beside the sessions: `silent` says why it did not answer.
    pub fn source_asked(&self, silent: Option<String>) {
        self.state.progress().asked_source(silent);
    }

    /// Takes a sample over.
    pub fn sample(&self, sample: &Sample) {
        let counts = &sample.counts;
        let events = &self.metrics.streaming_events;
        let seen = counts.creates + counts.updates + counts.deletes + counts.truncates;
        events.seen.inc_by(signed(seen));
        events.creates.inc_by(signed(counts.creates));
        events.updates.inc_by(signed(counts.updates));
        events.deletes.inc_by(signed(counts.deletes));
        events.filtered.inc_by(signed(counts.filtered));
        self.metrics.tables.nulls_instead.inc_by(counts.nulls_instead);
        if seen > 0 {
            events.note_event();
        }
        self.metrics.streaming.committed_transactions.inc_by(signed(sample.commits));
        if let Some(behind) = sample.behind_ms {
            self.metrics.streaming.milliseconds_behind_source.set(behind.max(0));
        }
        self.metrics.received_lsn_bytes.set(sample.received.as_i64());
        self.metrics.confirmed_flush_lsn_bytes.set(sample.confirmed.as_i64());
        self.metrics.queue.set_waiting(
            usize::try_from(sample.in_flight).unwrap_or(usize::MAX),
            sample.in_flight_bytes,
        );
        self.metrics
            .publish
            .ledger_transactions
            .set(i64::try_from(sample.ledger_waiting).unwrap_or(i64::MAX));
        self.state.progress().published(sample.in_flight, sample.acknowledged, Instant::now());
    }

    /// A snapshot of so many tables begins.
    pub fn snapshot_started(&self, tables: usize) {
        let count = i64::try_from(tables).unwrap_or(i64::MAX);
        *self.snapshot_start.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.enter(Phase::Snapshot);
        let snapshot = &self.metrics.snapshot;
        snapshot.running.set(1);
        snapshot.completed.set(0);
        snapshot.aborted.set(0);
        snapshot.tables.set(count);
        snapshot.tables_remaining.set(count);
    }

    /// The snapshot has read further rows.
    pub fn snapshot_moved(&self) {
        self.state.progress().snapshot_moved(Instant::now());
    }

    /// A table is done.
    pub fn snapshot_table_done(&self, table: &str, rows: u64, tables_left: usize) {
        self.snapshot_moved();
        self.metrics.snapshot.rows_scanned(table).set(signed(rows));
        self.metrics.snapshot_events.seen.inc_by(signed(rows));
        self.metrics.snapshot_events.note_event();
        self.metrics.snapshot.tables_remaining.set(i64::try_from(tables_left).unwrap_or(i64::MAX));
    }

    /// The snapshot ended, complete or not.
    pub fn snapshot_ended(&self, complete: bool) {
        self.snapshot_moved();
        let snapshot = &self.metrics.snapshot;
        snapshot.running.set(0);
        snapshot.completed.set(i64::from(complete));
        snapshot.aborted.set(i64::from(!complete));
        let start = *self.snapshot_start.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(start) = start {
            snapshot.note_duration_since(start);
        }
    }

    /// No snapshot was needed.
    pub fn snapshot_skipped(&self) {
        self.metrics.snapshot.skipped.set(1);
    }
}
