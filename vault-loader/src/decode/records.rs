//! Decodes a whole batch: its records become changes, in the order in which they arrived.
//!
//! In: a [`Batch`]. Out: [`Decoded`], once for each batch: whatever is tried again later works on these changes.

use super::change::{Change, EventError, Values, decode, decode_old_key};
use crate::batch::{Batch, RecordId, RecordRange};
use crate::model::{Id, IdVec, Plan};

/// A batch's records as changes.
#[derive(Debug, Default)]
pub struct Decoded<'a> {
    /// values of all rows
    pub values: Values<'a>,
    /// one for each record, or the reason for its quarantine
    pub changes: IdVec<RecordId, Result<Change, String>>,
    /// why decoding ended before the end of the batch; the records before it are still to be loaded
    pub drift: Option<EventError>,
}

impl<'a> Decoded<'a> {
    /// Decodes every record, up to the first record that this model cannot read because the table's columns differ.
    #[must_use]
    pub fn new(batch: &'a Batch, plan: &Plan) -> Self {
        let mut decoded = Self::default();
        for record in batch.records.ids() {
            match decoded.decode(batch, plan, record) {
                Ok(change) => decoded.changes.push(Ok(change)),
                Err(EventError::Quarantine(reason)) => decoded.changes.push(Err(reason)),
                Err(drift) => {
                    decoded.drift = Some(drift);
                    break;
                }
            };
        }
        decoded
    }

    fn decode(
        &mut self,
        batch: &'a Batch,
        plan: &Plan,
        record: RecordId,
    ) -> Result<Change, EventError> {
        let (from, offset) = (batch.records[record].from, batch.records[record].offset);
        let table = &plan.model.tables[from.table];
        let value = batch.value(record);
        let mut change = decode(value, table, from, offset, &mut self.values)?;
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
