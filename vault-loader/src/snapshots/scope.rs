//! What a model wants at each snapshot, in the warehouse as it is.
//!
//! In: a plan and a connection. Out: the tables with the statements that fill them, the calendar, and the sources that
//! have to be loaded for them. A model that the warehouse was not migrated to is refused, because its tables are
//! others.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use tokio_postgres::Client;

use super::error::SnapshotsError;
use crate::control::{self, BuiltSnapshot};
use crate::migrate::business::{self, Filling};
use crate::model::{self, Calendar, Model, Plan};

/// What is built for one source's model.
pub(super) struct Scope {
    /// name of the source
    pub(super) source: String,
    pub(super) calendar: Calendar,
    pub(super) fillings: Vec<Filling>,
    /// the sources that feed any of the tables
    pub(super) sources: BTreeSet<String>,
    /// record sources of all their tables
    pub(super) record_sources: Vec<String>,
    /// the query for the earliest load date
    pub(super) earliest: String,
}

impl Scope {
    /// Reads what belongs to a plan; none when its model has nothing to be built.
    pub(super) async fn read(
        client: &mut Client,
        plan: &Plan,
    ) -> Result<Option<Self>, SnapshotsError> {
        let model = &plan.model;
        let Some(calendar) = model.snapshots.calendar.clone() else { return Ok(None) };
        let source = model.source.name.clone();
        let made = control::snapshot_tables(client).await?;
        let others = other_models(client, &source).await?;
        let fillings = business::fillings(model, &others)
            .map_err(|not_fed| SnapshotsError::Model(not_fed.to_string()))?;
        for Filling { table, .. } in &fillings {
            if made.get(&table.name).is_none_or(|made| made.digest != table.digest()) {
                return Err(SnapshotsError::NotMigrated(table.qualified()));
            }
        }
        if fillings.is_empty() {
            return Ok(None);
        }
        let sources: BTreeSet<String> =
            fillings.iter().flat_map(|filling| filling.sources.iter().cloned()).collect();
        let feeding =
            others.iter().chain([model]).filter(|model| sources.contains(&model.source.name));
        let record_sources = feeding.flat_map(record_sources).collect();
        let earliest = business::earliest(model);
        Ok(Some(Self { source, calendar, fillings, sources, record_sources, earliest }))
    }

    /// The tables' names.
    pub(super) fn tables(&self) -> Vec<&str> {
        self.fillings.iter().map(|filling| filling.table.name.as_str()).collect()
    }

    /// The names of the sources.
    pub(super) fn source_names(&self) -> Vec<&str> {
        self.sources.iter().map(String::as_str).collect()
    }

    /// The snapshots that the tables hold, oldest first. One that was made in another way than the models say now is
    /// stale: a table or a source has come that feeds it.
    pub(super) async fn built(
        &self,
        client: &impl tokio_postgres::GenericClient,
    ) -> Result<Vec<BuiltSnapshot>, SnapshotsError> {
        let digests: BTreeMap<&str, Vec<u8>> = self
            .fillings
            .iter()
            .map(|filling| (filling.table.name.as_str(), filling.digest()))
            .collect();
        let mut built = control::built_snapshots(client, &self.tables()).await?;
        for snapshot in &mut built {
            let digest = digests.get(snapshot.table.as_str());
            snapshot.is_stale |= digest.is_some_and(|digest| *digest != snapshot.digest);
        }
        Ok(built)
    }

    /// Up to when everything is loaded of all sources, at most the warehouse's present time: a clock of another machine
    /// may be ahead, and later time has no snapshots yet. `assumed` is the word of an operator about sources of which
    /// the warehouse does not know it.
    pub(super) async fn loaded_up_to(
        &self,
        client: &impl tokio_postgres::GenericClient,
        assumed: Option<DateTime<Utc>>,
    ) -> Result<LoadedUpTo, SnapshotsError> {
        let known = control::published_up_to(client, &self.source_names()).await?;
        let now = control::warehouse_now(client).await?;
        let mut all = LoadedUpTo::default();
        for (source, time) in known {
            match time.or(assumed).map(|time| time.min(now)) {
                None => all.unknown.push(source),
                Some(time) if all.time.as_ref().is_none_or(|(earliest, _)| time < *earliest) => {
                    all.time = Some((time, source));
                }
                Some(_) => {}
            }
        }
        Ok(all)
    }
}

/// Up to when everything is loaded that was published.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LoadedUpTo {
    /// the source that is behind the others, and up to when it is loaded
    time: Option<(DateTime<Utc>, String)>,
    /// sources of which nobody knows
    pub(super) unknown: Vec<String>,
}

impl LoadedUpTo {
    /// The time, when it is known for every source.
    pub(super) fn known(&self) -> Option<DateTime<Utc>> {
        self.time.as_ref().filter(|_| self.unknown.is_empty()).map(|(time, _)| *time)
    }

    /// The source that is behind the others.
    pub(super) fn slowest(&self) -> Option<&str> {
        self.time.as_ref().map(|(_, source)| source.as_str())
    }
}

async fn other_models(client: &mut Client, source: &str) -> Result<Vec<Model>, SnapshotsError> {
    let transaction = client.transaction().await?;
    let stored = control::last_models(&transaction).await?;
    let others = stored.into_iter().filter(|stored| stored.source != source);
    let parsed = others.map(|stored| {
        model::parse(&stored.text).map_err(|_| {
            SnapshotsError::Model(format!(
                "the model of the source {} in dwh_control.models cannot be read by this build: run `vault-loader migrate` with it",
                stored.source
            ))
        })
    });
    parsed.collect()
}

fn record_sources(model: &Model) -> impl Iterator<Item = String> {
    model.tables.iter().map(|table| model.record_source(table))
}
