//! A gauge that may have no value.
//!
//! In: a number, or nothing. Out: a sample, or no line at all. A value that is not known must not be shown as 0 or as
//! what it was before: an alert would trust it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;

/// Stands for no value. The gauges count bytes, which are never negative.
const UNKNOWN: i64 = -1;

/// A count that is unknown at first. Clones share it.
#[derive(Debug, Clone)]
pub struct OptionalGauge(Arc<AtomicI64>);

impl OptionalGauge {
    /// Sets the value, or says that it is unknown.
    pub fn set(&self, value: Option<u64>) {
        let value = value.map_or(UNKNOWN, |value| i64::try_from(value).unwrap_or(i64::MAX));
        self.0.store(value, Ordering::Relaxed);
    }

    fn get(&self) -> Option<i64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|value| *value != UNKNOWN)
    }
}

impl Default for OptionalGauge {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(UNKNOWN)))
    }
}

impl EncodeMetric for OptionalGauge {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        // It may have become unknown since `is_empty` was asked: then there is no sample.
        self.get().map_or(Ok(()), |value| encoder.encode_gauge(&value))
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }

    fn is_empty(&self) -> bool {
        self.get().is_none()
    }
}
