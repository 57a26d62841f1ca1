//! What the reader counts, for Prometheus: Debezium's metrics under the names that Debezium's rules for jmx_exporter
//! give them, and metrics of this reader.
//!
//! In: numbers from the reader's thread, about every 100 ms. Out: the text that a scrape reads. Every field is a handle
//! that is cheap to clone and to set. Labels are bounded: a context, a captured table, a peer. A value that depends on
//! the moment of the scrape, such as the time since the last event, is computed at the scrape from a stored timestamp.

mod debezium;
mod groups;
pub mod names;
mod optional;
mod register;

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use debezium::{Context, EventFamilies, now_ms};
pub use debezium::{EventMetrics, QueueMetrics, SnapshotMetrics, StreamingMetrics};
pub use groups::{PublishMetrics, TableMetrics};
use names::{
    CONFIRMED_FLUSH_LSN_BYTES, READY, RECEIVED_LSN_BYTES, RECONNECTS_TOTAL,
    SLOT_RETAINED_WAL_BYTES, SLOT_UNCONFIRMED_WAL_BYTES,
};
pub use optional::OptionalGauge;
use register::{counters, gauge, optional_gauge};

/// The media type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfPeer {
    peer: &'static str,
}

/// A connection's other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Peer {
    /// The source's replication connection.
    Postgres,
    /// The broker.
    Kafka,
}

/// All metrics of one connector. Clones share their values.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    /// Events that were streamed.
    pub streaming_events: EventMetrics,
    /// Rows that a snapshot read.
    pub snapshot_events: EventMetrics,
    /// The stream's state.
    pub streaming: StreamingMetrics,
    /// The snapshot's progress.
    pub snapshot: SnapshotMetrics,
    /// What waits for Kafka.
    pub queue: QueueMetrics,
    /// The way to Kafka.
    pub publish: PublishMetrics,
    /// The captured tables.
    pub tables: TableMetrics,
    /// See [`SLOT_RETAINED_WAL_BYTES`].
    pub slot_retained_wal_bytes: OptionalGauge,
    /// See [`SLOT_UNCONFIRMED_WAL_BYTES`].
    pub slot_unconfirmed_wal_bytes: OptionalGauge,
    /// See [`READY`]: 0 or 1.
    pub ready: Gauge,
    /// See [`CONFIRMED_FLUSH_LSN_BYTES`].
    pub confirmed_flush_lsn_bytes: Gauge,
    /// See [`RECEIVED_LSN_BYTES`].
    pub received_lsn_bytes: Gauge,
    reconnects: Family<OfPeer, Counter>,
}

impl Metrics {
    /// Metrics of the connector whose topics begin with `topic_prefix`, all at zero.
    #[must_use]
    pub fn new(topic_prefix: &str) -> Self {
        let mut registry = Registry::default();
        let debezium = debezium::sub_registry(&mut registry, topic_prefix);
        let events = EventFamilies::register(debezium);
        let streaming = StreamingMetrics::register(debezium);
        let snapshot = SnapshotMetrics::register(debezium);
        let queue = QueueMetrics::register(&mut registry, topic_prefix);
        let publish = PublishMetrics::register(&mut registry);
        let tables = TableMetrics::register(&mut registry);
        let metrics = Self {
            streaming_events: events.in_context(Context::Streaming),
            snapshot_events: events.in_context(Context::Snapshot),
            streaming,
            snapshot,
            queue,
            slot_retained_wal_bytes: optional_gauge(
                &mut registry,
                SLOT_RETAINED_WAL_BYTES,
                "WAL that the source keeps on its disk for the slot",
            ),
            slot_unconfirmed_wal_bytes: optional_gauge(
                &mut registry,
                SLOT_UNCONFIRMED_WAL_BYTES,
                "WAL that is not confirmed to the slot",
            ),
            ready: gauge(
                &mut registry,
                READY,
                "Whether the reader is connected and makes progress",
            ),
            confirmed_flush_lsn_bytes: gauge(
                &mut registry,
                CONFIRMED_FLUSH_LSN_BYTES,
                "Position up to which the slot is confirmed",
            ),
            received_lsn_bytes: gauge(
                &mut registry,
                RECEIVED_LSN_BYTES,
                "Position up to which the stream has been read",
            ),
            publish,
            tables,
            reconnects: counters(
                &mut registry,
                RECONNECTS_TOTAL,
                "Connections that had to be made again",
            ),
            registry: Arc::new(registry),
        };
        metrics.show_reconnects();
        metrics
    }

    /// The counter exists from the first scrape on, because `rate()` would not see the first increment of a counter
    /// that appears with it.
    fn show_reconnects(&self) {
        for peer in [Peer::Postgres, Peer::Kafka] {
            let _ = self.reconnects_to(peer);
        }
    }

    /// The counter of connections to a peer that had to be made again.
    #[must_use]
    pub fn reconnects_to(&self, peer: Peer) -> Counter {
        let peer = match peer {
            Peer::Postgres => "postgres",
            Peer::Kafka => "kafka",
        };
        self.reconnects.get_or_create_owned(&OfPeer { peer })
    }

    /// The text of a scrape, of the type [`CONTENT_TYPE`].
    #[must_use]
    pub fn encode(&self) -> String {
        self.encode_at(now_ms())
    }

    fn encode_at(&self, now_ms: i64) -> String {
        self.streaming_events.refresh(now_ms);
        self.snapshot_events.refresh(now_ms);
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a string cannot fail");
        text
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[track_caller]
    fn check(text: &str, line: &str) {
        assert!(text.lines().any(|found| found == line), "no line {line:?} in:\n{text}");
    }

    #[test]
    fn debezium_s_names_and_labels_are_those_of_its_exporter_rules() {
        let metrics = Metrics::new("airline");
        metrics.streaming_events.seen.set(7);
        metrics.streaming.connected.set(1);
        metrics.snapshot.rows_scanned("public.flights").set(33);
        metrics.queue.set_capacity(8192, 1000);
        metrics.queue.set_waiting(92, 400);
        let text = metrics.encode();
        let streaming = r#"{plugin="postgres",name="airline",context="streaming"}"#;
        let snapshot = r#"{plugin="postgres",name="airline",context="snapshot"}"#;
        check(&text, &format!("debezium_metrics_TotalNumberOfEventsSeen{streaming} 7"));
        check(&text, &format!("debezium_metrics_TotalNumberOfEventsSeen{snapshot} 0"));
        check(&text, &format!("debezium_metrics_Connected{streaming} 1"));
        check(&text, &format!("debezium_metrics_MilliSecondsBehindSource{streaming} -1"));
        check(&text, &format!("debezium_metrics_QueueRemainingCapacity{snapshot} 8100"));
        check(&text, &format!("debezium_metrics_CurrentQueueSizeInBytes{streaming} 400"));
        check(
            &text,
            r#"debezium_metrics_RowsScanned{plugin="postgres",name="airline",context="snapshot",table="public.flights"} 33"#,
        );
        check(&text, "cdc_reader_publish_queue_messages 92");
        check(&text, "# EOF");
    }

    #[test]
    fn our_counters_end_in_total_once() {
        let metrics = Metrics::new("airline");
        metrics.reconnects_to(Peer::Kafka).inc();
        metrics.publish.latency_seconds.observe(0.003);
        let text = metrics.encode();
        check(&text, r#"cdc_reader_reconnects_total{peer="kafka"} 1"#);
        check(&text, r#"cdc_reader_publish_latency_seconds_bucket{le="0.004"} 1"#);
        check(&text, r#"cdc_reader_publish_latency_seconds_bucket{le="0.002"} 0"#);
    }

    #[test]
    fn the_time_since_the_last_event_is_that_of_the_scrape() {
        let metrics = Metrics::new("a");
        let line = |value: i64| {
            format!(
                r#"debezium_metrics_MilliSecondsSinceLastEvent{{plugin="postgres",name="a",context="streaming"}} {value}"#
            )
        };
        check(&metrics.encode_at(1_000), &line(-1));
        metrics.streaming_events.last_at_ms.store(1_000, Ordering::Relaxed);
        check(&metrics.encode_at(1_250), &line(250));
        check(&metrics.encode_at(900), &line(0));
    }

    #[test]
    fn every_metric_has_its_help_and_no_name_is_registered_twice() {
        let metrics = Metrics::new("a");
        // A family is shown once it has a member.
        metrics.snapshot.rows_scanned("public.a").set(1);
        metrics.slot_retained_wal_bytes.set(Some(1));
        metrics.slot_unconfirmed_wal_bytes.set(Some(1));
        let text = metrics.encode();
        let mut helps: Vec<&str> = text.lines().filter(|line| line.starts_with("# HELP")).collect();
        let count = helps.len();
        helps.sort_unstable();
        helps.dedup();
        assert_eq!(helps.len(), count);
        assert_eq!(count, 36);
    }

    #[test]
    fn what_is_unknown_has_no_sample() {
        let metrics = Metrics::new("a");
        let shown = || metrics.encode().contains(SLOT_RETAINED_WAL_BYTES);
        assert!(!shown());
        metrics.slot_retained_wal_bytes.set(Some(7));
        check(&metrics.encode(), "cdc_reader_slot_retained_wal_bytes 7");
        metrics.slot_retained_wal_bytes.set(Some(0));
        check(&metrics.encode(), "cdc_reader_slot_retained_wal_bytes 0");
        metrics.slot_retained_wal_bytes.set(None);
        assert!(!shown());
    }
}
