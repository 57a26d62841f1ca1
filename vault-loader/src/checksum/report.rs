//! The checksums of a vault, printed and compared. Pure.
//!
//! In: a digest for each table. Out: lines or JSON, and what differs between two reports.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::tables::Kind;

/// What the digests are made of. Another way of making them gets another number, and is not compared with this one.
pub(super) const VERSION: u32 = 1;

/// The checksums of a vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) checksum_version: u32,
    pub(super) tables: Vec<TableSum>,
}

/// The checksum of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TableSum {
    pub(super) table: String,
    pub(super) kind: Kind,
    pub(super) rows: u64,
    pub(super) digest: String,
    /// columns that count, in the order in which they are hashed
    pub(super) columns: Vec<String>,
    /// columns that depend on more than the topics
    pub(super) left_out: Vec<String>,
}

impl Report {
    /// A line for each table.
    pub(super) fn lines(&self) -> String {
        let width = self.tables.iter().map(|table| table.table.len()).max().unwrap_or_default();
        let mut text = String::new();
        for TableSum { table, rows, digest, .. } in &self.tables {
            let _ = writeln!(text, "{table:width$}  {rows:>12}  {digest}");
        }
        text
    }

    /// What differs from another report, a line for each table. `only` are the tables that were asked for; none for all
    /// of both.
    pub(super) fn differences(&self, other: &Self, only: &[String]) -> Vec<String> {
        let is_asked = |table: &&TableSum| only.is_empty() || only.contains(&table.table);
        let find = |report: &'_ Self, name: &str| {
            report.tables.iter().position(|table| table.table == name)
        };
        let mut found = Vec::new();
        for table in self.tables.iter().filter(is_asked) {
            let Some(place) = find(other, &table.table) else {
                found.push(format!("{}: is not in the file", table.table));
                continue;
            };
            found.extend(table.difference(&other.tables[place]));
        }
        let missing = other.tables.iter().filter(is_asked);
        let missing = missing.filter(|table| find(self, &table.table).is_none());
        found.extend(missing.map(|table| format!("{}: is not in this vault", table.table)));
        found
    }
}

impl TableSum {
    fn difference(&self, other: &Self) -> Option<String> {
        let name = &self.table;
        if self.columns != other.columns {
            let without = |these: &[String], those: &[String]| {
                let more = these.iter().filter(|column| !those.contains(column));
                more.cloned().collect::<Vec<_>>().join(", ")
            };
            return Some(format!(
                "{name}: has other columns: here alone [{}], in the file alone [{}]",
                without(&self.columns, &other.columns),
                without(&other.columns, &self.columns)
            ));
        }
        if self.rows != other.rows {
            return Some(format!("{name}: {} rows here, {} in the file", self.rows, other.rows));
        }
        (self.digest != other.digest).then(|| format!("{name}: as many rows, other content"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, rows: u64, digest: &str, columns: &[&str]) -> TableSum {
        TableSum {
            table: name.to_owned(),
            kind: Kind::Satellite,
            rows,
            digest: digest.to_owned(),
            columns: columns.iter().map(|&column| column.to_owned()).collect(),
            left_out: Vec::new(),
        }
    }

    #[test]
    fn every_difference_names_its_table() {
        let report = |tables| Report { checksum_version: VERSION, tables };
        let here = report(vec![
            table("a", 1, "00", &["x"]),
            table("b", 1, "00", &["x"]),
            table("c", 1, "00", &["x"]),
            table("d", 1, "00", &["x", "y"]),
            table("e", 1, "00", &["x"]),
        ]);
        let there = report(vec![
            table("a", 1, "00", &["x"]),
            table("b", 2, "00", &["x"]),
            table("c", 1, "01", &["x"]),
            table("d", 1, "00", &["x", "z"]),
            table("f", 1, "00", &["x"]),
        ]);
        assert_eq!(
            here.differences(&there, &[]),
            [
                "b: 1 rows here, 2 in the file",
                "c: as many rows, other content",
                "d: has other columns: here alone [y], in the file alone [z]",
                "e: is not in the file",
                "f: is not in this vault",
            ]
        );
        assert_eq!(here.differences(&here, &[]), Vec::<String>::new());
        let only = ["c".to_owned()];
        assert_eq!(here.differences(&there, &only), ["c: as many rows, other content"]);
    }
}
