//! Topics of Debezium and of the reader side by side, without what must differ.
//!
//! In: the prefixes of two connectors that capture the same database. Out: each record as one line; equal lines mean
//! equal bytes but for the prefix, the time at which an event was made, the `runId`, and the position and time of a
//! snapshot's rows.

use std::collections::BTreeMap;

use devstack::{shared, try_wait_for};

use super::{PATIENCE, Record, topics_of};

/// Waits until both have sent the same, and have written to this topic. Fails silently: the caller compares.
pub(crate) fn wait_until_same(
    theirs: &str,
    ours: &str,
    last_topic: &str,
    wanted: impl Fn(&str) -> Option<String>,
) {
    let _ = try_wait_for(PATIENCE, "both to have sent the same", || {
        let [expected, actual] = side_by_side(theirs, ours, &wanted);
        let ended = [&expected, &actual].iter().all(|topics| topics.contains_key(last_topic));
        ended && expected == actual
    });
}

/// The lines of both, by topic, Debezium's first. Topics without records are left out: the reader makes a topic when it
/// starts, Debezium with the first record. `wanted` chooses the records that are compared, and may change their lines.
pub(crate) fn side_by_side(
    theirs: &str,
    ours: &str,
    wanted: impl Fn(&str) -> Option<String>,
) -> [BTreeMap<String, Vec<String>>; 2] {
    let bootstrap = &shared::stack().kafka_bootstrap;
    [theirs, ours].map(|prefix| {
        let topics = normal(topics_of(bootstrap, prefix), prefix, ours);
        let chosen = topics.into_iter().map(|(topic, lines)| {
            (topic, lines.iter().filter_map(|line| wanted(line)).collect::<Vec<_>>())
        });
        chosen.filter(|(_, lines)| !lines.is_empty()).collect()
    })
}

/// Each record as one line, what must differ taken out.
pub(crate) fn normal(
    topics: BTreeMap<String, Vec<Record>>,
    prefix: &str,
    shown: &str,
) -> BTreeMap<String, Vec<String>> {
    let line = |record: &Record| {
        let value = record.value.as_deref().map_or_else(|| "(tombstone)".to_owned(), normal_value);
        let headers: Vec<String> = record
            .headers
            .iter()
            .map(|(name, value)| match (name.as_str(), value) {
                ("__debezium.context.runId", Some(id)) => {
                    // A version 7 UUID: the digit after the second hyphen.
                    assert_eq!((id.len(), &id[14..15]), (36, "7"), "{id}");
                    format!("{name}=UUIDv7")
                }
                (_, value) => format!("{name}={value:?}"),
            })
            .collect();
        format!("{:?} {value} {}", record.key, headers.join(",")).replace(prefix, shown)
    };
    topics.into_iter().map(|(topic, records)| (topic, records.iter().map(line).collect())).collect()
}

/// The time at which the event was made, and of a snapshot's row its position and time.
fn normal_value(value: &str) -> String {
    let (rest, made) = value.split_at(value.rfind(",\"ts_ms\":").unwrap());
    let made = without_numbers(made, &["ts_ms", "ts_us", "ts_ns"]);
    let (row, source) = rest.split_at(rest.rfind(",\"source\":{").unwrap());
    let source = if source.ends_with("\"op\":\"r\"") {
        without_numbers(source, &["ts_ms", "ts_us", "ts_ns", "txId", "lsn", "sequence"])
    } else {
        source.to_owned()
    };
    format!("{row}{source}{made}")
}

/// The text with `#` for every digit of these fields' values.
fn without_numbers(text: &str, fields: &[&str]) -> String {
    let mut out = String::new();
    for part in text.split_inclusive(',') {
        let named = fields.iter().any(|field| {
            part.split_once(':').is_some_and(|(name, _)| name.ends_with(&format!("\"{field}\"")))
        });
        // A sequence has a comma inside: its second half begins with an escaped quote.
        if named || part.starts_with("\\\"") {
            let mut digits = false;
            for letter in part.chars() {
                match (letter.is_ascii_digit(), digits) {
                    (true, false) => out.push('#'),
                    (true, true) => {}
                    (false, _) => out.push(letter),
                }
                digits = letter.is_ascii_digit();
            }
        } else {
            out.push_str(part);
        }
    }
    out
}
