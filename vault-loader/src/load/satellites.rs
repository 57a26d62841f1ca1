//! The satellites of one attempt: their keys' stored state is read, candidates are folded, new versions are written.
//!
//! In: the candidates of a stretch and what is cached. Out: versions inside the attempt's transaction, and the states
//! that may be remembered after its commit. The states of all satellites are asked for at once. A table's status
//! satellite is folded before its other satellites, because it decides about inserts for them.

use foldhash::{HashMap, HashSet};
use futures_util::future::try_join_all;

use super::cache::{Cache, Caches};
use super::contradiction;
use super::encode::CopyBuffer;
use super::error::StretchError;
use super::stored::StoredReader;
use super::stretch::Stretch;
use super::writer::{RowCounts, RowWriter};
use crate::control::KnownTruncations;
use crate::model::{
    CarriedFrom, ColumnId, HubId, IdVec, KEY_COLUMNS, LinkId, Parent, Plan, STATUS_COLUMNS,
    SatelliteId, SatelliteKind, SatellitePlan, TRACKING_COLUMNS, TableId, VERSION_COLUMNS,
};
use crate::vault::cast;
use crate::vault::fold::KeyState;
use crate::vault::hash::Hash;
use crate::vault::projection::{Candidate, Projection};
use crate::vault::versions::{Body, FoldError, Folding, KnownKeys, Origin, Version};

/// What was written.
#[derive(Default)]
pub(super) struct WrittenSatellites {
    pub(super) rows: RowCounts,
    /// the keys' last versions after the commit
    pub(super) states: Vec<(SatelliteId, Hash, KeyState)>,
    /// candidates that were recognised as loaded before
    pub(super) repeat_count: u64,
}

/// The keys of hubs and links that this transaction has added.
///
/// A satellite has no version of them: each key of a satellite has had its row in the hub or link since the
/// transaction that wrote its first version. So nobody needs to look.
pub(super) struct NewKeys {
    pub(super) hubs: IdVec<HubId, HashSet<Hash>>,
    pub(super) links: IdVec<LinkId, HashSet<Hash>>,
}

impl NewKeys {
    /// The new ones among the keys that a table's satellites have.
    fn of_parent(&self, plan: &Plan, table: TableId) -> &HashSet<Hash> {
        let table = &plan.model.tables[table];
        match table.parent {
            Parent::Hub(binding) => &self.hubs[table.hubs[binding].hub],
            Parent::Link(binding) => &self.links[table.links[binding].link],
        }
    }
}

/// Folds and writes the satellites of a stretch. `truncations` are the truncates that were loaded before, by table.
pub(super) async fn write_satellites<'a>(
    writer: &RowWriter<'_, 'a>,
    projection: &Projection,
    caches: &mut Caches,
    (new, truncations): (Option<&NewKeys>, &HashMap<TableId, KnownTruncations>),
) -> Result<WrittenSatellites, StretchError> {
    let plan = writer.stretch.plan;
    let mut folding = Folding::new(plan, &writer.stretch.decoded.values, projection);
    let mut used: Vec<SatelliteId> =
        plan.satellites.ids().filter(|&id| !projection.satellites[id].is_empty()).collect();
    // The status satellite decides about inserts for the other satellites.
    used.sort_by_key(|&id| plan.satellites[id].kind != SatelliteKind::Status);
    let reads = used.iter().map(|&id| {
        let new = new.map(|new| new.of_parent(plan, plan.satellites[id].table));
        let unknown = unknown_keys(&projection.satellites[id], &mut caches.states[id], new);
        async move { reader(writer, id).states(unknown).await }
    });
    let reads: Vec<_> = reads.collect();
    let read = try_join_all(reads).await?;
    let mut written = WrittenSatellites::default();
    for (&id, read) in used.iter().zip(read) {
        let satellite = &plan.satellites[id];
        let candidates = &projection.satellites[id];
        let mut states = cached_states(candidates, &mut caches.states[id]);
        states.extend(read);
        let truncations = truncations.get(&satellite.table);
        let truncations = truncations.map_or(&[][..], |known| known.closing.as_slice());
        let mut known = KnownKeys { states, truncations, ..KnownKeys::default() };
        let incomplete = folding.incomplete(satellite, candidates);
        read_stored(&reader(writer, id), candidates, &incomplete, &mut known).await?;
        let mut versions = folding
            .fold(satellite, candidates, &mut known)
            .map_err(|err| unfoldable(writer.stretch, satellite.table, err))?;
        written.states.extend(known.states.into_iter().map(|(key, state)| (id, key, state)));
        if !versions.is_empty() {
            versions.sort_unstable_by_key(|version| (version.key, version.state.load_date_us));
            let buffer = encode(writer, satellite, &versions, (&folding, projection));
            let count = writer.copy(&writer.statements.satellites[id].copy, buffer).await?;
            written.rows.push((satellite.name.clone(), count));
        }
    }
    written.repeat_count = folding.repeat_count;
    Ok(written)
}

/// An event at fault goes to quarantine. An event that contradicts what is loaded pauses its table.
fn unfoldable(stretch: &Stretch<'_>, table: TableId, err: FoldError) -> StretchError {
    match err {
        FoldError::Event { record, reason } => StretchError::Event { record, reason },
        FoldError::Contradiction { record, why, known } => {
            let record = &stretch.batch.records[record];
            StretchError::PauseTable {
                table,
                reason: contradiction::reason(record, why, known.as_ref()),
                remedy: contradiction::remedy(why, &stretch.plan.tables[table].topic),
            }
        }
    }
}

fn reader<'r>(writer: &RowWriter<'r, 'r>, id: SatelliteId) -> StoredReader<'r> {
    let plan = writer.stretch.plan;
    let epochs = writer.stretch.batch.epochs_of(plan.satellites[id].table);
    StoredReader {
        transaction: writer.transaction,
        plan,
        satellite: &plan.satellites[id],
        statements: &writer.statements.satellites[id],
        epochs,
    }
}

/// Reads what the fold of these candidates needs beside their keys' last versions.
async fn read_stored(
    reader: &StoredReader<'_>,
    candidates: &[Candidate],
    incomplete: &[Candidate],
    known: &mut KnownKeys<'_>,
) -> Result<(), StretchError> {
    known.inserts = reader.inserts(candidates, &known.states).await?;
    if let Some(payload) = &reader.statements.stored
        && !incomplete.is_empty()
    {
        known.stored = reader.values(payload, incomplete).await?;
        known.departed = reader.departed(payload, incomplete).await?;
    }
    Ok(())
}

/// Versions in COPY format, in the order of the satellite's columns.
fn encode(
    writer: &RowWriter<'_, '_>,
    satellite: &SatellitePlan,
    versions: &[Version],
    (folding, projection): (&Folding<'_>, &Projection),
) -> CopyBuffer {
    let plan = writer.stretch.plan;
    let record_source = plan.tables[satellite.table].record_source.as_bytes();
    let columns = &plan.model.tables[satellite.table].columns;
    let payload: &[ColumnId] = match &satellite.kind {
        SatelliteKind::Descriptive { columns, .. } => columns,
        SatelliteKind::Status | SatelliteKind::Tracking | SatelliteKind::Effectivity { .. } => &[],
    };
    let mut buffer = CopyBuffer::new();
    for version in versions {
        let own = match version.body {
            Body::Row { .. } => payload.len(),
            Body::Status { .. } => STATUS_COLUMNS.len(),
            Body::Event { .. } => TRACKING_COLUMNS.len(),
            Body::Link(_) => 1,
        };
        let technical = KEY_COLUMNS.len() + VERSION_COLUMNS.len();
        buffer.begin_row(technical + satellite.carried.len() + own);
        buffer.bytes(&version.key);
        buffer.timestamp(version.state.load_date_us);
        buffer.bytes(record_source);
        buffer.int2(plan.model.source.system_id);
        buffer.timestamp(version.state.applied_us);
        buffer.optional_int8(version.state.streamed_lsn);
        buffer.int4(version.state.partition);
        buffer.int4(version.state.epoch.number);
        buffer.int8(version.state.offset);
        buffer.bytes(&version.state.hashdiff);
        encode_carried(&mut buffer, satellite, version.origin, (folding, projection));
        match version.body {
            Body::Row { values } => {
                for &column in payload {
                    buffer.value(columns[column].kind, folding.value(values + column));
                }
            }
            Body::Status { letter, is_deleted } => {
                buffer.bytes(letter.as_bytes());
                buffer.bool(is_deleted);
                buffer.optional_int8(version.state.record_lsn);
            }
            Body::Event { letter } => {
                buffer.bytes(letter.as_bytes());
                buffer.optional_int8(version.state.record_lsn);
            }
            Body::Link(link) => buffer.bytes(&link),
        }
    }
    buffer
}

/// The columns of the parent's key, where the satellite holds them.
fn encode_carried(
    buffer: &mut CopyBuffer,
    satellite: &SatellitePlan,
    origin: Origin,
    (folding, projection): (&Folding<'_>, &Projection),
) {
    for carried in &satellite.carried {
        match carried.from {
            CarriedFrom::Role(place) => buffer.bytes(projection.role_key(origin.roles, place)),
            CarriedFrom::Value { column, cast: to, kind } => {
                buffer.value(kind, &cast(folding.value(origin.values + column), to));
            }
        }
    }
}

fn unknown_keys(
    candidates: &[Candidate],
    cache: &mut Cache<KeyState>,
    new: Option<&HashSet<Hash>>,
) -> Vec<Hash> {
    let is_new = |key: &Hash| new.is_some_and(|new| new.contains(key));
    let asked = candidates.iter().map(|candidate| candidate.key).filter(|key| !is_new(key));
    let keys: HashSet<Hash> = asked.collect();
    keys.into_iter().filter(|key| cache.get(key).is_none()).collect()
}

fn cached_states(candidates: &[Candidate], cache: &mut Cache<KeyState>) -> HashMap<Hash, KeyState> {
    candidates
        .iter()
        .filter_map(|candidate| Some((candidate.key, cache.get(&candidate.key)?)))
        .collect()
}
