//! What a comparison finds, counted for each table of the vault, with the first keys of each. Pure.
//!
//! In: keys that differ, and the keys that wait in the quarantine. Out: a [`Report`]. A key that waits differs for a
//! known reason, so it is counted apart.

use std::collections::HashSet;
use std::fmt::Write as _;

use serde::Serialize;

use crate::vault::hash::Hash;

/// How a key differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Difference {
    /// the source has it, and the vault does not
    Missing,
    /// the vault has it, and the source does not
    Extra,
    /// both have it, with other content
    Different,
}

/// A key that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) difference: Difference,
    /// the hash key, in hexadecimal digits
    pub(super) hash_key: String,
    /// the business key, when it is to be shown
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<String>,
    /// in which way it differs
    pub(super) detail: &'static str,
    /// whether events of the key wait in the quarantine
    pub(super) waits: bool,
}

/// The comparison of one table of the vault.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Compared {
    /// table of the vault
    pub(super) vault_table: String,
    /// table of the source; none for a hub or link
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source_table: Option<String>,
    /// rows that were compared
    pub(super) rows: u64,
    pub(super) missing: u64,
    pub(super) extra: u64,
    pub(super) different: u64,
    /// keys that differ and have events in the quarantine
    pub(super) waiting: u64,
    /// keys that changed while the snapshot was taken: each of their states then counts as equal
    pub(super) changing: u64,
    /// the first keys that differ
    pub(super) shown: Vec<Finding>,
}

impl Compared {
    /// Counts a key that differs, and keeps it while there are less than `show`.
    pub(super) fn add(&mut self, finding: Finding, show: usize) {
        *if finding.waits {
            &mut self.waiting
        } else {
            match finding.difference {
                Difference::Missing => &mut self.missing,
                Difference::Extra => &mut self.extra,
                Difference::Different => &mut self.different,
            }
        } += 1;
        if self.shown.len() < show {
            self.shown.push(finding);
        }
    }

    /// Keys that differ without an event that waits.
    pub(super) fn found(&self) -> u64 {
        self.missing + self.extra + self.different
    }
}

/// The keys of a source's table whose events wait.
pub(super) type WaitingKeys = HashSet<Hash>;

/// What was compared, and what was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Report {
    /// name of the source
    pub(super) source: String,
    /// position in the source's log up to which both sides were compared
    pub(super) log_position: String,
    /// whether the snapshot has exactly the changes up to there
    pub(super) is_exact: bool,
    /// columns of the source that the vault does not have, and columns that were left out on demand
    pub(super) not_compared: Vec<String>,
    pub(super) tables: Vec<Compared>,
}

impl Report {
    /// Keys that differ without an event that waits.
    pub(super) fn found(&self) -> u64 {
        self.tables.iter().map(Compared::found).sum()
    }

    /// Keys that differ and wait.
    pub(super) fn waiting(&self) -> u64 {
        self.tables.iter().map(|table| table.waiting).sum()
    }

    /// Lines for people.
    pub(super) fn lines(&self) -> String {
        let mut text = format!("source {} at log position {}\n", self.source, self.log_position);
        for column in &self.not_compared {
            let _ = writeln!(text, "not compared: {column}");
        }
        let width = self.tables.iter().map(|table| table.vault_table.len()).max().unwrap_or(0);
        for table in &self.tables {
            let name = &table.vault_table;
            let _ = writeln!(text, "{name:width$}  {:>10} rows  {}", table.rows, outcome(table));
            for finding in &table.shown {
                let _ = writeln!(text, "    {}", line(finding));
            }
        }
        text
    }
}

fn outcome(table: &Compared) -> String {
    let Compared { missing, extra, different, waiting, changing, .. } = table;
    let mut parts = Vec::new();
    for (count, word) in [
        (missing, "missing"),
        (extra, "extra"),
        (different, "different"),
        (waiting, "waiting in the quarantine"),
        (changing, "changing at that moment"),
    ] {
        if *count > 0 {
            parts.push(format!("{count} {word}"));
        }
    }
    if table.found() + waiting == 0 {
        parts.insert(0, "equal".to_owned());
    }
    parts.join(", ")
}

fn line(finding: &Finding) -> String {
    let Finding { difference, hash_key, key, detail, waits } = finding;
    let word = match difference {
        Difference::Missing => "missing",
        Difference::Extra => "extra",
        Difference::Different => "different",
    };
    let key = key.as_ref().map_or(String::new(), |key| format!(" ({key})"));
    let waits = if *waits { "; events of the key wait in the quarantine" } else { "" };
    format!("{word}: hash key {hash_key}{key}: {detail}{waits}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_waits_is_counted_apart_and_shown() {
        let finding = |difference, waits| Finding {
            difference,
            hash_key: "ab".to_owned(),
            key: None,
            detail: "why",
            waits,
        };
        let mut table = Compared { vault_table: "sat_a".to_owned(), ..Compared::default() };
        table.add(finding(Difference::Missing, false), 2);
        table.add(finding(Difference::Missing, true), 2);
        table.add(finding(Difference::Extra, false), 2);
        assert_eq!((table.missing, table.extra, table.different, table.waiting), (1, 1, 0, 1));
        assert_eq!((table.found(), table.shown.len()), (2, 2));
        assert_eq!(outcome(&table), "1 missing, 1 extra, 1 waiting in the quarantine");
        assert_eq!(
            outcome(&Compared { changing: 3, ..Compared::default() }),
            "equal, 3 changing at that moment"
        );
        let text = line(&table.shown[1]);
        assert_eq!(text, "missing: hash key ab: why; events of the key wait in the quarantine");
    }
}
