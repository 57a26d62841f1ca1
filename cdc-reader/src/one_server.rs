//! Whether the connections of a session lead to one server.
//!
//! In: the replication connection, and each further connection of the session. Out: an error when the further one has
//! reached another server. Behind one name there may be a load balancer, or another server since a failover. What such
//! a server says of tables and types is not what the stream means.
//!
//! A server is recognised by the process that serves the replication connection: no other server has a process with
//! the same number that began at the same microsecond. A connection sees its own role's processes, whatever rights the
//! role has.

use crate::context::Context;
use crate::error::SessionError;
use crate::replication::{Client, Mode, ReplicationError, quote_literal};

/// The server that a replication connection has reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OneServer {
    /// The number of the process, and when it began.
    process: String,
}

/// A process in words that do not depend on a session's time zone.
const PROCESS: &str = "pid || ' since ' || extract(epoch FROM backend_start)";

impl OneServer {
    /// The server that this connection has reached.
    ///
    /// # Errors
    /// When the connection fails.
    pub(crate) fn of(replication: &mut Client) -> Result<Self, ReplicationError> {
        let rows = replication.query(&format!(
            "SELECT {PROCESS} FROM pg_catalog.pg_stat_activity WHERE pid = pg_catalog.pg_backend_pid()"
        ))?;
        let process = rows.into_iter().next().and_then(|row| row.into_iter().next()).flatten();
        let process = process.ok_or(ReplicationError::Protocol("a session without a process"))?;
        Ok(Self { process })
    }

    /// A further connection, for statements that may wait.
    ///
    /// # Errors
    /// When the connection has reached another server, or fails.
    pub(crate) fn connect(&self, context: &Context) -> Result<Client, SessionError> {
        let mut client = context.connect(Mode::Sql)?;
        self.check(&mut client)?;
        Ok(client)
    }

    /// Checks that a further connection has reached the same server.
    ///
    /// # Errors
    /// When the connection has reached another one, or fails.
    pub(crate) fn check(&self, client: &mut Client) -> Result<(), SessionError> {
        let process = quote_literal(&self.process);
        let rows = client.query(&format!(
            "SELECT FROM pg_catalog.pg_stat_activity WHERE {PROCESS} = {process}"
        ))?;
        if rows.is_empty() { Err(SessionError::TwoServers) } else { Ok(()) }
    }
}
