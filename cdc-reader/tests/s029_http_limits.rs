//! Slow, silent and greedy clients of the reader's HTTP server are cut, and nobody else waits for them.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use devstack::{shared, wait_for};

use crate::support::{Connector, Launch, PATIENCE, Reader, Source, unique};

/// More than the server holds at a time.
const CLIENTS: usize = 200;

/// What the server holds at a time, at most.
const CONNECTIONS_MAX: usize = 64;

fn start(name: &str) -> (Source, Reader) {
    let stack = shared::stack();
    let id = unique(name);
    let source = Source::with_load(&stack.postgres15, &id);
    let reader = Launch::new(&Connector::new(&source, &id), &stack.kafka_bootstrap).start();
    (source, reader)
}

/// A client that has sent this much.
fn client(reader: &Reader, sent: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(reader.address()).unwrap();
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
    stream.write_all(sent).unwrap();
    stream
}

/// What the server has sent until now, and whether it has closed the connection.
fn heard(stream: &mut TcpStream) -> (String, bool) {
    let mut bytes = Vec::new();
    let closed = match stream.read_to_end(&mut bytes) {
        Ok(_) => true,
        Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    };
    (String::from_utf8(bytes).unwrap(), closed)
}

#[test]
fn many_half_open_connections_do_not_keep_others_from_an_answer_and_are_bounded() {
    let (_source, reader) = start("half_open");
    let mut clients: Vec<TcpStream> =
        (0..CLIENTS).map(|_| client(&reader, b"GET /health HTTP/1.1\r\nX-Slow: ")).collect();
    for path in ["/health", "/metrics", "/connectors"] {
        assert_eq!(reader.get(path).status, 200, "{path}");
    }
    wait_for(PATIENCE, "the connections to be bounded", || {
        let open = clients.iter_mut().filter_map(|stream| (!heard(stream).1).then_some(())).count();
        if open <= CONNECTIONS_MAX { Ok(Some(())) } else { Err(format!("{open} are open")) }
    });
    reader.stop();
}

#[test]
fn a_header_that_trickles_and_a_connection_that_asks_nothing_are_cut() {
    let (_source, reader) = start("trickle");
    let mut trickling = client(&reader, b"GET /health HTTP/1.1\r\nX-Slow: ");
    let mut silent = client(&reader, b"");
    let mut idle = client(&reader, b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_for(PATIENCE, "the trickling client to be cut", || {
        let cut = trickling.write_all(b"x").is_err();
        let (answer, closed) = heard(&mut trickling);
        assert_eq!(answer, "");
        cut || closed
    });
    let mut answer = String::new();
    wait_for(PATIENCE, "the silent clients to be cut", || {
        let (more, closed) = heard(&mut idle);
        answer.push_str(&more);
        closed && heard(&mut silent).1
    });
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer:?}");
    assert_eq!(reader.get("/health").status, 200);
    reader.stop();
}

#[test]
fn a_body_that_is_too_large_gets_413_and_one_that_does_not_come_gets_408() {
    let (_source, reader) = start("body");
    let head = |length: usize| {
        format!("POST /connectors HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{{")
    };
    let mut large = client(&reader, head(1 << 30).as_bytes());
    let mut late = client(&reader, head(100).as_bytes());
    let closing = |stream: &mut TcpStream| {
        let mut answer = String::new();
        wait_for(PATIENCE, "an answer and the end of the connection", || {
            let (more, closed) = heard(stream);
            answer.push_str(&more);
            closed
        });
        answer
    };
    let answer = closing(&mut large);
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer:?}");
    let answer = closing(&mut late);
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer:?}");
    // A small body is read, and its method refused as ever.
    let url = format!("http://{}/connectors", reader.address());
    assert_eq!(devstack::http::request("POST", &url, Some("{}")).unwrap().status, 405);
    reader.stop();
}
