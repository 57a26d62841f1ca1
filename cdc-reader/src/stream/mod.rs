//! The hot path. One thread turns frames into records, and acknowledgements into confirmations.
//!
//! In: the frames of a replication stream. Out: records and offsets to Kafka, and the confirmed position to the server.
//!
//! ```text
//! pump, the loop ─► changes, messages to records
//!   ├─► confirm (pure)   what is confirmed, when to send a status, when an offset is due
//!   ├─► stop (pure)      when the stream ends without a failure
//!   ├─► silence (pure)   whether a server that does not answer is busy or gone
//!   └─► source_shutdown (pure)   how long a server that shuts down may wait
//! ```
//!
//! The confirmed position is the end of the last transaction for which Kafka has acknowledged every event, and every
//! event before it. While no transaction is open, a keepalive's WAL end enters the ledger like an empty transaction,
//! and waits for everything before it. So an idle source can remove its WAL without any heartbeat table.

mod changes;
mod confirm;
mod overlap;
mod pump;
mod silence;
mod source_shutdown;
mod stop;

pub(crate) use overlap::Overlap;
pub(crate) use pump::Streaming;
