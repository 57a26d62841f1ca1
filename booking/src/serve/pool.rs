//! A bounded pool of connections to one database, which recovers by itself from a failover.
//!
//! In: where the database is. Out: a connection, within a time. Invariants: there are never more connections than the
//! pool's size; a connection that is lost, or that leads to a server which takes no writes, is given to nobody again.
//! Such a server was the primary a moment ago: all idle connections go with the one that noticed.

use std::time::Duration;

use deadpool::managed::{self, Metrics, Object, PoolError, RecycleError, RecycleResult, Timeouts};
use shared::postgres::{ConnectError, ConnectOptions, connect_within};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio_postgres::Client;

use super::problem::{Kind, Problem};

/// Opens connections.
#[derive(Debug)]
pub(crate) struct Manager {
    options: ConnectOptions,
    /// How long an attempt to connect may take. It goes on after whoever asked has left.
    wait: Duration,
}

impl managed::Manager for Manager {
    type Type = Client;
    type Error = ConnectError;

    async fn create(&self) -> Result<Client, ConnectError> {
        let (options, wait) = (self.options.clone(), self.wait);
        // On a thread of its own: the compiler cannot see that this future may move between threads.
        let runtime = Handle::current();
        let connecting =
            spawn_blocking(move || runtime.block_on(connect_within(&options, wait))).await;
        connecting.unwrap_or_else(|source| {
            let address = self.options.display();
            Err(ConnectError::Unreachable { address, source: std::io::Error::other(source) })
        })
    }

    async fn recycle(&self, client: &mut Client, _: &Metrics) -> RecycleResult<ConnectError> {
        if client.is_closed() {
            return Err(RecycleError::message("the connection is closed"));
        }
        Ok(())
    }
}

/// A connection that goes back to its pool.
pub(crate) type Connection = Object<Manager>;

/// The pool.
#[derive(Debug, Clone)]
pub(crate) struct Pool {
    pool: managed::Pool<Manager>,
    address: String,
}

/// How a pool is used now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Use {
    /// Connections that are open.
    pub(crate) open: usize,
    /// Of them, those that nobody uses.
    pub(crate) idle: usize,
    /// Requests that wait for a connection.
    pub(crate) waiting: usize,
}

impl Pool {
    /// A pool of at most `size` connections; `wait` is how long a request waits for one.
    pub(crate) fn new(options: ConnectOptions, size: usize, wait: Duration) -> Self {
        let address = options.display();
        let pool = managed::Pool::builder(Manager { options, wait })
            .max_size(size)
            .runtime(deadpool::Runtime::Tokio1)
            .timeouts(Timeouts { wait: Some(wait), create: Some(wait), recycle: Some(wait) })
            .build()
            .expect("a pool with a runtime can be built");
        Self { pool, address }
    }

    /// A connection.
    ///
    /// # Errors
    /// When all are in use for too long, or the server cannot be reached.
    pub(crate) async fn connection(&self) -> Result<Connection, Lack> {
        self.pool.get().await.map_err(|error| match error {
            PoolError::Timeout(managed::TimeoutType::Wait) => Lack::Busy,
            error => {
                let error = shared_chain(&error);
                tracing::warn!(database = self.address, error, "no connection to the database");
                Lack::Unreachable
            }
        })
    }

    /// Closes a connection, and with it all idle ones, because the server is no longer what it was.
    pub(crate) fn abandon(&self, connection: Connection) {
        drop(Object::take(connection));
        self.forget_idle();
    }

    /// Closes the connections that nobody uses.
    pub(crate) fn forget_idle(&self) {
        self.pool.retain(|_, _| false);
    }

    pub(crate) fn usage(&self) -> Use {
        let status = self.pool.status();
        Use { open: status.size, idle: status.available, waiting: status.waiting }
    }

    /// Closes all connections that nobody uses, and gives none to anybody any more.
    pub(crate) fn close(&self) {
        self.pool.close();
    }
}

/// Why there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lack {
    /// All of the pool are in use.
    Busy,
    /// The server cannot be reached, or refuses.
    Unreachable,
}

impl From<Lack> for Problem {
    fn from(lack: Lack) -> Self {
        Self::new(
            Kind::Unavailable,
            match lack {
                Lack::Busy => "all connections to the database are in use",
                Lack::Unreachable => "the database cannot be reached",
            },
        )
    }
}

/// An error with what caused it, in one line.
pub(crate) fn shared_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text.push_str(": ");
        text.push_str(&source.to_string());
        cause = source.source();
    }
    text
}
