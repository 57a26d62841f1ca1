//! `/health`, and the client of it that the `health` command is.
//!
//! In comes the state, or an address to ask, out comes whether the connector can do its work.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use serde_json::json;
use shared::probe::{self, ProbeError};

use super::routes::Answer;
use super::state::{ConnectState, ConnectorState};

const HEALTHY: &str = "Worker has completed startup and is ready to handle requests.";
const STARTING: &str = "Worker is still starting up.";
const UNHEALTHY: &str =
    "Worker was unable to handle this request and may be unable to handle other requests.";

/// How long a check may take: the answer needs no work, so a longer wait would only hide that the program hangs.
const TIMEOUT: Duration = Duration::from_secs(5);

pub(super) async fn answer(State(state): State<ConnectState>) -> Answer {
    let status = state.status();
    let failed = [&status.connector, &status.task].into_iter().find_map(ConnectorState::trace);
    let (code, word, message) = match (failed, &status.task) {
        (Some(trace), _) => {
            let cause = trace.lines().next().unwrap_or_default();
            (StatusCode::SERVICE_UNAVAILABLE, "unhealthy", format!("{UNHEALTHY} {cause}"))
        }
        (None, ConnectorState::Unassigned) => {
            (StatusCode::SERVICE_UNAVAILABLE, "starting", STARTING.to_owned())
        }
        (None, _) => (StatusCode::OK, "healthy", HEALTHY.to_owned()),
    };
    Answer::new(code, json!({"status": word, "message": message}))
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

/// Asks a running reader for its health; `listen` is the address that it listens on, so `0.0.0.0` is asked on the loopback.
///
/// # Errors
/// See [`HealthError`].
pub async fn check(listen: &str) -> Result<(), HealthError> {
    let address = listen.replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:");
    let answer = match probe::get(format!("http://{address}/health"), TIMEOUT).await {
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
