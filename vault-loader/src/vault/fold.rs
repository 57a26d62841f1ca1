//! Histories: which events of a key are new versions, and with which load date.
//!
//! In go a key's last version and the next event, out comes [`Verdict`]. Folding any sequence of events in their order per
//! key, in any cut into batches, and with any part delivered again, gives the versions of the original sequence.
//!
//! # What orders the changes of one key
//!
//! The topic does: a partition holds a key's events as the source's transactions committed. Log positions never reorder
//! anything, they only tell which events were folded before, and what they tell depends on the operation:
//!
//! - An **update** or a **delete** takes the row's lock before it writes WAL, so whatever happened to the key before is
//!   committed and lies below: its position is above those of all events of the key before it.
//! - An **insert** writes its row, and with it its position, before the unique check that may have to wait for another
//!   session's delete of the same key. It then commits behind that delete with a smaller position. So its position bounds
//!   nothing, but no other insert of the key has it. What its transaction does to the row afterwards comes behind the check,
//!   and so lies above everything again.
//! - A snapshot **read** has the snapshot's position: transactions that were open then commit behind it with smaller ones.
//!   It says nothing about any change.
//! - A **truncate** has its table to itself: every change of any key with a smaller position was committed before it, and
//!   every other one began behind it; a snapshot locks the table before it reads. So a truncate is ordered against changes
//!   and reads by the positions that their records name, and needs to be: it belongs to no partition.
//!
//! # What was folded before
//!
//! Call the last version V, its place in the topic P, and L, its bound, the greatest position of all events of the key up to V.
//! V's own position is L, but for a late insert: L is then that of the delete before it, which the key's status holds.
//!
//! 1. A record at or before P in the same partition was folded before: only a replay of the topic brings it again.
//! 2. An update or a delete at or below L was folded before, although it stands at a new place: a reader that crashed
//!    publishes again what it had published since its last confirmed position.
//! 3. An insert above the status's L is new. At or below it, it was folded before if and only if the status holds an insert
//!    with its position; every insert makes a version there. All satellites of the table go by that one answer ([`InsertVerdict`]).
//! 4. An update that is published again can also lie above L, when it changed nothing the first time. It came behind V, and
//!    every event of the key behind V had V's content (otherwise it would have made a version), so it makes none again.
//!
//! Hence V and the inserts in the status decide, nothing but versions needs to be stored, and L does not move for an event
//! that changes nothing: were it to move in memory, the stored positions would depend on where a batch ended. A read carries
//! L on. Positions are compared within one incarnation of the source only.

use super::hash::Hash;
use crate::decode::EventPosition;

/// The last version of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyState {
    /// when it was loaded, microseconds since the epoch
    pub load_date_us: i64,
    /// what it holds
    pub hashdiff: Hash,
    /// the greatest log position of the key's streamed events up to this version
    pub streamed_lsn: Option<i64>,
    /// of a status: log position that its record names
    pub record_lsn: Option<i64>,
    /// partition of the record that made it
    pub partition: i32,
    /// offset of that record
    pub offset: i64,
}

/// An insert that a key's status holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredInsert {
    /// the key's bound with it
    pub bound: i64,
    /// partition of its record
    pub partition: i32,
    /// offset of its record
    pub offset: i64,
}

/// What a key's status says about an insert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InsertVerdict {
    /// it was never seen
    First {
        /// the key's bound with it
        bound: i64,
    },
    /// this very record was folded: a satellite made since then may still lack it
    Replayed {
        /// the key's bound with it
        bound: i64,
    },
    /// another record told of it before
    Repeated,
}

/// What an event means for a key's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// the content is the last version's
    NoChange,
    /// a new version
    Version(KeyState),
}

/// Judges an insert by the key's last status and, where that lies at or above it, the status that has its position (rule 3).
#[must_use]
pub fn judge_insert(
    status: Option<&KeyState>,
    position: &EventPosition,
    lsn: i64,
    known: Option<&StoredInsert>,
) -> InsertVerdict {
    match known {
        None => {
            let before = status.and_then(|state| state.streamed_lsn);
            InsertVerdict::First { bound: before.map_or(lsn, |before| before.max(lsn)) }
        }
        Some(known) if (known.partition, known.offset) == (position.partition, position.offset) => {
            InsertVerdict::Replayed { bound: known.bound }
        }
        Some(_) => InsertVerdict::Repeated,
    }
}

/// Whether an event was folded before (rules 1 to 3); `insert` is the judgement of an insert.
#[must_use]
pub fn is_repeat(
    previous: Option<&KeyState>,
    position: &EventPosition,
    insert: Option<InsertVerdict>,
) -> bool {
    let replayed = previous.is_some_and(|state| {
        position.partition == state.partition && position.offset <= state.offset
    });
    let covered =
        |lsn: i64| previous.and_then(|state| state.streamed_lsn).is_some_and(|last| lsn <= last);
    let published_again = match insert {
        Some(InsertVerdict::First { .. }) => false,
        Some(InsertVerdict::Replayed { bound }) => covered(bound),
        Some(InsertVerdict::Repeated) => true,
        None => position.streamed_lsn.is_some_and(covered),
    };
    replayed || published_again
}

/// The position with the key's bound in place of the event's own, where an insert came late.
#[must_use]
pub fn bounded(position: &EventPosition, insert: Option<InsertVerdict>) -> EventPosition {
    match insert {
        Some(InsertVerdict::First { bound } | InsertVerdict::Replayed { bound }) => {
            EventPosition { streamed_lsn: Some(bound), ..*position }
        }
        Some(InsertVerdict::Repeated) | None => *position,
    }
}

/// Whether an event that is no repeat makes a version.
#[must_use]
pub fn verdict(previous: Option<&KeyState>, position: &EventPosition, hashdiff: Hash) -> Verdict {
    match previous {
        Some(state) if state.hashdiff == hashdiff => Verdict::NoChange,
        _ => Verdict::Version(version(previous, position, hashdiff)),
    }
}

/// A version made by this event whatever its content: load dates of a key strictly grow, and its bound never falls.
#[must_use]
pub fn version(previous: Option<&KeyState>, position: &EventPosition, hashdiff: Hash) -> KeyState {
    let after = previous.map_or(i64::MIN, |state| state.load_date_us.saturating_add(1));
    KeyState {
        load_date_us: position.published_us.max(after),
        hashdiff,
        streamed_lsn: position.streamed_lsn.max(previous.and_then(|state| state.streamed_lsn)),
        record_lsn: position.record_lsn,
        partition: position.partition,
        offset: position.offset,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Kind {
        Create,
        Update,
        Delete,
        Read,
    }

    /// An event of one key: its content and, unless a snapshot read it, its position.
    #[derive(Debug, Clone, Copy)]
    struct Event {
        kind: Kind,
        content: u8,
        lsn: Option<i64>,
    }

    const GONE: u8 = 0;
    const THERE: u8 = 1;

    /// One key in a vault with a status satellite and one for its rows, folded as `load::versions` does.
    #[derive(Debug, Default, Clone, PartialEq, Eq)]
    struct Vault {
        inserts: HashMap<i64, StoredInsert>,
        statuses: Vec<KeyState>,
        rows: Vec<KeyState>,
    }

    impl Vault {
        fn load(&mut self, events: &[(i64, Event)]) {
            for &(offset, event) in events {
                let position = position(offset, event.lsn);
                let status = self.statuses.last();
                let inserted = event.lsn.filter(|_| event.kind == Kind::Create);
                let insert = inserted
                    .map(|lsn| judge_insert(status, &position, lsn, self.inserts.get(&lsn)));
                let bounded = bounded(&position, insert);
                if !is_repeat(status, &position, insert) {
                    let content = if event.kind == Kind::Delete { GONE } else { THERE };
                    let made = match verdict(status, &bounded, [content; 32]) {
                        Verdict::NoChange if event.kind != Kind::Create => None,
                        _ => Some(version(status, &bounded, [content; 32])),
                    };
                    self.statuses.extend(made);
                    if let (Some(lsn), Some(InsertVerdict::First { bound })) = (inserted, insert) {
                        self.inserts.insert(lsn, StoredInsert { bound, partition: 0, offset });
                    }
                }
                let row = self.rows.last();
                if event.kind != Kind::Delete
                    && !is_repeat(row, &position, insert)
                    && let Verdict::Version(next) = verdict(row, &bounded, [event.content; 32])
                {
                    self.rows.push(next);
                }
            }
        }

        fn loaded(events: &[(i64, Event)]) -> Self {
            let mut vault = Self::default();
            vault.load(events);
            vault
        }

        fn contents(&self) -> (Vec<u8>, Vec<u8>) {
            let first =
                |states: &[KeyState]| states.iter().map(|state| state.hashdiff[0]).collect();
            (first(&self.statuses), first(&self.rows))
        }
    }

    fn position(offset: i64, streamed_lsn: Option<i64>) -> EventPosition {
        EventPosition {
            published_us: 1000 + offset,
            applied_us: 0,
            streamed_lsn,
            record_lsn: streamed_lsn,
            tx_id: None,
            partition: 0,
            offset,
        }
    }

    fn event(kind: Kind, lsn: i64, content: u8) -> Event {
        Event { kind, content, lsn: Some(lsn) }
    }

    fn numbered(events: impl IntoIterator<Item = Event>) -> Vec<(i64, Event)> {
        (0..).zip(events).collect()
    }

    /// What a step of a generated history does: the content it leaves, what kind it is, and how late an insert is.
    type Step = (u8, u8, Option<u8>);

    fn steps() -> impl Strategy<Value = (Vec<Step>, bool)> {
        let step = (0u8..3, 0u8..4, proptest::option::of(any::<u8>()));
        (proptest::collection::vec(step, 1..14), any::<bool>())
    }

    /// A history as a source makes it: updates and deletes at growing positions, inserts at any position of their own.
    fn history((steps, snapshot): &(Vec<Step>, bool)) -> Vec<Event> {
        let mut open = false;
        let number = |(index, &(content, choice, late)): (i64, &Step)| {
            let lsn = (index + 1) * 100;
            let behind = late.map_or(lsn, |late| lsn * i64::from(late) / 25_600 * 100 + index + 1);
            let was_open = open;
            open = !(was_open && choice == 0);
            match (was_open, choice) {
                (false, _) if index == 0 && *snapshot => {
                    Event { kind: Kind::Read, content, lsn: None }
                }
                (false, _) => event(Kind::Create, behind, content),
                (true, 0) => event(Kind::Delete, lsn, content),
                (true, _) => event(Kind::Update, lsn, content),
            }
        };
        (0..).zip(steps).map(number).collect()
    }

    /// What the vault must hold: a status for each appearance and each end, a row for each other content.
    fn expected(history: &[Event]) -> (Vec<u8>, Vec<u8>) {
        let status = |event: &Event| match event.kind {
            Kind::Create | Kind::Read => Some(THERE),
            Kind::Update => None,
            Kind::Delete => Some(GONE),
        };
        let rows = history.iter().filter(|event| event.kind != Kind::Delete);
        let mut rows: Vec<u8> = rows.map(|event| event.content).collect();
        rows.dedup();
        (history.iter().filter_map(status).collect(), rows)
    }

    /// The history as a reader publishes it that crashes: at each crash it begins again some way back.
    fn published(history: &[Event], crashes: &[(usize, usize)]) -> Vec<(i64, Event)> {
        let mut topic = Vec::new();
        let mut done = 0;
        for &(upto, back) in crashes {
            let upto = upto.clamp(done, history.len());
            topic.extend_from_slice(&history[done..upto]);
            // What a finished snapshot read is never read again.
            let floor = usize::from(history[0].lsn.is_none()).min(upto);
            done = upto.saturating_sub(back).max(floor);
        }
        topic.extend_from_slice(&history[done..]);
        numbered(topic)
    }

    fn crashes() -> impl Strategy<Value = Vec<(usize, usize)>> {
        proptest::collection::vec((0usize..14, 0usize..14), 0..4)
    }

    #[test]
    fn a_value_that_comes_back_is_a_version() {
        let [a, b, again] = [(Kind::Create, 10, 1), (Kind::Update, 20, 2), (Kind::Update, 30, 1)]
            .map(|(kind, lsn, content)| event(kind, lsn, content));
        let vault = Vault::loaded(&numbered([a, b, again]));
        assert_eq!(vault.contents().1, [1, 2, 1]);
    }

    #[test]
    fn an_insert_that_waited_for_a_delete_opens_the_key() {
        let life = [
            event(Kind::Create, 10, 1),
            event(Kind::Update, 30, 1), // changes nothing, and must not seem to once the insert below is there
            event(Kind::Delete, 50, 0),
            event(Kind::Create, 20, 2),
        ];
        let once = Vault::loaded(&numbered(life));
        assert_eq!(once.contents(), (vec![THERE, GONE, THERE], vec![1, 2]));
        let bounds: Vec<_> = once.statuses.iter().map(|state| state.streamed_lsn).collect();
        assert_eq!(bounds, [Some(10), Some(50), Some(50)]);
        assert_eq!(Vault::loaded(&numbered([life, life, life].concat())), once);
    }

    #[test]
    fn load_dates_grow_even_when_the_publisher_s_clock_stands() {
        let at = |offset: i64| EventPosition { published_us: 7, ..position(offset, Some(offset)) };
        let first = version(None, &at(1), [1; 32]);
        let second = version(Some(&first), &at(2), [2; 32]);
        assert_eq!((first.load_date_us, second.load_date_us), (7, 8));
    }

    proptest! {
        /// A reader that crashes publishes again a stretch of what it had published: at new offsets, with old positions.
        #[test]
        fn republished_stretches_add_nothing(steps in steps(), crashes in crashes()) {
            let history = history(&steps);
            let vault = Vault::loaded(&published(&history, &crashes));
            prop_assert_eq!(vault.contents(), expected(&history));
        }

        /// Reading the topic again from the start, any number of times, from any point, adds nothing.
        #[test]
        fn replays_add_nothing(
            steps in steps(),
            crashes in crashes(),
            replays in proptest::collection::vec((0usize..24, 0usize..24), 0..4),
        ) {
            let topic = published(&history(&steps), &crashes);
            let mut vault = Vault::loaded(&topic);
            let before = vault.clone();
            for (from, to) in replays {
                let to = to.min(topic.len());
                vault.load(&topic[from.min(to)..to]);
            }
            prop_assert_eq!(vault, before);
        }

        /// A satellite that was made later is filled by a replay as it would have been from the start.
        #[test]
        fn a_replay_fills_a_new_satellite(steps in steps(), crashes in crashes()) {
            let topic = published(&history(&steps), &crashes);
            let whole = Vault::loaded(&topic);
            let mut grown = Vault { rows: Vec::new(), ..whole.clone() };
            grown.load(&topic);
            prop_assert_eq!(grown, whole);
        }
    }
}
