//! Waits until the server can be read: until a standby is promoted, or until the slot has come to a new primary.
//!
//! In: the connection, and the stored offset. Out: the server as it is then. What is waited for is decided by a pure
//! function.

use std::time::{Duration, Instant};

use shared::position::Lsn;

use super::server::Server;
use super::start::check_history;
use crate::connector::Settings;
use crate::context::Context;
use crate::ended::Ended;
use crate::error::SessionError;
use crate::publish::StoredOffset;
use crate::replication::{Client, SourceIdentity};

/// How often the server is looked at while something is waited for.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Since this version a standby can have slots of its own.
const STANDBY_SLOTS_SINCE: u32 = 160_000;

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaited {
    /// The server is a standby.
    Promotion,
    /// The server was promoted, and the slot is not there yet.
    Slot,
}

/// What has to happen before this server can be read.
fn awaited(server: &Server, offset: &StoredOffset, reached: Lsn) -> Option<Awaited> {
    let stored = match offset {
        StoredOffset::Resume(stored) => Some(stored),
        StoredOffset::None => None,
    };
    let is_synchronized = server.slot.as_ref().is_some_and(|slot| slot.is_synchronized);
    if server.is_in_recovery {
        let can_be_read = server.version >= STANDBY_SLOTS_SINCE
            && !is_synchronized
            && (server.slot.is_some() || stored.is_none());
        return (!can_be_read).then_some(Awaited::Promotion);
    }
    let was_promoted = stored.is_some_and(|stored| {
        let grew = |source: SourceIdentity| {
            source.system == server.identity.system && source.timeline < server.identity.timeline
        };
        stored.history.is_some_and(|history| grew(history.source))
            && check_history(stored, reached, server).is_ok()
    });
    (server.slot.is_none() && was_promoted).then_some(Awaited::Slot)
}

/// Looks at the server until it can be read, or until the slot has not come to a new primary for as long as the
/// settings say. None when somebody asked for a stop meanwhile.
///
/// # Errors
/// When the connection fails.
pub(super) fn look_until_ready(
    client: &mut Client,
    context: &Context,
    offset: &StoredOffset,
    reached: Lsn,
) -> Result<Option<Server>, SessionError> {
    let settings = &context.connector.settings;
    let mut said = None;
    let mut slot_awaited_since = None;
    loop {
        let server = Server::look(client, &settings.slot_name)?;
        let Some(awaits) = awaited(&server, offset, reached) else { return Ok(Some(server)) };
        if awaits == Awaited::Slot {
            let since = *slot_awaited_since.get_or_insert_with(Instant::now);
            if since.elapsed() >= settings.slot_wait {
                return Ok(Some(server));
            }
        }
        if said != Some(awaits) {
            said = Some(awaits);
            say(awaits, &server, settings);
        }
        if context.pause(LOOK_INTERVAL) == Ended::Stopped {
            return Ok(None);
        }
    }
}

fn say(awaited: Awaited, server: &Server, settings: &Settings) {
    match awaited {
        Awaited::Promotion => tracing::warn!(
            source = %server.identity,
            "the server is a standby: waiting until it is promoted, or until database.hostname leads to a primary"
        ),
        Awaited::Slot => tracing::warn!(
            source = %server.identity,
            slot = settings.slot_name,
            wait_seconds = settings.slot_wait.as_secs(),
            "the server was promoted and does not have the replication slot yet: waiting for it (slot.max.retries × slot.retry.delay.ms)"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::example;
    use super::*;
    use crate::catalog::Slot;
    use crate::publish::{History, Resume};
    use crate::replication::TimelineHistory;

    fn offset(timeline: u32) -> StoredOffset {
        let source = example::identity(timeline);
        StoredOffset::Resume(Resume {
            position: Lsn(80),
            last_commit: Some(Lsn(80)),
            history: Some(History { source, transaction: None }),
        })
    }

    fn standby(version: u32, slot: Option<Slot>) -> Server {
        Server { is_in_recovery: true, version, ..example::server(1, slot) }
    }

    #[test]
    fn a_primary_is_read_at_once() {
        for slot in [None, Some(example::slot(Some(70)))] {
            let server = example::server(1, slot);
            assert_eq!(awaited(&server, &StoredOffset::None, Lsn(0)), None);
            assert_eq!(awaited(&server, &offset(1), Lsn(0)), None);
        }
    }

    #[test]
    fn a_new_primary_may_get_its_slot_late() {
        let history = TimelineHistory::of(&[(1, 90)]);
        let promoted = Server { history, ..example::server(2, None) };
        assert_eq!(awaited(&promoted, &offset(1), Lsn(0)), Some(Awaited::Slot));
        // It lacks what was published: waiting for the slot would not help.
        assert_eq!(awaited(&promoted, &offset(1), Lsn(95)), None);
        // The promotion was seen before, so the slot was there.
        assert_eq!(awaited(&promoted, &offset(2), Lsn(0)), None);
        let with_slot = Server { slot: Some(example::slot(Some(70))), ..promoted };
        assert_eq!(awaited(&with_slot, &offset(1), Lsn(0)), None);
    }

    #[test]
    fn a_standby_is_read_only_through_a_slot_of_its_own() {
        let promotion = Some(Awaited::Promotion);
        let own = || Some(example::slot(Some(70)));
        let copied = || Some(Slot { is_synchronized: true, ..example::slot(Some(70)) });
        assert_eq!(awaited(&standby(150_000, own()), &offset(1), Lsn(0)), promotion);
        assert_eq!(awaited(&standby(150_000, None), &StoredOffset::None, Lsn(0)), promotion);
        assert_eq!(awaited(&standby(180_000, own()), &offset(1), Lsn(0)), None);
        assert_eq!(awaited(&standby(180_000, copied()), &offset(1), Lsn(0)), promotion);
        assert_eq!(awaited(&standby(180_000, None), &offset(1), Lsn(0)), promotion);
        assert_eq!(awaited(&standby(180_000, None), &StoredOffset::None, Lsn(0)), None);
    }
}
