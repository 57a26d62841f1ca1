//! How far the loader is: compares the records that Kafka has with the offsets that the warehouse holds.
//!
//! In: the warehouse's offsets, pauses and gaps, and the partitions in Kafka. Out: a report with one line for each
//! partition of each source, as a table or as JSON. Nothing is changed.

mod rates;
mod report;
mod waiting;
mod watch;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use shared::postgres::connect;
use tokio_postgres::Client;

use crate::config::Config;
use crate::consume::{
    ConsumeError, Ends, PartitionEnds, Topics, ask, asking_client, partition_ends,
};
use crate::control::{
    WarehouseOffset, quarantine_counts, read_gaps, read_pauses, read_progress, read_watermarks,
};
use crate::exit;
use crate::model::Plan;
use crate::warehouse::WarehouseError;

pub use rates::Rates;
use rates::{Reading, Readings, rates};
use report::Known;
pub use report::{Line, Quarantined, Report, Watermark, table};
use waiting::Waiting;
pub use watch::{Shown, show, watch};

/// How far apart two readings are from which the throughput is told.
const BETWEEN_READINGS: Duration = Duration::from_secs(2);

/// Why the status is unknown.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// Kafka does not answer.
    #[error(transparent)]
    Kafka(#[from] ConsumeError),
    /// The warehouse does not answer.
    #[error(transparent)]
    Warehouse(#[from] WarehouseError),
    /// None of the model's topics exists, and the same tables have topics under another prefix.
    #[error("configuration: {0}")]
    Prefix(String),
}

impl StatusError {
    /// The process's exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Kafka(err) => err.exit_code(),
            Self::Warehouse(err) => err.exit_code(),
            Self::Prefix(_) => exit::CONFIGURATION,
        }
    }
}

/// Asks Kafka and the warehouse about every topic of the model. While events wait, two readings are taken.
///
/// # Errors
/// When Kafka or the warehouse does not answer, or a model's prefix looks mistyped.
pub async fn read(config: &Config, plans: &[Plan]) -> Result<Report, StatusError> {
    let names: Vec<String> = plans.iter().flat_map(topics_of).collect();
    let warehouse = connect(&config.connect_options()).await.map_err(WarehouseError::from)?;
    let kafka = asking_client(config).await?;
    let found = ends_of(&kafka, &names).await?;
    let (mut missing_topics, mut not_in_model) = (Vec::new(), Vec::new());
    for plan in plans {
        let wanted: Vec<String> = topics_of(plan).collect();
        // A topic of another source that was given too is no mistyped one of this source.
        let of_others = |topic: &&str| {
            let named = |names: &[String]| names.iter().any(|name| name == topic);
            named(&names) && !named(&wanted)
        };
        let existing = found.existing.iter().map(String::as_str);
        let topics = Topics::compare(&wanted, existing.filter(|topic| !of_others(topic)));
        if topics.is_mistyped() {
            return Err(StatusError::Prefix(topics.none_exists().unwrap_or_default()));
        }
        missing_topics.extend(topics.missing);
        not_in_model.extend(topics.not_in_model);
    }
    let read_at = Instant::now();
    let stored = progress(&warehouse, &names).await?;
    let first = readings(&found.partitions, &stored);
    let waiting = waiting_records(&kafka, &first).await?;
    let quarantine = quarantine_counts(&warehouse, &names).await.map_err(WarehouseError::from)?;
    let pauses = read_pauses(&warehouse, &names).await.map_err(WarehouseError::from)?;
    let gaps = read_gaps(&warehouse, &names).await.map_err(WarehouseError::from)?;
    let known = Known { sources: sources(plans), stored, pauses, gaps };
    let lines: Vec<Line> =
        found.partitions.iter().map(|end| report::line(end, &known, &waiting)).collect();
    let lag: i64 = lines.iter().map(|line| line.lag_events).sum();
    let mut speed = None;
    if lag > 0 {
        tokio::time::sleep(BETWEEN_READINGS.saturating_sub(read_at.elapsed())).await;
        let took = read_at.elapsed();
        let again = ends_of(&kafka, &names).await?;
        let second = readings(&again.partitions, &progress(&warehouse, &names).await?);
        speed = Some(rates(&first, &second, lag, took));
    }
    let report = Report::new(lines, missing_topics, quarantine, speed);
    let watermarks = watermarks(&warehouse, plans).await?;
    Ok(Report { topics_not_in_model: not_in_model, watermarks, ..report })
}

async fn watermarks(warehouse: &Client, plans: &[Plan]) -> Result<Vec<Watermark>, WarehouseError> {
    let ids: Vec<i16> = plans.iter().map(|plan| plan.model.source.system_id).collect();
    let stored = read_watermarks(warehouse, &ids).await?;
    let of_plan = |plan: &Plan| {
        let source = &plan.model.source;
        let found = stored.iter().find(|stored| stored.source_system_id == source.system_id);
        Watermark::of(&source.name, found)
    };
    Ok(plans.iter().map(of_plan).collect())
}

fn topics_of(plan: &Plan) -> impl Iterator<Item = String> {
    plan.tables.iter().map(|table| table.topic.clone())
}

/// The name of each topic's source.
fn sources(plans: &[Plan]) -> HashMap<String, String> {
    let of_plan = |plan: &Plan| -> Vec<_> {
        topics_of(plan).map(|t| (t, plan.model.source.name.clone())).collect()
    };
    plans.iter().flat_map(of_plan).collect()
}

/// What Kafka has, the partitions sorted by topic and number.
async fn ends_of(kafka: &ClientConfig, names: &[String]) -> Result<Ends, ConsumeError> {
    let mut found = partition_ends(kafka, names).await?;
    found
        .partitions
        .sort_by(|one, other| (&one.topic, one.partition).cmp(&(&other.topic, other.partition)));
    Ok(found)
}

async fn progress(
    warehouse: &Client,
    names: &[String],
) -> Result<Vec<WarehouseOffset>, WarehouseError> {
    Ok(read_progress(warehouse, names).await?)
}

fn readings(ends: &[PartitionEnds], stored: &[WarehouseOffset]) -> Readings {
    let reading = |end: &PartitionEnds| {
        let next = report::stored_of(end, stored).map_or(0, |stored| stored.next_offset);
        ((end.topic.clone(), end.partition), Reading { next, end: end.end })
    };
    ends.iter().map(reading).collect()
}

/// What stands at the beginning of each partition in which something waits.
async fn waiting_records(
    kafka: &ClientConfig,
    readings: &Readings,
) -> Result<HashMap<(String, i32), Waiting>, ConsumeError> {
    let mut behind: HashMap<String, Vec<(i32, i64)>> = HashMap::new();
    for ((topic, partition), reading) in readings {
        if reading.end > reading.next {
            behind.entry(topic.clone()).or_default().push((*partition, reading.next));
        }
    }
    let kafka = kafka.clone();
    ask(move || {
        let mut all = HashMap::new();
        for (topic, partitions) in behind {
            for (partition, waiting) in waiting::look(&kafka, &topic, &partitions)? {
                all.insert((topic.clone(), partition), waiting);
            }
        }
        Ok(all)
    })
    .await
}
