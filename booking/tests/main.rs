//! The airline on real PostgreSQL servers: the schema, the rights, the data set and the simulation.
//!
//! Servers come from devstack; claims about what is in the database go out. Every test has a database of its own.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod seeding;
mod simulating;
mod source_sql;
mod support;
