//! Partitions that the group has given to nobody.
//!
//! In: the partitions that the model's topics have, and what the group's coordinator says about its members. Out: the
//! partitions for whose sake the group must share out anew. Pure: the caller says what time it is.
//!
//! A consumer with a fixed `group.instance.id` that comes back within the session time-out gets the partitions that it
//! had, and the group does not share out anew. When topics were made meanwhile, their partitions belong to nobody: the
//! consumer that shares out would notice a new topic by a change, and it knew the topic before it joined.

use std::collections::HashSet;
use std::time::{Duration, Instant};

/// How long partitions must have belonged to nobody. A new topic is noticed in the usual way within two seconds, and a
/// rebalance takes as long as the slowest member needs.
const UNOWNED_MIN: Duration = Duration::from_secs(8);

/// How long to wait after a first rebalance that did not help, and after many.
const AGAIN_MIN: Duration = Duration::from_secs(30);
const AGAIN_MAX: Duration = Duration::from_secs(600);

/// A topic and the number of a partition.
pub(super) type Place = (String, i32);

/// The partitions of an assignment, as the classic protocol of consumer groups writes it. None when the bytes are
/// something else.
pub(super) fn assigned_partitions(bytes: &[u8]) -> Option<Vec<Place>> {
    let mut cursor = Cursor(bytes);
    let _version = cursor.i16()?;
    let mut places = Vec::new();
    for _ in 0..cursor.i32()? {
        let length = usize::try_from(cursor.i16()?).ok()?;
        let topic = String::from_utf8(cursor.take(length)?.to_vec()).ok()?;
        for _ in 0..cursor.i32()? {
            places.push((topic.clone(), cursor.i32()?));
        }
    }
    Some(places)
}

struct Cursor<'b>(&'b [u8]);

impl<'b> Cursor<'b> {
    fn take(&mut self, length: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn i16(&mut self) -> Option<i16> {
        self.take(2)?.try_into().ok().map(i16::from_be_bytes)
    }

    fn i32(&mut self) -> Option<i32> {
        self.take(4)?.try_into().ok().map(i32::from_be_bytes)
    }
}

/// Remembers since when partitions have belonged to nobody, and when the group was last asked to share out anew.
#[derive(Debug)]
pub(super) struct Unowned {
    since: Option<Instant>,
    not_before: Option<Instant>,
    pause: Duration,
}

impl Unowned {
    pub(super) fn new() -> Self {
        Self { since: None, not_before: None, pause: AGAIN_MIN }
    }

    /// Looks at a stable group. Returns the partitions that belong to nobody, sorted, when the group must share out
    /// anew for them.
    pub(super) fn look(
        &mut self,
        existing: impl IntoIterator<Item = Place>,
        owned: &HashSet<Place>,
        now: Instant,
    ) -> Option<Vec<Place>> {
        let mut left: Vec<Place> =
            existing.into_iter().filter(|place| !owned.contains(place)).collect();
        if left.is_empty() {
            *self = Self::new();
            return None;
        }
        let since = *self.since.get_or_insert(now);
        let is_early = self.not_before.is_some_and(|at| now < at);
        if is_early || now.saturating_duration_since(since) < UNOWNED_MIN {
            return None;
        }
        self.not_before = Some(now + self.pause);
        self.pause = (self.pause * 2).min(AGAIN_MAX);
        left.sort_unstable();
        Some(left)
    }

    /// The group is not stable: whoever owns what is being decided.
    pub(super) fn wait(&mut self) {
        self.since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn place(topic: &str, partition: i32) -> Place {
        (topic.to_owned(), partition)
    }

    /// Version 1, two topics, and user data behind them.
    const ASSIGNMENT: &[u8] =
        b"\x00\x01\x00\x00\x00\x02\x00\x01a\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x07\
        \x00\x02bc\x00\x00\x00\x00\xff\xff\xff\xff";

    #[test]
    fn an_assignment_is_read_and_no_bytes_make_the_reading_panic() {
        assert_eq!(assigned_partitions(ASSIGNMENT).unwrap(), [place("a", 0), place("a", 7)]);
        assert_eq!(assigned_partitions(&[]), None);
        for end in 0..ASSIGNMENT.len() - 4 {
            assert_eq!(assigned_partitions(&ASSIGNMENT[..end]), None, "{end}");
        }
        assert_eq!(assigned_partitions(&[0xff; 64]), Some(Vec::new()));
    }

    #[test]
    fn partitions_that_stay_with_nobody_are_named_after_a_while_and_not_all_the_time() {
        let (mut unowned, start) = (Unowned::new(), Instant::now());
        let owned = HashSet::from([place("a", 0)]);
        let existing = || [place("b", 1), place("a", 0), place("b", 0)];
        let mut look = |after: u32| unowned.look(existing(), &owned, start + after * SECOND);
        let left = Some(vec![place("b", 0), place("b", 1)]);
        assert_eq!(look(0), None);
        assert_eq!(look(7), None);
        assert_eq!(look(8), left);
        assert_eq!(look(13), None);
        assert_eq!(look(38), left);
        assert_eq!(look(90), None);
        assert_eq!(look(98), left);
    }

    #[test]
    fn a_rebalance_begins_the_wait_anew_and_an_owner_ends_it() {
        let (mut unowned, start) = (Unowned::new(), Instant::now());
        let none = HashSet::new();
        let look = |unowned: &mut Unowned, owned: &HashSet<Place>, after: u32| {
            unowned.look([place("a", 0)], owned, start + after * SECOND)
        };
        assert_eq!(look(&mut unowned, &none, 0), None);
        unowned.wait();
        assert_eq!(look(&mut unowned, &none, 9), None);
        assert!(look(&mut unowned, &none, 17).is_some());
        assert_eq!(look(&mut unowned, &HashSet::from([place("a", 0)]), 20), None);
        assert_eq!(look(&mut unowned, &none, 21), None);
        assert!(look(&mut unowned, &none, 29).is_some());
    }
}
