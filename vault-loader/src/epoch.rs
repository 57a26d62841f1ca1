//! Epochs of a table. Within an epoch offsets can be compared with offsets, and log positions with log positions.
//!
//! In: what the warehouse stores about epochs. Out: the epoch of a record. A table begins in epoch 0. Another epoch
//! begins when its topic is another one (deleted and made again, or a new topic prefix), or when its source went back
//! (restored from a backup, or promoted without the end of its log). Offsets are compared only as long as the topic is
//! the same, log positions only as long as the source went forward. An operator starts an epoch, because only an
//! operator knows what happened; `vault-loader epoch` is the command. Pure.

use std::collections::HashMap;

/// The number of an epoch of one table.
pub type EpochNumber = i32;

/// An epoch of one table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Epoch {
    /// its number; 0 is the first
    pub number: EpochNumber,
    /// how often the topic was replaced up to here
    topic_count: i32,
    /// how often the source went back up to here
    source_count: i32,
}

/// A position in the logs of all states of a source: what came before the source went back is smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourcePosition {
    source_count: i32,
    lsn: i64,
}

impl Epoch {
    /// A log position of this epoch.
    #[must_use]
    pub fn position(self, lsn: i64) -> SourcePosition {
        SourcePosition { source_count: self.source_count, lsn }
    }

    /// Whether offsets of the two epochs are offsets of one topic.
    #[must_use]
    pub fn has_topic_of(self, other: Self) -> bool {
        self.topic_count == other.topic_count
    }

    /// Whether log positions of the two epochs can be compared.
    #[must_use]
    pub fn has_source_of(self, other: Self) -> bool {
        self.source_count == other.source_count
    }
}

/// An epoch as the warehouse stores it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEpoch {
    /// its number, from 1
    pub number: EpochNumber,
    /// whether the topic is another one than before
    pub is_new_topic: bool,
    /// whether the source went back
    pub is_source_back: bool,
    /// for each partition that the topic had, the first offset of the epoch
    pub starts: HashMap<i32, i64>,
}

/// All epochs of one table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Epochs {
    /// the epochs after epoch 0, with the first offsets of each
    later: Vec<(Epoch, HashMap<i32, i64>)>,
}

impl Epochs {
    /// Epoch 0 alone.
    pub const FIRST: Self = Self { later: Vec::new() };

    /// Takes epochs in the order of their numbers.
    #[must_use]
    pub fn new(stored: Vec<StoredEpoch>) -> Self {
        let mut last = Epoch::default();
        let later = stored
            .into_iter()
            .map(|epoch| {
                last = Epoch {
                    number: epoch.number,
                    topic_count: last.topic_count + i32::from(epoch.is_new_topic),
                    source_count: last.source_count + i32::from(epoch.is_source_back),
                };
                (last, epoch.starts)
            })
            .collect();
        Self { later }
    }

    /// The last epoch.
    #[must_use]
    pub fn current(&self) -> Epoch {
        self.later.last().map_or_else(Epoch::default, |(epoch, _)| *epoch)
    }

    /// The epoch of a record of the topic as it is now. A partition that the topic did not have when an epoch began has
    /// records of that epoch only.
    #[must_use]
    pub fn of_record(&self, partition: i32, offset: i64) -> Epoch {
        let begins = |starts: &HashMap<i32, i64>| starts.get(&partition).copied().unwrap_or(0);
        let found = self.later.iter().rev().find(|(_, starts)| begins(starts) <= offset);
        found.map_or_else(Epoch::default, |(epoch, _)| *epoch)
    }

    /// The epoch with this number. A number that is unknown is that of epoch 0.
    #[must_use]
    pub fn numbered(&self, number: EpochNumber) -> Epoch {
        let found = self.later.iter().find(|(epoch, _)| epoch.number == number);
        found.map_or_else(Epoch::default, |(epoch, _)| *epoch)
    }

    /// The first epoch whose offsets are offsets of this epoch's topic.
    #[must_use]
    pub fn first_of_topic(&self, epoch: Epoch) -> EpochNumber {
        self.first(|other| other.has_topic_of(epoch))
    }

    /// The first epoch whose log positions can be compared with those of this epoch.
    #[must_use]
    pub fn first_of_source(&self, epoch: Epoch) -> EpochNumber {
        self.first(|other| other.has_source_of(epoch))
    }

    fn first(&self, test: impl Fn(Epoch) -> bool) -> EpochNumber {
        if test(Epoch::default()) {
            return 0;
        }
        let found = self.later.iter().find(|(epoch, _)| test(*epoch));
        found.map_or(0, |(epoch, _)| epoch.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(number: i32, topic: bool, source: bool, starts: &[(i32, i64)]) -> StoredEpoch {
        let starts = starts.iter().copied().collect();
        StoredEpoch { number, is_new_topic: topic, is_source_back: source, starts }
    }

    #[test]
    fn a_record_belongs_to_the_last_epoch_that_began_before_it() {
        let epochs = Epochs::new(vec![
            stored(1, false, true, &[(0, 10), (1, 0)]),
            stored(2, false, true, &[(0, 30), (1, 5)]),
        ]);
        let numbers = [(0, 9), (0, 10), (0, 29), (0, 30), (1, 0), (1, 4), (1, 5), (7, 0)];
        let numbers = numbers.map(|(partition, offset)| epochs.of_record(partition, offset).number);
        assert_eq!(numbers, [0, 1, 1, 2, 1, 1, 2, 2]);
        assert_eq!(Epochs::default().of_record(0, 99), Epoch::default());
    }

    #[test]
    fn a_new_topic_keeps_positions_and_a_source_that_went_back_keeps_offsets() {
        let epochs =
            Epochs::new(vec![stored(1, true, false, &[]), stored(2, false, true, &[(0, 8)])]);
        let [first, second, third] = [0, 1, 2].map(|number| epochs.numbered(number));
        assert!(!second.has_topic_of(first) && second.has_source_of(first));
        assert!(third.has_topic_of(second) && !third.has_source_of(second));
        assert!(first.position(900) < third.position(1));
        assert!(first.position(900) > second.position(1));
        assert_eq!(epochs.current(), third);
        assert_eq!((epochs.first_of_topic(third), epochs.first_of_source(third)), (1, 2));
        assert_eq!((epochs.first_of_topic(first), epochs.first_of_source(second)), (0, 0));
    }
}
