//! The only way to read a message: a cursor in the frame, which checks every length.

/// What is wrong with a message, at which byte and in which field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed pgoutput message {tag:?}: field {field} at byte {offset}: {problem}")]
pub struct DecodeError {
    /// The message's tag, NUL for an empty frame.
    pub tag: char,
    /// Byte in the frame.
    pub offset: usize,
    /// The field that was being read.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: Problem,
}

/// Ways in which a field can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The frame ends in the middle.
    #[error("{needed} bytes needed, {left} left")]
    Short {
        /// Bytes that the field needs.
        needed: usize,
        /// Bytes left in the frame.
        left: usize,
    },
    /// A length below zero.
    #[error("negative length {0}")]
    NegativeLength(i32),
    /// A string without its NUL.
    #[error("unterminated string")]
    Unterminated,
    /// A name that is not UTF-8 although the session asked for it.
    #[error("not UTF-8")]
    NotUtf8,
    /// A byte that the protocol does not know here.
    #[error("unknown code {0:#04x}")]
    UnknownCode(u8),
    /// A position of zero, which the server never sends here.
    #[error("position is zero")]
    ZeroLsn,
    /// The message is complete and bytes are left.
    #[error("{0} unread bytes")]
    Trailing(usize),
}

/// A reading position in one message.
pub(super) struct Cursor<'a> {
    frame: &'a [u8],
    offset: usize,
    tag: char,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(frame: &'a [u8]) -> Self {
        Self { frame, offset: 0, tag: '\0' }
    }

    pub(super) fn set_tag(&mut self, tag: u8) {
        self.tag = char::from(tag);
    }

    pub(super) fn fail<T>(&self, field: &'static str, problem: Problem) -> Result<T, DecodeError> {
        Err(DecodeError { tag: self.tag, offset: self.offset, field, problem })
    }

    fn left(&self) -> usize {
        self.frame.len() - self.offset
    }

    pub(super) fn bytes(
        &mut self,
        count: usize,
        field: &'static str,
    ) -> Result<&'a [u8], DecodeError> {
        if count > self.left() {
            return self.fail(field, Problem::Short { needed: count, left: self.left() });
        }
        let bytes = &self.frame[self.offset..self.offset + count];
        self.offset += count;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(N, field)?);
        Ok(array)
    }

    pub(super) fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        self.array::<1>(field).map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        self.array(field).map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        self.array(field).map(u32::from_be_bytes)
    }

    pub(super) fn i32(&mut self, field: &'static str) -> Result<i32, DecodeError> {
        self.array(field).map(i32::from_be_bytes)
    }

    pub(super) fn i64(&mut self, field: &'static str) -> Result<i64, DecodeError> {
        self.array(field).map(i64::from_be_bytes)
    }

    pub(super) fn lsn(
        &mut self,
        field: &'static str,
    ) -> Result<shared::position::Lsn, DecodeError> {
        let lsn = self.array(field).map(u64::from_be_bytes)?;
        if lsn == 0 {
            return self.fail(field, Problem::ZeroLsn);
        }
        Ok(shared::position::Lsn(lsn))
    }

    /// A signed length and as many bytes.
    pub(super) fn sized_bytes(&mut self, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let length = self.i32(field)?;
        match usize::try_from(length) {
            Ok(length) => self.bytes(length, field),
            Err(_) => self.fail(field, Problem::NegativeLength(length)),
        }
    }

    pub(super) fn string(&mut self, field: &'static str) -> Result<&'a str, DecodeError> {
        let rest = &self.frame[self.offset..];
        let Some(length) = rest.iter().position(|&byte| byte == 0) else {
            return self.fail(field, Problem::Unterminated);
        };
        let Ok(text) = std::str::from_utf8(&rest[..length]) else {
            return self.fail(field, Problem::NotUtf8);
        };
        self.offset += length + 1;
        Ok(text)
    }

    /// Everything from `start` to here.
    pub(super) fn since(&self, start: usize) -> &'a [u8] {
        &self.frame[start..self.offset]
    }

    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    pub(super) fn finish(&self) -> Result<(), DecodeError> {
        match self.left() {
            0 => Ok(()),
            left => self.fail("end", Problem::Trailing(left)),
        }
    }
}
