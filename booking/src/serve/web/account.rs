//! Signing up, in and out in a browser.
//!
//! In: forms. Out: a cookie with the token of a new session, or its end. A session that begins always has a new token.
//! Whoever signs in comes back to the page that they wanted to see, if it is one of this service.

use askama::Template;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::SET_COOKIE;
use axum::response::Response;

use super::super::api::customers::{check_sign_in_rate, register};
use super::super::api::sessions::{begin_session, check_credentials};
use super::super::model::{Credentials, NewCustomer};
use super::super::peer::Peer;
use super::super::problem::Problem;
use super::super::state::Service;
use super::super::store::accounts::EndSession;
use super::form::{Form, Posted, Values};
use super::page::{Frame, page, refused, see_other};
use super::visitor::{self, Visitor};

/// Where one comes to who has signed in.
const AFTER: &str = "/";

#[derive(Template)]
#[template(path = "sign-in.html")]
struct SignInPage {
    frame: Frame,
    form: Form,
}

#[derive(Template)]
#[template(path = "sign-up.html")]
struct SignUpPage {
    frame: Frame,
    form: Form,
}

/// The page where one signs in.
pub(crate) async fn ask_sign_in(
    State(service): State<Service>,
    visitor: Visitor,
    Query(query): Query<Vec<(String, String)>>,
) -> Response {
    let form = Form::new(Values::new(query));
    if visitor.customer.is_some() {
        return see_other(next(form.value("next")));
    }
    let frame = Frame::new(&service, &visitor, "Sign in", "/sign-in");
    page(StatusCode::OK, &visitor, &SignInPage { frame, form })
}

/// Signs in.
pub(crate) async fn sign_in(
    State(service): State<Service>,
    Peer(peer): Peer,
    Posted { visitor, values }: Posted,
) -> Result<Response, Problem> {
    let credentials = Credentials {
        email: values.get("email").trim().to_owned(),
        password: values.get("password").to_owned(),
    };
    let checked = async {
        check_sign_in_rate(&service, peer)?;
        check_credentials(&service, credentials).await
    };
    match checked.await {
        Ok(account_id) => enter(&service, &visitor, account_id, next(values.get("next"))).await,
        Err(problem) => {
            let form = Form::refused(values.with("password", ""), &problem);
            let frame = Frame::new(&service, &visitor, "Sign in", "/sign-in");
            Ok(refused(&problem, &visitor, &SignInPage { frame, form }))
        }
    }
}

/// The page where one signs up.
pub(crate) async fn ask_sign_up(
    State(service): State<Service>,
    visitor: Visitor,
    Query(query): Query<Vec<(String, String)>>,
) -> Response {
    let form = Form::new(Values::new(query));
    let frame = Frame::new(&service, &visitor, "Sign up", "/sign-up");
    page(StatusCode::OK, &visitor, &SignUpPage { frame, form })
}

/// Makes an account, and signs in with it.
pub(crate) async fn sign_up(
    State(service): State<Service>,
    Peer(peer): Peer,
    Posted { visitor, values }: Posted,
) -> Result<Response, Problem> {
    let new = NewCustomer {
        email: values.get("email").trim().to_owned(),
        name: values.get("name").to_owned(),
        phone: values.filled("phone").map(str::to_owned),
        password: values.get("password").to_owned(),
    };
    match register(&service, peer, new).await {
        Ok(customer) => {
            let path = next(values.get("next"));
            enter(&service, &visitor, customer.customer_id, path).await
        }
        Err(problem) => {
            let form = Form::refused(values.with("password", ""), &problem);
            let frame = Frame::new(&service, &visitor, "Sign up", "/sign-up");
            Ok(refused(&problem, &visitor, &SignUpPage { frame, form }))
        }
    }
}

/// Begins a session; the one that the browser had ends.
async fn enter(
    service: &Service,
    visitor: &Visitor,
    account_id: i64,
    path: &str,
) -> Result<Response, Problem> {
    leave(service, visitor).await?;
    let session = begin_session(service, account_id).await?;
    let mut response = see_other(path);
    if let Some(cookie) = visitor::begin(&session.token, service, visitor.is_secure) {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    Ok(response)
}

/// Signs out.
pub(crate) async fn sign_out(
    State(service): State<Service>,
    Posted { visitor, .. }: Posted,
) -> Result<Response, Problem> {
    leave(&service, &visitor).await?;
    let mut response = see_other("/");
    if let Some(cookie) = visitor::end(visitor.is_secure) {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    Ok(response)
}

async fn leave(service: &Service, visitor: &Visitor) -> Result<(), Problem> {
    if let Some(customer) = &visitor.customer {
        let (session_id, account_id) = (customer.session_id.clone(), customer.account_id);
        service.on_primary(&EndSession { session_id, account_id }).await?;
    }
    Ok(())
}

/// The path to go to: one of this service, or the usual one. `//host` and `/\host` are other hosts to a browser.
fn next(wanted: &str) -> &str {
    let is_own = wanted.starts_with('/')
        && !wanted.starts_with("//")
        && wanted.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if is_own { wanted } else { AFTER }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_to_another_site() {
        assert_eq!(next("/bookings/0A1B2C?x=1"), "/bookings/0A1B2C?x=1");
        for wanted in ["", "//evil.example", "/\\evil.example", "https://evil.example", "/a\r\nb"] {
            assert_eq!(next(wanted), AFTER, "{wanted:?}");
        }
    }
}
