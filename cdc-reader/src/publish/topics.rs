//! Topics: whether they exist, how they are made, and what the offset topic has to be.

use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::admin::{
    AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication, TopicResult,
};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use shared::kafka::{Cluster, ContactError, first_contact};
use tokio_util::sync::CancellationToken;

use super::answers;
use super::failure::{Breakage, ConfigurationProblem, PublishError};

/// The name under which the broker knows these calls.
const CLIENT_ID: &str = "cdc-reader-admin";

/// How long the broker may take to create topics.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the broker may take to say whether a topic exists. A stop waits for this answer.
const METADATA_TIMEOUT: Duration = Duration::from_secs(2);

/// Kafka Connect's own default for `offset.storage.partitions`.
const OFFSET_PARTITIONS: i32 = 25;

/// The only `cleanup.policy` that keeps an offset as long as no newer one replaces it.
const COMPACT: &str = "compact";

/// How a topic is made that does not exist: `topic.creation.default.*`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewTopics {
    /// Partitions; the broker's default when none.
    pub partitions: Option<i32>,
    /// Replicas; the broker's default when none.
    pub replication_factor: Option<i32>,
    /// The topics' own configuration.
    pub config: Vec<(String, String)>,
}

impl NewTopics {
    /// The form of the offset topic: compacted, with Kafka Connect's number of partitions, and with as many replicas as
    /// the other topics.
    #[must_use]
    pub fn for_offsets(&self) -> Self {
        Self {
            partitions: Some(OFFSET_PARTITIONS),
            replication_factor: self.replication_factor,
            config: vec![("cleanup.policy".to_owned(), COMPACT.to_owned())],
        }
    }

    fn of_name<'a>(&'a self, name: &'a str) -> NewTopic<'a> {
        let partitions = self.partitions.unwrap_or(-1);
        let replication = TopicReplication::Fixed(self.replication_factor.unwrap_or(-1));
        let new = NewTopic::new(name, partitions, replication);
        self.config.iter().fold(new, |new, (key, value)| new.set(key, value))
    }
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

/// Makes those of these topics that do not exist, and gives those that still do not exist, each with the reason. A
/// topic that exists stays as it is, also where the right to create topics is missing. A cancelled `stop` ends the work
/// early.
///
/// The reason is [`PublishError::Configuration`] when the topic can never be created like this, and
/// [`PublishError::Broken`] when the cluster cannot do it now, or does not answer.
pub(super) async fn make_topics(
    cluster: &Cluster,
    names: &[String],
    new: &NewTopics,
    stop: &CancellationToken,
) -> Vec<(String, PublishError)> {
    let all = |error: &PublishError| {
        names.iter().map(|name| (name.clone(), error.clone())).collect::<Vec<_>>()
    };
    let admin = match admin(cluster) {
        Ok(admin) => admin,
        Err(error) => return all(&error),
    };
    let mut missing = Vec::new();
    for name in names {
        if stop.is_cancelled() {
            return Vec::new();
        }
        match exists(&admin, name) {
            Ok(true) => {}
            Ok(false) => missing.push(new.of_name(name)),
            Err(error) => return all(&PublishError::Broken(Breakage::Topics { error })),
        }
    }
    if missing.is_empty() {
        return Vec::new();
    }
    let options = AdminOptions::new()
        .request_timeout(Some(ADMIN_TIMEOUT))
        .operation_timeout(Some(ADMIN_TIMEOUT));
    let results = tokio::select! {
        biased;
        () = stop.cancelled() => return Vec::new(),
        results = admin.create_topics(&missing, &options) => results,
    };
    let results = match results {
        Ok(results) => results,
        Err(KafkaError::AdminOpCreation(reason)) => {
            return all(&PublishError::Configuration(ConfigurationProblem::Topics { reason }));
        }
        Err(error) => return all(&PublishError::Broken(Breakage::Topics { error })),
    };
    results.into_iter().filter_map(outcome).collect()
}

/// Makes the offset topic when it does not exist, and checks that it keeps the last offset of each connector for ever.
///
/// # Errors
/// [`PublishError::Configuration`] when the topic can never be created, or deletes old records, and
/// [`PublishError::Broken`] when the cluster does not answer.
pub async fn ensure_offset_topic(
    cluster: &Cluster,
    topic: &str,
    new: &NewTopics,
) -> Result<(), PublishError> {
    let (names, stop) = ([topic.to_owned()], CancellationToken::new());
    let failed = make_topics(cluster, &names, new, &stop).await;
    if let Some((_, error)) = failed.into_iter().next() {
        return Err(error);
    }
    let admin = admin(cluster)?;
    let options = AdminOptions::new().request_timeout(Some(ADMIN_TIMEOUT));
    let described = admin
        .describe_configs(&[ResourceSpecifier::Topic(topic)], &options)
        .await
        .map_err(|error| PublishError::Broken(Breakage::Topics { error }))?;
    let policy = described
        .into_iter()
        .find_map(Result::ok)
        .and_then(|resource| resource.get("cleanup.policy").and_then(|entry| entry.value.clone()));
    match policy {
        Some(policy) if policy != COMPACT => {
            let topic = topic.to_owned();
            Err(PublishError::Configuration(ConfigurationProblem::OffsetTopic { topic, policy }))
        }
        Some(_) => Ok(()),
        None => {
            tracing::warn!(
                topic,
                "the reader may not see the settings of the offset topic: make sure that it has cleanup.policy=compact alone"
            );
            Ok(())
        }
    }
}

/// Whether a topic exists. A question does not make it, whatever the broker's `auto.create.topics.enable`.
fn exists(admin: &AdminClient<QuietContext>, topic: &str) -> Result<bool, KafkaError> {
    let metadata = admin.inner().fetch_metadata(Some(topic), METADATA_TIMEOUT)?;
    Ok(metadata
        .topics()
        .iter()
        .any(|found| found.name() == topic && !found.partitions().is_empty()))
}

fn outcome(result: TopicResult) -> Option<(String, PublishError)> {
    match result {
        Ok(topic) => {
            tracing::info!(topic, "topic created");
            None
        }
        Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => None,
        Err((topic, code)) => {
            let error = match answers::of_new_topic(code) {
                Some(reason) => PublishError::Configuration(ConfigurationProblem::Topic {
                    topic: topic.clone(),
                    reason,
                    code,
                }),
                None => PublishError::Broken(Breakage::Topic { topic: topic.clone(), code }),
            };
            Some((topic, error))
        }
    }
}

fn admin(cluster: &Cluster) -> Result<AdminClient<QuietContext>, PublishError> {
    let client = cluster
        .client(CLIENT_ID)
        .set("allow.auto.create.topics", "false")
        .create_with_context(QuietContext);
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
