//! Histories: which events of a key are new versions, and with which load date.
//!
//! In go a key's last version and the next event, out comes [`Verdict`]. Folding any sequence of events in their order per
//! key, in any cut into batches, and with any part delivered again, gives the versions of the original sequence.
//!
//! Why that holds. Call the last version V, with the event's log position L and its place P in the topic.
//!
//! 1. A record at or before P in the same partition was folded before: only a replay of the topic brings it again.
//! 2. A streamed event at or below L was folded before, although it stands at a new place: a reader that crashed publishes
//!    again what it had published since its last confirmed position. Row locks make the positions of one key's changes grow.
//! 3. Such a repeat can also lie above L, when it changed nothing the first time. Every event of the key behind V had V's
//!    content (otherwise it would have made a version), so its content is V's now, and it makes no version again.
//!
//! Hence V alone decides, nothing but versions needs to be stored, and L does not move for an event that changes nothing:
//! were it to move in memory, the stored positions would depend on where a batch ended.
//!
//! A snapshot read has no log position of its own (a transaction open while the snapshot began commits behind it, with
//! smaller positions): rule 2 does not apply to it, and its version carries L on. Positions are compared within one
//! incarnation of the source only.

use super::hash::Hash;
use crate::decode::Position;

/// The last version of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// when it was loaded, microseconds since the epoch
    pub load_date_us: i64,
    /// what it holds
    pub hashdiff: Hash,
    /// log position of the last streamed event that made a version
    pub streamed_lsn: Option<i64>,
    /// partition of the record that made it
    pub partition: i32,
    /// offset of that record
    pub offset: i64,
}

/// What an event means for a key's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// the content is the last version's
    NoChange,
    /// a new version
    Version(State),
}

/// Whether an event was folded before (rules 1 and 2).
#[must_use]
pub fn is_repeat(previous: Option<&State>, position: &Position) -> bool {
    let Some(state) = previous else { return false };
    let replayed = position.partition == state.partition && position.offset <= state.offset;
    let published_again = match (position.streamed_lsn, state.streamed_lsn) {
        (Some(lsn), Some(last)) => lsn <= last,
        _ => false,
    };
    replayed || published_again
}

/// Whether an event that is no repeat makes a version.
#[must_use]
pub fn verdict(previous: Option<&State>, position: &Position, hashdiff: Hash) -> Verdict {
    match previous {
        Some(state) if state.hashdiff == hashdiff => Verdict::NoChange,
        _ => Verdict::Version(version(previous, position, hashdiff)),
    }
}

/// A version made by this event whatever its content: load dates of a key strictly grow.
#[must_use]
pub fn version(previous: Option<&State>, position: &Position, hashdiff: Hash) -> State {
    let after = previous.map_or(i64::MIN, |state| state.load_date_us.saturating_add(1));
    State {
        load_date_us: position.published_us.max(after),
        hashdiff,
        streamed_lsn: position.streamed_lsn.or(previous.and_then(|state| state.streamed_lsn)),
        partition: position.partition,
        offset: position.offset,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An event of one key: its content and, unless a snapshot read it, its position.
    #[derive(Debug, Clone, Copy)]
    struct Event {
        content: u8,
        lsn: Option<i64>,
    }

    fn fold(state: &mut Option<State>, events: &[(i64, Event)], versions: &mut Vec<State>) {
        for &(offset, event) in events {
            let position = Position {
                published_us: 1000 + offset,
                applied_us: 0,
                streamed_lsn: event.lsn,
                tx_id: None,
                partition: 0,
                offset,
            };
            if is_repeat(state.as_ref(), &position) {
                continue;
            }
            if let Verdict::Version(next) = verdict(state.as_ref(), &position, [event.content; 32])
            {
                versions.push(next);
                *state = Some(next);
            }
        }
    }

    fn contents(versions: &[State]) -> Vec<u8> {
        versions.iter().map(|version| version.hashdiff[0]).collect()
    }

    fn history(contents: &[u8], snapshot: bool) -> Vec<Event> {
        let lsn = |index: usize| i64::try_from(index).unwrap() * 10 + 10;
        contents
            .iter()
            .enumerate()
            .map(|(index, &content)| Event {
                content,
                lsn: if snapshot && index == 0 { None } else { Some(lsn(index)) },
            })
            .collect()
    }

    fn deduped(contents: &[u8]) -> Vec<u8> {
        let mut contents = contents.to_vec();
        contents.dedup();
        contents
    }

    #[test]
    fn a_value_that_comes_back_is_a_version() {
        let events: Vec<_> = history(b"ABA", false).into_iter().enumerate().map(numbered).collect();
        let mut versions = Vec::new();
        fold(&mut None, &events, &mut versions);
        assert_eq!(contents(&versions), b"ABA");
    }

    #[test]
    fn load_dates_grow_even_when_the_publisher_s_clock_stands() {
        let at = |offset: i64| Position {
            published_us: 7,
            applied_us: 0,
            streamed_lsn: Some(offset),
            tx_id: None,
            partition: 0,
            offset,
        };
        let first = version(None, &at(1), [1; 32]);
        let second = version(Some(&first), &at(2), [2; 32]);
        assert_eq!((first.load_date_us, second.load_date_us), (7, 8));
    }

    fn numbered((offset, event): (usize, Event)) -> (i64, Event) {
        (i64::try_from(offset).unwrap(), event)
    }

    proptest! {
        /// A reader that crashes publishes again a stretch of what it had published: at new offsets, with old positions.
        #[test]
        fn republished_stretches_add_nothing(
            seed in proptest::collection::vec(0u8..3, 1..12),
            snapshot in any::<bool>(),
            crashes in proptest::collection::vec((0usize..12, 0usize..12), 0..4),
        ) {
            let original = history(&seed, snapshot);
            let mut topic = Vec::new();
            let mut published = 0;
            for (upto, back) in crashes {
                let upto = upto.clamp(published, original.len());
                topic.extend_from_slice(&original[published..upto]);
                // What a finished snapshot read is never read again.
                let floor = usize::from(snapshot).min(upto);
                published = upto.saturating_sub(back).max(floor);
            }
            topic.extend_from_slice(&original[published..]);
            let topic: Vec<_> = topic.into_iter().enumerate().map(numbered).collect();
            let mut versions = Vec::new();
            fold(&mut None, &topic, &mut versions);
            prop_assert_eq!(contents(&versions), deduped(&seed));
        }

        /// Reading the topic again from the start, any number of times, from any point, adds nothing.
        #[test]
        fn replays_add_nothing(
            seed in proptest::collection::vec((0u8..3, any::<bool>()), 1..12),
            replays in proptest::collection::vec((0usize..12, 0usize..12), 0..4),
        ) {
            let topic: Vec<_> = seed.iter().enumerate().map(|(index, &(content, read))| {
                let lsn = i64::try_from(index).unwrap() * 10 + 10;
                numbered((index, Event { content, lsn: (!read).then_some(lsn) }))
            }).collect();
            let (mut state, mut versions) = (None, Vec::new());
            fold(&mut state, &topic, &mut versions);
            let expected = versions.clone();
            for (from, to) in replays {
                let to = to.min(topic.len());
                fold(&mut state, &topic[from.min(to)..to], &mut versions);
            }
            prop_assert_eq!(versions, expected);
        }

        /// State survives between batches only through its last version, so cuts must not matter.
        #[test]
        fn batch_borders_do_not_show(
            seed in proptest::collection::vec((0u8..3, any::<bool>()), 1..12),
            cut in 0usize..12,
        ) {
            let topic: Vec<_> = seed.iter().enumerate().map(|(index, &(content, read))| {
                let lsn = i64::try_from(index).unwrap() * 10 + 10;
                numbered((index, Event { content, lsn: (!read).then_some(lsn) }))
            }).collect();
            let (mut whole, mut parts) = (Vec::new(), Vec::new());
            fold(&mut None, &topic, &mut whole);
            let cut = cut.min(topic.len());
            fold(&mut None, &topic[..cut], &mut parts);
            let mut stored = parts.last().copied();
            fold(&mut stored, &topic[cut..], &mut parts);
            prop_assert_eq!(whole, parts);
        }
    }
}
