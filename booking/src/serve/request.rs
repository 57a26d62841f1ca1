//! What the service takes from a request: its body, its parameters, who sent it, its key.
//!
//! In: a request. Out: typed values, or a problem that names field and reason. Bodies are JSON objects without unknown
//! fields.

use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;
use sha2::{Digest, Sha256};

use super::passwords::token_hash;
use super::problem::{Kind, Problem};
use super::state::Service;
use super::store::accounts::SignedIn;

/// The header with the client's key.
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Bytes of a key at most.
const KEY_BYTES_MAX: usize = 200;

/// A body, with its bytes for the digest.
#[derive(Debug)]
pub(crate) struct Body<T> {
    pub(crate) value: T,
    pub(crate) bytes: Bytes,
}

impl<T: DeserializeOwned> FromRequest<Service> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &Service) -> Result<Self, Problem> {
        let media_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = media_type.and_then(|text| text.split(';').next()).map(str::trim);
        if !essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json")) {
            let detail = "send the header Content-Type: application/json";
            return Err(Problem::new(Kind::MediaType, detail));
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| {
            let too_large = rejection.status() == axum::http::StatusCode::PAYLOAD_TOO_LARGE;
            let kind = if too_large { Kind::TooLarge } else { Kind::Malformed };
            let detail = match kind {
                Kind::TooLarge => {
                    format!("a body has at most {} bytes", state.options().body_bytes_max)
                }
                _ => "the body did not come as a whole".to_owned(),
            };
            Problem::new(kind, detail)
        })?;
        let mut reader = serde_json::Deserializer::from_slice(&bytes);
        let value =
            serde_path_to_error::deserialize(&mut reader).map_err(|error| refusal(&error))?;
        reader.end().map_err(|_| Problem::new(Kind::Malformed, "something follows the JSON"))?;
        Ok(Self { value, bytes })
    }
}

/// The field that cannot be read. The words of the reader may repeat a value, so only its category is told.
fn refusal(error: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    let inner = error.inner();
    if !inner.is_data() {
        let place =
            format!("the body is no JSON: line {}, column {}", inner.line(), inner.column());
        return Problem::new(Kind::Malformed, place);
    }
    let mut pointer = String::new();
    for segment in error.path() {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => pointer.push_str(&format!("/{key}")),
            Segment::Enum { variant } => pointer.push_str(&format!("/{variant}")),
            Segment::Unknown => {}
        }
    }
    let words = inner.to_string();
    let reason = if let Some(rest) = words.strip_prefix("missing field `") {
        pointer.push_str(&format!("/{}", rest.split('`').next().unwrap_or_default()));
        "is missing"
    } else if words.starts_with("unknown field") {
        "is not known here"
    } else if words.starts_with("unknown variant") {
        "is none of the values that are allowed"
    } else {
        "has the wrong type or is out of range"
    };
    Problem::field(if pointer.is_empty() { "/".to_owned() } else { pointer }, reason)
}

/// The parameters of a query: texts, which the operation reads.
#[derive(Debug)]
pub(crate) struct Parameters<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<Service> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Service) -> Result<Self, Problem> {
        let read = Query::<T>::from_request_parts(parts, state).await;
        let Query(value) = read.map_err(|rejection| {
            let words = rejection.body_text();
            let named = words.split('`').nth(1).unwrap_or("query").to_owned();
            let reason = if words.contains("unknown field") {
                "is not known here"
            } else if words.contains("missing field") {
                "is missing"
            } else {
                "occurs twice or cannot be read"
            };
            Problem::field(named, reason)
        })?;
        Ok(Self(value))
    }
}

/// One text of the path.
#[derive(Debug)]
pub(crate) struct Named<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Service> for Named<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Service) -> Result<Self, Problem> {
        let read = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        let axum::extract::Path(value) = read.map_err(|_| Problem::field("path", "is no UTF-8"))?;
        Ok(Self(value))
    }
}

/// The customer who sent the request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Customer {
    pub(crate) account_id: i64,
}

impl FromRequestParts<Service> for Customer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Service) -> Result<Self, Problem> {
        let missing = || {
            let detail = "send Authorization: Bearer and the token of a session";
            Problem::new(Kind::Unauthenticated, detail)
        };
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let (scheme, token) = header.and_then(|text| text.split_once(' ')).ok_or_else(missing)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(missing());
        }
        let session = SignedIn { token_hash: token_hash(token.trim()) };
        let account_id = state.on_primary(&session).await?.ok_or_else(|| {
            Problem::new(Kind::Unauthenticated, "the session has ended: sign in again")
        })?;
        Ok(Self { account_id })
    }
}

/// Puts the key of a page's form where an operation of the interface reads it.
pub(crate) fn set_key(headers: &mut HeaderMap, key: &str) -> Result<(), Problem> {
    let value = HeaderValue::try_from(key);
    headers
        .insert(IDEMPOTENCY_KEY, value.map_err(|_| Problem::field("key", "is none of this page"))?);
    Ok(())
}

/// A key and the request that it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) key: String,
    pub(crate) digest: Vec<u8>,
}

impl Key {
    /// The key of a request, if it has one. `parts` are what makes the request what it is.
    pub(crate) fn of(headers: &HeaderMap, parts: &[&[u8]]) -> Result<Option<Self>, Problem> {
        let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
        let text = value.to_str().ok().filter(|text| {
            (1..=KEY_BYTES_MAX).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_graphic())
        });
        let Some(text) = text else {
            let reason = format!(
                "must have 1 to {KEY_BYTES_MAX} ASCII characters without spaces, such as a UUID"
            );
            return Err(Problem::field("Idempotency-Key", reason));
        };
        let mut digest = Sha256::new();
        for part in parts {
            // A length before each part: two requests never look the same.
            digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            digest.update(part);
        }
        Ok(Some(Self { key: text.to_owned(), digest: digest.finalize().to_vec() }))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only that it can be read counts")]
    struct Party {
        names: Vec<String>,
        size: u8,
    }

    #[track_caller]
    fn check(body: &str, expected: &Problem) {
        let reader = &mut serde_json::Deserializer::from_str(body);
        let error = serde_path_to_error::deserialize::<_, Party>(reader).unwrap_err();
        assert_eq!(refusal(&error), *expected, "{body}");
    }

    #[test]
    fn the_field_that_cannot_be_read_is_named_and_its_value_is_not() {
        let wrong = "has the wrong type or is out of range";
        check(r#"{"names": ["ANN", 7], "size": 1}"#, &Problem::field("/names/1", wrong));
        check(r#"{"names": [], "size": 300}"#, &Problem::field("/size", wrong));
        check(r#"{"names": []}"#, &Problem::field("/size", "is missing"));
        check(r#"{"names": [], "size": 1, "x": 1}"#, &Problem::field("/x", "is not known here"));
        let place = "the body is no JSON: line 1, column 1";
        check("{", &Problem::new(Kind::Malformed, place));
    }

    #[test]
    fn two_requests_never_have_one_digest() {
        let mut headers = HeaderMap::new();
        headers.insert(IDEMPOTENCY_KEY, HeaderValue::from_static("k"));
        let digest = |parts: &[&[u8]]| Key::of(&headers, parts).unwrap().unwrap().digest;
        assert_ne!(digest(&[b"ab", b"c"]), digest(&[b"a", b"bc"]));
        assert_eq!(digest(&[b"ab", b"c"]), digest(&[b"ab", b"c"]));
        headers.insert(IDEMPOTENCY_KEY, HeaderValue::from_static("two words"));
        let refusal = Key::of(&headers, &[]).unwrap_err();
        let reason = "must have 1 to 200 ASCII characters without spaces, such as a UUID";
        assert_eq!(refusal, Problem::field("Idempotency-Key", reason));
    }
}
