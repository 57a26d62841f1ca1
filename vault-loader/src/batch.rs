//! A batch: records in the order in which they came, their bytes in one block, and the offsets that they move.
//!
//! `consume` fills it, `decode` reads it. Records stand in the order of arrival, which is the topic's order in each
//! partition. The batch keeps the offset at which each partition starts, because compare-and-set moves the warehouse's
//! offsets from there or not at all.

use std::ops::Range;
use std::sync::Arc;

use foldhash::HashMap;
use sha2::{Digest as _, Sha256};
use shared::debezium::columns::COLUMNS_HEADER;

use crate::epoch::{Epoch, EpochNumber, Epochs};
use crate::held::HeldBatch;
use crate::model::{Id, IdVec, TableId, ids};

ids! {
    /// A record of one batch.
    RecordId;
}

/// Consecutive records of a batch.
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

    /// One record.
    #[must_use]
    pub fn single(record: RecordId) -> Self {
        Self { first: record.to_index(), end: record.to_index() + 1 }
    }

    /// The record after the last one.
    #[must_use]
    pub fn end(self) -> RecordId {
        RecordId::from_index(self.end)
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
    /// the epoch of the table that it belongs to
    pub epoch: Epoch,
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
    old_key: Option<Range<usize>>,
    columns: Option<Range<usize>>,
}

/// What the warehouse must hold of a partition before a batch is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// the next offset
    pub offset: i64,
    /// the table's current epoch
    pub epoch: EpochNumber,
}

/// What a Kafka record carries.
#[derive(Debug, Clone, Copy, Default)]
pub struct Content<'r> {
    /// its key
    pub key: Option<&'r [u8]>,
    /// its value; none in a tombstone
    pub value: Option<&'r [u8]>,
    /// the header [`OLD_KEY_HEADER`]: the key that the row had before this event changed it
    pub old_key: Option<&'r [u8]>,
    /// the header [`COLUMNS_HEADER`]: the types of the row's columns
    pub columns: Option<&'r [u8]>,
}

/// What a record is recognised by.
pub type Digest = [u8; 32];

/// SHA-256 of a record's key and value. Nothing and an empty text are told apart.
#[must_use]
pub fn digest(key: Option<&[u8]>, value: Option<&[u8]>) -> Digest {
    let mut hasher = Sha256::new();
    for part in [key, value] {
        let length = part.map_or(u64::MAX, |bytes| bytes.len() as u64);
        hasher.update(length.to_be_bytes());
        hasher.update(part.unwrap_or_default());
    }
    hasher.finalize().into()
}

/// Debezium's header on the insert that a changed primary key becomes.
pub const OLD_KEY_HEADER: &str = "__debezium.oldkey";

impl<'r> Content<'r> {
    /// Adds a header, if it is one that decoding reads.
    #[must_use]
    pub fn with_header(self, name: &str, value: &'r [u8]) -> Self {
        match name {
            OLD_KEY_HEADER => Self { old_key: Some(value), ..self },
            COLUMNS_HEADER => Self { columns: Some(value), ..self },
            _ => self,
        }
    }

    /// The headers that decoding reads, by name: with them a record decodes again as it did.
    #[must_use]
    pub fn headers(&self) -> Vec<(&'static str, &'r [u8])> {
        let old_key = self.old_key.map(|value| (OLD_KEY_HEADER, value));
        let columns = self.columns.map(|value| (COLUMNS_HEADER, value));
        old_key.into_iter().chain(columns).collect()
    }
}

/// Records that are loaded together.
#[derive(Debug, Default)]
pub struct Batch {
    /// which assignment of partitions the records belong to
    pub generation: u64,
    /// the records in arrival order
    pub records: IdVec<RecordId, Record>,
    /// the epochs of tables, as the assignment found them
    epochs: Arc<HashMap<TableId, Epochs>>,
    /// what was published later than this, microseconds since the epoch, is ahead of this machine's clock
    pub latest_us: i64,
    /// for each partition, what the warehouse must hold before this batch
    pub starts: HashMap<Partition, Start>,
    /// counts its bytes as long as it is in memory, once it was handed over
    pub(crate) held: Option<HeldBatch>,
    bytes: Vec<u8>,
    /// the last header of columns of each table; an equal one is not stored again
    columns: HashMap<TableId, Range<usize>>,
}

impl Batch {
    /// An empty batch of an assignment.
    #[must_use]
    pub fn new(generation: u64, epochs: Arc<HashMap<TableId, Epochs>>) -> Self {
        Self { generation, epochs, latest_us: i64::MAX, ..Self::default() }
    }

    /// An empty batch of the same assignment.
    #[must_use]
    pub fn next(&self) -> Self {
        Self::new(self.generation, Arc::clone(&self.epochs))
    }

    /// The epochs of a table.
    #[must_use]
    pub fn epochs_of(&self, table: TableId) -> &Epochs {
        static FIRST: Epochs = Epochs::FIRST;
        self.epochs.get(&table).unwrap_or(&FIRST)
    }

    /// Copies a record in.
    pub fn push(&mut self, from: Partition, offset: i64, content: Content<'_>) {
        let epoch = self.epochs_of(from.table).of_record(from.partition, offset);
        self.push_in(epoch, from, offset, content);
    }

    /// Copies a record in that is known to belong to this epoch.
    pub fn push_in(&mut self, epoch: Epoch, from: Partition, offset: i64, content: Content<'_>) {
        let key = content.key.map(|bytes| self.store(bytes));
        let value = content.value.map(|bytes| self.store(bytes));
        let old_key = content.old_key.map(|bytes| self.store(bytes));
        let columns = content.columns.map(|bytes| self.store_columns(from.table, bytes));
        self.records.push(Record { from, offset, epoch, key, value, old_key, columns });
    }

    fn store_columns(&mut self, table: TableId, header: &[u8]) -> Range<usize> {
        let known =
            self.columns.get(&table).filter(|known| self.bytes[(*known).clone()] == *header);
        if let Some(known) = known {
            return known.clone();
        }
        let stored = self.store(header);
        self.columns.insert(table, stored.clone());
        stored
    }

    fn store(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    /// Everything that a record carries.
    #[must_use]
    pub fn content(&self, record: RecordId) -> Content<'_> {
        Content {
            key: self.key(record),
            value: self.value(record),
            old_key: self.old_key(record),
            columns: self.columns(record),
        }
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

    /// SHA-256 of a record's key and value. Two records with this digest are taken for the same record.
    #[must_use]
    pub fn digest(&self, record: RecordId) -> Digest {
        digest(self.key(record), self.value(record))
    }

    /// The header [`COLUMNS_HEADER`] of a record.
    #[must_use]
    pub fn columns(&self, record: RecordId) -> Option<&[u8]> {
        self.records[record].columns.clone().map(|range| &self.bytes[range])
    }

    /// The header [`OLD_KEY_HEADER`] of a record.
    #[must_use]
    pub fn old_key(&self, record: RecordId) -> Option<&[u8]> {
        self.records[record].old_key.clone().map(|range| &self.bytes[range])
    }
}
