//! Keys that links hold, as versions in their satellites tell.
//!
//! In: the last versions of satellites' keys. Out: which rows of links need neither be asked for nor written.
//!
//! Each key of a satellite has had its row in the hub or link since the transaction that wrote its first version, and
//! the loader removes no such row. So an event that is loaded again costs one look at each satellite, and none at the
//! link that they hang on. A row of a link that was removed or edited by hand is found by `vault-loader check`, and
//! `vault-loader rebuild` mends it; loading the event again does not. Rows of hubs are always looked at: a person is
//! erased by an edit of a hub, and a later event that names the person has to stop there.
//!
//! A link whose unknown keys are taken for new tells nothing here ([`super::satellites`]): not all of its satellites
//! were asked, and only the primary key can say that a row is not new.

use foldhash::{HashMap, HashSet};

use super::cache::{ParentId, parent_of};
use crate::model::{LinkId, Plan, SatelliteId};
use crate::vault::fold::KeyState;
use crate::vault::hash::Hash;

/// The last versions of satellites' keys.
pub(super) type States = Vec<(SatelliteId, HashMap<Hash, KeyState>)>;

/// Keys that links hold.
pub(super) struct HeldKeys<'s> {
    by_link: Vec<(LinkId, &'s HashMap<Hash, KeyState>)>,
}

impl<'s> HeldKeys<'s> {
    /// The keys of these states, but for the links whose unknown keys are taken for new.
    pub(super) fn new(plan: &Plan, states: &'s States, guessed: &HashSet<ParentId>) -> Self {
        let link = |id: SatelliteId| match parent_of(plan, plan.satellites[id].table) {
            ParentId::Link(link) if !guessed.contains(&ParentId::Link(link)) => Some(link),
            ParentId::Link(_) | ParentId::Hub(_) => None,
        };
        let of_links = states.iter().filter_map(|(id, states)| Some((link(*id)?, states)));
        Self { by_link: of_links.collect() }
    }

    /// Whether a link is known to hold a key.
    pub(super) fn contains(&self, link: LinkId, key: &Hash) -> bool {
        self.by_link.iter().any(|(id, states)| *id == link && states.contains_key(key))
    }
}
