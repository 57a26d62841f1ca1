//! The hot path: frames to records, acknowledgements to confirmations, on one thread.
//!
//! In come the frames of a replication stream, out go records and offsets to Kafka, and the confirmed position to the
//! server.
//!
//! ```text
//! pump, the loop ─► changes, messages to records
//!   ├─► confirm (pure)   what may be confirmed, when to send a status, when an offset is due
//!   ├─► stop (pure)      when the stream ends without a failure
//!   └─► source_watch     how much WAL the slot holds back, whether the server shuts down
//! ```
//!
//! What may be confirmed: the end of the last transaction whose every event, and every event before it, Kafka has
//! acknowledged; and, with no transaction open, a keepalive's WAL end, which enters the ledger like an empty
//! transaction and so waits for everything before it. An idle source's WAL is thus released without any heartbeat
//! table.

mod changes;
mod confirm;
mod pump;
mod source_watch;
mod stop;

pub(crate) use pump::Streaming;
