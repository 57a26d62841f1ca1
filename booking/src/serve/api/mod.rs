//! The operations of the REST interface, below `/api/v1`.
//!
//! In: requests. Out: answers. An operation checks what came, runs one transaction and answers; what it says of itself
//! in its attributes is its part of the OpenAPI document, and its path in the router comes from the same attributes.

pub(crate) mod bookings;
pub(crate) mod customers;
pub(crate) mod flights;
pub(crate) mod items;
pub(crate) mod sessions;
pub(crate) mod uploads;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::state::Service;

/// All operations.
pub(crate) fn router() -> OpenApiRouter<Service> {
    OpenApiRouter::new()
        .routes(routes!(flights::list_airports))
        .routes(routes!(flights::search_flights))
        .routes(routes!(flights::read_flight))
        .routes(routes!(flights::read_seats))
        .routes(routes!(customers::make_customer))
        .routes(routes!(customers::read_customer, customers::change_customer))
        .routes(routes!(sessions::sign_in))
        .routes(routes!(sessions::sign_out))
        .routes(routes!(bookings::list_bookings, bookings::make_booking))
        .routes(routes!(bookings::read_booking, bookings::cancel_booking))
        .routes(routes!(bookings::change_passenger))
        .routes(routes!(items::change_item, items::cancel_item))
        .routes(routes!(items::check_in))
        .routes(routes!(items::read_boarding_pass))
        .routes(routes!(uploads::list_uploads, uploads::make_upload))
        .routes(routes!(uploads::read_upload, uploads::delete_upload))
        .routes(routes!(uploads::read_content))
}
