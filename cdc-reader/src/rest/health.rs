//! `/health`.
//!
//! In: the state. Out: whether the connector can do its work.

use axum::extract::State;
use axum::http::StatusCode;
use serde_json::json;

use super::answer::Answer;
use super::state::{ConnectorState, RestState};

const HEALTHY: &str = "Worker has completed startup and is ready to handle requests.";
const STARTING: &str = "Worker is still starting up.";
const UNHEALTHY: &str =
    "Worker was unable to handle this request and may be unable to handle other requests.";

pub(super) async fn answer(State(state): State<RestState>) -> Answer {
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
