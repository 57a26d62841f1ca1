//! Which topics Kafka compacts.
//!
//! In: names of topics. Out: those whose `cleanup.policy` names compaction. A compacted topic lacks events that were
//! loaded, so that nothing can be loaded from it a second time.

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;

use super::error::ConsumeError;

/// How many topics one question names.
const ASKED_AT_ONCE: usize = 100;

/// The topics that are compacted. A topic whose configuration the brokers do not show is left out and logged.
///
/// # Errors
/// When Kafka does not answer.
pub(crate) async fn compacted_topics(
    client: &ClientConfig,
    topics: &[String],
) -> Result<Vec<String>, ConsumeError> {
    let admin: AdminClient<DefaultClientContext> = client.create()?;
    let options = AdminOptions::new();
    let mut found = Vec::new();
    for topics in topics.chunks(ASKED_AT_ONCE) {
        let asked: Vec<ResourceSpecifier<'_>> =
            topics.iter().map(|topic| ResourceSpecifier::Topic(topic)).collect();
        let answers = admin.describe_configs(&asked, &options).await?;
        for (topic, answer) in topics.iter().zip(&answers) {
            match answer {
                Ok(resource) => {
                    let policy = resource.get("cleanup.policy");
                    let policy = policy.and_then(|entry| entry.value.as_deref());
                    if policy.is_some_and(|policy| policy.contains("compact")) {
                        found.push(topic.clone());
                    }
                }
                Err(error) => {
                    tracing::warn!(topic, %error, "Kafka does not show whether the topic is compacted");
                }
            }
        }
    }
    Ok(found)
}
