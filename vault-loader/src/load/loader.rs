//! Loads batches: one attempt for each stretch of a batch. The session and the caches live longer than a batch.
//!
//! In: a [`Job`]. Out: commits, one for each stretch, and the tables that cannot go on. The job remembers how far its
//! batch is loaded, so after a failure of the warehouse only the failed stretch is repeated.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use foldhash::{HashMap, HashSet, HashSetExt};
use shared::postgres::ConnectOptions;
use tokio_postgres::Client;

use super::cache::Caches;
use super::error::StretchError;
use super::job::Job;
use super::outcome::{Loaded, Step};
use super::parking::Parking;
use super::statements::LoadingSession;
use super::stretch::Stretch;
use super::{transaction, truncate};
use crate::batch::Partition;
use crate::control::{self, Place, RecordPlaces, Registered, StoredParking};
use crate::decode::NewColumn;
use crate::model::{ColumnType, GrownColumn, Plan, TableId};
use crate::paused::TablePause;
use crate::vault::projection::Projection;
use crate::warehouse::WarehouseError;

/// Bounds of a loader.
#[derive(Debug, Clone, Copy)]
pub struct LoaderLimits {
    /// states in all caches together; four keys of a hub or link count as one
    pub cache_entries_max: usize,
    /// how many events may be in quarantine before a table with a further one is paused, because the fault then lies in
    /// the loader or the model
    pub quarantine_events_max: u64,
}

/// Loads batches into one warehouse.
pub struct Loader {
    options: ConnectOptions,
    plan: Arc<Plan>,
    limits: LoaderLimits,
    session: Option<LoadingSession>,
    caches: Caches,
    parking: Parking,
    /// the assignment of partitions that the caches belong to
    generation: Option<u64>,
    /// the model in the warehouse that the plan was made from
    model: Option<Registered>,
    /// topics that have a pause in the warehouse
    paused: HashSet<String>,
}

impl Loader {
    /// A loader that connects when it is first used.
    #[must_use]
    pub fn new(options: ConnectOptions, plan: Arc<Plan>, limits: LoaderLimits) -> Self {
        let caches = Caches::new(&plan, limits.cache_entries_max);
        let parking = Parking::default();
        Self {
            options,
            plan,
            limits,
            session: None,
            caches,
            parking,
            generation: None,
            model: None,
            paused: HashSet::new(),
        }
    }

    /// Loads only as long as this is the warehouse's last model of the source.
    #[must_use]
    pub(crate) fn with_model(mut self, registered: Registered) -> Self {
        self.model = Some(registered);
        self
    }

    /// Drops connection and caches, because after an error their contents may be wrong.
    pub fn forget(&mut self) {
        self.session = None;
        self.caches.clear();
        self.parking.clear();
    }

    /// Adds the columns that a table has got to its satellite. The plan that this returns, and the loader's own from
    /// then on, has them. No version is made by that alone.
    ///
    /// # Errors
    /// When no satellite may grow by these columns, or the warehouse fails.
    pub async fn grow(
        &mut self,
        table: TableId,
        columns: &[NewColumn],
    ) -> Result<Arc<Plan>, WarehouseError> {
        let session = self.session().await?;
        let refused = || WarehouseError::Stop("the table has no historized satellite".to_owned());
        let satellite = self.plan.growing_satellite(table).ok_or_else(refused)?;
        let mut grown = Vec::with_capacity(columns.len());
        for (column, kind) in columns {
            let vault_type = ColumnType::parse(kind).map(ColumnType::vault_type);
            let vault_type = vault_type.ok_or_else(refused)?;
            let new = GrownColumn {
                topic: self.plan.tables[table].topic.clone(),
                satellite: satellite.to_owned(),
                column: column.clone(),
                kind: kind.clone(),
            };
            control::grow_satellite(&session.client, &new, &vault_type).await?;
            tracing::info!(
                topic = new.topic,
                satellite,
                column,
                kind,
                "a satellite has grown a column"
            );
            grown.push(new);
        }
        // The next session prepares its statements with the new columns.
        self.plan = Arc::new(self.plan.grown(&grown));
        self.caches = Caches::new(&self.plan, self.limits.cache_entries_max);
        Ok(Arc::clone(&self.plan))
    }

    /// Stores the job's next pause of a table or commits its next stretch; `None` when the batch is done.
    ///
    /// # Errors
    /// After an error that [`WarehouseError::is_retry`], call it again with the same job; after any other the job is
    /// over.
    pub async fn advance(&mut self, job: &mut Job<'_>) -> Result<Option<Step>, WarehouseError> {
        loop {
            if let Some(pause) = job.unstored_pause() {
                let since = self.store_pause(pause).await?;
                return Ok(job.pause_stored().map(|pause| Step::Paused { pause, since }));
            }
            if self.generation != Some(job.generation()) {
                // Another loader may have had these partitions between two assignments.
                self.caches.clear();
                self.parking.clear();
                self.generation = Some(job.generation());
            }
            self.learn_parking(job).await?;
            if !job.prepare(&self.parking) {
                return Ok(None);
            }
            let Some((stretch, projection)) = job.next() else { return Ok(None) };
            match self.attempt(stretch, projection).await {
                Ok(loaded) => {
                    self.caches.doubts_new_keys = false;
                    job.committed(&loaded.moves);
                    for event in &loaded.quarantined {
                        if let Some(key) = event.parks {
                            self.parking.park(event.from, key, (event.epoch, event.offset));
                        }
                    }
                    if self.end_pauses(&loaded).await.is_err() {
                        self.session = None; // the next session does it when it begins
                    }
                    return Ok(Some(Step::Loaded(loaded)));
                }
                Err(StretchError::Event { record, reason }) => job.reject(record, reason, None),
                Err(StretchError::PauseTable { table, reason, remedy }) => {
                    job.pause(table, reason, remedy);
                }
                Err(err @ StretchError::NotNew { .. }) => tracing::info!("{err}: staging them"),
                Err(StretchError::Warehouse(err @ WarehouseError::Data { .. })) => {
                    job.isolate(err)?;
                }
                Err(StretchError::Warehouse(WarehouseError::Fenced))
                    if self.is_parking_overtaken(job).await? =>
                {
                    tracing::info!(
                        "events were taken out of the quarantine, or the vault was rebuilt: looking at it again"
                    );
                    // The command that took the events out may have loaded them.
                    self.caches.clear();
                    job.project_again();
                }
                Err(StretchError::Warehouse(err)) => {
                    self.caches.doubts_new_keys |= matches!(err, WarehouseError::Conflict { .. });
                    self.forget();
                    return Err(err);
                }
            }
        }
    }

    /// The session of the attempt before, or a new one.
    async fn session(&mut self) -> Result<LoadingSession, WarehouseError> {
        if let Some(session) = self.session.take() {
            return Ok(session);
        }
        let session = LoadingSession::open(&self.options, &self.plan).await?;
        let topics: Vec<&str> = self.plan.tables.iter().map(|table| table.topic.as_str()).collect();
        control::end_pauses(&session.client, self.plan.schemas, &topics).await?;
        self.paused = control::paused_topics(&session.client, self.plan.schemas, &topics)
            .await?
            .into_iter()
            .collect();
        Ok(session)
    }

    /// Stores that a table cannot go on. Returns when it first stopped there.
    async fn store_pause(&mut self, pause: &TablePause) -> Result<DateTime<Utc>, WarehouseError> {
        let session = self.session().await?;
        let topic = &self.plan.tables[pause.from.table].topic;
        let since = control::store_pause(&session.client, self.plan.schemas, topic, pause).await?;
        self.paused.insert(topic.clone());
        self.session = Some(session);
        Ok(since)
    }

    /// Takes out the pauses that this commit has loaded past.
    async fn end_pauses(&mut self, loaded: &Loaded) -> Result<(), WarehouseError> {
        if self.paused.is_empty() {
            return Ok(());
        }
        let topics =
            loaded.moves.iter().map(|(from, _)| self.plan.tables[from.table].topic.as_str());
        let topics: Vec<&str> = topics.filter(|topic| self.paused.contains(*topic)).collect();
        let Some(session) = self.session.as_ref().filter(|_| !topics.is_empty()) else {
            return Ok(());
        };
        for topic in control::end_pauses(&session.client, self.plan.schemas, &topics).await? {
            tracing::info!(topic, "a table that stood still goes on");
        }
        let left = control::paused_topics(&session.client, self.plan.schemas, &topics).await?;
        self.paused.retain(|topic| !topics.contains(&topic.as_str()) || left.contains(topic));
        Ok(())
    }

    /// Reads which keys are parked in the batch's partitions, unless that is known.
    async fn learn_parking(&mut self, job: &Job<'_>) -> Result<(), WarehouseError> {
        let unknown: Vec<Partition> =
            job.places().map(|(from, _)| from).filter(|from| !self.parking.knows(*from)).collect();
        if !unknown.is_empty() {
            // The vault may have been rebuilt since the other partitions were asked about.
            self.caches.clear();
            for (from, stored) in self.stored_parking(&unknown).await? {
                self.parking.learn(from, stored);
            }
        }
        Ok(())
    }

    /// Whether an attempt moved no offset only because a command took events out of the quarantine meanwhile. Then it
    /// also learns what is parked now.
    async fn is_parking_overtaken(&mut self, job: &Job<'_>) -> Result<bool, WarehouseError> {
        let partitions = job.next_partitions();
        let expected: HashMap<Partition, Place> = job.places().collect();
        let asked: Vec<Partition> = partitions.into_iter().collect();
        let mut is_overtaken = false;
        for (from, stored) in self.stored_parking(&asked).await? {
            if expected.get(&from) != Some(&(stored.epoch, stored.next_offset)) {
                return Ok(false);
            }
            is_overtaken |= stored.version != self.parking.version(from);
            self.parking.learn(from, stored);
        }
        Ok(is_overtaken)
    }

    async fn stored_parking(
        &mut self,
        partitions: &[Partition],
    ) -> Result<Vec<(Partition, StoredParking)>, WarehouseError> {
        let session = self.session().await?;
        let plan = Arc::clone(&self.plan);
        let topic = |from: &Partition| plan.tables[from.table].topic.as_str();
        let asked: Vec<(&str, i32)> =
            partitions.iter().map(|from| (topic(from), from.partition)).collect();
        let mut stored = control::read_parking(&session.client, plan.schemas, &asked).await?;
        self.session = Some(session);
        let found = partitions.iter().map(|from| {
            let key = (topic(from).to_owned(), from.partition);
            (*from, stored.remove(&key).unwrap_or_default())
        });
        Ok(found.collect())
    }

    /// One attempt, while no migration can change the model.
    async fn attempt(
        &mut self,
        stretch: Stretch<'_>,
        projection: &Projection,
    ) -> Result<Loaded, StretchError> {
        let mut session = self.session().await?;
        let Some(model) = self.model.clone() else {
            let outcome = self.commit(&mut session, stretch, projection).await;
            self.session = Some(session);
            return outcome;
        };
        control::hold_model(&session.client, &model).await?;
        let outcome = self.commit(&mut session, stretch, projection).await;
        // Without the connection the lock is gone too. The outcome of the attempt stays.
        if control::release_model(&session.client, &model).await.is_ok() {
            self.session = Some(session);
        }
        outcome
    }

    async fn commit(
        &mut self,
        session: &mut LoadingSession,
        stretch: Stretch<'_>,
        projection: &Projection,
    ) -> Result<Loaded, StretchError> {
        check_quarantine(&session.client, &stretch, self.limits.quarantine_events_max).await?;
        match stretch.truncate() {
            Some((table, position)) => {
                let loaded = truncate::commit(stretch, position, session).await?;
                self.caches.states[self.plan.status_of(table)].clear();
                Ok(loaded)
            }
            None => transaction::commit(stretch, projection, session, &mut self.caches).await,
        }
    }
}

/// Pauses a table whose event would be one too many in quarantine. A fault of the loader or the model would send every
/// event there.
///
/// The number of events in the quarantine counts, and not the number that this process has sent there: otherwise a
/// loader that is started again and again would empty the topics into the quarantine, a thousand events at a time.
async fn check_quarantine(
    client: &Client,
    stretch: &Stretch<'_>,
    max: u64,
) -> Result<(), StretchError> {
    let plan = stretch.plan;
    let mut added = RecordPlaces::default();
    let mut first = None;
    for (record, rejection) in stretch.quarantined() {
        let record = &stretch.batch.records[record];
        added.topics.push(&plan.tables[record.from.table].topic);
        added.partitions.push(record.from.partition);
        added.offsets.push(record.offset);
        added.epochs.push(record.epoch.number);
        first.get_or_insert((record.from.table, rejection.reason));
    }
    let Some((table, reason)) = first else { return Ok(()) };
    let topics: Vec<&str> = plan.tables.iter().map(|table| table.topic.as_str()).collect();
    let held_max = i64::try_from(max).unwrap_or(i64::MAX);
    let count = control::count_quarantined(client, plan.schemas, &topics, &added, held_max).await?;
    if u64::try_from(count).unwrap_or(u64::MAX) <= max {
        return Ok(());
    }
    Err(StretchError::PauseTable {
        table,
        reason: format!(
            "dwh_control.quarantine would hold more than {max} events, the next because: {reason}"
        ),
        remedy:
            "mend the cause, run `vault-loader quarantine retry --all` or `vault-loader quarantine drop`, or raise \
                 quarantine_events_max, and start the loader again"
                .to_owned(),
    })
}
