//! The airline whose database is captured: a data set to start from and a life to watch.
//!
//! A connection string and options come in; rows in the eight tables of schema `public` go out. Everything is drawn by
//! seeded generators, and every transaction leaves the tables as an airline would: see [`simulate`] for the invariants.

pub mod database;
mod reference;
pub mod seed;
pub mod simulate;
pub mod tables;

pub use reference::fleet::Fare;
