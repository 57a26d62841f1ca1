//! Makes the warehouse look like the model: control schema by numbered migrations, vault by difference to the catalog.
//!
//! In goes a model, out comes a warehouse that has all its tables, and a list of what was done. Running it again does
//! nothing; a change that would destroy or reinterpret what is stored is refused before anything is touched.

mod apply;
mod catalog;
mod compat;
pub mod ddl;

pub use apply::{MigrateError, MigrationOutcome, migrate};
