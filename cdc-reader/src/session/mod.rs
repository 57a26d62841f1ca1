//! One session: from a connection to its end.
//!
//! In: the context, and the delivery to Kafka that lives longer than the session. Out: how the session ended.
//!
//! ```text
//! writer_lock   nobody else captures with this slot; then what earlier sessions sent is settled
//!   └─► ready       which server is it, and can it be read yet?
//!         └─► preflight   is the source set up for it?
//!               └─► start (pure)   from the stored offset, the server and the settings: where to begin
//!                     └─► slot     the slot is made, with the snapshot that it exports
//!                           └─► run   [snapshot,] stream
//! ```

#[cfg(test)]
mod example;
mod preflight;
mod published_times;
mod ready;
mod run;
mod server;
mod slot;
mod start;
pub(crate) mod writer_lock;

pub(crate) use preflight::{Found, version_problem};
pub(crate) use published_times::pass_published_times;
pub(crate) use run::run;
pub(crate) use server::Server;
pub(crate) use start::slot_problem;
