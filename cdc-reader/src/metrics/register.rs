//! Metrics are made and entered into the registry in one step.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::optional::OptionalGauge;

pub(super) fn gauge(registry: &mut Registry, name: &str, help: &str) -> Gauge {
    let gauge = Gauge::default();
    registry.register(name, help, gauge.clone());
    gauge
}

pub(super) fn optional_gauge(registry: &mut Registry, name: &str, help: &str) -> OptionalGauge {
    let gauge = OptionalGauge::default();
    registry.register(name, help, gauge.clone());
    gauge
}

pub(super) fn counter(registry: &mut Registry, name: &str, help: &str) -> Counter {
    let counter = Counter::default();
    // The encoder appends the suffix itself.
    registry.register(name.trim_end_matches("_total"), help, counter.clone());
    counter
}

pub(super) fn counters<L>(registry: &mut Registry, name: &str, help: &str) -> Family<L, Counter>
where
    L: EncodeLabelSet + std::fmt::Debug + Clone + Eq + std::hash::Hash + Send + Sync + 'static,
{
    let family = Family::default();
    // The encoder appends the suffix itself.
    registry.register(name.trim_end_matches("_total"), help, family.clone());
    family
}
