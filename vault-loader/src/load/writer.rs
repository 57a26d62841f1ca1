//! The rows of one attempt: staging and merge of hubs and links, versions of satellites, quarantined events.
//!
//! In go a projection and what is cached, out go rows inside the attempt's transaction, and what may be remembered after its
//! commit. Hubs and links are written in key order, so that two loaders never wait for each other in a circle.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use futures_util::SinkExt;
use futures_util::future::try_join_all;
use tokio_postgres::{Statement, Transaction};

use super::cache::{Caches, KnownRow};
use super::encode::CopyBuffer;
use super::error::StretchError;
use super::statements::{SatelliteStatements, Statements, StoredPayload};
use super::transaction::{Attempt, Committed, Rejection};
use super::versions::{
    Body, Departed, Departure, Folding, InsertKey, Inserts, Known, Stored, StoredRow, Version,
    departure, insert_key,
};
use crate::control::{QuarantinedEvent, Truncation, put_into_quarantine};
use crate::decode::{Change, Value};
use crate::model::{
    ColumnId, ColumnType, Plan, SatelliteId, SatelliteKind, SatellitePlan, TableId,
};
use crate::vault::fold::{Insertion, State};
use crate::vault::hash::Hash;
use crate::vault::projection::{Candidate, Projection};
use crate::warehouse::WarehouseError;

/// Writes rows inside an attempt's transaction.
pub(super) struct Writer<'w, 'a> {
    pub(super) attempt: &'w Attempt<'a>,
    pub(super) transaction: &'w Transaction<'w>,
    pub(super) statements: &'w Statements,
}

impl<'a> Writer<'_, 'a> {
    pub(super) async fn hubs(
        &mut self,
        projection: &Projection,
        caches: &mut Caches,
        committed: &mut Committed,
    ) -> Result<(), StretchError> {
        let plan = self.attempt.plan;
        for (id, rows) in projection.hubs.with_ids() {
            let hub = &plan.model.hubs[id];
            let mut news: Vec<_> = rows
                .iter()
                .map(|(key, row)| {
                    (key, row, KnownRow { load_date_us: row.load_date_us, table: row.table })
                })
                .filter(|(key, _, row)| is_news(plan, caches.hubs[id].get(key), *row))
                .collect();
            if news.is_empty() {
                continue;
            }
            news.sort_unstable_by_key(|(key, _, _)| *key);
            let mut buffer = CopyBuffer::new();
            for (key, row, known) in &news {
                buffer.begin_row(4 + hub.key.len());
                self.key_columns(&mut buffer, key, *known);
                let columns = &plan.model.tables[row.table].hubs[row.binding].columns;
                for (&column, key) in columns.iter().zip(&hub.key) {
                    buffer.value(key.kind, &self.attempt.decoded.values[row.values + column]);
                }
            }
            let staged = &self.statements.hubs[id];
            let count = self.merge(&staged.copy, &staged.merge, buffer).await?;
            committed.rows.push((hub.name.clone(), count));
            let learned = news.iter().map(|(key, _, known)| (id, **key, *known));
            committed.learned.hubs.extend(learned);
        }
        Ok(())
    }

    pub(super) async fn links(
        &mut self,
        projection: &Projection,
        caches: &mut Caches,
        committed: &mut Committed,
    ) -> Result<(), StretchError> {
        let plan = self.attempt.plan;
        for (id, rows) in projection.links.with_ids() {
            let link = &plan.model.links[id];
            let mut news: Vec<_> = rows
                .iter()
                .map(|(key, row)| {
                    (key, row, KnownRow { load_date_us: row.load_date_us, table: row.table })
                })
                .filter(|(key, _, row)| is_news(plan, caches.links[id].get(key), *row))
                .collect();
            if news.is_empty() {
                continue;
            }
            news.sort_unstable_by_key(|(key, _, _)| *key);
            let mut buffer = CopyBuffer::new();
            for (key, row, known) in &news {
                buffer.begin_row(4 + link.roles.len() + link.dependent_key.len());
                self.key_columns(&mut buffer, key, *known);
                for (key, _) in projection.role_keys(row).zip(&link.roles) {
                    buffer.bytes(key);
                }
                let columns = &plan.model.tables[row.table].links[row.binding].dependent_key;
                for (&column, key) in columns.iter().zip(&link.dependent_key) {
                    buffer.value(key.kind, &self.attempt.decoded.values[row.values + column]);
                }
            }
            let staged = &self.statements.links[id];
            let count = self.merge(&staged.copy, &staged.merge, buffer).await?;
            committed.rows.push((link.name.clone(), count));
            let learned = news.iter().map(|(key, _, known)| (id, **key, *known));
            committed.learned.links.extend(learned);
        }
        Ok(())
    }

    fn key_columns(&self, buffer: &mut CopyBuffer, key: &Hash, row: KnownRow) {
        let plan = self.attempt.plan;
        buffer.bytes(key);
        buffer.timestamp(row.load_date_us);
        buffer.bytes(plan.tables[row.table].topic.as_bytes());
        buffer.int2(plan.model.source.system_id);
    }

    async fn merge(
        &self,
        copy: &Statement,
        merge: &Statement,
        buffer: CopyBuffer,
    ) -> Result<u64, StretchError> {
        self.copy(copy, buffer).await?;
        Ok(self.transaction.execute(merge, &[]).await?)
    }

    async fn copy(&self, statement: &Statement, buffer: CopyBuffer) -> Result<u64, StretchError> {
        let sink = self.transaction.copy_in(statement).await?;
        tokio::pin!(sink);
        sink.send(buffer.finish()).await?;
        Ok(sink.finish().await?)
    }

    pub(super) async fn satellites(
        &mut self,
        projection: &Projection,
        caches: &mut Caches,
        truncations: &HashMap<TableId, Vec<Truncation>>,
        committed: &mut Committed,
    ) -> Result<(), StretchError> {
        let plan = self.attempt.plan;
        let mut folding = Folding::new(plan, &self.attempt.decoded.values);
        let mut used: Vec<SatelliteId> =
            plan.satellites.ids().filter(|&id| !projection.satellites[id].is_empty()).collect();
        // The status judges inserts for the other satellites.
        used.sort_by_key(|&id| plan.satellites[id].kind != SatelliteKind::Status);
        let reads = used.iter().map(|&id| {
            let unknown = unknown_keys(&projection.satellites[id], caches, id);
            self.read_states(&self.statements.satellites[id], unknown)
        });
        let reads: Vec<_> = reads.collect();
        let read = try_join_all(reads).await?;
        for (&id, read) in used.iter().zip(read) {
            let satellite = &plan.satellites[id];
            let candidates = &projection.satellites[id];
            let mut known = Known {
                states: cached_states(candidates, caches, id),
                truncations: truncations.get(&satellite.table).map_or(&[], Vec::as_slice),
                ..Known::default()
            };
            known.states.extend(read);
            known.inserts = self.read_inserts(id, candidates, &known.states).await?;
            let incomplete = folding.incomplete(satellite, candidates);
            if let Some(payload) = &self.statements.satellites[id].stored
                && !incomplete.is_empty()
            {
                known.stored = self.read_stored(payload, satellite, &incomplete).await?;
                known.departed = self.read_departed(payload, satellite, &incomplete).await?;
            }
            let mut versions = folding
                .fold(satellite, candidates, &mut known)
                .map_err(|err| StretchError::Event { record: err.record, reason: err.reason })?;
            let states = known.states.into_iter().map(|(key, state)| (id, key, state));
            committed.learned.states.extend(states);
            if !versions.is_empty() {
                versions.sort_unstable_by_key(|version| (version.key, version.state.load_date_us));
                let buffer = self.encode(satellite, &versions, &folding);
                let copy = &self.statements.satellites[id].copy;
                let count = self.copy(copy, buffer).await?;
                committed.rows.push((satellite.name.clone(), count));
            }
        }
        committed.repeat_count = folding.repeat_count;
        Ok(())
    }

    async fn read_states(
        &self,
        statements: &SatelliteStatements,
        keys: Vec<Hash>,
    ) -> Result<Vec<(Hash, State)>, StretchError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<&[u8]> = keys.iter().map(<[u8; 32]>::as_slice).collect();
        let rows = self.transaction.query(&statements.states, &[&keys]).await?;
        rows.iter()
            .map(|row| {
                let state = State {
                    load_date_us: row.get::<_, DateTime<Utc>>(1).timestamp_micros(),
                    hashdiff: hash_of(row.get(2))?,
                    streamed_lsn: row.get(3),
                    partition: row.get(4),
                    offset: row.get(5),
                    record_lsn: row.get(6),
                };
                Ok((hash_of(row.get(0))?, state))
            })
            .collect()
    }

    /// Inserts that a status satellite may hold. Only an insert at or below its key's bound can be one of them.
    async fn read_inserts(
        &self,
        satellite: SatelliteId,
        candidates: &[Candidate],
        states: &HashMap<Hash, State>,
    ) -> Result<Inserts, StretchError> {
        let Some(statement) = &self.statements.satellites[satellite].inserts else {
            return Ok(Inserts::new());
        };
        let covered = |(key, lsn): &InsertKey| {
            states.get(key).is_some_and(|state| state.streamed_lsn >= Some(*lsn))
        };
        let asked: Vec<InsertKey> =
            candidates.iter().filter_map(insert_key).filter(covered).collect();
        if asked.is_empty() {
            return Ok(Inserts::new());
        }
        let keys: Vec<&[u8]> = asked.iter().map(|(key, _)| key.as_slice()).collect();
        let lsns: Vec<i64> = asked.iter().map(|(_, lsn)| *lsn).collect();
        let rows = self.transaction.query(statement, &[&keys, &lsns]).await?;
        let found = rows.iter().filter_map(|row| {
            let place = usize::try_from(row.get::<_, i64>(0)).ok()?;
            let asked = asked.get(place.checked_sub(1)?)?;
            let insertion =
                Insertion { bound: row.get(1), partition: row.get(2), offset: row.get(3) };
            Some((*asked, insertion))
        });
        Ok(found.collect())
    }

    async fn read_stored(
        &self,
        payload: &StoredPayload,
        satellite: &SatellitePlan,
        incomplete: &[Candidate],
    ) -> Result<Stored, StretchError> {
        let stay = incomplete.iter().filter(|candidate| departure(candidate).is_none());
        let keys: Vec<&[u8]> = stay.map(|candidate| candidate.key.as_slice()).collect();
        if keys.is_empty() {
            return Ok(Stored::new());
        }
        let rows = self.transaction.query(&payload.statement, &[&keys]).await?;
        rows.iter()
            .map(|row| Ok((hash_of(row.get(0))?, self.stored_row(row, 1, payload, satellite))))
            .collect()
    }

    async fn read_departed(
        &self,
        payload: &StoredPayload,
        satellite: &SatellitePlan,
        incomplete: &[Candidate],
    ) -> Result<Departed, StretchError> {
        let departures: Vec<Departure> = incomplete.iter().filter_map(departure).collect();
        if departures.is_empty() {
            return Ok(Departed::new());
        }
        let keys: Vec<&[u8]> = departures.iter().map(|(key, _)| key.as_slice()).collect();
        let lsns: Vec<i64> = departures.iter().map(|(_, lsn)| *lsn).collect();
        let rows = self.transaction.query(&payload.before, &[&keys, &lsns]).await?;
        let found = rows.iter().filter_map(|row| {
            let place = usize::try_from(row.get::<_, i64>(0)).ok()?;
            let departure = departures.get(place.checked_sub(1)?)?;
            Some((*departure, (row.get(1), self.stored_row(row, 2, payload, satellite))))
        });
        Ok(found.collect())
    }

    fn stored_row(
        &self,
        row: &tokio_postgres::Row,
        first: usize,
        payload: &StoredPayload,
        satellite: &SatellitePlan,
    ) -> StoredRow {
        let columns = &self.attempt.plan.model.tables[satellite.table].columns;
        let value = |(place, &column): (usize, &ColumnId)| {
            (column, stored_value(row, first + place, columns[column].kind))
        };
        payload.columns.iter().enumerate().map(value).collect()
    }

    fn encode(
        &self,
        satellite: &SatellitePlan,
        versions: &[Version],
        folding: &Folding<'a>,
    ) -> CopyBuffer {
        let plan = self.attempt.plan;
        let topic = plan.tables[satellite.table].topic.as_bytes();
        let columns = &plan.model.tables[satellite.table].columns;
        let payload: &[ColumnId] = match &satellite.kind {
            SatelliteKind::Descriptive { columns, .. } => columns,
            SatelliteKind::Status | SatelliteKind::Effectivity { .. } => &[],
        };
        let mut buffer = CopyBuffer::new();
        for version in versions {
            let own = match version.body {
                Body::Row { .. } => payload.len(),
                Body::Status { .. } => 3,
                Body::Link(_) => 1,
            };
            buffer.begin_row(9 + own);
            buffer.bytes(&version.key);
            buffer.timestamp(version.state.load_date_us);
            buffer.bytes(topic);
            buffer.int2(plan.model.source.system_id);
            buffer.timestamp(version.applied_us);
            buffer.optional_int8(version.state.streamed_lsn);
            buffer.int4(version.state.partition);
            buffer.int8(version.state.offset);
            buffer.bytes(&version.state.hashdiff);
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
                Body::Link(link) => buffer.bytes(&link),
            }
        }
        buffer
    }

    pub(super) async fn quarantine(&self, committed: &mut Committed) -> Result<(), StretchError> {
        let attempt = self.attempt;
        for record in attempt.range.iter() {
            let rejection = match (&attempt.decoded.changes[record], attempt.rejected.get(&record))
            {
                (_, Some(rejection)) => rejection.clone(),
                (Err(reason), None) => Rejection { reason: reason.clone(), sqlstate: None },
                (Ok(_), None) => continue,
            };
            let position = match &attempt.decoded.changes[record] {
                Ok(Change::Row(change)) => Some(change.position),
                _ => None,
            };
            let from = attempt.batch.records[record].from;
            let event = QuarantinedEvent {
                topic: &attempt.plan.tables[from.table].topic,
                partition: from.partition,
                offset: attempt.batch.records[record].offset,
                lsn: position.and_then(|position| position.streamed_lsn),
                tx_id: position.and_then(|position| position.tx_id),
                key: attempt.batch.key(record),
                value: attempt.batch.value(record),
                reason: &rejection.reason,
                sqlstate: rejection.sqlstate.as_deref(),
            };
            put_into_quarantine(self.transaction, &self.statements.control, &event).await?;
            committed.quarantined.push(record);
        }
        Ok(())
    }
}

/// Whether the warehouse may not have a row that sorts as early as this one.
fn is_news(plan: &Plan, known: Option<KnownRow>, row: KnownRow) -> bool {
    let order = |row: KnownRow| (row.load_date_us, &plan.tables[row.table].topic);
    // Equal load date and source leave the spelling of the key to decide, which the merge does.
    known.is_none_or(|known| order(row) <= order(known))
}

fn unknown_keys(
    candidates: &[Candidate],
    caches: &mut Caches,
    satellite: SatelliteId,
) -> Vec<Hash> {
    let cache = &mut caches.states[satellite];
    let keys: HashSet<Hash> = candidates.iter().map(|candidate| candidate.key).collect();
    keys.into_iter().filter(|key| cache.get(key).is_none()).collect()
}

fn cached_states(
    candidates: &[Candidate],
    caches: &mut Caches,
    satellite: SatelliteId,
) -> HashMap<Hash, State> {
    let cache = &mut caches.states[satellite];
    candidates
        .iter()
        .filter_map(|candidate| Some((candidate.key, cache.get(&candidate.key)?)))
        .collect()
}

fn hash_of(bytes: &[u8]) -> Result<Hash, WarehouseError> {
    bytes.try_into().map_err(|_| {
        WarehouseError::Stop(
            "the vault holds a hash that is not 32 bytes long: was it edited?".to_owned(),
        )
    })
}

fn stored_value(row: &tokio_postgres::Row, place: usize, kind: ColumnType) -> Value<'static> {
    if kind == ColumnType::Bytea {
        return row.get::<_, Option<Vec<u8>>>(place).map_or(Value::Null, Value::Bytes);
    }
    match (row.get::<_, Option<String>>(place), kind) {
        (None, _) => Value::Null,
        (Some(text), ColumnType::Jsonb) => Value::Json(text.into()),
        (Some(text), _) => Value::Text(text.into()),
    }
}
