//! Loads batches: cuts them at truncates, bisects them around bad events, keeps connection and caches.
//!
//! In goes a batch, out come commits, one for each stretch. A [`Job`] remembers how far its batch is, so a failure of the
//! world in the middle repeats the stretch that failed and nothing before it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use shared::postgres::ConnectOptions;
use tokio_postgres::Client;

use super::cache::Caches;
use super::error::StretchError;
use super::statements::Session;
use super::transaction::{Attempt, Committed, Rejection, last_event};
use super::truncate;
use crate::batch::{Batch, Partition, RecordId, RecordRange};
use crate::control::{self, OffsetMove, RecordPlaces};
use crate::decode::{Change, Decoded, Position};
use crate::model::{Plan, TableId};
use crate::warehouse::WarehouseError;

/// Bounds of a loader.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// entries of all caches together; an entry is about 150 bytes
    pub cache_entries_max: usize,
    /// events that may be in quarantine before the loader takes the fault for its own
    pub quarantine_events_max: u64,
}

/// Loads batches into one warehouse.
pub struct Loader {
    options: ConnectOptions,
    plan: Arc<Plan>,
    limits: Limits,
    session: Option<Session>,
    caches: Caches,
    /// the assignment of partitions that the caches belong to
    generation: Option<u64>,
    /// number of the model in the warehouse that the plan was made from
    model: Option<i64>,
}

/// A batch on its way into the warehouse.
pub struct Job<'b> {
    batch: &'b Batch,
    decoded: Decoded<'b>,
    pending: VecDeque<RecordRange>,
    rejected: BTreeMap<RecordId, Rejection>,
    positions: HashMap<Partition, i64>,
}

/// What one commit did, for metrics and logs.
#[derive(Debug, Default)]
pub struct Loaded {
    /// partitions and their next offsets
    pub moves: Vec<(Partition, i64)>,
    /// records in the stretch, by table
    pub events: Vec<(TableId, u64)>,
    /// rows written, by vault table
    pub rows: Vec<(String, u64)>,
    /// candidates that were recognised as loaded before
    pub repeat_count: u64,
    /// records that went to quarantine, with the reason
    pub quarantined: Vec<(Partition, i64, String)>,
    /// commit time at the source of the last event, microseconds since the epoch
    pub last_applied_us: Option<i64>,
}

impl<'b> Job<'b> {
    /// Decodes a batch and plans its stretches.
    #[must_use]
    pub fn new(plan: &Plan, batch: &'b Batch) -> Self {
        let decoded = Decoded::new(batch, plan);
        let pending = decoded.segments().into();
        let positions = batch.starts.clone();
        Self { batch, decoded, pending, rejected: BTreeMap::new(), positions }
    }

    fn reject(&mut self, record: RecordId, reason: String, sqlstate: Option<String>) {
        self.rejected.insert(record, Rejection { reason, sqlstate });
    }

    /// The reason why an event of this batch goes to quarantine.
    fn reason(&self, record: RecordId) -> String {
        match (self.rejected.get(&record), &self.decoded.changes[record]) {
            (Some(rejection), _) => rejection.reason.clone(),
            (None, Err(reason)) => reason.clone(),
            (None, Ok(_)) => String::new(),
        }
    }
}

impl Loader {
    /// A loader that connects when it is first used.
    #[must_use]
    pub fn new(options: ConnectOptions, plan: Arc<Plan>, limits: Limits) -> Self {
        let caches = Caches::new(&plan, limits.cache_entries_max);
        Self { options, plan, limits, session: None, caches, generation: None, model: None }
    }

    /// Loads only as long as the warehouse's model is the one with this number.
    #[must_use]
    pub fn with_model(mut self, registered: i64) -> Self {
        self.model = Some(registered);
        self
    }

    /// Forgets connection and caches: after an error nobody knows what still holds.
    pub fn forget(&mut self) {
        self.session = None;
        self.caches.clear();
    }

    /// Commits the job's next stretch; `None` when the batch is done.
    ///
    /// After an error that [`WarehouseError::is_retry`], call it again with the same job; after any other the job is over.
    pub async fn advance(&mut self, job: &mut Job<'_>) -> Result<Option<Loaded>, WarehouseError> {
        loop {
            let Some(range) = job.pending.front().copied() else {
                return match &job.decoded.drift {
                    Some(drift) => Err(WarehouseError::Stop(drift.to_string())),
                    None => Ok(None),
                };
            };
            match self.attempt(job, range).await {
                Ok(loaded) => {
                    job.pending.pop_front();
                    job.positions.extend(loaded.moves.iter().copied());
                    return Ok(Some(loaded));
                }
                Err(StretchError::Event { record, reason }) => job.reject(record, reason, None),
                Err(StretchError::Warehouse(err @ WarehouseError::Data { .. })) => {
                    isolate(job, range, err)?;
                }
                Err(StretchError::Warehouse(err)) => {
                    self.forget();
                    return Err(err);
                }
            }
        }
    }

    /// One attempt, while no migration can change the model.
    async fn attempt(&mut self, job: &Job<'_>, range: RecordRange) -> Result<Loaded, StretchError> {
        let mut session = match self.session.take() {
            Some(session) => session,
            None => Session::open(&self.options, &self.plan).await?,
        };
        let Some(model) = self.model else {
            let outcome = self.commit(&mut session, job, range).await;
            self.session = Some(session);
            return outcome;
        };
        control::hold_model(&session.client, model).await?;
        let outcome = self.commit(&mut session, job, range).await;
        // Without the connection the lock is gone too; the outcome stands.
        if control::release_model(&session.client).await.is_ok() {
            self.session = Some(session);
        }
        outcome
    }

    async fn commit(
        &mut self,
        session: &mut Session,
        job: &Job<'_>,
        range: RecordRange,
    ) -> Result<Loaded, StretchError> {
        if self.generation != Some(job.batch.generation) {
            // Between two assignments another loader may have had these partitions.
            self.caches.clear();
            self.generation = Some(job.batch.generation);
        }
        let max = self.limits.quarantine_events_max;
        check_quarantine(&session.client, &self.plan, job, range, max).await?;
        let events = count_events(job.batch, range);
        if let Ok(Change::Truncate { table, position }) = &job.decoded.changes[range.first()]
            && !job.rejected.contains_key(&range.first())
        {
            let step = truncate_move(job, range.first(), *position);
            let closed = truncate::apply(session, &self.plan, &step, position).await?;
            let status = self.plan.status_of(*table);
            self.caches.states[status].clear();
            return Ok(Loaded {
                moves: vec![(step.from, step.next)],
                events,
                rows: vec![(self.plan.satellites[status].name.clone(), closed)],
                last_applied_us: Some(position.applied_us),
                ..Loaded::default()
            });
        }
        let attempt = Attempt {
            plan: &self.plan,
            batch: job.batch,
            decoded: &job.decoded,
            range,
            rejected: &job.rejected,
            positions: &job.positions,
        };
        let mut committed: Committed = attempt.run(session, &mut self.caches).await?;
        committed.remember(&mut self.caches);
        let quarantined = committed
            .quarantined
            .iter()
            .map(|&record| {
                let source = &job.batch.records[record];
                (source.from, source.offset, job.reason(record))
            })
            .collect();
        Ok(Loaded {
            moves: committed.moves,
            events,
            rows: committed.rows,
            repeat_count: committed.repeat_count,
            quarantined,
            last_applied_us: committed.last_applied_us,
        })
    }
}

/// A fault of the loader or the model would send every event to quarantine: better to stop.
///
/// What counts is what the quarantine holds, not what this process sent there: a loader that is started again and again must not drain
/// the topics a thousand events at a time. Events that are there already, in a replay, are not counted twice.
async fn check_quarantine(
    client: &Client,
    plan: &Plan,
    job: &Job<'_>,
    range: RecordRange,
    max: u64,
) -> Result<(), WarehouseError> {
    let bad = |record: &RecordId| {
        job.rejected.contains_key(record) || job.decoded.changes[*record].is_err()
    };
    let events: Vec<RecordId> = range.iter().filter(bad).collect();
    let Some(&first) = events.first() else { return Ok(()) };
    let mut added = RecordPlaces::default();
    for &record in &events {
        let record = &job.batch.records[record];
        added.topics.push(&plan.tables[record.from.table].topic);
        added.partitions.push(record.from.partition);
        added.offsets.push(record.offset);
    }
    let topics: Vec<&str> = plan.tables.iter().map(|table| table.topic.as_str()).collect();
    let held_max = i64::try_from(max).unwrap_or(i64::MAX);
    let count = control::count_quarantined(client, &topics, &added, held_max).await?;
    if u64::try_from(count).unwrap_or(u64::MAX) <= max {
        return Ok(());
    }
    Err(WarehouseError::Stop(format!(
        "dwh_control.quarantine would hold more than {max} events, the next because: {}; \
         mend the cause, then take out of dwh_control.quarantine what has been seen to, or raise quarantine_events_max",
        job.reason(first)
    )))
}

/// Halves a stretch that the warehouse refuses, down to the event that is at fault.
fn isolate(
    job: &mut Job<'_>,
    range: RecordRange,
    err: WarehouseError,
) -> Result<(), WarehouseError> {
    let first = range.first();
    if range.count() == 1 {
        if job.rejected.contains_key(&first) || job.decoded.changes[first].is_err() {
            let place = &job.batch.records[first];
            return Err(WarehouseError::Stop(format!(
                "not even the quarantine takes the event at partition {}, offset {}: {err}",
                place.from.partition, place.offset
            )));
        }
        let reason = err.to_string();
        let sqlstate = match err {
            WarehouseError::Data { sqlstate, .. } => Some(sqlstate),
            _ => None,
        };
        job.reject(first, reason, sqlstate);
        return Ok(());
    }
    let [before, behind] = range.halves();
    job.pending.pop_front();
    job.pending.push_front(behind);
    job.pending.push_front(before);
    Ok(())
}

fn count_events(batch: &Batch, range: RecordRange) -> Vec<(TableId, u64)> {
    let mut counts: BTreeMap<TableId, u64> = BTreeMap::new();
    for record in range.iter() {
        *counts.entry(batch.records[record].from.table).or_default() += 1;
    }
    counts.into_iter().collect()
}

fn truncate_move(job: &Job<'_>, record: RecordId, position: Position) -> OffsetMove {
    let from = job.batch.records[record].from;
    OffsetMove {
        from,
        expected: job.positions[&from],
        next: job.batch.records[record].offset + 1,
        last: Some(last_event(&position)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Content;
    use crate::model::{self, Id};

    #[test]
    fn an_event_that_even_quarantine_cannot_take_stops_the_loader() {
        let text = include_str!("../../../connectors/airline/vault.toml");
        let plan = Plan::new(model::parse(text).unwrap());
        let mut batch = Batch::new(1);
        let from = Partition { table: TableId::from_index(0), partition: 0 };
        // The first is a tombstone, which decodes; the second does not.
        batch.push(from, 0, Content { key: Some(b"k"), ..Content::default() });
        batch.push(from, 1, Content { value: Some(b"no json"), ..Content::default() });
        let mut job = Job::new(&plan, &batch);
        let refusal =
            || WarehouseError::Data { sqlstate: "22008".to_owned(), table: None, column: None };
        let record = RecordId::from_index;
        let [first, second] = [0, 1].map(|n| RecordRange::new(record(n), record(n + 1)));
        isolate(&mut job, RecordRange::new(record(0), record(2)), refusal()).unwrap();
        assert_eq!(job.pending, [first, second]);
        isolate(&mut job, first, refusal()).unwrap();
        assert!(job.rejected.contains_key(&record(0)));
        for range in [first, second] {
            let outcome = isolate(&mut job, range, refusal());
            assert!(matches!(outcome, Err(WarehouseError::Stop(_))), "{outcome:?}");
        }
    }
}
