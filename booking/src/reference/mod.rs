//! What every generated airline shares: its airports, its fleet and the names people have.
//!
//! Out: tables of facts and pure functions over them. Nothing here draws a random number, so the same index always
//! means the same airport, model or person.

pub(crate) mod airports;
pub(crate) mod fleet;
pub(crate) mod people;
pub(crate) mod prices;
