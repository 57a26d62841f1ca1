//! Topics: whether they exist, how they are made, and what the offset topic has to be.

use std::time::{Duration, Instant};

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

/// How long a new topic may take to be known to every broker.
const KNOWN_WITHIN: Duration = Duration::from_secs(10);

/// How much longer the other brokers may take when one broker knows the topic. A reader without the right to see a
/// topic's settings waits for so long at each start.
const KNOWN_EVERYWHERE: Duration = Duration::from_secs(1);

/// The pause between two questions for it.
const KNOWN_STEP: Duration = Duration::from_millis(50);

/// The most topics that one request makes.
const TOPICS_PER_REQUEST_MAX: usize = 100;

/// The most partitions that one request makes, as far as their number is known.
const PARTITIONS_PER_REQUEST: usize = 2000;

/// A guess, high rather than low, at the broker's own number of partitions.
const PARTITIONS_UNKNOWN: usize = 40;

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

    /// How many of these topics one request may make. A broker refuses a request for more than ten thousand partitions
    /// and settings, and a request for fewer ends sooner.
    pub(super) fn per_request(&self) -> usize {
        let partitions = self.partitions.and_then(|count| usize::try_from(count).ok());
        let partitions = partitions.unwrap_or(PARTITIONS_UNKNOWN).max(1);
        (PARTITIONS_PER_REQUEST / partitions).clamp(1, TOPICS_PER_REQUEST_MAX)
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
/// `timeout`, or before `stop` is cancelled.
pub fn cluster_id(
    cluster: &Cluster,
    timeout: Duration,
    stop: &CancellationToken,
) -> Result<String, PublishError> {
    first_contact(&cluster.client(CLIENT_ID), timeout, || !stop.is_cancelled()).map_err(|error| {
        match error {
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
        }
    })
}

/// Makes topics over one connection.
pub(super) struct TopicAdmin {
    admin: AdminClient<QuietContext>,
}

impl TopicAdmin {
    /// Connects in the background.
    ///
    /// # Errors
    /// When librdkafka refuses the configuration.
    pub(super) fn new(cluster: &Cluster) -> Result<Self, PublishError> {
        Ok(Self { admin: admin(cluster)? })
    }

    /// Makes those of these topics that do not exist, and gives those that still do not exist, each with the reason. A
    /// topic that exists stays as it is, also where the right to create topics is missing. A cancelled `stop` ends the
    /// work early.
    ///
    /// The reason is [`PublishError::Configuration`] when the topic can never be created like this, and
    /// [`PublishError::Broken`] when the cluster cannot do it now, or does not answer.
    pub(super) async fn make(
        &self,
        names: &[String],
        new: &NewTopics,
        stop: &CancellationToken,
    ) -> Vec<(String, PublishError)> {
        let wanted: Vec<NewTopic<'_>> = names.iter().map(|name| new.of_name(name)).collect();
        let options = AdminOptions::new()
            .request_timeout(Some(ADMIN_TIMEOUT))
            .operation_timeout(Some(ADMIN_TIMEOUT));
        // One question for many topics. A broker says of a topic that exists that it exists, whatever else it is asked
        // for.
        let answers = tokio::select! {
            biased;
            () = stop.cancelled() => return Vec::new(),
            answers = self.admin.create_topics(&wanted, &options) => answers,
        };
        let all = |error: &PublishError| {
            names.iter().map(|name| (name.clone(), error.clone())).collect::<Vec<_>>()
        };
        let not_made = match answers {
            Ok(answers) => answers.into_iter().filter_map(outcome).collect(),
            Err(KafkaError::AdminOpCreation(reason)) => {
                all(&PublishError::Configuration(ConfigurationProblem::Topics { reason }))
            }
            Err(error) => all(&PublishError::Broken(Breakage::Topics { error })),
        };
        self.missing(not_made, stop)
    }

    /// A topic's `cleanup.policy`; none when the broker does not tell it. The client library gives the same empty
    /// answer for a refusal and for a topic that the broker does not know yet. So the reader repeats the question until
    /// a broker knows the topic, and for a moment longer, because another broker may answer.
    async fn cleanup_policy(&self, topic: &str) -> Result<Option<String>, PublishError> {
        let options = AdminOptions::new().request_timeout(Some(ADMIN_TIMEOUT));
        let mut until = Instant::now() + KNOWN_WITHIN;
        let mut is_known = false;
        loop {
            let described = self
                .admin
                .describe_configs(&[ResourceSpecifier::Topic(topic)], &options)
                .await
                .map_err(|error| PublishError::Broken(Breakage::Topics { error }))?;
            if let Some(Ok(resource)) = described.into_iter().next()
                && !resource.entries.is_empty()
            {
                let policy = resource.get("cleanup.policy");
                return Ok(policy.and_then(|entry| entry.value.clone()));
            }
            if !is_known && exists(&self.admin, topic).unwrap_or(false) {
                is_known = true;
                until = until.min(Instant::now() + KNOWN_EVERYWHERE);
            }
            if Instant::now() >= until {
                return Ok(None);
            }
            tokio::time::sleep(KNOWN_STEP).await;
        }
    }

    /// Those of these topics that do not exist. Whoever may not create topics is not told that a topic exists, so it is
    /// asked for by itself.
    fn missing(
        &self,
        mut not_made: Vec<(String, PublishError)>,
        stop: &CancellationToken,
    ) -> Vec<(String, PublishError)> {
        let mut answers = true;
        not_made.retain(|(name, _)| {
            answers = answers && !stop.is_cancelled();
            // When one question has no answer, the next one has none either, and each would be waited for.
            let exists = if answers { exists(&self.admin, name) } else { Ok(false) };
            answers = exists.is_ok();
            !exists.unwrap_or(false)
        });
        not_made
    }
}

/// Makes the offset topic when it does not exist, and checks that it keeps the last offset of each connector for ever.
/// A cancelled `stop` ends the work early.
///
/// # Errors
/// [`PublishError::Configuration`] when the topic can never be created, or deletes old records, and
/// [`PublishError::Broken`] when the cluster does not answer.
pub async fn ensure_offset_topic(
    cluster: &Cluster,
    topic: &str,
    new: &NewTopics,
    stop: &CancellationToken,
) -> Result<(), PublishError> {
    let admin = TopicAdmin::new(cluster)?;
    let failed = admin.make(&[topic.to_owned()], new, stop).await;
    if let Some((_, error)) = failed.into_iter().next() {
        return Err(error);
    }
    let policy = tokio::select! {
        biased;
        () = stop.cancelled() => return Ok(()),
        policy = admin.cleanup_policy(topic) => policy?,
    };
    match policy {
        Some(policy) if policy != COMPACT => {
            let topic = topic.to_owned();
            Err(PublishError::Configuration(ConfigurationProblem::OffsetTopic { topic, policy }))
        }
        Some(_) => Ok(()),
        None => {
            tracing::warn!(
                topic,
                "Kafka does not tell the settings of the offset topic, and the reader may lack the right DescribeConfigs: make sure that the topic has cleanup.policy=compact alone"
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_makes_fewer_topics_when_each_has_many_partitions() {
        let per_request =
            |partitions| NewTopics { partitions, ..NewTopics::default() }.per_request();
        assert_eq!(per_request(None), 50);
        assert_eq!(
            [1, 20, 100, 1000, 5000, -1].map(|count| per_request(Some(count))),
            [100, 100, 20, 2, 1, 50]
        );
    }
}
