//! The pages of the service: HTML that the server makes, beside the interface for programs.
//!
//! In: requests of browsers. Out: pages, or a redirection after a form was done. Invariants:
//!
//! * A page works without a script. Scripts and styles are files of the service itself, so that the policy of the pages
//!   allows nothing else ([`page`]).
//! * Whatever a page shows is escaped by the template. No template marks a value of a person as safe.
//! * A form changes something only if it came from a page of this service, for this session ([`form`]).
//! * What a page does is what the interface does: both call the same functions, under the same limits.
//!
//! To add a page: a template that extends `layout.html`, a handler in a module of its own that takes a [`Visitor`] or a
//! [`Member`] and gives [`page::page`], a line in [`router`] and, if it is a section of its own, one in
//! [`page::SECTIONS`]. A part of the service that can be away gets a line in [`health::parts`].

pub(crate) mod account;
pub(crate) mod assets;
pub(crate) mod form;
pub(crate) mod health;
pub(crate) mod home;
pub(crate) mod page;
pub(crate) mod refusal;
pub(crate) mod uploads;
pub(crate) mod visitor;

use axum::{Router, routing};

use super::state::Service;

/// All pages and their files.
pub(crate) fn router() -> Router<Service> {
    Router::new()
        .route("/", routing::get(home::show))
        .route("/sign-in", routing::get(account::ask_sign_in).post(account::sign_in))
        .route("/sign-up", routing::get(account::ask_sign_up).post(account::sign_up))
        .route("/sign-out", routing::post(account::sign_out))
        .route("/uploads", routing::get(uploads::show).post(uploads::add))
        .route("/uploads/{upload_id}/content", routing::get(uploads::save))
        .route("/uploads/{upload_id}/remove", routing::post(uploads::end))
        .route("/assets/{name}", routing::get(assets::file))
}
