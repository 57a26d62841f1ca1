//! What Prometheus learns of WebSockets, of the chat, and of what the instances share.
//!
//! In: connections, messages, lookups. Out: metrics in the service's registry. Labels are bounded.

use std::sync::atomic::AtomicI64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

type Label = [(&'static str, &'static str); 1];

/// The metrics.
#[derive(Debug, Default, Clone)]
pub(crate) struct LiveMetrics {
    connections: Family<Label, Gauge<i64, AtomicI64>>,
    closed: Family<Label, Counter>,
    messages: Counter,
    delivered: Counter,
    redis_up: Gauge,
    searches: Family<Label, Counter>,
}

impl LiveMetrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let help = "WebSockets that are open, by kind";
        registry.register("live_connections", help, metrics.connections.clone());
        let help = "WebSockets that the service has closed, by reason";
        registry.register("live_closed", help, metrics.closed.clone());
        let help = "Chat messages that this instance has stored";
        registry.register("chat_messages", help, metrics.messages.clone());
        let help = "Chat messages that this instance has read for its rooms";
        registry.register("chat_messages_read", help, metrics.delivered.clone());
        let help = "Whether this instance hears Redis; 0 also without Redis";
        registry.register("redis_up", help, metrics.redis_up.clone());
        let help = "Searches, by what the cache said: hit, miss, shared, away, off";
        registry.register("searches_cached", help, metrics.searches.clone());
        metrics
    }

    pub(crate) fn opened(&self, kind: &'static str) {
        self.connections.get_or_create(&[("kind", kind)]).inc();
    }

    pub(crate) fn ended(&self, kind: &'static str) {
        self.connections.get_or_create(&[("kind", kind)]).dec();
    }

    pub(crate) fn closed(&self, reason: &'static str) {
        self.closed.get_or_create(&[("reason", reason)]).inc();
    }

    pub(crate) fn stored(&self) {
        self.messages.inc();
    }

    pub(crate) fn read(&self, messages: usize) {
        self.delivered.inc_by(u64::try_from(messages).unwrap_or(u64::MAX));
    }

    pub(crate) fn redis_is(&self, up: bool) {
        self.redis_up.set(i64::from(up));
    }

    pub(crate) fn search(&self, outcome: &'static str) {
        self.searches.get_or_create(&[("outcome", outcome)]).inc();
    }
}
