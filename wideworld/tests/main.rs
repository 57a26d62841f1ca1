//! The wholesaler on real PostgreSQL servers: the schema, the rights, the history, the simulation and its page.
//!
//! In: servers of devstack. Out: claims about what is in the database. Every test has a database of its own.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod page;
mod seeding;
mod simulating;
mod source_sql;
mod support;
