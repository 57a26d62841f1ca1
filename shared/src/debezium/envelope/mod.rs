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

/// The same in base64, which stands for bytes and numbers.
pub const UNAVAILABLE_BASE64: &str = "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==";

/// The same as a JSON object, which stands for an hstore.
pub const UNAVAILABLE_OBJECT: &str =
    r#"{"__debezium_unavailable_value":"__debezium_unavailable_value"}"#;

/// The same as a UUID, which stands for an array of UUIDs: version 3, made of the MD5 of the placeholder alone.
pub const UNAVAILABLE_UUID: &str = "b68a35a7-17ad-35b3-af2a-ae46edb4545a";

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
