//! The parked keys of the loader's partitions, in memory.
//!
//! In: what the warehouse says when a generation of partitions begins, and what each commit puts into quarantine. Out:
//! an answer to "does an earlier event of this key wait?". An answer holds for one parking version of the partition. A
//! commit compares the version in its transaction, so an answer that a command has overtaken writes nothing. The number
//! of keys is bounded, because each has an event in the quarantine, whose events are bounded.
//!
//! A key is parked from the place of its first waiting event on. What comes again from before that place, in a replay
//! of the topic, is loaded as usual, and recognised as loaded before.

use foldhash::HashMap;

use crate::batch::Partition;
use crate::control::{KeyHash, ParkedKey, Place, StoredParking};
use crate::vault::hash::Hash;

/// The parked keys of partitions.
#[derive(Debug, Default)]
pub(super) struct Parking {
    partitions: HashMap<Partition, PartitionParking>,
}

#[derive(Debug, Default)]
struct PartitionParking {
    version: i64,
    /// by key: the first place and the parent, if that is known
    keys: HashMap<KeyHash, (Place, Option<Hash>)>,
}

impl Parking {
    /// Forgets everything, because it may be wrong.
    pub(super) fn clear(&mut self) {
        self.partitions.clear();
    }

    /// Whether the partition was read.
    pub(super) fn knows(&self, from: Partition) -> bool {
        self.partitions.contains_key(&from)
    }

    /// Takes what the warehouse says about a partition.
    pub(super) fn learn(&mut self, from: Partition, stored: StoredParking) {
        let keys = stored.keys.into_iter();
        let keys = keys.map(|(parked, first)| (parked.key_hash, (first, parked.parent))).collect();
        self.partitions.insert(from, PartitionParking { version: stored.version, keys });
    }

    /// Notes that an event of a key waits in the quarantine.
    pub(super) fn park(&mut self, from: Partition, key: ParkedKey, place: Place) {
        let keys = &mut self.partitions.entry(from).or_default().keys;
        let (first, parent) = keys.entry(key.key_hash).or_insert((place, key.parent));
        *first = (*first).min(place);
        *parent = parent.or(key.parent);
    }

    /// How often a command took events of the partition out of the quarantine.
    pub(super) fn version(&self, from: Partition) -> i64 {
        self.partitions.get(&from).map_or(0, |parking| parking.version)
    }

    /// Whether any key of the partition is parked. Nothing else has to be asked when none is.
    pub(super) fn is_any_parked(&self, from: Partition) -> bool {
        self.partitions.get(&from).is_some_and(|parking| !parking.keys.is_empty())
    }

    /// The place from which on the key is parked, if that is not behind this place.
    pub(super) fn parked_since(
        &self,
        from: Partition,
        key: &KeyHash,
        place: Place,
    ) -> Option<Place> {
        let (first, _) = self.partitions.get(&from)?.keys.get(key)?;
        (*first <= place).then_some(*first)
    }

    /// Whether events wait that belong, or may belong, to the history of this parent. A parked key that cannot be read
    /// may be anybody's.
    pub(super) fn may_hold(&self, from: Partition, parent: &Hash) -> bool {
        self.partitions.get(&from).is_some_and(|parking| {
            parking.keys.values().any(|(_, known)| known.is_none_or(|known| known == *parent))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Id, TableId};

    fn partition(number: i32) -> Partition {
        Partition { table: TableId::from_index(0), partition: number }
    }

    fn key(number: u8, parent: Option<u8>) -> ParkedKey {
        ParkedKey { key_hash: [number; 32], parent: parent.map(|parent| [parent; 32]) }
    }

    #[test]
    fn a_key_is_parked_in_its_partition_from_its_first_waiting_event_on() {
        let mut parking = Parking::default();
        let stored = StoredParking {
            version: 3,
            next_offset: 9,
            epoch: 0,
            keys: vec![(key(1, None), (0, 7))],
        };
        parking.learn(partition(0), stored);
        parking.park(partition(0), key(1, Some(8)), (0, 9));
        parking.park(partition(0), key(2, Some(9)), (0, 8));
        assert_eq!(parking.version(partition(0)), 3);
        assert_eq!(parking.parked_since(partition(0), &[1; 32], (0, 6)), None, "a replay");
        assert_eq!(parking.parked_since(partition(0), &[1; 32], (0, 7)), Some((0, 7)));
        assert_eq!(parking.parked_since(partition(0), &[1; 32], (1, 2)), Some((0, 7)));
        assert_eq!(parking.parked_since(partition(1), &[1; 32], (0, 10)), None);
        assert!(parking.may_hold(partition(0), &[8; 32]), "learned from a later event");
        assert!(!parking.may_hold(partition(0), &[7; 32]));
        parking.park(partition(0), key(3, None), (0, 10));
        assert!(parking.may_hold(partition(0), &[7; 32]), "an unreadable key may be anybody's");
        parking.clear();
        assert!(!parking.knows(partition(0)) && !parking.is_any_parked(partition(0)));
    }
}
