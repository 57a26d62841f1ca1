//! A replication stream: what the server sends inside `CopyBoth`, and our status replies.
//!
//! ```text
//! server  w  start lsn u64 · WAL end u64 · time i64 · payload        XLogData
//!         k  WAL end u64 · time i64 · reply requested u8             keepalive
//! client  r  written u64 · flushed u64 · applied u64 · time i64 · reply requested u8
//! ```
//!
//! The positions that we report are "last byte + 1", which is the form that a commit's end LSN and a keepalive's WAL
//! end have already.

use std::time::{Duration, Instant, SystemTime};

use shared::position::Lsn;

use super::wire::{Held, LargeFrame, Wire};
use super::{ReplicationError, ServerError, quote_identifier, quote_literal};

/// Seconds from 1970 to 2000, where PostgreSQL's clock starts.
pub(crate) const POSTGRES_EPOCH_SECONDS: u64 = 946_684_800;

/// How long a read waits when nothing comes. Confirmations and a shutdown are delayed by up to this time when the
/// source is idle.
const IDLE_WAIT: Duration = Duration::from_millis(20);

/// A server that was silent this long is asked for a reply. Its own keepalives come every half `wal_sender_timeout` (30
/// s). A walsender that decodes a large transaction answers only when it sends the next message.
const SILENCE_ASK: Duration = Duration::from_secs(45);

/// How long the server may take to end the stream in order.
pub(crate) const STREAM_END_DEADLINE: Duration = Duration::from_secs(5);

/// Under backlog the walsender makes one small send for each row, and each send wakes a reader that waits for it. A
/// pause of this length before a read lets the walsender fill the socket's buffer, so that a few large reads replace
/// thousands of small ones.
const COALESCE_PAUSE: Duration = Duration::from_micros(500);

/// A read that returned at least this many bytes means that there is a backlog. After a smaller read there is no pause,
/// to keep the latency low.
const COALESCE_FROM_BYTES: u64 = 8 << 10;

/// How much of a large message is shown: a row's change begins with its tag and the relation.
pub const LARGE_HEAD_BYTES: usize = 5;

/// XLogData's own fields, which stand before the plugin's message.
const DATA_HEADER_BYTES: usize = 25;

/// What to stream.
#[derive(Debug, Clone, Copy)]
pub struct StartOptions<'a> {
    /// Slot.
    pub slot: &'a str,
    /// Where to start. The server starts at the slot's confirmed position when that is further on.
    pub start: Lsn,
    /// Publication.
    pub publication: &'a str,
    /// Whether logical messages are wanted: PostgreSQL 14 and later.
    pub messages: bool,
    /// Larger messages are shown by their head first: see [`Event::Large`].
    pub message_bytes_max: u64,
}

impl StartOptions<'_> {
    pub(super) fn command(&self) -> String {
        let publication = quote_literal(&quote_identifier(self.publication));
        let messages = if self.messages { ", messages 'true'" } else { "" };
        format!(
            "START_REPLICATION SLOT {} LOGICAL {} (proto_version '1', publication_names {publication}{messages})",
            quote_identifier(self.slot),
            self.start,
        )
    }
}

/// What the server sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A message of the plugin.
    Data {
        /// Position of the WAL record that the message describes.
        start: Lsn,
        /// The message.
        payload: &'a [u8],
    },
    /// A keepalive.
    Keepalive {
        /// Everything before this position has been decoded and, if it is published, sent.
        wal_end: Lsn,
        /// Whether the server wants an answer at once.
        reply_requested: bool,
    },
    /// Nothing came for a moment, or only a notice.
    Idle {
        /// How long the server has owed an answer; zero when it owes none.
        unanswered: Duration,
    },
    /// A message comes that is larger than [`StartOptions::message_bytes_max`]. The caller skips it, or wants it whole.
    Large {
        /// How large it is, in bytes.
        bytes: u64,
        /// The first bytes of the plugin's message, [`LARGE_HEAD_BYTES`] of them.
        head: &'a [u8],
    },
    /// A part of a message came, and the rest of it did not come yet. The server waits for statuses all the same.
    Partial {
        /// As in [`Event::Idle`].
        unanswered: Duration,
    },
    /// The server ends the stream in order, as it does at its shutdown.
    End,
}

/// A running stream.
pub struct Stream {
    wire: Wire,
    server_pid: i32,
    last_received: Instant,
    /// When the server was asked for a reply, if nothing has come from it since.
    asked: Option<Instant>,
    backlog: bool,
    message_bytes_max: usize,
    /// The large message that was shown last and is neither skipped nor wanted yet.
    large: Option<LargeFrame>,
    /// The message that comes is wanted whole, however large it is.
    is_wanted: bool,
}

impl Stream {
    pub(super) fn new(
        wire: Wire,
        server_pid: i32,
        message_bytes_max: u64,
    ) -> Result<Self, ReplicationError> {
        wire.set_read_timeout(Some(IDLE_WAIT))?;
        Ok(Self {
            wire,
            server_pid,
            last_received: Instant::now(),
            asked: None,
            backlog: false,
            message_bytes_max: usize::try_from(message_bytes_max).unwrap_or(usize::MAX),
            large: None,
            is_wanted: false,
        })
    }

    /// The process id of the server's walsender.
    #[must_use]
    pub fn server_pid(&self) -> i32 {
        self.server_pid
    }

    /// When something came from the server last.
    #[must_use]
    pub fn last_received(&self) -> Instant {
        self.last_received
    }

    /// The next event; its payload is a slice of the block that was read. Returns after each read of the socket, so a
    /// large message on a slow link does not keep the caller from answering the server.
    ///
    /// # Errors
    /// When the connection breaks, the server reports an error, or sends what the protocol does not allow.
    pub fn receive(&mut self) -> Result<Event<'_>, ReplicationError> {
        let mut held = self.held()?;
        if matches!(held, Held::Nothing) {
            if !self.read()? {
                let unanswered = self.ask_when_silent()?;
                if self.wire.is_within_frame() {
                    return Ok(Event::Partial { unanswered });
                }
                return Ok(Event::Idle { unanswered });
            }
            held = self.held()?;
        }
        let frame = match held {
            Held::Frame(frame) => frame,
            Held::Large(frame) => return self.show(frame),
            Held::Nothing => return Ok(Event::Partial { unanswered: Duration::ZERO }),
        };
        self.is_wanted = false;
        let body = self.wire.body(&frame);
        match frame.tag {
            b'd' => decode_event(body),
            b'c' => Ok(Event::End),
            b'E' => Err(ServerError::decode(body).into()),
            b'N' | b'S' => Ok(Event::Idle { unanswered: Duration::ZERO }),
            b'C' | b'Z' => Ok(Event::End),
            _ => Err(ReplicationError::Protocol("unknown frame in a stream")),
        }
    }

    fn held(&mut self) -> Result<Held, ReplicationError> {
        let limit = if self.is_wanted { usize::MAX } else { self.message_bytes_max };
        self.wire.held(limit, DATA_HEADER_BYTES + LARGE_HEAD_BYTES)
    }

    fn show(&mut self, frame: LargeFrame) -> Result<Event<'_>, ReplicationError> {
        let bytes = u64::try_from(frame.frame_bytes).unwrap_or(u64::MAX);
        let frame = self.large.insert(frame);
        let body = self.wire.head(frame);
        match (frame.tag, body.first(), body.get(DATA_HEADER_BYTES..)) {
            (b'd', Some(b'w'), Some(head)) => Ok(Event::Large { bytes, head }),
            _ => Err(ReplicationError::Protocol("a frame of a stream is larger than any message")),
        }
    }

    /// Throws the large message away that was shown last.
    pub fn skip_large(&mut self) {
        if let Some(frame) = self.large.take() {
            self.wire.skip(&frame);
        }
    }

    /// Wants the large message whole that was shown last.
    pub fn want_large(&mut self) {
        self.large = None;
        self.is_wanted = true;
    }

    fn read(&mut self) -> Result<bool, ReplicationError> {
        if self.backlog && !self.wire.is_full_enough() {
            std::thread::sleep(COALESCE_PAUSE);
        }
        let before = self.wire.received_bytes();
        let got = self.wire.fill()?;
        self.backlog = self.wire.received_bytes() - before >= COALESCE_FROM_BYTES;
        if got {
            self.last_received = Instant::now();
            self.asked = None;
        }
        Ok(got)
    }

    /// Asks a silent server for a reply. Gives how long it has owed one.
    fn ask_when_silent(&mut self) -> Result<Duration, ReplicationError> {
        if let Some(asked) = self.asked {
            return Ok(asked.elapsed());
        }
        if self.last_received.elapsed() > SILENCE_ASK {
            self.asked = Some(Instant::now());
            // A position of zero confirms nothing.
            self.send_status(Lsn::INVALID, Lsn::INVALID, true)?;
        }
        Ok(Duration::ZERO)
    }

    /// Reports positions: `written` is received, `flushed` is durable in Kafka.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn send_status(
        &mut self,
        written: Lsn,
        flushed: Lsn,
        reply_requested: bool,
    ) -> Result<(), ReplicationError> {
        let mut message = [0u8; 39];
        message[0] = b'd';
        message[1..5].copy_from_slice(&38u32.to_be_bytes());
        message[5] = b'r';
        message[6..14].copy_from_slice(&written.0.to_be_bytes());
        message[14..22].copy_from_slice(&flushed.0.to_be_bytes());
        message[22..30].copy_from_slice(&flushed.0.to_be_bytes());
        message[30..38].copy_from_slice(&postgres_now().to_be_bytes());
        message[38] = u8::from(reply_requested);
        self.wire.send(&message)?;
        Ok(())
    }

    /// Ends the stream in order, so that the slot is free at once. Errors are ignored, because the stream ends anyway.
    pub fn finish(mut self) {
        let copy_done = [b'c', 0, 0, 0, 4];
        if self.wire.send(&copy_done).is_err() {
            return;
        }
        let started = Instant::now();
        while started.elapsed() < STREAM_END_DEADLINE {
            match self.wire.buffered_frame() {
                Ok(Some(frame)) if frame.tag == b'Z' || frame.tag == b'E' => break,
                Ok(Some(_)) => {}
                Ok(None) => {
                    if self.wire.fill().is_err() {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    }
}

fn decode_event(body: &[u8]) -> Result<Event<'_>, ReplicationError> {
    const SHORT: ReplicationError = ReplicationError::Protocol("stream message cut short");
    let lsn = |at: usize| -> Result<Lsn, ReplicationError> {
        let bytes = body.get(at..).and_then(|rest| rest.first_chunk::<8>()).ok_or(SHORT)?;
        Ok(Lsn(u64::from_be_bytes(*bytes)))
    };
    match body.first() {
        Some(b'w') => Ok(Event::Data { start: lsn(1)?, payload: body.get(25..).ok_or(SHORT)? }),
        Some(b'k') => Ok(Event::Keepalive {
            wal_end: lsn(1)?,
            reply_requested: *body.get(17).ok_or(SHORT)? == 1,
        }),
        _ => Err(ReplicationError::Protocol("unknown stream message")),
    }
}

/// Microseconds since 2000-01-01.
fn postgres_now() -> i64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH + Duration::from_secs(POSTGRES_EPOCH_SECONDS))
        .ok()
        .and_then(|since| i64::try_from(since.as_micros()).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_the_command_are_quoted_twice_where_the_server_parses_twice() {
        let options = StartOptions {
            slot: "s",
            start: Lsn(0x1_0000_00FF),
            publication: "My \"pub",
            messages: true,
            message_bytes_max: 1,
        };
        assert_eq!(
            options.command(),
            "START_REPLICATION SLOT \"s\" LOGICAL 1/FF (proto_version '1', publication_names '\"My \"\"pub\"', messages 'true')"
        );
    }

    #[test]
    fn stream_messages_that_are_cut_are_refused() {
        let mut data = vec![b'w'];
        data.extend(7u64.to_be_bytes());
        data.extend([0; 16]);
        data.extend(b"Ixyz");
        assert_eq!(decode_event(&data).unwrap(), Event::Data { start: Lsn(7), payload: b"Ixyz" });
        for length in 0..25 {
            assert!(decode_event(&data[..length]).is_err(), "{length}");
        }
        let mut keepalive = vec![b'k'];
        keepalive.extend(9u64.to_be_bytes());
        keepalive.extend([0; 8]);
        keepalive.push(1);
        assert_eq!(
            decode_event(&keepalive).unwrap(),
            Event::Keepalive { wal_end: Lsn(9), reply_requested: true }
        );
        for length in 0..keepalive.len() {
            assert!(decode_event(&keepalive[..length]).is_err(), "{length}");
        }
    }
}
