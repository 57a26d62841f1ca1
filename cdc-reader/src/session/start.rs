//! Where a session begins. Pure.
//!
//! In: the stored offset, the slot, the end of the server's WAL and the settings. Out: where to begin, or why the
//! session must not begin. When changes are gone, an operator has to decide.

use shared::position::Lsn;

use crate::catalog::Slot;
use crate::connector::{Settings, SnapshotMode};
use crate::error::{LostSlot, SessionError};
use crate::publish::StoredOffset;
use crate::setup_problem::SetupProblem;

/// Where a session begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// Stream from here.
    Resume(Lsn),
    /// Make the slot, send the rows that exist, then stream.
    FirstSnapshot,
    /// The slot exists and no snapshot was finished, because an earlier start was interrupted. The slot was confirmed
    /// up to this position.
    SnapshotAgain(Lsn),
    /// Make the slot and stream.
    FromNow,
    /// Only a snapshot was asked for, and it was taken before.
    Done,
}

/// What a start finds in Kafka and on the source.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found<'f> {
    /// The topic that `offset` was read from.
    pub(super) offset_topic: &'f str,
    /// The stored offset: up to where everything has been published.
    pub(super) offset: StoredOffset,
    /// The connector's slot, if it exists.
    pub(super) slot: Option<&'f Slot>,
    /// The end of the server's WAL.
    pub(super) wal_end: Lsn,
}

/// Decides where to begin.
///
/// # Errors
/// [`SessionError::SlotLost`] when changes are gone, [`SessionError::Setup`] when the slot is not the connector's.
pub(super) fn decide(settings: &Settings, found: &Found<'_>) -> Result<Start, SessionError> {
    let lost = |reason| SessionError::SlotLost { slot: settings.slot_name.clone(), reason };
    if let Some(reason) = found.slot.and_then(Slot::lost) {
        return Err(lost(LostSlot::Invalidated { reason }));
    }
    if let Some(slot) = found.slot {
        check_slot(settings, slot)?;
    }
    let topic = || found.offset_topic.to_owned();
    let takes_snapshot = settings.snapshot_mode != SnapshotMode::NoData;
    match (found.offset, found.slot) {
        (StoredOffset::Resume { position: offset, .. }, None) => {
            Err(lost(LostSlot::Missing { topic: topic(), offset }))
        }
        (StoredOffset::Resume { position: offset, .. }, Some(_)) if offset > found.wal_end => {
            Err(lost(LostSlot::BehindOffset { topic: topic(), offset, wal_end: found.wal_end }))
        }
        (StoredOffset::Resume { .. }, Some(_))
            if settings.snapshot_mode == SnapshotMode::InitialOnly =>
        {
            Ok(Start::Done)
        }
        (StoredOffset::Resume { position: offset, .. }, Some(slot)) => {
            Ok(Start::Resume(slot.confirmed_flush.unwrap_or_default().max(offset)))
        }
        (StoredOffset::None, None) if takes_snapshot => Ok(Start::FirstSnapshot),
        (StoredOffset::None, None) => Ok(Start::FromNow),
        (StoredOffset::None, Some(slot)) => {
            let confirmed = slot.confirmed_flush.unwrap_or_default();
            Ok(if takes_snapshot {
                Start::SnapshotAgain(confirmed)
            } else {
                Start::Resume(confirmed)
            })
        }
    }
}

/// Refuses a slot that has the connector's slot name and belongs to another plugin or database.
fn check_slot(settings: &Settings, slot: &Slot) -> Result<(), SessionError> {
    let name = || settings.slot_name.clone();
    let problem = match (&slot.plugin, &slot.database) {
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
    };
    problem.map_or(Ok(()), |problem| Err(SessionError::Setup(vec![problem])))
}

#[cfg(test)]
mod tests {
    use SnapshotMode::{Initial, InitialOnly, NoData};

    use super::super::example;
    use super::*;

    const WAL_END: Lsn = Lsn(1_000);

    fn settings(mode: SnapshotMode) -> Settings {
        Settings { snapshot_mode: mode, ..example::settings() }
    }

    fn slot(confirmed: Option<u64>) -> Slot {
        Slot {
            plugin: Some("pgoutput".to_owned()),
            database: Some("inventory".to_owned()),
            active_pid: None,
            confirmed_flush: confirmed.map(Lsn),
            wal_status: Some("reserved".to_owned()),
            invalidation: None,
        }
    }

    fn start(
        mode: SnapshotMode,
        offset: StoredOffset,
        slot: Option<&Slot>,
    ) -> Result<Start, SessionError> {
        let found = Found { offset_topic: "offsets", offset, slot, wal_end: WAL_END };
        decide(&settings(mode), &found)
    }

    #[track_caller]
    fn check(mode: SnapshotMode, offset: StoredOffset, slot: Option<&Slot>, expected: Start) {
        assert_eq!(start(mode, offset, slot).unwrap(), expected, "{mode:?} {offset:?} {slot:?}");
    }

    #[track_caller]
    fn check_lost(offset: StoredOffset, slot: Option<&Slot>, expected: &LostSlot) {
        for mode in [Initial, InitialOnly, NoData] {
            match start(mode, offset, slot) {
                Err(SessionError::SlotLost { slot: name, reason }) => {
                    assert_eq!((name.as_str(), &reason), ("inventory", expected), "{mode:?}");
                }
                other => panic!("{mode:?}: {other:?}"),
            }
        }
    }

    fn resume(lsn: u64) -> StoredOffset {
        StoredOffset::Resume { position: Lsn(lsn), last_commit: None }
    }

    #[test]
    fn a_first_start_takes_a_snapshot_unless_none_is_wanted() {
        check(Initial, StoredOffset::None, None, Start::FirstSnapshot);
        check(InitialOnly, StoredOffset::None, None, Start::FirstSnapshot);
        check(NoData, StoredOffset::None, None, Start::FromNow);
    }

    #[test]
    fn a_slot_without_an_offset_is_an_interrupted_start() {
        let slot = slot(Some(70));
        check(Initial, StoredOffset::None, Some(&slot), Start::SnapshotAgain(Lsn(70)));
        check(InitialOnly, StoredOffset::None, Some(&slot), Start::SnapshotAgain(Lsn(70)));
        check(NoData, StoredOffset::None, Some(&slot), Start::Resume(Lsn(70)));
    }

    #[test]
    fn a_stream_goes_on_from_the_further_of_offset_and_slot() {
        for mode in [Initial, NoData] {
            check(mode, resume(80), Some(&slot(Some(70))), Start::Resume(Lsn(80)));
            check(mode, resume(80), Some(&slot(Some(90))), Start::Resume(Lsn(90)));
            check(mode, resume(80), Some(&slot(None)), Start::Resume(Lsn(80)));
        }
    }

    #[test]
    fn after_the_only_snapshot_there_is_nothing_to_do() {
        check(InitialOnly, resume(80), Some(&slot(Some(70))), Start::Done);
    }

    #[test]
    fn an_offset_without_its_slot_is_a_loss() {
        let reason = LostSlot::Missing { topic: "offsets".to_owned(), offset: Lsn(80) };
        check_lost(resume(80), None, &reason);
    }

    #[test]
    fn an_offset_beyond_the_servers_wal_is_a_loss_and_one_at_its_end_is_not() {
        let topic = "offsets".to_owned();
        let reason = LostSlot::BehindOffset { topic, offset: Lsn(1_001), wal_end: WAL_END };
        check_lost(resume(1_001), Some(&slot(Some(70))), &reason);
        check(Initial, resume(1_000), Some(&slot(Some(70))), Start::Resume(WAL_END));
    }

    #[test]
    fn a_slot_that_the_server_gave_up_is_a_loss_whatever_is_stored() {
        let removed = Slot { wal_status: Some("lost".to_owned()), ..slot(Some(70)) };
        let named = Slot { invalidation: Some("rows_removed".to_owned()), ..slot(Some(70)) };
        for (slot, word) in [(&removed, "wal_removed"), (&named, "rows_removed")] {
            let reason = LostSlot::Invalidated { reason: word.to_owned() };
            check_lost(StoredOffset::None, Some(slot), &reason);
            check_lost(resume(80), Some(slot), &reason);
        }
    }

    #[test]
    fn a_slot_that_belongs_to_somebody_else_is_refused() {
        let physical = Slot { plugin: None, ..slot(None) };
        let plugin = Slot { plugin: Some("wal2json".to_owned()), ..slot(Some(70)) };
        let database = Slot { database: Some("sales".to_owned()), ..slot(Some(70)) };
        let name = || "inventory".to_owned();
        for (slot, expected) in [
            (physical, SetupProblem::PhysicalSlot { slot: name() }),
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
            for offset in [StoredOffset::None, resume(80)] {
                match start(Initial, offset, Some(&slot)) {
                    Err(SessionError::Setup(problems)) => {
                        assert_eq!(problems, std::slice::from_ref(&expected));
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}
