//! Writing to the warehouse: one transaction for a batch's rows, its quarantined events and its offsets.
//!
//! In goes a [`crate::batch::Batch`], out goes a commit that moved the offsets from where the batch began to where it ends,
//! or nothing at all. Exactly-once rests on that alone; caches only save queries and are dropped at any doubt.

mod cache;
mod encode;
mod error;
mod loader;
mod statements;
mod transaction;
mod truncate;
mod versions;
mod writer;

pub use loader::{Job, Limits, Loaded, Loader};
