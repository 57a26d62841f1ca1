//! The ordinary SQL connection's socket, which lets no request for a password through that must not be answered. The
//! driver answers every request, so the request is taken out before the driver sees it.
//!
//! In: an address and what the user allows. Out: a stream of the server's bytes, as they are, or an error in the place
//! of a request that [`AuthenticationRules::check`] refuses. Once the server has accepted, nothing is looked at any
//! more.
//!
//! ```text
//! ┌─────┬──────────────┬──────────────┬───┐
//! │ 'R' │ length i32   │ method i32   │ … │   <https://www.postgresql.org/docs/current/protocol-message-formats.html>
//! └─────┴──────────────┴──────────────┴───┘
//! ```

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

use crate::authentication::{AuthenticationRules, Method, Peer, Refusal};

/// A socket of either kind.
pub(crate) trait Bytes: AsyncRead + AsyncWrite + Unpin + Send + Sync {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + Sync> Bytes for T {}

/// A connected socket, and who can be at its other end.
pub(crate) struct Socket {
    pub(crate) bytes: Box<dyn Bytes>,
    pub(crate) peer: Peer,
}

/// How long a socket waits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SocketLimits {
    /// For one address to accept.
    pub(crate) accept: Duration,
    /// For the other side's kernel to acknowledge what was sent.
    pub(crate) unacknowledged: Duration,
    /// Without traffic, before the other side is probed.
    pub(crate) idle: Duration,
}

impl Socket {
    /// Connects to the Unix socket in a directory.
    pub(crate) async fn unix(dir: &str, port: u16) -> io::Result<Self> {
        let socket = UnixStream::connect(format!("{dir}/.s.PGSQL.{port}")).await?;
        Ok(Self { bytes: Box::new(socket), peer: Peer::Local })
    }

    /// Connects to the first address of a host that accepts.
    pub(crate) async fn tcp(host: &str, port: u16, limits: SocketLimits) -> io::Result<Self> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the host name has no address");
        for address in tokio::net::lookup_host((host, port)).await? {
            let connected = tokio::time::timeout(limits.accept, TcpStream::connect(address)).await;
            match connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(socket) => {
                    socket.set_nodelay(true)?;
                    let raw = SockRef::from(&socket);
                    raw.set_tcp_user_timeout(Some(limits.unacknowledged))?;
                    raw.set_tcp_keepalive(&TcpKeepalive::new().with_time(limits.idle))?;
                    let is_local = address.ip().to_canonical().is_loopback();
                    let peer = if is_local { Peer::Local } else { Peer::Unknown };
                    return Ok(Self { bytes: Box::new(socket), peer });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// A request that is not passed on.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.advice(&crate::authentication::LOADER_WORDS))]
struct Refused(Refusal);

/// What the next byte of the server is.
#[derive(Debug, Clone)]
enum At {
    /// The answer to an SSLRequest: TLS follows, or a message.
    SslAnswer,
    /// Part of a message: what has come of its first nine bytes.
    Header(Vec<u8>),
    /// The rest of a message, so many bytes.
    Body(usize),
    /// Nothing that is looked at.
    Anything,
}

/// A stream without those requests.
pub(crate) struct Guarded<S> {
    inner: S,
    rules: AuthenticationRules,
    peer: Peer,
    at: At,
    /// Whether the server has asked for anything.
    is_asked: bool,
}

impl<S> Guarded<S> {
    /// A stream on which the server speaks as soon as it has been spoken to.
    pub(crate) fn plain(inner: S, rules: AuthenticationRules, peer: Peer) -> Self {
        Self { inner, rules, peer, at: At::Header(Vec::new()), is_asked: false }
    }

    /// A stream on which the server first says whether TLS follows.
    pub(crate) fn before_tls(inner: S, rules: AuthenticationRules, peer: Peer) -> Self {
        Self { at: At::SslAnswer, ..Self::plain(inner, rules, peer) }
    }

    fn look(&mut self, mut bytes: &[u8]) -> Result<(), Refused> {
        while let Some((&byte, rest)) = bytes.split_first() {
            match &mut self.at {
                At::Anything => return Ok(()),
                At::SslAnswer => {
                    self.at = if byte == b'S' { At::Anything } else { At::Header(Vec::new()) };
                    // An error in answer to an SSLRequest is a message.
                    if byte == b'N' || byte == b'S' {
                        bytes = rest;
                    }
                }
                At::Header(header) => {
                    header.push(byte);
                    bytes = rest;
                    let header = std::mem::take(header);
                    self.at = self.after(header)?;
                }
                At::Body(left) => {
                    let count = bytes.len().min(*left);
                    *left -= count;
                    bytes = &bytes[count..];
                    if *left == 0 {
                        self.at = At::Header(Vec::new());
                    }
                }
            }
        }
        Ok(())
    }

    /// What comes after so many bytes of a message.
    fn after(&mut self, header: Vec<u8>) -> Result<At, Refused> {
        let length = |bytes: &[u8]| {
            let bytes = bytes.first_chunk::<4>().copied().unwrap_or_default();
            usize::try_from(u32::from_be_bytes(bytes)).unwrap_or(usize::MAX)
        };
        let body = |bytes: usize| if bytes == 0 { At::Header(Vec::new()) } else { At::Body(bytes) };
        let next = match header.as_slice() {
            [b'R', size @ .., a, b, c, d] if size.len() == 4 => {
                let code = length(&[*a, *b, *c, *d]);
                self.check(code)?;
                self.is_asked = true;
                let rest = body(length(size).saturating_sub(8));
                Some(if code == 0 { At::Anything } else { rest })
            }
            [tag, size @ ..] if *tag != b'R' && size.len() == 4 => {
                Some(body(length(size).saturating_sub(4)))
            }
            _ => None,
        };
        Ok(next.unwrap_or(At::Header(header)))
    }

    fn check(&self, code: usize) -> Result<(), Refused> {
        let method = match code {
            0 if !self.is_asked => Method::None,
            3 => Method::Password,
            5 => Method::Md5,
            10 => Method::ScramSha256,
            7 | 8 => Method::Gss,
            9 => Method::Sspi,
            _ => return Ok(()),
        };
        self.rules.check(method, self.peer).map_err(Refused)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let start = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        if matches!(self.at, At::Anything) {
            return Poll::Ready(Ok(()));
        }
        let looked_at = self.look(&buffer.filled()[start..]);
        if looked_at.is_err() {
            buffer.set_filled(start);
        }
        Poll::Ready(looked_at.map_err(io::Error::other))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

impl<S: TlsStream + Unpin> TlsStream for Guarded<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.inner.channel_binding()
    }
}

/// Makes guarded streams of TLS.
pub(crate) struct GuardedTls<T> {
    pub(crate) inner: T,
    pub(crate) rules: AuthenticationRules,
    pub(crate) peer: Peer,
}

impl<S, T> TlsConnect<S> for GuardedTls<T>
where
    S: 'static,
    T: TlsConnect<S> + 'static,
    T::Stream: 'static,
    T::Error: 'static,
    T::Future: Send + 'static,
{
    type Stream = Guarded<T::Stream>;
    type Error = T::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Stream, T::Error>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        let Self { inner, rules, peer } = self;
        let connecting = inner.connect(stream);
        Box::pin(async move { Ok(Guarded::plain(connecting.await?, rules, peer)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap();
        [&[tag][..], &length.to_be_bytes(), body].concat()
    }

    /// Whether what the server says is passed on, however it is cut into pieces.
    #[track_caller]
    fn check(said: &[u8], before_tls: bool, peer: Peer, expected: bool) {
        for piece in [1, 2, 3, 7, said.len().max(1)] {
            let rules = AuthenticationRules::default();
            let mut guarded = if before_tls {
                Guarded::before_tls((), rules, peer)
            } else {
                Guarded::plain((), rules, peer)
            };
            let passed = said.chunks(piece).all(|bytes| guarded.look(bytes).is_ok());
            assert_eq!(passed, expected, "{said:?} in pieces of {piece}");
        }
    }

    #[test]
    fn a_request_for_a_password_is_found_wherever_it_stands() {
        let password = message(b'R', &3u32.to_be_bytes());
        let md5 = message(b'R', &[0, 0, 0, 5, 1, 2, 3, 4]);
        let scram = message(b'R', b"\0\0\0\x0aSCRAM-SHA-256\0\0");
        let accepted = message(b'R', &[0; 4]);
        let notice = message(b'N', b"SNOTICE\0Mhello\0\0");
        for request in [&password, &md5] {
            check(request, false, Peer::Unknown, false);
            check(&[&notice[..], request].concat(), false, Peer::Unknown, false);
            check(&[b"N", &request[..]].concat(), true, Peer::Unknown, false);
            check(&[&message(b'v', &[0; 8])[..], request].concat(), false, Peer::Unknown, false);
            check(request, false, Peer::Local, true);
            check(request, false, Peer::Verified, true);
            // After TLS has begun nothing of it looks like a message, and after the end of authentication all is data.
            check(&[b"S", &request[..]].concat(), true, Peer::Unknown, true);
            check(&[&accepted[..], request].concat(), false, Peer::Unknown, true);
        }
        check(&[&scram[..], &accepted[..]].concat(), false, Peer::Unknown, true);
        check(&[&scram[..], &password[..]].concat(), false, Peer::Unknown, false);
    }
}
