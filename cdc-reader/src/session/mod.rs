//! One session: from a connection to its end.
//!
//! In: the context. Out: how the session ended. It keeps nothing that the next session needs.
//!
//! ```text
//! preflight   is the source set up for it?
//!   └─► start (pure)   from the stored offset, the slot, the WAL's end and the settings: where to begin
//!         └─► slot     the slot is made, with the snapshot that it exports
//!               └─► run   [snapshot,] stream
//! ```

#[cfg(test)]
mod example;
mod preflight;
mod run;
mod slot;
mod start;

pub(crate) use run::run;
