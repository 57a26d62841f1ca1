//! What the commands on snapshots say: lines, a table, or JSON.

use std::fmt::Write;

use chrono::{DateTime, NaiveDateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::build::{Built, Waiting};
use crate::control::BuiltSnapshot;

/// What one source's tables hold.
pub(super) struct Listed {
    pub(super) source: String,
    /// the calendar's time zone
    pub(super) zone: String,
    pub(super) built: Vec<BuiltSnapshot>,
    pub(super) waiting: Waiting,
}

/// A time as every command prints it.
pub(super) fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

fn by_clock(at: NaiveDateTime) -> String {
    at.format("%Y-%m-%d %H:%M").to_string()
}

/// A line about a snapshot that was built.
pub(super) fn built_line(source: &str, zone: &str, built: &Built) -> String {
    let mut line = format!("built {} {zone} of {source}:", by_clock(built.calendar_time));
    for (place, table) in built.tables.iter().enumerate() {
        let comma = if place == 0 { "" } else { "," };
        let _ = write!(line, "{comma} {} {} rows", table.table, table.rows);
        if let Some(versions) = table.versions {
            let _ = write!(line, " from {versions} new versions");
        }
        if table.removed > 0 {
            let _ = write!(line, " (removed {} old snapshots)", table.removed);
        }
    }
    let _ = write!(line, "; {:.1} s", built.took.as_secs_f64());
    line
}

/// Why snapshots wait whose time has come; none when none does.
pub(super) fn why(source: &str, waiting: &Waiting) -> Option<String> {
    let (first, _) = waiting.times.first()?;
    let (count, first) = (waiting.times.len(), instant(*first));
    let loaded = &waiting.loaded;
    let reason = match (loaded.unknown.as_slice(), loaded.known(), loaded.slowest()) {
        ([], Some(time), Some(slowest)) if time < waiting.times[0].0 => {
            format!("the source {slowest} is loaded up to {}", instant(time))
        }
        ([], ..) => "the next build makes them".to_owned(),
        (unknown, ..) => {
            format!("nobody knows up to when the source {} is loaded", unknown.join(", "))
        }
    };
    Some(format!("source {source}: {count} snapshots wait, the first is {first}: {reason}"))
}

/// Lines about what is not built.
pub(super) fn waiting_lines(source: &str, waiting: &Waiting) -> String {
    let mut text = why(source, waiting).map_or_else(String::new, |line| line + "\n");
    if let Some((date, _)) = waiting.next {
        let _ = writeln!(text, "source {source}: the next snapshot is that of {}", instant(date));
    }
    text
}

/// A table for the operator.
pub(super) fn table(listed: &[Listed]) -> String {
    let mut text = String::new();
    for of_source in listed {
        let names = of_source.built.iter().map(|built| built.table.len());
        let width = names.max().unwrap_or(0).max(5);
        let _ = writeln!(text, "source {}, calendar of {}", of_source.source, of_source.zone);
        let _ = writeln!(
            text,
            "{:16}  {:20}  {:width$}  {:>10}  {:>12}  {:20}  state",
            "calendar", "snapshot", "table", "rows", "new versions", "built"
        );
        for built in &of_source.built {
            let versions = built.versions_read.map_or("-".to_owned(), |count| count.to_string());
            let mut state = if built.is_stale { "stale" } else { "-" }.to_owned();
            if built.waiting_events > 0 {
                let _ = write!(state, ", {} events waited in the quarantine", built.waiting_events);
            }
            let _ = writeln!(
                text,
                "{:16}  {:20}  {:width$}  {:>10}  {versions:>12}  {:20}  {state}",
                by_clock(built.calendar_time),
                instant(built.date),
                built.table,
                built.rows_written,
                built.built_at.to_rfc3339_opts(SecondsFormat::Secs, true),
            );
        }
        text.push_str(&waiting_lines(&of_source.source, &of_source.waiting));
    }
    text
}

/// The same for programs.
pub(super) fn json(listed: &[Listed]) -> String {
    let sources: Vec<Value> = listed.iter().map(source_json).collect();
    format!("{}\n", json!({ "sources": sources }))
}

fn source_json(listed: &Listed) -> Value {
    let snapshot = |built: &BuiltSnapshot| {
        json!({
            "table": built.table,
            "snapshot_date": instant(built.date),
            "calendar_time": by_clock(built.calendar_time),
            "derived_from": built.derived_from.map(instant),
            "rows": built.rows_written,
            "new_versions": built.versions_read,
            "waiting_events": built.waiting_events,
            "is_stale": built.is_stale,
            "built_at": instant(built.built_at),
        })
    };
    let waiting = &listed.waiting;
    let dates = |times: &[(DateTime<Utc>, NaiveDateTime)]| -> Vec<String> {
        times.iter().map(|(date, _)| instant(*date)).collect()
    };
    json!({
        "source": listed.source,
        "time_zone": listed.zone,
        "snapshots": listed.built.iter().map(snapshot).collect::<Vec<_>>(),
        "loaded_up_to": waiting.loaded.known().map(instant),
        "sources_without_heartbeats": waiting.loaded.unknown,
        "waiting": dates(&waiting.times),
        "next": waiting.next.map(|(date, _)| instant(date)),
    })
}
