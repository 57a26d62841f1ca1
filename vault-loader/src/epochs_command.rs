//! `vault-loader epoch`: shows the epochs of tables, starts one, and closes the rows that a new snapshot does not have.
//!
//! In: the model, and what an operator says about what happened. Out: changed offsets and epochs in the warehouse, with
//! loaders fenced. A table begins an epoch when its topic was made again (`--topic-recreated`: the topic is read from
//! its beginning) or when its source went back (`--source-restored`: log positions count anew). After a source went
//! back and a new snapshot was loaded, `close-missing` closes the rows that this snapshot did not bring.

use shared::postgres::{ConnectOptions, connect};
use tokio_postgres::Client;

use crate::control::{self, EpochLine, NewEpoch};
use crate::load::{Missing, close_missing};
use crate::model::{Plan, TableId};
use crate::warehouse::WarehouseError;

/// Which tables a command is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tables {
    /// all tables of the model
    All,
    /// the tables of these topics
    Topics(Vec<String>),
}

/// What happened to the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Happened {
    /// the topic was deleted and made again
    pub topic_recreated: bool,
    /// the source was restored, or promoted without the end of its log
    pub source_restored: bool,
}

/// Why a command did nothing.
#[derive(Debug, thiserror::Error)]
pub enum EpochCommandError {
    /// No table of the model has this topic.
    #[error(
        "the model has no table with the topic {0}: write the topic as `vault-loader status` shows it"
    )]
    UnknownTopic(String),
    /// The table is in its first epoch, so that nothing came before it.
    #[error(
        "{0} is still in its first epoch: run `vault-loader epoch start` before the new snapshot, because its rows are known by the epoch"
    )]
    NoEpoch(String),
    /// The last epoch began for another reason.
    #[error(
        "the last epoch of {0} began because its topic was made again, and no row is missing because of that"
    )]
    NotRestored(String),
    /// The warehouse does not answer or refuses.
    #[error(transparent)]
    Warehouse(#[from] WarehouseError),
}

impl From<tokio_postgres::Error> for EpochCommandError {
    fn from(err: tokio_postgres::Error) -> Self {
        Self::Warehouse(err.into())
    }
}

/// Lists the epochs of all tables of the model.
///
/// # Errors
/// When the warehouse does not answer.
pub async fn list(
    warehouse: &ConnectOptions,
    plan: &Plan,
) -> Result<Vec<EpochLine>, EpochCommandError> {
    let client = open(warehouse).await?;
    let sources: Vec<&str> = plan.tables.iter().map(|table| table.record_source.as_str()).collect();
    Ok(control::list_epochs(&client, &sources).await?)
}

/// Starts an epoch of each of these tables, of all or of none. Returns the topics with the numbers of the epochs.
///
/// # Errors
/// When a topic is unknown, or the warehouse does not answer or refuses.
pub async fn start(
    warehouse: &ConnectOptions,
    plan: &Plan,
    tables: &Tables,
    happened: Happened,
    reason: &str,
) -> Result<Vec<(String, i32)>, EpochCommandError> {
    let tables = chosen(plan, tables)?;
    let mut client = open(warehouse).await?;
    let transaction = client.transaction().await?;
    let mut started = Vec::with_capacity(tables.len());
    for table in tables {
        let topic = &plan.tables[table].topic;
        control::lock_topic(&transaction, plan.schemas, topic).await?;
        let new = NewEpoch {
            record_source: &plan.tables[table].record_source,
            topic,
            is_new_topic: happened.topic_recreated,
            is_source_back: happened.source_restored,
            reason,
        };
        started.push((topic.clone(), control::start_epoch(&transaction, new).await?));
    }
    control::forget_watermark(&transaction, plan.model.source.system_id).await?;
    transaction.commit().await?;
    Ok(started)
}

/// Closes the rows of each table that were open before its last epoch and that nothing has named since. Without `apply`
/// they are only counted.
///
/// # Errors
/// When a topic is unknown or its source did not go back, or the warehouse does not answer or refuses.
pub async fn close(
    warehouse: &ConnectOptions,
    plan: &Plan,
    tables: &Tables,
    apply: bool,
) -> Result<Vec<(String, u64)>, EpochCommandError> {
    let tables = chosen(plan, tables)?;
    let mut client = open(warehouse).await?;
    let sources: Vec<&str> =
        tables.iter().map(|&table| plan.tables[table].record_source.as_str()).collect();
    let epochs = control::read_epochs(&client, &sources).await?;
    let mut closed = Vec::with_capacity(tables.len());
    for table in tables {
        let topic = &plan.tables[table].topic;
        let Some(epochs) = epochs.get(&plan.tables[table].record_source) else {
            return Err(EpochCommandError::NoEpoch(topic.clone()));
        };
        if epochs.first_of_source(epochs.current()) == 0 {
            return Err(EpochCommandError::NotRestored(topic.clone()));
        }
        let missing = Missing { plan, table, epochs, apply };
        closed.push((topic.clone(), close_missing(&mut client, missing).await?));
    }
    Ok(closed)
}

async fn open(warehouse: &ConnectOptions) -> Result<Client, EpochCommandError> {
    Ok(connect(warehouse).await.map_err(WarehouseError::from)?)
}

/// The tables, in the order of their topics, so that two commands never wait for each other in a circle.
fn chosen(plan: &Plan, tables: &Tables) -> Result<Vec<TableId>, EpochCommandError> {
    let mut found: Vec<TableId> = match tables {
        Tables::All => plan.tables.ids().collect(),
        Tables::Topics(topics) => topics
            .iter()
            .map(|topic| {
                let found = plan.tables.find_id(|table| table.topic == *topic);
                found.ok_or_else(|| EpochCommandError::UnknownTopic(topic.clone()))
            })
            .collect::<Result<_, _>>()?,
    };
    found.sort_by(|&one, &other| plan.tables[one].topic.cmp(&plan.tables[other].topic));
    found.dedup();
    Ok(found)
}
