//! What was found and done, for people and as JSON. Pure.

use std::fmt::Write as _;

use serde::Serialize;

use super::source::{AbsentRow, Table};
use crate::cli::{OutcomeFormat, ReconcileArgs};
use crate::exit;

/// What was done, and what is to be printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Lines for people, or one JSON object.
    pub printed: String,
    /// Whether there are rows whose deletes were not published because nobody asked for it.
    is_left: bool,
}

impl Outcome {
    /// The process's exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        if self.is_left { exit::FAILED } else { exit::OK }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Report {
    published: bool,
    tables: Vec<TableReport>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct TableReport {
    table: String,
    topic: String,
    /// Rows of the file.
    rows: usize,
    /// Those that the source does not have.
    deletes: usize,
    /// Those that the source has again.
    exist_again: usize,
    /// The first of the deletes.
    shown: Vec<Shown>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Shown {
    hash_key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

/// Tells what became of the rows of these tables.
pub(super) fn tell(tables: &[Table], args: &ReconcileArgs) -> Outcome {
    let of_table = |table: &Table| TableReport {
        table: table.capture.plan.table().display(),
        topic: table.capture.topic.to_string(),
        rows: table.rows,
        deletes: table.absent.len(),
        exist_again: table.rows - table.absent.len(),
        shown: table.absent.iter().take(args.show).map(|row| shown(row, args.show_keys)).collect(),
    };
    let report = Report { published: args.publish, tables: tables.iter().map(of_table).collect() };
    let printed = match args.format {
        OutcomeFormat::Text => lines(&report),
        OutcomeFormat::Json => format!("{}\n", serde_json::json!(report)),
    };
    let is_left = !args.publish && report.tables.iter().any(|table| table.deletes > 0);
    Outcome { printed, is_left }
}

fn shown(absent: &AbsentRow, with_key: bool) -> Shown {
    let columns = absent.row.key.iter().map(|(name, value)| format!("{name}={value}"));
    let key = with_key.then(|| columns.collect::<Vec<_>>().join(", "));
    Shown { hash_key: absent.row.hash_key.clone(), key }
}

fn lines(report: &Report) -> String {
    let mut text = String::new();
    let done = if report.published { "published" } else { "to be published with --publish" };
    for TableReport { table, topic, deletes, exist_again, shown, .. } in &report.tables {
        let _ = write!(text, "{table}: {deletes} deletes {done} to {topic}");
        let again = match exist_again {
            0 => String::new(),
            count => format!(", {count} rows left out because the source has them again"),
        };
        let _ = writeln!(text, "{again}");
        for Shown { hash_key, key } in shown {
            let key = key.as_ref().map_or(String::new(), |key| format!(" ({key})"));
            let _ = writeln!(text, "    hash key {hash_key}{key}");
        }
    }
    if report.tables.is_empty() { "the file has no rows\n".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(published: bool) -> Report {
        let key = Some("seat_no=1A".to_owned());
        let shown = vec![Shown { hash_key: "ab".to_owned(), key }];
        let (table, topic) = ("public.seats".to_owned(), "a.public.seats".to_owned());
        let table = TableReport { table, topic, rows: 3, deletes: 1, exist_again: 2, shown };
        Report { published, tables: vec![table] }
    }

    #[test]
    fn the_lines_say_what_was_done_and_what_was_left_out() {
        assert_eq!(
            lines(&report(true)),
            "public.seats: 1 deletes published to a.public.seats, 2 rows left out because the source has them again\n    \
             hash key ab (seat_no=1A)\n"
        );
        assert!(lines(&report(false)).contains("1 deletes to be published with --publish"));
        assert_eq!(
            lines(&Report { published: true, tables: Vec::new() }),
            "the file has no rows\n"
        );
    }
}
