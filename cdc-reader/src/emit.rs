//! Makes records of changes: which events a change becomes, in which order, and with which headers.
//!
//! A change is first encoded into an arena that this module owns, and then sent. The frame of the change is given back
//! before the sending. So a session can wait for room in the producer's queue and still answer the server.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use shared::debezium::columns::{self, COLUMNS_HEADER};
use shared::debezium::envelope::{Op, SourceInfo};
use shared::position::Lsn;
use shared::vanished::RECONCILED_HEADER;

use crate::connector::{ConvertingFailures, Settings};
use crate::envelope::{Change, MessagePlan, Nulls, PlanOptions, RowError};
use crate::observe::Counts;
use crate::pgoutput::{Columns, LogicalMessage, OldTuple, Tuple};
use crate::publish::{Delivery, PublishError, Record, RecordHeaders};
use crate::table::Capture;

/// An arena that has grown beyond this for a large row is freed.
const ARENA_KEPT_BYTES_MAX: usize = 1 << 20;

/// What an event has beside the text of a large row: names, the source block, and the key.
const EVENT_AROUND_ROW_BYTES: usize = 16 << 10;

/// What is emitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Every captured change.
    All,
    /// Of the changes, deletes and truncates only. They are the retractions before a snapshot is taken again: they
    /// delete the rows that the source has lost since the first snapshot. No snapshot shows logical decoding messages,
    /// so all of them are published.
    Retractions,
}

#[derive(Debug)]
struct Pending {
    topic: Arc<str>,
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
    headers: Headers,
    /// The types of the columns, when the event says them.
    types: Option<Range<usize>>,
}

#[derive(Debug, Clone)]
enum Headers {
    /// None: logical decoding messages.
    None,
    /// Debezium's context.
    Context,
    /// One that names the other key of a moved row, and the context.
    OtherKey(&'static str, Range<usize>),
}

impl Headers {
    fn of(other_key: Option<(&'static str, Range<usize>)>) -> Self {
        other_key.map_or(Self::Context, |(name, key)| Self::OtherKey(name, key))
    }
}

/// Encodes changes and holds the records until they are sent.
pub(crate) struct Emitter {
    arena: Vec<u8>,
    pending: Vec<Pending>,
    sent: usize,
    tombstones: bool,
    skip_creates: bool,
    skip_updates: bool,
    skip_deletes: bool,
    skip_truncates: bool,
    messages: MessagePlan,
    message_topic: Arc<str>,
    /// Whether a value without a form is a warning.
    warns_of_nulls: bool,
    /// Tables and columns for which [`Emitter::tell_of_null`] has spoken.
    warned: HashSet<(String, usize)>,
    /// The value of the header that says who publishes, for events that come from no change of the stream.
    reconciled: Option<Vec<u8>>,
    pub(crate) counts: Counts,
}

/// Where a change comes from, and when its event is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp<'o> {
    pub(crate) source: SourceInfo<'o>,
    /// Nanoseconds since the epoch.
    pub(crate) now_ns: i64,
}

impl Emitter {
    pub(crate) fn new(settings: &Settings, plan_options: &PlanOptions, scope: Scope) -> Self {
        let skipped = settings.skipped_operations;
        let messages = MessagePlan::new(plan_options);
        Self {
            arena: Vec::new(),
            pending: Vec::new(),
            sent: 0,
            tombstones: settings.tombstones_on_delete,
            skip_creates: skipped.creates || scope == Scope::Retractions,
            skip_updates: skipped.updates || scope == Scope::Retractions,
            skip_deletes: skipped.deletes,
            skip_truncates: skipped.truncates,
            message_topic: Arc::from(messages.topic()),
            messages,
            warns_of_nulls: settings.converting_failures == ConvertingFailures::Warn,
            warned: HashSet::new(),
            reconciled: None,
            counts: Counts::default(),
        }
    }

    /// Every event carries this header from now on.
    pub(crate) fn reconciled_by(mut self, who: &str) -> Self {
        self.reconciled = Some(who.as_bytes().to_vec());
        self
    }

    /// Whether inserts become no events.
    pub(crate) fn leaves_inserts_out(&self) -> bool {
        self.skip_creates
    }

    /// Takes the memory for the event of a row of so many bytes at once. Memory that grows step by step would take up
    /// to twice as much for a large row.
    pub(crate) fn expect(&mut self, row_bytes: usize) {
        if row_bytes > ARENA_KEPT_BYTES_MAX {
            self.arena.reserve_exact(row_bytes + EVENT_AROUND_ROW_BYTES);
        }
    }

    /// A snapshot's row.
    pub(crate) fn read<'a, R>(
        &mut self,
        capture: &Capture,
        row: &R,
        stamp: &Stamp<'_>,
    ) -> Result<(), RowError>
    where
        R: Iterator<Item = crate::pgoutput::Column<'a>> + Clone,
    {
        self.counts.reads += 1;
        let key = self.encode_key(capture, row, Nulls::AreNull, None)?;
        let change = Change { op: Op::Read, before: None, after: Some(row.clone()) };
        self.encode(capture, key, &change, stamp, None)
    }

    pub(crate) fn insert(
        &mut self,
        capture: &Capture,
        new: &Tuple<'_>,
        stamp: &Stamp<'_>,
    ) -> Result<(), RowError> {
        if self.skip_creates {
            self.counts.filtered += 1;
            return Ok(());
        }
        self.counts.creates += 1;
        let key = self.encode_key(capture, &new.columns(), Nulls::AreNull, None)?;
        let change = Change { op: Op::Create, before: None, after: Some(new.columns()) };
        self.encode(capture, key, &change, stamp, None)
    }

    /// An update. An update that changes the key becomes a delete with its tombstone under the old key and a create
    /// under the new key. Each of the two names the other key in a header.
    pub(crate) fn update(
        &mut self,
        capture: &Capture,
        old: Option<OldTuple<'_>>,
        new: &Tuple<'_>,
        stamp: &Stamp<'_>,
    ) -> Result<(), RowError> {
        let before = old.map(old_columns);
        let key_before = match &before {
            Some((row, nulls)) => self.encode_key(capture, row, *nulls, None)?,
            None => None,
        };
        let row_before = before.as_ref().map(|(row, _)| row);
        let key_after = self.encode_key(capture, &new.columns(), Nulls::AreNull, row_before)?;
        let moved = match (&key_before, &key_after) {
            (Some(old), Some(new)) => self.arena[old.clone()] != self.arena[new.clone()],
            _ => false,
        };
        if moved {
            return self.move_key(capture, MovedKey { key_before, key_after, before, new }, stamp);
        }
        if self.skip_updates {
            self.counts.filtered += 1;
            return Ok(());
        }
        self.counts.updates += 1;
        let before = before.map(|(row, _)| row);
        let change = Change { op: Op::Update, before, after: Some(new.columns()) };
        self.encode(capture, key_after, &change, stamp, None)
    }

    fn move_key(
        &mut self,
        capture: &Capture,
        moved: MovedKey<'_>,
        stamp: &Stamp<'_>,
    ) -> Result<(), RowError> {
        let MovedKey { key_before, key_after, before, new } = moved;
        if self.skip_deletes && self.skip_creates {
            self.counts.filtered += 1;
            return Ok(());
        }
        self.counts.updates += 1;
        let in_header =
            |arena: &mut Vec<u8>, row: &Columns<'_>, nulls, before: Option<&Columns<'_>>| {
                let start = arena.len();
                let written = capture.plan.write_key_in_header(arena, row, nulls, before);
                written.map(|()| start..arena.len())
            };
        let old_key = match &before {
            Some((row, nulls)) => {
                Some(("__debezium.oldkey", in_header(&mut self.arena, row, *nulls, None)?))
            }
            None => None,
        };
        let before = before.map(|(row, _)| row);
        let new_key = in_header(&mut self.arena, &new.columns(), Nulls::AreNull, before.as_ref())?;
        let new_key = Some(("__debezium.newkey", new_key));
        // Debezium filters the two events by their own operations, and not as the update that they come from.
        if !self.skip_deletes {
            let delete = Change { op: Op::Delete, before: before.clone(), after: None };
            self.encode(capture, key_before.clone(), &delete, stamp, new_key.clone())?;
            self.tombstone(capture, key_before, new_key);
        }
        if !self.skip_creates {
            let create = Change { op: Op::Create, before, after: Some(new.columns()) };
            self.encode(capture, key_after, &create, stamp, old_key)?;
        }
        Ok(())
    }

    pub(crate) fn delete(
        &mut self,
        capture: &Capture,
        old: OldTuple<'_>,
        stamp: &Stamp<'_>,
    ) -> Result<(), RowError> {
        let (row, nulls) = old_columns(old);
        self.delete_row(capture, row, nulls, stamp)
    }

    /// The delete of a row of which only the key is known, as the replica identity `DEFAULT` sends it.
    pub(crate) fn delete_key<'a, R>(
        &mut self,
        capture: &Capture,
        row: R,
        stamp: &Stamp<'_>,
    ) -> Result<(), RowError>
    where
        R: Iterator<Item = crate::pgoutput::Column<'a>> + Clone,
    {
        self.delete_row(capture, row, Nulls::AreUnknown, stamp)
    }

    fn delete_row<'a, R>(
        &mut self,
        capture: &Capture,
        row: R,
        nulls: Nulls,
        stamp: &Stamp<'_>,
    ) -> Result<(), RowError>
    where
        R: Iterator<Item = crate::pgoutput::Column<'a>> + Clone,
    {
        if self.skip_deletes {
            self.counts.filtered += 1;
            return Ok(());
        }
        self.counts.deletes += 1;
        let key = self.encode_key(capture, &row, nulls, None)?;
        let change = Change { op: Op::Delete, before: Some(row), after: None };
        self.encode(capture, key.clone(), &change, stamp, None)?;
        // Debezium sends a tombstone for a table without a key, too: a record with neither key nor value.
        self.tombstone(capture, key, None);
        Ok(())
    }

    pub(crate) fn truncate(
        &mut self,
        capture: &Capture,
        stamp: &Stamp<'_>,
    ) -> Result<(), RowError> {
        if self.skip_truncates {
            self.counts.filtered += 1;
            return Ok(());
        }
        self.counts.truncates += 1;
        let change: Change<Columns<'_>> = Change { op: Op::Truncate, before: None, after: None };
        self.encode(capture, None, &change, stamp, None)
    }

    /// A logical decoding message. As in Debezium, its record carries no headers.
    pub(crate) fn message(&mut self, message: &LogicalMessage<'_>, stamp: &Stamp<'_>) {
        let start = self.arena.len();
        MessagePlan::write_key(&mut self.arena, message);
        let end_of_key = self.arena.len();
        let now_ms = stamp.now_ns.div_euclid(1_000_000);
        self.messages.write_value(&mut self.arena, message, &stamp.source, now_ms);
        self.pending.push(Pending {
            topic: Arc::clone(&self.message_topic),
            key: Some(start..end_of_key),
            value: Some(end_of_key..self.arena.len()),
            headers: Headers::None,
            types: None,
        });
    }

    fn encode_key<'a, R>(
        &mut self,
        capture: &Capture,
        row: &R,
        nulls: Nulls,
        before: Option<&R>,
    ) -> Result<Option<Range<usize>>, RowError>
    where
        R: Iterator<Item = crate::pgoutput::Column<'a>> + Clone,
    {
        if !capture.plan.has_key() {
            return Ok(None);
        }
        let start = self.arena.len();
        capture.plan.write_key(&mut self.arena, row, nulls, before)?;
        Ok(Some(start..self.arena.len()))
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "the parts of one record; a struct would only rename them"
    )]
    fn encode<'a, R>(
        &mut self,
        capture: &Capture,
        key: Option<Range<usize>>,
        change: &Change<R>,
        stamp: &Stamp<'_>,
        header: Option<(&'static str, Range<usize>)>,
    ) -> Result<(), RowError>
    where
        R: Iterator<Item = crate::pgoutput::Column<'a>> + Clone,
    {
        let start = self.arena.len();
        let plan = &capture.plan;
        let remarks = plan.write_value(&mut self.arena, change, &stamp.source, stamp.now_ns)?;
        let end = self.arena.len();
        if !remarks.null_instead.is_empty() {
            self.counts.nulls_instead += 1;
            for &column in &remarks.null_instead {
                self.tell_of_null(capture, column, stamp.source.lsn);
            }
        }
        let has_row = change.before.is_some() || change.after.is_some();
        let types = plan.types().filter(|_| has_row).map(|types| {
            self.arena.extend_from_slice(types);
            columns::write_unchanged(&mut self.arena, &remarks.unchanged);
            end..self.arena.len()
        });
        self.pending.push(Pending {
            topic: Arc::clone(&capture.topic),
            key,
            value: Some(start..end),
            headers: Headers::of(header),
            types,
        });
        Ok(())
    }

    /// Says once for each column that a value of it has no form.
    fn tell_of_null(&mut self, capture: &Capture, column: usize, position: Lsn) {
        let table = capture.plan.table();
        if !self.warned.insert((table.display(), column)) {
            return;
        }
        let (table, column) = (table.display(), &table.columns[column]);
        let (column, column_type) = (&column.name, column.type_name());
        if self.warns_of_nulls {
            tracing::warn!(
                table,
                column,
                column_type,
                %position,
                "a value has no form in events: NULL is published in its place, as event.converting.failure.handling.mode=warn says; \
                 cdc_reader_nulls_instead_total counts further ones"
            );
        } else {
            tracing::debug!(
                table,
                column,
                column_type,
                %position,
                "a value has no form in events: NULL is published in its place"
            );
        }
    }

    fn tombstone(
        &mut self,
        capture: &Capture,
        key: Option<Range<usize>>,
        header: Option<(&'static str, Range<usize>)>,
    ) {
        if self.tombstones {
            let topic = Arc::clone(&capture.topic);
            let headers = Headers::of(header);
            self.pending.push(Pending { topic, key, value: None, headers, types: None });
        }
    }

    /// Whether something was encoded and not sent.
    pub(crate) fn has_pending(&self) -> bool {
        self.sent < self.pending.len()
    }

    /// Sends what was encoded. False when the queue is full: then the caller should wait and call again.
    pub(crate) fn flush(&mut self, delivery: &mut Delivery) -> Result<bool, PublishError> {
        self.flush_to(|record| delivery.send(record))
    }

    /// The same by any way to send a record.
    pub(crate) fn flush_to(
        &mut self,
        mut send: impl FnMut(&Record<'_>) -> Result<(), PublishError>,
    ) -> Result<bool, PublishError> {
        while let Some(pending) = self.pending.get(self.sent) {
            let bytes = |range: &Range<usize>| &self.arena[range.clone()];
            let who = self.reconciled.as_deref().map(|who| (RECONCILED_HEADER, who));
            let other_key = match &pending.headers {
                Headers::OtherKey(name, range) => Some((*name, bytes(range))),
                Headers::None | Headers::Context => None,
            };
            let types = pending.types.as_ref().map(|range| (COLUMNS_HEADER, bytes(range)));
            let (mut own, mut count) = ([("", [].as_slice()); 3], 0);
            for header in [who, other_key, types].into_iter().flatten() {
                own[count] = header;
                count += 1;
            }
            let record = Record {
                topic: &pending.topic,
                key: pending.key.as_ref().map(bytes),
                value: pending.value.as_ref().map(bytes),
                headers: match &pending.headers {
                    Headers::None => RecordHeaders::None,
                    Headers::Context | Headers::OtherKey(..) if count == 0 => {
                        RecordHeaders::Context
                    }
                    Headers::Context | Headers::OtherKey(..) => RecordHeaders::With(&own[..count]),
                },
            };
            match send(&record) {
                Ok(()) => self.sent += 1,
                Err(PublishError::QueueFull) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        self.pending.clear();
        self.sent = 0;
        self.arena.clear();
        if self.arena.capacity() > ARENA_KEPT_BYTES_MAX {
            self.arena = Vec::new();
        }
        Ok(true)
    }
}

/// The two sides of an update that changed the key.
struct MovedKey<'a> {
    key_before: Option<Range<usize>>,
    key_after: Option<Range<usize>>,
    before: Option<(Columns<'a>, Nulls)>,
    new: &'a Tuple<'a>,
}

/// The columns of an old row, and what NULL means among them.
fn old_columns(old: OldTuple<'_>) -> (Columns<'_>, Nulls) {
    match old {
        OldTuple::Key(tuple) => (tuple.columns(), Nulls::AreUnknown),
        OldTuple::Full(tuple) => (tuple.columns(), Nulls::AreNull),
    }
}
