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

/// A frame that is too large to be held: its head, and how large the whole is.
#[derive(Debug, Clone)]
pub(super) struct LargeFrame {
    pub(super) tag: u8,
    pub(super) frame_bytes: usize,
    head: Range<usize>,
}

/// What the block holds next.
#[derive(Debug, Clone)]
pub(super) enum Held {
    /// A whole frame.
    Frame(Frame),
    /// The head of a frame that is larger than the wanted limit. It stays until it is skipped or read whole.
    Large(LargeFrame),
    /// More bytes have to be read first.
    Nothing,
}

/// A socket, and one block of received bytes.
pub(super) struct Wire {
    transport: Transport,
    block: Vec<u8>,
    start: usize,
    end: usize,
    received_bytes: u64,
    /// See [`Transport::coalesced_bytes`].
    coalesced_bytes: u64,
    /// Bytes that are still to be read and thrown away.
    skip_bytes: usize,
}

impl Wire {
    pub(super) fn new(transport: Transport) -> Self {
        Self {
            coalesced_bytes: transport.coalesced_bytes(),
            transport,
            block: vec![0; BLOCK_BYTES],
            start: 0,
            end: 0,
            received_bytes: 0,
            skip_bytes: 0,
        }
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

    /// Whether a part of a frame has come, and the rest has not.
    pub(super) fn is_within_frame(&self) -> bool {
        self.start < self.end || self.skip_bytes > 0
    }

    pub(super) fn received_bytes(&self) -> u64 {
        self.received_bytes
    }

    /// Whether the socket holds so much that a pause before the next read would gain nothing.
    pub(super) fn is_full_enough(&self) -> bool {
        // A system that cannot tell is taken for an empty socket.
        let waiting = self.transport.waiting_bytes().unwrap_or(0);
        waiting >= self.coalesced_bytes
    }

    pub(super) fn body(&self, frame: &Frame) -> &[u8] {
        &self.block[frame.body.clone()]
    }

    /// The first bytes of a large frame's body.
    pub(super) fn head(&self, frame: &LargeFrame) -> &[u8] {
        &self.block[frame.head.clone()]
    }

    /// The next frame that is complete in the block. `None` when more bytes have to be read first.
    pub(super) fn buffered_frame(&mut self) -> Result<Option<Frame>, ReplicationError> {
        match self.held(FRAME_BYTES_MAX, 0)? {
            Held::Frame(frame) => Ok(Some(frame)),
            Held::Large(_) | Held::Nothing => Ok(None),
        }
    }

    /// What the block holds next. Of a frame that is larger than `frame_bytes_max` only the head is given, once its
    /// body has `head_bytes` of it, and no memory is taken for the rest.
    pub(super) fn held(
        &mut self,
        frame_bytes_max: usize,
        head_bytes: usize,
    ) -> Result<Held, ReplicationError> {
        if self.skip_bytes > 0 {
            return Ok(Held::Nothing);
        }
        let held = &self.block[self.start..self.end];
        let Some(header) = held.first_chunk::<HEADER_BYTES>() else { return Ok(Held::Nothing) };
        let tag = header[0];
        let length = i32::from_be_bytes([header[1], header[2], header[3], header[4]]);
        let frame_bytes = usize::try_from(length)
            .ok()
            .filter(|length| (4..=FRAME_BYTES_MAX).contains(length))
            .ok_or(ReplicationError::Protocol("frame length out of range"))?
            + 1;
        let body = self.start + HEADER_BYTES;
        if held.len() >= frame_bytes {
            let frame = Frame { tag, body: body..self.start + frame_bytes };
            self.start += frame_bytes;
            return Ok(Held::Frame(frame));
        }
        if frame_bytes <= frame_bytes_max {
            self.make_room(frame_bytes);
            return Ok(Held::Nothing);
        }
        if held.len() < HEADER_BYTES + head_bytes {
            self.make_room(HEADER_BYTES + head_bytes);
            return Ok(Held::Nothing);
        }
        Ok(Held::Large(LargeFrame { tag, frame_bytes, head: body..body + head_bytes }))
    }

    /// Throws a large frame away, also what has not come of it yet.
    pub(super) fn skip(&mut self, frame: &LargeFrame) {
        let here = frame.frame_bytes.min(self.end - self.start);
        self.start += here;
        self.skip_bytes = frame.frame_bytes - here;
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
                let skipped = self.skip_bytes.min(self.end - self.start);
                self.skip_bytes -= skipped;
                self.start += skipped;
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

    /// The next frame, however long it takes within `limit`, which also ends a frame that trickles in.
    pub(super) fn frame(&mut self, limit: &WaitLimit) -> Result<Frame, ReplicationError> {
        loop {
            if let Held::Frame(frame) = self.frame_or_head(FRAME_BYTES_MAX, limit)? {
                return Ok(frame);
            }
        }
    }

    /// As [`Wire::frame`]; of a frame that is larger than `frame_bytes_max` only the head, before memory is taken for
    /// its body.
    pub(super) fn frame_or_head(
        &mut self,
        frame_bytes_max: usize,
        limit: &WaitLimit,
    ) -> Result<Held, ReplicationError> {
        let started = Instant::now();
        let mut has_read = false;
        loop {
            match self.held(frame_bytes_max, 0)? {
                Held::Nothing => {}
                Held::Large(_) => {
                    self.give_back();
                    return self.held(frame_bytes_max, 0);
                }
                held @ Held::Frame(_) => return Ok(held),
            }
            if std::mem::replace(&mut has_read, true) {
                limit.check(started)?;
            }
            self.fill()?;
        }
    }

    /// Gives the memory back that the block took for an earlier large frame. Frames that were handed out before are no
    /// longer valid.
    fn give_back(&mut self) {
        let unread = self.end - self.start;
        if self.block.len() > BLOCK_KEPT_BYTES_MAX && unread <= BLOCK_BYTES {
            let mut block = vec![0; BLOCK_BYTES];
            block[..unread].copy_from_slice(&self.block[self.start..self.end]);
            self.block = block;
            (self.start, self.end) = (0, unread);
        }
    }

    /// Moves the unread bytes to the front, and grows the block so that `bytes` fit from there.
    fn make_room(&mut self, bytes: usize) {
        self.block.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        if self.block.len() < bytes {
            let bytes = bytes.next_multiple_of(BLOCK_BYTES);
            self.block.reserve_exact(bytes - self.block.len());
            self.block.resize(bytes, 0);
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

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
        let length = i32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [&[tag][..], &length, body].concat()
    }

    /// A wire on which these bytes come, and then nothing.
    fn wire(bytes: Vec<u8>) -> (Wire, std::thread::JoinHandle<UnixStream>) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let writer = std::thread::spawn(move || {
            theirs.write_all(&bytes).unwrap();
            theirs
        });
        (Wire::new(Transport::Unix(ours)), writer)
    }

    #[test]
    fn a_large_frame_is_skipped_without_memory_for_it_and_the_next_one_follows() {
        let large: Vec<u8> = (0..2_000_000u32).flat_map(u32::to_be_bytes).collect();
        let bytes = [frame(b'd', &large), frame(b'd', b"small")].concat();
        let (mut wire, writer) = wire(bytes);
        let frame = loop {
            match wire.held(1_000_000, 8).unwrap() {
                Held::Large(frame) => break frame,
                Held::Frame(_) => panic!("it is larger"),
                Held::Nothing => assert!(wire.fill().unwrap()),
            }
        };
        assert_eq!((frame.tag, frame.frame_bytes), (b'd', large.len() + 5));
        assert_eq!(wire.head(&frame), &large[..8]);
        wire.skip(&frame);
        let next = loop {
            match wire.held(1_000_000, 8).unwrap() {
                Held::Frame(frame) => break frame,
                Held::Large(_) => panic!("it was skipped"),
                Held::Nothing => assert!(wire.fill().unwrap()),
            }
        };
        assert_eq!(wire.body(&next), b"small");
        assert_eq!(wire.block.len(), BLOCK_BYTES);
        drop(writer.join().unwrap());
    }

    #[test]
    fn the_memory_of_a_large_frame_is_given_back_before_the_next_one_is_read() {
        let large = vec![7; 5_000_000];
        let (mut wire, writer) = wire([frame(b'd', &large), frame(b'd', &large)].concat());
        for _ in 0..2 {
            let head = wire.frame_or_head(1000, &WaitLimit::brief()).unwrap();
            assert!(matches!(&head, Held::Large(head) if head.frame_bytes == large.len() + 5));
            assert_eq!(wire.block.len(), BLOCK_BYTES);
            let whole = wire.frame(&WaitLimit::brief()).unwrap();
            assert_eq!(wire.body(&whole), large);
        }
        drop(writer.join().unwrap());
    }

    #[test]
    fn a_large_frame_that_is_not_skipped_can_be_read_whole() {
        let large = vec![7; 1_000_000];
        let (mut wire, writer) = wire(frame(b'd', &large));
        loop {
            match wire.held(1000, 8).unwrap() {
                Held::Large(_) => break,
                Held::Frame(_) => panic!("it is larger"),
                Held::Nothing => assert!(wire.fill().unwrap()),
            }
        }
        let whole = wire.frame(&WaitLimit::brief()).unwrap();
        assert_eq!(wire.body(&whole), large);
        drop(writer.join().unwrap());
    }
}
