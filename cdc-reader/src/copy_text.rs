//! Rows in COPY's text format to columns. Pure.
//!
//! Fields are separated by tabs, `\N` is NULL, and a backslash escapes what would be taken for a separator:
//! <https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.2>.

use std::ops::Range;

use crate::pgoutput::Column;

/// A buffer that has grown beyond this for a large row is freed.
const KEPT_BYTES_MAX: usize = 1 << 20;

/// A backslash at the end, or before an unknown character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not in COPY's text format")]
pub struct CopyTextError;

/// One row. Its buffers are used again for the next row.
#[derive(Debug, Default)]
pub struct RowBuffer {
    bytes: Vec<u8>,
    fields: Vec<Option<Range<usize>>>,
}

impl RowBuffer {
    /// Splits a row into its columns. The line must come without its line end.
    ///
    /// # Errors
    /// When an escape is not one that the server writes.
    pub fn read(&mut self, row: &[u8]) -> Result<(), CopyTextError> {
        self.clear();
        // The columns are at most as long as the row. A buffer that grew step by step would take up to twice as much.
        self.bytes.reserve_exact(row.len());
        for field in row.split(|&byte| byte == b'\t') {
            if field == b"\\N" {
                self.fields.push(None);
                continue;
            }
            let start = self.bytes.len();
            self.unescape(field)?;
            self.fields.push(Some(start..self.bytes.len()));
        }
        Ok(())
    }

    /// The bytes of all columns together.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Forgets the row. What a large row took is freed.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.fields.clear();
        if self.bytes.capacity() > KEPT_BYTES_MAX {
            self.bytes = Vec::new();
        }
    }

    fn unescape(&mut self, field: &[u8]) -> Result<(), CopyTextError> {
        let mut rest = field;
        while let Some(at) = rest.iter().position(|&byte| byte == b'\\') {
            self.bytes.extend_from_slice(&rest[..at]);
            self.bytes.push(match rest.get(at + 1) {
                Some(b'b') => 0x08,
                Some(b'f') => 0x0C,
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                Some(b't') => b'\t',
                Some(b'v') => 0x0B,
                Some(b'\\') => b'\\',
                _ => return Err(CopyTextError),
            });
            rest = &rest[at + 2..];
        }
        self.bytes.extend_from_slice(rest);
        Ok(())
    }

    /// The columns.
    pub fn columns(&self) -> impl Iterator<Item = Column<'_>> + Clone {
        self.fields.iter().map(|field| match field {
            None => Column::Null,
            Some(range) => Column::Text(&self.bytes[range.clone()]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(row: &[u8], expected: &[Option<&[u8]>]) {
        let mut buffer = RowBuffer::default();
        buffer.read(row).unwrap();
        let columns: Vec<_> = buffer.columns().collect();
        let expected: Vec<_> =
            expected.iter().map(|field| field.map_or(Column::Null, Column::Text)).collect();
        assert_eq!(columns, expected);
    }

    #[test]
    fn fields_nulls_and_escapes_are_told_apart() {
        check(b"1\t\\N\t\tx", &[Some(b"1"), None, Some(b""), Some(b"x")]);
        check(b"a\\tb\\nc\\\\d\\r\\b\\f\\v", &[Some(b"a\tb\nc\\d\r\x08\x0c\x0b")]);
        check(b"\\\\N\t\\N", &[Some(b"\\N"), None]);
        check(b"", &[Some(b"")]);
    }

    #[test]
    fn a_large_row_takes_no_more_than_its_size_and_only_as_long_as_it_is_there() {
        let row = [b"\\n".repeat(500_000), vec![b'x'; 500_000], b"\\\\".repeat(500_000)].concat();
        let mut buffer = RowBuffer::default();
        buffer.read(&row).unwrap();
        assert_eq!((buffer.len(), buffer.bytes.capacity()), (1_500_000, row.len()));
        buffer.clear();
        assert!(buffer.is_empty() && buffer.columns().next().is_none());
        assert_eq!(buffer.bytes.capacity(), 0);
    }

    #[test]
    fn escapes_that_the_server_never_writes_are_refused() {
        for row in [&b"\\"[..], b"a\\x41", b"\\0"] {
            assert_eq!(RowBuffer::default().read(row), Err(CopyTextError));
        }
    }
}
