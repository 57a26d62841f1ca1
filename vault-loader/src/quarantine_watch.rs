//! Measures the quarantine while the loader runs, also when nothing is loaded.
//!
//! In: the warehouse. Out: gauges, and once an hour a warning about events whose content is kept for longer than the
//! configuration says. The connection is this module's own, so a long attempt does not hold the gauges up. A failure
//! leaves the gauges as they are: the loading side reports a warehouse that is away.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::postgres::{ConnectOptions, connect};
use tokio_postgres::Client;

use crate::control::{QuarantineSize, measure_quarantine};
use crate::metrics::Metrics;
use crate::model::Plan;
use crate::warehouse::WarehouseError;

/// How often the quarantine is measured: a scrape comes every 15 s or less often.
const INTERVAL: Duration = Duration::from_secs(5);

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often the same overdue events are reported.
const REPORT_INTERVAL: Duration = Duration::from_secs(3600);

/// What is watched, and by which rule.
pub(crate) struct QuarantineWatch {
    pub(crate) warehouse: ConnectOptions,
    pub(crate) plan: Arc<Plan>,
    pub(crate) metrics: Arc<Metrics>,
    /// days after which an event is overdue
    pub(crate) retention_days: u16,
}

impl QuarantineWatch {
    /// Measures until it is dropped.
    pub(crate) async fn run(self) -> Infallible {
        let mut client = None;
        let mut reported: Option<Instant> = None;
        loop {
            match tokio::time::timeout(PATIENCE, self.measure(&mut client)).await {
                Ok(Ok(size)) => {
                    let QuarantineSize { event_count, key_count, overdue_count, oldest_s } = size;
                    self.metrics.quarantine(event_count, key_count, overdue_count, oldest_s);
                    if size.overdue_count > 0
                        && reported.is_none_or(|at| at.elapsed() >= REPORT_INTERVAL)
                    {
                        reported = Some(Instant::now());
                        tracing::warn!(
                            event_count = size.overdue_count,
                            retention_days = self.retention_days,
                            "events in quarantine are older than their content may be kept: retry or drop them, or \
                             run `vault-loader quarantine redact`"
                        );
                    }
                }
                Ok(Err(_)) | Err(_) => client = None,
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    async fn measure(&self, client: &mut Option<Client>) -> Result<QuarantineSize, WarehouseError> {
        let connected = match client.take() {
            Some(connected) => connected,
            None => connect(&self.warehouse).await?,
        };
        let topics: Vec<String> =
            self.plan.tables.iter().map(|table| table.topic.clone()).collect();
        let days = i32::from(self.retention_days);
        let size = measure_quarantine(&connected, &topics, days).await?;
        *client = Some(connected);
        Ok(size)
    }
}
