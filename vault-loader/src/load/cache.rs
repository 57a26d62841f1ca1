//! Bounded memory of what the warehouse holds.
//!
//! In: keys with what was read or written for them. Out: the same while it is remembered. Entries are true only as long
//! as every compare-and-set of offsets succeeds. The loader clears everything after a failed compare-and-set, after any
//! other error, and when it gets partitions again, because another loader may have had them in between. A truncate
//! closes keys of all partitions, whichever loader loads it, so it clears the status entries of its table.

use foldhash::{HashMap, HashMapExt};

use crate::model::{HubId, IdVec, LinkId, Plan, SatelliteId, TableId};
use crate::vault::fold::KeyState;
use crate::vault::hash::Hash;

/// A map in two halves. When the young half is full, it becomes the old half, and the entries of the old half are
/// forgotten. An entry that is used moves to the young half again, so this is close to "least recently used" and costs
/// two lookups.
#[derive(Debug)]
pub(super) struct Cache<V> {
    young: HashMap<Hash, V>,
    old: HashMap<Hash, V>,
    generation_max: usize,
}

impl<V: Copy> Cache<V> {
    fn new(entries_max: usize) -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            generation_max: (entries_max / 2).max(1),
        }
    }

    pub(super) fn get(&mut self, key: &Hash) -> Option<V> {
        if let Some(value) = self.young.get(key) {
            return Some(*value);
        }
        let value = self.old.remove(key)?;
        self.insert(*key, value);
        Some(value)
    }

    pub(super) fn insert(&mut self, key: Hash, value: V) {
        if self.young.len() >= self.generation_max && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    pub(super) fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }
}

/// Everything that is remembered.
#[derive(Debug)]
pub(super) struct Caches {
    /// keys that are in the warehouse
    pub(super) hubs: IdVec<HubId, Cache<()>>,
    /// the same of links
    pub(super) links: IdVec<LinkId, Cache<()>>,
    pub(super) states: IdVec<SatelliteId, Cache<KeyState>>,
    /// the number of the truncate that was the last one when its status was last looked at
    last_truncations: IdVec<TableId, Option<i64>>,
}

impl Caches {
    pub(super) fn new(plan: &Plan, entries_max: usize) -> Self {
        let parts = plan.model.hubs.len() + plan.model.links.len() + plan.satellites.len();
        let each = (entries_max / parts.max(1)).max(2);
        Self {
            hubs: plan.model.hubs.map(|_| Cache::new(each)),
            links: plan.model.links.map(|_| Cache::new(each)),
            states: plan.satellites.map(|_| Cache::new(each)),
            last_truncations: plan.tables.map(|_| None),
        }
    }

    /// Forgets a table's status when the table was truncated since its status was last looked at.
    pub(super) fn note_truncation(&mut self, plan: &Plan, table: TableId, last: Option<i64>) {
        if self.last_truncations[table] != last {
            self.last_truncations[table] = last;
            self.states[plan.status_of(table)].clear();
        }
    }

    pub(super) fn clear(&mut self) {
        self.hubs.iter_mut().for_each(Cache::clear);
        self.links.iter_mut().for_each(Cache::clear);
        self.states.iter_mut().for_each(Cache::clear);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_never_exceeds_its_bound_and_keeps_what_is_used() {
        let mut cache = Cache::new(8);
        let key = |n: u8| [n; 32];
        cache.insert(key(0), 0);
        for n in 1..=200 {
            assert_eq!(cache.get(&key(0)), Some(0), "a key in use is kept");
            cache.insert(key(n), n);
            assert!(cache.young.len() + cache.old.len() <= 8);
        }
        assert_eq!(cache.get(&key(1)), None);
    }
}
