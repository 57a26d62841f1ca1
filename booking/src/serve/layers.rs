//! What every request goes through: a name, a limit, a time, a count and a line in the log.
//!
//! In: a request. Out: its answer with the headers that keep browsers from guessing. Invariant: the log has the pattern
//! of the route and never the path, the query or the body, because they may hold personal data.

use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use rand::RngExt;

use super::peer::{Connected, Peer};
use super::problem::{Kind, Problem};
use super::state::Service;
use super::web::refusal::Asked;

/// The header with the name of a request.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Characters of a name that a client gives at most.
const REQUEST_ID_CHARS_MAX: usize = 64;
/// What the interface may load: nothing.
const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";
/// What the page of the documentation may load: its own files. Swagger UI has styles in its markup.
const DOCUMENTATION: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

/// Leads a request through.
pub(crate) async fn around(
    State(service): State<Service>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let id = request_id(request.headers());
    let method = method_label(request.method()).to_owned();
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or("none", MatchedPath::as_str).to_owned();
    let connected = request.extensions().get::<Connected>().copied();
    let peer = Peer::of(connected, request.headers(), service.options().behind_proxy);
    request.extensions_mut().insert(peer);
    let asked = Asked::of(&request);
    service.metrics().begin_request();
    let under_way = UnderWay(service.clone());
    let mut response = match limited(&service, peer, &route, started) {
        Some(problem) => problem.into_response(),
        None => answer(&service, &route, request, next).await,
    };
    drop(under_way);
    if let Some((asked, problem)) = asked.zip(response.extensions_mut().remove::<Problem>()) {
        response = asked.refuse(&service, &problem).await;
    }
    let (status, took) = (response.status().as_u16(), started.elapsed());
    service.metrics().observe(&method, &route, status, took);
    let problem = response.extensions().get::<Kind>().map(|kind| kind.name());
    if let Some(kind) = problem {
        service.metrics().count_problem(kind);
    }
    if service_at_fault(status) {
        tracing::error!(
            request_id = id,
            method,
            route,
            status,
            problem,
            took_ms = ms(took),
            "failed"
        );
    } else {
        tracing::info!(
            request_id = id,
            method,
            route,
            status,
            problem,
            took_ms = ms(took),
            "answered"
        );
    }
    add_headers(response.headers_mut(), &id, &route);
    response
}

/// The method as metrics and the log name it. A client may make names up, so all but the nine standard ones have one.
fn method_label(method: &Method) -> &str {
    match *method {
        Method::GET
        | Method::HEAD
        | Method::POST
        | Method::PUT
        | Method::DELETE
        | Method::CONNECT
        | Method::OPTIONS
        | Method::TRACE
        | Method::PATCH => method.as_str(),
        _ => "other",
    }
}

/// A request counts as under way until it is answered, or until its client is gone.
struct UnderWay(Service);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.metrics().end_request();
    }
}

async fn answer(service: &Service, route: &str, request: Request, next: Next) -> Response {
    let time = time_of(service, route);
    let only_reads = matches!(*request.method(), Method::GET | Method::HEAD);
    match tokio::time::timeout(time, next.run(request)).await {
        Ok(response) => response,
        Err(_) => too_long(time, only_reads).into_response(),
    }
}

/// How long a request may take: a file comes at the pace of its client.
fn time_of(service: &Service, route: &str) -> Duration {
    let time = service.options().request_time;
    let upload_time = service.options().uploads.as_ref().map(|uploads| uploads.time);
    match upload_time {
        Some(upload_time) if matches!(route, "/api/v1/uploads" | "/uploads") => {
            upload_time.max(time)
        }
        _ => time,
    }
}

/// The answer to a request that has no time left. Its commit may be under way, and then it may still succeed.
fn too_long(time: Duration, only_reads: bool) -> Problem {
    let detail = format!("the request took longer than {} s", time.as_secs_f32());
    if only_reads {
        return Problem::new(Kind::Unavailable, detail);
    }
    Problem::new(Kind::OutcomeUnknown, format!("{detail}; look whether the change was made"))
}

/// The refusal of a client that asks too often. Health and metrics are for the operator, who must always be heard.
fn limited(service: &Service, Peer(peer): Peer, route: &str, now: Instant) -> Option<Problem> {
    if route.starts_with("/health/") || route == "/metrics" {
        return None;
    }
    service.requests()?.take(peer, now).err().map(Problem::too_many)
}

/// 503 is the database's absence or a lack of time, which its own lines tell; everything else is a fault.
const fn service_at_fault(status: u16) -> bool {
    status >= 500 && status != 503
}

fn ms(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}

/// The client's name of the request, if it is one that a log can hold, or a new one.
fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(&REQUEST_ID).and_then(|value| value.to_str().ok()).filter(|text| {
        (1..=REQUEST_ID_CHARS_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    });
    let new = || hex::encode(rand::rng().random::<[u8; 16]>());
    given.map_or_else(new, str::to_owned)
}

fn add_headers(headers: &mut HeaderMap, id: &str, route: &str) {
    if let Ok(id) = HeaderValue::try_from(id) {
        headers.insert(REQUEST_ID, id);
    }
    let policy = if route.starts_with("/docs") { DOCUMENTATION } else { NOTHING };
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, policy),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        // A page has a policy of its own.
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_request_that_reads_is_known_to_have_changed_nothing() {
        let of = |only_reads| too_long(Duration::from_secs(1), only_reads).kind;
        assert_eq!((of(true), of(false)), (Kind::Unavailable, Kind::OutcomeUnknown));
    }

    #[test]
    fn a_method_that_a_client_made_up_is_no_label() {
        for method in ["GET", "PATCH", "CONNECT"] {
            assert_eq!(method_label(&method.parse().unwrap()), method);
        }
        for method in ["BREW", "get", "PROPFIND"] {
            assert_eq!(method_label(&method.parse().unwrap()), "other", "{method}");
        }
    }

    #[test]
    fn a_name_that_a_log_cannot_hold_is_replaced() {
        let of = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_static(text));
            request_id(&headers)
        };
        assert_eq!(of("abc-1.2_3"), "abc-1.2_3");
        assert_eq!(of("two words").len(), 32);
        assert_ne!(of(""), of(""));
    }
}
