//! The reader's own metrics of what it publishes and of the tables that it captures.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::names::{
    COLUMNS_LEFT_OUT, LEDGER_TRANSACTIONS, NULLS_INSTEAD_TOTAL, PUBLISH_LATENCY_SECONDS,
    PUBLISH_STALLED_SECONDS, TABLE_PROBLEMS,
};
use super::register::{counter, gauge};

/// 1 ms to 65 s, each bound twice the one before. A local broker's answers are in the first buckets, and those of an
/// outage in the last.
const LATENCY_BUCKETS_SECONDS: [f64; 17] = [
    0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096,
    8.192, 16.384, 32.768, 65.536,
];

/// The way to Kafka.
#[derive(Debug, Clone)]
pub struct PublishMetrics {
    /// See [`PUBLISH_LATENCY_SECONDS`].
    pub latency_seconds: Histogram,
    /// See [`PUBLISH_STALLED_SECONDS`].
    pub stalled_seconds: Gauge,
    /// See [`LEDGER_TRANSACTIONS`].
    pub ledger_transactions: Gauge,
}

impl PublishMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let latency_seconds = Histogram::new(LATENCY_BUCKETS_SECONDS);
        registry.register(
            PUBLISH_LATENCY_SECONDS,
            "Seconds from the commit in the source to the acknowledgement by the broker",
            latency_seconds.clone(),
        );
        Self {
            latency_seconds,
            stalled_seconds: gauge(
                registry,
                PUBLISH_STALLED_SECONDS,
                "Seconds for which Kafka has acknowledged nothing of what waits, 0 when nothing waits",
            ),
            ledger_transactions: gauge(
                registry,
                LEDGER_TRANSACTIONS,
                "Transactions that are read and not wholly acknowledged by Kafka",
            ),
        }
    }
}

/// The captured tables.
#[derive(Debug, Clone)]
pub struct TableMetrics {
    /// See [`COLUMNS_LEFT_OUT`].
    pub columns_left_out: Gauge,
    /// See [`TABLE_PROBLEMS`].
    pub problems: Gauge,
    /// See [`NULLS_INSTEAD_TOTAL`].
    pub nulls_instead: Counter,
}

impl TableMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        Self {
            columns_left_out: gauge(
                registry,
                COLUMNS_LEFT_OUT,
                "Columns of captured tables whose type has no form in an event",
            ),
            problems: gauge(
                registry,
                TABLE_PROBLEMS,
                "What is wrong with single captured tables: not published, or not readable, at the last start of a session",
            ),
            nulls_instead: counter(
                registry,
                NULLS_INSTEAD_TOTAL,
                "Events in which NULL stands in place of a value that has no form",
            ),
        }
    }
}
