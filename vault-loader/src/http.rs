//! `/health`, `/ready` and `/metrics`.
//!
//! In: an address. Out: a server that answers with the last values that the stages have set. The server asks no other
//! program. `/health` says that the process lives, and `/ready` that it is connected to both servers and makes
//! progress.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

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

use crate::health::HealthCell;
use crate::metrics::Metrics;
use crate::paused::PausedTables;
use crate::readiness;

/// What the server answers from.
#[derive(Clone)]
pub struct Served {
    /// the sources that the process loads, at least one
    pub sources: Vec<ServedSource>,
}

/// What one source's loading says about itself.
#[derive(Clone)]
pub struct ServedSource {
    /// name of the source
    pub name: String,
    /// counters
    pub metrics: Arc<Metrics>,
    /// condition
    pub health: HealthCell,
    /// the tables that stand still
    pub paused: PausedTables,
}

impl Served {
    /// Whether every source is ready, or the reasons why not.
    fn judge(&self) -> Result<(), String> {
        let now = Instant::now();
        let several = self.sources.len() > 1;
        let reasons: Vec<String> = self
            .sources
            .iter()
            .filter_map(|source| {
                let reason = readiness::judge(&source.health.facts(now)).err()?;
                Some(if several { format!("{}: {reason}", source.name) } else { reason })
            })
            .collect();
        if reasons.is_empty() { Ok(()) } else { Err(reasons.join("; ")) }
    }
}

/// Serves until the token is cancelled.
pub async fn serve(listener: TcpListener, served: Served, token: CancellationToken) {
    let router = Router::new()
        .route("/health", get(health))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(served);
    http::serve(listener, router, Limits::default(), token).await;
}

/// The process can answer. When its work fails for good, the process ends.
async fn health(State(served): State<Served>) -> impl IntoResponse {
    Json(with_paused_tables(serde_json::json!({"status": "healthy"}), &served))
}

async fn ready(State(served): State<Served>) -> impl IntoResponse {
    match served.judge() {
        Ok(()) => {
            let body = serde_json::json!({"status": "ready"});
            (StatusCode::OK, Json(with_paused_tables(body, &served)))
        }
        Err(reason) => {
            let body = serde_json::json!({"status": "not ready", "reason": reason});
            (StatusCode::SERVICE_UNAVAILABLE, Json(with_paused_tables(body, &served)))
        }
    }
}

/// An answer, with the tables that stand still if there are any. All other tables go on, so the answer stays the same.
fn with_paused_tables(mut body: serde_json::Value, served: &Served) -> serde_json::Value {
    let paused: Vec<_> = served.sources.iter().flat_map(|source| source.paused.list()).collect();
    if !paused.is_empty() {
        body["paused_tables"] = serde_json::json!(paused);
    }
    body
}

async fn metrics(State(served): State<Served>) -> impl IntoResponse {
    const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    // All sources count in one registry.
    let now = Instant::now();
    for source in &served.sources {
        source.metrics.set_ages();
        source.metrics.ready(readiness::judge(&source.health.facts(now)).is_ok());
    }
    let text = served.sources.first().map(|source| source.metrics.expose()).unwrap_or_default();
    ([(CONTENT_TYPE, OPENMETRICS)], text)
}

/// How long a healthy loader may take to answer.
const ASK_TIMEOUT: Duration = Duration::from_secs(3);

/// What a running loader is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// Whether it lives.
    Health,
    /// Whether it is connected and makes progress.
    Ready,
}

/// What a running loader answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// whether the answer is yes
    pub is_yes: bool,
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
pub async fn ask(listen: SocketAddr, question: Question) -> Result<Answer, NoAnswer> {
    let address = match listen {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => {
            SocketAddr::from(([127, 0, 0, 1], v4.port()))
        }
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => {
            SocketAddr::from(([127, 0, 0, 1], v6.port()))
        }
        address => address,
    };
    let path = match question {
        Question::Health => "health",
        Question::Ready => "ready",
    };
    match probe::get(format!("http://{address}/{path}"), ASK_TIMEOUT).await {
        Ok(answer) => Ok(Answer { is_yes: answer.code == 200, body: answer.body }),
        Err(source) => Err(NoAnswer { address, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::Health;

    #[test]
    fn every_source_has_to_be_ready_and_those_that_are_not_are_named() {
        let first = Arc::new(Metrics::new("airline"));
        let second = Arc::new(first.beside("agency"));
        let source = |name: &str, metrics: &Arc<Metrics>| ServedSource {
            name: name.to_owned(),
            metrics: Arc::clone(metrics),
            health: HealthCell::new(),
            paused: PausedTables::new(Arc::clone(metrics)),
        };
        let mut served = Served { sources: vec![source("airline", &first)] };
        served.sources[0].health.assigned(true, Instant::now());
        served.sources[0].health.set(Health::Healthy);
        assert_eq!(served.judge(), Ok(()));
        served.sources[0].health.set(Health::Failing("no lock".to_owned()));
        assert_eq!(served.judge(), Err("no lock".to_owned()));
        served.sources.push(source("agency", &second));
        let starting = "starting: the servers have not both answered";
        assert_eq!(served.judge(), Err(format!("airline: no lock; agency: {starting}")));
    }
}
