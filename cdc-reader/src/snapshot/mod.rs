//! The rows that exist: `COPY` out of each table under the slot's exported snapshot, as `r` events.
//!
//! In: the name of a snapshot that a new slot exports. Out: the records of all rows. The snapshot is the database
//! exactly at the slot's consistent point, so that streaming from that point neither misses nor repeats a change. A row
//! is held back until the next one is read, because the last row of a table, and of all, is marked as such, and empty
//! tables may follow it.

mod locks;
mod mark;
mod open;
mod progress;
mod rows;

pub(crate) use open::{ExportedSnapshot, Snapshot};
pub(crate) use rows::run;
