//! Wires the stages together and decides what a failure means.
//!
//! One thread runs a *session*: it connects, checks the source, takes a snapshot if one is due, and streams until something breaks or
//! somebody asks it to stop. The supervisor around it starts the next session after a failure that may pass, with capped and jittered
//! waits, and gives up on a failure that time does not mend. A session keeps nothing that the next one needs: what is durable stands in
//! Kafka (events, offsets) and in the slot (the confirmed position).
//!
//! ```text
//! preflight ─► slot ─► [snapshot] ─► stream ─► emit ─► publish
//!                                      ▲                  │ acknowledgements
//!                                      └── confirm ◄──────┘
//! ```

mod clock;
mod context;
mod emit;
mod error;
mod session;
mod snapshot;
mod stream;
mod supervise;
mod tables;
mod topics;

pub use context::Context;
pub use error::{
    EXIT_CONFIGURATION, EXIT_FAILED, EXIT_SLOT_LOST, LostSlot, PipelineError, TableChange,
};
pub use supervise::run;
