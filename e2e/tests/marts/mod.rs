//! The marts and the checks, over a vault whose history is put in by hand.
//!
//! In: the files of `sql/`, the DDL that `vault-loader` prints, `history.sql`. Out: exact rows, rights and violations.
//! Invariant: each test has a database of its own on a server of its own kind, for the roles belong to a whole server.

mod checks;
mod current;
mod erasing;
mod histories;
mod measures;
mod queries;
mod refreshing;
mod rights;
mod star;
mod star_changes;
mod warehouse;
