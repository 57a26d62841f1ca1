//! Makes vault rows of changes: hash keys, rows of hubs and links, versions of satellites. Pure.
//!
//! In: decoded changes and the last known state of each key. Out: the rows to write. Nothing here knows a clock, a
//! socket or the order in which topics were read: the same events per key give the same rows.

mod cast;
pub mod fold;
pub mod hash;
mod json;
pub mod projection;
mod tracking;
#[cfg(test)]
mod vectors;
pub(crate) mod versions;

pub use cast::cast;
