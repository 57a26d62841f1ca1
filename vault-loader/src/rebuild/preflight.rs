//! Whether the vault can be rebuilt, before anything is done.
//!
//! In: the vault, Kafka and the warehouse's catalog. Out: what there is to do, or everything that is in the way, each
//! with a remedy. A rebuild makes a vault from what the topics hold now. So it is refused where the topics no longer
//! hold what was loaded, where something that is no event decided about rows, and where something hangs on the vault's
//! tables that cannot hang on others.

use std::collections::HashSet;

use tokio_postgres::Client;

use super::error::RebuildError;
use super::vault::Vault;
use super::{dependents, fresh};
use crate::config::Config;
use crate::consume::{PartitionEnds, asking_client, incomplete_topics, partition_ends};
use crate::control::{self, LoadedPartition};
use crate::model::Schemas;

/// What there is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// records to be loaded
    pub(super) events: u64,
    /// tables and indexes of the live vault in bytes
    pub(super) bytes: i64,
    /// views that read the vault's tables
    pub(super) views: usize,
}

/// Looks at everything.
pub(super) async fn check(
    client: &mut Client,
    config: &Config,
    vault: &Vault,
) -> Result<Found, RebuildError> {
    let live = control::loaded_partitions(client, Schemas::LIVE, &vault.topics).await?;
    let ends = partition_ends(&asking_client(config).await?, &vault.topics).await?.partitions;
    let mut problems = decided(vault);
    problems.extend(paused(client, vault).await?);
    problems.extend(missing(vault, &live, &ends));
    let loaded: HashSet<&str> = live.iter().map(|at| at.topic.as_str()).collect();
    let existing: Vec<String> =
        vault.topics.iter().filter(|topic| loaded.contains(topic.as_str())).cloned().collect();
    let kafka = config.kafka_client("vault-loader").map_err(crate::consume::ConsumeError::from)?;
    problems.extend(incomplete_topics(&kafka, &existing).await?);
    problems.extend(tables(client, vault).await?);
    problems.extend(dependents::strange(client, Schemas::LIVE.vault, &vault.tables).await?);
    let views = dependents::views(client, Schemas::LIVE.vault, &vault.tables).await?;
    problems.extend(dependents::trial(client, &views).await?);
    if !problems.is_empty() {
        return Err(RebuildError::Refused(problems));
    }
    may_make_schemas(client).await?;
    let count = |at: &LoadedPartition| at.next_offset - vault.beginning(&at.topic, at.partition);
    let events: i64 = live.iter().map(|at| count(at).max(0)).sum();
    Ok(Found {
        events: events.unsigned_abs(),
        bytes: fresh::size(client, &vault.tables).await?,
        views: views.len(),
    })
}

/// What operators have decided that no topic can tell.
fn decided(vault: &Vault) -> Vec<String> {
    let mut problems = Vec::new();
    for (source, epoch, is_new_topic) in &vault.decisions.epochs {
        if *is_new_topic {
            problems.push(format!(
                "{source}: epoch {epoch} began with another topic, and no topic that is read holds the events before: a rebuild would lose \
                 the history before that epoch"
            ));
        }
    }
    for topic in &vault.decisions.closed {
        problems.push(format!(
            "{topic}: `vault-loader epoch close-missing` has closed rows, and no record says when: a rebuild would close others, or none"
        ));
    }
    problems
}

/// Tables that stand still.
async fn paused(client: &Client, vault: &Vault) -> Result<Vec<String>, RebuildError> {
    let pauses = control::read_pauses(client, &vault.topics).await?;
    let line = |pause: &control::StoredPause| {
        format!("{}: its loading stands still: {}: {}", pause.topic, pause.reason, pause.remedy)
    };
    Ok(pauses.iter().map(line).collect())
}

/// Events that were loaded and that Kafka no longer has.
fn missing(vault: &Vault, live: &[LoadedPartition], ends: &[PartitionEnds]) -> Vec<String> {
    let mut problems = Vec::new();
    for LoadedPartition { topic, partition, next_offset, .. } in live {
        let first = vault.beginning(topic, *partition);
        if first >= *next_offset {
            continue;
        }
        let same = |ends: &&PartitionEnds| ends.topic == *topic && ends.partition == *partition;
        problems.extend(match ends.iter().find(same) {
            None => Some(format!(
                "{topic} partition {partition}: Kafka does not have it, and {next_offset} offsets of it were loaded: a rebuild would lose them"
            )),
            Some(found) if found.first > first => Some(format!(
                "{topic} partition {partition}: Kafka has deleted the offsets {first} to {}, which were loaded: a rebuild would lose what retention \
                 has removed, so it needs topics that keep everything (retention.ms=-1, retention.bytes=-1)",
                found.first - 1
            )),
            Some(found) if found.end < *next_offset => Some(format!(
                "{topic} partition {partition}: Kafka ends at offset {}, and everything before {next_offset} was loaded: the topic was made again, \
                 or has lost records",
                found.end
            )),
            Some(_) => None,
        });
    }
    problems
}

/// Tables that the models do not explain.
async fn tables(client: &mut Client, vault: &Vault) -> Result<Vec<String>, RebuildError> {
    let transaction = client.transaction().await?;
    let made = control::made_tables(&transaction).await?;
    transaction.commit().await?;
    let mut problems = Vec::new();
    for name in made.keys().filter(|name| !vault.tables.contains(*name)) {
        problems.push(format!(
            "dwh_detailed.{name}: `vault-loader migrate` made it, and no model that is in force describes it: a rebuild cannot fill it, so drop it \
             together with its row in dwh_control.vault_tables, or give it its model back"
        ));
    }
    let sql = "SELECT to_regclass(format('dwh_detailed.%I', $1::text)) IS NOT NULL";
    for name in &vault.tables {
        if !client.query_one(sql, &[name]).await?.get::<_, bool>(0) {
            problems
                .push(format!("dwh_detailed.{name} does not exist: run `vault-loader migrate`"));
        }
    }
    Ok(problems)
}

async fn may_make_schemas(client: &Client) -> Result<(), RebuildError> {
    let sql = "SELECT has_database_privilege(current_database(), 'CREATE'), current_user::text,
                      quote_ident(current_database())";
    let row = client.query_one(sql, &[]).await?;
    if row.get(0) {
        return Ok(());
    }
    let (role, database): (&str, &str) = (row.get(1), row.get(2));
    Err(RebuildError::SetUp(format!(
        "the role {role} may not make schemas, and a rebuild needs three of its own for a while: let a superuser run \
         GRANT CREATE ON DATABASE {database} TO {role}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{Decisions, Lost};

    fn vault(gap: Option<(i64, i64)>) -> Vault {
        let lost = |(first, last)| Lost { topic: "a.b.c".to_owned(), partition: 1, first, last };
        let decisions =
            Decisions { gaps: gap.map(lost).into_iter().collect(), ..Decisions::default() };
        Vault {
            plans: Vec::new(),
            tables: Vec::new(),
            topics: Vec::new(),
            record_sources: Vec::new(),
            decisions,
        }
    }

    #[test]
    fn what_was_loaded_must_still_be_there() {
        let topic = || "a.b.c".to_owned();
        let live = [LoadedPartition { topic: topic(), partition: 1, next_offset: 9, epoch: 0 }];
        let ends = |first, end| [PartitionEnds { topic: topic(), partition: 1, first, end }];
        let found = |gap, ends: &[PartitionEnds]| missing(&vault(gap), &live, ends);
        assert!(found(None, &ends(0, 9)).is_empty());
        assert!(found(None, &ends(4, 9))[0].contains("deleted the offsets 0 to 3"));
        assert!(found(None, &ends(0, 8))[0].contains("ends at offset 8"));
        assert!(found(None, &[])[0].contains("does not have it"));
        assert!(found(Some((0, 3)), &ends(4, 9)).is_empty(), "the loss was accepted");
        assert!(found(Some((0, 3)), &ends(5, 9))[0].contains("deleted the offsets 4 to 4"));
        assert!(found(Some((0, 8)), &ends(9, 9)).is_empty(), "nothing was loaded");
    }
}
