//! One HTTP request to a server of this machine, and its answer.
//!
//! In: method, `http://host:port/path`, a JSON body. Out: status code and body.
//! Invariant: speaks HTTP/1.0, so an answer ends with its connection and never comes in chunks.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::Context;

/// How long a server may think about one request: Kafka Connect gives up after 90 s.
const TIMEOUT: Duration = Duration::from_secs(100);

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The head: status line and header lines.
    pub head: String,
    /// The body.
    pub body: String,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> anyhow::Result<serde_json::Value> {
        serde_json::from_str(&self.body)
            .with_context(|| format!("no JSON in an answer with status {}", self.status))
    }
}

/// Gets `url`.
pub fn get(url: &str) -> anyhow::Result<Answer> {
    request("GET", url, None)
}

/// Sends a request, with a JSON body if there is one.
pub fn request(method: &str, url: &str, body: Option<&str>) -> anyhow::Result<Answer> {
    let rest = url
        .strip_prefix("http://")
        .with_context(|| format!("{url} does not begin with http://"))?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let path = if path.is_empty() { "/" } else { path };
    let address = authority
        .to_socket_addrs()?
        .next()
        .with_context(|| format!("{authority} has no address"))?;
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)
        .with_context(|| format!("cannot connect to {authority}"))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let mut message = format!("{method} {path} HTTP/1.0\r\nHost: {authority}\r\nAccept: */*\r\n");
    if let Some(body) = body {
        message += &format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    }
    message += "\r\n";
    message += body.unwrap_or_default();
    stream
        .write_all(message.as_bytes())
        .with_context(|| format!("cannot send a request to {authority}"))?;
    let mut answer = Vec::new();
    stream
        .read_to_end(&mut answer)
        .with_context(|| format!("cannot read the answer of {authority}"))?;
    parse(&String::from_utf8_lossy(&answer))
        .with_context(|| format!("{authority} does not answer in HTTP"))
}

fn parse(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/")?.split_whitespace().nth(1)?.parse().ok()?;
    Some(Answer { status, head: head.to_owned(), body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_and_body_come_out_of_an_answer() {
        let answer = parse(
            "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\n\r\n{\"error_code\":404}",
        )
        .unwrap();
        assert_eq!(answer.status, 404);
        assert_eq!(answer.json().unwrap()["error_code"], 404);
    }

    #[test]
    fn what_is_not_http_is_no_answer() {
        assert_eq!(parse("E\0\0\0\u{8}fatal\r\n\r\n"), None);
    }
}
