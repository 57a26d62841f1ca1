//! A change event: operation, position and row image of one table's row.
//!
//! In: a record's value bytes and its table. Out: a [`Change`]. An error is either this event's fault, and the event
//! goes to quarantine, or drift between the source's table and the model, and the table is paused, because no event may
//! be lost because of drift.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::value::RawValue;
use shared::debezium::envelope::{self, Op};
use shared::debezium::topic::topic_name;

use super::column::header_value;
use super::drift::Drift;
use super::row::{Image, RowForm, RowProblem, decode_row};
use super::types::WireTypes;
use super::value::{Reads, Value};
use crate::batch::Record;
use crate::epoch::Epoch;
use crate::model::{ColumnId, Id, IdVec, Table, TableId, ids};

ids! {
    /// A value of one batch. The values of a row follow each other, in the model's order of columns.
    ValueId;
}

impl std::ops::Add<ColumnId> for ValueId {
    type Output = Self;

    /// From a row's first value to the value of one of its columns.
    fn add(self, column: ColumnId) -> Self {
        Self::from_index(self.to_index() + column.to_index())
    }
}

/// The values of all rows of a batch.
pub type Values<'a> = IdVec<ValueId, Value<'a>>;

/// The place of an event in the source's WAL, in time, and in its topic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EventPosition {
    /// when the event was published, and not before the source committed, microseconds since the epoch; the vault's
    /// load date
    pub published_us: i64,
    /// when the source committed, microseconds since the epoch; the vault's applied date
    pub applied_us: i64,
    /// position of the row's WAL record; `None` for a row that a snapshot read, because its position says nothing about
    /// changes of the key
    pub streamed_lsn: Option<i64>,
    /// position that the record names: that of a change, or the consistent point of a snapshot; it orders changes and
    /// reads against truncates
    pub record_lsn: Option<i64>,
    /// transaction at the source
    pub tx_id: Option<i64>,
    /// epoch of the table
    pub epoch: Epoch,
    /// partition of the topic
    pub partition: i32,
    /// offset in the partition
    pub offset: i64,
}

/// What happened to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowOp {
    /// inserted
    Create,
    /// updated
    Update,
    /// read by a snapshot
    Read,
    /// deleted
    Delete,
}

impl RowOp {
    /// The letter on the wire, which the status satellite keeps.
    #[must_use]
    pub fn letter(self) -> &'static str {
        match self {
            Self::Create => "c",
            Self::Update => "u",
            Self::Read => "r",
            Self::Delete => "d",
        }
    }
}

/// A change of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowChange {
    /// the table
    pub table: TableId,
    /// what happened
    pub op: RowOp,
    /// where it stands
    pub position: EventPosition,
    /// the row's first value; the others follow in the model's order of columns
    pub values: ValueId,
    /// for a row that came from another key and left values out: the first value of an image of that key
    pub moved_from: Option<ValueId>,
}

impl RowChange {
    /// A change that names a row's key and says nothing else.
    #[must_use]
    pub fn of_key(table: TableId, values: ValueId) -> Self {
        let position = EventPosition::default();
        Self { table, op: RowOp::Delete, position, values, moved_from: None }
    }
}

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// nothing to load: a tombstone behind a delete
    Tombstone,
    /// a record of a table that stands still; it is neither loaded nor passed
    Held,
    /// a row changed
    Row(RowChange),
    /// the whole table was emptied
    Truncate {
        /// the table
        table: TableId,
        /// where it stands; always streamed
        position: EventPosition,
    },
}

/// An event that cannot be decoded, and so goes to quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadEvent {
    /// why; never shows a value
    pub reason: String,
    /// whether it tells about a row of the topic's table; other events say nothing about any key of the table
    pub is_of_table: bool,
    /// the first value of an image of the record's key, when the key can be read
    pub key: Option<ValueId>,
}

/// Why a record is no change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// This event is at fault.
    #[error("{0}")]
    Quarantine(String),
    /// The record is no event of the topic's table.
    #[error("{0}")]
    Foreign(String),
    /// The table's columns differ from the model, or its clock from this machine's.
    #[error("{}", .0.reason)]
    Drift(Box<Drift>),
}

/// Microseconds since the epoch that both PostgreSQL (from 4714-11-24 BC) and the driver's type (to the year 262142)
/// hold.
const INSTANTS: std::ops::RangeInclusive<i64> =
    -210_866_803_200_000_000..=8_210_000_000_000_000_000;

/// A record that is decoded.
#[derive(Clone, Copy)]
pub(super) struct Incoming<'a, 'r> {
    pub(super) value: Option<&'a [u8]>,
    pub(super) record: &'r Record,
    /// the types of the row's columns, when the event says them
    pub(super) types: Option<&'r WireTypes>,
    /// what was published later than this is ahead of this machine's clock
    pub(super) latest_us: i64,
}

/// Decodes one record, whose header may say the types of its columns. The values of the row are appended to `values`,
/// also when the row cannot be used. Also returns the columns that the event lacks because the source has dropped them.
pub(super) fn decode<'a>(
    event: Incoming<'a, '_>,
    table: &Table,
    values: &mut Values<'a>,
) -> Result<(Change, Vec<ColumnId>), EventError> {
    let Incoming { value, record, types, latest_us } = event;
    let Some(bytes) = value else { return Ok((Change::Tombstone, Vec::new())) };
    let event = envelope::parse(bytes).map_err(|err| quarantine(err.to_string()))?;
    if is_neighbour((&event.source.schema, &event.source.table), (&table.schema, &table.name)) {
        return Err(EventError::Foreign(format!(
            "an event of table {}.{}, which shares the topic with table {}.{} and is not in the model",
            event.source.schema, event.source.table, table.schema, table.name
        )));
    }
    let position = position(&event, record, latest_us)?;
    let op = match event.op {
        Op::Create => RowOp::Create,
        Op::Update => RowOp::Update,
        Op::Read => RowOp::Read,
        Op::Delete => RowOp::Delete,
        Op::Truncate => {
            return Ok((Change::Truncate { table: record.from.table, position }, Vec::new()));
        }
        Op::Message => {
            return Err(EventError::Foreign("a logical message in a table's topic".to_owned()));
        }
    };
    let (raw, image) = match op {
        RowOp::Delete => (event.before, Image::Key),
        RowOp::Create | RowOp::Update | RowOp::Read => (event.after, Image::Whole),
    };
    let raw = raw.ok_or_else(|| quarantine("the event carries no row"))?;
    let start = values.next_id();
    let dropped = row(raw, RowForm { table, image, types, reads: reads(op, types) }, values)?;
    let row = RowChange { table: record.from.table, op, position, values: start, moved_from: None };
    Ok((Change::Row(row), dropped))
}

/// Where an event stands, if the warehouse can hold that.
fn position(
    event: &envelope::Event<'_>,
    record: &Record,
    latest_us: i64,
) -> Result<EventPosition, EventError> {
    let lsn = event.source.lsn.map(shared::position::Lsn::as_i64);
    let position = EventPosition {
        // A reader whose clock was set back publishes before the source commits.
        published_us: event.ts_us.max(event.source.ts_us),
        applied_us: event.source.ts_us,
        streamed_lsn: if event.op == Op::Read { None } else { lsn },
        record_lsn: lsn,
        tx_id: event.source.tx_id,
        epoch: record.epoch,
        partition: record.from.partition,
        offset: record.offset,
    };
    for (field, micros) in [("ts_us", event.ts_us), ("source.ts_us", position.applied_us)] {
        if !INSTANTS.contains(&micros) {
            return Err(quarantine(format!("{field} is no time that the warehouse can hold")));
        }
    }
    if position.published_us > latest_us {
        let ahead = Drift::ahead(record, position.published_us - latest_us);
        return Err(EventError::Drift(Box::new(ahead)));
    }
    if position.streamed_lsn.is_none() && event.op != Op::Read {
        return Err(quarantine("a streamed event without source.lsn"));
    }
    Ok(position)
}

/// What a text that looks like the placeholder of an unchanged value is.
///
/// A snapshot reads whole values. The insert that a changed key becomes leaves values out, as an update does, and a
/// transformation may have dropped the header that names its old key: so an insert is not taken for whole either.
fn reads(op: RowOp, types: Option<&WireTypes>) -> Reads {
    match types {
        None if op != RowOp::Read => Reads::DataOrPlaceholder,
        _ => Reads::Data,
    }
}

/// Decodes a row, and gives the columns that it lacks because the source has dropped them.
fn row<'a>(
    raw: &'a RawValue,
    form: RowForm<'_>,
    values: &mut Values<'a>,
) -> Result<Vec<ColumnId>, EventError> {
    let (table, start) = (form.table, values.next_id());
    let dropped = decode_row(raw.get(), form, values.items_mut())
        .map_err(|problem| in_table(table, problem))?;
    let null_key = table.key.iter().find(|&&column| values[start + column] == Value::Null);
    if let Some(&column) = null_key {
        let name = &table.columns[column].name;
        return Err(quarantine(format!("key column {name} is NULL")));
    }
    Ok(dropped)
}

/// Decodes a record's key, with or without the schema part, into an image of the row's key columns.
///
/// A key in another form than Kafka Connect's JSON counts as no key.
pub(crate) fn decode_record_key<'a>(
    key: &'a [u8],
    table: &Table,
    values: &mut Values<'a>,
) -> Option<ValueId> {
    #[derive(serde::Deserialize)]
    struct WithSchema<'k> {
        #[serde(borrow)]
        payload: &'k RawValue,
    }
    let json = std::str::from_utf8(key).ok()?;
    let payload = serde_json::from_str(json).map(|key: WithSchema<'a>| key.payload.get());
    // A table may have a key column called payload, so the form without schema comes first.
    [Some(json), payload.ok()].into_iter().flatten().find_map(|json| {
        let start = values.next_id();
        let form = RowForm { table, image: Image::Key, types: None, reads: Reads::Data };
        decode_row(json, form, values.items_mut()).ok()?;
        let is_null = |&column: &ColumnId| values[start + column] == Value::Null;
        (!table.key.iter().any(is_null)).then_some(start)
    })
}

/// Decodes the key that a row had before, when the row needs it: its event left out a value that only the history of
/// that key holds.
///
/// A key that cannot be read counts as no key. The event is then refused at the place where the value is needed.
pub(super) fn decode_old_key<'a>(
    old_key: &'a [u8],
    table: &Table,
    change: &RowChange,
    values: &mut Values<'a>,
) -> Option<ValueId> {
    let left_out = |column| values[change.values + column] == Value::Unchanged;
    if change.op != RowOp::Create || !table.columns.ids().any(left_out) {
        return None;
    }
    let members: HashMap<Cow<'a, str>, &'a RawValue> = serde_json::from_slice(old_key).ok()?;
    let start = values.next_id();
    values.items_mut().extend(table.columns.iter().map(|_| Value::Absent));
    for &id in &table.key {
        let column = &table.columns[id];
        let json = members.get(column.name.as_str())?.get();
        values[start + id] = header_value(column.kind, json)?;
    }
    Some(start)
}

/// Whether an event's table is another one than the topic's table in the model, and has the same topic all the same.
/// Topics hold fewer characters than the names of tables.
fn is_neighbour(named: (&str, &str), table: (&str, &str)) -> bool {
    let in_topic = |(schema, table): (&str, &str)| topic_name("", schema, table);
    named != table && in_topic(named) == in_topic(table)
}

fn quarantine(reason: impl Into<String>) -> EventError {
    EventError::Quarantine(reason.into())
}

fn in_table(table: &Table, problem: RowProblem) -> EventError {
    match problem {
        RowProblem::Misfits(misfits) => EventError::Drift(Box::new(Drift::of(table, &misfits))),
        RowProblem::Malformed(reason) => quarantine(format!("the row cannot be read: {reason}")),
    }
}

#[cfg(test)]
mod tests {
    use super::is_neighbour;

    #[test]
    fn only_a_table_whose_name_makes_the_same_topic_is_a_neighbour() {
        assert!(is_neighbour(("s", "col lide"), ("s", "col_lide")));
        assert!(is_neighbour(("a b", "t"), ("a_b", "t")));
        assert!(!is_neighbour(("s", "col_lide"), ("s", "col_lide")));
        // A router in front of the topic may have sent another table's events here on purpose.
        assert!(!is_neighbour(("s", "flights_2024"), ("s", "flights")));
        assert!(!is_neighbour(("old", "flights"), ("s", "flights")));
        assert!(!is_neighbour(("", ""), ("s", "flights")), "a logical decoding message");
    }
}
