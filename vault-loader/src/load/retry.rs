//! Loads what waits in the quarantine, by the same way as any other event.
//!
//! In: a key that waits. Out: a commit that writes the rows of all its events and takes them out of the quarantine, or
//! nothing at all, and the event that is at fault. The transaction moves the partition's parking version first. So it
//! waits for a loader that is in an attempt with this partition, and makes the loader's next attempt look at the
//! quarantine again. A loader that is killed, fenced or started meanwhile changes nothing about that.
//!
//! After a retry the vault equals one that never saw the fault:
//!
//! - The events are folded in the order of their offsets, as they would have been.
//! - A truncate that was loaded meanwhile left the key open. The retry closes it between the events before and behind
//!   the truncate, with the times and the place of the truncate's own record.
//! - A row that moved away from a key that waits too is loaded together with that key's events, because two rows may
//!   have changed places.

use std::sync::Arc;

use foldhash::{HashMap, HashMapExt};
use shared::postgres::ConnectOptions;
use tokio_postgres::Transaction;

use super::cache::Caches;
use super::error::StretchError;
use super::held::HeldKeys;
use super::satellites::{fold_satellites, read_states, write_satellites};
use super::statements::{LoadingSession, Statements};
use super::stretch::Stretch;
use super::truncate::{Ending, truncation};
use super::writer::RowWriter;
use crate::batch::{Batch, Content, Partition, RecordId, RecordRange};
use crate::control::{
    self, KeyHash, KnownTruncations, Registered, StoredParking, TopicSpan, Truncation,
    WaitingEvent, WaitingKey,
};
use crate::decode::{Change, Decoded, RowChange};
use crate::epoch::Epochs;
use crate::model::{Id, Plan, TableId};
use crate::vault::projection::Projector;
use crate::warehouse::WarehouseError;

/// Why an event without content cannot be retried. Its own reason stays in the quarantine.
const REDACTED: &str =
    "its content was removed by `vault-loader quarantine redact`, so the event can only be dropped";

/// What became of a retry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Retried {
    /// the events were loaded
    Loaded { event_count: usize },
    /// nothing was loaded; the events go on waiting because of this one
    Waits { id: i64, offset: i64, reason: String },
    /// nothing waits any more: another retry was faster, or loaded the key together with another one
    Gone,
}

/// Why an attempt was given up.
enum Failure {
    /// this event is at fault: its place among the events
    Event {
        index: usize,
        reason: String,
        sqlstate: Option<String>,
    },
    /// the content of this event is gone
    Redacted {
        index: usize,
    },
    Warehouse(WarehouseError),
}

impl From<WarehouseError> for Failure {
    fn from(err: WarehouseError) -> Self {
        Self::Warehouse(err)
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(err: tokio_postgres::Error) -> Self {
        Self::Warehouse(err.into())
    }
}

/// How finely events are cut into steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// where a truncate stands between them
    AtTruncates,
    /// behind each event, to find the one that the warehouse refuses
    BehindEachEvent,
}

/// One step of a retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// load these events
    Load(RecordRange),
    /// close what is open of the keys, as this truncate would have done
    Close(Truncation),
    /// carry out a truncate that was itself in the quarantine
    Truncate(RecordId),
}

/// Retries keys of one warehouse.
pub(crate) struct Retrier<'p> {
    plan: &'p Plan,
    session: LoadingSession,
    /// the model in the warehouse that the plan was made from
    model: Registered,
}

impl<'p> Retrier<'p> {
    pub(crate) async fn open(
        options: &ConnectOptions,
        plan: &'p Plan,
        model: Registered,
    ) -> Result<Self, WarehouseError> {
        Ok(Self { plan, session: LoadingSession::open(options, plan).await?, model })
    }

    /// Loads all events of a key, or none.
    pub(crate) async fn retry(&mut self, key: &WaitingKey) -> Result<Retried, WarehouseError> {
        control::hold_model(&self.session.client, &self.model).await?;
        let outcome = self.retry_held(key).await;
        control::release_model(&self.session.client, &self.model).await?;
        outcome
    }

    async fn retry_held(&mut self, key: &WaitingKey) -> Result<Retried, WarehouseError> {
        let mut events = Vec::new();
        let mut outcome = self.attempt(key, Cut::AtTruncates, &mut events).await;
        if matches!(outcome, Err(Failure::Warehouse(WarehouseError::Data { .. }))) {
            outcome = self.attempt(key, Cut::BehindEachEvent, &mut events).await;
        }
        match outcome {
            Ok(()) if events.is_empty() => Ok(Retried::Gone),
            Ok(()) => Ok(Retried::Loaded { event_count: events.len() }),
            Err(Failure::Event { index, reason, sqlstate }) => {
                let WaitingEvent { id, offset, .. } = events[index];
                let ids: Vec<i64> = events.iter().map(|event| event.id).collect();
                let client = &self.session.client;
                control::note_failure(client, &ids, id, &reason, sqlstate.as_deref()).await?;
                Ok(Retried::Waits { id, offset, reason })
            }
            Err(Failure::Redacted { index }) => {
                let WaitingEvent { id, offset, .. } = events[index];
                Ok(Retried::Waits { id, offset, reason: REDACTED.to_owned() })
            }
            Err(Failure::Warehouse(err)) => Err(err),
        }
    }

    /// Takes an event out of the quarantine without loading it; `false` when it is not there any more. What the
    /// truncates that came meanwhile left to the key's retry is done here, as far as the retry of the key's next event
    /// will not do it.
    pub(crate) async fn drop_event(
        &mut self,
        event: &WaitingEvent,
        why: &str,
    ) -> Result<bool, WarehouseError> {
        // Who makes hash keys anew takes this lock first, and then what a drop writes to.
        control::hold_model(&self.session.client, &self.model).await?;
        let outcome = self.drop_held(event, why).await;
        control::release_model(&self.session.client, &self.model).await?;
        outcome
    }

    async fn drop_held(&mut self, event: &WaitingEvent, why: &str) -> Result<bool, WarehouseError> {
        let plan = self.plan;
        let table = table_of(plan, &event.topic)?;
        let LoadingSession { client, statements } = &mut self.session;
        let transaction = client.transaction().await?;
        let topic = event.topic.as_str();
        control::share_topics(&transaction, &statements.control, &[topic]).await?;
        control::move_parking_version(&transaction, topic, event.partition).await?;
        if !control::drop_event(&transaction, event.id, why).await? {
            return Ok(false);
        }
        let keys: Vec<KeyHash> = event.key_hash.into_iter().collect();
        let left = control::events_of_keys(&transaction, topic, event.partition, &keys).await?;
        if let Some(parent) = event.parent {
            let epochs = epochs_of(&transaction, plan, table).await?;
            let batch = batch_of(Partition { table, partition: event.partition }, &epochs, &[]);
            let prepared = &statements.control;
            let all = [TopicSpan::all(topic)];
            let truncations =
                control::read_truncations(&transaction, prepared, plan, &batch, &all).await?;
            let keys = [parent.to_vec()];
            let mut due = since(Some(event), truncations.get(&table));
            due.retain(|due| left.first().is_none_or(|next| came_before(due, next)));
            if let Some(earliest) = due.iter().map(|truncation| truncation.load_date_us).min() {
                let source = &plan.model.source.name;
                control::note_late_load(&transaction, source, earliest).await?;
            }
            for truncation in due {
                let ending = Ending { plan, table, truncation: &truncation, epochs: &epochs };
                ending.close_only(&transaction, &keys).await?;
            }
        }
        transaction.commit().await?;
        Ok(true)
    }

    /// One attempt. `events` holds what it was about.
    async fn attempt(
        &mut self,
        key: &WaitingKey,
        cut: Cut,
        events: &mut Vec<WaitingEvent>,
    ) -> Result<(), Failure> {
        let plan = self.plan;
        let table = table_of(plan, &key.topic)?;
        let from = Partition { table, partition: key.partition };
        let LoadingSession { client, statements } = &mut self.session;
        let transaction = client.transaction().await?;
        if key.key_hash.is_some() {
            let topics = [key.topic.as_str()];
            control::share_topics(&transaction, &statements.control, &topics).await?;
        } else {
            control::lock_topic(&transaction, plan.schemas, &key.topic).await?; // it may be a truncate
        }
        control::move_parking_version(&transaction, &key.topic, key.partition).await?;
        let epochs = epochs_of(&transaction, plan, table).await?;
        *events = waiting_together(&transaction, plan, &epochs, from, key).await?;
        if let Some(index) = events.iter().position(|event| event.redacted_at.is_some()) {
            return Err(Failure::Redacted { index });
        }
        let batch = batch_of(from, &epochs, events);
        let decoded = Decoded::new(&batch, plan, |_| false);
        check(&decoded)?;
        let truncations = control::read_truncations(
            &transaction,
            &statements.control,
            plan,
            &batch,
            &[TopicSpan::all(&key.topic)],
        )
        .await?;
        let truncations = since(events.first(), truncations.get(&table));
        let work =
            Work { transaction: &transaction, plan, statements, batch: &batch, decoded: &decoded };
        work.run(&steps(&decoded, &truncations, cut), table).await?;
        let ids: Vec<i64> = events.iter().map(|event| event.id).collect();
        control::remove_events(&transaction, &ids).await?;
        let status = &plan.satellites[plan.status_of(table)].qualified;
        let closed = first_written(&transaction, status, &work.parents(table)).await?;
        if let Some(earliest) = published(&decoded).chain(closed).min() {
            control::note_late_load(&transaction, &plan.model.source.name, earliest).await?;
        }
        Ok(transaction.commit().await?)
    }
}

/// When each of these changes was published. The versions that they make have this load date or a later one.
fn published(decoded: &Decoded<'_>) -> impl Iterator<Item = i64> {
    decoded.changes.iter().filter_map(|change| match change {
        Ok(Change::Row(row)) => Some(row.position.published_us),
        Ok(Change::Truncate { position, .. }) => Some(position.published_us),
        _ => None,
    })
}

/// The earliest load date that this transaction has written to these keys' status: a truncate that came from another
/// partition may have been published before their events.
async fn first_written(
    transaction: &Transaction<'_>,
    status: &str,
    keys: &[Vec<u8>],
) -> Result<Option<i64>, tokio_postgres::Error> {
    let sql = format!(
        "SELECT (extract(epoch FROM min(load_date)) * 1000000)::bigint
         FROM {status}
         WHERE hash_key = ANY ($1) AND xmin = pg_current_xact_id()::xid"
    );
    Ok(transaction.query_one(&sql, &[&keys]).await?.get(0))
}

async fn epochs_of(
    transaction: &Transaction<'_>,
    plan: &Plan,
    table: TableId,
) -> Result<Epochs, WarehouseError> {
    let source = plan.tables[table].record_source.as_str();
    let mut found = control::read_epochs(transaction, &[source]).await?;
    Ok(found.remove(source).unwrap_or_default())
}

fn table_of(plan: &Plan, topic: &str) -> Result<TableId, WarehouseError> {
    plan.tables.find_id(|table| table.topic == topic).ok_or_else(|| {
        WarehouseError::Stop(format!("the model has no table with the topic {topic}"))
    })
}

/// Whether a truncate stands before an event in the event's partition.
fn came_before(truncation: &Truncation, event: &WaitingEvent) -> bool {
    truncation.place.is_some_and(|(partition, offset)| {
        truncation.epoch.number == event.epoch
            && partition == event.partition
            && offset < event.offset
    })
}

/// The truncates that may have come since the first event of a key waits. Those before it in its partition did their
/// work on the key when they came.
fn since(first: Option<&WaitingEvent>, all: Option<&KnownTruncations>) -> Vec<Truncation> {
    let all = all.into_iter().flat_map(|known| &known.closing);
    let is_due =
        |truncation: &&Truncation| !first.is_some_and(|first| came_before(truncation, first));
    let mut left: Vec<Truncation> = all.filter(is_due).copied().collect();
    left.sort_by_key(Truncation::position);
    left
}

/// The events of a key and of the keys that its rows came from, as far as they wait too, in order of their offsets.
async fn waiting_together(
    transaction: &Transaction<'_>,
    plan: &Plan,
    epochs: &Epochs,
    from: Partition,
    key: &WaitingKey,
) -> Result<Vec<WaitingEvent>, WarehouseError> {
    let (topic, partition) = (key.topic.as_str(), key.partition);
    let Some(first) = key.key_hash else {
        return Ok(control::event_by_id(transaction, key.id).await?.into_iter().collect());
    };
    let parked = control::read_parking(transaction, plan.schemas, &[(topic, partition)]).await?;
    let parked = parked.into_values().next().unwrap_or_default();
    let mut keys = vec![first];
    loop {
        let events = control::events_of_keys(transaction, topic, partition, &keys).await?;
        let origins = origins(plan, &batch_of(from, epochs, &events), &parked, &keys);
        if origins.is_empty() {
            return Ok(events);
        }
        keys.extend(origins);
    }
}

/// The parked keys that rows of these events came from, beside those that are known. One that cannot be read may be
/// any.
fn origins(plan: &Plan, batch: &Batch, parked: &StoredParking, known: &[KeyHash]) -> Vec<KeyHash> {
    let decoded = Decoded::new(batch, plan, |_| false);
    let mut projector = Projector::new(plan, &decoded.values);
    let mut found = Vec::new();
    for change in decoded.changes.iter() {
        let Ok(Change::Row(row)) = change else { continue };
        let Some(parent) = row.moved_from.and_then(|old| projector.parent(row.table, old)) else {
            continue;
        };
        for (key, _) in &parked.keys {
            let may_be = key.parent.is_none_or(|known| known == parent);
            if may_be && !known.contains(&key.key_hash) && !found.contains(&key.key_hash) {
                found.push(key.key_hash);
            }
        }
    }
    found
}

/// The events as the records that they were.
fn batch_of(from: Partition, epochs: &Epochs, events: &[WaitingEvent]) -> Batch {
    let of_table = HashMap::from_iter([(from.table, epochs.clone())]);
    let mut batch = Batch::new(0, Arc::new(of_table));
    for event in events {
        let content = Content {
            key: event.key.as_deref(),
            value: event.value.as_deref(),
            ..Content::default()
        };
        let content = event
            .headers
            .iter()
            .fold(content, |content, (name, value)| content.with_header(name, value));
        batch.push_in(epochs.numbered(event.epoch), from, event.offset, content);
    }
    batch
}

/// Finds the first event that cannot be decoded.
fn check(decoded: &Decoded<'_>) -> Result<(), Failure> {
    for (record, change) in decoded.changes.with_ids() {
        if let Err(bad) = change {
            let (index, reason) = (record.to_index(), bad.reason.clone());
            return Err(Failure::Event { index, reason, sqlstate: None });
        }
    }
    match decoded.drifted.first() {
        Some(drift) => {
            // One table has one such record, and everything from there on is held back.
            let index = decoded.changes.ids().find(|&record| decoded.is_held(record));
            let index = index.map_or(0, Id::to_index);
            Err(Failure::Event { index, reason: drift.pause.reason.clone(), sqlstate: None })
        }
        None => Ok(()),
    }
}

/// Puts the truncates, in order of their positions, where they stand between the events.
fn steps(decoded: &Decoded<'_>, truncations: &[Truncation], cut: Cut) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut due = truncations.iter().peekable();
    let mut start = RecordId::from_index(0);
    for (record, change) in decoded.changes.with_ids() {
        let at = match change {
            Ok(Change::Row(RowChange { position, .. })) => {
                position.record_lsn.map(|lsn| position.epoch.position(lsn))
            }
            _ => None,
        };
        let mut closings = Vec::new();
        while let Some(&truncation) = due.next_if(|truncation| Some(truncation.position()) < at) {
            closings.push(Step::Close(truncation));
        }
        let is_truncate = matches!(change, Ok(Change::Truncate { .. }));
        let is_cut = cut == Cut::BehindEachEvent || is_truncate || !closings.is_empty();
        if is_cut && start < record {
            steps.push(Step::Load(RecordRange::new(start, record)));
            start = record;
        }
        steps.extend(closings);
        if is_truncate {
            steps.push(Step::Truncate(record));
            start = RecordRange::single(record).end();
        }
    }
    let end = decoded.changes.next_id();
    steps.extend((start < end).then(|| Step::Load(RecordRange::new(start, end))));
    steps.extend(due.copied().map(Step::Close));
    steps
}

/// The steps of one attempt, inside its transaction.
struct Work<'w> {
    transaction: &'w Transaction<'w>,
    plan: &'w Plan,
    statements: &'w Statements,
    batch: &'w Batch,
    decoded: &'w Decoded<'w>,
}

impl Work<'_> {
    async fn run(&self, steps: &[Step], table: TableId) -> Result<(), Failure> {
        let (plan, transaction) = (self.plan, self.transaction);
        let parents = self.parents(table);
        let epochs = self.batch.epochs_of(table);
        for step in steps {
            match *step {
                Step::Load(records) => self.load(records).await?,
                Step::Close(_) if parents.is_empty() => {}
                Step::Close(truncation) => {
                    let ending = Ending { plan, table, truncation: &truncation, epochs };
                    ending.close_only(transaction, &parents).await?;
                }
                Step::Truncate(record) => {
                    let Ok(Change::Truncate { position, .. }) = &self.decoded.changes[record]
                    else {
                        continue;
                    };
                    let topic = &plan.tables[table].topic;
                    let truncation = truncation(position);
                    if control::note_truncation(transaction, plan.schemas, topic, &truncation)
                        .await?
                    {
                        let ending = Ending { plan, table, truncation: &truncation, epochs };
                        ending.close_all(transaction).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The hash keys whose histories the events belong to.
    fn parents(&self, table: TableId) -> Vec<Vec<u8>> {
        let mut projector = Projector::new(self.plan, &self.decoded.values);
        let mut parents: Vec<Vec<u8>> = Vec::new();
        for change in self.decoded.changes.iter() {
            if let Ok(Change::Row(row)) = change
                && let Some(parent) = projector.parent(table, row.values)
                && !parents.iter().any(|known| known == &parent)
            {
                parents.push(parent.to_vec());
            }
        }
        parents
    }

    async fn load(&self, records: RecordRange) -> Result<(), Failure> {
        let first = records.first().to_index();
        let written = self.write(records).await;
        written.map_err(|err| match err {
            StretchError::Event { record, reason } => {
                Failure::Event { index: record.to_index(), reason, sqlstate: None }
            }
            StretchError::PauseTable { reason, .. } => {
                Failure::Event { index: first, reason, sqlstate: None }
            }
            // A retry stages all rows.
            StretchError::NotNew { table } => {
                Failure::Warehouse(WarehouseError::Conflict { table })
            }
            StretchError::Warehouse(err) => match &err {
                WarehouseError::Data { sqlstate, .. } if records.count() == 1 => Failure::Event {
                    index: first,
                    reason: err.to_string(),
                    sqlstate: Some(sqlstate.clone()),
                },
                _ => Failure::Warehouse(err),
            },
        })
    }

    async fn write(&self, records: RecordRange) -> Result<(), StretchError> {
        let plan = self.plan;
        let (rejected, offsets) = (Default::default(), HashMap::new());
        let stretch = Stretch {
            plan,
            batch: self.batch,
            decoded: self.decoded,
            records,
            rejected: &rejected,
            parking_versions: &offsets,
            offsets: &offsets,
        };
        let mut projector = Projector::new(plan, &self.decoded.values);
        for record in records.iter() {
            if let Some(change) = stretch.row(record) {
                projector
                    .add(change, record)
                    .map_err(|err| StretchError::Event { record, reason: err.to_string() })?;
            }
        }
        let projection = projector.finish();
        let (transaction, statements) = (self.transaction, self.statements);
        stretch.minutes().write(transaction, &statements.control, plan).await?;
        // What earlier steps of this transaction have written is read from the warehouse.
        let mut caches = Caches::new(plan, 0);
        let writer = RowWriter { stretch: &stretch, transaction, statements };
        let (states, guessed) = read_states(&writer, &projection, &mut caches).await?;
        let held = HeldKeys::new(plan, &states, &guessed);
        let hubs = writer.hubs(&projection, &mut caches);
        let links = writer.links(&projection, &mut caches, &held);
        writer.write_keys(hubs, &mut caches.hub_ways).await?;
        writer.write_keys(links, &mut caches.link_ways).await?;
        // No truncate closes a key by itself here: each has its own step.
        let mut folded = fold_satellites(&writer, &projection, states, &HashMap::new()).await?;
        write_satellites(&writer, &mut folded).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{EventPosition, RowOp, ValueId};
    use crate::epoch::Epoch;

    fn row(lsn: i64) -> Change {
        let position = EventPosition { record_lsn: Some(lsn), ..EventPosition::default() };
        let change = RowChange::of_key(TableId::from_index(0), ValueId::from_index(0));
        Change::Row(RowChange { op: RowOp::Update, position, ..change })
    }

    fn truncate(lsn: i64) -> Truncation {
        Truncation { epoch: Epoch::default(), lsn, load_date_us: 0, applied_us: 0, place: None }
    }

    fn range(first: usize, end: usize) -> Step {
        Step::Load(RecordRange::new(RecordId::from_index(first), RecordId::from_index(end)))
    }

    #[track_caller]
    fn check(events: &[i64], truncations: &[i64], cut: Cut, expected: &[Step]) {
        let mut decoded = Decoded::default();
        for &lsn in events {
            decoded.changes.push(Ok(row(lsn)));
        }
        let truncations: Vec<Truncation> = truncations.iter().copied().map(truncate).collect();
        assert_eq!(steps(&decoded, &truncations, cut), expected);
    }

    #[test]
    fn a_truncate_stands_between_the_events_before_and_behind_it() {
        let close = |lsn| Step::Close(truncate(lsn));
        check(&[10, 20], &[], Cut::AtTruncates, &[range(0, 2)]);
        check(&[10, 20], &[15], Cut::AtTruncates, &[range(0, 1), close(15), range(1, 2)]);
        check(&[10, 20], &[5, 25], Cut::AtTruncates, &[close(5), range(0, 2), close(25)]);
        // The reader published an event again behind the truncate.
        check(&[10, 30, 10], &[20], Cut::AtTruncates, &[range(0, 1), close(20), range(1, 3)]);
        check(&[], &[20], Cut::AtTruncates, &[close(20)]);
    }

    #[test]
    fn each_event_is_a_step_when_one_of_them_is_looked_for() {
        let close = Step::Close(truncate(15));
        let steps = [range(0, 1), range(1, 2), close, range(2, 3)];
        check(&[10, 12, 20], &[15], Cut::BehindEachEvent, &steps);
    }
}
