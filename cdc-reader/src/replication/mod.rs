//! The socket: a blocking PostgreSQL client that can do what neither tokio-postgres nor postgres-protocol can, `CopyBoth`.
//!
//! One thread owns a connection. It reads blocks of up to [`wire::BLOCK_BYTES`] and hands out frames as slices of that block; nothing
//! is copied and nothing allocated for a message. Reads time out after a short while, so that the same thread can answer the server,
//! confirm positions and notice shutdown.
//!
//! ```text
//! transport (TCP, Unix socket, TLS) → wire (frames) → startup (SCRAM) → client (SQL, COPY OUT) → stream (CopyBoth)
//! ```
//!
//! Protocol: <https://www.postgresql.org/docs/current/protocol-replication.html>.

mod cancel;
mod client;
mod error;
mod patience;
mod startup;
mod stream;
mod transport;
mod wire;

pub use client::{Client, Row, quote_identifier, quote_literal};
pub use error::{Disposition, ReplicationError, ServerError};
pub use patience::Patience;
pub use startup::Mode;
pub(crate) use stream::POSTGRES_EPOCH_SECONDS;
pub use stream::{Event, StartOptions, Stream};
