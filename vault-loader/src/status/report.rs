//! The report of `vault-loader status`: what is shown, as a table for people or as JSON.

use std::collections::HashMap;
use std::fmt::Write;

use chrono::SecondsFormat;
use serde::Serialize;
use shared::position::Lsn;

use super::rates::Rates;
use super::waiting::Waiting;
use crate::consume::PartitionEnds;
use crate::control::{AcceptedGap, Gap, StoredPause, StoredWatermark, WarehouseOffset};

/// Where one partition stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    /// name of the source
    pub source: String,
    /// Kafka topic
    pub topic: String,
    /// partition of it
    pub partition: i32,
    /// first offset that is not loaded; 0 when the loader never saw the partition
    pub next_offset: i64,
    /// behind the last record in Kafka
    pub high_watermark: i64,
    /// events published and not loaded; where many wait, the offsets between the two ends
    pub lag_events: i64,
    /// bytes of keys and values that wait, estimated where many wait; none when unknown
    pub lag_bytes: Option<i64>,
    /// seconds since the oldest event that waits was published; 0 when none waits, none when unknown
    pub lag_seconds: Option<f64>,
    /// offsets that Kafka deleted before they were loaded, and whose loss was accepted
    pub lost_offsets: i64,
    /// commit time at the source of the last event loaded
    pub source_committed: Option<String>,
    /// why the table stands still; none when it does not
    pub paused: Option<String>,
}

/// Events of a topic that are in quarantine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Quarantined {
    /// Kafka topic
    pub topic: String,
    /// how many
    pub events: i64,
}

/// Up to where all topics of a source are loaded.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Watermark {
    /// name of the source
    pub source: String,
    /// every change whose commit ends at or before this position of the source's log is loaded; none when unknown
    pub position: Option<String>,
    /// when the last known transaction before that position committed
    pub source_committed: Option<String>,
    /// every event that was published at or before this time is loaded; none when unknown
    pub published: Option<String>,
    /// seconds since that time
    pub age_seconds: Option<f64>,
}

impl Watermark {
    /// What the warehouse says of a source.
    pub(super) fn of(source: &str, stored: Option<&StoredWatermark>) -> Self {
        let text =
            |at: chrono::DateTime<chrono::Utc>| at.to_rfc3339_opts(SecondsFormat::Micros, true);
        let position = stored.and_then(|stored| u64::try_from(stored.source_lsn?).ok());
        Self {
            source: source.to_owned(),
            position: position.map(|position| Lsn(position).to_string()),
            source_committed: stored.and_then(|stored| stored.source_committed).map(text),
            published: stored.map(|stored| text(stored.published)),
            age_seconds: stored.map(|stored| age_seconds(stored.published.timestamp_millis())),
        }
    }
}

/// How far the loader is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// one for each partition
    pub partitions: Vec<Line>,
    /// topics of the model that do not exist
    pub missing_topics: Vec<String>,
    /// topics of tables that the source publishes and the model does not name
    pub topics_not_in_model: Vec<String>,
    /// events published and not loaded
    pub lag_events: i64,
    /// bytes that wait; none when one of the partitions does not tell
    pub lag_bytes: Option<i64>,
    /// seconds since the oldest event that waits was published; none when one of the partitions does not tell
    pub lag_seconds: Option<f64>,
    /// what happened within two seconds; none when nothing waits
    pub rates: Option<Rates>,
    /// events in quarantine
    pub quarantine: Vec<Quarantined>,
    /// one for each source
    pub watermarks: Vec<Watermark>,
}

impl Report {
    pub(super) fn new(
        partitions: Vec<Line>,
        missing_topics: Vec<String>,
        quarantine: Vec<(String, i64)>,
        rates: Option<Rates>,
    ) -> Self {
        let lag_seconds = partitions
            .iter()
            .map(|line| line.lag_seconds)
            .try_fold(0.0_f64, |longest, seconds| Some(longest.max(seconds?)));
        Self {
            lag_events: partitions.iter().map(|line| line.lag_events).sum(),
            lag_bytes: partitions.iter().map(|line| line.lag_bytes).sum(),
            lag_seconds,
            partitions,
            missing_topics,
            topics_not_in_model: Vec::new(),
            rates,
            quarantine: quarantine
                .into_iter()
                .map(|(topic, events)| Quarantined { topic, events })
                .collect(),
            watermarks: Vec::new(),
        }
    }
}

/// What is known about the topics beside Kafka.
pub(super) struct Known {
    /// name of each topic's source
    pub(super) sources: HashMap<String, String>,
    pub(super) stored: Vec<WarehouseOffset>,
    pub(super) pauses: Vec<StoredPause>,
    pub(super) gaps: Vec<AcceptedGap>,
}

/// What the warehouse says about a partition.
pub(super) fn stored_of<'s>(
    end: &PartitionEnds,
    stored: &'s [WarehouseOffset],
) -> Option<&'s WarehouseOffset> {
    stored.iter().find(|stored| stored.topic == end.topic && stored.partition == end.partition)
}

pub(super) fn line(
    end: &PartitionEnds,
    known: &Known,
    waiting: &HashMap<(String, i32), Waiting>,
) -> Line {
    let paused = known.pauses.iter().find(|pause| pause.topic == end.topic).map(|pause| {
        let StoredPause { reason, remedy, since, .. } = pause;
        format!("{reason}; {remedy} (since {})", since.to_rfc3339_opts(SecondsFormat::Secs, true))
    });
    let found = stored_of(end, &known.stored);
    let lost = known.gaps.iter().map(|accepted| &accepted.gap);
    let lost = lost.filter(|gap| gap.topic == end.topic && gap.partition == end.partition);
    let next_offset = found.map_or(0, |stored| stored.next_offset);
    let offsets = end.end.saturating_sub(next_offset).max(0);
    let nothing = Waiting { is_all: offsets == 0, ..Waiting::default() };
    let waiting = waiting.get(&(end.topic.clone(), end.partition)).copied().unwrap_or(nothing);
    let lag_events = waiting.records_of(offsets);
    Line {
        source: known.sources.get(&end.topic).cloned().unwrap_or_default(),
        lost_offsets: lost.map(Gap::offset_count).sum(),
        topic: end.topic.clone(),
        partition: end.partition,
        next_offset,
        high_watermark: end.end,
        lag_events,
        lag_bytes: waiting.bytes_of(offsets),
        lag_seconds: if lag_events == 0 { Some(0.0) } else { waiting.oldest_ms.map(age_seconds) },
        source_committed: found
            .and_then(|stored| stored.source_committed)
            .map(|at| at.to_rfc3339_opts(SecondsFormat::Micros, true)),
        paused,
    }
}

#[allow(clippy::cast_precision_loss, reason = "the age of an event in seconds")]
fn age_seconds(published_ms: i64) -> f64 {
    (chrono::Utc::now().timestamp_millis().saturating_sub(published_ms).max(0)) as f64 / 1000.0
}

/// Up to where all topics of each source are loaded, a line for each.
fn watermarks(report: &Report) -> String {
    let mut text = String::new();
    for watermark in &report.watermarks {
        let Watermark { source, position, published, age_seconds, .. } = watermark;
        let _ = match published {
            Some(published) => writeln!(
                text,
                "watermark of {source}: all topics are loaded up to {published} ({} ago), log position {}",
                seconds(*age_seconds),
                position.as_deref().unwrap_or("unknown")
            ),
            None => writeln!(text, "watermark of {source}: not known"),
        };
    }
    text
}

/// What an operator has to see to, a line each.
fn remarks(report: &Report) -> String {
    let (lines, mut text) = (&report.partitions, String::new());
    let mut paused: Vec<(&str, &str)> = lines
        .iter()
        .filter_map(|line| Some((line.topic.as_str(), line.paused.as_deref()?)))
        .collect();
    paused.dedup();
    for (topic, reason) in paused {
        let _ = writeln!(text, "paused: {topic}: {reason}");
    }
    for topic in &report.missing_topics {
        let _ = writeln!(text, "missing topic: {topic}");
    }
    for topic in &report.topics_not_in_model {
        let _ = writeln!(text, "not in the model: {topic}");
    }
    for Quarantined { topic, events } in &report.quarantine {
        let _ = writeln!(text, "in quarantine: {events} events of {topic}");
    }
    text
}

/// The report as a table for people.
#[must_use]
pub fn table(report: &Report) -> String {
    let lines = &report.partitions;
    let widest = |text: fn(&Line) -> &str, title: &str| {
        lines.iter().map(|line| text(line).len()).max().unwrap_or(0).max(title.len())
    };
    let (left, width) =
        (widest(|line| &line.source, "source"), widest(|line| &line.topic, "topic"));
    let mut text = format!(
        "{:left$}  {:width$}  {:>9}  {:>12}  {:>12}  {:>10}  {:>9}  {:>8}  {:>8}  last source commit\n",
        "source", "topic", "partition", "next offset", "high", "lag", "bytes", "age", "lost"
    );
    for line in lines {
        let committed = line.source_committed.as_deref().unwrap_or("-");
        let _ = writeln!(
            text,
            "{:left$}  {:width$}  {:>9}  {:>12}  {:>12}  {:>10}  {:>9}  {:>8}  {:>8}  {committed}",
            line.source,
            line.topic,
            line.partition,
            line.next_offset,
            line.high_watermark,
            line.lag_events,
            bytes(line.lag_bytes),
            seconds(line.lag_seconds),
            line.lost_offsets
        );
    }
    let _ = writeln!(
        text,
        "lag in all: {} events, about {}, the oldest {} old",
        report.lag_events,
        bytes(report.lag_bytes),
        seconds(report.lag_seconds)
    );
    if let Some(rates) = report.rates {
        let _ = writeln!(
            text,
            "loaded {:.0} and published {:.0} events a second; caught up in {}",
            rates.loaded_per_second,
            rates.published_per_second,
            match rates.catch_up_seconds {
                Some(_) => seconds(rates.catch_up_seconds),
                None => "an unknown time, because not more is loaded than published".to_owned(),
            }
        );
    }
    text.push_str(&watermarks(report));
    text.push_str(&remarks(report));
    text
}

#[allow(clippy::cast_precision_loss, reason = "a rounded number for people")]
fn bytes(count: Option<i64>) -> String {
    let Some(count) = count else { return "?".to_owned() };
    let mut scaled = count as f64;
    for unit in ["B", "kB", "MB"] {
        if scaled < 1000.0 {
            return format!("{scaled:.0} {unit}");
        }
        scaled /= 1000.0;
    }
    format!("{scaled:.1} GB")
}

fn seconds(seconds: Option<f64>) -> String {
    match seconds {
        None => "?".to_owned(),
        Some(seconds) if seconds < 120.0 => format!("{seconds:.0} s"),
        Some(seconds) if seconds < 7200.0 => format!("{:.0} min", seconds / 60.0),
        Some(seconds) => format!("{:.0} h", seconds / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(partition: i32, end: i64) -> PartitionEnds {
        PartitionEnds { topic: "a.s.t".to_owned(), partition, first: 0, end }
    }

    fn stored(next_offset: i64) -> Known {
        let topic = "a.s.t".to_owned();
        Known {
            sources: HashMap::from([(topic.clone(), "a".to_owned())]),
            stored: vec![WarehouseOffset {
                topic,
                partition: 0,
                next_offset,
                source_committed: None,
            }],
            pauses: Vec::new(),
            gaps: Vec::new(),
        }
    }

    #[test]
    fn a_control_record_at_the_end_is_no_lag() {
        let nothing = Waiting { is_all: true, ..Waiting::default() };
        let waiting = HashMap::from([(("a.s.t".to_owned(), 0), nothing)]);
        let line = line(&end(0, 8), &stored(7), &waiting);
        assert_eq!((line.lag_events, line.lag_bytes, line.lag_seconds), (0, Some(0), Some(0.0)));
    }

    #[test]
    fn what_is_unknown_is_not_shown_as_nothing() {
        let unknown = line(&end(1, 8), &stored(7), &HashMap::new());
        assert_eq!((unknown.lag_events, unknown.lag_bytes, unknown.lag_seconds), (8, None, None));
        let known = line(&end(0, 7), &stored(7), &HashMap::new());
        assert_eq!((known.lag_events, known.lag_seconds), (0, Some(0.0)));
        let report = Report::new(vec![known, unknown], Vec::new(), Vec::new(), None);
        assert_eq!((report.lag_events, report.lag_bytes, report.lag_seconds), (8, None, None));
        let text = table(&report);
        assert!(text.contains("lag in all: 8 events, about ?, the oldest ? old"), "{text}");
    }

    #[test]
    fn a_watermark_is_shown_and_so_is_that_there_is_none() {
        let published = chrono::Utc::now() - chrono::TimeDelta::seconds(90);
        let stored = StoredWatermark {
            source_system_id: 1,
            source_lsn: Some(0x2_0000_00A0),
            source_committed: None,
            published,
        };
        let positionless = StoredWatermark { source_lsn: None, ..stored.clone() };
        let watermarks = vec![
            Watermark::of("a", Some(&stored)),
            Watermark::of("b", Some(&positionless)),
            Watermark::of("c", None),
        ];
        let report = Report::new(Vec::new(), Vec::new(), Vec::new(), None);
        let text = table(&Report { watermarks, ..report });
        let published = published.to_rfc3339_opts(SecondsFormat::Micros, true);
        for expected in [
            format!(
                "watermark of a: all topics are loaded up to {published} (90 s ago), log position 2/A0\n"
            ),
            format!(
                "watermark of b: all topics are loaded up to {published} (90 s ago), log position unknown\n"
            ),
            "watermark of c: not known\n".to_owned(),
        ] {
            assert!(text.contains(&expected), "{expected} is not in {text}");
        }
    }

    #[test]
    fn missing_topics_quarantine_and_speed_are_shown() {
        let rates = Rates {
            loaded_per_second: 10.0,
            published_per_second: 0.0,
            catch_up_seconds: Some(600.0),
        };
        let quarantine = vec![("a.s.u".to_owned(), 3)];
        let report = Report::new(Vec::new(), vec!["a.s.v".to_owned()], quarantine, Some(rates));
        let text = table(&report);
        for expected in [
            "missing topic: a.s.v",
            "in quarantine: 3 events of a.s.u",
            "loaded 10 and published 0 events a second; caught up in 10 min",
            "lag in all: 0 events, about 0 B, the oldest 0 s old",
        ] {
            assert!(text.contains(expected), "{expected} is not in {text}");
        }
    }
}
