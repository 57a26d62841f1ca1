//! What Prometheus reads.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;
use tokio::time::Instant;

use super::state::Page;
use crate::simulate::KINDS;

/// The media type of OpenMetrics.
const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type ByKind = [(&'static str, &'static str); 1];

/// The counters as they are now, in the format of OpenMetrics.
pub(super) async fn show(State(page): State<Arc<Page>>) -> Response {
    let (counts, settings) = (page.tally.counts(), page.control.settings());
    let mut registry = Registry::with_prefix("wideworld");
    let events = Family::<ByKind, Counter>::default();
    let idle = Family::<ByKind, Counter>::default();
    let wanted = Family::<ByKind, Gauge<f64, AtomicU64>>::default();
    let now = Instant::now();
    for (kind, _) in KINDS {
        let label = [("kind", kind.name())];
        events.get_or_create(&label).inc_by(counts.committed[kind.index()]);
        idle.get_or_create(&label).inc_by(counts.nothing[kind.index()]);
        wanted.get_or_create(&label).set(settings.rate(kind, now));
    }
    registry.register("events", "Committed transactions", events);
    registry.register("idle_events", "Events that found nothing to do", idle);
    registry.register("wanted_events_per_second", "Events a second that are wanted", wanted);
    let rows = ConstCounter::new(counts.row_count);
    registry.register("changes", "Rows that statements changed", rows);
    let conflicts = ConstCounter::new(counts.conflict_count);
    registry.register("conflicts", "Transactions done again after a conflict", conflicts);
    let reconnects = ConstCounter::new(counts.reconnect_count);
    registry.register("reconnects", "Connections opened again", reconnects);
    let paused = ConstGauge::new(i64::from(settings.is_paused));
    registry.register("paused", "Whether the simulation is in a pause", paused);
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => ([(CONTENT_TYPE, METRICS)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
