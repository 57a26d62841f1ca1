//! What the programs have in common that make the data of a source: `booking` and `wideworld`.
//!
//! A module belongs here only if both programs need it.

pub mod copy;
pub mod duration;
pub mod remedy;
pub mod session;
