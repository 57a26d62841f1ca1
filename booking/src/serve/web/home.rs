//! The first page: which instance and which database node answer, and how all parts are.
//!
//! It answers also when the database is away, because then somebody looks for the reason.

use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::super::state::Service;
use super::super::work::{Patience, run};
use super::health::{Look, Node, Part, parts};
use super::page::{Frame, page};
use super::visitor::Visitor;

/// The page waits so long for the database.
const TIME: Duration = Duration::from_secs(2);

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage {
    frame: Frame,
    node: Option<Node>,
    parts: Vec<Part>,
}

/// The first page.
pub(crate) async fn show(State(service): State<Service>, headers: HeaderMap) -> Response {
    let visitor = tokio::time::timeout(TIME, Visitor::of(&headers, &service)).await;
    let visitor = visitor.ok().and_then(Result::ok);
    let visitor = visitor.unwrap_or_else(|| Visitor::anybody(&headers, &service));
    let patience = Patience { statement: TIME, again: Duration::from_millis(500) };
    let asked = run(service.primary(), patience, service.metrics(), &Look);
    let node = tokio::time::timeout(TIME, asked).await.ok().and_then(Result::ok);
    let parts = parts(&service, node.as_ref()).await;
    let frame = Frame::new(&service, &visitor, "Welcome aboard", "/");
    page(StatusCode::OK, &visitor, &HomePage { frame, node, parts })
}
