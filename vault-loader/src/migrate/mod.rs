//! Changes the warehouse so that it fits the model: the control schema by numbered migrations, the vault by comparison
//! with the catalog.
//!
//! In: the model of one source. Out: a warehouse that has all its tables and the views that follow from the models
//! ([`views`]), and a list of what was done. A second run does nothing. A change that would destroy stored rows or
//! change their meaning is refused before anything is changed. What belongs to other sources, and what people and
//! tools made in the vault's schema, is left alone.

mod agree;
mod apply;
pub mod business;
mod catalog;
mod compare;
mod compat;
pub mod ddl;
mod difference;
mod indexes;
mod locks;
mod make_views;
mod patience;
pub mod scaled;
pub mod views;

pub use apply::{MigrateError, MigrationOutcome};
pub use compare::{Comparison, compare};
pub use patience::migrate;
