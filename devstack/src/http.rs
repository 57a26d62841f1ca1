//! One HTTP request to a server of this machine, and its answer.
//!
//! In: method, `http://host:port/path`, a JSON body. Out: status code, head and body.
//! Invariant: every status is an answer and no error. No proxy and no redirect comes between the caller and the server,
//! and no connection is kept open.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Context;
use ureq::http::Response;
use ureq::{Agent, Body};

/// How long a server may take for one request. Kafka Connect gives up after 90 s.
const TIMEOUT: Duration = Duration::from_secs(100);

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The header lines.
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

    fn read(response: Response<Body>) -> anyhow::Result<Self> {
        let (head, mut body) = response.into_parts();
        let mut lines = String::new();
        for (name, value) in &head.headers {
            let _ = writeln!(lines, "{name}: {}", String::from_utf8_lossy(value.as_bytes()));
        }
        Ok(Self { status: head.status.as_u16(), head: lines, body: body.read_to_string()? })
    }
}

/// Gets `url`.
pub fn get(url: &str) -> anyhow::Result<Answer> {
    request("GET", url, None)
}

/// Gets `url` from a server that may never answer.
pub(crate) fn get_within(url: &str, timeout: Duration) -> anyhow::Result<Answer> {
    send_within("GET", url, &[], None, timeout)
}

/// Sends a request, with a JSON body if there is one.
pub fn request(method: &str, url: &str, body: Option<&str>) -> anyhow::Result<Answer> {
    send(method, url, &[], body)
}

/// Sends a request with further headers, and with a JSON body if there is one.
pub fn send(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: Option<&str>,
) -> anyhow::Result<Answer> {
    send_within(method, url, headers, body, TIMEOUT)
}

fn send_within(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: Option<&str>,
    timeout: Duration,
) -> anyhow::Result<Answer> {
    let agent: Agent = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .timeout_global(Some(timeout))
        .build()
        .into();
    let mut request =
        ureq::http::Request::builder().method(method).uri(url).header("connection", "close");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answered = match body {
        None => agent.run(request.body(())?),
        Some(body) => agent.run(request.header("content-type", "application/json").body(body)?),
    };
    let response = answered.with_context(|| format!("no answer to {method} {url}"))?;
    Answer::read(response).with_context(|| format!("cannot read the answer to {method} {url}"))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    /// Answers one connection with these bytes; gives the address.
    fn answer_once(bytes: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/path", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).unwrap();
            stream.write_all(bytes).unwrap();
        });
        url
    }

    #[test]
    fn an_error_of_the_server_is_an_answer_with_status_head_and_body() {
        let url = answer_once(
            b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 18\r\n\r\n{\"error_code\":404}",
        );
        let answer = get(&url).unwrap();
        assert_eq!(answer.status, 404);
        assert_eq!(answer.json().unwrap()["error_code"], 404);
        assert!(answer.head.contains("content-type: application/json\n"), "{}", answer.head);
    }

    #[test]
    fn what_is_not_http_is_no_answer() {
        let url = answer_once(b"E\0\0\0\x08fatal\r\n\r\n");
        let err = get(&url).unwrap_err();
        assert!(err.to_string().contains(&format!("no answer to GET {url}")), "{err}");
    }
}
