//! The commands `vault-loader gap list` and `vault-loader gap accept`: what to do when Kafka deleted events before they
//! were loaded.
//!
//! In: the models, and for `accept` the exact offsets that an operator gives up. Out: the gaps, or an offset that moved
//! and a row in `dwh_control.gaps`, both in one transaction. A gap that has grown, or that another command has
//! accepted, is not accepted: the operator decides about exactly what he was shown.

use std::fmt::Write;

use shared::postgres::connect;

use crate::config::Config;
use crate::consume::{ConsumeError, PartitionEnds, asking_client, partition_ends};
use crate::control::{self, AcceptedGap, Gap, WarehouseOffset};
use crate::model::Plan;
use crate::warehouse::WarehouseError;

/// Why a command about gaps failed.
#[derive(Debug, thiserror::Error)]
pub enum GapError {
    /// Kafka does not answer.
    #[error(transparent)]
    Kafka(#[from] ConsumeError),
    /// The warehouse does not answer.
    #[error(transparent)]
    Warehouse(#[from] WarehouseError),
    /// The role may not do it.
    #[error(
        "this role may not accept a gap: set VAULT_LOADER__DATABASE__USER to the role that runs `vault-loader migrate`"
    )]
    Role,
    /// No model reads the topic.
    #[error(
        "no model that was given reads the topic {0}: give the model of its source with --model"
    )]
    NotInModel(String),
    /// Nothing is missing there.
    #[error(
        "{topic} partition {partition}: there is no gap: the next offset to be loaded is {next}, and Kafka has it; nothing was changed"
    )]
    NoGap {
        /// Kafka topic
        topic: String,
        /// partition of it
        partition: i32,
        /// next offset in the warehouse
        next: i64,
    },
    /// Another range is missing.
    #[error("the gap is another one: {}; nothing was changed", told(.0))]
    Other(Gap),
}

impl From<tokio_postgres::Error> for GapError {
    fn from(error: tokio_postgres::Error) -> Self {
        let refused = error.code().is_some_and(|code| code.code() == "42501");
        if refused { Self::Role } else { Self::Warehouse(error.into()) }
    }
}

/// The gaps of one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gaps {
    /// name of the source
    pub source: String,
    /// offsets that Kafka no longer has and that are neither loaded nor accepted
    pub open: Vec<Gap>,
    /// what was accepted as lost
    pub accepted: Vec<AcceptedGap>,
}

/// Finds the gaps of a source.
///
/// # Errors
/// When Kafka or the warehouse does not answer.
pub async fn list(config: &Config, plan: &Plan) -> Result<Gaps, GapError> {
    let topics: Vec<String> = plan.tables.iter().map(|table| table.topic.clone()).collect();
    let client = connect(&config.connect_options()).await.map_err(WarehouseError::from)?;
    let stored = control::read_progress(&client, &topics).await?;
    let accepted = control::read_gaps(&client, &topics).await?;
    let ends = partition_ends(&asking_client(config).await?, &topics).await?.partitions;
    let open = ends.iter().filter_map(|ends| open_gap(ends, &stored)).collect();
    Ok(Gaps { source: plan.model.source.name.clone(), open, accepted })
}

/// The offsets between the next one to be loaded and the first one that Kafka has.
fn open_gap(ends: &PartitionEnds, stored: &[WarehouseOffset]) -> Option<Gap> {
    let next = next_offset(ends, stored);
    (next < ends.first).then(|| Gap {
        topic: ends.topic.clone(),
        partition: ends.partition,
        first: next,
        last: ends.first - 1,
    })
}

/// A partition that no loader has seen yet is loaded from its beginning.
fn next_offset(ends: &PartitionEnds, stored: &[WarehouseOffset]) -> i64 {
    let same = |stored: &&WarehouseOffset| {
        stored.topic == ends.topic && stored.partition == ends.partition
    };
    stored.iter().find(same).map_or(0, |stored| stored.next_offset)
}

/// Accepts the loss of exactly these offsets.
///
/// # Errors
/// When they are not the gap that is there, no model reads the topic, or a server does not answer. Then nothing was
/// changed.
pub async fn accept(config: &Config, plans: &[Plan], asked: &Gap) -> Result<(), GapError> {
    let reads = |plan: &&Plan| plan.tables.iter().any(|table| table.topic == asked.topic);
    let plan = plans.iter().find(reads);
    let plan = plan.ok_or_else(|| GapError::NotInModel(asked.topic.clone()))?;
    let topics = vec![asked.topic.clone()];
    let mut client = connect(&config.connect_options()).await.map_err(WarehouseError::from)?;
    let stored = control::read_progress(&client, &topics).await?;
    let ends = partition_ends(&asking_client(config).await?, &topics).await?.partitions;
    let here = ends.iter().find(|ends| ends.partition == asked.partition);
    let found = here.and_then(|ends| open_gap(ends, &stored));
    let no_gap = || GapError::NoGap {
        topic: asked.topic.clone(),
        partition: asked.partition,
        next: here.map_or(0, |ends| next_offset(ends, &stored)),
    };
    let found = found.ok_or_else(no_gap)?;
    if found != *asked {
        return Err(GapError::Other(found));
    }
    let transaction = client.transaction().await?;
    if !control::accept_gap(&transaction, &plan.model.source.name, asked).await? {
        return Err(no_gap());
    }
    Ok(transaction.commit().await?)
}

/// A gap in words, with the command that accepts it.
fn told(gap: &Gap) -> String {
    let Gap { topic, partition, first, last } = gap;
    let acceptance = gap.acceptance();
    format!(
        "{topic} partition {partition}: Kafka no longer has the offsets {first} to {last}, and they are not loaded; {acceptance}"
    )
}

/// The gaps for people, a line for each.
#[must_use]
pub fn lines(gaps: &[Gaps]) -> String {
    let mut text = String::new();
    for of_source in gaps {
        let source = &of_source.source;
        for gap in &of_source.open {
            let _ = writeln!(text, "{source}: open: {}", told(gap));
        }
        for AcceptedGap { gap, accepted_at, accepted_by } in &of_source.accepted {
            let Gap { topic, partition, first, last } = gap;
            let at = accepted_at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
            let _ = writeln!(
                text,
                "{source}: lost: {topic} partition {partition}: the offsets {first} to {last}, accepted by {accepted_by} at {at}"
            );
        }
    }
    if text.is_empty() { "no gaps\n".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(first: i64) -> PartitionEnds {
        PartitionEnds { topic: "a.b.c".to_owned(), partition: 2, first, end: 20 }
    }

    fn stored(next_offset: i64) -> Vec<WarehouseOffset> {
        let topic = "a.b.c".to_owned();
        vec![WarehouseOffset { topic, partition: 2, next_offset, source_committed: None }]
    }

    #[test]
    fn a_gap_is_what_is_neither_loaded_nor_in_kafka() {
        let range = |gap: Option<Gap>| gap.map(|gap| (gap.first, gap.last));
        assert_eq!(range(open_gap(&ends(8), &stored(5))), Some((5, 7)));
        assert_eq!(range(open_gap(&ends(8), &stored(8))), None);
        assert_eq!(range(open_gap(&ends(8), &stored(12))), None);
        // Nobody has loaded from the partition: what Kafka deleted before is missing too.
        assert_eq!(range(open_gap(&ends(8), &[])), Some((0, 7)));
        assert_eq!(range(open_gap(&ends(0), &[])), None);
    }
}
