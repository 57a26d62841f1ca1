//! Changes the warehouse so that it fits the model: the control schema by numbered migrations, the vault by comparison
//! with the catalog.
//!
//! In: a model. Out: a warehouse that has all its tables, and a list of what was done. A second run does nothing. A
//! change that would destroy stored rows or change their meaning is refused before anything is changed.

mod apply;
mod catalog;
mod compat;
pub mod ddl;
pub mod first_mentions;

pub use apply::{MigrateError, MigrationOutcome, migrate};
