//! What the page shows.
//!
//! In: settings, counters and the pace. Out: HTML. With `?refresh=SECONDS` the browser loads the page again by itself.

use std::sync::Arc;

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use tokio::time::Instant;

use super::state::Page;
use crate::simulate::{Counts, KINDS, Settings};

const HTML: &str = "text/html; charset=utf-8";
const REFRESH: HeaderName = HeaderName::from_static("refresh");

/// Seconds after which a page that refreshes itself is loaded again, at least and at most.
const REFRESH_S: std::ops::RangeInclusive<u16> = 1..=60;

/// A row of the table.
struct Row {
    title: &'static str,
    name: &'static str,
    rate: f64,
    pace: String,
    committed: u64,
    nothing: u64,
}

#[derive(Template)]
#[template(path = "page.html")]
struct Shown<'a> {
    token: String,
    rows: Vec<Row>,
    settings: Settings,
    counts: Counts,
    changes: String,
    burst: Option<String>,
    notice: Option<&'a str>,
    refresh: Option<u16>,
}

#[derive(Template)]
#[template(path = "sign-in.html")]
struct SignIn<'a> {
    notice: Option<&'a str>,
}

/// The page.
pub(super) async fn show(State(page): State<Arc<Page>>, RawQuery(query): RawQuery) -> Response {
    let wanted = query.as_deref().and_then(|query| query.strip_prefix("refresh=")?.parse().ok());
    let refresh = wanted.filter(|seconds| REFRESH_S.contains(seconds));
    let mut response = shown(&page, StatusCode::OK, None, refresh);
    if let Some(seconds) = refresh {
        response.headers_mut().insert(REFRESH, HeaderValue::from(seconds));
    }
    response
}

/// The page of a form that was refused.
pub(super) fn refused(page: &Page, status: StatusCode, notice: &str) -> Response {
    shown(page, status, Some(notice), None)
}

fn shown(page: &Page, status: StatusCode, notice: Option<&str>, refresh: Option<u16>) -> Response {
    let (settings, counts, pace) =
        (page.control.settings(), page.tally.counts(), page.measured.pace());
    let rows = KINDS.iter().enumerate().map(|(place, (kind, _))| Row {
        title: kind.title(),
        name: kind.name(),
        rate: settings.rates[place],
        pace: format!("{:.1}", pace.events[place]),
        committed: counts.committed[place],
        nothing: counts.nothing[place],
    });
    let now = Instant::now();
    let burst = settings.burst.filter(|burst| now < burst.until).map(|burst| {
        let left = burst.until.saturating_duration_since(now).as_secs() + 1;
        format!("{} times as much for {left} s more", burst.factor)
    });
    let template = Shown {
        token: page.door.form_token(),
        rows: rows.collect(),
        settings,
        counts,
        changes: format!("{:.0}", pace.changes),
        burst,
        notice,
        refresh,
    };
    answer(status, &template)
}

/// The form to sign in.
pub(super) async fn sign_in() -> Response {
    answer(StatusCode::OK, &SignIn { notice: None })
}

/// The form to sign in, after a wrong token.
pub(super) fn not_signed_in(notice: &str) -> Response {
    answer(StatusCode::FORBIDDEN, &SignIn { notice: Some(notice) })
}

fn answer(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(body) => (status, [(CONTENT_TYPE, HTML)], body).into_response(),
        Err(error) => {
            tracing::error!(%error, "a template cannot be filled");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
