//! What an attempt did, and what may be remembered after a commit.

use chrono::{DateTime, Utc};

use super::cache::Caches;
use crate::batch::Partition;
use crate::control::ParkedKey;
use crate::epoch::EpochNumber;
use crate::model::{HubId, LinkId, SatelliteId, TableId};
use crate::paused::TablePause;
use crate::vault::fold::KeyState;
use crate::vault::hash::Hash;

/// One step of loading a batch.
#[derive(Debug)]
pub enum Step {
    /// a stretch was committed
    Loaded(Loaded),
    /// a table cannot go on; the rest of the batch is still to be loaded
    Paused {
        /// where and why
        pause: TablePause,
        /// when the table first stopped at this record
        since: DateTime<Utc>,
    },
}

/// What one commit did, for metrics and logs.
#[derive(Debug, Default)]
pub struct Loaded {
    /// partitions and their next offsets
    pub moves: Vec<(Partition, i64)>,
    /// records in the stretch, by table
    pub events: Vec<(TableId, u64)>,
    /// rows written, by vault table
    pub rows: Vec<(String, u64)>,
    /// candidates that were recognised as loaded before
    pub repeat_count: u64,
    /// records that went to quarantine
    pub quarantined: Vec<Quarantined>,
    /// commit time at the source of the last event, microseconds since the epoch
    pub last_applied_us: Option<i64>,
}

/// A record that went to quarantine.
#[derive(Debug)]
pub struct Quarantined {
    /// its partition
    pub from: Partition,
    /// its offset there
    pub offset: i64,
    /// the epoch of the table to which the offset belongs
    pub(super) epoch: EpochNumber,
    /// why
    pub reason: String,
    /// whether the event itself cannot be loaded; otherwise it waits behind another one
    pub at_fault: bool,
    /// the key whose later events wait behind it
    pub(super) parks: Option<ParkedKey>,
}

/// What may be remembered after the commit: the keys and states that the warehouse then holds.
#[derive(Debug, Default)]
pub(super) struct Learned {
    pub(super) hubs: Vec<(HubId, Hash)>,
    pub(super) links: Vec<(LinkId, Hash)>,
    pub(super) states: Vec<(SatelliteId, Hash, KeyState)>,
}

impl Learned {
    pub(super) fn remember(self, caches: &mut Caches) {
        for (hub, key) in self.hubs {
            caches.hubs[hub].insert(&key, ());
        }
        for (link, key) in self.links {
            caches.links[link].insert(&key, ());
        }
        for (satellite, key, state) in self.states {
            caches.states[satellite].insert(&key, state);
        }
        caches.make_room();
    }
}
