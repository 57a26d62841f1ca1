//! What is rebuilt: the vault of all sources of the warehouse, as the models that are in force describe it.
//!
//! In: the warehouse's models, and what operators have decided. Out: plans, names of tables and topics, and where each
//! partition begins and ends for a vault that is loaded anew.

use foldhash::{HashMap, HashSet};
use std::sync::Arc;
use tokio_postgres::{Client, GenericClient};

use super::error::RebuildError;
use super::writers::Work;
use crate::batch::Partition;
use crate::config::Config;
use crate::consume::Span;
use crate::control::{self, Decisions, LoadedPartition, Lost};
use crate::epoch::Epochs;
use crate::migrate::ddl;
use crate::model::{self, GrownColumn, Plan, Schemas, TableId};
use crate::vault::hash::{HASH_VERSION, Hash, fingerprint};

/// The vault of all sources.
pub(super) struct Vault {
    /// one for each source, without the columns that satellites have grown
    pub(super) plans: Vec<Plan>,
    /// names of the vault's tables
    pub(super) tables: Vec<String>,
    pub(super) topics: Vec<String>,
    pub(super) record_sources: Vec<String>,
    pub(super) decisions: Decisions,
}

impl Vault {
    /// Reads models and decisions.
    pub(super) async fn read(client: &mut Client, config: &Config) -> Result<Self, RebuildError> {
        let migrated = "SELECT to_regclass('dwh_control.warehouse') IS NOT NULL";
        if !client.query_one(migrated, &[]).await?.get::<_, bool>(0) {
            return Err(RebuildError::NoModel);
        }
        let transaction = client.transaction().await?;
        if !control::pending_migrations(&transaction).await?.is_empty() {
            return Err(RebuildError::NotMigrated);
        }
        let secret = config.key_secret.as_ref().map(fingerprint);
        let secret = secret.as_ref().map(Hash::as_slice);
        if let Some(problem) = control::key_secret_problem(&transaction, secret).await? {
            return Err(RebuildError::SetUp(problem.to_owned()));
        }
        let mut plans = Vec::new();
        for stored in control::last_models(&transaction).await? {
            if stored.hash_version != i32::from(HASH_VERSION) {
                return Err(RebuildError::Version(stored.source, stored.hash_version));
            }
            let parsed = model::parse(&stored.text);
            let model = parsed.map_err(|error| RebuildError::Model(stored.source, error))?;
            plans.push(Plan::new(model).with_key_secret(config.key_secret.clone()));
        }
        if plans.is_empty() {
            return Err(RebuildError::NoModel);
        }
        let mut tables: Vec<String> =
            plans.iter().flat_map(ddl::tables).map(|table| table.name).collect();
        tables.sort_unstable();
        tables.dedup();
        let all = || plans.iter().flat_map(|plan| plan.tables.iter());
        let topics: Vec<String> = all().map(|table| table.topic.clone()).collect();
        let record_sources: Vec<String> = all().map(|table| table.record_source.clone()).collect();
        let decisions = control::read_decisions(&transaction, &topics, &record_sources).await?;
        transaction.commit().await?;
        Ok(Self { plans, tables, topics, record_sources, decisions })
    }

    /// Whether operators have decided something since the vault was read.
    pub(super) async fn is_decided_anew(
        &self,
        client: &impl GenericClient,
    ) -> Result<bool, RebuildError> {
        let now = control::read_decisions(client, &self.topics, &self.record_sources).await?;
        Ok(now != self.decisions)
    }

    /// The first offset that a vault can be loaded from: what lies before was accepted as lost.
    pub(super) fn beginning(&self, topic: &str, partition: i32) -> i64 {
        let gaps = self.gaps_of(topic, partition);
        gaps.fold(0, |start, gap| if gap.first <= start { start.max(gap.last + 1) } else { start })
    }

    /// The offset behind the last record before an offset: right before it there may be none, but a gap.
    fn end_before(&self, topic: &str, partition: i32, end: i64) -> i64 {
        let gaps: Vec<&Lost> = self.gaps_of(topic, partition).collect();
        gaps.iter().rev().fold(end, |end, gap| if gap.last + 1 == end { gap.first } else { end })
    }

    fn gaps_of<'v>(&'v self, topic: &'v str, partition: i32) -> impl Iterator<Item = &'v Lost> {
        let gaps = self.decisions.gaps.iter();
        gaps.filter(move |gap| gap.topic == topic && gap.partition == partition)
    }

    /// The partitions with the offsets at which a rebuilt vault begins.
    pub(super) fn beginnings(&self, live: &[LoadedPartition]) -> Vec<(LoadedPartition, i64)> {
        live.iter().map(|at| (at.clone(), self.beginning(&at.topic, at.partition))).collect()
    }

    /// What is to be loaded so that the rebuilt vault is where the live one is.
    pub(super) fn work(
        &self,
        live: &[LoadedPartition],
        rebuilt: &std::collections::HashMap<(String, i32), i64>,
        grown: &[GrownColumn],
        mut epochs: std::collections::HashMap<String, Epochs>,
    ) -> Vec<Work> {
        let mut work = Vec::new();
        for plan in &self.plans {
            let plan = plan.grown(grown).in_schemas(Schemas::REBUILT);
            let mut of_tables: HashMap<TableId, Epochs> = HashMap::default();
            for (id, table) in plan.tables.with_ids() {
                if let Some(found) = epochs.remove(&table.record_source) {
                    of_tables.insert(id, found);
                }
            }
            let spans = live.iter().filter_map(|at| {
                let table = plan.tables.find_id(|table| table.topic == at.topic)?;
                let start = *rebuilt.get(&(at.topic.clone(), at.partition))?;
                let end = self.end_before(&at.topic, at.partition, at.next_offset);
                let skipped = Arc::new(self.dropped(&at.topic, at.partition));
                let from = Partition { table, partition: at.partition };
                (start < end).then_some(Span { from, start, end, skipped })
            });
            let spans: Vec<Span> = spans.collect();
            if !spans.is_empty() {
                work.push(Work { plan: Arc::new(plan), epochs: Arc::new(of_tables), spans });
            }
        }
        work
    }

    /// Whether the rebuilt vault is where the live one is.
    pub(super) fn is_complete(
        &self,
        live: &[LoadedPartition],
        rebuilt: &std::collections::HashMap<(String, i32), i64>,
    ) -> bool {
        live.iter().all(|at| {
            let end = self.end_before(&at.topic, at.partition, at.next_offset);
            let begins = self.beginning(&at.topic, at.partition);
            let stands = rebuilt.get(&(at.topic.clone(), at.partition));
            stands.is_some_and(|&stands| stands == end.max(begins))
        })
    }

    /// Offsets of events that an operator took out of the quarantine without loading them.
    fn dropped(&self, topic: &str, partition: i32) -> HashSet<i64> {
        let dropped = self.decisions.dropped.iter();
        let here = dropped.filter(|(of, number, _)| of == topic && *number == partition);
        here.map(|(_, _, offset)| *offset).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault(gaps: &[(i64, i64)]) -> Vault {
        let lost =
            |&(first, last): &(i64, i64)| Lost { topic: "t".to_owned(), partition: 0, first, last };
        let decisions = Decisions { gaps: gaps.iter().map(lost).collect(), ..Decisions::default() };
        Vault {
            plans: Vec::new(),
            tables: Vec::new(),
            topics: Vec::new(),
            record_sources: Vec::new(),
            decisions,
        }
    }

    #[test]
    fn a_vault_begins_behind_the_gaps_at_the_beginning() {
        assert_eq!(vault(&[]).beginning("t", 0), 0);
        assert_eq!(vault(&[(0, 4)]).beginning("t", 0), 5);
        assert_eq!(vault(&[(0, 4), (5, 7)]).beginning("t", 0), 8);
        assert_eq!(vault(&[(3, 4)]).beginning("t", 0), 0, "what lies before it was loaded");
        assert_eq!(vault(&[(0, 4)]).beginning("t", 1), 0);
    }

    #[test]
    fn a_vault_ends_with_a_record() {
        assert_eq!(vault(&[]).end_before("t", 0, 9), 9);
        assert_eq!(vault(&[(5, 8)]).end_before("t", 0, 9), 5);
        assert_eq!(vault(&[(3, 4), (5, 8)]).end_before("t", 0, 9), 3);
        assert_eq!(vault(&[(5, 7)]).end_before("t", 0, 9), 9);
    }
}
