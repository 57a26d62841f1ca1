//! The first answer of a cluster.
//!
//! In: a client's configuration, and how long to wait. Out: the cluster's id, or why there is none. A refusal that does
//! not pass by itself ends the wait at once.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{
    BaseProducer, DeliveryResult, NoCustomPartitioner, Producer as _, ProducerContext,
};

use super::client::refused_property;
use super::refusal::Refusal;

/// How long one question to the brokers may take. Between two questions errors are looked at, and whether to go on.
const QUESTION: Duration = Duration::from_millis(500);

/// How long what librdkafka has to say is listened to after a question without an answer.
const EVENTS: Duration = Duration::from_millis(50);

/// Why no cluster has answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContactError {
    /// librdkafka does not take a property, or cannot use a file.
    #[error("{0}")]
    Configuration(String),
    /// Waiting does not help.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Nobody answers in time. The text is the last thing that librdkafka said.
    #[error("{0}")]
    NoAnswer(String),
    /// The caller wants no answer any more.
    #[error("stopped before a broker answered")]
    Stopped,
}

/// Asks the brokers until one answers, and gives the cluster's id. This blocks the thread.
///
/// # Errors
/// See [`ContactError`].
pub fn first_contact(
    client: &ClientConfig,
    wait: Duration,
    mut go_on: impl FnMut() -> bool,
) -> Result<String, ContactError> {
    let mut client = client.clone();
    // Lines about failed connections, which say more than errors do, are informational.
    client.set_log_level(RDKafkaLogLevel::Info);
    let producer: BaseProducer<Watch> =
        client.create_with_context(Watch::default()).map_err(|error| {
            ContactError::Configuration(refused_property(&error).unwrap_or_else(|| match error {
                KafkaError::ClientCreation(reason) => reason,
                other => other.to_string(),
            }))
        })?;
    let deadline = Instant::now() + wait;
    loop {
        match producer.client().fetch_metadata(None, QUESTION.min(wait)) {
            Ok(_) => return Ok(producer.client().fetch_cluster_id(QUESTION).unwrap_or_default()),
            Err(error) => {
                producer.poll(EVENTS);
                let seen = producer.context().seen();
                if let Some(refusal) = seen.refusal {
                    return Err(refusal.into());
                }
                if !go_on() {
                    return Err(ContactError::Stopped);
                }
                if Instant::now() >= deadline {
                    let said = seen.reason.unwrap_or_else(|| error.to_string());
                    return Err(ContactError::NoAnswer(said));
                }
            }
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Seen {
    refusal: Option<Refusal>,
    reason: Option<String>,
}

#[derive(Default)]
struct Watch(Mutex<Seen>);

impl Watch {
    fn note(&self, reason: &str) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.reason = Some(reason.to_owned());
    }

    fn seen(&self) -> Seen {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for Watch {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(facility, message, "librdkafka");
        if facility == "FAIL" {
            self.note(message);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "librdkafka");
        // That all brokers are down says less than why one of them is.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            self.note(reason);
        }
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.refusal.is_none() {
            seen.refusal = Refusal::of(&error, reason);
        }
    }
}

impl ProducerContext<NoCustomPartitioner> for Watch {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(client: &ClientConfig, wait: u64) -> ContactError {
        first_contact(client, Duration::from_secs(wait), || true).unwrap_err()
    }

    #[test]
    fn nobody_at_the_address_is_said_with_the_reason() {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", "127.0.0.1:1");
        let error = ask(&client, 1);
        assert!(
            matches!(&error, ContactError::NoAnswer(said) if said.contains("127.0.0.1:1")),
            "{error:?}"
        );
        let stopped = first_contact(&client, Duration::from_secs(60), || false);
        assert_eq!(stopped, Err(ContactError::Stopped));
    }

    #[test]
    fn what_librdkafka_does_not_take_is_a_matter_of_configuration() {
        let mut client = ClientConfig::new();
        client.set("sasl.pasword", "hunter2");
        let error = ask(&client, 1);
        assert_eq!(
            error,
            ContactError::Configuration("librdkafka has no property sasl.pasword".to_owned())
        );
    }
}
