//! Signing in and out.
//!
//! A session is a token that the client holds. The database knows the token's hash, so every instance of the service
//! knows every session, and the loss of an instance ends none.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use chrono::Utc;

use super::super::field::email;
use super::super::model::{Credentials, Session, time};
use super::super::passwords::{new_token, token_hash};
use super::super::peer::Peer;
use super::super::problem::{Kind, Problem};
use super::super::request::{Body, Customer, Named};
use super::super::state::Service;
use super::super::store::accounts::{CredentialsOf, EndSession, NewSession};
use super::customers::check_sign_in_rate;

/// Characters of a password that is looked at; argon2 would read all of them.
const PASSWORD_CHARS_MAX: usize = 128;

/// Sign in
#[utoipa::path(post, path = "/api/v1/sessions", tag = "customers", request_body = Credentials,
    responses(
        (status = CREATED, description = "a session", body = Session),
        (status = UNAUTHORIZED, description = "the address or the password is wrong"),
    ))]
pub(crate) async fn sign_in(
    State(service): State<Service>,
    Peer(peer): Peer,
    Body { value, .. }: Body<Credentials>,
) -> Result<Response, Problem> {
    check_sign_in_rate(&service, peer)?;
    let account_id = check_credentials(&service, value).await?;
    let session = begin_session(&service, account_id).await?;
    let headers = [(CACHE_CONTROL, "no-store")];
    Ok((StatusCode::CREATED, headers, Json(session)).into_response())
}

/// The account of an address and its password.
pub(crate) async fn check_credentials(
    service: &Service,
    value: Credentials,
) -> Result<i64, Problem> {
    let email = email(&value.email).map_err(|reason| Problem::field("/email", reason))?;
    if value.password.chars().count() > PASSWORD_CHARS_MAX {
        let reason = format!("must have at most {PASSWORD_CHARS_MAX} characters");
        return Err(Problem::field("/password", reason));
    }
    let known = service.on_primary(&CredentialsOf { email }).await?;
    let (account_id, hash) = known.unzip();
    let fits = service.passwords().fits(value.password, hash).await?;
    account_id.filter(|_| fits).ok_or_else(|| {
        let detail = "the e-mail address or the password is wrong";
        Problem::new(Kind::Unauthenticated, detail)
    })
}

/// A new session of an account.
pub(crate) async fn begin_session(service: &Service, account_id: i64) -> Result<Session, Problem> {
    let (token, session_id) = (new_token(), new_token());
    let expires_at = Utc::now() + service.options().session_time;
    let session = NewSession {
        token_hash: token_hash(&token),
        session_id: session_id.clone(),
        account_id,
        expires_at,
    };
    service.on_primary(&session).await?;
    Ok(Session { session_id, customer_id: account_id, token, expires_at: time(expires_at) })
}

/// Sign out: end a session of one's own
#[utoipa::path(delete, path = "/api/v1/sessions/{session_id}", tag = "customers",
    params(("session_id" = String, Path, description = "name of the session")),
    responses(
        (status = NO_CONTENT, description = "the session has ended"),
        (status = NOT_FOUND, description = "there is no such session, or it is somebody else's"),
    ), security(("session" = [])))]
pub(crate) async fn sign_out(
    State(service): State<Service>,
    Customer { account_id }: Customer,
    Named(session_id): Named<String>,
) -> Result<StatusCode, Problem> {
    // No session has such a name, and the database takes no NUL.
    if !session_id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Problem::not_found("session"));
    }
    if service.on_primary(&EndSession { session_id, account_id }).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(Problem::not_found("session"))
}
