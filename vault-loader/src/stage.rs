//! Loads batches, one after the other, and tries again until the warehouse is back.
//!
//! In: one writer's batches in order, each with the job that was made of it ahead of its turn. Out: commits, with what
//! they have to tell to metrics, health and the thread that polls Kafka; or the reason why loading cannot go on.
//!
//! When the assignment of a batch ends, the attempt that is going on ends as it would, and the rest of the batch is
//! left to whoever gets the partitions.

use std::collections::HashSet;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use shared::backoff::Backoff;
use shared::postgres::ConnectOptions;
use tokio_util::sync::CancellationToken;

use crate::batch::Batch;
use crate::consume::IntakeCommand;
use crate::decode::NewColumn;
use crate::health::{Health, HealthCell};
use crate::in_flight::{InFlight, Loading};
use crate::load::{Job, Loaded, Loader, Step};
use crate::metrics::Metrics;
use crate::model::{ColumnId, IdVec, Plan, TableId};
use crate::paused::{PausedTables, TablePause};
use crate::run::{RunError, RunOptions};
use crate::warehouse::WarehouseError;
use crate::warehouse_watch::{ATTEMPT_MAX, watch};

/// After this many conflicts in a row the loader stops: they would mean that two loaders have the same partition, which
/// must not happen.
const CONFLICTS_MAX: u32 = 5;

/// How long a fenced loader waits before it reads the offsets again and assigns its partitions anew. Another loader has
/// the partitions, because the group has taken them for lost or a batch was in flight for too long. So the group takes
/// them from this loader with its next heartbeat, which comes within 3 s. When both happen at once, librdkafka stops a
/// partition twice and ends the process:
/// <https://github.com/confluentinc/librdkafka/issues/5573>.
const FENCED_WAIT: Duration = Duration::from_secs(4);

/// The loading side of the channel.
pub(crate) struct LoadStage {
    loader: Loader,
    /// to ask on another connection whether the warehouse answers
    warehouse: ConnectOptions,
    plan: Arc<Plan>,
    metrics: Arc<Metrics>,
    health: HealthCell,
    paused: PausedTables,
    in_flight: InFlight,
    /// whether satellites may grow
    grows: bool,
    /// columns of which the log has said that they were dropped
    dropped: HashSet<(TableId, ColumnId)>,
    commands: mpsc::Sender<IntakeCommand>,
    pub(crate) token: CancellationToken,
    /// batches up to this generation are dropped
    fenced: Option<u64>,
}

/// What decides how a batch is decoded.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) plan: Arc<Plan>,
    pub(crate) is_paused: IdVec<TableId, bool>,
}

impl View {
    pub(crate) fn of(plan: &Arc<Plan>, paused: &PausedTables) -> Self {
        let is_paused = plan.tables.map(|table| paused.contains(&table.topic));
        Self { plan: Arc::clone(plan), is_paused }
    }

    /// Whether a batch is decoded in the same way with both.
    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.plan, &other.plan) && self.is_paused == other.is_paused
    }
}

impl LoadStage {
    pub(crate) fn new(
        loader: Loader,
        warehouse: ConnectOptions,
        options: RunOptions,
        commands: mpsc::Sender<IntakeCommand>,
        token: CancellationToken,
    ) -> Self {
        Self {
            loader,
            warehouse,
            plan: options.plan,
            metrics: options.metrics,
            health: options.health,
            paused: options.paused,
            in_flight: options.in_flight,
            grows: options.config.grow_satellites,
            dropped: HashSet::new(),
            commands,
            token,
            fenced: None,
        }
    }

    /// What jobs are made with as long as nothing changes.
    pub(crate) fn view(&self) -> View {
        View::of(&self.plan, &self.paused)
    }

    /// Loads one batch with the job that was made of it, unless its view has changed since then. A table of it that has
    /// got columns is decoded again once the vault has taken them in.
    pub(crate) async fn load(
        &mut self,
        batch: &Batch,
        (view, job): (&View, Job<'_>),
    ) -> Result<(), RunError> {
        if self.fenced.is_some_and(|fenced| batch.generation <= fenced) {
            return Ok(());
        }
        let Some(loading) = self.in_flight.begin(batch.generation) else { return Ok(()) };
        let generation = batch.generation;
        let mut refused = HashSet::new();
        if view.is(&self.view()) {
            match self.next_growth(&job, &refused) {
                None => return self.load_job(batch, job, loading).await,
                Some(growth) if !self.take_in(generation, &growth, &mut refused).await => {
                    return Ok(());
                }
                Some(_) => {}
            }
        }
        loop {
            let view = self.view();
            let job = Job::new(&view.plan, batch, |table| view.is_paused[table]);
            let Some(growth) = self.next_growth(&job, &refused) else {
                return self.load_job(batch, job, loading).await;
            };
            if !self.take_in(generation, &growth, &mut refused).await {
                return Ok(());
            }
        }
    }

    /// The next table of a job that has got columns, and may have them.
    fn next_growth(
        &self,
        job: &Job<'_>,
        refused: &HashSet<TableId>,
    ) -> Option<(TableId, Vec<NewColumn>)> {
        let mut growths = job.growths().iter();
        growths.find(|(table, _)| self.grows && !refused.contains(table)).cloned()
    }

    /// Takes in columns, or notes that this is not possible. `false` when the batch is to be left.
    async fn take_in(
        &mut self,
        generation: u64,
        (table, columns): &(TableId, Vec<NewColumn>),
        refused: &mut HashSet<TableId>,
    ) -> bool {
        match self.grow(generation, *table, columns).await {
            Some(true) => {}
            Some(false) => drop(refused.insert(*table)),
            None => return false,
        }
        true
    }

    /// Takes in the columns that a table has got. `Some(false)` when that is not possible, `None` when the batch is to
    /// be left.
    async fn grow(
        &mut self,
        generation: u64,
        table: TableId,
        columns: &[NewColumn],
    ) -> Option<bool> {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
        loop {
            match self.loader.grow(table, columns).await {
                Ok(plan) => {
                    self.plan = plan;
                    return Some(true);
                }
                Err(err) if err.is_retry() => {
                    self.loader.forget();
                    if !self.wait(generation, &err, &mut backoff).await {
                        return None;
                    }
                }
                Err(error) => {
                    let topic = &self.plan.tables[table].topic;
                    tracing::warn!(topic, %error, "no satellite of the table can grow by its new columns");
                    return Some(false);
                }
            }
        }
    }

    /// Says once of each column that the source has dropped it.
    fn tell_of_dropped(&mut self, job: &Job<'_>) {
        for &(table, column) in job.dropped() {
            if self.dropped.insert((table, column)) {
                let topic = &self.plan.tables[table].topic;
                let column = &self.plan.model.tables[table].columns[column].name;
                tracing::warn!(
                    topic,
                    column,
                    "the source has dropped a column: it is NULL from here on"
                );
            }
        }
    }

    /// Loads a decoded batch, and tries again until the warehouse is back.
    async fn load_job(
        &mut self,
        batch: &Batch,
        mut job: Job<'_>,
        loading: Loading,
    ) -> Result<(), RunError> {
        self.tell_of_dropped(&job);
        let started = Instant::now();
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
        let mut conflict_count = 0;
        let generation = batch.generation;
        while self.in_flight.is_current(generation) {
            match self.attempt(&mut job).await {
                Ok(Some(Step::Loaded(loaded))) => {
                    self.report(&loaded);
                    backoff.reset();
                    conflict_count = 0;
                }
                Ok(Some(Step::Paused { pause, since })) => self.pause(&pause, since),
                Ok(None) => {
                    self.metrics.batch_took(started.elapsed().as_secs_f64());
                    self.health.set(Health::Healthy);
                    return Ok(());
                }
                Err(WarehouseError::Fenced) => {
                    drop(loading);
                    self.note_fence(generation).await;
                    return Ok(());
                }
                Err(err) if err.is_retry() => {
                    if matches!(err, WarehouseError::Conflict { .. }) {
                        conflict_count += 1;
                        if conflict_count >= CONFLICTS_MAX {
                            return Err(err.into());
                        }
                    }
                    if !self.wait(generation, &err, &mut backoff).await {
                        return Ok(());
                    }
                }
                Err(err) => return Err(err.into()),
            }
        }
        // The rest of the batch is somebody else's, and so is the trouble with it.
        self.health.set(Health::Healthy);
        Ok(())
    }

    /// Drops the batches of an assignment whose offsets another loader has moved, and has the offsets read anew.
    async fn note_fence(&mut self, generation: u64) {
        tracing::warn!(generation, "fenced: another loader moved the offsets, reading them anew");
        self.metrics.fenced();
        self.health.set(Health::Healthy);
        self.fenced = Some(generation);
        tokio::select! {
            () = self.token.cancelled() => return,
            () = self.in_flight.outdated(generation) => return,
            () = tokio::time::sleep(FENCED_WAIT) => {}
        }
        // A closed channel means the intake has ended, which the next receive reports.
        let _ = self.commands.send(IntakeCommand::Reset(generation));
    }

    /// One attempt with a watch on it. A slow warehouse may go on, a warehouse that does not answer is reported, and
    /// the wait ends after a limit.
    async fn attempt(&mut self, job: &mut Job<'_>) -> Result<Option<Step>, WarehouseError> {
        self.health.trying(true, Instant::now());
        let is_truncate = job.is_at_truncate();
        let outcome = tokio::select! {
            biased; // an outcome beats the doubts
            outcome = self.loader.advance(job) => outcome,
            () = watch(&self.warehouse, &self.health, is_truncate) => {
                Err(WarehouseError::Silent { wait_s: ATTEMPT_MAX.as_secs() })
            }
        };
        self.health.trying(false, Instant::now());
        if matches!(outcome, Err(WarehouseError::Silent { .. })) {
            // The warehouse may still commit what was sent. A loader that repeats it is fenced by the offsets, and
            // reads them again.
            self.loader.forget();
        }
        outcome
    }

    /// Waits before the next attempt; `false` when the batch is to be left instead, because the loader ends or the
    /// partitions are given back. Whether the warehouse answers is then asked elsewhere.
    async fn wait(&self, generation: u64, err: &WarehouseError, backoff: &mut Backoff) -> bool {
        let delay = backoff.next_delay();
        self.metrics.retried("load");
        self.health.set(Health::Failing(err.to_string()));
        if backoff.should_log() {
            let attempt = backoff.attempts();
            tracing::warn!(
                error = err as &dyn std::error::Error,
                attempt,
                "a batch failed, trying again"
            );
        }
        tokio::select! {
            () = self.token.cancelled() => false,
            () = self.in_flight.outdated(generation) => {
                self.health.set(Health::Healthy);
                false
            }
            () = tokio::time::sleep(delay) => true,
        }
    }

    /// Makes known that a table stands still. Later batches leave the table out, and the intake does not read it.
    fn pause(&self, pause: &TablePause, since: DateTime<Utc>) {
        let topic = &self.plan.tables[pause.from.table].topic;
        self.paused.pause(topic, pause, since);
        // A closed channel means the intake has ended, which the next receive reports.
        let _ = self.commands.send(IntakeCommand::Pause);
    }

    fn report(&self, loaded: &Loaded) {
        self.count(loaded);
        for event in loaded.quarantined.iter().filter(|event| event.at_fault) {
            let topic = &self.plan.tables[event.from.table].topic;
            tracing::error!(
                topic,
                partition = event.from.partition,
                offset = event.offset,
                reason = event.reason,
                "event put into quarantine"
            );
        }
        let waiting = loaded.quarantined.iter().filter(|event| !event.at_fault).count();
        if waiting > 0 {
            tracing::warn!(
                event_count = waiting,
                "events wait in the quarantine behind others of their keys"
            );
        }
        // A closed channel means the intake has ended, which the next receive reports.
        let _ = self.commands.send(IntakeCommand::Commit(loaded.moves.clone()));
    }

    fn count(&self, loaded: &Loaded) {
        self.metrics.committed(loaded.repeat_count);
        for (table, count) in &loaded.rows {
            self.metrics.rows_written(table, *count);
        }
        for event in &loaded.quarantined {
            self.metrics.quarantined(&self.plan.tables[event.from.table].topic);
        }
        for (table, count) in &loaded.events {
            self.metrics.events_loaded(&self.plan.tables[*table].topic, *count);
        }
        if let Some(applied_us) = loaded.last_applied_us {
            self.metrics.last_applied(applied_us);
        }
        for (from, next) in &loaded.moves {
            self.metrics.moved(&self.plan, *from, *next);
        }
    }
}
