//! Debezium's change event envelope, JSON, as Debezium 3.6 writes it.
//!
//! [`mod@write`] appends the parts of a value that do not depend on a table's columns. The reader's compiled plan of
//! the table writes the row between them. [`read`] takes an envelope apart without copying, with or without the schema
//! part.

mod read;
mod write;

pub use read::{EnvelopeError, Event, Source, parse};
pub use write::{Origin, SnapshotMark, SourceInfo, SourceWriter, write_tail};

/// The value that stands for a TOASTed value which the server did not send (`unavailable.value.placeholder`).
pub const UNAVAILABLE_VALUE: &str = "__debezium_unavailable_value";

/// What happened to the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// Inserted.
    Create,
    /// Updated.
    Update,
    /// Deleted.
    Delete,
    /// Read by a snapshot.
    Read,
    /// The whole table was emptied.
    Truncate,
    /// A logical decoding message.
    Message,
}

impl Op {
    /// The letter on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "c",
            Self::Update => "u",
            Self::Delete => "d",
            Self::Read => "r",
            Self::Truncate => "t",
            Self::Message => "m",
        }
    }

    /// The operation of a letter.
    #[must_use]
    pub fn from_wire(letter: &str) -> Option<Self> {
        match letter {
            "c" => Some(Self::Create),
            "u" => Some(Self::Update),
            "d" => Some(Self::Delete),
            "r" => Some(Self::Read),
            "t" => Some(Self::Truncate),
            "m" => Some(Self::Message),
            _ => None,
        }
    }
}
