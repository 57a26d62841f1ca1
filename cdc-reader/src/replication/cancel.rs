//! CancelRequest: a second connection asks the server to cancel the statement for which the first connection waits.
//!
//! Closing the first connection is not enough: a server that waits for a lock or for old transactions does not look at
//! its socket. <https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-CANCELING-REQUESTS>

use std::io::{Read, Write};
use std::time::Duration;

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use shared::postgres::ConnectOptions;

use super::ReplicationError;
use super::transport::Transport;

/// How long the server may take to close the connection. By closing it the server says that it has sent the signal.
const DEADLINE: Duration = Duration::from_secs(2);

/// What BackendKeyData says about a session.
#[derive(Clone, Copy, Default)]
pub(super) struct CancelKey {
    process: i32,
    secret: i32,
}

impl CancelKey {
    /// Reads BackendKeyData: process id and secret, an i32 each in protocol 3.0.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let (process, rest) = body.split_first_chunk::<4>()?;
        let secret = rest.first_chunk::<4>()?;
        Some(Self { process: i32::from_be_bytes(*process), secret: i32::from_be_bytes(*secret) })
    }

    /// The session's process at the server.
    pub(super) fn process(self) -> i32 {
        self.process
    }

    /// Asks the server to cancel what the session is doing, over the same kind of connection.
    pub(super) fn cancel(self, options: &ConnectOptions) -> Result<(), ReplicationError> {
        let mut transport = Transport::connect(options)?;
        transport.set_read_timeout(Some(DEADLINE))?;
        let mut request = BytesMut::new();
        frontend::cancel_request(self.process, self.secret, &mut request);
        transport.write_all(&request)?;
        transport.flush()?;
        // The server sends no answer and closes the connection.
        let _ = transport.read(&mut [0])?;
        Ok(())
    }
}
