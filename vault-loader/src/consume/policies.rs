//! Which topics Kafka compacts.
//!
//! In: names of topics. Out: a problem for each whose `cleanup.policy` names compaction or is not shown. A compacted
//! topic lacks events that were loaded, so that nothing can be loaded from it a second time.

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;

use super::error::ConsumeError;

/// How many topics one question names.
const ASKED_AT_ONCE: usize = 100;

/// The topics that may lack events, each with the reason and the remedy: those that are compacted, and those whose
/// configuration the brokers do not show.
///
/// # Errors
/// When Kafka does not answer.
pub(crate) async fn incomplete_topics(
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
                        found.push(format!(
                            "{topic}: Kafka compacts the topic, so it no longer holds every event that was loaded from \
                             it: set cleanup.policy=delete before events are loaded"
                        ));
                    }
                }
                Err(error) => {
                    found.push(format!(
                        "{topic}: Kafka does not show whether the topic is compacted ({error}): give the principal the \
                         right DescribeConfigs on the topic"
                    ));
                }
            }
        }
    }
    Ok(found)
}
