//! What is loaded, in the order in which one warehouse gets it.
//!
//! Out: names for tables, reports and topics.

use serde::{Deserialize, Serialize};

/// One load of a warehouse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Scenario {
    /// Every segment into an empty warehouse: events of a snapshot.
    First,
    /// The same events again: nothing may be added.
    Repeats,
    /// One change of every segment.
    Updates,
    /// New segments, changes, updates without a change, deletes.
    Mixed,
}

impl Scenario {
    /// In the order in which they are loaded.
    pub(super) const ALL: [Self; 4] = [Self::First, Self::Repeats, Self::Updates, Self::Mixed];

    /// What the table calls it.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::First => "first load",
            Self::Repeats => "all repeats",
            Self::Updates => "updates",
            Self::Mixed => "mixed",
        }
    }
}
