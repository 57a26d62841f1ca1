//! What is read of each partition, and by which assignment.
//!
//! In: records in the order of arrival. Out: each record in the batch of its writer, unless it belongs to an older
//! assignment or was read before.

use foldhash::{HashMap, HashMapExt};

use super::assignment::{Assignment, CurrentAssignment};
use super::incoming::Incoming;
use super::outlets::Outlets;
use crate::batch::Partition;
use crate::model::{Plan, TableId};

/// Where reading stands.
pub(super) struct Reading {
    topics: HashMap<String, TableId>,
    /// the assignment that the batches belong to
    generation: u64,
    /// the offset of each partition's next record
    next: HashMap<Partition, i64>,
}

impl Reading {
    pub(super) fn new(plan: &Plan) -> Self {
        let topics = plan.tables.with_ids();
        let topics = topics.map(|(id, table)| (table.topic.clone(), id)).collect();
        Self { topics, generation: 0, next: HashMap::new() }
    }

    /// The partition of a topic; none when the topic is not the model's.
    pub(super) fn partition(&self, topic: &str, partition: i32) -> Option<Partition> {
        self.topics.get(topic).map(|&table| Partition { table, partition })
    }

    /// The offset of a partition's next record; none when the partition is not read.
    pub(super) fn next_of(&self, from: Partition) -> Option<i64> {
        self.next.get(&from).copied()
    }

    /// After a new assignment, what was collected is dropped, and reading starts at the warehouse's offsets.
    pub(super) fn follow(&mut self, current: &CurrentAssignment, outlets: &mut Outlets) {
        if current.generation != self.generation {
            self.generation = current.generation;
            self.next.clone_from(&current.starts);
            outlets.begin(current.generation, &current.epochs, &current.shares);
        }
    }

    /// Adds a record, unless it belongs to an older assignment. `false` when it was not added.
    pub(super) fn take(
        &mut self,
        outlets: &mut Outlets,
        assignment: &Assignment,
        record: Incoming<'_>,
    ) -> bool {
        let mut current = assignment.current();
        self.follow(&current, outlets);
        let Some(from) = self.partition(record.topic, record.partition) else { return false };
        let Some(next) = self.next.get_mut(&from) else { return false };
        if record.offset < *next {
            return false; // fetched before the assignment moved on
        }
        let writer = current.shares.writer_of(from);
        let is_first = outlets.add(writer, (from, record.offset), *next, record.content);
        *next = record.offset + 1;
        current.read.insert(from, *next);
        if let Some(published_ms) = record.published_ms.filter(|_| is_first) {
            let (metrics, plan) = (&assignment.metrics, &assignment.plan);
            metrics.batch_began(plan, from, record.offset, published_ms);
        }
        true
    }
}
