//! The listening socket and its end.
//!
//! In: an address. Out: a server that answers until it is cancelled, and ends shortly after that.

use std::net::SocketAddr;

use shared::http::{self, Limits};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::routes;
use super::state::RestState;

/// Why the REST interface cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: set CDC_READER_LISTEN to a free address")]
    Bind {
        /// The address.
        address: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

/// Listens on an address, `host:port`.
///
/// # Errors
/// [`ServeError::Bind`].
pub async fn bind(address: &str) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| ServeError::Bind { address: address.to_owned(), source })
}

/// The address by which others reach the program: the advertised host, else the host listened on, else this machine's
/// name.
#[must_use]
pub fn worker_id(listening: SocketAddr, advertised: Option<&str>) -> String {
    let port = listening.port();
    match advertised {
        Some(host) => format!("{host}:{port}"),
        None if listening.ip().is_unspecified() => format!("{}:{port}", machine_name()),
        None => listening.to_string(),
    }
}

fn machine_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "localhost".to_owned())
}

/// Answers until cancelled, within the limits that every server of ours has. Requests that are open then may still end.
pub async fn serve(listener: TcpListener, state: RestState, cancel: CancellationToken) {
    http::serve(listener, routes::router(state), Limits::default(), cancel).await;
}
