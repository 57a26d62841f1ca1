//! The HTTP server: connections with limits, and an end in order.
//!
//! In: a listening socket and a router. Out: answers, until the server is told to stop. Invariants: a header has a time
//! and a size, the number of connections is bounded, and a connection that asks nothing is closed. At the stop nobody
//! is accepted any more, open requests have a time to end, and then they are cut off. Connections may change their
//! protocol, for WebSockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::peer::Connected;

/// The time for a request's header, from the end of the request before it: also how long a connection may ask nothing.
const HEADER_TIME: Duration = Duration::from_secs(15);
/// The size of a request's header.
const HEADER_BYTES_MAX: usize = 16 << 10;
/// The pause after a connection that could not be accepted, as when the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How many connections there may be, and how long they may take to end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) connections_max: usize,
    pub(crate) drain_time: Duration,
}

/// Answers until `stop` is cancelled.
pub(crate) async fn run(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(limits.connections_max));
    let connections = TaskTracker::new();
    let cut_off = CancellationToken::new();
    loop {
        // A place first: whoever finds none waits in the queue of the system.
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Ok((place, stream, from)) => {
                let connection = connection(stream, from, router.clone(), stop.clone());
                let cut_off = cut_off.clone();
                connections.spawn(async move {
                    tokio::select! {
                        () = connection => {}
                        () = cut_off.cancelled() => {}
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(limits.drain_time, connections.wait()).await.is_err() {
        tracing::warn!(open = connections.len(), "requests are cut off at the end");
        cut_off.cancel();
        connections.wait().await;
    }
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> std::io::Result<(tokio::sync::OwnedSemaphorePermit, TcpStream, SocketAddr)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, from) = listener.accept().await?;
    // An answer is one write; nothing is gained by waiting for more.
    stream.set_nodelay(true)?;
    Ok((place, stream, from))
}

async fn connection(stream: TcpStream, from: SocketAddr, router: Router, stop: CancellationToken) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Connected(from));
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}
