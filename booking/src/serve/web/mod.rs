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
//! To add a page: a template that extends `layout.html`, a handler in a module of its own that takes a
//! [`visitor::Visitor`] or a [`visitor::Member`] and gives [`page::page`], a line in [`router`] and, if it is a section
//! of its own, one in [`page::SECTIONS`]. A part of the service that can be away gets a line in [`health::parts`].

pub(crate) mod account;
pub(crate) mod assets;
pub(crate) mod booking;
pub(crate) mod change;
pub(crate) mod flight;
pub(crate) mod form;
pub(crate) mod health;
pub(crate) mod home;
pub(crate) mod live;
pub(crate) mod page;
pub(crate) mod reference;
pub(crate) mod refusal;
pub(crate) mod reports;
pub(crate) mod search;
pub(crate) mod seating;
pub(crate) mod text;
pub(crate) mod trip;
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
        .route("/flights", routing::get(search::show))
        .route("/flights/{flight_id}", routing::get(flight::show))
        .route("/flights/{flight_id}/chat", routing::get(live::chat).post(live::say_it))
        .route("/departures", routing::get(live::departures))
        .merge(bookings())
        .merge(reference())
        .route("/reports", routing::get(reports::first))
        .route("/reports/{report}", routing::get(reports::show))
        .route("/reports/{report}/csv", routing::get(reports::file))
}

/// The pages of bookings.
fn bookings() -> Router<Service> {
    const ITEM: &str = "/bookings/{book_ref}/items/{item_id}";
    Router::new()
        .route("/book", routing::get(booking::ask).post(booking::book))
        .route("/bookings", routing::get(change::list))
        .route("/bookings/{book_ref}", routing::get(change::show))
        .route("/bookings/{book_ref}/cancel", routing::post(change::cancel))
        .route(&format!("{ITEM}/cancel"), routing::post(change::cancel_item))
        .route(&format!("{ITEM}/check-in"), routing::post(change::check_in))
        .route(&format!("{ITEM}/boarding-pass"), routing::get(change::boarding_pass))
        .route(&format!("{ITEM}/seat"), routing::get(change::ask_seat).post(change::change_seat))
}

/// The pages of reference data.
fn reference() -> Router<Service> {
    let airport = routing::get(reference::show_airport).post(reference::edit_airport);
    let aircraft = routing::get(reference::show_aircraft).post(reference::edit_aircraft);
    Router::new()
        .route("/reference", routing::get(reference::list))
        .route("/reference/airports/{code}", airport)
        .route("/reference/aircraft/{code}", aircraft)
}
