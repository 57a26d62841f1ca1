//! `/health` and `/metrics`.
//!
//! In: an address. Out: a server that answers with the last values that the stages have set. The server asks no other
//! program.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use shared::http::{self, Limits};
use shared::probe::{self, ProbeError};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::health::{Health, HealthCell};
use crate::metrics::Metrics;
use crate::paused::PausedTables;

/// What the server answers from.
#[derive(Clone)]
pub struct Served {
    /// counters
    pub metrics: Arc<Metrics>,
    /// condition
    pub health: HealthCell,
    /// the tables that stand still, of each source
    pub paused: Vec<PausedTables>,
}

/// Serves until the token is cancelled.
pub async fn serve(listener: TcpListener, served: Served, token: CancellationToken) {
    let router = Router::new()
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .with_state(served);
    http::serve(listener, router, Limits::default(), token).await;
}

async fn health(State(served): State<Served>) -> impl IntoResponse {
    let unhealthy = |reason: &str| {
        let body = serde_json::json!({"status": "unhealthy", "reason": reason});
        (StatusCode::SERVICE_UNAVAILABLE, Json(body))
    };
    match served.health.get() {
        Health::Healthy => {
            let mut body = serde_json::json!({"status": "healthy"});
            let paused: Vec<_> = served.paused.iter().flat_map(PausedTables::list).collect();
            if !paused.is_empty() {
                body["paused_tables"] = serde_json::json!(paused);
            }
            (StatusCode::OK, Json(body))
        }
        Health::Starting => unhealthy("starting"),
        Health::Failing(reason) => unhealthy(&reason),
    }
}

async fn metrics(State(served): State<Served>) -> impl IntoResponse {
    const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, OPENMETRICS)], served.metrics.expose())
}

/// How long a healthy loader may take to answer.
const ASK_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(3);

/// What a running loader answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// whether the loader says that it is healthy
    pub healthy: bool,
    /// the text of its answer
    pub body: String,
}

/// Why a loader does not answer.
#[derive(Debug, thiserror::Error)]
#[error("no loader answers at {address}")]
pub struct NoAnswer {
    address: SocketAddr,
    #[source]
    source: ProbeError,
}

/// Asks the loader that listens on this address. When the loader listens on all addresses, the loopback is asked.
///
/// # Errors
/// When nobody listens there, or the answer takes longer than 3 s.
pub async fn ask_health(listen: SocketAddr) -> Result<Answer, NoAnswer> {
    let address = match listen {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => {
            SocketAddr::from(([127, 0, 0, 1], v4.port()))
        }
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => {
            SocketAddr::from(([127, 0, 0, 1], v6.port()))
        }
        address => address,
    };
    match probe::get(format!("http://{address}/health"), ASK_TIMEOUT).await {
        Ok(answer) => Ok(Answer { healthy: answer.code == 200, body: answer.body }),
        Err(source) => Err(NoAnswer { address, source }),
    }
}
