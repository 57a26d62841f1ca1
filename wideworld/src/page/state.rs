//! What all requests share, and what stands before them.
//!
//! In: a request. Out: the request goes on, or is refused with what to do instead.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use shared::secret::Secret;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::door::Door;
use super::rates::Measured;
use crate::simulate::{Control, Tally};

/// Time between two looks at the counters.
const INTERVAL: Duration = Duration::from_secs(1);

/// What all requests share.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) control: Arc<Control>,
    pub(super) tally: Arc<Tally>,
    pub(super) measured: Measured,
    pub(super) door: Door,
}

impl Page {
    pub(super) fn new(control: Arc<Control>, tally: Arc<Tally>, token: Option<Secret>) -> Self {
        Self { control, tally, measured: Measured::default(), door: Door::new(token) }
    }
}

/// Looks at the counters every second.
pub(super) async fn measure(page: Arc<Page>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(INTERVAL);
    while !stop.is_cancelled() {
        ticks.tick().await;
        page.measured.add(Instant::now(), page.tally.counts());
    }
}

/// Lets a request in, or sends the browser to sign in.
pub(super) async fn guard(State(page): State<Arc<Page>>, request: Request, next: Next) -> Response {
    if page.door.lets_in(request.headers()) {
        return next.run(request).await;
    }
    if page.door.has_token() {
        return (StatusCode::SEE_OTHER, [(LOCATION, "/sign-in")]).into_response();
    }
    let reason = "this page answers on localhost and loopback addresses only; to name it otherwise, set \
                  WIDEWORLD_PAGE_TOKEN\n";
    (StatusCode::FORBIDDEN, reason).into_response()
}
