//! Turns candidates into versions: folds one satellite's candidates of a stretch.
//!
//! In: candidates in the order of arrival, the stored state of their keys, and, where an event left a value out, the
//! stored value. Out: versions, ready to be written. `vault::fold` decides which candidate is new. Before that, this
//! module fills in unchanged values. Truncates that were seen earlier close keys whose events come late. A satellite
//! that is not historized takes no second version of a key: the event is at fault. `vault::tracking` decides for
//! record-tracking satellites.

use std::sync::LazyLock;

use foldhash::{HashMap, HashMapExt};

use super::fold::{self, Contradiction, InsertVerdict, KeyState, StoredInsert, Verdict};
use super::hash::{Hash, Hasher};
use super::projection::{Candidate, Projection, RoleKeyId};
use super::tracking;
use crate::batch::RecordId;
use crate::control::Truncation;
use crate::decode::{EventPosition, RowChange, RowOp, Value, ValueId, Values};
use crate::epoch::{Epoch, SourcePosition};
use crate::model::{
    Column, ColumnId, EFFECTIVITY_COLUMN, IdVec, Plan, SatelliteKind, SatellitePlan,
};

/// What a version holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    /// attributes of the row whose first value this is
    Row { values: ValueId },
    /// whether the row exists, and which operation said so
    Status { letter: &'static str, is_deleted: bool },
    /// the operation of an event
    Event { letter: &'static str },
    /// the link row that holds
    Link(Hash),
}

/// A version to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) key: Hash,
    pub(crate) state: KeyState,
    pub(crate) body: Body,
    pub(crate) origin: Origin,
}

/// The row from which a version has the columns of its parent's key, where the parent has no table. Of whichever event
/// of the key it is, these columns are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    /// the row's first value
    pub(crate) values: ValueId,
    /// the hash keys of its hubs
    pub(crate) roles: RoleKeyId,
}

impl From<&Candidate> for Origin {
    fn from(candidate: &Candidate) -> Self {
        Self { values: candidate.change.values, roles: candidate.roles }
    }
}

/// Values of a stored version, by the source table's column.
pub(crate) type StoredRow = Vec<(ColumnId, Value<'static>)>;

/// Values stored with a key's last version.
pub(crate) type Stored = HashMap<Hash, StoredRow>;

/// A key that a row had, and the log position at which it left that key.
pub(crate) type Departure = (Hash, i64);

/// Values of the last version before a departure, and the partition that the version came from.
pub(crate) type Departed = HashMap<Departure, (i32, StoredRow)>;

/// An insert by its key and position.
pub(crate) type InsertPlace = (Hash, SourcePosition);

/// StoredInserts that a status satellite holds.
pub(crate) type StoredInserts = HashMap<InsertPlace, StoredInsert>;

/// Why an event cannot be folded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum FoldError {
    /// the event itself is at fault
    Event { record: RecordId, reason: String },
    /// the event can be neither new nor a repeat beside the key's last version
    Contradiction { record: RecordId, why: Contradiction, known: Option<KeyState> },
}

/// Folds the satellites of one attempt; remembers the values it filled in.
pub(crate) struct Folding<'a> {
    plan: &'a Plan,
    values: &'a Values<'a>,
    projection: &'a Projection,
    filled: HashMap<ValueId, Value<'a>>,
    /// what the status satellite said about inserts, by record; inserts above everything that their key had are left
    /// out
    judged: HashMap<RecordId, InsertVerdict>,
    hasher: Hasher,
    pub(crate) repeat_count: u64,
}

/// What is known about a satellite's keys: before the fold the stored versions, after it also the versions that the
/// fold made.
#[derive(Default)]
pub(crate) struct KnownKeys<'k> {
    pub(crate) states: HashMap<Hash, KeyState>,
    /// versions made so far
    pub(crate) written: HashMap<Hash, Vec<Written>>,
    pub(crate) stored: Stored,
    pub(crate) departed: Departed,
    /// for a status satellite: the inserts of this batch, and stored inserts that these may repeat
    pub(crate) inserts: StoredInserts,
    pub(crate) truncations: &'k [Truncation],
}

impl<'a> Folding<'a> {
    pub(crate) fn new(plan: &'a Plan, values: &'a Values<'a>, projection: &'a Projection) -> Self {
        Self {
            plan,
            values,
            projection,
            filled: HashMap::new(),
            judged: HashMap::new(),
            hasher: Hasher::default(),
            repeat_count: 0,
        }
    }

    /// A value, filled in where the event left it out.
    pub(crate) fn value(&self, value: ValueId) -> &Value<'a> {
        self.filled.get(&value).unwrap_or(&self.values[value])
    }

    /// Candidates whose event left a value out.
    pub(crate) fn incomplete(
        &self,
        satellite: &SatellitePlan,
        candidates: &[Candidate],
    ) -> Vec<Candidate> {
        let SatelliteKind::Descriptive { columns, .. } = &satellite.kind else {
            return Vec::new();
        };
        let left_out = |candidate: &&Candidate| {
            columns
                .iter()
                .any(|&column| self.values[candidate.change.values + column] == Value::Unchanged)
        };
        candidates.iter().filter(left_out).copied().collect()
    }

    /// Folds one satellite's candidates; `known.states` holds the new last versions afterwards.
    ///
    /// A table's status satellite is folded first, because it decides about inserts for all of the table's satellites.
    pub(crate) fn fold(
        &mut self,
        satellite: &'a SatellitePlan,
        candidates: &[Candidate],
        known: &mut KnownKeys<'_>,
    ) -> Result<Vec<Version>, FoldError> {
        let mut versions = Vec::with_capacity(candidates.len());
        for candidate in candidates {
            let previous = known.states.get(&candidate.key).copied();
            let insert = self.judge(satellite, candidate, previous.as_ref(), known);
            if is_repeat(satellite, previous.as_ref(), candidate, insert, known.truncations)? {
                self.repeat_count += 1;
                continue;
            }
            self.fill(satellite, candidate, known)?;
            let (hashdiff, body) = self.content(satellite, candidate);
            let is_event = matches!(body, Body::Event { .. });
            // The bound of a tracked event has nothing of truncates.
            let position = fold::bounded(&candidate.change.position, insert.filter(|_| !is_event));
            let verdict = if is_event || reopens(&body, previous.as_ref(), candidate, hashdiff) {
                Verdict::Version(fold::version(previous.as_ref(), &position, hashdiff))
            } else {
                fold::verdict(previous.as_ref(), &position, hashdiff)
            };
            let Verdict::Version(state) = verdict else { continue };
            self.may_have(satellite, previous.as_ref(), candidate)?;
            versions.push(Version { key: candidate.key, state, body, origin: candidate.into() });
            known.states.insert(candidate.key, state);
            match body {
                Body::Row { values } => {
                    let row =
                        Written { lsn: state.streamed_lsn, partition: state.partition, values };
                    known.written.entry(candidate.key).or_default().push(row);
                }
                Body::Status { is_deleted: false, .. } => {
                    note_insert(candidate, insert, known);
                    close_late(candidate, state, known, &mut versions);
                }
                Body::Status { .. } | Body::Event { .. } | Body::Link(_) => {}
            }
        }
        Ok(versions)
    }

    /// A satellite that is not historized has one version of a key for ever, whatever happened to the row since then.
    fn may_have(
        &self,
        satellite: &SatellitePlan,
        previous: Option<&KeyState>,
        candidate: &Candidate,
    ) -> Result<(), FoldError> {
        if satellite.is_historized || previous.is_none() {
            return Ok(());
        }
        let (table, name) = (&self.plan.model.tables[satellite.table].label, &satellite.name);
        if satellite.is_link {
            let reason = changed_row(name, table);
            return Err(FoldError::Event { record: candidate.record, reason });
        }
        let reason = format!(
            "table {table}: {name} is not historized, and holds other values of this key: if such rows may change, make the \
             satellite historized (remove historized = false from it, then run `vault-loader migrate`), and retry the event"
        );
        Err(FoldError::Event { record: candidate.record, reason })
    }

    /// What the status satellite says about an insert. `None` for other operations.
    fn judge(
        &mut self,
        satellite: &SatellitePlan,
        candidate: &Candidate,
        previous: Option<&KeyState>,
        known: &KnownKeys<'_>,
    ) -> Option<InsertVerdict> {
        let place = insert_place(candidate)?;
        let lsn = candidate.change.position.streamed_lsn?;
        let first = InsertVerdict::First { bound: lsn };
        if satellite.kind != SatelliteKind::Status {
            return Some(self.judged.get(&candidate.record).copied().unwrap_or(first));
        }
        let held = known.inserts.get(&place);
        let insert = fold::judge_insert(previous, &candidate.change.position, lsn, held);
        if insert != first {
            self.judged.insert(candidate.record, insert);
        }
        Some(insert)
    }

    /// An unchanged value comes from the key's last version, of this batch or else the stored one. For a row that came
    /// from another key, it comes from that key's last version before the row left.
    fn fill(
        &mut self,
        satellite: &SatellitePlan,
        candidate: &Candidate,
        known: &KnownKeys<'_>,
    ) -> Result<(), FoldError> {
        let SatelliteKind::Descriptive { columns, .. } = &satellite.kind else { return Ok(()) };
        for &column in columns {
            let left_out = candidate.change.values + column;
            if self.values[left_out] != Value::Unchanged {
                continue;
            }
            let carried = match (departure(candidate), candidate.change.op) {
                (Some(departure), _) => self.moved(column, candidate, departure, known),
                // An insert has all its values, so this event is a row that moved to this key. What the key held before
                // belonged to another row.
                (None, RowOp::Create) => Err(
                    "came with its row from a key that no readable header __debezium.oldkey names",
                ),
                (None, _) => self.carried(column, candidate, known),
            };
            let value = carried.map_err(|why| {
                let name = &self.plan.model.tables[satellite.table].columns[column].name;
                let reason = format!("unchanged TOAST value of column {name} {why}");
                FoldError::Event { record: candidate.record, reason }
            })?;
            self.filled.insert(left_out, value);
        }
        Ok(())
    }

    fn carried(
        &self,
        column: ColumnId,
        candidate: &Candidate,
        known: &KnownKeys<'_>,
    ) -> Result<Value<'a>, &'static str> {
        let in_batch = known.written.get(&candidate.key).and_then(|rows| rows.last());
        match in_batch {
            Some(row) => Some(self.value(row.values + column).clone()),
            None => known.stored.get(&candidate.key).and_then(|row| stored_value(row, column)),
        }
        .ok_or("without an earlier version")
    }

    /// Only the events of the same partition are known to be complete. Later events of the key may still be on their
    /// way in another partition.
    fn moved(
        &self,
        column: ColumnId,
        candidate: &Candidate,
        departure: Departure,
        known: &KnownKeys<'_>,
    ) -> Result<Value<'a>, &'static str> {
        let (old, lsn) = departure;
        let before = |row: &&Written| row.lsn.is_none_or(|written| written < lsn);
        let in_batch = known.written.get(&old).and_then(|rows| rows.iter().rev().find(before));
        let (partition, value) = match in_batch {
            Some(row) => (row.partition, Some(self.value(row.values + column).clone())),
            None => {
                let (partition, row) =
                    known.departed.get(&departure).ok_or("without a version of the key before")?;
                (*partition, stored_value(row, column))
            }
        };
        if partition != candidate.change.position.partition {
            return Err(
                "came with its row from a key in another partition; set REPLICA IDENTITY FULL",
            );
        }
        value.ok_or("without a version of the key before")
    }

    fn content(&mut self, satellite: &SatellitePlan, candidate: &Candidate) -> (Hash, Body) {
        match &satellite.kind {
            SatelliteKind::Descriptive { hash_order, .. } => {
                let start = candidate.change.values;
                let columns = &self.plan.model.tables[satellite.table].columns;
                let value = |column| {
                    let exact = start + column;
                    self.filled.get(&exact).unwrap_or(&self.values[exact])
                };
                let roles = roles_of(satellite, self.projection, candidate);
                let hash = row_hash(&mut self.hasher, columns, hash_order, roles, value);
                (hash, Body::Row { values: start })
            }
            SatelliteKind::Status => {
                let op = candidate.change.op;
                let is_deleted = op == RowOp::Delete;
                let body = Body::Status { letter: op.letter(), is_deleted };
                (status_hash(is_deleted), body)
            }
            SatelliteKind::Tracking => {
                let RowChange { op, position, .. } = &candidate.change;
                (tracking::hashdiff(*op, position), Body::Event { letter: op.letter() })
            }
            SatelliteKind::Effectivity { .. } => {
                let link = candidate.link;
                (held_hash(&mut self.hasher, &link), Body::Link(link))
            }
        }
    }
}

/// Remembers a version of this batch, because later events may lack some of its values.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written {
    lsn: Option<i64>,
    partition: i32,
    values: ValueId,
}

fn stored_value<'v>(row: &StoredRow, column: ColumnId) -> Option<Value<'v>> {
    row.iter().find(|(stored, _)| *stored == column).map(|(_, value)| value.clone())
}

/// The key that a row left and the log position at which it left it, if this event moved the row.
pub(crate) fn departure(candidate: &Candidate) -> Option<Departure> {
    candidate.moved_from.zip(candidate.change.position.streamed_lsn)
}

/// The hash keys of a candidate's hubs that are part of its hashdiff, in the order of their columns' names.
pub(crate) fn roles_of<'s>(
    satellite: &'s SatellitePlan,
    projection: &'s Projection,
    candidate: &'s Candidate,
) -> impl Iterator<Item = (&'s str, Hash)> {
    let roles = satellite.hashed_roles.iter();
    roles.map(|(name, place)| (name.as_str(), *projection.role_key(candidate.roles, *place)))
}

/// Hashdiff of a row's columns and of hash keys of hubs, both of which are given in the order of their names in the
/// vault.
pub(crate) fn row_hash<'r, 'v, 'a: 'v>(
    hasher: &mut Hasher,
    columns: &IdVec<ColumnId, Column>,
    hash_order: &[ColumnId],
    roles: impl Iterator<Item = (&'r str, Hash)>,
    value: impl Fn(ColumnId) -> &'v Value<'a>,
) -> Hash {
    let mut roles = roles.peekable();
    hasher.diff();
    for &column in hash_order {
        let name = columns[column].vault_name();
        while let Some((role, key)) = roles.next_if(|(role, _)| *role < name) {
            hasher.add_column(role, &Value::Bytes(key.to_vec()));
        }
        hasher.add_column(name, value(column));
    }
    for (role, key) in roles {
        hasher.add_column(role, &Value::Bytes(key.to_vec()));
    }
    hasher.finish()
}

/// Hashdiff of the link row that holds.
pub(crate) fn held_hash(hasher: &mut Hasher, link: &Hash) -> Hash {
    hasher.diff();
    hasher.add_column(EFFECTIVITY_COLUMN, &Value::Bytes(link.to_vec()));
    hasher.finish()
}

/// Hashdiff of a status.
pub(crate) fn status_hash(is_deleted: bool) -> Hash {
    static HASHES: LazyLock<[Hash; 2]> = LazyLock::new(|| {
        [false, true].map(|is_deleted| {
            let mut hasher = Hasher::default();
            hasher.diff();
            hasher.add_column("is_deleted", &Value::Bool(is_deleted));
            hasher.finish()
        })
    });
    HASHES[usize::from(is_deleted)]
}

/// Key and log position of an insert.
pub(crate) fn insert_place(candidate: &Candidate) -> Option<InsertPlace> {
    let position = &candidate.change.position;
    let place = position.epoch.position(position.streamed_lsn?);
    (candidate.change.op == RowOp::Create).then_some((candidate.key, place))
}

/// Whether a candidate was folded before.
fn is_repeat(
    satellite: &SatellitePlan,
    previous: Option<&KeyState>,
    candidate: &Candidate,
    insert: Option<InsertVerdict>,
    truncations: &[Truncation],
) -> Result<bool, FoldError> {
    let position = &candidate.change.position;
    let judged = match satellite.kind {
        SatelliteKind::Tracking => tracking::is_repeat(previous, position, insert),
        _ => fold::is_repeat(previous, position, insert),
    };
    match judged {
        Err(_) if is_before_truncate(position, truncations) => Ok(true),
        Err(why) => {
            let known = previous.copied();
            Err(FoldError::Contradiction { record: candidate.record, why, known })
        }
        Ok(is_repeat) => Ok(is_repeat),
    }
}

/// Remembers an insert, because it may come again in this batch.
fn note_insert(candidate: &Candidate, insert: Option<InsertVerdict>, known: &mut KnownKeys<'_>) {
    if let (Some(key), Some(InsertVerdict::First { bound })) = (insert_place(candidate), insert) {
        let EventPosition { partition, offset, .. } = candidate.change.position;
        known.inserts.insert(key, StoredInsert { bound, partition, offset });
    }
}

/// The place of a version whose record is not in the topic any more.
pub(crate) const BEFORE_THE_TOPIC: i64 = -1;

/// A truncate from another partition may have arrived first, although it happened later. Then it closes the key that
/// this event has opened. The comparison with a truncate uses the position that the record names, and not the key's
/// bound.
fn close_late(
    candidate: &Candidate,
    opened: KeyState,
    known: &mut KnownKeys<'_>,
    versions: &mut Vec<Version>,
) {
    let Some(position) = opened.record_position() else { return };
    let later = known.truncations.iter().find(|truncation| truncation.position() > position);
    let Some(truncation) = later else { return };
    let bound = opened.streamed_lsn.filter(|_| opened.epoch.has_source_of(truncation.epoch));
    let same_topic = opened.epoch.has_topic_of(truncation.epoch);
    let closed = KeyState {
        load_date_us: truncation.load_date_us.max(opened.load_date_us.saturating_add(1)),
        applied_us: truncation.applied_us,
        hashdiff: status_hash(true),
        streamed_lsn: bound.max(Some(truncation.lsn)),
        record_lsn: Some(truncation.lsn),
        epoch: truncation.epoch,
        offset: if same_topic { opened.offset } else { BEFORE_THE_TOPIC },
        ..opened
    };
    known.states.insert(candidate.key, closed);
    versions.push(Version {
        key: candidate.key,
        state: closed,
        body: Body::Status { letter: "t", is_deleted: true },
        origin: candidate.into(),
    });
}

/// Why an event that changes a row which never changes is at fault.
fn changed_row(satellite: &str, table: &str) -> String {
    format!(
        "it changes a row of table {table}, and {satellite} is non-historized: it keeps the first version of each row. \
         Where rows of {table} do change, model them with a satellite: take non_historized out of {satellite}, call the \
         table's satellite sat_…, and build a new warehouse from the topics. Where this change was a mistake, drop the \
         event by `vault-loader quarantine drop`"
    )
}

/// Whether a truncate that was loaded lies behind this event by position and by commit time. The truncate came first,
/// from another partition. A late insert then carries the truncate's position as the key's bound. So an event between
/// the insert and the truncate lies below the bound and was committed later than the insert, and nothing contradicts
/// itself.
fn is_before_truncate(position: &EventPosition, truncations: &[Truncation]) -> bool {
    let at = position.record_lsn.map(|lsn| position.epoch.position(lsn));
    truncations.iter().any(|truncation| {
        Some(truncation.position()) > at && truncation.applied_us >= position.applied_us
    })
}

/// Whether a status is written although it is equal to the one before.
///
/// - An insert of a key that is open shows that the key was closed before it. The truncate that closed the key is still
///   on its way in another partition.
/// - A read by a later snapshot may come after such a truncate.
///
/// The truncate closes only versions before its own position. The position of the version that is written here keeps
/// the row open.
fn reopens(
    body: &Body,
    previous: Option<&KeyState>,
    candidate: &Candidate,
    hashdiff: Hash,
) -> bool {
    let (Body::Status { is_deleted: false, .. }, Some(state)) = (body, previous) else {
        return false;
    };
    let at = |lsn: Option<i64>, epoch: Epoch| lsn.map(|lsn| epoch.position(lsn));
    let position = &candidate.change.position;
    let may_be_behind_an_end = match candidate.change.op {
        RowOp::Create => true,
        RowOp::Read => {
            at(position.record_lsn, position.epoch)
                > at(state.record_lsn.max(state.streamed_lsn), state.epoch)
        }
        RowOp::Update | RowOp::Delete => false,
    };
    state.hashdiff == hashdiff && may_be_behind_an_end
}

#[cfg(test)]
mod tests;
