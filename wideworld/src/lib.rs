//! The wholesaler whose database is a second source: a history to start from, and its life in real time.
//!
//! In: a connection string and options. Out: rows in the tables of `sql/wideworld`. Seeded generators draw everything.
//! Every transaction leaves the tables in a state that a wholesaler could have: see [`simulate`] for the invariants.

pub mod amount;
mod connection;
mod history;
mod line;
mod masters;
pub mod page;
mod plan;
pub mod readings;
mod reference;
pub mod seed;
pub mod simulate;
pub mod tables;
