//! Writing to the warehouse: one transaction for a batch's rows, its quarantined events and its offsets.
//!
//! In: a [`crate::batch::Batch`]. Out: a commit that moved the offsets from where the batch began to where it ends, or
//! nothing at all. Loading exactly once depends on that alone. Caches only save queries, and are dropped after any
//! error.

mod cache;
mod contradiction;
mod direct;
mod encode;
mod error;
mod outcome;
mod parking;
mod statements;
mod stretch;

mod waiting;

mod held;
mod job;
mod stored;
mod writer;

mod satellites;

mod transaction;
mod truncate;

mod missing;

mod retry;

mod loader;

pub use job::Job;
pub use loader::{Loader, LoaderLimits};
pub use missing::{Missing, close_missing};
pub use outcome::{Loaded, Step};
pub(crate) use retry::{Retried, Retrier};
