//! Figures for people and for programs.
//!
//! In: rows of text, JSON. Out: an aligned table, a file below `bench-results/`.
//! Invariant: a file is never written over.

use std::path::{Path, PathBuf};

use anyhow::Context;
use chrono::Utc;
use serde_json::Value;

const MIB: f64 = 1_048_576.0;

/// A table: the first column stands left, all others right.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> = head
        .iter()
        .enumerate()
        .map(|(index, name)| {
            let cells =
                rows.iter().filter_map(|row| row.get(index)).map(|cell| cell.chars().count());
            cells.chain([name.chars().count()]).max().unwrap_or(0)
        })
        .collect();
    let head: Vec<String> = head.iter().map(|&name| name.to_owned()).collect();
    let mut text = String::new();
    for row in [&head].into_iter().chain(rows) {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(
                |(index, (cell, &width))| {
                    if index == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
                },
            )
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// The index of the middle one by `key`; of two middle ones the faster, so that it is always a run that really took
/// place.
pub(super) fn median_index<T>(runs: &[T], key: impl Fn(&T) -> f64) -> usize {
    let mut order: Vec<usize> = (0..runs.len()).collect();
    order.sort_by(|&a, &b| key(&runs[a]).total_cmp(&key(&runs[b])));
    order.get(runs.len().saturating_sub(1) / 2).copied().unwrap_or(0)
}

/// A number of things a second, with thousands apart.
pub(super) fn rate(count: u64, seconds: f64) -> String {
    grouped(&format!("{:.0}", count as f64 / seconds.max(f64::EPSILON)))
}

/// A count with thousands apart.
pub(super) fn count(count: u64) -> String {
    grouped(&count.to_string())
}

/// Mebibytes.
pub(super) fn mib(bytes: u64) -> String {
    format!("{:.0}", bytes as f64 / MIB)
}

fn grouped(digits: &str) -> String {
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// Writes `<dir>/<name>-<now>.json`.
pub(super) fn write(dir: &Path, name: &str, report: &Value) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let path = dir.join(format!("{name}-{}.json", Utc::now().format("%Y%m%dT%H%M%S%3fZ")));
    let text = serde_json::to_string_pretty(report).context("cannot print the report")?;
    let mut file = std::fs::File::create_new(&path)
        .with_context(|| format!("cannot make {}", path.display()))?;
    std::io::Write::write_all(&mut file, text.as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows =
            [vec!["a".to_owned(), "1".to_owned()], vec!["long".to_owned(), "1000".to_owned()]];
        assert_eq!(table(&["who", "s"], &rows), "who      s\na        1\nlong  1000\n");
    }

    #[test]
    fn the_median_is_a_run_that_took_place() {
        assert_eq!(median_index(&[3.0, 1.0, 2.0], |x| *x), 2);
        assert_eq!(median_index(&[4.0, 1.0, 2.0, 3.0], |x| *x), 2);
        assert_eq!(median_index(&[1.0], |x| *x), 0);
    }

    #[test]
    fn thousands_stand_apart() {
        assert_eq!(count(7), "7");
        assert_eq!(count(123_456), "123 456");
        assert_eq!(rate(3_000_000, 2.0), "1 500 000");
    }

    #[test]
    fn a_report_is_written_whole_and_under_a_name_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let first = write(dir.path(), "bench", &serde_json::json!({"a": 1})).unwrap();
        let read: Value = serde_json::from_str(&std::fs::read_to_string(first).unwrap()).unwrap();
        assert_eq!(read["a"], 1);
    }
}
