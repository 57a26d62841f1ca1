//! Frames of the PostgreSQL protocol: a tag, a length, and a body that is a slice of the block that was read.
//!
//! ```text
//! ┌─────┬──────────────┬───────────────────┐
//! │ tag │ length i32   │ length − 4 bytes  │   the length counts itself
//! └─────┴──────────────┴───────────────────┘
//! ```

use std::io::{self, Read, Write};
use std::ops::Range;
use std::time::{Duration, Instant};

use super::transport::Transport;
use super::{ReplicationError, WaitLimit};

/// How many bytes are read at once: enough for a thousand small rows, and few enough to stay in the second-level cache.
pub(super) const BLOCK_BYTES: usize = 256 << 10;

/// A block that has grown beyond this for a large message is freed.
const BLOCK_KEPT_BYTES_MAX: usize = 4 << 20;

/// The largest message: PostgreSQL's own limit for one (1 GiB less a byte) and the headers around it.
const FRAME_BYTES_MAX: usize = (1 << 30) + (64 << 10);

const HEADER_BYTES: usize = 5;

/// One frame. [`Wire::body`] gives its body until the next call that reads.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) tag: u8,
    body: Range<usize>,
}

/// A socket, and one block of received bytes.
pub(super) struct Wire {
    transport: Transport,
    block: Vec<u8>,
    start: usize,
    end: usize,
    received_bytes: u64,
}

impl Wire {
    pub(super) fn new(transport: Transport) -> Self {
        Self { transport, block: vec![0; BLOCK_BYTES], start: 0, end: 0, received_bytes: 0 }
    }

    pub(super) fn transport(&self) -> &Transport {
        &self.transport
    }

    pub(super) fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.transport.set_read_timeout(timeout)
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.transport.write_all(bytes)?;
        self.transport.flush()
    }

    pub(super) fn received_bytes(&self) -> u64 {
        self.received_bytes
    }

    pub(super) fn body(&self, frame: &Frame) -> &[u8] {
        &self.block[frame.body.clone()]
    }

    /// The next frame that is complete in the block. `None` when more bytes have to be read first.
    pub(super) fn buffered_frame(&mut self) -> Result<Option<Frame>, ReplicationError> {
        let held = &self.block[self.start..self.end];
        let Some(header) = held.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let length = i32::from_be_bytes([header[1], header[2], header[3], header[4]]);
        let frame_bytes = usize::try_from(length)
            .ok()
            .filter(|length| (4..=FRAME_BYTES_MAX).contains(length))
            .ok_or(ReplicationError::Protocol("frame length out of range"))?
            + 1;
        if held.len() < frame_bytes {
            self.make_room(frame_bytes);
            return Ok(None);
        }
        let frame =
            Frame { tag: header[0], body: self.start + HEADER_BYTES..self.start + frame_bytes };
        self.start += frame_bytes;
        Ok(Some(frame))
    }

    /// Reads once. False when the time-out passed without a byte. Afterwards, frames that were handed out before are no
    /// longer valid.
    pub(super) fn fill(&mut self) -> Result<bool, ReplicationError> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.block.len() > BLOCK_KEPT_BYTES_MAX {
                self.block = vec![0; BLOCK_BYTES];
            }
        } else if self.end == self.block.len() {
            self.make_room(self.end - self.start + 1);
        }
        match self.transport.read(&mut self.block[self.end..]) {
            Ok(0) => Err(ReplicationError::Closed),
            Ok(count) => {
                self.end += count;
                self.received_bytes += u64::try_from(count).unwrap_or(0);
                Ok(true)
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock
                | io::ErrorKind::TimedOut
                | io::ErrorKind::Interrupted => Ok(false),
                io::ErrorKind::UnexpectedEof => Err(ReplicationError::Closed),
                _ => Err(error.into()),
            },
        }
    }

    /// The next frame, however long it takes within `limit`.
    pub(super) fn frame(&mut self, limit: &WaitLimit) -> Result<Frame, ReplicationError> {
        let started = Instant::now();
        loop {
            if let Some(frame) = self.buffered_frame()? {
                return Ok(frame);
            }
            if !self.fill()? {
                limit.check(started)?;
            }
        }
    }

    /// Moves the unread bytes to the front, and grows the block so that `bytes` fit from there.
    fn make_room(&mut self, bytes: usize) {
        self.block.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        if self.block.len() < bytes {
            self.block.resize(bytes.next_multiple_of(BLOCK_BYTES), 0);
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        // Sends Terminate. Without it the server logs an unexpected end of file, and a walsender holds its slot a
        // little longer.
        let _ = self.transport.write_all(&[b'X', 0, 0, 0, 4]);
    }
}
