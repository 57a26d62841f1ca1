//! librdkafka's configuration for this loader.
//!
//! In: a [`Config`]. Out: a client configuration with bounded queues, committed reads only, and no automatic commit or
//! reset of offsets: the warehouse owns them.

use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use shared::backoff::Backoff;
use tokio_util::sync::CancellationToken;

use super::error::ConsumeError;
use crate::config::Config;

/// How long one question to the brokers may take. The loader looks for a signal between two questions.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// The properties of the consumer. Properties in the configuration's section `kafka` come last and win.
#[must_use]
pub fn consumer_config(config: &Config, source: &str) -> ClientConfig {
    let group = config.group_id.clone().unwrap_or_else(|| format!("vault-loader-{source}"));
    let queue_kbytes = (config.limits.queue_bytes_max / 1024).to_string();
    let mut client = ClientConfig::new();
    for (key, value) in [
        ("bootstrap.servers", config.bootstrap_servers.as_str()),
        ("client.id", "vault-loader"),
        ("group.id", group.as_str()),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("auto.offset.reset", "error"),
        ("isolation.level", "read_committed"),
        ("allow.auto.create.topics", "false"),
        // New topics are noticed within this time.
        ("topic.metadata.refresh.interval.ms", "2000"),
        // The shortest time that brokers allow by default. The partitions of a killed loader are free after 6 s.
        ("session.timeout.ms", "6000"),
        ("heartbeat.interval.ms", "2000"),
        ("queued.max.messages.kbytes", queue_kbytes.as_str()),
        ("fetch.wait.max.ms", "100"),
        ("fetch.error.backoff.ms", "100"),
        ("reconnect.backoff.max.ms", "2000"),
        ("statistics.interval.ms", "2000"),
        ("socket.keepalive.enable", "true"),
    ] {
        client.set(key, value);
    }
    if let Some(instance) = &config.group_instance_id {
        client.set("group.instance.id", instance);
    }
    for (key, value) in &config.kafka {
        client.set(key, value.expose());
    }
    client
}

/// Waits until a broker answers or the loader has to end. This blocks the thread.
///
/// # Errors
/// When no broker answers within `wait`, the loader is to end, or librdkafka does not take the configuration.
pub fn probe_brokers(
    config: &Config,
    wait: Duration,
    ending: &CancellationToken,
) -> Result<(), ConsumeError> {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", &config.bootstrap_servers);
    for (key, value) in &config.kafka {
        client.set(key, value.expose());
    }
    client.set_log_level(rdkafka::config::RDKafkaLogLevel::Emerg);
    let consumer: BaseConsumer = client.create()?;
    let deadline = Instant::now() + wait;
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
    loop {
        if consumer.fetch_metadata(None, PROBE_TIMEOUT.min(wait)).is_ok() {
            return Ok(());
        }
        backoff.next_delay();
        if backoff.should_log() {
            tracing::warn!("no Kafka broker answers yet");
        }
        if ending.is_cancelled() {
            return Err(ConsumeError::Cancelled);
        }
        if Instant::now() >= deadline {
            return Err(ConsumeError::Unreachable {
                servers: config.bootstrap_servers.clone(),
                wait_s: wait.as_secs(),
            });
        }
    }
}
