//! Who is at the other end of a WebSocket.
//!
//! In: what the request carried, or the token of the first text. Out: a customer, as long as their session lasts. A
//! session that ends while the connection is open is noticed: before each message that the customer writes, and once a
//! minute.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;

use super::super::passwords::token_hash;
use super::super::state::Service;
use super::super::store::accounts::SignedIn;
use super::super::web::visitor::session_token;
use super::socket::End;

/// What a request carries of a session.
#[derive(Debug)]
pub(super) struct Credentials {
    token_hash: Option<Vec<u8>>,
}

impl Credentials {
    /// By the header of a program, or by the cookie of a browser.
    pub(super) fn of(headers: &HeaderMap, service: &Service) -> Self {
        let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let bearer = header
            .and_then(|text| text.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim().to_owned());
        let token = bearer.or_else(|| session_token(headers, service));
        Self { token_hash: token.map(|token| token_hash(&token)) }
    }

    /// The session, by the token of the first text or by what the request carried.
    pub(super) async fn session(
        self,
        service: &Service,
        token: Option<String>,
    ) -> Result<Session, End> {
        let token = token.map(|token| token_hash(&token));
        let hash = token.or(self.token_hash).ok_or(End::NotSignedIn)?;
        let account_id = signed_in(service, &hash).await?;
        Ok(Session { token_hash: hash, account_id })
    }
}

/// A session that was there when it was last looked at.
#[derive(Debug)]
pub(super) struct Session {
    token_hash: Vec<u8>,
    pub(super) account_id: i64,
}

impl Session {
    /// Looks whether the session is still there.
    pub(super) async fn check(&self, service: &Service) -> Result<(), End> {
        signed_in(service, &self.token_hash).await.map(drop)
    }
}

async fn signed_in(service: &Service, hash: &[u8]) -> Result<i64, End> {
    let session = SignedIn { token_hash: hash.to_owned() };
    let account_id = service.on_primary(&session).await.map_err(|_| End::Again)?;
    account_id.ok_or(End::NotSignedIn)
}
