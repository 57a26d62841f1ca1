//! The client of `/health` that the `health` command is.
//!
//! In comes the address of a running reader, out comes whether that reader says that it is well.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long a check may take: the answer needs no work, so a longer wait would only hide that the program hangs.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of an answer that are read; ours has some hundred.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// Why a check of the health fails.
#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    /// Nothing answers there.
    #[error("cannot reach the reader at {address}")]
    Unreachable {
        /// Where.
        address: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// It took too long.
    #[error("the reader at {address} did not answer within {} s", TIMEOUT.as_secs())]
    TimedOut {
        /// Where.
        address: String,
    },
    /// Something answered that is no HTTP.
    #[error("what answers at {address} is not the reader")]
    Strange {
        /// Where.
        address: String,
    },
    /// It says that it is not well.
    #[error("the reader at {address} answers {code}: {body}")]
    Unhealthy {
        /// Where.
        address: String,
        /// The HTTP status.
        code: u16,
        /// Its own words.
        body: String,
    },
}

/// Asks a running reader for its health; `listen` is the address that it listens on, so `0.0.0.0` is asked on the
/// loopback.
///
/// # Errors
/// See [`HealthError`].
pub async fn check(listen: &str) -> Result<(), HealthError> {
    let address = listen.replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:");
    let answer = match tokio::time::timeout(TIMEOUT, ask(&address)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(source)) => return Err(HealthError::Unreachable { address, source }),
        Err(_elapsed) => return Err(HealthError::TimedOut { address }),
    };
    let code = answer
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.split_ascii_whitespace().nth(1))
        .and_then(|code| code.parse::<u16>().ok());
    match code {
        None => Err(HealthError::Strange { address }),
        Some(200) => Ok(()),
        Some(code) => {
            let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_owned();
            Err(HealthError::Unhealthy { address, code, body })
        }
    }
}

/// One request of HTTP/1.0, whose answer ends with the connection.
async fn ask(address: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(format!("GET /health HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
