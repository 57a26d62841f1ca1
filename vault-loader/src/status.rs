//! How far the loader is: compares the records that Kafka has with the offsets that the warehouse holds.
//!
//! In: the warehouse's offsets and pauses, and the ends of the partitions in Kafka. Out: one line for each partition, as
//! a table or as JSON. Nothing is changed.

use std::fmt::Write;
use std::time::Duration;

use chrono::SecondsFormat;
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde::Serialize;
use shared::postgres::connect;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::consume::{ConsumeError, consumer_config, probe_brokers};
use crate::control::{StoredPause, WarehouseOffset, read_pauses, read_progress};
use crate::model::Plan;
use crate::warehouse::WarehouseError;

/// How long one question to Kafka may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where one partition stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
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
    let mut kafka = consumer_config(config, &plan.model.source.name)?;
    kafka.remove("group.instance.id");
    kafka.set("statistics.interval.ms", "0");
    let probed = config.clone();
    let ends = tokio::task::spawn_blocking(move || {
        probe_brokers(&probed, TIMEOUT, &CancellationToken::new())?;
        ends(&kafka, &topics)
    })
    .await
    .map_err(|_| ConsumeError::Cancelled)??;
    Ok(ends.into_iter().map(|end| line(end, &stored, &pauses)).collect())
}

/// Topic, partition, high watermark.
type End = (String, i32, i64);

fn ends(kafka: &rdkafka::ClientConfig, topics: &[String]) -> Result<Vec<End>, ConsumeError> {
    let consumer: BaseConsumer = kafka.create()?;
    let metadata = consumer.fetch_metadata(None, TIMEOUT)?;
    let mut ends = Vec::new();
    for name in topics {
        let Some(topic) = metadata.topics().iter().find(|topic| topic.name() == name) else {
            continue; // not created yet: nothing published, nothing to load
        };
        for partition in topic.partitions() {
            let (_, high) = consumer.fetch_watermarks(name, partition.id(), TIMEOUT)?;
            ends.push((name.clone(), partition.id(), high));
        }
    }
    Ok(ends)
}

fn line(
    (topic, partition, high_watermark): End,
    stored: &[WarehouseOffset],
    pauses: &[StoredPause],
) -> Line {
    let found = stored.iter().find(|stored| stored.topic == topic && stored.partition == partition);
    let next_offset = found.map_or(0, |stored| stored.next_offset);
    let paused = pauses.iter().find(|pause| pause.topic == topic).map(|pause| {
        let StoredPause { reason, remedy, since, .. } = pause;
        format!("{reason}; {remedy} (since {})", since.to_rfc3339_opts(SecondsFormat::Secs, true))
    });
    Line {
        topic,
        partition,
        next_offset,
        high_watermark,
        lag_events: high_watermark.saturating_sub(next_offset),
        source_committed: found
            .and_then(|stored| stored.source_committed)
            .map(|at| at.to_rfc3339_opts(SecondsFormat::Micros, true)),
        paused,
    }
}

/// The lines as a table for people.
#[must_use]
pub fn table(lines: &[Line]) -> String {
    let width = lines.iter().map(|line| line.topic.len()).max().unwrap_or(0).max(5);
    let mut text = format!(
        "{:width$}  {:>9}  {:>12}  {:>12}  {:>10}  last source commit\n",
        "topic", "partition", "next offset", "high", "lag"
    );
    for line in lines {
        let committed = line.source_committed.as_deref().unwrap_or("-");
        let _ = writeln!(
            text,
            "{:width$}  {:>9}  {:>12}  {:>12}  {:>10}  {committed}",
            line.topic, line.partition, line.next_offset, line.high_watermark, line.lag_events
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
