//! The OpenAPI document: what the operations say of themselves, and what all have in common.
//!
//! In: the operations' attributes. Out: one document, at `/openapi.json` and as a page at `/docs`. Every operation can
//! be refused with problem details; that is said here once.

use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, Ref, RefOr, Response, ResponseBuilder};

use super::problem::{FieldError, PROBLEM_JSON, ProblemBody};

/// What the document begins with.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Booking service",
        description = "Search flights, book, change, cancel and check in.\n\n\
            Refusals are problem details (RFC 9457). Lists have pages: `next_cursor` of one page is `cursor` of the \
            next. Changes take the `ETag` of what they change as `If-Match`, and an `Idempotency-Key`, under which a \
            request can be sent again after a lost answer.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    components(schemas(ProblemBody, FieldError)),
    tags(
        (name = "flights", description = "airports, flights and seats; for everybody"),
        (name = "customers", description = "customers and their sessions"),
        (name = "bookings", description = "bookings and their items; for the customer who made them"),
        (name = "uploads", description = "images and documents of a customer or a booking"),
        (name = "check-in", description = "boarding passes"),
    ),
)]
pub(crate) struct Document;

/// Adds what all operations have in common.
pub(crate) fn complete(document: &mut utoipa::openapi::OpenApi) {
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer);
    let bearer = bearer.description(Some("the token of `POST /api/v1/sessions`")).build();
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("session", SecurityScheme::Http(bearer));
    for item in document.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.post, &mut item.patch, &mut item.delete]
            .into_iter()
            .flatten();
        for operation in operations {
            let responses = &mut operation.responses.responses;
            for (status, response) in responses.iter_mut() {
                let RefOr::T(response) = response else { continue };
                if status.starts_with('4') {
                    response.content.insert(PROBLEM_JSON.to_owned(), RefOr::T(content()));
                }
            }
            let mut usual = vec![
                ("422", "a parameter, a header or the body is wrong"),
                ("429", "this address or this customer asks too often"),
                ("503", "the service or its database has no time or is away"),
            ];
            if operation.security.is_some() {
                usual.push(("401", "nobody is signed in"));
            }
            if operation.request_body.is_some() {
                usual.push(("400", "the body is no JSON"));
                usual.push(("413", "the body is too large"));
                usual.push(("415", "the body is of another media type"));
            }
            for (status, description) in usual {
                responses.entry(status.to_owned()).or_insert_with(|| problem(description).into());
            }
            responses.insert("default".to_owned(), problem("another problem").into());
        }
    }
}

fn problem(description: &str) -> Response {
    ResponseBuilder::new().description(description).content(PROBLEM_JSON, content()).build()
}

fn content() -> Content {
    Content::new(Some(Ref::from_schema_name("Problem")))
}
