//! Histories of one key, folded as loading folds them: projection, [`Folding`], and a warehouse that answers from what
//! was written.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::decode::RowChange;
use crate::epoch::{Epochs, StoredEpoch};
use crate::model::{self, Id, TableId};
use crate::vault::projection::Projector;

/// One table with a status satellite, one for its events and one for its rows.
static PLAN: LazyLock<Plan> = LazyLock::new(|| {
    let text = r#"
        format_version = 1
        source = { name = "s", schema = "public", system_id = 1, comment = "a source" }

        [[hub]]
        name = "hub_things"
        comment = "a thing"
        key = [{ name = "id", type = "integer" }]

        [[table]]
        name = "things"
        key = ["id"]
        parent = "hub_things"
        status = "sat_things_status"
        tracking = "sat_things_tracking"
        hubs = [{ hub = "hub_things", columns = ["id"] }]
        columns = { id = "integer", content = "integer" }

        [[table.satellite]]
        name = "sat_things"
        comment = "what it is like"
        columns = ["content"]
    "#;
    Plan::new(model::parse(text).unwrap())
});

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
    content: i64,
    lsn: Option<i64>,
    /// when it was committed
    applied: i64,
    epoch: Epoch,
}

/// Whether a status says that the row is gone.
const GONE: bool = true;
const THERE: bool = false;

/// The position of the snapshot, which is below every change.
const SNAPSHOT: i64 = 0;

fn content_column() -> ColumnId {
    ColumnId::from_index(1)
}

/// What the warehouse holds of one key.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Vault {
    /// status versions: state, operation, whether the row is gone
    statuses: Vec<(KeyState, &'static str, bool)>,
    /// versions of the row: state and content
    rows: Vec<(KeyState, i64)>,
    /// tracked events: state and operation
    events: Vec<(KeyState, &'static str)>,
}

impl Vault {
    /// Loads events as one batch.
    fn load(&mut self, events: &[(i64, Event)]) {
        self.try_load(events).unwrap();
    }

    /// Returns how many candidates were taken for repeats.
    fn try_load(&mut self, events: &[(i64, Event)]) -> Result<u64, FoldError> {
        let mut values = Values::new();
        let changes: Vec<RowChange> =
            events.iter().map(|(offset, event)| event.change(*offset, &mut values)).collect();
        let mut projector = Projector::new(&PLAN, &values);
        for (record, change) in changes.iter().enumerate() {
            projector.add(change, RecordId::from_index(record)).unwrap();
        }
        let projection = projector.finish();
        let mut folding = Folding::new(&PLAN, &values, &projection);
        let status = PLAN.status_of(TableId::from_index(0));
        let others = PLAN.satellites.ids().filter(|id| *id != status);
        for id in [status].into_iter().chain(others) {
            let candidates = &projection.satellites[id];
            let Some(first) = candidates.first() else { continue };
            let mut known = self.known(first.key, &PLAN.satellites[id].kind);
            let versions = folding.fold(&PLAN.satellites[id], candidates, &mut known)?;
            for version in versions {
                match version.body {
                    Body::Status { letter, is_deleted } => {
                        self.statuses.push((version.state, letter, is_deleted));
                    }
                    Body::Event { letter } => self.events.push((version.state, letter)),
                    Body::Row { values: row } => {
                        let Value::Int(content) = values[row + content_column()] else {
                            panic!("{version:?}")
                        };
                        self.rows.push((version.state, content));
                    }
                    Body::Link(_) => panic!("the model has no link: {version:?}"),
                }
            }
        }
        Ok(folding.repeat_count)
    }

    /// Whether both satellites know a position of the key.
    fn has_bound(&self) -> bool {
        let of_status = self.statuses.last().and_then(|(state, _, _)| state.streamed_lsn);
        let of_row = self.rows.last().and_then(|(state, _)| state.streamed_lsn);
        of_status.is_some() && of_row.is_some()
    }

    /// What loading reads of a satellite before it folds.
    fn known(&self, key: Hash, kind: &SatelliteKind) -> KnownKeys<'static> {
        let mut known = KnownKeys::default();
        let last = match kind {
            SatelliteKind::Status => self.statuses.last().map(|(state, _, _)| *state),
            SatelliteKind::Tracking => self.events.last().map(|(state, _)| *state),
            _ => self.rows.last().map(|(state, _)| *state),
        };
        known.states.extend(last.map(|state| (key, state)));
        if *kind != SatelliteKind::Status {
            return known;
        }
        for (state, letter, _) in &self.statuses {
            let Some(lsn) = state.record_lsn.filter(|_| *letter == "c") else { continue };
            if last.is_some_and(|last| last.streamed_lsn >= Some(lsn)) {
                let held = StoredInsert {
                    bound: state.streamed_lsn.unwrap(),
                    partition: state.partition,
                    offset: state.offset,
                };
                known.inserts.entry((key, state.epoch.position(lsn))).or_insert(held);
            }
        }
        known
    }

    fn loaded(events: &[(i64, Event)]) -> Self {
        let mut vault = Self::default();
        vault.load(events);
        vault
    }

    fn contents(&self) -> (Vec<bool>, Vec<i64>) {
        let statuses = self.statuses.iter().map(|(_, _, is_deleted)| *is_deleted).collect();
        (statuses, self.rows.iter().map(|(_, content)| *content).collect())
    }

    /// The operations of the tracked events.
    fn tracked(&self) -> Vec<&'static str> {
        self.events.iter().map(|(_, letter)| *letter).collect()
    }

    /// Whether each tracked event has a hashdiff of its own.
    fn has_distinct_events(&self) -> bool {
        let hashdiffs: HashMap<Hash, ()> =
            self.events.iter().map(|(state, _)| (state.hashdiff, ())).collect();
        hashdiffs.len() == self.events.len()
    }
}

impl Event {
    /// The decoded change; its row's values are appended.
    fn change(self, offset: i64, values: &mut Values<'_>) -> RowChange {
        let op = match self.kind {
            Kind::Create => RowOp::Create,
            Kind::Update => RowOp::Update,
            Kind::Delete => RowOp::Delete,
            Kind::Read => RowOp::Read,
        };
        let row = values.push(Value::Int(1));
        let gone = self.kind == Kind::Delete;
        values.push(if gone { Value::Absent } else { Value::Int(self.content) });
        let position = EventPosition {
            published_us: 1000 + offset,
            applied_us: self.applied,
            streamed_lsn: self.lsn,
            record_lsn: self.lsn.or(Some(SNAPSHOT)),
            tx_id: None,
            epoch: self.epoch,
            partition: 0,
            offset,
        };
        RowChange { table: TableId::from_index(0), op, position, values: row, moved_from: None }
    }
}

fn event(kind: Kind, lsn: i64, content: i64) -> Event {
    Event { kind, content, lsn: Some(lsn), applied: 0, epoch: Epoch::default() }
}

fn read(content: i64) -> Event {
    Event { kind: Kind::Read, content, lsn: None, applied: 0, epoch: Epoch::default() }
}

/// The same events some time later, in another epoch.
fn later(history: &[Event], epoch: Epoch) -> Vec<Event> {
    let later = |event: &Event| Event { applied: event.applied + 1_000, epoch, ..*event };
    history.iter().map(later).collect()
}

/// The epoch after a source that went back, or after a topic that was made again.
fn next_epoch(is_new_topic: bool) -> Epoch {
    let starts = std::collections::HashMap::new();
    let stored = StoredEpoch { number: 1, is_new_topic, is_source_back: !is_new_topic, starts };
    Epochs::new(vec![stored]).current()
}

fn numbered(events: impl IntoIterator<Item = Event>) -> Vec<(i64, Event)> {
    (0..).zip(events).collect()
}

/// What a step of a generated history does: the content it leaves, what kind it is, and how late an insert is.
type Step = (i64, u8, Option<u8>);

fn steps() -> impl Strategy<Value = (Vec<Step>, bool)> {
    let step = (0i64..3, 0u8..4, proptest::option::of(any::<u8>()));
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
            (false, _) if index == 0 && *snapshot => read(content),
            (false, _) => event(Kind::Create, behind, content),
            (true, 0) => event(Kind::Delete, lsn, content),
            (true, _) => event(Kind::Update, lsn, content),
        }
    };
    let in_time = |(index, event): (i64, Event)| Event { applied: index, ..event };
    (0..).zip((0..).zip(steps).map(number)).map(in_time).collect()
}

/// What the vault must hold: a status for each appearance and each end, a row for each other content.
fn expected(history: &[Event]) -> (Vec<bool>, Vec<i64>) {
    let status = |event: &Event| match event.kind {
        Kind::Create | Kind::Read => Some(THERE),
        Kind::Update => None,
        Kind::Delete => Some(GONE),
    };
    let rows = history.iter().filter(|event| event.kind != Kind::Delete);
    let mut rows: Vec<i64> = rows.map(|event| event.content).collect();
    rows.dedup();
    (history.iter().filter_map(status).collect(), rows)
}

/// What a record-tracking satellite must hold: each event once.
fn letters(history: &[Event]) -> Vec<&'static str> {
    let letter = |event: &Event| match event.kind {
        Kind::Create => "c",
        Kind::Read => "r",
        Kind::Update => "u",
        Kind::Delete => "d",
    };
    history.iter().map(letter).collect()
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
    assert_eq!(once.tracked(), ["c", "u", "d", "c"]);
    let bounds: Vec<_> = once.statuses.iter().map(|(state, _, _)| state.streamed_lsn).collect();
    assert_eq!(bounds, [Some(10), Some(50), Some(50)]);
    assert_eq!(Vault::loaded(&numbered([life, life, life].concat())), once);
}

/// A truncate closed the key before the second insert, and is still on its way in another partition.
#[test]
fn an_insert_of_an_open_key_has_a_status_of_its_own() {
    let inserts = [event(Kind::Create, 10, 1), event(Kind::Create, 30, 1)];
    let once = Vault::loaded(&numbered(inserts));
    assert_eq!(once.contents(), (vec![THERE, THERE], vec![1]));
    assert_eq!(Vault::loaded(&numbered([inserts, inserts].concat())), once);
}

/// A truncate came first from another partition. What happened before it comes late, and is no contradiction.
#[test]
fn a_late_update_before_a_known_truncate_contradicts_nothing() {
    let truncation = Truncation {
        epoch: Epoch::default(),
        lsn: 100,
        load_date_us: 2_000,
        applied_us: 9,
        place: None,
    };
    let before = |applied_us: i64| EventPosition {
        record_lsn: Some(60),
        streamed_lsn: Some(60),
        applied_us,
        ..EventPosition::default()
    };
    assert!(is_before_truncate(&before(6), &[truncation]));
    assert!(!is_before_truncate(&before(10), &[truncation]), "a later life of the source");
    assert!(!is_before_truncate(&before(6), &[]));
}

proptest! {
    /// A reader that crashes publishes again a stretch of what it had published: at new offsets, with old positions.
    #[test]
    fn republished_stretches_add_nothing(steps in steps(), crashes in crashes()) {
        let history = history(&steps);
        let vault = Vault::loaded(&published(&history, &crashes));
        prop_assert_eq!(vault.contents(), expected(&history));
        prop_assert_eq!(vault.tracked(), letters(&history));
        prop_assert!(vault.has_distinct_events());
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

    /// Where one batch ends and the next begins does not show.
    #[test]
    fn batches_do_not_show(
        steps in steps(),
        crashes in crashes(),
        cuts in proptest::collection::vec(0usize..24, 0..4),
    ) {
        let topic = published(&history(&steps), &crashes);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(topic.len())).collect();
        cuts.extend([0, topic.len()]);
        cuts.sort_unstable();
        let mut vault = Vault::default();
        for cut in cuts.windows(2) {
            vault.load(&topic[cut[0]..cut[1]]);
        }
        prop_assert_eq!(vault, Vault::loaded(&topic));
    }

    /// A source that was restored lives a second life at the positions of the first. In an epoch of its own all of it is
    /// loaded, whatever it has in common with the first, and a replay of both adds nothing.
    #[test]
    fn a_second_life_of_the_source_is_loaded_in_its_own_epoch(
        first in steps(),
        second in steps(),
        crashes in crashes(),
    ) {
        let first = history(&(first.0, false));
        // The second life begins with the snapshot that an operator takes.
        let second = history(&(second.0, true));
        let ends_open = expected(&first).0.last() == Some(&THERE);
        let topic = numbered([first.clone(), later(&second, next_epoch(false))].concat());
        let mut vault = Vault::loaded(&topic);
        let (statuses, rows) = expected(&second);
        let contents = vault.contents();
        prop_assert!(contents.0.ends_with(&statuses[usize::from(ends_open)..]), "{contents:?}");
        let of_first = expected(&first).1;
        prop_assert_eq!(contents.1.last(), rows.last().or(of_first.last()));
        prop_assert_eq!(vault.tracked(), [letters(&first), letters(&second)].concat());
        prop_assert!(vault.has_distinct_events());
        let before = vault.clone();
        vault.load(&topic);
        prop_assert_eq!(&vault, &before);
        // The reader of the second life crashes too.
        let mut again = Vault::loaded(&numbered(first.clone()));
        let offset = i64::try_from(first.len()).unwrap();
        let published = published(&later(&second, next_epoch(false)), &crashes);
        again.load(&published.into_iter().map(|(place, event)| (place + offset, event)).collect::<Vec<_>>());
        prop_assert_eq!(again.contents(), before.contents());
        prop_assert_eq!(again.tracked(), before.tracked());
    }

    /// Without an epoch of its own, a change of the second life is loaded or named, and never taken for a repeat.
    #[test]
    fn a_second_life_of_the_source_is_never_taken_for_the_first(steps in steps()) {
        let first = history(&steps);
        let vault = Vault::loaded(&numbered(first.clone()));
        let offset = i64::try_from(first.len()).unwrap();
        // A late insert is recognised by its position alone, so a second insert at that very position is not seen.
        let is_change = |event: &&Event| matches!(event.kind, Kind::Update | Kind::Delete | Kind::Read);
        for event in later(&first, Epoch::default()).iter().filter(is_change) {
            let repeats = vault.clone().try_load(&[(offset, *event)]);
            prop_assert!(matches!(repeats, Err(FoldError::Contradiction { .. }) | Ok(0)), "{:?}", event);
            // A topic that was made again has the second life at the places of the first.
            let moved = Event { lsn: event.lsn.map(|lsn| lsn + 100_000), ..*event };
            let repeats = vault.clone().try_load(&[(0, moved)]);
            let is_named = matches!(repeats, Err(FoldError::Contradiction { .. }) | Ok(0));
            prop_assert!(moved.lsn.is_none() || !vault.has_bound() || is_named, "{:?}", moved);
        }
    }

    /// A topic that was made again holds the same events at other places. Nothing of them is loaded twice.
    #[test]
    fn a_topic_that_was_made_again_adds_nothing(steps in steps(), skipped in 0usize..9) {
        let history = history(&steps);
        let mut vault = Vault::loaded(&numbered(history.clone()));
        let before = vault.clone();
        let again: Vec<Event> = history
            .iter()
            .skip(skipped)
            .map(|event| Event { epoch: next_epoch(true), ..*event })
            .collect();
        // A key that only a snapshot read has no position by which the read could be recognised.
        let is_known = history.iter().any(|event| event.lsn.is_some()) || again.is_empty();
        vault.load(&numbered(again));
        prop_assert!(!is_known || vault == before, "{:?} {:?}", vault, before);
    }

    /// A satellite that was made later is filled by a replay as it would have been from the start.
    #[test]
    fn a_replay_fills_a_new_satellite(steps in steps(), crashes in crashes()) {
        let topic = published(&history(&steps), &crashes);
        let whole = Vault::loaded(&topic);
        let mut grown = Vault { rows: Vec::new(), events: Vec::new(), ..whole.clone() };
        grown.load(&topic);
        prop_assert_eq!(grown, whole);
    }
}
