//! Values between PostgreSQL's text, Debezium's JSON and plain numbers. Pure: bytes in, bytes or numbers out.
//!
//! Each direction stands beside its inverse and is tested against it. An error never repeats the value, because rows
//! must not appear in logs.

pub mod array;
pub mod bits;
pub mod decimal;
pub mod double;
pub mod geometry;
pub mod hstore;
pub mod interval;
pub mod temporal;
pub mod text;
pub mod vector;

/// A text that is not a value of its type. The error holds the type's name only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {0}")]
pub struct ValueError(pub &'static str);
