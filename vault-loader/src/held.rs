//! Counts the bytes of a batch as long as the batch is in memory.
//!
//! In: a gauge and a number of bytes. Out: the gauge has them until the batch is dropped, wherever that happens.

use std::sync::atomic::AtomicI64;

use prometheus_client::metrics::gauge::Gauge;

/// The bytes of a batch.
#[derive(Debug)]
pub(crate) struct HeldBatch {
    gauge: Gauge<i64, AtomicI64>,
    bytes: i64,
}

impl HeldBatch {
    /// Counts the bytes from now on.
    pub(crate) fn new(gauge: Gauge<i64, AtomicI64>, byte_count: usize) -> Self {
        let bytes = i64::try_from(byte_count).unwrap_or(i64::MAX);
        gauge.inc_by(bytes);
        Self { gauge, bytes }
    }
}

impl Drop for HeldBatch {
    fn drop(&mut self) {
        self.gauge.dec_by(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_count_until_the_batch_is_dropped() {
        let gauge: Gauge<i64, AtomicI64> = Gauge::default();
        let batches = [HeldBatch::new(gauge.clone(), 7), HeldBatch::new(gauge.clone(), 5)];
        assert_eq!(gauge.get(), 12);
        drop(batches);
        assert_eq!(gauge.get(), 0);
    }
}
