//! The page of a simulation: what happens, how often, and forms that steer it. It works without scripts.
//!
//! In: the control and the counters of a running simulation. Out: `/`, `/health`, `/metrics`. A form must carry the
//! token of this process, which a page of another site cannot read. When the page has a token of its own, whoever
//! steers signs in with it, and the browser gets a cookie that no script reads and no other site sends along.
//! Invariant: without a token, only a browser that named this machine by a loopback name is answered, so that a name
//! that somebody else pointed here reaches nothing.

mod door;
mod forms;
mod metrics;
mod rates;
mod state;
mod view;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use shared::http::Limits;
use shared::secret::Secret;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::state::Page;
use crate::simulate::{Control, Tally};

/// What the page may load: its own stylesheet.
const POLICY: &str = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; \
    frame-ancestors 'none'";

/// The stylesheet.
const STYLE: &str = include_str!("../../assets/wideworld.css");

/// A page that is to be served.
#[derive(Debug)]
pub struct PageOptions {
    shared: Arc<Page>,
}

impl PageOptions {
    /// A page over these parts. With a token only whoever enters it sees and steers.
    #[must_use]
    pub fn new(control: Arc<Control>, tally: Arc<Tally>, token: Option<Secret>) -> Self {
        Self { shared: Arc::new(Page::new(control, tally, token)) }
    }
}

/// Serves until `stop` is cancelled.
pub async fn serve(listener: TcpListener, options: PageOptions, stop: CancellationToken) {
    let page = options.shared;
    let measuring = tokio::spawn(state::measure(Arc::clone(&page), stop.child_token()));
    shared::http::serve(listener, router(page), Limits::default(), stop).await;
    measuring.abort();
}

fn router(page: Arc<Page>) -> Router {
    let inside = Router::new()
        .route("/", get(view::show))
        .route("/rates", post(forms::rates))
        .route("/pause", post(forms::pause))
        .route("/resume", post(forms::resume))
        .route("/burst", post(forms::burst))
        .route_layer(axum::middleware::from_fn_with_state(Arc::clone(&page), state::guard));
    Router::new()
        .merge(inside)
        .route("/sign-in", get(view::sign_in).post(forms::sign_in))
        .route("/health", get(health))
        .route("/metrics", get(metrics::show))
        .route("/wideworld.css", get(style))
        .layer(map_response(with_headers))
        .with_state(page)
}

/// 200 while every connection of the simulation stands.
async fn health(State(page): State<Arc<Page>>) -> Response {
    if page.tally.counts().is_disconnected {
        return (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n").into_response();
    }
    "live\n".into_response()
}

async fn style() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/css; charset=utf-8")], STYLE)
}

async fn with_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
