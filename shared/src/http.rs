//! An HTTP server with limits: a client that is slow, silent or hostile costs little and keeps nobody else waiting.
//!
//! In: a listening socket and a router. Out: its answers, until the server is told to stop. Invariants: a header and a
//! body have a time and a size; a connection that asks nothing is closed; the number of connections is bounded. When
//! all places are taken, the oldest connection gives up its place, so that a newcomer is always heard.

use std::collections::VecDeque;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, FromRequest, Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

/// How long open requests may take after the stop. Answers are immediate, so only a client that does not read loses its
/// answer.
const DRAIN: Duration = Duration::from_secs(2);

/// The pause after a connection that could not be accepted, as when the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a client may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The time for one request's header, from the end of the request before it: also the time for which a connection
    /// may ask nothing.
    pub header_time: Duration,
    /// The time for a request's body.
    pub body_time: Duration,
    /// The size of a request's header, in bytes.
    pub header_bytes_max: usize,
    /// The size of a request's body, in bytes.
    pub body_bytes_max: usize,
    /// Connections at a time.
    pub connections_max: usize,
}

impl Default for Limits {
    /// Far more than a person, a scrape and a health check need at a time, and at most some 5 MiB of memory in all.
    fn default() -> Self {
        Self {
            header_time: Duration::from_secs(10),
            body_time: Duration::from_secs(10),
            header_bytes_max: 16 << 10,
            body_bytes_max: 64 << 10,
            connections_max: 64,
        }
    }
}

/// Answers until `stop` is cancelled. Requests that are open then have two seconds to end.
pub async fn serve(listener: TcpListener, router: Router, limits: Limits, stop: CancellationToken) {
    let router = router
        .layer(from_fn_with_state(limits, read_body))
        .layer(DefaultBodyLimit::max(limits.body_bytes_max));
    let mut connections = JoinSet::new();
    let mut oldest_first: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                make_room(&mut oldest_first, limits.connections_max);
                let connection = connection(stream, router.clone(), limits, stop.clone());
                oldest_first.push_back(connections.spawn(connection));
            }
            Err(error) => {
                tracing::debug!(%error, "cannot accept an HTTP connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    let ended = async { while connections.join_next().await.is_some() {} };
    // Whoever is not done by then is cut off: dropping the set ends the rest.
    let _ = tokio::time::timeout(DRAIN, ended).await;
}

fn make_room(oldest_first: &mut VecDeque<AbortHandle>, connections_max: usize) {
    oldest_first.retain(|connection| !connection.is_finished());
    while oldest_first.len() >= connections_max {
        let Some(oldest) = oldest_first.pop_front() else { return };
        oldest.abort();
    }
}

async fn connection(stream: TcpStream, router: Router, limits: Limits, stop: CancellationToken) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_time)
        .max_buf_size(limits.header_bytes_max)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP connection ended early");
    }
}

/// Reads the whole body before anybody looks at the request. What is too large is refused by its announcement, before
/// it is sent, or else where it passes the limit.
async fn read_body(State(limits): State<Limits>, request: Request, next: Next) -> Response {
    let announced = request.headers().get(CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limits.body_bytes_max) {
        return refuse(StatusCode::PAYLOAD_TOO_LARGE);
    }
    let (parts, body) = request.into_parts();
    let whole = Request::from_parts(parts.clone(), body);
    match tokio::time::timeout(limits.body_time, Bytes::from_request(whole, &())).await {
        Ok(Ok(body)) => next.run(Request::from_parts(parts, Body::from(body))).await,
        Ok(Err(rejection)) => refuse(rejection.into_response().status()),
        Err(_) => refuse(StatusCode::REQUEST_TIMEOUT),
    }
}

/// A refusal in the form of Kafka Connect's errors. The rest of the request is not waited for.
fn refuse(status: StatusCode) -> Response {
    let (code, reason) = (status.as_u16(), status.canonical_reason().unwrap_or_default());
    let body = format!(r#"{{"error_code":{code},"message":"HTTP {code} {reason}"}}"#);
    let headers = [(CONTENT_TYPE, "application/json"), (axum::http::header::CONNECTION, "close")];
    (status, headers, body).into_response()
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Limits that a test reaches at once.
    const LIMITS: Limits = Limits {
        header_time: Duration::from_millis(300),
        body_time: Duration::from_millis(300),
        header_bytes_max: 8 << 10,
        body_bytes_max: 1000,
        connections_max: 4,
    };

    async fn start(limits: Limits) -> (SocketAddr, CancellationToken) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let echo = get(|| async { "well" }).post(|body: String| async move { body });
        tokio::spawn(serve(listener, Router::new().route("/", echo), limits, stop.clone()));
        (address, stop)
    }

    /// Sends these bytes and reads until the server closes.
    async fn ask(address: SocketAddr, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        // The server may close with what it did not read: what came before counts.
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }

    #[track_caller]
    fn check(answer: &str, beginning: &str) {
        assert!(answer.starts_with(beginning), "{answer:?}");
    }

    #[tokio::test]
    async fn a_request_within_the_limits_is_answered() {
        let (address, _stop) = start(Limits::default()).await;
        let get = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        let answer = ask(address, get).await;
        check(&answer, "HTTP/1.1 200 OK\r\n");
        assert!(answer.ends_with("well"), "{answer:?}");
        let post =
            b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc";
        assert!(ask(address, post).await.ends_with("abc"));
    }

    #[tokio::test]
    async fn a_body_that_is_too_large_is_refused_before_it_is_sent_and_while_it_comes() {
        let (address, _stop) = start(LIMITS).await;
        let announced = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n";
        let answer = ask(address, announced).await;
        check(&answer, "HTTP/1.1 413 ");
        assert!(answer.ends_with(r#"{"error_code":413,"message":"HTTP 413 Payload Too Large"}"#));
        let mut chunked =
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n".to_vec();
        chunked.extend([b'x'; 1001]);
        check(&ask(address, &chunked).await, "HTTP/1.1 413 ");
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        let (address, _stop) = start(LIMITS).await;
        let slow = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc";
        check(&ask(address, slow).await, "HTTP/1.1 408 ");
    }

    #[tokio::test]
    async fn a_header_that_does_not_end_is_cut_by_time_and_by_size() {
        let (address, _stop) = start(LIMITS).await;
        assert_eq!(ask(address, b"GET / HTTP/1.1\r\nX-Slow: ").await, "");
        let mut large = b"GET / HTTP/1.1\r\nX-Large: ".to_vec();
        large.extend([b'x'; 9 << 10]);
        check(&ask(address, &large).await, "HTTP/1.1 431 ");
    }

    #[tokio::test]
    async fn a_connection_that_asks_nothing_is_closed_before_and_after_a_request() {
        let (address, _stop) = start(LIMITS).await;
        assert_eq!(ask(address, b"").await, "");
        check(&ask(address, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await, "HTTP/1.1 200 OK\r\n");
    }

    #[tokio::test]
    async fn when_all_places_are_taken_the_oldest_connection_gives_up_its_place() {
        let patient = Limits { header_time: Duration::from_secs(600), ..LIMITS };
        let (address, _stop) = start(patient).await;
        let mut held = Vec::new();
        for _ in 0..LIMITS.connections_max + 1 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET / HT").await.unwrap();
            held.push(stream);
        }
        // It ends without an answer: closed, or reset with its bytes unread.
        let mut nothing = Vec::new();
        let _ = held[0].read_to_end(&mut nothing).await;
        assert!(nothing.is_empty());
        // The youngest is still heard.
        let youngest = held.last_mut().unwrap();
        youngest.write_all(b"TP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        youngest.read_to_string(&mut answer).await.unwrap();
        check(&answer, "HTTP/1.1 200 OK\r\n");
    }
}
