//! Answers as bytes with the tag of their content.
//!
//! In: a value. Out: a status, headers and JSON. The tag of a content is its SHA-256, so it changes whoever changed the
//! row, also the airline itself, and two instances give the same tag.

use axum::http::header::{CONTENT_TYPE, ETAG, LOCATION};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::problem::{Kind, Problem};

/// Says that an answer was given before, under the same key.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// An answer, as it is also stored under an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) etag: Option<String>,
    pub(crate) location: Option<String>,
    pub(crate) body: String,
    pub(crate) replayed: bool,
}

impl Answer {
    /// An answer whose content has a tag.
    pub(crate) fn tagged(status: StatusCode, value: &impl Serialize) -> Result<Self, Problem> {
        let body = text(value)?;
        let etag = Some(tag(&body));
        Ok(Self { status: status.as_u16(), etag, location: None, body, replayed: false })
    }

    /// The same answer with the path of what was made.
    pub(crate) fn at(self, location: String) -> Self {
        Self { location: Some(location), ..self }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK);
        let mut response = (status, self.body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in [(ETAG, self.etag), (LOCATION, self.location)] {
            if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
                headers.insert(name, value);
            }
        }
        if self.replayed {
            headers.insert(REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}

/// What a client asks of the state before a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IfMatch(String);

impl IfMatch {
    /// Reads the header, which a change must have.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let Some(value) = headers.get(axum::http::header::IF_MATCH) else {
            let detail = "send the ETag of what you change as If-Match";
            return Err(Problem::new(Kind::PreconditionRequired, detail));
        };
        let value = value.to_str().ok();
        value
            .map(|text| Self(text.to_owned()))
            .ok_or_else(|| Problem::field("If-Match", "must be an ETag of an earlier answer, or *"))
    }

    /// Refuses if the state is another one.
    pub(crate) fn check(&self, value: &impl Serialize) -> Result<(), Problem> {
        let now = tag(&text(value)?);
        let listed = self.0.split(',').map(str::trim).any(|tag| tag == "*" || tag == now);
        if listed {
            return Ok(());
        }
        let detail = "If-Match names an earlier state: read it again, and decide anew";
        Err(Problem::new(Kind::PreconditionFailed, detail))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

fn text(value: &impl Serialize) -> Result<String, Problem> {
    serde_json::to_string(value)
        .map_err(|_| Problem::new(Kind::Internal, "the answer cannot be written"))
}

/// The strong tag of a content: half of a SHA-256 is enough against chance and against intent.
fn tag(body: &str) -> String {
    format!("\"{}\"", hex::encode(&Sha256::digest(body.as_bytes())[..16]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_of_the_content() {
        let one = Answer::tagged(StatusCode::OK, &1).unwrap();
        let headers = |tag: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(axum::http::header::IF_MATCH, HeaderValue::try_from(tag).unwrap());
            headers
        };
        let of = |tag: &str| IfMatch::of(&headers(tag)).unwrap();
        let tag = one.etag.unwrap();
        assert_eq!(of(&tag).check(&1), Ok(()));
        assert_eq!(of(&format!("\"x\", {tag}")).check(&1), Ok(()));
        assert_eq!(of("*").check(&2), Ok(()));
        assert_eq!(of(&tag).check(&2).unwrap_err().kind, Kind::PreconditionFailed);
        let missing = IfMatch::of(&HeaderMap::new()).unwrap_err();
        assert_eq!(missing.kind, Kind::PreconditionRequired);
    }
}
