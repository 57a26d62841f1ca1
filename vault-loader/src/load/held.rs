//! Keys that hubs and links hold, as versions in their satellites tell.
//!
//! In: the last versions of satellites' keys. Out: which rows of hubs and links need neither be asked for nor written.
//!
//! Each key of a satellite has had its row in the hub or link since the transaction that wrote its first version, and
//! the loader removes no such row. So an event that is loaded again costs one look at each satellite, and none at the
//! hub or link that they hang on. A row that was removed by hand is found by `vault-loader check`, and `vault-loader
//! rebuild` brings it back; loading the event again does not.

use foldhash::HashMap;

use super::cache::{ParentId, parent_of};
use crate::model::{Plan, SatelliteId};
use crate::vault::fold::KeyState;
use crate::vault::hash::Hash;

/// The last versions of satellites' keys.
pub(super) type States = Vec<(SatelliteId, HashMap<Hash, KeyState>)>;

/// Keys that hubs and links hold.
pub(super) struct HeldKeys<'s> {
    by_parent: Vec<(ParentId, &'s HashMap<Hash, KeyState>)>,
}

impl<'s> HeldKeys<'s> {
    /// The keys of these states.
    pub(super) fn new(plan: &Plan, states: &'s States) -> Self {
        let parent = |id: SatelliteId| parent_of(plan, plan.satellites[id].table);
        Self { by_parent: states.iter().map(|(id, states)| (parent(*id), states)).collect() }
    }

    /// Whether a hub or link is known to hold a key.
    pub(super) fn contains(&self, parent: ParentId, key: &Hash) -> bool {
        self.by_parent.iter().any(|(id, states)| *id == parent && states.contains_key(key))
    }
}
