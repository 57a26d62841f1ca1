//! Where a session begins. Pure.
//!
//! In: the stored offset, the server with its slot and its history, and the settings. Out: where to begin, or why the
//! session must not begin. When changes are gone, or were published and are not in the source's history any more, an
//! operator has to decide.

use shared::position::Lsn;

use super::server::Server;
use crate::catalog::Slot;
use crate::connector::{Settings, SnapshotMode};
use crate::error::SessionError;
use crate::gap::Gap;
use crate::publish::{Resume, StoredOffset, Transaction};
use crate::setup_problem::SetupProblem;

/// Where a session begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// Stream.
    Resume(ResumeAt),
    /// Make the slot, send the rows that exist, then stream.
    FirstSnapshot,
    /// The slot exists and no snapshot was finished, because an earlier start was interrupted. The slot was confirmed
    /// up to this position.
    SnapshotAgain(Lsn),
    /// Send the rows that exist. No slot stays behind, because nobody would read from it.
    OnlySnapshot,
    /// Make the slot and stream.
    FromNow,
    /// Only a snapshot was asked for, and it was taken before.
    Done,
}

/// Where a stream goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ResumeAt {
    /// Where the server begins to send.
    pub(super) from: Lsn,
    /// Everything that committed before has been published.
    pub(super) until: Lsn,
    /// The last transaction of it, if it is known.
    pub(super) transaction: Option<Transaction>,
    /// The offset's `lsn_commit`.
    pub(super) last_commit: Option<Lsn>,
}

/// What a start finds in Kafka and on the source.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found<'f> {
    /// The topic that `offset` was read from.
    pub(super) offset_topic: &'f str,
    /// The stored offset: up to where everything has been published.
    pub(super) offset: StoredOffset,
    /// The commit of the last transaction of which this process has sent something.
    pub(super) reached: Lsn,
    /// The server.
    pub(super) server: &'f Server,
}

/// Decides where to begin.
///
/// # Errors
/// [`SessionError::Gap`] when an operator has to decide, [`SessionError::Setup`] when the slot is not the connector's.
pub(super) fn decide(settings: &Settings, found: &Found<'_>) -> Result<Start, SessionError> {
    let gap = |gap| SessionError::gap(&settings.slot_name, gap);
    let until = match &found.offset {
        StoredOffset::Resume(stored) => {
            check_cluster(stored, found).map_err(gap)?;
            check_history(stored, found.reached, found.server).map_err(gap)?
        }
        StoredOffset::None => Lsn::INVALID,
    };
    let only_snapshot = settings.snapshot_mode == SnapshotMode::InitialOnly;
    // Nothing is read from a slot any more, so none has to be there.
    if only_snapshot && let StoredOffset::Resume(stored) = &found.offset {
        check_end(stored, until, found).map_err(gap)?;
        return Ok(Start::Done);
    }
    let slot = found.server.slot.as_ref();
    if let Some(reason) = slot.and_then(Slot::lost) {
        return Err(gap(Gap::Invalidated { reason }));
    }
    if let Some(slot) = slot {
        slot_problem(settings, slot)
            .map_or(Ok(()), |problem| Err(SessionError::Setup(vec![problem])))?;
    }
    let takes_snapshot = settings.snapshot_mode != SnapshotMode::NoData;
    match (&found.offset, slot) {
        (StoredOffset::Resume(stored), None) => {
            let topic = found.offset_topic.to_owned();
            Err(gap(Gap::Missing { topic, offset: stored.position }))
        }
        (StoredOffset::Resume(stored), Some(slot)) => {
            Ok(Start::Resume(resume_at(stored, until, slot, found).map_err(gap)?))
        }
        (StoredOffset::None, None) if only_snapshot => Ok(Start::OnlySnapshot),
        (StoredOffset::None, None) if takes_snapshot => Ok(Start::FirstSnapshot),
        (StoredOffset::None, None) => Ok(Start::FromNow),
        (StoredOffset::None, Some(slot)) => {
            let confirmed = slot.confirmed_flush.unwrap_or_default();
            Ok(if takes_snapshot {
                Start::SnapshotAgain(confirmed)
            } else {
                let at = ResumeAt {
                    from: confirmed,
                    until: confirmed,
                    transaction: None,
                    last_commit: None,
                };
                Start::Resume(at)
            })
        }
    }
}

/// Checks that the offset was published from the server's cluster. An offset that Debezium wrote does not say.
fn check_cluster(stored: &Resume, found: &Found<'_>) -> Result<(), Gap> {
    let Some(history) = stored.history else { return Ok(()) };
    let (stored, found_source) = (history.source, found.server.identity);
    if stored.system == found_source.system {
        return Ok(());
    }
    let topic = found.offset_topic.to_owned();
    Err(Gap::OtherCluster { topic, stored, found: found_source })
}

/// Up to where the server's history and the published one are the same, at most up to the stored offset.
///
/// WAL without published changes may be missing on a server that was promoted. Then the stream goes on where the server
/// was promoted.
///
/// # Errors
/// When something was published that is not in the server's history.
pub(super) fn check_history(stored: &Resume, reached: Lsn, server: &Server) -> Result<Lsn, Gap> {
    let Some(history) = stored.history else { return Ok(stored.position) };
    let (source, found) = (history.source, server.identity);
    if source.timeline == found.timeline {
        return Ok(stored.position);
    }
    let published = stored.published();
    let reached = reached.max(stored.sent_until.unwrap_or_default());
    let furthest = published.max(reached);
    let Some(switch) = server.history.end_of(source.timeline) else {
        return Err(Gap::OtherTimeline { stored: source, found, reached: furthest });
    };
    // A commit record that begins at the switch is not in the server's history.
    if published > switch || reached >= switch && reached != Lsn::INVALID {
        return Err(Gap::LostWal { stored: source, found, switch, reached: furthest });
    }
    Ok(stored.position.min(switch))
}

/// Checks that the server's WAL has come as far as what was published.
fn check_end(stored: &Resume, until: Lsn, found: &Found<'_>) -> Result<(), Gap> {
    let (topic, wal_end) = (found.offset_topic.to_owned(), found.server.wal_end);
    if until <= wal_end {
        return Ok(());
    }
    Err(Gap::BehindOffset { topic, offset: stored.position, wal_end })
}

/// Where the stream goes on, when everything before `until` has been published and is in the server's history.
///
/// The server sends again what the slot has not confirmed. That is how the stream can check that the server still has
/// the transactions that were published.
fn resume_at(stored: &Resume, until: Lsn, slot: &Slot, found: &Found<'_>) -> Result<ResumeAt, Gap> {
    check_end(stored, until, found)?;
    let (topic, offset) = (|| found.offset_topic.to_owned(), stored.position);
    let confirmed = slot.confirmed_flush.unwrap_or(until);
    let moved = |slot_begin| Gap::Moved { topic: topic(), offset, slot_begin };
    match (stored.history, slot.restart_lsn) {
        // This reader confirms only what its offset says.
        (Some(_), _) if confirmed > until => return Err(moved(confirmed)),
        // Debezium may confirm the end of WAL without changes. It refuses an offset before the slot's oldest WAL.
        (None, Some(restart)) if restart > until => return Err(moved(restart)),
        _ => {}
    }
    Ok(ResumeAt {
        from: confirmed,
        until: until.max(confirmed),
        transaction: stored.history.and_then(|history| history.transaction),
        last_commit: stored.last_commit,
    })
}

/// Why a slot that has the connector's slot name is not the connector's: it belongs to another plugin or database.
pub(crate) fn slot_problem(settings: &Settings, slot: &Slot) -> Option<SetupProblem> {
    let name = || settings.slot_name.clone();
    match (&slot.plugin, &slot.database) {
        (Some(_), _) if slot.two_phase => Some(SetupProblem::TwoPhaseSlot { slot: name() }),
        (None, _) => Some(SetupProblem::PhysicalSlot { slot: name() }),
        (Some(plugin), _) if plugin != "pgoutput" => {
            Some(SetupProblem::SlotOfOtherPlugin { slot: name(), plugin: plugin.clone() })
        }
        (_, Some(database)) if *database != settings.database.database => {
            Some(SetupProblem::SlotOfOtherDatabase {
                slot: name(),
                database: database.clone(),
                captured: settings.database.database.clone(),
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use SnapshotMode::{Initial, InitialOnly, NoData};

    use super::super::example;
    use super::*;
    use crate::publish::History;
    use crate::replication::{SourceIdentity, SystemIdentifier, TimelineHistory};

    fn settings(mode: SnapshotMode) -> Settings {
        Settings { snapshot_mode: mode, ..example::settings() }
    }

    fn slot(confirmed: u64) -> Option<Slot> {
        Some(example::slot(Some(confirmed)))
    }

    fn start(
        mode: SnapshotMode,
        offset: StoredOffset,
        server: &Server,
    ) -> Result<Start, SessionError> {
        let found = Found { offset_topic: "offsets", offset, reached: Lsn::INVALID, server };
        decide(&settings(mode), &found)
    }

    #[track_caller]
    fn check(mode: SnapshotMode, offset: StoredOffset, server: &Server, expected: Start) {
        assert_eq!(start(mode, offset, server).unwrap(), expected, "{mode:?} {offset:?}");
    }

    #[track_caller]
    fn check_gap(offset: StoredOffset, server: &Server, expected: &Gap) {
        for mode in [Initial, NoData] {
            match start(mode, offset, server) {
                Err(SessionError::Gap { slot, gap }) => {
                    assert_eq!((slot.as_str(), &gap), ("inventory", expected), "{mode:?}");
                }
                other => panic!("{mode:?}: {other:?}"),
            }
        }
    }

    fn transaction(end: u64) -> Transaction {
        Transaction { end_lsn: Lsn(end), xid: 7, commit_ts_us: 5 }
    }

    fn resume(lsn: u64, history: Option<History>) -> StoredOffset {
        let position = Lsn(lsn);
        let last_commit = Some(position);
        StoredOffset::Resume(Resume { position, last_commit, sent_until: None, history })
    }

    /// An offset of Debezium's.
    fn debeziums(lsn: u64) -> StoredOffset {
        resume(lsn, None)
    }

    /// An offset of ours on timeline 1, after a transaction that ended at 75.
    fn ours(lsn: u64) -> StoredOffset {
        let source = example::identity(1);
        resume(lsn, Some(History { source, transaction: Some(transaction(75)) }))
    }

    fn at(from: u64, until: u64, transaction: Option<Transaction>, last_commit: u64) -> Start {
        let last_commit = Some(Lsn(last_commit));
        Start::Resume(ResumeAt { from: Lsn(from), until: Lsn(until), transaction, last_commit })
    }

    #[test]
    fn a_first_start_takes_a_snapshot_unless_none_is_wanted() {
        let server = example::server(1, None);
        check(Initial, StoredOffset::None, &server, Start::FirstSnapshot);
        check(InitialOnly, StoredOffset::None, &server, Start::OnlySnapshot);
        check(NoData, StoredOffset::None, &server, Start::FromNow);
    }

    #[test]
    fn a_slot_without_an_offset_is_an_interrupted_start() {
        let server = example::server(1, slot(70));
        check(Initial, StoredOffset::None, &server, Start::SnapshotAgain(Lsn(70)));
        check(InitialOnly, StoredOffset::None, &server, Start::SnapshotAgain(Lsn(70)));
        let (from, until) = (Lsn(70), Lsn(70));
        let at = ResumeAt { from, until, transaction: None, last_commit: None };
        check(NoData, StoredOffset::None, &server, Start::Resume(at));
    }

    #[test]
    fn a_stream_begins_at_the_slot_and_goes_on_at_the_offset() {
        for mode in [Initial, NoData] {
            let last = Some(transaction(75));
            check(mode, ours(80), &example::server(1, slot(70)), at(70, 80, last, 80));
            check(mode, ours(80), &example::server(1, slot(80)), at(80, 80, last, 80));
            let none_confirmed = example::server(1, Some(example::slot(None)));
            check(mode, ours(80), &none_confirmed, at(80, 80, last, 80));
        }
    }

    #[test]
    fn debezium_may_confirm_more_than_its_offset_says() {
        check(Initial, debeziums(80), &example::server(1, slot(70)), at(70, 80, None, 80));
        check(Initial, debeziums(80), &example::server(1, slot(90)), at(90, 90, None, 80));
    }

    #[test]
    fn a_slot_that_somebody_moved_is_a_gap() {
        let slot_begin = Lsn(81);
        let moved =
            |slot_begin| Gap::Moved { topic: "offsets".to_owned(), offset: Lsn(80), slot_begin };
        check_gap(ours(80), &example::server(1, slot(81)), &moved(slot_begin));
        let made_again = Slot { restart_lsn: Some(Lsn(85)), ..example::slot(Some(90)) };
        let server = example::server(1, Some(made_again));
        check_gap(debeziums(80), &server, &moved(Lsn(85)));
        check_gap(ours(80), &server, &moved(Lsn(90)));
    }

    #[test]
    fn after_the_only_snapshot_there_is_nothing_to_do() {
        check(InitialOnly, ours(80), &example::server(1, slot(70)), Start::Done);
        check(InitialOnly, ours(80), &example::server(1, None), Start::Done);
        let lost = Slot { wal_status: Some("lost".to_owned()), ..example::slot(Some(70)) };
        check(InitialOnly, ours(80), &example::server(1, Some(lost)), Start::Done);
        // But the snapshot was not taken of a server whose WAL has not come so far.
        for slot in [None, slot(70)] {
            let error = start(InitialOnly, ours(1_001), &example::server(1, slot));
            let is_behind =
                matches!(&error, Err(SessionError::Gap { gap: Gap::BehindOffset { .. }, .. }));
            assert!(is_behind, "{error:?}");
        }
    }

    #[test]
    fn an_offset_without_its_slot_is_a_gap() {
        let gap = Gap::Missing { topic: "offsets".to_owned(), offset: Lsn(80) };
        check_gap(ours(80), &example::server(1, None), &gap);
        check_gap(debeziums(80), &example::server(1, None), &gap);
    }

    #[test]
    fn an_offset_beyond_the_servers_wal_is_a_gap_and_one_at_its_end_is_not() {
        let (topic, server) = ("offsets".to_owned(), example::server(1, slot(70)));
        let gap = Gap::BehindOffset { topic, offset: Lsn(1_001), wal_end: server.wal_end };
        check_gap(ours(1_001), &server, &gap);
        check(Initial, ours(1_000), &server, at(70, 1_000, Some(transaction(75)), 1_000));
    }

    #[test]
    fn another_cluster_is_a_gap_whatever_slot_it_has() {
        let identity = SourceIdentity { system: SystemIdentifier(8), ..example::identity(1) };
        for slot in [None, slot(80)] {
            let server = Server { identity, ..example::server(1, slot) };
            let topic = "offsets".to_owned();
            let gap = Gap::OtherCluster { topic, stored: example::identity(1), found: identity };
            check_gap(ours(80), &server, &gap);
        }
    }

    fn promoted(timeline: u32, ended: &[(u32, u64)], confirmed: u64) -> Server {
        let history = TimelineHistory::of(ended);
        Server { history, ..example::server(timeline, slot(confirmed)) }
    }

    #[test]
    fn a_promoted_server_that_has_everything_is_followed() {
        let last = Some(transaction(75));
        check(Initial, ours(80), &promoted(2, &[(1, 80)], 70), at(70, 80, last, 80));
        check(Initial, ours(80), &promoted(3, &[(1, 200), (2, 300)], 80), at(80, 80, last, 80));
    }

    #[test]
    fn a_promoted_server_may_lack_wal_without_published_changes() {
        let last = Some(transaction(75));
        check(Initial, ours(80), &promoted(2, &[(1, 75)], 70), at(70, 75, last, 80));
        // Its slot begins later than its timeline.
        let gap = Gap::Moved { topic: "offsets".to_owned(), offset: Lsn(80), slot_begin: Lsn(78) };
        check_gap(ours(80), &promoted(2, &[(1, 75)], 78), &gap);
    }

    #[test]
    fn a_promoted_server_that_lacks_a_published_transaction_is_a_gap() {
        let (stored, found) = (example::identity(1), example::identity(2));
        let (switch, reached) = (Lsn(74), Lsn(75));
        let gap = Gap::LostWal { stored, found, switch, reached };
        check_gap(ours(80), &promoted(2, &[(1, 74)], 70), &gap);
    }

    #[test]
    fn what_was_sent_counts_also_when_no_offset_says_so_yet() {
        let server = promoted(2, &[(1, 90)], 70);
        let offset = ours(80);
        let StoredOffset::Resume(stored) = &offset else { panic!("{offset:?}") };
        assert_eq!(check_history(stored, Lsn(89), &server), Ok(Lsn(80)));
        let (source, found) = (example::identity(1), example::identity(2));
        for reached in [Lsn(90), Lsn(95)] {
            let gap = Gap::LostWal { stored: source, found, switch: Lsn(90), reached };
            assert_eq!(check_history(stored, reached, &server), Err(gap.clone()));
            // A later process knows it from the offset.
            let stored = Resume { sent_until: Some(reached), ..*stored };
            assert_eq!(check_history(&stored, Lsn::INVALID, &server), Err(gap));
        }
    }

    #[test]
    fn a_timeline_that_grew_out_of_another_one_is_a_gap() {
        let (stored, found, reached) = (example::identity(1), example::identity(3), Lsn(75));
        let gap = Gap::OtherTimeline { stored, found, reached };
        check_gap(ours(80), &promoted(3, &[(2, 300)], 70), &gap);
        // An older server came back.
        let source = example::identity(2);
        let offset = resume(80, Some(History { source, transaction: None }));
        let (found, reached) = (example::identity(1), Lsn(80));
        let gap = Gap::OtherTimeline { stored: source, found, reached };
        check_gap(offset, &example::server(1, slot(70)), &gap);
    }

    #[test]
    fn a_slot_that_the_server_gave_up_is_a_gap_whatever_is_stored() {
        let removed = Slot { wal_status: Some("lost".to_owned()), ..example::slot(Some(70)) };
        let named =
            Slot { invalidation: Some("rows_removed".to_owned()), ..example::slot(Some(70)) };
        for (slot, word) in [(removed, "wal_removed"), (named, "rows_removed")] {
            let server = example::server(1, Some(slot));
            let gap = Gap::Invalidated { reason: word.to_owned() };
            check_gap(StoredOffset::None, &server, &gap);
            check_gap(ours(80), &server, &gap);
        }
    }

    #[test]
    fn a_slot_that_belongs_to_somebody_else_is_refused() {
        let physical = Slot { plugin: None, ..example::slot(None) };
        let plugin = Slot { plugin: Some("wal2json".to_owned()), ..example::slot(Some(70)) };
        let database = Slot { database: Some("sales".to_owned()), ..example::slot(Some(70)) };
        let two_phase = Slot { two_phase: true, ..example::slot(Some(70)) };
        let name = || "inventory".to_owned();
        for (slot, expected) in [
            (physical, SetupProblem::PhysicalSlot { slot: name() }),
            (two_phase, SetupProblem::TwoPhaseSlot { slot: name() }),
            (plugin, SetupProblem::SlotOfOtherPlugin { slot: name(), plugin: "wal2json".into() }),
            (
                database,
                SetupProblem::SlotOfOtherDatabase {
                    slot: name(),
                    database: "sales".into(),
                    captured: name(),
                },
            ),
        ] {
            let server = example::server(1, Some(slot));
            for offset in [StoredOffset::None, ours(80)] {
                match start(Initial, offset, &server) {
                    Err(SessionError::Setup(problems)) => {
                        assert_eq!(problems, std::slice::from_ref(&expected));
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}
