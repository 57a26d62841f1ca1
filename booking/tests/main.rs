//! The airline on real PostgreSQL servers: the schema, the rights, the data set, the simulation and the service.
//!
//! In: servers of devstack. Out: claims about what is in the database. Every test has a database of its own.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod menu;
mod seeding;
mod serving;
mod simulating;
mod source_sql;
mod support;
