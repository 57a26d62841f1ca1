//! Decodes a whole batch: its records become changes, in the order in which they arrived.
//!
//! In: a [`Batch`], and the tables that stand still. Out: [`Decoded`], once for each batch: whatever is tried again later
//! works on these changes. A record that this model cannot read, because the columns of its table differ, ends the
//! decoding of this table and of no other.

use shared::debezium::columns::COLUMNS_HEADER;

use super::change::{
    BadEvent, Change, EventError, Incoming, ValueId, Values, decode, decode_old_key,
    decode_record_key,
};
use super::drift::{Drift, NewColumn};
use super::types::KnownTypes;
use crate::batch::{Batch, RecordId, RecordRange};
use crate::model::{ColumnId, Id, IdVec, Plan, TableId};
use crate::paused::TablePause;

/// A batch's records as changes.
#[derive(Debug, Default)]
pub struct Decoded<'a> {
    /// values of all rows
    pub values: Values<'a>,
    /// one for each record, or the reason for its quarantine
    pub changes: IdVec<RecordId, Result<Change, BadEvent>>,
    /// the tables of which the batch holds a record that this model cannot read, each with its first such record
    pub drifted: Vec<Drifted>,
    /// columns that the source has dropped
    pub dropped: Vec<(TableId, ColumnId)>,
}

/// A table of which a record cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drifted {
    /// where and why the table pauses
    pub pause: TablePause,
    /// the columns that the vault has to take in so that the table need not pause; none when that would not be enough
    pub growth: Vec<NewColumn>,
}

impl<'a> Decoded<'a> {
    /// Decodes every record, except those of tables that stand still, and of each table those from the first record on
    /// that this model cannot read.
    #[must_use]
    pub fn new(batch: &'a Batch, plan: &Plan, is_paused: impl Fn(TableId) -> bool) -> Self {
        let mut decoded = Self::default();
        let mut known = KnownTypes::new(plan);
        let mut held: IdVec<TableId, bool> = plan.tables.ids().map(is_paused).collect();
        for record in batch.records.ids() {
            let from = batch.records[record].from;
            if held[from.table] {
                decoded.changes.push(Ok(Change::Held));
                continue;
            }
            let change = match decoded.decode(batch, plan, record, &mut known) {
                Ok(change) => Ok(change),
                Err(EventError::Quarantine(reason)) => {
                    let key = decoded.decode_key(batch, plan, record);
                    Err(BadEvent { reason, is_of_table: true, key })
                }
                Err(EventError::Foreign(reason)) => {
                    Err(BadEvent { reason, is_of_table: false, key: None })
                }
                Err(EventError::Drift(drift)) => {
                    held[from.table] = true;
                    let Drift { reason, remedy, growth } = *drift;
                    let offset = batch.records[record].offset;
                    let pause = TablePause { from, offset, reason, remedy };
                    decoded.drifted.push(Drifted { pause, growth });
                    Ok(Change::Held)
                }
            };
            decoded.changes.push(change);
        }
        decoded
    }

    /// Holds the records of a table back, from one record on. Returns the first that was not held before.
    pub fn hold(&mut self, batch: &Batch, table: TableId, from: RecordId) -> Option<RecordId> {
        let mut first = None;
        for record in RecordRange::new(from, self.changes.next_id()).iter() {
            if batch.records[record].from.table == table && !self.is_held(record) {
                self.changes[record] = Ok(Change::Held);
                first.get_or_insert(record);
            }
        }
        first
    }

    /// Whether a record belongs to a table that stands still.
    #[must_use]
    pub fn is_held(&self, record: RecordId) -> bool {
        self.changes[record] == Ok(Change::Held)
    }

    /// The key of a record whose row cannot be read.
    fn decode_key(&mut self, batch: &'a Batch, plan: &Plan, record: RecordId) -> Option<ValueId> {
        let table = &plan.model.tables[batch.records[record].from.table];
        decode_record_key(batch.key(record)?, table, &mut self.values)
    }

    fn decode(
        &mut self,
        batch: &'a Batch,
        plan: &Plan,
        record: RecordId,
        known: &mut KnownTypes<'a>,
    ) -> Result<Change, EventError> {
        let table = &plan.model.tables[batch.records[record].from.table];
        let value = batch.value(record);
        let from = batch.records[record].from;
        let types = match batch.columns(record) {
            None => None,
            Some(header) => Some(known.read(from.table, header).ok_or_else(|| {
                EventError::Quarantine(format!("the header {COLUMNS_HEADER} cannot be read"))
            })?),
        };
        let event =
            Incoming { value, record: &batch.records[record], types, latest_us: batch.latest_us };
        let (mut change, dropped) = decode(event, table, &mut self.values)?;
        for column in dropped {
            if !self.dropped.contains(&(from.table, column)) {
                self.dropped.push((from.table, column));
            }
        }
        if value.is_none() && batch.key(record).is_none() {
            // A tombstone has a key, because every table of a model has one. A record with neither key nor value is no
            // event of such a table.
            let reason = "the record has neither key nor value".to_owned();
            return Err(EventError::Quarantine(reason));
        }
        if let (Change::Row(row), Some(old)) = (&mut change, batch.old_key(record)) {
            row.moved_from = decode_old_key(old, table, row, &mut self.values);
        }
        Ok(change)
    }

    /// Cuts the changes at each truncate, because a truncate is ordered against everything around it.
    #[must_use]
    pub fn stretches(&self) -> Vec<RecordRange> {
        let mut segments = Vec::new();
        let mut start = RecordId::from_index(0);
        for (record, change) in self.changes.with_ids() {
            if matches!(change, Ok(Change::Truncate { .. })) {
                let truncate = RecordRange::single(record);
                segments.extend((start < record).then(|| RecordRange::new(start, record)));
                segments.push(truncate);
                start = truncate.end();
            }
        }
        let end = self.changes.next_id();
        segments.extend((start < end).then(|| RecordRange::new(start, end)));
        segments
    }
}
