//! What to do after a failed transaction.
//!
//! In: the server's error, and whether the connection is lost. Out: a remedy.

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

/// What to do after a failed transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Another transaction was in the way: draw this one anew.
    DrawAnew,
    /// The connection is lost: open another one.
    Reconnect,
    /// A new attempt would fail, too.
    Stop,
}

impl Remedy {
    /// The remedy for an error.
    #[must_use]
    pub fn of(err: &Error, connection_closed: bool) -> Self {
        let conflicts = [
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
            SqlState::LOCK_NOT_AVAILABLE,
            // The drawn key exists already, or another connection has removed the parent of a row meanwhile.
            SqlState::UNIQUE_VIOLATION,
            SqlState::FOREIGN_KEY_VIOLATION,
        ];
        let unavailable = [
            SqlState::ADMIN_SHUTDOWN,
            SqlState::CRASH_SHUTDOWN,
            SqlState::CANNOT_CONNECT_NOW,
            SqlState::TOO_MANY_CONNECTIONS,
        ];
        match err.code() {
            Some(code) if conflicts.contains(code) => Self::DrawAnew,
            Some(code) if unavailable.contains(code) => Self::Reconnect,
            _ if connection_closed => Self::Reconnect,
            _ => Self::Stop,
        }
    }
}
