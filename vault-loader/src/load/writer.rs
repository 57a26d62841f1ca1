//! The rows of hubs and links, and quarantined events, inside one attempt's transaction.
//!
//! In: a stretch with its vault rows and what is cached. Out: staged and merged rows, and the keys that may be
//! remembered after the commit. A row of a hub or link is inserted once and never changed. Hubs and links are written
//! in key order, so that two loaders never wait for each other in a circle.

use foldhash::HashMap;
use futures_util::SinkExt;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Statement, Transaction};

use super::cache::{Cache, Caches};
use super::direct::Directness;
use super::encode::CopyBuffer;
use super::error::StretchError;
use super::held::HeldKeys;
use super::outcome::Quarantined;
use super::statements::{Staged, Statements};
use super::stretch::{Rejection, Stretch};
use crate::control::{QuarantinedEvent, put_into_quarantine};
use crate::decode::{Change, ValueId};
use crate::model::{Column, ColumnId, HubId, Id, IdVec, KEY_COLUMNS, Link, LinkId};
use crate::vault::cast;
use crate::vault::hash::Hash;
use crate::vault::projection::{HubRow, LinkRow, Mention, Mentioned, Projection};
use crate::warehouse::WarehouseError;

/// Rows written, by vault table.
pub(super) type RowCounts = Vec<(String, u64)>;

/// What was written to hubs or links.
pub(super) struct WrittenKeys<I> {
    pub(super) rows: RowCounts,
    /// keys that the warehouse holds after the commit
    pub(super) held: Vec<(I, Hash)>,
}

/// Writes rows inside an attempt's transaction.
pub(super) struct RowWriter<'w, 'a> {
    pub(super) stretch: &'w Stretch<'a>,
    pub(super) transaction: &'w Transaction<'w>,
    pub(super) statements: &'w Statements,
}

/// A hub's or link's table.
struct KeyTable<'t> {
    name: &'t str,
    staged: &'t Staged,
    /// columns behind the technical ones
    own_column_count: usize,
}

/// Rows of a hub or link that are not known, in the order of their keys.
pub(super) struct KeyRows<'t, I> {
    id: I,
    table: KeyTable<'t>,
    keys: Vec<Hash>,
    buffer: CopyBuffer,
}

impl RowWriter<'_, '_> {
    /// Hub rows that the warehouse may lack.
    pub(super) fn hubs(
        &self,
        projection: &Projection,
        caches: &mut Caches,
    ) -> Vec<KeyRows<'_, HubId>> {
        let model = &self.stretch.plan.model;
        let table = |hub: HubId| {
            Some(KeyTable {
                name: &model.hubs[hub].name,
                staged: self.statements.hubs[hub].as_ref()?,
                own_column_count: model.hubs[hub].key.len(),
            })
        };
        let fill = |buffer: &mut CopyBuffer, hub: HubId, row: &HubRow| {
            let binding = &model.tables[row.mention.table].hubs[row.binding];
            let bound = binding.columns.iter().zip(&binding.casts);
            for ((&column, &to), key) in bound.zip(&model.hubs[hub].key) {
                let value = &self.stretch.decoded.values[row.values + column];
                buffer.value(key.kind, &cast(value, to));
            }
        };
        self.unknown(&projection.hubs, (&mut caches.hubs, |_, _| false), table, fill)
    }

    /// Link rows that the warehouse may lack.
    pub(super) fn links(
        &self,
        projection: &Projection,
        caches: &mut Caches,
        held: &HeldKeys<'_>,
    ) -> Vec<KeyRows<'_, LinkId>> {
        let model = &self.stretch.plan.model;
        let table = |link: LinkId| {
            let Link { name, roles, dependent_key, .. } = &model.links[link];
            Some(KeyTable {
                name,
                staged: self.statements.links[link].as_ref()?,
                own_column_count: roles.len() + dependent_key.len(),
            })
        };
        let fill = |buffer: &mut CopyBuffer, link: LinkId, row: &LinkRow| {
            for (key, _) in projection.role_keys(row).zip(&model.links[link].roles) {
                buffer.bytes(key);
            }
            let columns = &model.tables[row.mention.table].links[row.binding].dependent_key;
            self.values(buffer, row.values, columns, &model.links[link].dependent_key);
        };
        let is_held = |id, key: &Hash| held.contains(id, key);
        self.unknown(&projection.links, (&mut caches.links, is_held), table, fill)
    }

    /// The rows of hubs or of links that are neither cached nor held for certain, in the order of their keys; `fill`
    /// writes a row's own columns. What is held for certain is cached from now on. What has no table is passed over;
    /// the projection has no row of it.
    fn unknown<'t, I: Id, R: Mentioned>(
        &self,
        projected: &IdVec<I, HashMap<Hash, R>>,
        (caches, is_held): (&mut IdVec<I, Cache<()>>, impl Fn(I, &Hash) -> bool),
        table: impl Fn(I) -> Option<KeyTable<'t>>,
        fill: impl Fn(&mut CopyBuffer, I, &R),
    ) -> Vec<KeyRows<'t, I>> {
        let mut unknown = Vec::new();
        for (id, rows) in projected.with_ids() {
            let cache = &mut caches[id];
            let mut is_unknown = |key: &Hash| {
                if cache.get(key).is_some() {
                    return false;
                }
                let is_held = is_held(id, key);
                if is_held {
                    cache.insert(key, ());
                }
                !is_held
            };
            let mut rows: Vec<(&Hash, &R)> =
                rows.iter().filter(|(key, _)| is_unknown(key)).collect();
            let Some(table) = table(id).filter(|_| !rows.is_empty()) else { continue };
            rows.sort_unstable_by_key(|(one, _)| *one);
            let mut buffer = CopyBuffer::new();
            for (key, row) in &rows {
                buffer.begin_row(KEY_COLUMNS.len() + table.own_column_count);
                self.key_columns(&mut buffer, key, row.mention());
                fill(&mut buffer, id, row);
            }
            let keys = rows.into_iter().map(|(key, _)| *key).collect();
            unknown.push(KeyRows { id, table, keys, buffer });
        }
        unknown
    }

    /// Writes rows that the warehouse may lack.
    pub(super) async fn write_keys<I: Id>(
        &self,
        unknown: Vec<KeyRows<'_, I>>,
        ways: &mut IdVec<I, Directness>,
    ) -> Result<WrittenKeys<I>, StretchError> {
        let mut written = WrittenKeys { rows: Vec::new(), held: Vec::new() };
        for KeyRows { id, table, keys, buffer } in unknown {
            let (way, staged) = (&mut ways[id], u64::try_from(keys.len()).unwrap_or(u64::MAX));
            let count = if way.is_direct() {
                self.copy_new(&table, buffer, way).await?
            } else {
                let added = self.merge(&table, buffer).await?;
                way.staged(staged, added);
                added
            };
            written.rows.push((table.name.to_owned(), count));
            written.held.extend(keys.into_iter().map(|key| (id, key)));
        }
        Ok(written)
    }

    /// Writes [`KEY_COLUMNS`].
    fn key_columns(&self, buffer: &mut CopyBuffer, key: &Hash, mention: Mention) {
        let plan = self.stretch.plan;
        buffer.bytes(key);
        buffer.timestamp(mention.load_date_us);
        buffer.bytes(plan.tables[mention.table].record_source.as_bytes());
        buffer.int2(plan.model.source.system_id);
    }

    /// Writes values of a row as the vault's columns.
    fn values(&self, buffer: &mut CopyBuffer, row: ValueId, from: &[ColumnId], to: &[Column]) {
        for (&column, key) in from.iter().zip(to) {
            buffer.value(key.kind, &self.stretch.decoded.values[row + column]);
        }
    }

    /// Copies rows straight into their table, which must hold none of them.
    async fn copy_new(
        &self,
        table: &KeyTable<'_>,
        buffer: CopyBuffer,
        way: &mut Directness,
    ) -> Result<u64, StretchError> {
        // No other table can be meant. A distributed table is named by its part.
        let refused = |err: &tokio_postgres::Error| err.code() == Some(&SqlState::UNIQUE_VIOLATION);
        match self.send(&table.staged.direct, buffer).await {
            Ok(count) => Ok(count),
            Err(err) if refused(&err) => {
                way.refused();
                Err(StretchError::NotNew { table: table.name.to_owned() })
            }
            Err(err) => Err(err.into()),
        }
    }

    /// Stages rows, inserts those that are missing, and returns how many there were.
    async fn merge(&self, table: &KeyTable<'_>, buffer: CopyBuffer) -> Result<u64, StretchError> {
        self.send(&table.staged.copy, buffer).await?;
        let row = self.transaction.query_one(&table.staged.merge, &[]).await?;
        let (unknown, added): (i64, i64) = (row.get(0), row.get(1));
        if unknown > added {
            self.refuse_collision(table).await?;
        }
        Ok(u64::try_from(added).unwrap_or_default())
    }

    /// A row that was unknown and could not be added was added by another loader meanwhile, or the hash key stands for
    /// another key.
    async fn refuse_collision(&self, table: &KeyTable<'_>) -> Result<(), WarehouseError> {
        let Some(row) = self.transaction.query_opt(&table.staged.collision, &[]).await? else {
            return Ok(());
        };
        let (key, known, new): (&[u8], &str, &str) = (row.get(0), row.get(1), row.get(2));
        let (name, key) = (table.name, hex::encode(key));
        Err(WarehouseError::Stop(format!(
            "two keys of {name} have the hash key {key}: the row that {name} holds, from {known}, and a row of {new}; \
             was {name} edited? correct it, or build a new warehouse from the topics"
        )))
    }

    /// Sends rows, and returns how many the server took.
    pub(super) async fn copy(
        &self,
        statement: &Statement,
        buffer: CopyBuffer,
    ) -> Result<u64, StretchError> {
        Ok(self.send(statement, buffer).await?)
    }

    async fn send(
        &self,
        statement: &Statement,
        buffer: CopyBuffer,
    ) -> Result<u64, tokio_postgres::Error> {
        let sink = self.transaction.copy_in(statement).await?;
        tokio::pin!(sink);
        for part in buffer.finish() {
            sink.feed(part).await?;
        }
        sink.finish().await
    }

    /// Puts the stretch's bad events into quarantine, and returns their places and reasons.
    pub(super) async fn quarantine(&self) -> Result<Vec<Quarantined>, StretchError> {
        let stretch = self.stretch;
        let mut places = Vec::new();
        for (id, rejection) in stretch.quarantined() {
            let position = match &stretch.decoded.changes[id] {
                Ok(Change::Row(change)) => Some(change.position),
                _ => None,
            };
            let record = &stretch.batch.records[id];
            let event = QuarantinedEvent {
                topic: &stretch.plan.tables[record.from.table].topic,
                partition: record.from.partition,
                offset: record.offset,
                epoch: record.epoch.number,
                record_source: &stretch.plan.tables[record.from.table].record_source,
                lsn: position.and_then(|position| position.streamed_lsn),
                tx_id: position.and_then(|position| position.tx_id),
                key: stretch.batch.key(id),
                value: stretch.batch.value(id),
                reason: &rejection.reason,
                sqlstate: rejection.sqlstate.as_deref(),
                parked: rejection.parks,
                at_fault: rejection.at_fault,
                headers: stretch.batch.content(id).headers(),
            };
            put_into_quarantine(self.transaction, &self.statements.control, &event).await?;
            let Rejection { reason, at_fault, parks, .. } = rejection;
            let (from, offset, epoch) = (record.from, record.offset, record.epoch.number);
            places.push(Quarantined { from, offset, epoch, reason, at_fault, parks });
        }
        Ok(places)
    }
}
