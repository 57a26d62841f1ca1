//! TCP, Unix socket or TLS: something that reads and writes bytes and can time out.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use shared::authentication::{EndPoint, Peer};
use shared::end_point::end_point_hash;
use shared::postgres::ConnectOptions;
use shared::tls::{SslMode, client_config, verifies};
use socket2::{SockRef, TcpKeepalive};

use super::ReplicationError;

/// An address that does not answer counts as failed after this long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// When the server does not take a write for this long, the connection is dead. Status messages have only 34 bytes.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// A connection on which nothing comes is probed after this long by TCP itself, then [`KEEPALIVE_PROBES`] times at
/// [`KEEPALIVE_INTERVAL`]. A machine that is gone is noticed within a minute, whether its server was busy or not.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(30);

/// See [`KEEPALIVE_AFTER`].
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// See [`KEEPALIVE_AFTER`].
const KEEPALIVE_PROBES: u32 = 3;

/// How long a machine may leave what we sent without an acknowledgement. TCP sends no keepalives while data waits, and
/// would try again for a quarter of an hour.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(60);

/// The size of the receive buffer. It lets the server send on while the reader works on a block. The kernel may grant
/// less.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;

/// The receive buffer that was asked for has room for many times more, so a pause does not stop the walsender.
const TCP_COALESCED_BYTES: u64 = 256 << 10;

/// No pause when so large a part of the receive buffer is in use: the kernel may have granted less than was asked for,
/// and counts its own memory for each send, too.
const TCP_BUFFER_PARTS: u64 = 8;

/// A Unix socket never holds much more, because the kernel counts about 800 bytes for each small send against the
/// sender's 208 KiB. A pause would then stop the walsender as well. A second thread that only empties the socket was
/// measured on two cores, and the reader was no faster with that thread.
const UNIX_COALESCED_BYTES: u64 = 16 << 10;

/// A connected socket.
pub(super) enum Transport {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Transport {
    /// Connects, and negotiates TLS as the mode asks.
    pub(super) fn connect(options: &ConnectOptions) -> Result<Self, ReplicationError> {
        let failed = |source| ReplicationError::Connect { address: options.display(), source };
        if options.is_unix() {
            let path = format!("{}/.s.PGSQL.{}", options.host, options.port);
            let socket = UnixStream::connect(path).map_err(failed)?;
            socket.set_write_timeout(Some(WRITE_TIMEOUT)).map_err(failed)?;
            return Ok(Self::Unix(socket));
        }
        let socket = connect_tcp(&options.host, options.port).map_err(failed)?;
        match options.ssl_mode {
            SslMode::Disable | SslMode::Allow => Ok(Self::Tcp(socket)),
            SslMode::Prefer | SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => {
                negotiate_tls(socket, options)
            }
        }
    }

    /// Who can be at the other end.
    pub(super) fn peer(&self, options: &ConnectOptions) -> io::Result<Peer> {
        let socket = match self {
            Self::Unix(_) => return Ok(Peer::Local),
            Self::Tls(_) if verifies(options.ssl_mode, &options.tls_files) => {
                return Ok(Peer::Verified);
            }
            Self::Tls(stream) => &stream.sock,
            Self::Tcp(socket) => socket,
        };
        let is_local = socket.peer_addr()?.ip().to_canonical().is_loopback();
        Ok(if is_local { Peer::Local } else { Peer::Unknown })
    }

    /// What SCRAM can be bound to.
    pub(super) fn end_point(&self) -> EndPoint {
        let Self::Tls(stream) = self else { return EndPoint::NoTls };
        let certificate = stream.conn.peer_certificates().and_then(|chain| chain.first());
        certificate
            .and_then(|certificate| end_point_hash(certificate))
            .map_or(EndPoint::NoHash, EndPoint::Hash)
    }

    /// Bytes that wait in the socket's receive buffer, with TLS the encrypted ones.
    pub(super) fn waiting_bytes(&self) -> io::Result<u64> {
        let count = match self {
            Self::Tcp(socket) => rustix::io::ioctl_fionread(socket),
            Self::Unix(socket) => rustix::io::ioctl_fionread(socket),
            Self::Tls(stream) => rustix::io::ioctl_fionread(&stream.sock),
        };
        Ok(count?)
    }

    /// With so many bytes in the receive buffer there is no pause before a read.
    pub(super) fn coalesced_bytes(&self) -> u64 {
        let socket = match self {
            Self::Tcp(socket) => SockRef::from(socket),
            Self::Tls(stream) => SockRef::from(&stream.sock),
            Self::Unix(_) => return UNIX_COALESCED_BYTES,
        };
        let buffer = socket.recv_buffer_size().ok().and_then(|bytes| u64::try_from(bytes).ok());
        TCP_COALESCED_BYTES.min(buffer.unwrap_or(0) / TCP_BUFFER_PARTS)
    }

    /// How long a read waits for bytes.
    pub(super) fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.set_read_timeout(timeout),
            Self::Unix(socket) => socket.set_read_timeout(timeout),
            Self::Tls(stream) => stream.sock.set_read_timeout(timeout),
        }
    }
}

fn connect_tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(socket) => {
                socket.set_nodelay(true)?;
                socket.set_write_timeout(Some(WRITE_TIMEOUT))?;
                let raw = SockRef::from(&socket);
                raw.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
                raw.set_tcp_keepalive(
                    &TcpKeepalive::new()
                        .with_time(KEEPALIVE_AFTER)
                        .with_interval(KEEPALIVE_INTERVAL)
                        .with_retries(KEEPALIVE_PROBES),
                )?;
                #[cfg(target_os = "linux")]
                raw.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))?;
                return Ok(socket);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// SSLRequest: <https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SSL>.
fn negotiate_tls(
    mut socket: TcpStream,
    options: &ConnectOptions,
) -> Result<Transport, ReplicationError> {
    let mut request = bytes::BytesMut::new();
    postgres_protocol::message::frontend::ssl_request(&mut request);
    socket.set_read_timeout(Some(CONNECT_TIMEOUT))?;
    socket.write_all(&request)?;
    let mut answer = [0];
    socket.read_exact(&mut answer)?;
    match (answer[0], options.ssl_mode) {
        (b'S', _) => {}
        (b'N', SslMode::Prefer) => return Ok(Transport::Tcp(socket)),
        (b'N', _) => return Err(ReplicationError::TlsRefused { address: options.display() }),
        (b'E', _) => return Err(ReplicationError::NotServed { address: options.display() }),
        _ => {
            return Err(ReplicationError::Protocol(
                "neither S, N nor E in answer to an SSLRequest",
            ));
        }
    }
    let failed = |source| ReplicationError::Tls { address: options.display(), source };
    let config = client_config(options.ssl_mode, &options.tls_files).map_err(failed)?;
    let name = ServerName::try_from(options.host.clone())
        .map_err(|_| ReplicationError::Protocol("the host name cannot stand in a certificate"))?;
    let connection =
        ClientConnection::new(Arc::new(config), name).map_err(|error| failed(error.into()))?;
    let mut stream = StreamOwned::new(connection, socket);
    stream.conn.complete_io(&mut stream.sock).map_err(|error| tls_failure(options, error))?;
    Ok(Transport::Tls(Box::new(stream)))
}

/// A certificate that is not valid is not retried. A broken connection is retried.
fn tls_failure(options: &ConnectOptions, error: io::Error) -> ReplicationError {
    let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()).cloned();
    match cause {
        Some(cause) => ReplicationError::Tls { address: options.display(), source: cause.into() },
        None => ReplicationError::Io(error),
    }
}

impl Read for Transport {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.read(buffer),
            Self::Unix(socket) => socket.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Transport {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.write(bytes),
            Self::Unix(socket) => socket.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.flush(),
            Self::Unix(socket) => socket.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}
