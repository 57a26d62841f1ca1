//! The booking service: a REST interface and pages to search, book, change, cancel and check in.
//!
//! In: HTTP requests. Out: answers in JSON and pages, rows in the airline's tables and in schema `service`. Invariants:
//!
//! * A seat of a flight is sold once, whatever the load: flights are locked while they are sold, and the primary key of
//!   `service.seat_assignments` refuses a second sale of a seat.
//! * A change that came under an idempotency key is made once; its answer is stored in the same transaction.
//! * A change of something tells the state that it is based on, and is refused if that state is gone.
//! * Nothing personal and no secret is in a log, a metric or an error.
//!
//! The flow of a request: `server` (connection), `layers` (name, limits, time, log), `request` (who, what), `api` or
//! `web` (checks), `idempotency` and `work` (one transaction, again after a failover), `store` (statements), `answer`
//! or `problem`.

mod problem;

mod field;
mod live_metrics;
mod page;
mod redis_link;
mod uploads;

mod settings;
mod touched;

mod pool;

mod metrics;

mod work;

mod limiter;
mod passwords;
mod peer;

mod bell;
mod cache;

mod state;

mod answer;
mod model;
mod store;

mod request;

mod idempotency;

mod saying;

mod api;

mod health;
mod layers;
mod live;
mod openapi;
mod server;

mod web;

use std::collections::HashSet;
use std::time::Duration;

use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::{Json, Router, routing};
use chrono::Utc;
use tokio::net::TcpListener;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::{Config, SwaggerUi};

use self::live::Live;
use self::problem::{Kind, Problem};
use self::server::Limits;
use self::state::Service;
use self::store::accounts::Tidy;
use self::store::uploads::{Identity, WithRow};
use self::uploads::{KnownKeys, Sweep};

pub use self::redis_link::RedisTarget;
pub use self::settings::ServeOptions;
pub use self::uploads::{StoreUrlError, UploadOptions, UploadStore};

/// How often old sessions and keys are removed.
const TIDY_EVERY: Duration = Duration::from_secs(600);

/// Serves until `stop` is cancelled and open requests have ended.
pub async fn serve(mut options: ServeOptions, listener: TcpListener, stop: CancellationToken) {
    options.instance.get_or_insert_with(|| instance_name(&listener));
    let limits =
        Limits { connections_max: options.connections_max, drain_time: options.drain_time };
    let service = Service::new(options);
    let tidying = tokio::spawn(tidy(service.clone(), stop.clone()));
    let live = Live::new(service.clone(), stop.clone());
    let router = router(service.clone(), live.clone());
    let sweeping = tokio::spawn(sweep(service.clone(), stop.clone()));
    let looking = tokio::spawn(look(service.clone(), stop.clone()));
    let living = tokio::spawn(live::run(live));
    server::run(listener, router, limits, stop).await;
    // Whoever does not hear that the instance ends is cut off.
    let _ = tokio::time::timeout(limits.drain_time, living).await;
    tidying.abort();
    sweeping.abort();
    looking.abort();
    service.close();
}

/// The name of an instance that was given none: its host and port.
fn instance_name(listener: &TcpListener) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = Some(host.trim()).filter(|host| !host.is_empty()).unwrap_or("localhost");
    let port = listener.local_addr().map_or(0, |address| address.port());
    format!("{host}:{port}")
}

/// The OpenAPI document.
#[must_use]
pub fn document() -> utoipa::openapi::OpenApi {
    parts().1
}

fn parts() -> (Router<Service>, utoipa::openapi::OpenApi) {
    let all = OpenApiRouter::with_openapi(openapi::Document::openapi()).merge(api::router());
    let (router, mut document) = all.split_for_parts();
    openapi::complete(&mut document);
    (router, document)
}

fn router(service: Service, live: Live) -> Router {
    let (router, document) = parts();
    let body_bytes_max = service.options().body_bytes_max;
    router
        .merge(health::router())
        .merge(live::router(live))
        .merge(web::router())
        .route("/openapi.json", routing::get(move || async move { Json(document) }))
        // Without the address of a validator the page asks nobody else about the document.
        .merge(SwaggerUi::new("/docs").config(Config::from("/openapi.json").validator_url("none")))
        .fallback(async || Problem::not_found("path"))
        .method_not_allowed_fallback(async || {
            Problem::new(Kind::MethodNotAllowed, "see the header Allow for what is allowed")
        })
        .layer(DefaultBodyLimit::max(body_bytes_max))
        .layer(from_fn_with_state(service.clone(), layers::around))
        .with_state(service)
}

/// Removes what is too old, now and then. Every instance does so; nothing is lost when two do at once.
async fn tidy(service: Service, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(TIDY_EVERY);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let keys_before = Utc::now() - service.options().key_time;
        match service.on_primary(&Tidy { keys_before }).await {
            Ok(row_count) => tracing::debug!(row_count, "old sessions and keys are removed"),
            Err(problem) => tracing::debug!(kind = problem.kind.name(), "nothing is removed now"),
        }
    }
}

/// Looks now and then whether the store of files answers, so that a question for readiness does not wait for it.
async fn look(service: Service, stop: CancellationToken) {
    let Ok(uploads) = service.uploads() else { return };
    let mut ticks = tokio::time::interval(uploads.options().look_every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        uploads.look().await;
    }
}

/// Removes files that no row names, now and then, where there is a store. Every instance does so.
async fn sweep(service: Service, stop: CancellationToken) {
    let Ok(uploads) = service.uploads() else { return };
    let every = uploads.options().sweep_every;
    // Not at the start: whoever sees that an instance has the wrong store has time to stop it. Soon after it: an
    // instance that is restarted each hour would never come to it.
    let first = uploads.options().sweep_first.min(every);
    let mut ticks = tokio::time::interval_at(Instant::now() + first, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        match Sweep::run(uploads, &service).await {
            Ok(sweep) if sweep.removed > 0 => {
                tracing::info!(removed = sweep.removed, "files without a row are removed");
            }
            Ok(sweep) => tracing::debug!(with_row = sweep.with_row, "no file is without a row"),
            Err(problem) => {
                tracing::warn!(kind = problem.kind.name(), "files are not looked through now");
            }
        }
    }
}

impl KnownKeys for Service {
    async fn known(&self, object_keys: Vec<String>) -> Result<HashSet<String>, Problem> {
        self.on_primary(&WithRow { object_keys }).await
    }

    async fn database(&self) -> Result<String, Problem> {
        self.on_primary(&Identity).await
    }
}
