//! Connections to the wholesaler's database.

use shared::postgres::{ConnectError, ConnectOptions};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio_postgres::Client;

/// Opens a connection, on a thread of its own: the compiler cannot see that this future may move between threads.
///
/// # Errors
/// See [`ConnectError`].
pub(crate) async fn connect(database: &ConnectOptions) -> Result<Client, ConnectError> {
    let (runtime, options) = (Handle::current(), database.clone());
    let connecting =
        spawn_blocking(move || runtime.block_on(shared::postgres::connect(&options))).await;
    connecting.unwrap_or_else(|source| {
        let (address, source) = (database.display(), std::io::Error::other(source));
        Err(ConnectError::Unreachable { address, source })
    })
}
