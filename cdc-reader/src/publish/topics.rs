//! Topics that have to be there before the first event.

use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use shared::kafka::{Cluster, ContactError, first_contact};

use super::answers;
use super::failure::{Breakage, ConfigurationProblem, PublishError};

/// The name under which the broker knows these calls.
const CLIENT_ID: &str = "cdc-reader-admin";

/// How long the broker may take to create topics.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(30);

/// A topic that should exist.
#[derive(Debug, Clone)]
pub struct Topic<'a> {
    /// Name.
    pub name: &'a str,
    /// Partitions; the broker's default when none.
    pub partitions: Option<i32>,
    /// Replicas; the broker's default when none.
    pub replication_factor: Option<i32>,
    /// Topic configuration.
    pub config: &'a [(String, String)],
}

/// The cluster's id, which also proves that a broker answers.
///
/// # Errors
/// [`PublishError::Configuration`] when the brokers refuse us, [`PublishError::Broken`] when none answers within
/// `timeout`.
pub fn cluster_id(cluster: &Cluster, timeout: Duration) -> Result<String, PublishError> {
    first_contact(&cluster.client(CLIENT_ID), timeout, || true).map_err(|error| match error {
        ContactError::Configuration(reason) => {
            PublishError::Configuration(ConfigurationProblem::Client { reason })
        }
        ContactError::Refused(refusal) => {
            PublishError::Configuration(ConfigurationProblem::Refused(refusal))
        }
        other @ (ContactError::NoAnswer(_) | ContactError::Stopped) => {
            PublishError::Broken(Breakage::NoBroker {
                bootstrap_servers: cluster.bootstrap_servers().to_owned(),
                reason: other.to_string(),
            })
        }
    })
}

/// Creates the topics that do not exist yet. Topics that exist stay as they are.
///
/// # Errors
/// [`PublishError::Configuration`] when a topic can never be created like this, [`PublishError::Broken`] when the
/// cluster cannot do it now, or does not answer.
pub async fn ensure_topics(cluster: &Cluster, topics: &[Topic<'_>]) -> Result<(), PublishError> {
    let admin = admin(cluster)?;
    let wanted: Vec<NewTopic<'_>> =
        topics
            .iter()
            .map(|topic| {
                let partitions = topic.partitions.unwrap_or(-1);
                let replication = TopicReplication::Fixed(topic.replication_factor.unwrap_or(-1));
                topic.config.iter().fold(
                    NewTopic::new(topic.name, partitions, replication),
                    |new, (key, value)| new.set(key, value),
                )
            })
            .collect();
    let options = AdminOptions::new().operation_timeout(Some(ADMIN_TIMEOUT));
    let results = admin.create_topics(&wanted, &options).await.map_err(|error| match error {
        KafkaError::AdminOpCreation(reason) => {
            PublishError::Configuration(ConfigurationProblem::Topics { reason })
        }
        error => PublishError::Broken(Breakage::Topics { error }),
    })?;
    let mut not_now = None;
    for result in results {
        match result {
            Ok(name) => tracing::info!(topic = name, "topic created"),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            // A principal that may not create topics hears this of topics that exist, too.
            Err((topic, code)) if is_denied(code) && exists(&admin, &topic) => {
                tracing::debug!(topic, "not allowed to create the topic, which exists");
            }
            Err((topic, code)) => match answers::of_new_topic(code) {
                Some(reason) => {
                    let problem = ConfigurationProblem::Topic { topic, reason, code };
                    return Err(PublishError::Configuration(problem));
                }
                None => {
                    not_now.get_or_insert(PublishError::Broken(Breakage::Topic { topic, code }));
                }
            },
        }
    }
    not_now.map_or(Ok(()), Err)
}

fn is_denied(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(code, Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed)
}

fn exists(admin: &AdminClient<QuietContext>, topic: &str) -> bool {
    let metadata = admin.inner().fetch_metadata(Some(topic), ADMIN_TIMEOUT);
    metadata.is_ok_and(|found| {
        found.topics().iter().any(|topic| topic.error().is_none() && !topic.partitions().is_empty())
    })
}

fn admin(cluster: &Cluster) -> Result<AdminClient<QuietContext>, PublishError> {
    let client = cluster.client(CLIENT_ID).create_with_context(QuietContext);
    client.map_err(|error| PublishError::Configuration(ConfigurationProblem::client(&error)))
}

/// The calls return errors, and librdkafka's log lines would only repeat them.
pub(super) struct QuietContext;

impl ClientContext for QuietContext {
    fn log(&self, _: rdkafka::config::RDKafkaLogLevel, _: &str, message: &str) {
        tracing::debug!(message, "librdkafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "librdkafka");
    }
}
