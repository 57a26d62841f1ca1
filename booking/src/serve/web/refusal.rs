//! Refusals as pages, for whoever asked for a page.
//!
//! In: an answer with a problem. Out: a page that says what happened, or the way to the page where one signs in. A
//! program, which asks for JSON, gets the problem itself.

use askama::Template;
use axum::extract::Request;
use axum::http::header::{ACCEPT, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, Method};
use axum::response::Response;

use super::super::problem::{Kind, Problem};
use super::super::state::Service;
use super::form::encoded;
use super::page::{Frame, refused, see_other};
use super::visitor::Visitor;

/// The paths of programs and operators.
const NOT_PAGES: [&str; 5] = ["/api/", "/health/", "/metrics", "/openapi.json", "/docs"];

/// A request for a page.
#[derive(Debug)]
pub(crate) struct Asked {
    headers: HeaderMap,
    method: Method,
    path: String,
}

#[derive(Template)]
#[template(path = "refusal.html")]
struct RefusalPage {
    frame: Frame,
    status: u16,
    detail: String,
    errors: Vec<String>,
    retry_after_s: Option<u64>,
}

impl Asked {
    /// What a request asked for, if that is a page.
    pub(crate) fn of(request: &Request) -> Option<Self> {
        let path = request.uri().path();
        let accepted = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok());
        let is_page = accepted.is_some_and(|accepted| accepted.contains("text/html"))
            && !NOT_PAGES.iter().any(|prefix| path.starts_with(prefix));
        is_page.then(|| Self {
            headers: request.headers().clone(),
            method: request.method().clone(),
            path: request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned(),
        })
    }

    /// The page for a problem.
    pub(crate) fn refuse(&self, service: &Service, problem: &Problem) -> Response {
        if problem.kind == Kind::Unauthenticated {
            let is_read = self.method == Method::GET;
            let next =
                if is_read { format!("?next={}", encoded(&self.path)) } else { String::new() };
            let mut response = see_other(&format!("/sign-in{next}"));
            response.extensions_mut().insert(problem.kind);
            return response;
        }
        let visitor = Visitor::anybody(&self.headers, service);
        let line = |error: &super::super::problem::FieldError| {
            format!("{} {}", error.field.trim_start_matches('/'), error.reason)
        };
        let template = RefusalPage {
            frame: Frame::new(service, &visitor, problem.title(), ""),
            status: problem.status().as_u16(),
            detail: problem.detail().to_owned(),
            errors: problem.errors().iter().map(line).collect(),
            retry_after_s: problem.retry_after_s(),
        };
        let mut response = refused(problem, &visitor, &template);
        if let Some(seconds) = problem.retry_after_s() {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response.headers_mut().remove(WWW_AUTHENTICATE);
        response
    }
}
