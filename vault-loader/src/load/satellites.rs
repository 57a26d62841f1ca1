//! The satellites of one attempt: their keys' stored state is read, candidates are folded, new versions are written.
//!
//! In: the candidates of a stretch and what is cached. Out: versions inside the attempt's transaction, and the states
//! that may be remembered after its commit. The states of all satellites are asked for at once. A table's status
//! satellite is folded before its other satellites, because it decides about inserts for them.

use foldhash::{HashMap, HashSet};
use futures_util::future::try_join_all;

use super::cache::{Cache, Caches, ParentId, parent_of};
use super::contradiction;
use super::encode::CopyBuffer;
use super::error::StretchError;
use super::held::States;
use super::stored::StoredReader;
use super::stretch::Stretch;
use super::writer::{RowCounts, RowWriter};
use crate::control::KnownTruncations;
use crate::decode::RowOp;
use crate::model::{
    CarriedFrom, ColumnId, KEY_COLUMNS, Plan, STATUS_COLUMNS, SatelliteId, SatelliteKind,
    SatellitePlan, TRACKING_COLUMNS, TableId, VERSION_COLUMNS,
};
use crate::vault::cast;
use crate::vault::fold::KeyState;
use crate::vault::hash::Hash;
use crate::vault::projection::{Candidate, Projection};
use crate::vault::versions::{Body, FoldError, Folding, KnownKeys, Origin, Version};

/// What the candidates of a stretch have become.
#[derive(Default)]
pub(super) struct Folded {
    /// new versions, by satellite
    rows: Vec<(SatelliteId, CopyBuffer)>,
    /// the keys' last versions after the commit
    pub(super) states: Vec<(SatelliteId, Hash, KeyState)>,
    /// candidates that were recognised as loaded before
    pub(super) repeat_count: u64,
}

/// Candidates that are folded, and rows that are encoded, between two looks at what the connection has to do.
const YIELD_ROWS: usize = 1000;

/// Reads the last versions of the candidates' keys, as far as they are not cached.
///
/// Where the rows of a hub or link go straight into its table, its unknown keys are taken for new. New keys have no
/// version in any satellite: each key of a satellite has had its row in the hub or link since the transaction that
/// wrote its first version. The copy that follows fails if one of them is not new. Only inserts and the reads of a
/// snapshot make new keys. So when any table of the hub or link has another operation on an unknown key, no key is
/// taken for new.
pub(super) async fn read_states(
    writer: &RowWriter<'_, '_>,
    projection: &Projection,
    caches: &mut Caches,
) -> Result<(States, HashSet<ParentId>), StretchError> {
    let plan = writer.stretch.plan;
    let mut used: Vec<SatelliteId> =
        plan.satellites.ids().filter(|&id| !projection.satellites[id].is_empty()).collect();
    // The status satellite decides about inserts for the other satellites.
    used.sort_by_key(|&id| plan.satellites[id].kind != SatelliteKind::Status);
    let guessed = guessed_parents(plan, &used, projection, caches);
    let asked: Vec<(SatelliteId, Vec<Hash>)> = used
        .iter()
        .map(|&id| {
            let is_guessed = guessed.contains(&parent_of(plan, plan.satellites[id].table));
            (id, unknown_keys(plan, id, (projection, is_guessed), caches))
        })
        .collect();
    let reads =
        asked.into_iter().map(|(id, keys)| async move { reader(writer, id).states(keys).await });
    let read = try_join_all(reads).await?;
    let mut states = Vec::with_capacity(used.len());
    for (id, read) in used.into_iter().zip(read) {
        let table = plan.satellites[id].table;
        // Rows of keys that have versions are not new. Where keys were guessed, only known ones were read.
        if !read.is_empty()
            && !guessed.contains(&parent_of(plan, table))
            && let Some((_, way)) = caches.keys_of(plan, parent_of(plan, table))
        {
            way.known();
        }
        let mut found = cached_states(&projection.satellites[id], &mut caches.states[id]);
        found.extend(read);
        states.push((id, found));
    }
    Ok((states, guessed))
}

/// The hubs and links whose unknown keys are taken for new in this attempt.
fn guessed_parents(
    plan: &Plan,
    used: &[SatelliteId],
    projection: &Projection,
    caches: &mut Caches,
) -> HashSet<ParentId> {
    let (mut direct, mut others) = (HashSet::default(), HashSet::default());
    if caches.doubts_new_keys {
        return direct;
    }
    for &id in used {
        let parent = parent_of(plan, plan.satellites[id].table);
        let Some((known, way)) = caches.keys_of(plan, parent) else { continue };
        if !way.is_direct() {
            continue;
        }
        direct.insert(parent);
        let mut made: HashSet<Hash> = HashSet::default();
        let may_be_new = |candidate: &Candidate| match candidate.change.op {
            RowOp::Create | RowOp::Read => {
                made.insert(candidate.key);
                true
            }
            RowOp::Update | RowOp::Delete => {
                made.contains(&candidate.key) || known.get(&candidate.key).is_some()
            }
        };
        if !projection.satellites[id].iter().all(may_be_new) {
            others.insert(parent);
        }
    }
    direct.retain(|parent| !others.contains(parent));
    direct
}

/// The keys of a satellite's candidates of which the last version is to be read.
fn unknown_keys(
    plan: &Plan,
    id: SatelliteId,
    (projection, is_guessed): (&Projection, bool),
    caches: &mut Caches,
) -> Vec<Hash> {
    let candidates = &projection.satellites[id];
    let mut asked: HashSet<Hash> = candidates.iter().map(|candidate| candidate.key).collect();
    if is_guessed
        && let Some((known, _)) = caches.keys_of(plan, parent_of(plan, plan.satellites[id].table))
    {
        asked.retain(|key| known.get(key).is_some());
    }
    let unknown = asked.into_iter().filter(|key| caches.states[id].get(key).is_none());
    let mut unknown: Vec<Hash> = unknown.collect();
    // Keys beside each other stand on the same pages of the index.
    unknown.sort_unstable();
    unknown
}

/// Folds the candidates of all satellites, and encodes the new versions. `truncations` are the truncates that were
/// loaded before, by table.
pub(super) async fn fold_satellites(
    writer: &RowWriter<'_, '_>,
    projection: &Projection,
    states: States,
    truncations: &HashMap<TableId, KnownTruncations>,
) -> Result<Folded, StretchError> {
    let plan = writer.stretch.plan;
    let mut folding = Folding::new(plan, &writer.stretch.decoded.values, projection);
    let mut folded = Folded::default();
    for (id, states) in states {
        let satellite = &plan.satellites[id];
        let candidates = &projection.satellites[id];
        let truncations = truncations.get(&satellite.table);
        let truncations = truncations.map_or(&[][..], |known| known.closing.as_slice());
        let mut known = KnownKeys { states, truncations, ..KnownKeys::default() };
        let incomplete = folding.incomplete(satellite, candidates);
        read_stored(&reader(writer, id), candidates, &incomplete, &mut known).await?;
        let mut versions = Vec::with_capacity(candidates.len());
        for some in candidates.chunks(YIELD_ROWS) {
            let made = folding.fold(satellite, some, &mut known);
            versions.extend(made.map_err(|err| unfoldable(writer.stretch, satellite.table, err))?);
            tokio::task::yield_now().await;
        }
        folded.states.extend(known.states.into_iter().map(|(key, state)| (id, key, state)));
        if !versions.is_empty() {
            let mut buffer = CopyBuffer::new();
            for some in in_order(&versions).chunks(YIELD_ROWS) {
                let versions = some.iter().map(|&index| &versions[index]);
                encode(&mut buffer, writer, satellite, versions, (&folding, projection));
                tokio::task::yield_now().await;
            }
            folded.rows.push((id, buffer));
        }
    }
    folded.repeat_count = folding.repeat_count;
    Ok(folded)
}

/// The places of the versions, in the order of the satellite's primary key.
fn in_order(versions: &[Version]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..versions.len()).collect();
    let place = |index: usize| (&versions[index].key, versions[index].state.load_date_us);
    order.sort_unstable_by(|&one, &other| place(one).cmp(&place(other)));
    order
}

/// Writes the new versions, and counts them.
pub(super) async fn write_satellites(
    writer: &RowWriter<'_, '_>,
    folded: &mut Folded,
) -> Result<RowCounts, StretchError> {
    let mut counts = Vec::with_capacity(folded.rows.len());
    for (id, buffer) in folded.rows.drain(..) {
        let count = writer.copy(&writer.statements.satellites[id].copy, buffer).await?;
        counts.push((writer.stretch.plan.satellites[id].name.clone(), count));
    }
    Ok(counts)
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

/// Writes versions in COPY format, in the order of the satellite's columns.
fn encode<'v>(
    buffer: &mut CopyBuffer,
    writer: &RowWriter<'_, '_>,
    satellite: &SatellitePlan,
    versions: impl Iterator<Item = &'v Version>,
    (folding, projection): (&Folding<'_>, &Projection),
) {
    let plan = writer.stretch.plan;
    let record_source = plan.tables[satellite.table].record_source.as_bytes();
    let columns = &plan.model.tables[satellite.table].columns;
    let payload: &[ColumnId] = match &satellite.kind {
        SatelliteKind::Descriptive { columns, .. } => columns,
        SatelliteKind::Status | SatelliteKind::Tracking | SatelliteKind::Effectivity { .. } => &[],
    };
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
        encode_carried(buffer, satellite, version.origin, (folding, projection));
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

fn cached_states(candidates: &[Candidate], cache: &mut Cache<KeyState>) -> HashMap<Hash, KeyState> {
    candidates
        .iter()
        .filter_map(|candidate| Some((candidate.key, cache.get(&candidate.key)?)))
        .collect()
}
