//! How far the loader is: compares the records that Kafka has with the offsets that the warehouse holds.
//!
//! In: the warehouse's offsets, pauses and gaps, and the ends of the partitions in Kafka. Out: one line for each partition
//! of each source, as a table or as JSON. Nothing is changed.

use std::fmt::Write;

use chrono::SecondsFormat;
use serde::Serialize;
use shared::postgres::connect;

use crate::config::Config;
use crate::consume::{ConsumeError, PartitionEnds, partition_ends};
use crate::control::{
    AcceptedGap, StoredPause, WarehouseOffset, read_gaps, read_pauses, read_progress,
};
use crate::model::Plan;
use crate::warehouse::WarehouseError;

/// Where one partition stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// name of the source
    pub source: String,
    /// Kafka topic
    pub topic: String,
    /// partition of it
    pub partition: i32,
    /// first offset that is not loaded; 0 when the loader never saw the partition
    pub next_offset: i64,
    /// end of the partition in Kafka
    pub high_watermark: i64,
    /// events published and not loaded
    pub lag_events: i64,
    /// offsets that Kafka deleted before they were loaded, and whose loss was accepted
    pub lost_offsets: i64,
    /// commit time at the source of the last event loaded
    pub source_committed: Option<String>,
    /// why the table stands still; none when it does not
    pub paused: Option<String>,
}

/// Why the status is unknown.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// Kafka does not answer.
    #[error(transparent)]
    Kafka(#[from] ConsumeError),
    /// The warehouse does not answer.
    #[error(transparent)]
    Warehouse(#[from] WarehouseError),
}

/// Asks Kafka and the warehouse about every topic of the model.
///
/// # Errors
/// When Kafka or the warehouse does not answer.
pub async fn read(config: &Config, plan: &Plan) -> Result<Vec<Line>, StatusError> {
    let topics: Vec<String> = plan.tables.iter().map(|table| table.topic.clone()).collect();
    let client = connect(&config.connect_options()).await.map_err(WarehouseError::from)?;
    let stored = read_progress(&client, &topics).await.map_err(WarehouseError::from)?;
    let pauses = read_pauses(&client, &topics).await.map_err(WarehouseError::from)?;
    let gaps = read_gaps(&client, &topics).await.map_err(WarehouseError::from)?;
    let ends = partition_ends(config, topics).await?;
    let source = &plan.model.source.name;
    let known = Known { stored, pauses, gaps };
    Ok(ends.into_iter().map(|ends| line(source, ends, &known)).collect())
}

/// What the warehouse knows about the topics.
struct Known {
    stored: Vec<WarehouseOffset>,
    pauses: Vec<StoredPause>,
    gaps: Vec<AcceptedGap>,
}

fn line(source: &str, ends: PartitionEnds, known: &Known) -> Line {
    let PartitionEnds { topic, partition, end, .. } = ends;
    let here = |stored: &&WarehouseOffset| stored.topic == topic && stored.partition == partition;
    let found = known.stored.iter().find(here);
    let next_offset = found.map_or(0, |stored| stored.next_offset);
    let lost = known.gaps.iter().map(|accepted| &accepted.gap);
    let lost = lost.filter(|gap| gap.topic == topic && gap.partition == partition);
    let paused = known.pauses.iter().find(|pause| pause.topic == topic).map(|pause| {
        let StoredPause { reason, remedy, since, .. } = pause;
        format!("{reason}; {remedy} (since {})", since.to_rfc3339_opts(SecondsFormat::Secs, true))
    });
    Line {
        source: source.to_owned(),
        partition,
        next_offset,
        high_watermark: end,
        lag_events: end.saturating_sub(next_offset),
        lost_offsets: lost.map(|gap| gap.last - gap.first + 1).sum(),
        source_committed: found
            .and_then(|stored| stored.source_committed)
            .map(|at| at.to_rfc3339_opts(SecondsFormat::Micros, true)),
        paused,
        topic,
    }
}

/// The lines as a table for people.
#[must_use]
pub fn table(lines: &[Line]) -> String {
    let widest = |text: fn(&Line) -> &str, title: &str| {
        lines.iter().map(|line| text(line).len()).max().unwrap_or(0).max(title.len())
    };
    let (left, width) =
        (widest(|line| &line.source, "source"), widest(|line| &line.topic, "topic"));
    let mut text = format!(
        "{:left$}  {:width$}  {:>9}  {:>12}  {:>12}  {:>10}  {:>10}  last source commit\n",
        "source", "topic", "partition", "next offset", "high", "lag", "lost"
    );
    for line in lines {
        let committed = line.source_committed.as_deref().unwrap_or("-");
        let _ = writeln!(
            text,
            "{:left$}  {:width$}  {:>9}  {:>12}  {:>12}  {:>10}  {:>10}  {committed}",
            line.source,
            line.topic,
            line.partition,
            line.next_offset,
            line.high_watermark,
            line.lag_events,
            line.lost_offsets
        );
    }
    let mut paused: Vec<(&str, &str)> = lines
        .iter()
        .filter_map(|line| Some((line.topic.as_str(), line.paused.as_deref()?)))
        .collect();
    paused.dedup();
    for (topic, reason) in paused {
        let _ = writeln!(text, "paused: {topic}: {reason}");
    }
    let total: i64 = lines.iter().map(|line| line.lag_events).sum();
    let _ = writeln!(text, "lag in all: {total} events");
    text
}
