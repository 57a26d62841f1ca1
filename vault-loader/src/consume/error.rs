//! Errors that stop the reading of Kafka.
//!
//! After any other error of Kafka, librdkafka connects again by itself, and the loader waits.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use shared::kafka::refused_property;

use crate::config::ConfigError;
use crate::exit;
use crate::warehouse::WarehouseError;

/// Why reading cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ConsumeError {
    /// The warehouse refuses to tell the offsets.
    #[error("cannot read the offsets")]
    Offsets(#[source] WarehouseError),
    /// Kafka refuses for good: a property is wrong, a permission is missing, or another member has the same name.
    #[error("Kafka refuses this loader, and waiting does not help")]
    Refused(#[source] KafkaError),
    /// librdkafka does not take a property. Its own error would show the value, so this one has a text without it.
    #[error("{0}")]
    Property(String),
    /// The brokers refuse us, or librdkafka cannot use a file of certificates.
    #[error("configuration: kafka: {0}")]
    Denied(String),
    /// No broker answers.
    #[error(
        "no Kafka broker answers at {servers} within {wait_s} s: check bootstrap_servers, and security.protocol in [kafka]: {reason}"
    )]
    Unreachable {
        /// what was asked
        servers: String,
        /// how long
        wait_s: u64,
        /// the last thing that was said
        reason: String,
    },
    /// Kafka answers no longer.
    #[error("Kafka sent no record for {wait_s} s: {reason}")]
    Silent {
        /// how long
        wait_s: u64,
        /// the last thing that was said
        reason: String,
    },
    /// The loader is ending.
    #[error("ended before the partitions were taken over")]
    Cancelled,
}

impl ConsumeError {
    /// The process's exit code when this ends it.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Denied(_) | Self::Property(_) => exit::CONFIGURATION,
            Self::Offsets(err) => err.exit_code(),
            Self::Refused(_) | Self::Unreachable { .. } | Self::Silent { .. } | Self::Cancelled => {
                exit::FAILED
            }
        }
    }

    /// Whether Kafka has given this loader's place in the group to another member of the same name. Of a consumer's
    /// errors librdkafka calls this one fatal.
    pub(super) fn is_fenced(&self) -> bool {
        let Self::Refused(error) = self else { return false };
        matches!(
            error.rdkafka_error_code(),
            Some(RDKafkaErrorCode::Fatal | RDKafkaErrorCode::FencedInstanceId)
        )
    }
}

impl From<ConfigError> for ConsumeError {
    fn from(error: ConfigError) -> Self {
        Self::Property(error.to_string())
    }
}

impl From<KafkaError> for ConsumeError {
    fn from(error: KafkaError) -> Self {
        match refused_property(&error) {
            Some(problem) => Self::Property(problem),
            None => Self::Refused(error),
        }
    }
}
