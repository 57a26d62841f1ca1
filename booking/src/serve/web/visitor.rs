//! Who looks at a page: a customer who is signed in, or anybody.
//!
//! In: cookies. Out: a visitor, with the token that the forms of their pages carry. A session is the same as one of the
//! interface: a random token whose hash is in `service.sessions`, so every instance knows it, and the loss of an
//! instance ends none. The token is in a cookie that no script reads and that no other site sends along with a form.
//! Whoever is not signed in has another random cookie, which names nobody and exists for the forms alone.
//!
//! Behind TLS the cookies have the prefix `__Host-`: a browser takes them from this very host and over TLS only, so
//! that a neighbouring host cannot set them. The service then reads no others.

use axum::extract::FromRequestParts;
use axum::http::header::COOKIE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use sha2::{Digest, Sha256};

use super::super::passwords::{new_token, token_hash};
use super::super::problem::{Kind, Problem};
use super::super::state::Service;
use super::super::store::browsers::{Browser, SignedInAs};
use super::super::store::reference::IsStaff;

/// The cookie with the token of a session.
const SESSION: &str = "booking_session";
/// The cookie of whoever is not signed in.
const ANYBODY: &str = "booking_visitor";
/// What tokens of this service are made of.
const TOKEN_CHARS: usize = 43;
/// How long the cookie of whoever is not signed in lasts, seconds.
const ANYBODY_S: u64 = 30 * 24 * 3600;

/// Who looks at a page.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    /// The customer, if one is signed in.
    pub(crate) customer: Option<Browser>,
    /// Whether cookies are for TLS only.
    pub(crate) is_secure: bool,
    /// The random text that the forms' token is made of.
    secret: String,
    /// Whether the browser does not have that text yet.
    is_new: bool,
}

impl Visitor {
    /// The visitor who sent a request.
    ///
    /// # Errors
    /// When the database cannot tell who is signed in.
    pub(crate) async fn of(headers: &HeaderMap, service: &Service) -> Result<Self, Problem> {
        let is_secure = is_secure(headers, service);
        let token = cookie(headers, SESSION, is_secure);
        if let Some(token) = token {
            let session = SignedInAs { token_hash: token_hash(&token) };
            if let Some(customer) = service.on_primary(&session).await? {
                return Ok(Self {
                    customer: Some(customer),
                    is_secure,
                    secret: token,
                    is_new: false,
                });
            }
        }
        Ok(Self::anybody(headers, service))
    }

    /// Somebody who is not signed in, or of whom that is not known.
    pub(crate) fn anybody(headers: &HeaderMap, service: &Service) -> Self {
        let is_secure = is_secure(headers, service);
        let known = cookie(headers, ANYBODY, is_secure);
        let is_new = known.is_none();
        Self { customer: None, is_secure, secret: known.unwrap_or_else(new_token), is_new }
    }

    /// Whether the visitor works for the airline.
    pub(crate) async fn is_staff(&self, service: &Service) -> Result<bool, Problem> {
        match &self.customer {
            Some(customer) => {
                service.on_primary(&IsStaff { account_id: customer.account_id }).await
            }
            None => Ok(false),
        }
    }

    /// The token of the forms of this visitor. It tells nothing about the session's token, and no other site can read
    /// a page that has it.
    pub(crate) fn form_token(&self) -> String {
        let kind: &[u8] = if self.customer.is_some() { b"form session" } else { b"form visitor" };
        let mut digest = Sha256::new();
        digest.update(kind);
        digest.update([0]);
        digest.update(self.secret.as_bytes());
        hex::encode(digest.finalize())
    }

    /// Refuses a form that has not this visitor's token.
    pub(crate) fn check_form(&self, token: &str) -> Result<(), Problem> {
        let own = self.form_token();
        // Every byte is compared, so that the time tells nothing.
        let differ =
            own.bytes().zip(token.bytes()).fold(0, |differ, (one, other)| differ | (one ^ other));
        if own.len() == token.len() && differ == 0 && !self.is_new {
            return Ok(());
        }
        let detail = "the form belongs to another session or is too old: load its page again";
        Err(Problem::new(Kind::Forbidden, detail))
    }

    /// The cookie that a page sets for a visitor who has none.
    pub(crate) fn cookie(&self) -> Option<HeaderValue> {
        let new = self.is_new.then_some(self.secret.as_str())?;
        set(ANYBODY, new, ANYBODY_S, self.is_secure)
    }
}

impl FromRequestParts<Service> for Visitor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, service: &Service) -> Result<Self, Problem> {
        Self::of(&parts.headers, service).await
    }
}

/// A visitor who is signed in. Whoever is not is sent to the page where one signs in.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) account_id: i64,
    pub(crate) visitor: Visitor,
}

impl TryFrom<Visitor> for Member {
    type Error = Problem;

    fn try_from(visitor: Visitor) -> Result<Self, Problem> {
        let signed_in = visitor.customer.as_ref().map(|customer| customer.account_id);
        let account_id = signed_in
            .ok_or_else(|| Problem::new(Kind::Unauthenticated, "sign in to see this page"))?;
        Ok(Self { account_id, visitor })
    }
}

impl FromRequestParts<Service> for Member {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, service: &Service) -> Result<Self, Problem> {
        Self::try_from(Visitor::from_request_parts(parts, service).await?)
    }
}

/// Somebody who works for the airline. Whoever is not signed in is sent to the page where one signs in.
#[derive(Debug, Clone)]
pub(crate) struct Employee {
    pub(crate) visitor: Visitor,
}

impl FromRequestParts<Service> for Employee {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, service: &Service) -> Result<Self, Problem> {
        let member = Member::from_request_parts(parts, service).await?;
        if member.visitor.is_staff(service).await? {
            return Ok(Self { visitor: member.visitor });
        }
        Err(Problem::new(Kind::Forbidden, "this page is for staff"))
    }
}

/// The token of the session that a browser has, if it has one. Whether the session is still there is not looked at.
pub(crate) fn session_token(headers: &HeaderMap, service: &Service) -> Option<String> {
    cookie(headers, SESSION, is_secure(headers, service))
}

/// The cookie of a session that begins.
pub(crate) fn begin(token: &str, service: &Service, is_secure: bool) -> Option<HeaderValue> {
    set(SESSION, token, service.options().session_time.as_secs(), is_secure)
}

/// The cookie that removes the one of a session.
pub(crate) fn end(is_secure: bool) -> Option<HeaderValue> {
    set(SESSION, "", 0, is_secure)
}

fn set(name: &str, value: &str, seconds: u64, is_secure: bool) -> Option<HeaderValue> {
    let (prefix, secure) = if is_secure { ("__Host-", "; Secure") } else { ("", "") };
    let text = format!(
        "{prefix}{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"
    );
    HeaderValue::try_from(text).ok()
}

/// Whether the browser is on the other side of TLS: the operator says so, or the proxy does.
fn is_secure(headers: &HeaderMap, service: &Service) -> bool {
    let options = service.options();
    let proxied = headers.get("x-forwarded-proto").and_then(|value| value.to_str().ok());
    let last = proxied.and_then(|text| text.rsplit(',').next()).map(str::trim);
    options.secure_cookies || (options.behind_proxy && last == Some("https"))
}

/// A cookie whose value is a token.
fn cookie(headers: &HeaderMap, name: &str, is_secure: bool) -> Option<String> {
    let wanted = if is_secure { format!("__Host-{name}") } else { name.to_owned() };
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, value)| *name == wanted && is_token(value))
        .map(|(_, value)| value.to_owned())
}

fn is_token(text: &str) -> bool {
    let of_base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    text.len() == TOKEN_CHARS && text.bytes().all(of_base64)
}
