//! What a session finds on the server that its replication connection reached: which cluster it is, its slot, and the
//! end of its WAL.

use shared::position::Lsn;

use crate::catalog::{self, Slot};
use crate::error::SessionError;
use crate::replication::{
    Client, ReplicationError, SourceIdentity, TimelineHistory, identify, timeline_history,
};

/// SQLSTATE `undefined_file`.
const UNDEFINED_FILE: &str = "58P01";

/// The server behind a connection.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    /// Cluster and timeline.
    pub(crate) identity: SourceIdentity,
    /// Where the timeline left its ancestors.
    pub(crate) history: TimelineHistory,
    /// `server_version_num`.
    pub(crate) version: u32,
    /// Whether it is a standby, or recovers.
    pub(crate) is_in_recovery: bool,
    /// The connector's slot, if it exists.
    pub(crate) slot: Option<Slot>,
    /// The end of its WAL.
    pub(crate) wal_end: Lsn,
}

impl Server {
    /// Asks the server for all of it.
    ///
    /// # Errors
    /// When the connection fails.
    pub(crate) fn look(client: &mut Client, slot: &str) -> Result<Self, ReplicationError> {
        let identity = identify(client)?;
        let (version, is_in_recovery) = catalog::version_and_recovery(client)?;
        Ok(Self {
            identity,
            history: history(client, identity)?,
            version,
            is_in_recovery,
            slot: catalog::slot(client, slot, version)?,
            wal_end: catalog::wal_end(client)?,
        })
    }
}

/// The history of the server's timeline. A server that has lost the file still knows its timeline, and a start needs
/// the history only where the stored offset names another timeline.
fn history(
    client: &mut Client,
    identity: SourceIdentity,
) -> Result<TimelineHistory, ReplicationError> {
    match timeline_history(client, identity.timeline) {
        Err(error) if error.sqlstate() == Some(UNDEFINED_FILE) => Ok(TimelineHistory::default()),
        result => result,
    }
}

/// Checks that a further connection reached the same server.
///
/// # Errors
/// When the connection reached another one, or fails.
pub(super) fn require_same(
    client: &mut Client,
    before: SourceIdentity,
) -> Result<(), SessionError> {
    let now = identify(client)?;
    if now == before { Ok(()) } else { Err(SessionError::SourceChanged { before, now }) }
}
