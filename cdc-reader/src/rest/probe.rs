//! The client of `/health` and `/ready`, which the command `health` uses.
//!
//! In: the address of a running reader. Out: whether that reader says yes.

use std::time::Duration;

use shared::probe::{self, ProbeError};

/// How long a check may take. The answer needs no work, so a longer wait would only hide that the program hangs.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What a running reader is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// Whether it lives.
    Health,
    /// Whether it is connected and makes progress.
    Ready,
}

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
    /// The answer took too long.
    #[error("the reader at {address} did not answer within {} s", TIMEOUT.as_secs())]
    TimedOut {
        /// Where.
        address: String,
    },
    /// The answer was not HTTP.
    #[error("what answers at {address} is not the reader")]
    Strange {
        /// Where.
        address: String,
    },
    /// The reader says no.
    #[error("the reader at {address} answers {code}: {body}")]
    Unhealthy {
        /// Where.
        address: String,
        /// The HTTP status.
        code: u16,
        /// The reader's own words.
        body: String,
    },
}

/// Asks a running reader a question. `listen` is the address that the reader listens on. For `0.0.0.0` the loopback
/// is asked.
///
/// # Errors
/// See [`HealthError`].
pub async fn check(listen: &str, question: Question) -> Result<(), HealthError> {
    let path = match question {
        Question::Health => "health",
        Question::Ready => "ready",
    };
    let address = listen.replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:");
    let answer = match probe::get(format!("http://{address}/{path}"), TIMEOUT).await {
        Ok(answer) => answer,
        Err(ProbeError::Unreachable(source)) => {
            return Err(HealthError::Unreachable { address, source });
        }
        Err(ProbeError::TimedOut) => return Err(HealthError::TimedOut { address }),
        Err(ProbeError::NotHttp(_)) => return Err(HealthError::Strange { address }),
    };
    match answer.code {
        200 => Ok(()),
        code => Err(HealthError::Unhealthy { address, code, body: answer.body }),
    }
}
