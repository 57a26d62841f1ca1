//! A small server beside the databases: Redis, PgBouncer or HAProxy, from the machine's own packages.
//!
//! In: a program, a directory, and what writes its configuration for a port. Out: a running process that answers on
//! 127.0.0.1. Invariant: it runs as the user of the databases, never as root, and only that user reads its
//! configuration, because passwords are in it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use rustix::process::Signal;

use crate::account::Account;
use crate::fs;
use crate::ports::{self, WantedPort};
use crate::process::{Frozen, Identity, ProcessOptions};
use crate::server::Server;

/// How long such a server may take to answer.
const START_DEADLINE: Duration = Duration::from_secs(30);

/// Where the machine's packages put programs.
const FOLDERS: [&str; 4] = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"];

/// Where a companion runs.
#[derive(Debug, Clone, Default)]
pub struct CompanionOptions {
    /// The TCP port; 0 is any free one.
    pub port: u16,
    /// The environment variable that a message about a taken port names.
    pub port_variable: Option<String>,
    /// The directory for configuration and log (default: a temporary one).
    pub dir: Option<PathBuf>,
}

/// A server that runs or is stopped; dropping it kills it.
#[derive(Debug)]
pub(crate) struct Companion {
    name: &'static str,
    program: PathBuf,
    arguments: Vec<OsString>,
    /// Belongs to the user that the server runs as.
    home: PathBuf,
    account: Option<Account>,
    server: Server,
    port: u16,
    temporary: Vec<PathBuf>,
}

impl Companion {
    /// Starts `program`. `configure` writes its configuration for a port, and gives its arguments.
    pub(crate) fn start(
        name: &'static str,
        program: &str,
        options: &CompanionOptions,
        configure: impl Fn(&Self, u16) -> anyhow::Result<Vec<OsString>>,
    ) -> anyhow::Result<Self> {
        let mut companion = Self::prepare(name, program, options.dir.as_deref())?;
        let wanted = WantedPort {
            port: options.port,
            service: name.to_owned(),
            variable: options.port_variable.clone(),
        };
        let start = |companion: &mut Self, port| {
            companion.port = port;
            companion.arguments = configure(companion, port)?;
            companion.start_again()
        };
        wanted.start(&mut companion, start, |companion| ports::answers(companion.port))?;
        Ok(companion)
    }

    fn prepare(name: &'static str, program: &str, dir: Option<&Path>) -> anyhow::Result<Self> {
        let program = find(program)?;
        let account = Account::for_postgres()?;
        let mut temporary = Vec::new();
        let wanted = match dir {
            Some(dir) => fs::make_dir(dir)?,
            None => {
                let dir = fs::temp_dir(&format!("vaultstream-{name}-"))?;
                temporary.push(dir.clone());
                dir
            }
        };
        let home = match account {
            Some(_) if !fs::everybody_can_enter(&wanted) => fs::substitute(&wanted)?,
            _ => wanted.clone(),
        };
        if let Some(account) = account {
            account.own(&home)?;
        }
        let server = Server::new(name, wanted.join(format!("{name}.log")));
        let arguments = Vec::new();
        Ok(Self { name, program, arguments, home, account, server, port: 0, temporary })
    }

    /// Writes a file that only the server's user reads.
    pub(crate) fn write(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.home.join(name);
        fs::write_secret(&path, text)?;
        if let Some(account) = self.account {
            account.own(&path)?;
        }
        Ok(path)
    }

    /// Starts a stopped or killed server on the same port, with the same configuration.
    pub(crate) fn start_again(&mut self) -> anyhow::Result<()> {
        let mut words = vec![self.program.clone().into_os_string()];
        words.extend(self.arguments.iter().cloned());
        let words = match self.account {
            Some(account) => account.wrap(words),
            None => words,
        };
        let options = ProcessOptions::new(&words[0], self.server.log()).args(&words[1..]);
        let (name, port) = (self.name, self.port);
        self.server.start(&options, port, START_DEADLINE, || {
            anyhow::ensure!(ports::answers(port), "{name} does not listen yet");
            Ok(())
        })
    }

    pub(crate) fn stop(&mut self) -> anyhow::Result<()> {
        self.server.stop(Signal::TERM)
    }

    pub(crate) fn kill9(&mut self) {
        self.server.kill9();
    }

    pub(crate) fn freeze(&self) -> anyhow::Result<Frozen> {
        Ok(Frozen::with_children(self.server.identity()?))
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    pub(crate) fn log(&self) -> &Path {
        self.server.log()
    }

    pub(crate) fn identity(&self) -> anyhow::Result<Identity> {
        self.server.identity()
    }

    pub(crate) fn detach(mut self) -> anyhow::Result<()> {
        self.server.detach()?;
        self.temporary.clear();
        Ok(())
    }
}

impl Drop for Companion {
    fn drop(&mut self) {
        self.kill9();
        for dir in &self.temporary {
            // Files that stay in a temporary directory do no harm.
            let _ = std::fs::remove_dir_all(dir);
        }
    }
}

/// The path of a program of the machine's packages.
fn find(program: &str) -> anyhow::Result<PathBuf> {
    let paths = FOLDERS.iter().map(|folder| Path::new(folder).join(program));
    paths
        .into_iter()
        .find(|path| path.is_file())
        .with_context(|| format!("{program} is not on this machine; install it with `make setup`"))
}

/// What Redis, PgBouncer and HAProxy have in common for whoever started them.
macro_rules! companion_methods {
    ($server:ty) => {
        impl $server {
            /// Stops it in order. Stopping a stopped server does nothing.
            pub fn stop(&mut self) -> anyhow::Result<()> {
                self.companion.stop()
            }

            /// Kills it, as `kill -9` does, and waits until it is gone.
            pub fn kill9(&mut self) {
                self.companion.kill9();
            }

            /// Stops its process until the guard is dropped. Its kernel still accepts connections.
            pub fn freeze(&self) -> anyhow::Result<$crate::process::Frozen> {
                self.companion.freeze()
            }

            /// Starts it again on the same port.
            pub fn start_again(&mut self) -> anyhow::Result<()> {
                self.companion.start_again()
            }

            /// The TCP port.
            pub fn port(&self) -> u16 {
                self.companion.port()
            }

            /// The file that holds what it printed.
            pub fn log(&self) -> &std::path::Path {
                self.companion.log()
            }

            /// Hands over the server itself.
            pub(crate) fn into_companion(self) -> $crate::companion::Companion {
                self.companion
            }
        }
    };
}

pub(crate) use companion_methods;
