//! Bounded memory of what the warehouse holds.
//!
//! In: keys with what was read or written for them. Out: the same while it is remembered. Entries are true only as long
//! as every compare-and-set of offsets succeeds. The loader clears everything after a failed compare-and-set, after any
//! other error, and when it gets partitions again, because another loader may have had them in between. A truncate
//! closes keys of all partitions, whichever loader loads it, so it clears the status entries of its table.
//!
//! All tables share one bound. So the tables whose events come have all of the memory, and the others have none.

use foldhash::{HashMap, HashMapExt};

use super::direct::Directness;
use crate::model::{HubId, IdVec, LinkId, Parent, Plan, SatelliteId, TableId};
use crate::vault::fold::KeyState;
use crate::vault::hash::Hash;

/// How many entries of hubs or links count as one entry of a satellite: an entry without a state takes some 40 bytes.
const KEYS_PER_STATE: usize = 4;

/// The first half of a hash key. Two keys of one table that share it are as unlikely as a fault of the hardware: of a
/// billion keys, with a probability of 10⁻²¹.
type Fingerprint = u128;

/// A map in two halves. The young half becomes the old half when the memory of all caches is full, and the entries of
/// the old half are forgotten. An entry that is used moves to the young half again, so this is close to "least recently
/// used" and costs two lookups.
#[derive(Debug)]
pub(super) struct Cache<V> {
    young: HashMap<Fingerprint, V>,
    old: HashMap<Fingerprint, V>,
}

impl<V: Copy> Cache<V> {
    fn new() -> Self {
        Self { young: HashMap::new(), old: HashMap::new() }
    }

    pub(super) fn get(&mut self, key: &Hash) -> Option<V> {
        let print = fingerprint(key);
        if let Some(value) = self.young.get(&print) {
            return Some(*value);
        }
        let value = self.old.remove(&print)?;
        self.young.insert(print, value);
        Some(value)
    }

    pub(super) fn insert(&mut self, key: &Hash, value: V) {
        self.young.insert(fingerprint(key), value);
    }

    fn age(&mut self) {
        std::mem::swap(&mut self.young, &mut self.old);
        // The next entries come into memory that is there already, unless few of them are to be expected.
        if self.old.len() >= self.young.capacity() / 4 {
            self.young.clear();
        } else {
            self.young = HashMap::new();
        }
    }

    pub(super) fn clear(&mut self) {
        self.young = HashMap::new();
        self.old = HashMap::new();
    }
}

fn fingerprint(key: &Hash) -> Fingerprint {
    let (first, _) = key.split_at(size_of::<Fingerprint>());
    Fingerprint::from_ne_bytes(first.try_into().expect("a hash has 32 bytes"))
}

/// A hub or link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum ParentId {
    /// a hub
    Hub(HubId),
    /// a link
    Link(LinkId),
}

/// The hub or link to which a table's satellites belong.
pub(super) fn parent_of(plan: &Plan, table: TableId) -> ParentId {
    let table = &plan.model.tables[table];
    match table.parent {
        Parent::Hub(binding) => ParentId::Hub(table.hubs[binding].hub),
        Parent::Link(binding) => ParentId::Link(table.links[binding].link),
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
    /// whether satellites are asked for versions of new keys too, because a version of such a key was found
    pub(super) doubts_new_keys: bool,
    /// how the rows of hubs go into their tables
    pub(super) hub_ways: IdVec<HubId, Directness>,
    /// the same of links
    pub(super) link_ways: IdVec<LinkId, Directness>,
    /// the number of the truncate that was the last one when its status was last looked at
    last_truncations: IdVec<TableId, Option<i64>>,
    /// what all young halves together may hold, in entries of satellites
    young_max: usize,
}

impl Caches {
    pub(super) fn new(plan: &Plan, entries_max: usize) -> Self {
        Self {
            hubs: plan.model.hubs.map(|_| Cache::new()),
            links: plan.model.links.map(|_| Cache::new()),
            states: plan.satellites.map(|_| Cache::new()),
            doubts_new_keys: false,
            hub_ways: plan.model.hubs.map(|_| Directness::default()),
            link_ways: plan.model.links.map(|_| Directness::default()),
            last_truncations: plan.tables.map(|_| None),
            young_max: entries_max / 2,
        }
    }

    /// Forgets the entries that were not used for longest, if the memory is full. The bound is kept up to what one
    /// batch has added since the last call.
    pub(super) fn make_room(&mut self) {
        if self.young_count() >= self.young_max {
            self.hubs.iter_mut().for_each(Cache::age);
            self.links.iter_mut().for_each(Cache::age);
            self.states.iter_mut().for_each(Cache::age);
        }
    }

    /// The entries of the young halves, counted as those of satellites.
    fn young_count(&self) -> usize {
        let keys = self.hubs.iter().chain(self.links.iter()).map(|cache| cache.young.len());
        let states = self.states.iter().map(|cache| cache.young.len());
        keys.sum::<usize>() / KEYS_PER_STATE + states.sum::<usize>()
    }

    /// The known keys of a hub or link, and the way of its rows. `None` when it has no table.
    pub(super) fn keys_of(
        &mut self,
        plan: &Plan,
        parent: ParentId,
    ) -> Option<(&mut Cache<()>, &mut Directness)> {
        match parent {
            ParentId::Hub(id) => (!plan.model.hubs[id].is_carried)
                .then(|| (&mut self.hubs[id], &mut self.hub_ways[id])),
            ParentId::Link(id) => (!plan.model.links[id].is_carried())
                .then(|| (&mut self.links[id], &mut self.link_ways[id])),
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
    use crate::model::{self, Id};

    fn key(n: usize) -> Hash {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&n.to_be_bytes());
        key
    }

    #[test]
    fn the_caches_never_exceed_their_common_bound_and_keep_what_is_used() {
        let text = include_str!("../../../connectors/airline/vault.toml");
        let plan = Plan::new(model::parse(text).unwrap());
        let mut caches = Caches::new(&plan, 8);
        let [hub, other] = [0, 1].map(HubId::from_index);
        caches.hubs[other].insert(&key(0), ());
        for n in 1..=200 {
            assert!(caches.hubs[other].get(&key(0)).is_some(), "a key in use is kept");
            caches.hubs[hub].insert(&key(n), ());
            caches.make_room();
            let held = |cache: &Cache<()>| cache.young.len() + cache.old.len();
            let count: usize = caches.hubs.iter().map(held).sum();
            assert!(count <= 8 * KEYS_PER_STATE, "{count}");
        }
        assert_eq!(caches.hubs[hub].get(&key(1)), None);
        assert_eq!(caches.hubs[hub].get(&key(200)), Some(()));
    }
}
