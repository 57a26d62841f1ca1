//! The hot path. One thread turns frames into records, and acknowledgements into confirmations.
//!
//! In: the frames of a replication stream. Out: records and offsets to Kafka, and the confirmed position to the server.
//!
//! ```text
//! pump, the loop ─► changes, messages to records
//!   │     └─► overlap (pure)   which changes were published before, and whether the history is the same
//!   ├─► confirm (pure)   what is confirmed, when to send a status, when an offset is due
//!   ├─► heartbeat (pure)   what a heartbeat may claim, and when one is due
//!   ├─► stop (pure)      when the stream ends without a failure
//!   ├─► silence (pure)   whether a server that does not answer is busy or gone
//!   └─► source_shutdown (pure)   how long a server that shuts down may wait
//! ```
//!
//! A position becomes durable when Kafka has acknowledged every event before it: the end of a transaction, or the WAL
//! end of a keepalive that came while no transaction was open. Then its offset is stored. The position is confirmed to
//! the server when Kafka has acknowledged the offset, too. So an idle source can remove its WAL without any heartbeat
//! table.

mod changes;
mod confirm;
mod heartbeat;
mod overlap;
mod pump;
mod silence;
mod source_shutdown;
mod stop;

pub(crate) use heartbeat::SessionBegin;
pub(crate) use overlap::Overlap;
pub(crate) use pump::Streaming;
