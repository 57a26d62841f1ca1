//! The batches that are being collected, one for each writer, and the ways to the writers.
//!
//! In: records with the writer that has their partition. Out: batches through bounded channels, in order. A batch is
//! due when it is full, or when it has waited for long enough. A writer that is busy does not keep the others waiting:
//! its batch is collected on until it is full, and what happens then the intake decides.
//!
//! Each writer has a place for one batch, and its two lanes have one each. So at most four batches of a writer are in
//! memory, and [`crate::writers::batch_limits`] makes them as small as the number of writers needs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use foldhash::HashMap;
use tokio::sync::mpsc::{Permit, Sender, error::TrySendError};

use crate::batch::{Batch, Content, Partition, Start};
use crate::config::BatchLimits;
use crate::epoch::Epochs;
use crate::metrics::Metrics;
use crate::model::{IdVec, TableId};
use crate::writers::{Shares, WriterId};

/// How long the thread polls at a time while a writer has not taken a batch that is due.
const BUSY_POLL: Duration = Duration::from_millis(5);

/// The same while the partitions of that writer are paused.
const PAUSED_POLL: Duration = Duration::from_millis(20);

/// What became of a batch that was to be handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Handed {
    /// the writer has it
    Over,
    /// the writer has no place for it yet
    NotYet,
    /// the writer has ended
    Nobody,
}

/// The way to one writer.
#[derive(Debug)]
pub(super) struct Outlet {
    pub(super) batches: Sender<Batch>,
    pub(super) batch: Batch,
    first_at: Option<Instant>,
    /// whether the writer has partitions in this assignment
    has_partitions: bool,
    /// whether its partitions are paused until the writer takes the batch
    pub(super) is_paused: bool,
}

/// The ways to all writers.
pub(super) struct Outlets {
    pub(super) outlets: IdVec<WriterId, Outlet>,
    limits: BatchLimits,
    metrics: Arc<Metrics>,
}

impl Outlets {
    /// Ways for batches of these bounds, through one channel for each writer.
    pub(super) fn new(
        batches: Vec<Sender<Batch>>,
        limits: BatchLimits,
        metrics: Arc<Metrics>,
    ) -> Self {
        let outlet = |batches| Outlet {
            batches,
            batch: Batch::default(),
            first_at: None,
            has_partitions: false,
            is_paused: false,
        };
        Self { outlets: batches.into_iter().map(outlet).collect(), limits, metrics }
    }

    /// Drops what was collected, because another assignment begins, with other shares.
    pub(super) fn begin(
        &mut self,
        generation: u64,
        epochs: &Arc<HashMap<TableId, Epochs>>,
        shares: &Shares,
    ) {
        for writer in self.outlets.ids() {
            let outlet = &mut self.outlets[writer];
            outlet.has_partitions = shares.count(writer) > 0;
            outlet.batch = Batch::new(generation, Arc::clone(epochs));
            outlet.first_at = None;
            outlet.is_paused = false;
        }
    }

    /// Adds a record to the batch of its writer. `true` when it is the first one of its partition there.
    pub(super) fn add(
        &mut self,
        writer: WriterId,
        (from, offset): (Partition, i64),
        next: i64,
        content: Content<'_>,
    ) -> bool {
        let outlet = &mut self.outlets[writer];
        let batch = &mut outlet.batch;
        let is_first = !batch.starts.contains_key(&from);
        if is_first {
            let epoch = batch.epochs_of(from.table).current().number;
            batch.starts.insert(from, Start { offset: next, epoch });
        }
        batch.push(from, offset, content);
        outlet.first_at.get_or_insert_with(Instant::now);
        is_first
    }

    /// Whether a batch has as much as it may have.
    pub(super) fn is_full(&self, writer: WriterId) -> bool {
        let batch = &self.outlets[writer].batch;
        batch.records.len() >= self.limits.rows_max || batch.byte_count() >= self.limits.bytes_max
    }

    /// Whether a batch is to be handed over.
    pub(super) fn is_due(&self, writer: WriterId) -> bool {
        let outlet = &self.outlets[writer];
        !outlet.batch.records.is_empty() && (self.is_full(writer) || self.left(outlet).is_zero())
    }

    /// How long a batch may still wait for records.
    fn left(&self, outlet: &Outlet) -> Duration {
        let linger = Duration::from_millis(self.limits.linger_ms);
        outlet.first_at.map_or(linger, |first_at| linger.saturating_sub(first_at.elapsed()))
    }

    /// How long a poll may take so that no batch waits for too long, and `idle` at most.
    pub(super) fn poll_time(&self, idle: Duration) -> Duration {
        let collected = self.outlets.iter().filter(|outlet| !outlet.batch.records.is_empty());
        let left = collected.map(|outlet| match outlet.is_paused {
            true => PAUSED_POLL,
            false => self.left(outlet).max(BUSY_POLL),
        });
        left.min().map_or(idle, |left| left.min(idle))
    }

    /// Hands a batch over if its writer has a place for it.
    pub(super) fn try_hand_over(&mut self, writer: WriterId) -> Handed {
        let batches = self.outlets[writer].batches.clone();
        match batches.try_reserve() {
            Ok(place) => {
                self.hand_over(writer, place);
                Handed::Over
            }
            Err(TrySendError::Full(())) => Handed::NotYet,
            Err(TrySendError::Closed(())) => Handed::Nobody,
        }
    }

    /// Hands a batch over to a writer that has a place for it.
    pub(super) fn hand_over(&mut self, writer: WriterId, place: Permit<'_, Batch>) {
        let ahead_us = self.limits.clock_ahead_max_ms.saturating_mul(1000).cast_signed();
        let outlet = &mut self.outlets[writer];
        let empty = outlet.batch.next();
        let mut batch = std::mem::replace(&mut outlet.batch, empty);
        batch.latest_us = Utc::now().timestamp_micros().saturating_add(ahead_us);
        batch.held = Some(self.metrics.batch_held(batch.byte_count()));
        outlet.first_at = None;
        place.send(batch);
    }

    /// Hands over what is there for the other writers, as far as they have a place for it.
    pub(super) fn hand_over_others(&mut self, writer: WriterId) {
        for other in self.outlets.ids().filter(|other| *other != writer) {
            // The partitions of a paused one go on when the thread polls again.
            let outlet = &self.outlets[other];
            if !outlet.batch.records.is_empty() && !outlet.is_paused {
                self.try_hand_over(other);
            }
        }
    }

    /// Whether another writer that has partitions has no batch that waits for it, neither here nor in its channel.
    pub(super) fn is_another_idle(&self, writer: WriterId) -> bool {
        let others = self.outlets.with_ids().filter(|(id, _)| *id != writer);
        let is_idle = |outlet: &Outlet| {
            let has_place = outlet.batches.capacity() == outlet.batches.max_capacity();
            outlet.has_partitions && has_place && outlet.batch.records.is_empty()
        };
        others.into_iter().any(|(_, outlet)| is_idle(outlet))
    }
}
