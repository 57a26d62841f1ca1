//! A batch that is being loaded: which of its stretches are still to be committed, and what was found out meanwhile.
//!
//! In: a batch. Out: one stretch after the other. Everything that depends on the events alone is done here, once and
//! before any attempt: decoding for the whole batch, and the vault rows for each stretch. A stretch that the warehouse
//! refuses is halved, until the event that is at fault is found. The records of a table that stands still are left out.

use std::collections::{BTreeMap, VecDeque};

use foldhash::{HashMap, HashMapExt, HashSet};

use super::parking::Parking;
use super::stretch::{Rejection, Stretch};
use super::waiting::Sorter;
use crate::batch::{Batch, Partition, RecordId, RecordRange};
use crate::control::Place;
use crate::decode::{Decoded, NewColumn};
use crate::model::{ColumnId, IdVec, Plan, TableId};
use crate::paused::TablePause;
use crate::vault::projection::{Projection, Projector};
use crate::warehouse::WarehouseError;

/// A batch that is being loaded.
pub struct Job<'b> {
    plan: &'b Plan,
    batch: &'b Batch,
    decoded: Decoded<'b>,
    pending: VecDeque<RecordRange>,
    rejected: BTreeMap<RecordId, Rejection>,
    /// the parking version at which the vault rows of the first pending stretch were computed
    parking_versions: HashMap<Partition, i64>,
    /// the offset that the warehouse must hold for each partition
    offsets: HashMap<Partition, i64>,
    /// the vault rows of the first pending stretch, once they were asked for
    projection: Option<Projection>,
    /// whether these were computed before it was known which keys are parked
    is_ahead: bool,
    /// tables that turned out to be unable to go on, not yet stored in the warehouse
    pauses: VecDeque<TablePause>,
    /// columns that tables have got
    growths: Vec<(TableId, Vec<NewColumn>)>,
}

impl<'b> Job<'b> {
    /// Decodes a batch and plans its stretches. Nothing of the tables that are paused is loaded.
    #[must_use]
    pub fn new(plan: &'b Plan, batch: &'b Batch, is_paused: impl Fn(TableId) -> bool) -> Self {
        let mut decoded = Decoded::new(batch, plan, is_paused);
        let drifted = std::mem::take(&mut decoded.drifted);
        let grown = drifted.iter().filter(|drifted| !drifted.growth.is_empty());
        let growths =
            grown.map(|drifted| (drifted.pause.from.table, drifted.growth.clone())).collect();
        let pauses = drifted.into_iter().map(|drifted| drifted.pause).collect();
        let pending = decoded.stretches().into();
        let offsets = batch.starts.iter().map(|(from, start)| (*from, start.offset)).collect();
        let rejected = BTreeMap::new();
        let parking_versions = HashMap::new();
        Self {
            plan,
            batch,
            decoded,
            pending,
            rejected,
            parking_versions,
            offsets,
            projection: None,
            is_ahead: false,
            pauses,
            growths,
        }
    }

    /// The same, and computes the vault rows of the first stretch as they are while no key is parked.
    pub(crate) fn ahead(
        plan: &'b Plan,
        batch: &'b Batch,
        is_paused: &IdVec<TableId, bool>,
    ) -> Self {
        let mut job = Self::new(plan, batch, |table| is_paused[table]);
        job.is_ahead = job.prepare(&Parking::default());
        job
    }

    /// The columns that the vault may take in so that tables of this batch need not pause.
    pub(crate) fn growths(&self) -> &[(TableId, Vec<NewColumn>)] {
        &self.growths
    }

    /// Columns that the source has dropped, and that events of this batch lack.
    pub(crate) fn dropped(&self) -> &[(TableId, ColumnId)] {
        &self.decoded.dropped
    }

    /// The next table that cannot go on and whose pause is not stored yet.
    pub(super) fn unstored_pause(&self) -> Option<&TablePause> {
        self.pauses.front()
    }

    /// Notes that the pause is stored, and hands it out.
    pub(super) fn pause_stored(&mut self) -> Option<TablePause> {
        self.pauses.pop_front()
    }

    /// Leaves a table out from the next stretch on.
    pub(super) fn pause(&mut self, table: TableId, reason: String, remedy: String) {
        let Some(stretch) = self.pending.front() else { return };
        if let Some(first) = self.decoded.hold(self.batch, table, stretch.first()) {
            let place = &self.batch.records[first];
            let (from, offset) = (place.from, place.offset);
            self.pauses.push_back(TablePause { from, offset, reason, remedy });
        }
        self.projection = None;
    }

    /// The assignment of partitions that the batch belongs to.
    pub(super) fn generation(&self) -> u64 {
        self.batch.generation
    }

    /// The partitions of the batch, each with the epoch and the offset that the warehouse must hold.
    pub(super) fn places(&self) -> impl Iterator<Item = (Partition, Place)> {
        let epoch = |from: &Partition| self.batch.starts.get(from).map_or(0, |start| start.epoch);
        self.offsets.iter().map(move |(from, offset)| (*from, (epoch(from), *offset)))
    }

    /// The partitions of the next stretch.
    pub(super) fn next_partitions(&self) -> HashSet<Partition> {
        let records = self.pending.front().map(|records| records.iter());
        let going_on =
            records.into_iter().flatten().filter(|&record| !self.decoded.is_held(record));
        going_on.map(|record| self.batch.records[record].from).collect()
    }

    /// Computes the next stretch's vault rows anew, because other keys are parked than before.
    pub(super) fn project_again(&mut self) {
        self.projection = None;
    }

    /// Whether the next stretch is a truncate, which may take long.
    #[must_use]
    pub fn is_at_truncate(&self) -> bool {
        let goes_on = |records: &&RecordRange| records.iter().any(|id| !self.decoded.is_held(id));
        let next = self.pending.iter().find(goes_on);
        next.is_some_and(|&records| self.stretch_of(records).truncate().is_some())
    }

    /// Computes the vault rows of the next stretch, unless that was done. `false` when nothing is left to commit.
    pub(super) fn prepare(&mut self, parking: &Parking) -> bool {
        let decoded = &self.decoded;
        while self
            .pending
            .pop_front_if(|records| records.iter().all(|id| decoded.is_held(id)))
            .is_some()
        {
            self.projection = None;
        }
        let Some(&records) = self.pending.front() else { return false };
        if std::mem::take(&mut self.is_ahead) {
            let parked = |from: &Partition| parking.is_any_parked(*from);
            if self.parking_versions.keys().any(parked) {
                self.projection = None;
            }
            for (from, version) in &mut self.parking_versions {
                *version = parking.version(*from);
            }
        }
        if self.projection.is_none() {
            self.projection = Some(self.project(records, parking));
        }
        true
    }

    /// The vault rows of a stretch. Events that cannot have any are rejected, and so are those that wait behind others.
    fn project(&mut self, records: RecordRange, parking: &Parking) -> Projection {
        let mut projector = Projector::new(self.plan, &self.decoded.values);
        let mut sorter = Sorter::new(self.batch, &self.decoded, parking);
        for record in records.iter() {
            // Whether it waits is decided anew each time.
            let fault = self.rejected.remove(&record).filter(|rejection| rejection.at_fault);
            if let Some(rejection) = sorter.add(record, fault, &mut projector) {
                self.rejected.insert(record, rejection);
            }
            let from = self.batch.records[record].from;
            self.parking_versions.insert(from, parking.version(from));
        }
        projector.finish()
    }

    /// The stretch that [`Job::prepare`] made ready, with its vault rows.
    pub(super) fn next(&self) -> Option<(Stretch<'_>, &Projection)> {
        let records = *self.pending.front()?;
        Some((self.stretch_of(records), self.projection.as_ref()?))
    }

    fn stretch_of(&self, records: RecordRange) -> Stretch<'_> {
        Stretch {
            plan: self.plan,
            batch: self.batch,
            decoded: &self.decoded,
            records,
            rejected: &self.rejected,
            parking_versions: &self.parking_versions,
            offsets: &self.offsets,
        }
    }

    /// Notes that the next stretch was committed.
    pub(super) fn committed(&mut self, moves: &[(Partition, i64)]) {
        self.pending.pop_front();
        self.projection = None;
        self.offsets.extend(moves.iter().copied());
    }

    /// Sends an event of the next stretch to quarantine.
    pub(super) fn reject(&mut self, record: RecordId, reason: String, sqlstate: Option<String>) {
        self.rejected.insert(record, Rejection::fault(reason, sqlstate));
        self.projection = None;
    }

    /// Halves the next stretch, which the warehouse refuses, until the event that is at fault is found.
    ///
    /// # Errors
    /// When the event that is at fault is in quarantine already: then the quarantine refuses it.
    pub(super) fn isolate(&mut self, err: WarehouseError) -> Result<(), WarehouseError> {
        let Some(&records) = self.pending.front() else { return Err(err) };
        let first = records.first();
        if records.count() > 1 {
            let [before, behind] = records.halves();
            self.pending.pop_front();
            self.pending.push_front(behind);
            self.pending.push_front(before);
            self.projection = None;
            return Ok(());
        }
        if self.rejected.contains_key(&first) {
            let place = &self.batch.records[first];
            return Err(WarehouseError::Stop(format!(
                "not even the quarantine takes the event at partition {}, offset {}: {err}",
                place.from.partition, place.offset
            )));
        }
        let reason = err.to_string();
        let sqlstate = match err {
            WarehouseError::Data { sqlstate, .. } => Some(sqlstate),
            _ => None,
        };
        self.reject(first, reason, sqlstate);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Content;
    use crate::model::{self, Id, TableId};

    #[test]
    fn an_event_that_even_quarantine_cannot_take_stops_the_loader() {
        let text = include_str!("../../../connectors/airline/vault.toml");
        let plan = Plan::new(model::parse(text).unwrap());
        let mut batch = Batch::new(1, std::sync::Arc::default());
        let from = Partition { table: TableId::from_index(0), partition: 0 };
        // The first is a tombstone, which decodes; the second does not.
        batch.push(from, 0, Content { key: Some(b"k"), ..Content::default() });
        batch.push(from, 1, Content { value: Some(b"no json"), ..Content::default() });
        let mut job = Job::new(&plan, &batch, |_| false);
        let refusal =
            || WarehouseError::Data { sqlstate: "22008".to_owned(), table: None, column: None };
        let [first, second] = [0, 1].map(RecordId::from_index);
        let parking = Parking::default();
        job.prepare(&parking);
        job.isolate(refusal()).unwrap();
        assert_eq!(job.pending, [first, second].map(RecordRange::single));
        job.isolate(refusal()).unwrap();
        assert!(job.rejected.contains_key(&first));
        for _ in [first, second] {
            job.prepare(&parking);
            let outcome = job.isolate(refusal());
            assert!(matches!(outcome, Err(WarehouseError::Stop(_))), "{outcome:?}");
            job.committed(&[]);
        }
    }
}
