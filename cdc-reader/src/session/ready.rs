//! Waits until the server can be read: until a standby is promoted, or until the slot has come to a new primary.
//!
//! In: the connection, and the stored offset. Out: the server as it is then. What is waited for is decided by a pure
//! function.

use std::time::{Duration, Instant};

use shared::position::Lsn;

use super::preflight;
use super::server::Server;
use super::start::check_history;
use crate::context::Context;
use crate::ended::Ended;
use crate::error::SessionError;
use crate::publish::StoredOffset;
use crate::replication::{Client, SourceIdentity};

/// How often the server is looked at while something is waited for.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How long one connection waits at a standby. The next one may reach a primary by the same name.
const STANDBY_WAIT_MAX: Duration = Duration::from_secs(30);

/// Since this version a standby can have slots of its own.
const STANDBY_SLOTS_SINCE: u32 = 160_000;

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaited {
    /// The server is a standby.
    Promotion,
    /// The server is a standby, has restarted, and has not replayed yet what was published.
    Replay,
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
        let is_behind = stored.is_some_and(|stored| stored.position > server.wal_end);
        return match (can_be_read, is_behind) {
            (false, _) => Some(Awaited::Promotion),
            (true, true) => Some(Awaited::Replay),
            (true, false) => None,
        };
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

/// What a look at the server came to.
pub(super) enum Looked {
    /// The server can be read, or waiting does not help.
    Ready(Server),
    /// Something that was waited for has come. Another instance may have published meanwhile.
    Changed,
    /// Somebody asked for a stop.
    Stopped,
}

/// Looks at the server until it can be read, or until the slot has not come to a new primary for as long as the
/// settings say.
///
/// # Errors
/// When the connection fails, or has led to a standby for [`STANDBY_WAIT_MAX`].
pub(super) fn look_until_ready(
    client: &mut Client,
    context: &Context,
    offset: &StoredOffset,
    reached: Lsn,
) -> Result<Looked, SessionError> {
    let settings = &context.connector.settings;
    let mut said = None;
    let begin = Instant::now();
    loop {
        let server = Server::look(client, &settings.slot_name)
            .map_err(|error| preflight::explain(context, error))?;
        let waited = begin.elapsed();
        match awaited(&server, offset, reached) {
            None if said.is_some() => return Ok(Looked::Changed),
            None => return Ok(Looked::Ready(server)),
            Some(Awaited::Slot) if waited >= settings.slot_wait => {
                return Ok(Looked::Ready(server));
            }
            Some(Awaited::Promotion | Awaited::Replay) if waited >= STANDBY_WAIT_MAX => {
                return Err(SessionError::Standby { server: server.identity });
            }
            Some(awaits) if said != Some(awaits) => {
                said = Some(awaits);
                say(awaits, &server, context);
            }
            Some(_) => {}
        }
        if context.pause(LOOK_INTERVAL) == Ended::Stopped {
            return Ok(Looked::Stopped);
        }
    }
}

fn say(awaited: Awaited, server: &Server, context: &Context) {
    let settings = &context.connector.settings;
    match awaited {
        Awaited::Promotion => tracing::warn!(
            source = %server.identity,
            "the server is a standby: waiting until it is promoted, or until database.hostname leads to a primary"
        ),
        Awaited::Replay => tracing::warn!(
            source = %server.identity,
            replayed = %server.wal_end,
            "the standby has not replayed yet what was published: waiting for it"
        ),
        Awaited::Slot => tracing::warn!(
            source = %server.identity,
            slot = settings.slot_name,
            wait_seconds = settings.slot_wait.as_secs(),
            "the server was promoted and does not have the replication slot yet: waiting for it (slot.max.retries × slot.retry.delay.ms)"
        ),
    }
    context.observer.waiting(match awaited {
        Awaited::Promotion => "the server is a standby and has to be promoted",
        Awaited::Replay => "the standby has to replay what was published",
        Awaited::Slot => "the replication slot has to come to the promoted server",
    });
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
            sent_until: None,
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
        let restarted = Server { wal_end: Lsn(79), ..standby(180_000, own()) };
        assert_eq!(awaited(&restarted, &offset(1), Lsn(0)), Some(Awaited::Replay));
        assert_eq!(awaited(&standby(180_000, copied()), &offset(1), Lsn(0)), promotion);
        assert_eq!(awaited(&standby(180_000, None), &offset(1), Lsn(0)), promotion);
        assert_eq!(awaited(&standby(180_000, None), &StoredOffset::None, Lsn(0)), None);
    }
}
