//! A PostgreSQL server of any supported version.
//!
//! In: [`PostgresOptions`]. Out: a server that answers on 127.0.0.1 and on a Unix socket, and its [`PostgresAddress`].
//! Invariant: passwords are always asked for (SCRAM-SHA-256), and the server ends with its owner unless it is detached.

mod address;
mod archive;
mod copy;
mod environment;
mod home;
mod options;
mod read_replica;
mod replica;
mod restore;
mod upstream;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;

pub use address::PostgresAddress;
pub use archive::{Archive, BackupKind};
pub use options::{PasswordAuth, PostgresOptions, Tls};
pub(crate) use read_replica::OwnRows;
pub use restore::{RecoveryPoint, RecoveryTarget};
pub use upstream::Upstream;

use crate::account::Account;
use crate::ports::{self, WantedPort};
use crate::process::{Frozen, Identity, Process, ProcessOptions};
use crate::server::{STOP_DEADLINE, Server};

/// How long a server may take to answer, crash recovery included.
const START_DEADLINE: Duration = Duration::from_secs(60);

/// How to stop a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopMode {
    /// PostgreSQL's `fast`: it ends the sessions and writes everything.
    Fast,
    /// PostgreSQL's `immediate`: the next start recovers.
    Immediate,
    /// SIGKILL to the server and all its children, as when the machine loses them.
    Kill,
}

/// A running PostgreSQL server; dropping it stops it.
#[derive(Debug)]
pub struct Postgres {
    options: PostgresOptions,
    account: Option<Account>,
    address: PostgresAddress,
    data: PathBuf,
    server: Server,
    temporary: Vec<PathBuf>,
}

impl Postgres {
    /// Makes a data directory if there is none yet and starts a server on it.
    pub fn start(options: PostgresOptions) -> anyhow::Result<Self> {
        let mut server = Self::prepare(options)?;
        if !server.data.join("PG_VERSION").exists() {
            server.init()?;
        }
        server.configure()?;
        server.first_start()?;
        // A standby whose promotion was cut off is no primary yet, and the archive knows its primary already.
        let is_standby = server.data.join("standby.signal").exists();
        if let Some(archive) = &server.options.archive
            && !is_standby
        {
            archive.know(&server.options.name)?;
        }
        Ok(server)
    }

    /// Starts on the wanted port, or on a free one.
    fn first_start(&mut self) -> anyhow::Result<()> {
        let wanted = WantedPort {
            port: self.options.port,
            service: self.options.name.clone(),
            variable: self.options.port_variable.clone(),
        };
        let start = |server: &mut Self, port| {
            server.address.port = port;
            server.start_again()
        };
        wanted.start(self, start, |server| ports::answers(server.address.port))
    }

    /// Starts a stopped or crashed server on the same port and data.
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        if let Some(archive) = &self.options.archive {
            archive.configure(self)?;
        }
        let words = vec![
            self.address.bin_dir.join("postgres").into_os_string(),
            "-D".into(),
            self.data.clone().into(),
            "-c".into(),
            format!("port={}", self.address.port).into(),
        ];
        let words = match self.account {
            Some(account) => account.wrap(words),
            None => words,
        };
        let mut start = ProcessOptions::new(&words[0], &self.address.log)
            .args(&words[1..])
            .env("LC_ALL", "C.UTF-8")
            .on_our_death(Signal::QUIT);
        for name in environment::clean_environment() {
            start = start.without_env(name);
        }
        let address = &self.address;
        self.server
            .start(&start, address.port, START_DEADLINE, || address.execute("postgres", "SELECT 1"))
    }

    /// Stops the server and waits until it has ended. Stopping a stopped server does nothing.
    ///
    /// A server that does not end in the given way within half a minute is killed, and that is an error, because
    /// something prevents its end.
    pub fn stop(&mut self, mode: StopMode) -> anyhow::Result<()> {
        let Some(mut process) = self.server.take() else { return Ok(()) };
        let signal = match mode {
            StopMode::Fast => Signal::INT,
            StopMode::Immediate => Signal::QUIT,
            StopMode::Kill => return kill_with_children(&mut process),
        };
        process.signal(signal);
        if process.wait_exit(STOP_DEADLINE).is_ok() {
            return Ok(());
        }
        kill_with_children(&mut process)?;
        anyhow::bail!(
            "{} did not end within {STOP_DEADLINE:?} of a {mode:?} shutdown; {}",
            self.options.name,
            self.server.last_words()
        )
    }

    /// Stops all processes of the server until the guard is dropped, as a machine that hangs would. Its kernel still
    /// accepts connections.
    pub fn freeze(&self) -> anyhow::Result<Frozen> {
        Ok(Frozen::with_children(self.identity()?))
    }

    /// Stops the server in the given way and starts it on the same port and data.
    pub fn restart(&mut self, mode: StopMode) -> anyhow::Result<()> {
        self.stop(mode)?;
        self.start_again()
    }

    /// Lets the server live on after us.
    pub(crate) fn detach(mut self) -> anyhow::Result<()> {
        self.server.detach()?;
        self.temporary.clear();
        Ok(())
    }

    /// Which process the server is.
    pub(crate) fn identity(&self) -> anyhow::Result<Identity> {
        self.server.identity()
    }

    /// Runs an SQL script as the superuser.
    pub fn execute(&self, database: &str, script: &str) -> anyhow::Result<()> {
        self.address.execute(database, script)
    }

    /// How to reach the server.
    pub fn address(&self) -> &PostgresAddress {
        &self.address
    }

    /// 127.0.0.1.
    pub fn host(&self) -> &str {
        &self.address.host
    }

    /// The TCP port.
    pub fn port(&self) -> u16 {
        self.address.port
    }

    /// The directory of the Unix socket.
    pub fn socket_dir(&self) -> &Path {
        &self.address.socket_dir
    }

    /// The server's programs.
    pub fn bin_dir(&self) -> &Path {
        &self.address.bin_dir
    }

    /// The server's log.
    pub fn log(&self) -> &Path {
        &self.address.log
    }

    /// The data directory.
    pub fn data_dir(&self) -> &Path {
        &self.data
    }

    /// A libpq connection string for TCP.
    pub fn connection_string(&self, database: &str, user: &str, password: &str) -> String {
        self.address.connection_string(database, user, password)
    }
}

/// Sends SIGKILL to a server and all its children. The server is stopped first, because a child that it forks after the
/// children were listed would hold its shared memory.
fn kill_with_children(process: &mut Process) -> anyhow::Result<()> {
    process.pause();
    let children = process.identity().children();
    process.kill9();
    children.iter().try_for_each(|child| child.end(Signal::KILL, Duration::from_secs(10)))
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Err(err) = self.stop(StopMode::Immediate) {
            tracing::warn!(server = self.options.name, error = %err, "cannot stop a server");
        }
        for dir in &self.temporary {
            // Files that stay in a temporary directory do no harm.
            let _ = std::fs::remove_dir_all(dir);
        }
    }
}
