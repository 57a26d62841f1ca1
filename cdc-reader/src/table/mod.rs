//! The source's tables: which of them are captured, their plans, and their topics.
//!
//! In: the catalog's answers and the relations that a stream announces. Out: the captured tables, each with the
//! compiled plan that writes its rows and its topic.

mod capture;
mod captured;
mod relations;
mod standing;
pub(crate) mod topics;

pub(crate) use capture::Capture;
pub(crate) use captured::captured_tables;
pub(crate) use relations::Relations;
pub(crate) use standing::{Standing, above, standings, with_changes_of_their_own};
