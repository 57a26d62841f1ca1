//! librdkafka's configuration for this loader.
//!
//! In: a [`Config`]. Out: a client configuration with bounded queues, committed reads only, and no automatic commit or
//! reset of offsets: the warehouse owns them.

use std::time::Duration;

use rdkafka::ClientConfig;
use shared::backoff::Backoff;
use shared::kafka::{ContactError, first_contact};
use tokio_util::sync::CancellationToken;

use super::error::ConsumeError;
use crate::config::Config;

/// The name under which the brokers know the loader.
const CLIENT_ID: &str = "vault-loader";

/// The properties of the consumer. Properties in the configuration's section `kafka` come last and win. `group` is the
/// consumer group, unless the configuration names another one.
///
/// # Errors
/// When TLS or SASL are not set up as a whole.
pub fn consumer_config(config: &Config, group: &str) -> Result<ClientConfig, ConsumeError> {
    let group = config.group_id.as_deref().unwrap_or(group);
    let queue_kbytes = (config.limits.queue_bytes_max / 1024).to_string();
    let mut client = config.cluster()?.client(CLIENT_ID);
    for (key, value) in [
        ("group.id", group),
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
        // By default librdkafka waits for a second before it fetches again after the queue was full. The loader may
        // have emptied the queue before that.
        ("fetch.queue.backoff.ms", "100"),
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
    config.set_further_properties(&mut client);
    Ok(client)
}

/// Waits until a broker answers or the loader has to end. This blocks the thread.
///
/// # Errors
/// When the brokers refuse the loader, none answers within `wait`, the loader is to end, or librdkafka does not take
/// the configuration.
pub fn probe_brokers(
    config: &Config,
    wait: Duration,
    ending: &CancellationToken,
) -> Result<(), ConsumeError> {
    let client = config.kafka_client(CLIENT_ID)?;
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
    let go_on = || {
        backoff.next_delay();
        if backoff.should_log() {
            tracing::warn!("no Kafka broker answers yet");
        }
        !ending.is_cancelled()
    };
    first_contact(&client, wait, go_on).map(drop).map_err(|error| match error {
        ContactError::Configuration(reason) => ConsumeError::Denied(reason),
        ContactError::Refused(refusal) => ConsumeError::Denied(refusal.to_string()),
        ContactError::Stopped => ConsumeError::Cancelled,
        ContactError::NoAnswer(reason) => ConsumeError::Unreachable {
            servers: config.bootstrap_servers.clone(),
            wait_s: wait.as_secs(),
            reason,
        },
    })
}
