//! Whether the service lives, whether it can sell, and what Prometheus reads.
//!
//! In: the primary, the pools. Out: `/health/live`, `/health/ready`, `/metrics`. An instance is ready when its primary
//! answers and takes writes. When the server behind the primary's address takes none any more, all idle connections go,
//! so that an instance that gets no requests finds the new primary, too. It is ready also while the store of
//! files is away: only uploads need it. Nobody waits for the store here: a task looks at it now and then.

use std::time::Duration;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::{Json, Router, routing};
use serde_json::{Value, json};
use tokio_postgres::Transaction;

use super::problem::{Kind, Problem};
use super::state::Service;
use super::work::{Failure, Mode, Patience, Work, run};

/// A probe waits a second or two.
const PATIENCE: Patience =
    Patience { statement: Duration::from_secs(2), again: Duration::from_millis(500) };
/// The media type of OpenMetrics.
const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The paths for operators.
pub(crate) fn router() -> Router<Service> {
    Router::new()
        .route("/health/live", routing::get(live))
        .route("/health/ready", routing::get(ready))
        .route("/metrics", routing::get(metrics))
}

async fn live() -> Json<Value> {
    Json(json!({"status": "live"}))
}

async fn ready(State(service): State<Service>) -> Result<Json<Value>, Problem> {
    let standing = run(service.primary(), PATIENCE, service.metrics(), &Look).await?;
    if standing.is_read_only {
        service.primary().forget_idle();
        return Err(Problem::new(Kind::Unavailable, "the primary takes no writes"));
    }
    if !standing.is_prepared {
        let detail = "the database has no schema service: apply sql/source";
        return Err(Problem::new(Kind::Unavailable, detail));
    }
    let uploads = match service.uploads() {
        Err(_) => "off",
        Ok(uploads) if uploads.is_there() => "ready",
        // Everything else goes on without the store.
        Ok(_) => "away",
    };
    // Without Redis the service is slower and complete, so it is ready.
    Ok(Json(json!({"status": "ready", "redis": service.bell().state(), "uploads": uploads})))
}

async fn metrics(State(service): State<Service>) -> impl IntoResponse {
    ([(CONTENT_TYPE, METRICS)], service.metrics().text(&service.usage()))
}

/// What the server behind the primary's address is.
struct Standing {
    is_read_only: bool,
    is_prepared: bool,
}

struct Look;

impl Work for Look {
    type Output = Standing;

    async fn run(&self, tx: &Transaction<'_>) -> Result<Standing, Failure> {
        let row = tx
            .query_typed_one(
                "SELECT
                     pg_catalog.pg_is_in_recovery()
                         OR current_setting('default_transaction_read_only')::boolean,
                     EXISTS (
                         SELECT
                         FROM pg_catalog.pg_class AS c
                         JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
                         WHERE n.nspname = 'service'
                           AND c.relname = 'seat_assignments'
                     )",
                &[],
            )
            .await?;
        Ok(Standing { is_read_only: row.get(0), is_prepared: row.get(1) })
    }

    fn mode(&self) -> Mode {
        Mode::Read
    }
}
