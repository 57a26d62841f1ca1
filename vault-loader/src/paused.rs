//! The tables that stand still: each with the reason, the remedy, and since when.
//!
//! In: pauses that the loader has stored in the warehouse, and the partitions that an assignment brings. Out: an answer
//! to "may this table go on?" for the intake and the loader, a list for `/health`, and a gauge. A pause belongs to the
//! partition that holds the fault. It ends here when the partition goes to another loader, or when somebody has loaded
//! past the fault. The loader's other tables go on meanwhile.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use crate::batch::Partition;
use crate::metrics::Metrics;

/// Where a table cannot go on, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TablePause {
    /// the partition that holds the fault; the table's other partitions pause with it
    pub from: Partition,
    /// the first record that is not loaded
    pub offset: i64,
    /// what is wrong; never shows a value
    pub reason: String,
    /// what an operator has to do
    pub remedy: String,
}

/// A table that stands still, as `/health` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PausedTable {
    /// the table's topic
    pub topic: String,
    /// the partition that holds the fault
    pub partition: i32,
    /// the first record that is not loaded
    pub offset: i64,
    /// what is wrong
    pub reason: String,
    /// what an operator has to do
    pub remedy: String,
    /// when the table first stopped at this record
    pub since: String,
}

/// The paused tables of this process, by topic. Clones share them.
#[derive(Clone)]
pub struct PausedTables {
    tables: Arc<Mutex<BTreeMap<String, PausedTable>>>,
    metrics: Arc<Metrics>,
}

impl PausedTables {
    /// No table is paused.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { tables: Arc::default(), metrics }
    }

    /// Pauses the table of a topic, and logs that. `false`, without a log line, when it is paused there already.
    pub fn pause(&self, topic: &str, pause: &TablePause, since: DateTime<Utc>) -> bool {
        let paused = PausedTable {
            topic: topic.to_owned(),
            partition: pause.from.partition,
            offset: pause.offset,
            reason: pause.reason.clone(),
            remedy: pause.remedy.clone(),
            since: since.to_rfc3339_opts(SecondsFormat::Secs, true),
        };
        self.metrics.paused(topic);
        let is_new = self.lock().insert(topic.to_owned(), paused.clone()) != Some(paused);
        if is_new {
            let TablePause { from, offset, reason, remedy } = pause;
            tracing::error!(
                topic,
                partition = from.partition,
                offset,
                reason,
                remedy,
                "a table is paused, all others go on"
            );
        }
        is_new
    }

    /// Whether the table of this topic stands still.
    #[must_use]
    pub fn contains(&self, topic: &str) -> bool {
        self.lock().contains_key(topic)
    }

    /// How many tables stand still.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// Whether no table stands still.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// All of them, by topic.
    #[must_use]
    pub fn list(&self) -> Vec<PausedTable> {
        self.lock().values().cloned().collect()
    }

    /// After an assignment of these partitions with their next offsets: ends the pauses whose fault is not among the
    /// records that this process will read.
    pub fn keep_assigned(&self, assigned: &[(String, i32)], next_offsets: &[i64]) {
        self.lock().retain(|topic, paused| {
            let stays = assigned.iter().zip(next_offsets).any(|((name, partition), next)| {
                name == topic && *partition == paused.partition && *next <= paused.offset
            });
            if !stays {
                tracing::info!(topic, "the table is no longer paused by this loader");
                self.metrics.goes_on(topic);
            }
            stays
        });
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, PausedTable>> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Id, TableId};

    fn paused(partition: i32, offset: i64) -> PausedTables {
        let tables = PausedTables::new(Arc::new(Metrics::new("s")));
        let from = Partition { table: TableId::from_index(0), partition };
        let pause = TablePause { from, offset, reason: "r".to_owned(), remedy: "m".to_owned() };
        assert!(tables.pause("t", &pause, DateTime::UNIX_EPOCH));
        assert!(!tables.pause("t", &pause, DateTime::UNIX_EPOCH), "it is the same pause");
        tables
    }

    #[track_caller]
    fn check(assigned: &[(&str, i32, i64)], stays: bool) {
        let tables = paused(1, 5);
        let partitions: Vec<_> = assigned
            .iter()
            .map(|(topic, partition, _)| ((*topic).to_owned(), *partition))
            .collect();
        let offsets: Vec<_> = assigned.iter().map(|(_, _, offset)| *offset).collect();
        tables.keep_assigned(&partitions, &offsets);
        assert_eq!(tables.contains("t"), stays);
        assert_eq!(
            tables.metrics.expose().contains("paused_tables{source=\"s\",topic=\"t\"} 1"),
            stays
        );
    }

    #[test]
    fn a_pause_lasts_as_long_as_this_loader_has_the_fault_before_it() {
        check(&[("t", 0, 9), ("t", 1, 5)], true);
        check(&[("t", 1, 3)], true);
        // Somebody has loaded past the fault.
        check(&[("t", 1, 6)], false);
        // Another loader has the partition.
        check(&[("t", 0, 5), ("u", 1, 5)], false);
        check(&[], false);
    }
}
