//! `/health` and `/ready`.
//!
//! In: the state. Out: whether the process lives, and whether it is connected and makes progress.
//!
//! They are two questions, because what follows from them is different. A process that is not alive has to be started
//! again. A process that is alive and not ready waits for a server, and another start would only wait again.

use std::time::Instant;

use axum::extract::State;
use axum::http::StatusCode;
use serde_json::json;

use super::answer::Answer;
use super::state::{ConnectorState, RestState};
use crate::readiness::judge;

const HEALTHY: &str = "Worker has completed startup and is ready to handle requests.";
const UNHEALTHY: &str =
    "Worker was unable to handle this request and may be unable to handle other requests.";

/// The process can answer, and its work has not ended by a failure.
pub(super) async fn health(State(state): State<RestState>) -> Answer {
    let status = state.status();
    let failed = [&status.connector, &status.task].into_iter().find_map(ConnectorState::trace);
    match failed {
        None => Answer::ok(json!({"status": "healthy", "message": HEALTHY})),
        Some(trace) => {
            let cause = trace.lines().next().unwrap_or_default();
            let message = format!("{UNHEALTHY} {cause}");
            let body = json!({"status": "unhealthy", "message": message});
            Answer::new(StatusCode::SERVICE_UNAVAILABLE, body)
        }
    }
}

/// The reader is connected and makes progress.
pub(super) async fn ready(State(state): State<RestState>) -> Answer {
    match judge(&state.progress().facts(Instant::now())) {
        Ok(()) => Answer::ok(json!({"status": "ready"})),
        Err(reason) => {
            let body = json!({"status": "not ready", "message": reason});
            Answer::new(StatusCode::SERVICE_UNAVAILABLE, body)
        }
    }
}
