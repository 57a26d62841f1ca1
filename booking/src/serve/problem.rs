//! What a client is told when a request is not done: problem details of RFC 9457.
//!
//! In: a refusal that the service decides, with its words. Out: a status, a type that programs can compare, a sentence
//! for people, and for each wrong field its name and the reason. Invariant: no problem holds a value of the request
//! that could be somebody's data, nor words of the database.

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// The media type of problem details.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// After how many seconds a client may try again when the service has no time or no database.
const RETRY_AFTER_S: u64 = 1;

/// Why a request is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The body cannot be read.
    Malformed,
    /// Nobody is signed in, or with a wrong password.
    Unauthenticated,
    /// The form came from elsewhere, or the account may not do that.
    Forbidden,
    /// There is no such thing, or it is somebody else's.
    NotFound,
    /// The path has no such method.
    MethodNotAllowed,
    /// The class of a flight has no seat left.
    SoldOut,
    /// The seat is somebody else's.
    SeatTaken,
    /// The flight has left, is cancelled, or its check-in is not open.
    FlightClosed,
    /// The item has a boarding pass, or was flown.
    NotChangeable,
    /// The e-mail address has an account.
    EmailTaken,
    /// A request with the same key is under way.
    InProgress,
    /// `If-Match` names another state.
    PreconditionFailed,
    /// The customer's files have all the bytes that they may.
    StoreFull,
    /// The store has lost a file.
    Gone,
    /// A file is of a type that is not taken, or of another than it says.
    FileType,
    /// The body is too large.
    TooLarge,
    /// The body has another media type than the operation reads.
    MediaType,
    /// Fields are wrong.
    Invalid,
    /// The key was used for another request.
    KeyReused,
    /// `If-Match` is missing.
    PreconditionRequired,
    /// The client asks too often.
    TooManyRequests,
    /// The service is at fault.
    Internal,
    /// The service or its database has no time, or the database is away.
    Unavailable,
    /// The connection was lost at a commit, or the time ran out, so that nobody knows whether the change was made.
    OutcomeUnknown,
}

impl Kind {
    /// Status, the last part of the type, and the title.
    const fn parts(self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::Malformed => (S::BAD_REQUEST, "malformed", "the request cannot be read"),
            Self::Unauthenticated => (S::UNAUTHORIZED, "unauthenticated", "nobody is signed in"),
            Self::Forbidden => (S::FORBIDDEN, "forbidden", "this is not allowed"),
            Self::NotFound => (S::NOT_FOUND, "not-found", "not found"),
            Self::MethodNotAllowed => {
                (S::METHOD_NOT_ALLOWED, "method-not-allowed", "the method is not allowed here")
            }
            Self::SoldOut => (S::CONFLICT, "sold-out", "the class is sold out"),
            Self::SeatTaken => (S::CONFLICT, "seat-taken", "the seat is taken"),
            Self::FlightClosed => (S::CONFLICT, "flight-closed", "the flight is closed"),
            Self::NotChangeable => (S::CONFLICT, "not-changeable", "the item cannot be changed"),
            Self::EmailTaken => (S::CONFLICT, "email-taken", "the e-mail address has an account"),
            Self::InProgress => (S::CONFLICT, "in-progress", "the same request is under way"),
            Self::StoreFull => (S::CONFLICT, "store-full", "there is no room for more files"),
            Self::Gone => (S::GONE, "gone", "the file is gone"),
            Self::FileType => {
                (S::UNSUPPORTED_MEDIA_TYPE, "file-type", "the file is of another type")
            }
            Self::PreconditionFailed => {
                (S::PRECONDITION_FAILED, "precondition-failed", "it has changed meanwhile")
            }
            Self::TooLarge => (S::PAYLOAD_TOO_LARGE, "too-large", "the body is too large"),
            Self::MediaType => {
                (S::UNSUPPORTED_MEDIA_TYPE, "media-type", "the body is of another media type")
            }
            Self::Invalid => (S::UNPROCESSABLE_ENTITY, "invalid", "some fields are wrong"),
            Self::KeyReused => {
                (S::UNPROCESSABLE_ENTITY, "key-reused", "the idempotency key is another request's")
            }
            Self::PreconditionRequired => {
                (S::PRECONDITION_REQUIRED, "precondition-required", "If-Match is missing")
            }
            Self::TooManyRequests => {
                (S::TOO_MANY_REQUESTS, "too-many-requests", "too many requests")
            }
            Self::Internal => (S::INTERNAL_SERVER_ERROR, "internal", "the service is at fault"),
            Self::Unavailable => {
                (S::SERVICE_UNAVAILABLE, "unavailable", "the service cannot answer now")
            }
            Self::OutcomeUnknown => {
                (S::SERVICE_UNAVAILABLE, "outcome-unknown", "the outcome is not known")
            }
        }
    }

    /// The last part of the type, as metrics label it.
    pub(crate) const fn name(self) -> &'static str {
        self.parts().1
    }
}

/// A wrong field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct FieldError {
    /// JSON Pointer into the body, or the name of the parameter
    #[schema(examples("/passengers/0/name"))]
    pub(crate) field: String,
    /// What is wrong with it
    #[schema(examples("must have 1 to 100 characters"))]
    pub(crate) reason: String,
}

/// Problem details (RFC 9457)
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody {
    /// What kind of problem it is, for programs
    #[serde(rename = "type")]
    #[schema(examples("urn:booking:problem:sold-out"))]
    kind: String,
    /// The kind in words
    title: String,
    /// The status of the answer
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What happened this time
    detail: String,
    /// The wrong fields; only with the kind `invalid`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) kind: Kind,
    detail: String,
    errors: Vec<FieldError>,
    retry_after_s: Option<u64>,
}

impl Problem {
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        use Kind::{InProgress, OutcomeUnknown, TooManyRequests, Unavailable};
        let retry_after_s =
            matches!(kind, Unavailable | InProgress | OutcomeUnknown | TooManyRequests)
                .then_some(RETRY_AFTER_S);
        Self { kind, detail: detail.into(), errors: Vec::new(), retry_after_s }
    }

    /// Fields that are wrong.
    pub(crate) fn invalid(errors: Vec<FieldError>) -> Self {
        let fields: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
        let detail = format!("please correct {}", fields.join(", "));
        Self { errors, ..Self::new(Kind::Invalid, detail) }
    }

    /// One field that is wrong.
    pub(crate) fn field(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::invalid(vec![FieldError { field: field.into(), reason: reason.into() }])
    }

    pub(crate) const fn status(&self) -> StatusCode {
        self.kind.parts().0
    }

    pub(crate) const fn title(&self) -> &'static str {
        self.kind.parts().2
    }

    /// What happened, in a sentence.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// The wrong fields.
    pub(crate) fn errors(&self) -> &[FieldError] {
        &self.errors
    }

    /// After how many seconds it may be tried again.
    pub(crate) const fn retry_after_s(&self) -> Option<u64> {
        self.retry_after_s
    }

    /// Nothing of this name, for this client.
    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(Kind::NotFound, format!("there is no such {what}"))
    }

    /// The client has to wait so long.
    pub(crate) fn too_many(retry_after_s: u64) -> Self {
        let detail = format!("this address may ask again in {retry_after_s} s");
        let problem = Self::new(Kind::TooManyRequests, detail);
        Self { retry_after_s: Some(retry_after_s), ..problem }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, name, title) = self.kind.parts();
        let (kind, retry_after_s, whole) = (self.kind, self.retry_after_s, self.clone());
        let body = ProblemBody {
            kind: format!("urn:booking:problem:{name}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: self.detail,
            errors: self.errors,
        };
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some(seconds) = retry_after_s {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if kind == Kind::Unauthenticated {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(kind);
        // Whoever asked for a page gets one, made of this.
        response.extensions_mut().insert(whole);
        response
    }
}
