//! Rows as `COPY … TO STDOUT` sends them, one after the other, in bounded memory.
//!
//! In: a connection and a statement. Out: in the text format the fields of each row, in the binary format the bytes of
//! each row. The server sends a message for each row, but the protocol does not promise that, so rows are cut by their
//! own form. A large row needs room for itself, and nothing else grows.
//!
//! Formats: PostgreSQL manual, COPY, "Text Format" and "Binary Format".

use std::ops::Range;
use std::pin::Pin;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::TryStreamExt;
use tokio_postgres::{Client, CopyOutStream, Error};

/// Why rows cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CopyError {
    /// The server, or the connection to it.
    #[error(transparent)]
    Server(#[from] Error),
    /// What came is not in the format of COPY.
    #[error("COPY sent what is not in its format")]
    Form,
}

/// What a COPY has sent and nobody has read yet.
struct Received {
    stream: Pin<Box<CopyOutStream>>,
    bytes: BytesMut,
}

impl Received {
    async fn of(client: &Client, sql: &str) -> Result<Self, Error> {
        Ok(Self { stream: Box::pin(client.copy_out(sql).await?), bytes: BytesMut::new() })
    }

    /// Waits for more. Returns false at the end.
    async fn more(&mut self) -> Result<bool, Error> {
        let Some(chunk) = self.stream.try_next().await? else { return Ok(false) };
        self.bytes.extend_from_slice(&chunk);
        Ok(true)
    }
}

/// Rows in the text format.
pub(crate) struct TextRows {
    received: Received,
    /// the texts of the row's fields, one behind the other
    text: String,
    fields: Vec<Option<Range<usize>>>,
}

impl TextRows {
    /// Begins to read.
    pub(crate) async fn of(client: &Client, sql: &str) -> Result<Self, Error> {
        let received = Received::of(client, sql).await?;
        Ok(Self { received, text: String::new(), fields: Vec::new() })
    }

    /// Reads the next row. Returns false when there is none.
    pub(crate) async fn next(&mut self) -> Result<bool, CopyError> {
        let mut searched = 0;
        loop {
            let bytes = &self.received.bytes;
            if let Some(end) = bytes[searched..].iter().position(|&byte| byte == b'\n') {
                let line = self.received.bytes.split_to(searched + end + 1);
                self.read(&line[..searched + end])?;
                return Ok(true);
            }
            searched = bytes.len();
            if !self.received.more().await? {
                return if self.received.bytes.is_empty() {
                    Ok(false)
                } else {
                    Err(CopyError::Form)
                };
            }
        }
    }

    /// The row's fields; NULL is none.
    pub(crate) fn fields(&self) -> impl ExactSizeIterator<Item = Option<&str>> {
        self.fields.iter().map(|field| field.clone().map(|range| &self.text[range]))
    }

    /// One field of the row; none also when the row has fewer.
    pub(crate) fn field(&self, place: usize) -> Option<&str> {
        self.fields.get(place)?.clone().map(|range| &self.text[range])
    }

    fn read(&mut self, line: &[u8]) -> Result<(), CopyError> {
        let line = std::str::from_utf8(line).map_err(|_| CopyError::Form)?;
        self.text.clear();
        self.fields.clear();
        for field in line.split('\t') {
            if field == "\\N" {
                self.fields.push(None);
                continue;
            }
            let start = self.text.len();
            unescape(field, &mut self.text)?;
            self.fields.push(Some(start..self.text.len()));
        }
        Ok(())
    }
}

/// Appends a field without its backslashes.
fn unescape(field: &str, out: &mut String) -> Result<(), CopyError> {
    let mut rest = field;
    while let Some((before, behind)) = rest.split_once('\\') {
        out.push_str(before);
        let mut characters = behind.chars();
        out.push(match characters.next() {
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('v') => '\u{b}',
            Some('\\') => '\\',
            _ => return Err(CopyError::Form),
        });
        rest = characters.as_str();
    }
    out.push_str(rest);
    Ok(())
}

/// Rows in the binary format.
pub(crate) struct BinaryRows {
    received: Received,
    is_begun: bool,
}

/// What every binary COPY begins with; then come flags and the length of an extension.
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
const HEADER_LENGTH: usize = SIGNATURE.len() + 8;

impl BinaryRows {
    /// Begins to read.
    pub(crate) async fn of(client: &Client, sql: &str) -> Result<Self, Error> {
        Ok(Self { received: Received::of(client, sql).await?, is_begun: false })
    }

    /// The bytes of the next row: the number of its fields, then the length and the bytes of each.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, CopyError> {
        if !self.is_begun {
            self.header().await?;
        }
        loop {
            match row_length(&self.received.bytes)? {
                Some(RowLength::Row(length)) => {
                    return Ok(Some(self.received.bytes.split_to(length).freeze()));
                }
                Some(RowLength::End) => {
                    self.received.bytes.advance(2);
                    // The server still says that the statement is done.
                    let has_more = self.received.more().await? || !self.received.bytes.is_empty();
                    return if has_more { Err(CopyError::Form) } else { Ok(None) };
                }
                None if self.received.more().await? => {}
                None => return Err(CopyError::Form),
            }
        }
    }

    async fn header(&mut self) -> Result<(), CopyError> {
        while self.received.bytes.len() < HEADER_LENGTH {
            if !self.received.more().await? {
                return Err(CopyError::Form);
            }
        }
        let header = self.received.bytes.split_to(HEADER_LENGTH);
        // No flag and no extension is known to PostgreSQL 14 to 18.
        if !header.starts_with(SIGNATURE) || header[SIGNATURE.len()..] != [0; 8] {
            return Err(CopyError::Form);
        }
        self.is_begun = true;
        Ok(())
    }
}

enum RowLength {
    Row(usize),
    End,
}

/// The length of the row that begins here; none while more of it has to come.
fn row_length(bytes: &[u8]) -> Result<Option<RowLength>, CopyError> {
    let Some((count, _)) = bytes.split_first_chunk::<2>() else { return Ok(None) };
    let count = i16::from_be_bytes(*count);
    if count == -1 {
        return Ok(Some(RowLength::End));
    }
    let mut at = 2_usize;
    for _ in 0..u16::try_from(count).map_err(|_| CopyError::Form)? {
        let Some((length, _)) = bytes.get(at..).and_then(|rest| rest.split_first_chunk::<4>())
        else {
            return Ok(None);
        };
        at += 4;
        match i32::from_be_bytes(*length) {
            -1 => {}
            length => at += usize::try_from(length).map_err(|_| CopyError::Form)?,
        }
    }
    Ok((at <= bytes.len()).then_some(RowLength::Row(at)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_taken_back_and_unknown_ones_refused() {
        let mut text = String::new();
        unescape("a\\tb\\\\n\\n\u{e9}", &mut text).unwrap();
        assert_eq!(text, "a\tb\\n\n\u{e9}");
        assert!(unescape("a\\", &mut String::new()).is_err());
        assert!(unescape("\\x41", &mut String::new()).is_err());
    }

    #[test]
    fn a_binary_row_is_whole_or_waits() {
        let row = [&[0, 2][..], &[0, 0, 0, 3], b"abc", &[0xFF; 4]].concat();
        for cut in 0..row.len() {
            assert!(matches!(row_length(&row[..cut]), Ok(None)), "{cut}");
        }
        assert!(matches!(row_length(&row), Ok(Some(RowLength::Row(13)))));
        assert!(matches!(row_length(&[0xFF, 0xFF]), Ok(Some(RowLength::End))));
        assert!(row_length(&[0xFF, 0xFE]).is_err());
        assert!(row_length(&[0, 1, 0xFF, 0xFF, 0xFF, 0xFE]).is_err());
    }
}
