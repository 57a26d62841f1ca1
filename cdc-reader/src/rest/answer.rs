//! What an answer is made of.
//!
//! In: a status code and a JSON body. Out: the HTTP response that a Kafka Connect worker would give.

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// A JSON body and its status code.
pub(super) struct Answer {
    status: StatusCode,
    body: Value,
}

impl Answer {
    pub(super) fn new(status: StatusCode, body: Value) -> Self {
        Self { status, body }
    }

    pub(super) fn ok(body: Value) -> Self {
        Self::new(StatusCode::OK, body)
    }

    pub(super) fn error(status: StatusCode, message: &str) -> Self {
        Self::new(status, json!({"error_code": status.as_u16(), "message": message}))
    }

    pub(super) fn no_connector(name: &str) -> Self {
        Self::error(StatusCode::NOT_FOUND, &format!("Connector {name} not found"))
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        (self.status, [(CONTENT_TYPE, "application/json")], self.body.to_string()).into_response()
    }
}
