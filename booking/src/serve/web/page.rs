//! What all pages have in common: their frame, their headers.
//!
//! In: a template and a visitor. Out: an answer. The policy allows files of the service itself and nothing else: no
//! script and no style within a page.

use askama::Template;
use axum::http::header::{
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY, SET_COOKIE,
};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::super::problem::{Kind, Problem};
use super::super::state::Service;
use super::assets;
use super::visitor::Visitor;

/// What a page may load, where it may send forms, and that nobody may frame it.
const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'self'; \
    frame-ancestors 'none'; object-src 'none'";
/// Other sites learn nothing of the address. Within the service the browser says where a form comes from.
const REFERRER: &str = "same-origin";
/// The media type of pages.
const HTML: &str = "text/html; charset=utf-8";

/// The sections of the navigation: path and name.
pub(crate) const SECTIONS: [(&str, &str); 7] = [
    ("/", "Home"),
    ("/flights", "Flights"),
    ("/departures", "Departures"),
    ("/bookings", "My bookings"),
    ("/uploads", "Files"),
    ("/reports", "Reports"),
    ("/reference", "Reference data"),
];

/// What the layout needs to know.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) title: String,
    /// The path of the section that the page belongs to.
    section: &'static str,
    /// The customer who is signed in.
    pub(crate) customer: Option<String>,
    /// The token for the forms of the page.
    pub(crate) token: String,
    /// The instance that answers.
    pub(crate) instance: String,
}

impl Frame {
    pub(crate) fn new(
        service: &Service,
        visitor: &Visitor,
        title: impl Into<String>,
        section: &'static str,
    ) -> Self {
        Self {
            title: title.into(),
            section,
            customer: visitor.customer.as_ref().map(|customer| customer.name.clone()),
            token: visitor.form_token(),
            instance: service.instance().to_owned(),
        }
    }

    /// Path, name, and whether the page belongs to it, of each section.
    pub(crate) fn sections(&self) -> Vec<(&'static str, &'static str, bool)> {
        SECTIONS.into_iter().map(|(path, name)| (path, name, path == self.section)).collect()
    }

    /// The address of a file that the page loads.
    pub(crate) fn file(&self, name: &str) -> String {
        assets::address(name)
    }
}

/// A page as an answer.
pub(crate) fn page(status: StatusCode, visitor: &Visitor, template: &impl Template) -> Response {
    let body = match template.render() {
        Ok(body) => body,
        Err(error) => {
            tracing::error!(%error, "a template cannot be filled");
            return Problem::new(Kind::Internal, "the page cannot be written").into_response();
        }
    };
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    for (name, value) in
        [(CONTENT_TYPE, HTML), (CONTENT_SECURITY_POLICY, POLICY), (REFERRER_POLICY, REFERRER)]
    {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Some(cookie) = visitor.cookie() {
        headers.append(SET_COOKIE, cookie);
    }
    response
}

/// The page of a form that was refused; the refusal is counted.
pub(crate) fn refused(problem: &Problem, visitor: &Visitor, template: &impl Template) -> Response {
    let mut response = page(problem.status(), visitor, template);
    response.extensions_mut().insert(problem.kind);
    response
}

/// Sends the browser to another page after a form was done.
pub(crate) fn see_other(path: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    if let Ok(path) = HeaderValue::try_from(path) {
        response.headers_mut().insert(LOCATION, path);
    }
    response
}
