//! A session that is ready: simple queries, COPY OUT, and the way into a stream.

use std::ops::ControlFlow;

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use shared::postgres::ConnectOptions;

use super::cancel::CancelKey;
use super::startup::{self, Mode};
use super::stream::{StartOptions, Stream};
use super::wire::{Frame, Held, Wire};
use super::{ReplicationError, ServerError, WaitLimit};

/// A row of a simple query: text or NULL.
pub type Row = Vec<Option<String>>;

/// A row that is larger is announced before it is read.
const LARGE_ROW_BYTES: usize = 1 << 20;

/// Takes the rows of a `COPY … TO STDOUT`.
pub trait CopyRows {
    /// What can fail beside the connection.
    type Error: From<ReplicationError>;

    /// A row of about so many bytes comes next, and no memory is taken for it before this returns. It is called for
    /// rows of more than a megabyte.
    ///
    /// # Errors
    /// Why the row must not be read.
    fn large(&mut self, bytes: usize) -> Result<ControlFlow<()>, Self::Error>;

    /// A row's bytes, without its line end.
    ///
    /// # Errors
    /// Why the row cannot be taken.
    fn row(&mut self, row: &[u8]) -> Result<ControlFlow<()>, Self::Error>;
}

/// A connection that waits for commands.
pub struct Client {
    wire: Wire,
    limit: WaitLimit,
    options: ConnectOptions,
    cancel_key: CancelKey,
}

impl Client {
    /// Connects and authenticates.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub fn connect(
        options: &ConnectOptions,
        mode: Mode,
        limit: WaitLimit,
    ) -> Result<Self, ReplicationError> {
        let (wire, cancel_key) = startup::open(options, mode, &limit)?;
        Ok(Self { wire, limit, options: options.clone(), cancel_key })
    }

    /// The same connection with another limit on its waits.
    #[must_use]
    pub fn with_wait_limit(self, limit: WaitLimit) -> Self {
        Self { limit, ..self }
    }

    /// Runs a statement and returns its rows.
    ///
    /// # Errors
    /// What the server reports; the session is usable afterwards.
    pub fn query(&mut self, sql: &str) -> Result<Vec<Row>, ReplicationError> {
        self.send_query(sql)?;
        let mut rows = Vec::new();
        self.until_ready(|tag, body| {
            if tag == b'D' {
                rows.push(decode_row(body)?);
            }
            Ok(())
        })?;
        Ok(rows)
    }

    /// Runs `COPY … TO STDOUT` and hands the rows to `rows`, until there are no more of them or `rows` breaks off.
    /// After a break the connection must be dropped.
    ///
    /// # Errors
    /// What the server reports, or the first error of `rows`; after the latter the connection must be dropped, too.
    pub fn copy_out<R: CopyRows>(
        &mut self,
        sql: &str,
        rows: &mut R,
    ) -> Result<ControlFlow<()>, R::Error> {
        self.send_query(sql)?;
        let mut failure = None;
        loop {
            let held = self.frame_or_head().map_err(|end| cause(failure.take(), end))?;
            let frame = match held {
                Held::Frame(frame) => frame,
                Held::Large(head) => {
                    if head.tag == b'd' && rows.large(head.frame_bytes)?.is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                    self.frame().map_err(|end| cause(failure.take(), end))?
                }
                Held::Nothing => continue,
            };
            let body = self.wire.body(&frame);
            match frame.tag {
                b'd' => {
                    if rows.row(body.strip_suffix(b"\n").unwrap_or(body))?.is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                b'H' | b'c' | b'C' | b'N' | b'S' => {}
                b'E' => failure = Some(ServerError::decode(body)),
                b'Z' => break,
                _ => {
                    return Err(ReplicationError::Protocol("no COPY data in answer to COPY").into());
                }
            }
        }
        match failure {
            None => Ok(ControlFlow::Continue(())),
            Some(error) => Err(ReplicationError::from(error).into()),
        }
    }

    /// `START_REPLICATION`: the session becomes a stream.
    ///
    /// # Errors
    /// What the server reports.
    pub fn start_replication(
        mut self,
        options: &StartOptions<'_>,
    ) -> Result<Stream, ReplicationError> {
        self.send_query(&options.command())?;
        loop {
            let frame = self.frame()?;
            match frame.tag {
                b'W' => {
                    let (pid, limit) = (self.cancel_key.process(), options.message_bytes_max);
                    return Stream::new(self.wire, pid, limit);
                }
                b'N' | b'S' => {}
                b'E' => return Err(ServerError::decode(self.wire.body(&frame)).into()),
                _ => {
                    return Err(ReplicationError::Protocol(
                        "no CopyBothResponse in answer to START_REPLICATION",
                    ));
                }
            }
        }
    }

    /// The next frame. When the wait ends before the answer, the server is asked to cancel the statement.
    fn frame(&mut self) -> Result<Frame, ReplicationError> {
        let frame = self.wire.frame(&self.limit);
        self.cancel_unless_answered(frame)
    }

    /// The next frame, or the head of a large one. The wait ends as in [`Client::frame`].
    fn frame_or_head(&mut self) -> Result<Held, ReplicationError> {
        let held = self.wire.frame_or_head(LARGE_ROW_BYTES, &self.limit);
        self.cancel_unless_answered(held)
    }

    fn cancel_unless_answered<T>(
        &self,
        answer: Result<T, ReplicationError>,
    ) -> Result<T, ReplicationError> {
        if matches!(answer, Err(ReplicationError::Stopped | ReplicationError::Silent { .. }))
            && let Err(error) = self.cancel_key.cancel(&self.options)
        {
            tracing::warn!(%error, "the server cannot be asked to cancel the statement");
        }
        answer
    }

    fn send_query(&mut self, sql: &str) -> Result<(), ReplicationError> {
        let mut message = BytesMut::new();
        frontend::query(sql, &mut message)
            .map_err(|_| ReplicationError::Protocol("a statement holds a NUL byte"))?;
        self.wire.send(&message)?;
        Ok(())
    }

    fn until_ready(
        &mut self,
        mut each: impl FnMut(u8, &[u8]) -> Result<(), ReplicationError>,
    ) -> Result<(), ReplicationError> {
        let mut failure = None;
        loop {
            let frame = self.frame().map_err(|end| cause(failure.take(), end))?;
            let body = self.wire.body(&frame);
            match frame.tag {
                b'Z' => break,
                b'E' => failure = Some(ServerError::decode(body)),
                tag => each(tag, body)?,
            }
        }
        failure.map_or(Ok(()), |error| Err(error.into()))
    }
}

/// Why a connection ended: the server's last error, if it sent one.
fn cause(sent: Option<ServerError>, end: ReplicationError) -> ReplicationError {
    sent.map_or(end, ReplicationError::from)
}

/// DataRow: u16 count, then for each an i32 length (-1 for NULL) and bytes.
fn decode_row(body: &[u8]) -> Result<Row, ReplicationError> {
    const BAD: ReplicationError = ReplicationError::Protocol("malformed row");
    let (count, mut rest) = body.split_first_chunk::<2>().ok_or(BAD)?;
    let mut row = Vec::new();
    for _ in 0..u16::from_be_bytes(*count) {
        let (length, tail) = rest.split_first_chunk::<4>().ok_or(BAD)?;
        let length = i32::from_be_bytes(*length);
        if length == -1 {
            row.push(None);
            rest = tail;
            continue;
        }
        let length = usize::try_from(length).map_err(|_| BAD)?;
        let (value, tail) = tail.split_at_checked(length).ok_or(BAD)?;
        row.push(Some(String::from_utf8_lossy(value).into_owned()));
        rest = tail;
    }
    Ok(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_are_cut_are_refused() {
        let body = [&[0, 2][..], &(-1i32).to_be_bytes(), &3i32.to_be_bytes(), b"abc"].concat();
        assert_eq!(decode_row(&body).unwrap(), vec![None, Some("abc".to_owned())]);
        for length in 0..body.len() {
            assert!(decode_row(&body[..length]).is_err(), "{length}");
        }
    }
}
