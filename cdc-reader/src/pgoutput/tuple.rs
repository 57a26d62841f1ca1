//! Rows inside a message: checked once when the message is decoded, then walked without checks that can fail.

use super::cursor::{Cursor, DecodeError, Problem};

/// One column's value. Absent, NULL and unchanged are three different things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column<'a> {
    /// NULL; in a key-only tuple also "not sent".
    Null,
    /// A TOASTed value that did not change and was not sent.
    UnchangedToast,
    /// The type's text output.
    Text(&'a [u8]),
    /// The type's binary output.
    Binary(&'a [u8]),
}

/// A row as it stands in the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuple<'a> {
    column_count: u16,
    /// The columns' bytes, known to be well formed.
    bytes: &'a [u8],
}

impl<'a> Tuple<'a> {
    pub(super) fn decode(cursor: &mut Cursor<'a>) -> Result<Self, DecodeError> {
        let column_count = cursor.u16("tuple column count")?;
        let start = cursor.offset();
        for _ in 0..column_count {
            match cursor.u8("tuple column kind")? {
                b'n' | b'u' => {}
                b't' | b'b' => {
                    cursor.sized_bytes("tuple column value")?;
                }
                code => return cursor.fail("tuple column kind", Problem::UnknownCode(code)),
            }
        }
        Ok(Self { column_count, bytes: cursor.since(start) })
    }

    /// How many columns the row has.
    #[must_use]
    pub fn column_count(&self) -> usize {
        usize::from(self.column_count)
    }

    /// The columns in the relation's order.
    #[must_use]
    pub fn columns(&self) -> Columns<'a> {
        Columns { rest: self.bytes }
    }
}

/// Walks a row.
#[derive(Debug, Clone)]
pub struct Columns<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Columns<'a> {
    type Item = Column<'a>;

    #[inline]
    fn next(&mut self) -> Option<Column<'a>> {
        let (&kind, rest) = self.rest.split_first()?;
        self.rest = rest;
        match kind {
            b'n' => return Some(Column::Null),
            b'u' => return Some(Column::UnchangedToast),
            _ => {}
        }
        // `Tuple::decode` walked these bytes before and found each length inside the frame.
        let (length, rest) = self.rest.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (value, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        Some(if kind == b't' { Column::Text(value) } else { Column::Binary(value) })
    }
}
