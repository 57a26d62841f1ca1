//! Sorts a stretch's events into those that are loaded and those that go to quarantine.
//!
//! In: records in order, and which keys are parked. Out: the vault rows of what can be loaded, and a rejection for each
//! other event. An event that cannot be loaded parks its key: the later events of the key wait behind it, because they
//! tell what happened after something that is missing. So a key's events in the vault are always the first ones that
//! the topic has, without a hole.
//!
//! - A record without a key parks nothing, and neither does an event of another table.
//! - A tombstone never waits, because it says nothing that its delete did not say.
//! - A truncate never waits. It leaves parked keys open, and the retry closes them at the right place.
//! - A row that moved away from a parked key, and left values out that only that key's history holds, waits too, and
//!   parks its new key.

use super::parking::Parking;
use super::stretch::Rejection;
use crate::batch::{Batch, Partition, RecordId};
use crate::control::{KeyHash, ParkedKey, Place, key_hash};
use crate::decode::{Change, Decoded, RowChange};
use crate::vault::projection::Projector;

/// Sorts events one after the other.
pub(super) struct Sorter<'s, 'a> {
    batch: &'s Batch,
    decoded: &'s Decoded<'a>,
    known: &'s Parking,
    /// keys that events of this stretch park
    fresh: Parking,
}

impl<'s, 'a> Sorter<'s, 'a> {
    pub(super) fn new(batch: &'s Batch, decoded: &'s Decoded<'a>, known: &'s Parking) -> Self {
        Self { batch, decoded, known, fresh: Parking::default() }
    }

    /// Adds the next event's rows to the projection, or says why it goes to quarantine. `fault` is the fault that an
    /// attempt has found in it.
    pub(super) fn add(
        &mut self,
        record: RecordId,
        fault: Option<Rejection>,
        projector: &mut Projector<'_>,
    ) -> Option<Rejection> {
        let from = self.batch.records[record].from;
        let mut rejection = match (fault, &self.decoded.changes[record]) {
            (Some(fault), _) => fault,
            (None, Err(bad)) => Rejection::fault(bad.reason.clone(), None),
            (None, Ok(Change::Row(change))) => match self.behind(record, from, change, projector) {
                Some(reason) => Rejection { at_fault: false, ..Rejection::fault(reason, None) },
                None => match projector.add(change, record) {
                    Ok(()) => return None,
                    Err(err) => Rejection::fault(err.to_string(), None),
                },
            },
            (None, Ok(Change::Tombstone | Change::Held | Change::Truncate { .. })) => return None,
        };
        rejection.parks = self.parked_key(record, projector);
        if let Some(key) = rejection.parks {
            self.fresh.park(from, key, self.place(record));
        }
        Some(rejection)
    }

    /// Why an event has to wait, if it has to.
    fn behind(
        &self,
        record: RecordId,
        from: Partition,
        change: &RowChange,
        projector: &mut Projector<'_>,
    ) -> Option<String> {
        if !self.known.is_any_parked(from) && !self.fresh.is_any_parked(from) {
            return None;
        }
        let place = self.place(record);
        if let Some(key) = self.batch.key(record).map(key_hash)
            && let Some(first) = self.parked_since(from, &key, place)
        {
            let here = "it is in the quarantine already, and waits for a retry".to_owned();
            let behind = format!("waits behind the event at offset {} of the same key", first.1);
            return Some(if first == place { here } else { behind });
        }
        let old = projector.parent(change.table, change.moved_from?)?;
        (self.known.may_hold(from, &old) || self.fresh.may_hold(from, &old)).then(|| {
            "waits for the key that the row had before: events of that key are in the quarantine, and this event left \
             out values that only the history of that key holds"
                .to_owned()
        })
    }

    fn place(&self, record: RecordId) -> Place {
        let record = &self.batch.records[record];
        (record.epoch.number, record.offset)
    }

    fn parked_since(&self, from: Partition, key: &KeyHash, place: Place) -> Option<Place> {
        let known = self.known.parked_since(from, key, place);
        known.or_else(|| self.fresh.parked_since(from, key, place))
    }

    /// The key that an event parks.
    fn parked_key(&self, record: RecordId, projector: &mut Projector<'_>) -> Option<ParkedKey> {
        let key_hash = key_hash(self.batch.key(record)?);
        let table = self.batch.records[record].from.table;
        let parent = match &self.decoded.changes[record] {
            Ok(Change::Row(change)) => projector.parent(table, change.values),
            Err(bad) if bad.is_of_table => bad.key.and_then(|key| projector.parent(table, key)),
            Err(_) | Ok(Change::Tombstone | Change::Held | Change::Truncate { .. }) => return None,
        };
        Some(ParkedKey { key_hash, parent })
    }
}
