//! The airline whose database is captured: a data set to start from, a simulation of its life, and a menu over its
//! read replicas.
//!
//! In: a connection string and options. Out: rows in the eight tables of schema `public`. Seeded generators draw
//! everything. Every transaction leaves the tables in a state that an airline could have: see [`simulate`] for the
//! invariants.

pub mod database;
pub mod menu;
mod reference;
pub mod seed;
pub mod serve;
pub mod simulate;
pub mod staff;
pub mod tables;

pub use reference::fleet::Fare;
