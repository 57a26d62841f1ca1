//! What Prometheus learns of the service.
//!
//! In: requests, refusals, sales, the pools. Out: the text of `/metrics`. Labels are bounded: a route is a pattern of
//! the router and never a path that a client sent, and a method is one that everybody knows or `other`.

use std::fmt::Write as _;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::live_metrics::LiveMetrics;
use super::pool::Use;

/// Upper bounds of the buckets, in seconds: from an answer without a database to the longest that a request may take.
const SECONDS: [f64; 12] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

type Labels<const N: usize> = [(&'static str, String); N];

/// The metrics.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Labels<3>, Histogram, fn() -> Histogram>,
    problems: Family<Labels<1>, Counter>,
    seats_sold: Counter,
    repeats: Counter,
    replayed: Counter,
    uploads: Counter,
    upload_bytes: Counter,
    under_way: Gauge,
    pools: Family<Labels<2>, Gauge<i64, AtomicI64>>,
    live: LiveMetrics,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("booking");
        let requests: Family<Labels<3>, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(SECONDS));
        registry.register_with_unit(
            "http_request_duration",
            "Time from a request's header to its answer",
            Unit::Seconds,
            requests.clone(),
        );
        let problems = Family::default();
        registry.register("problems", "Requests that were refused, by kind", problems.clone());
        let seats_sold = Counter::default();
        registry.register("seats_sold", "Seats that this instance has sold", seats_sold.clone());
        let repeats = Counter::default();
        registry.register("work_repeats", "Transactions that were done again", repeats.clone());
        let replayed = Counter::default();
        let help = "Answers that were given again under an idempotency key";
        registry.register("idempotent_replays", help, replayed.clone());
        let uploads = Counter::default();
        registry.register("uploads", "Files that this instance has taken", uploads.clone());
        let upload_bytes = Counter::default();
        let help = "Bytes of files that this instance has taken";
        registry.register_with_unit("upload", help, Unit::Bytes, upload_bytes.clone());
        let under_way = Gauge::default();
        registry.register("http_requests_under_way", "Requests under way", under_way.clone());
        let pools = Family::default();
        registry.register("pool_connections", "Connections of a pool, by state", pools.clone());
        let live = LiveMetrics::register(&mut registry);
        Self {
            registry,
            requests,
            problems,
            seats_sold,
            repeats,
            replayed,
            uploads,
            upload_bytes,
            under_way,
            pools,
            live,
        }
    }
}

impl Metrics {
    pub(crate) fn begin_request(&self) {
        self.under_way.inc();
    }

    pub(crate) fn end_request(&self) {
        self.under_way.dec();
    }

    pub(crate) fn observe(&self, method: &str, route: &str, status: u16, took: Duration) {
        let labels = [
            ("method", method.to_owned()),
            ("route", route.to_owned()),
            ("status", status.to_string()),
        ];
        self.requests.get_or_create(&labels).observe(took.as_secs_f64());
    }

    pub(crate) fn count_problem(&self, kind: &str) {
        self.problems.get_or_create(&[("kind", kind.to_owned())]).inc();
    }

    pub(crate) fn count_seats(&self, seats: usize) {
        self.seats_sold.inc_by(u64::try_from(seats).unwrap_or(u64::MAX));
    }

    pub(crate) fn count_repeat(&self) {
        self.repeats.inc();
    }

    pub(crate) fn count_replay(&self) {
        self.replayed.inc();
    }

    /// Those of WebSockets and of what the instances share.
    pub(crate) fn live(&self) -> &LiveMetrics {
        &self.live
    }

    pub(crate) fn count_upload(&self, byte_count: u64) {
        self.uploads.inc();
        self.upload_bytes.inc_by(byte_count);
    }

    /// The text of all metrics.
    pub(crate) fn text(&self, pools: &[(&str, Use)]) -> String {
        for (pool, usage) in pools {
            let states = [
                ("idle", usage.idle),
                ("used", usage.open - usage.idle),
                ("waiting", usage.waiting),
            ];
            for (state, count) in states {
                let labels = [("pool", (*pool).to_owned()), ("state", state.to_owned())];
                let count = i64::try_from(count).unwrap_or(i64::MAX);
                self.pools.get_or_create(&labels).set(count);
            }
        }
        let mut text = String::new();
        if encode(&mut text, &self.registry).is_err() {
            let _ = writeln!(text, "# the metrics cannot be written");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_a_histogram_for_each_route() {
        let metrics = Metrics::default();
        metrics.observe("GET", "/api/v1/flights", 200, Duration::from_millis(3));
        metrics.count_seats(2);
        let text = metrics.text(&[("primary", Use { open: 3, idle: 1, waiting: 0 })]);
        let line = "booking_http_request_duration_seconds_bucket{le=\"0.005\",method=\"GET\",\
                    route=\"/api/v1/flights\",status=\"200\"} 1";
        assert!(text.contains(line), "{text}");
        assert!(text.contains("booking_seats_sold_total 2"), "{text}");
        assert!(
            text.contains("booking_pool_connections{pool=\"primary\",state=\"used\"} 2"),
            "{text}"
        );
    }
}
