//! TCP ports of 127.0.0.1: finds free ports, and makes a clear error when a wanted port is taken.
//!
//! In: a port number, or 0 for any port. Out: a port that was free at that moment.
//! Invariant: a port chosen here lies below the kernel's ephemeral range, so that no outgoing connection takes it while
//! its server restarts.

use std::fs::{File, TryLockError};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Ports we choose from: above what services use, below Linux's ephemeral ports (32768 and up).
const FIRST: u16 = 20_000;
const LAST: u16 = 32_000;

/// How often a server is started on other free ports when somebody took one of them first.
const PORT_ATTEMPTS: usize = 5;

/// A port that another process holds, with what wanted it and how to choose another one.
#[derive(Debug)]
pub struct PortInUse {
    /// The port.
    pub port: u16,
    /// What wanted it.
    pub service: String,
    /// The environment variable that chooses another one, if there is one.
    pub variable: Option<String>,
}

impl std::fmt::Display for PortInUse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "port {} on 127.0.0.1, wanted for {}, is in use by another process",
            self.port, self.service
        )?;
        match &self.variable {
            Some(variable) => write!(f, "; free it or set {variable} to another port"),
            None => write!(f, "; free it or choose another port"),
        }
    }
}

impl std::error::Error for PortInUse {}

/// Whether a server could listen on 127.0.0.1:`port` now.
pub(crate) fn is_free(port: u16) -> bool {
    // A listener on 0.0.0.0 with SO_REUSEADDR does not always refuse our bind, so also ask whether anybody answers.
    TcpListener::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).is_ok() && !answers(port)
}

/// Whether somebody accepts connections on 127.0.0.1:`port`.
pub(crate) fn answers(port: u16) -> bool {
    let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
    TcpStream::connect_timeout(&address.into(), Duration::from_millis(500)).is_ok()
}

/// Whether the last log lines of a server written in Java are about a port that was taken.
pub(crate) fn were_taken(log: &Path) -> bool {
    crate::log::tail(log, 60).contains("Address already in use")
}

/// An error that names the service and the variable when `port` is taken.
pub fn require_free(port: u16, service: &str, variable: Option<&str>) -> Result<(), PortInUse> {
    if is_free(port) {
        return Ok(());
    }
    Err(PortInUse { port, service: service.to_owned(), variable: variable.map(str::to_owned) })
}

/// The port that a server is wanted on.
#[derive(Debug)]
pub(crate) struct WantedPort {
    /// Its number; 0 is any free one.
    pub(crate) port: u16,
    /// What wants it.
    pub(crate) service: String,
    /// The environment variable that chooses another one, if there is one.
    pub(crate) variable: Option<String>,
}

impl WantedPort {
    /// Has `start` start `server` on the wanted port, or on a free one. When somebody took the free port first, which
    /// `lost` says of a server that did not start, `start` is called again with another one.
    pub(crate) fn start<S>(
        &self,
        server: &mut S,
        start: impl Fn(&mut S, u16) -> anyhow::Result<()>,
        lost: impl Fn(&S) -> bool,
    ) -> anyhow::Result<()> {
        if self.port != 0 {
            require_free(self.port, &self.service, self.variable.as_deref())?;
            return start(server, self.port);
        }
        let mut attempt = 1;
        loop {
            let port = free_port()?;
            match start(server, port) {
                Err(err) if attempt < PORT_ATTEMPTS && lost(server) => {
                    tracing::debug!(service = self.service, port, error = %err, "somebody took a port first");
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }
}

/// A port that is free, and that no other process of ours chooses as long as this one lives.
///
/// A stranger may take it before it is used; who starts a server on it tries again with another one.
pub fn free_port() -> anyhow::Result<u16> {
    static STEP: AtomicU16 = AtomicU16::new(0);
    let span = u32::from(LAST - FIRST);
    // Processes of one test run start at different places, so that they seldom meet.
    let start = std::process::id().wrapping_mul(7919) % span;
    for _ in 0..span {
        let step = u32::from(STEP.fetch_add(1, Ordering::Relaxed));
        let port = FIRST + u16::try_from((start + step) % span)?;
        if is_free(port) && reserve(port) {
            return Ok(port);
        }
    }
    anyhow::bail!("no free port between {FIRST} and {LAST} on 127.0.0.1")
}

/// Keeps `port` for this process: servers come up long after their ports are chosen, and stay down for a while in some
/// tests.
fn reserve(port: u16) -> bool {
    static HELD: Mutex<Vec<File>> = Mutex::new(Vec::new());
    let dir = std::env::temp_dir().join("vaultstream-ports");
    let lock = || -> std::io::Result<bool> {
        std::fs::create_dir_all(&dir)?;
        // Whoever runs the tests next may be another user.
        let _ = std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o1777));
        let path = dir.join(port.to_string());
        // Opened for reading if it is there: the kernel lets nobody create what another user has made in such a
        // directory.
        let file = File::open(&path)
            .or_else(|_| File::options().create(true).append(true).mode(0o644).open(&path))?;
        match file.try_lock() {
            Ok(()) => {
                HELD.lock().unwrap_or_else(PoisonError::into_inner).push(file);
                Ok(true)
            }
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(err)) => Err(err),
        }
    };
    // Without a lock the port is used all the same, and another process may choose it too.
    lock().unwrap_or(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_named_with_its_service_and_its_variable() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let err = require_free(port, "the primary database", Some("VAULTSTREAM_PRIMARY_PORT"))
            .unwrap_err();
        assert_eq!(
            err.to_string(),
            format!(
                "port {port} on 127.0.0.1, wanted for the primary database, is in use by another process; \
                 free it or set VAULTSTREAM_PRIMARY_PORT to another port"
            )
        );
    }

    #[test]
    fn a_server_that_lost_its_port_is_started_on_another_one() {
        let wanted = WantedPort { port: 0, service: "a server".to_owned(), variable: None };
        let mut tried: Vec<u16> = Vec::new();
        let start = |tried: &mut Vec<u16>, port| {
            tried.push(port);
            anyhow::ensure!(tried.len() == 3, "the port is taken");
            Ok(())
        };
        wanted.start(&mut tried, start, |_| true).unwrap();
        assert!(tried.len() == 3 && tried[0] != tried[1] && tried[1] != tried[2], "{tried:?}");

        tried.clear();
        let err = wanted.start(&mut tried, start, |_| false).unwrap_err();
        assert_eq!((tried.len(), err.to_string().as_str()), (1, "the port is taken"));
    }

    #[test]
    fn two_free_ports_differ() {
        assert_ne!(free_port().unwrap(), free_port().unwrap());
    }
}
