//! The socket: a blocking PostgreSQL client that speaks `CopyBoth`, which neither tokio-postgres nor postgres-protocol
//! does.
//!
//! One thread owns a connection. It reads blocks of up to [`wire::BLOCK_BYTES`] and hands out frames as slices of that
//! block. Nothing is copied, and no memory is allocated for a message. Reads time out after a short while, so that the
//! same thread can answer the server, confirm positions and notice shutdown.
//!
//! ```text
//! transport (TCP, Unix, TLS) → wire (frames) → authentication → startup → client (SQL, COPY) → stream (CopyBoth)
//! ```
//!
//! Protocol: <https://www.postgresql.org/docs/current/protocol-replication.html>.

mod authentication;
mod cancel;
mod client;
mod error;
mod identity;
mod startup;
mod stream;
mod transport;
mod wait_limit;
mod wire;

pub use client::{Client, CopyRows, Row};
pub use error::{ReplicationError, ServerError};
pub use identity::{
    SourceIdentity, SystemIdentifier, Timeline, TimelineHistory, identify, timeline_history,
};
pub use postgres_protocol::escape::{
    escape_identifier as quote_identifier, escape_literal as quote_literal,
};
pub use startup::Mode;
pub(crate) use stream::POSTGRES_EPOCH_SECONDS;
#[cfg(test)]
pub(crate) use stream::STREAM_END_DEADLINE;
pub use stream::{Event, LARGE_HEAD_BYTES, StartOptions, Stream};
pub use wait_limit::WaitLimit;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_cannot_be_escaped() {
        assert_eq!(quote_identifier("a\"b"), "\"a\"\"b\"");
        assert_eq!(quote_literal("a'b"), "'a''b'");
        assert_eq!(quote_literal("a\\'b"), " E'a\\\\''b'");
    }
}
