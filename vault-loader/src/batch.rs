//! A batch: records as they came, their bytes in one block, and the offsets they move.
//!
//! `consume` fills it, `load` reads it. Records stand in arrival order, which is the topic's order per partition; where each
//! partition starts is kept, because the offsets in the warehouse move from there by compare-and-set or not at all.

use std::collections::HashMap;
use std::ops::Range;

use crate::decode::{Change, DecodeError, Origin, Values, decode, decode_old_key};
use crate::model::{Id, IdVec, Plan, TableId, ids};

ids! {
    /// A record of one batch.
    RecordId;
}

/// Records of a batch that stand one behind the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordRange {
    first: usize,
    end: usize,
}

impl RecordRange {
    /// The records from one to the one before another.
    #[must_use]
    pub fn new(first: RecordId, end: RecordId) -> Self {
        Self { first: first.to_index(), end: end.to_index() }
    }

    /// The first record; one that the batch does not have when the range is empty.
    #[must_use]
    pub fn first(self) -> RecordId {
        RecordId::from_index(self.first)
    }

    /// How many records there are.
    #[must_use]
    pub fn count(self) -> usize {
        self.end - self.first
    }

    /// The records in order.
    pub fn iter(self) -> impl Iterator<Item = RecordId> {
        (self.first..self.end).map(RecordId::from_index)
    }

    /// The first half and the rest.
    #[must_use]
    pub fn halves(self) -> [Self; 2] {
        let middle = self.first + self.count() / 2;
        [Self { end: middle, ..self }, Self { first: middle, ..self }]
    }
}

/// A partition of a table's topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition {
    /// the table
    pub table: TableId,
    /// partition of its topic
    pub partition: i32,
}

/// One Kafka record, its bytes in the batch's block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// where it came from
    pub from: Partition,
    /// its offset there
    pub offset: i64,
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
    old_key: Option<Range<usize>>,
}

/// What a Kafka record carries.
#[derive(Debug, Clone, Copy, Default)]
pub struct Content<'r> {
    /// its key
    pub key: Option<&'r [u8]>,
    /// its value; none in a tombstone
    pub value: Option<&'r [u8]>,
    /// the header [`OLD_KEY_HEADER`]: the key that the row had before this event gave it another
    pub old_key: Option<&'r [u8]>,
}

/// Debezium's header on the insert that a changed primary key becomes.
pub const OLD_KEY_HEADER: &str = "__debezium.oldkey";

/// Records that are loaded together.
#[derive(Debug, Default)]
pub struct Batch {
    /// which assignment of partitions the records belong to
    pub generation: u64,
    /// the records in arrival order
    pub records: IdVec<RecordId, Record>,
    /// for each partition, the offset that the warehouse must hold before this batch
    pub starts: HashMap<Partition, i64>,
    bytes: Vec<u8>,
}

impl Batch {
    /// An empty batch of an assignment.
    #[must_use]
    pub fn new(generation: u64) -> Self {
        Self { generation, ..Self::default() }
    }

    /// Copies a record in.
    pub fn push(&mut self, from: Partition, offset: i64, content: Content<'_>) {
        let key = content.key.map(|bytes| self.store(bytes));
        let value = content.value.map(|bytes| self.store(bytes));
        let old_key = content.old_key.map(|bytes| self.store(bytes));
        self.records.push(Record { from, offset, key, value, old_key });
    }

    fn store(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    /// Bytes of keys and values.
    #[must_use]
    pub fn byte_count(&self) -> usize {
        self.bytes.len()
    }

    /// A record's key.
    #[must_use]
    pub fn key(&self, record: RecordId) -> Option<&[u8]> {
        self.records[record].key.clone().map(|range| &self.bytes[range])
    }

    /// A record's value.
    #[must_use]
    pub fn value(&self, record: RecordId) -> Option<&[u8]> {
        self.records[record].value.clone().map(|range| &self.bytes[range])
    }

    fn old_key(&self, record: RecordId) -> Option<&[u8]> {
        self.records[record].old_key.clone().map(|range| &self.bytes[range])
    }

    /// Decodes every record, up to the first one that no model of today can read.
    #[must_use]
    pub fn decode(&self, plan: &Plan) -> Decoded<'_> {
        let mut decoded = Decoded::default();
        for (id, record) in self.records.with_ids() {
            let origin = Origin {
                table: record.from.table,
                partition: record.from.partition,
                offset: record.offset,
            };
            let table = &plan.model.tables[origin.table];
            let nothing = record.key.is_none() && record.value.is_none();
            match decode(self.value(id), table, origin, &mut decoded.values) {
                // A tombstone names a key; without one it is no event that anybody writes.
                Ok(_) if nothing => {
                    decoded.changes.push(Err("the record has neither key nor value".to_owned()));
                }
                Ok(mut change) => {
                    if let (Change::Row(row), Some(old)) = (&mut change, self.old_key(id)) {
                        row.moved_from = decode_old_key(old, table, row, &mut decoded.values);
                    }
                    decoded.changes.push(Ok(change));
                }
                Err(DecodeError::Quarantine(reason)) => {
                    decoded.changes.push(Err(reason));
                }
                Err(drift) => {
                    decoded.drift = Some(drift);
                    break;
                }
            }
        }
        decoded
    }
}

/// A batch's records as changes.
#[derive(Debug, Default)]
pub struct Decoded<'a> {
    /// values of all rows
    pub values: Values<'a>,
    /// one for each record, or the reason for its quarantine
    pub changes: IdVec<RecordId, Result<Change, String>>,
    /// why decoding ended before the batch did: what stands before it is still to be loaded
    pub drift: Option<DecodeError>,
}

impl Decoded<'_> {
    /// Cuts the changes where a whole table was emptied: a truncate is ordered against everything around it.
    #[must_use]
    pub fn segments(&self) -> Vec<RecordRange> {
        let mut segments = Vec::new();
        let mut start = 0;
        let mut push = |first, end| segments.push(RecordRange { first, end });
        for (index, change) in self.changes.iter().enumerate() {
            if matches!(change, Ok(Change::Truncate { .. })) {
                if start < index {
                    push(start, index);
                }
                push(index, index + 1);
                start = index + 1;
            }
        }
        if start < self.changes.len() {
            push(start, self.changes.len());
        }
        segments
    }
}
