//! One question to a running program over HTTP: what the `health` commands are made of.
//!
//! In: a URL, how long the answer may take. Out: the answer, whatever its status says, or why there is none.
//! Invariant: nothing stands between us and the program that is asked: no proxy, no redirect.

use std::time::Duration;

use ureq::{Agent, Error};

/// Bytes of an answer that are read at most; ours have some hundred.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// What a program answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub code: u16,
    /// The body.
    pub body: String,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// Nobody listens there, or the connection was lost.
    #[error(transparent)]
    Unreachable(#[from] std::io::Error),
    /// It took too long.
    #[error("no answer in time")]
    TimedOut,
    /// What came is no HTTP.
    #[error("the answer is no HTTP")]
    NotHttp(#[source] Box<Error>),
}

/// Sends `GET url`; the answer is read within `wait`.
///
/// # Errors
/// See [`ProbeError`].
pub async fn get(url: String, wait: Duration) -> Result<Answer, ProbeError> {
    let asked = tokio::task::spawn_blocking(move || ask(&url, wait)).await;
    asked.unwrap_or_else(|err| Err(std::io::Error::other(err).into()))
}

fn ask(url: &str, wait: Duration) -> Result<Answer, ProbeError> {
    let agent: Agent = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .timeout_global(Some(wait))
        .build()
        .into();
    let mut response = agent.get(url).header("connection", "close").call().map_err(problem)?;
    let code = response.status().as_u16();
    let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).lossy_utf8(true);
    Ok(Answer { code, body: body.read_to_string().map_err(problem)? })
}

fn problem(err: Error) -> ProbeError {
    match err {
        Error::Timeout(_) => ProbeError::TimedOut,
        Error::Io(err) if err.kind() == std::io::ErrorKind::TimedOut => ProbeError::TimedOut,
        Error::Io(err) => ProbeError::Unreachable(err),
        Error::ConnectionFailed | Error::HostNotFound => {
            ProbeError::Unreachable(std::io::Error::other(err))
        }
        other => ProbeError::NotHttp(Box::new(other)),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const WAIT: Duration = Duration::from_secs(60);

    /// Asks a listener that answers with these bytes.
    async fn asked(bytes: &'static [u8]) -> Result<Answer, ProbeError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/health", listener.local_addr().unwrap());
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let read = stream.read(&mut request).await.unwrap();
            assert!(request[..read].starts_with(b"GET /health HTTP/1.1\r\n"));
            stream.write_all(bytes).await.unwrap();
        };
        tokio::join!(get(url, WAIT), serve).0
    }

    #[tokio::test]
    async fn an_unhealthy_program_has_answered() {
        let answer =
            asked(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 3\r\n\r\nbad").await;
        assert_eq!(answer.unwrap(), Answer { code: 503, body: "bad".to_owned() });
    }

    #[tokio::test]
    async fn another_protocol_and_nobody_at_all_are_told_apart() {
        let other = asked(b"220 mail.example ESMTP\r\n").await;
        assert!(matches!(other, Err(ProbeError::NotHttp(_))), "{other:?}");
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let nobody = get(format!("http://{closed}/health"), WAIT).await;
        assert!(matches!(nobody, Err(ProbeError::Unreachable(_))), "{nobody:?}");
    }

    #[tokio::test]
    async fn a_program_that_says_nothing_is_not_waited_for() {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/health", silent.local_addr().unwrap());
        let outcome = get(url, Duration::from_millis(50)).await;
        assert!(matches!(outcome, Err(ProbeError::TimedOut)), "{outcome:?}");
    }
}
