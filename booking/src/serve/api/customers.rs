//! Customers: everybody may become one, and each sees and changes only themselves.

use std::net::IpAddr;
use std::time::Instant;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};

use super::super::answer::{Answer, IfMatch};
use super::super::field::{Fields, account_id, email, name, new_password, phone};
use super::super::model::{Customer, CustomerChange, NewCustomer};
use super::super::peer::Peer;
use super::super::problem::Problem;
use super::super::request::{self, Body, Named};
use super::super::state::Service;
use super::super::store::accounts::{Account, AccountChange, NewAccount};

/// Make a customer
#[utoipa::path(post, path = "/api/v1/customers", tag = "customers", request_body = NewCustomer,
    responses(
        (status = CREATED, description = "the customer", body = Customer,
            headers(("ETag" = String, description = "tag of this state"),
                    ("Location" = String, description = "path of the customer"))),
        (status = CONFLICT, description = "the e-mail address has an account"),
    ))]
pub(crate) async fn make_customer(
    State(service): State<Service>,
    Peer(peer): Peer,
    Body { value, .. }: Body<NewCustomer>,
) -> Result<Answer, Problem> {
    let customer = register(&service, peer, value).await?;
    let place = format!("/api/v1/customers/{}", customer.customer_id);
    Ok(Answer::tagged(StatusCode::CREATED, &customer)?.at(place))
}

/// Makes an account.
pub(crate) async fn register(
    service: &Service,
    peer: IpAddr,
    value: NewCustomer,
) -> Result<Customer, Problem> {
    check_sign_in_rate(service, peer)?;
    let mut fields = Fields::default();
    let email = fields.take("/email", email(&value.email));
    let name = fields.take("/name", name(&value.name));
    let phone = fields.take("/phone", value.phone.as_deref().map(phone).transpose());
    let password = fields.take("/password", new_password(&value.password));
    let (((email, name), phone), ()) = fields.all(email.zip(name).zip(phone).zip(password))?;
    let password_hash = service.passwords().hash(value.password).await?;
    let account = NewAccount { email, name, phone, password_hash };
    service.on_primary(&account).await
}

/// Refuses an address that signs up or in too often.
pub(crate) fn check_sign_in_rate(service: &Service, peer: IpAddr) -> Result<(), Problem> {
    let Some(limiter) = service.sign_ins() else { return Ok(()) };
    limiter.take(peer, Instant::now()).map_err(Problem::too_many)
}

/// Read a customer: oneself
#[utoipa::path(get, path = "/api/v1/customers/{customer_id}", tag = "customers",
    params(("customer_id" = i64, Path, minimum = 1, description = "number of the customer")),
    responses(
        (status = OK, description = "the customer", body = Customer,
            headers(("ETag" = String, description = "tag of this state"))),
        (status = NOT_FOUND, description = "it is nobody, or somebody else"),
    ), security(("session" = [])))]
pub(crate) async fn read_customer(
    State(service): State<Service>,
    customer: request::Customer,
    Named(named): Named<String>,
) -> Result<Answer, Problem> {
    let account_id = oneself(customer, &named)?;
    let found = service.on_primary(&Account { account_id }).await?;
    Answer::tagged(StatusCode::OK, &found.ok_or_else(|| Problem::not_found("customer"))?)
}

/// Change a customer: oneself
#[utoipa::path(patch, path = "/api/v1/customers/{customer_id}", tag = "customers",
    request_body = CustomerChange,
    params(("customer_id" = i64, Path, minimum = 1, description = "number of the customer"),
           ("If-Match" = String, Header, description = "ETag of the state that is changed")),
    responses(
        (status = OK, description = "the changed customer", body = Customer,
            headers(("ETag" = String, description = "tag of this state"))),
        (status = NOT_FOUND, description = "it is nobody, or somebody else"),
        (status = CONFLICT, description = "the e-mail address has an account"),
        (status = PRECONDITION_FAILED, description = "the customer has changed meanwhile"),
        (status = PRECONDITION_REQUIRED, description = "If-Match is missing"),
    ), security(("session" = [])))]
pub(crate) async fn change_customer(
    State(service): State<Service>,
    customer: request::Customer,
    Named(named): Named<String>,
    headers: HeaderMap,
    Body { value, .. }: Body<CustomerChange>,
) -> Result<Answer, Problem> {
    let account_id = oneself(customer, &named)?;
    let if_match = IfMatch::of(&headers)?;
    let mut fields = Fields::default();
    let email = fields.take("/email", value.email.as_deref().map(email).transpose());
    let name = fields.take("/name", value.name.as_deref().map(name).transpose());
    let phone = value.phone.map(|phone_or_null| phone_or_null.as_deref().map(phone).transpose());
    let phone = fields.take("/phone", phone.transpose());
    let ((email, name), phone) = fields.all(email.zip(name).zip(phone))?;
    let change = AccountChange { account_id, if_match, email, name, phone };
    Answer::tagged(StatusCode::OK, &service.on_primary(&change).await?)
}

/// The number in the path, if it is the customer's own.
fn oneself(customer: request::Customer, named: &str) -> Result<i64, Problem> {
    let named = account_id(named).map_err(|reason| Problem::field("customer_id", reason))?;
    let own = (named == customer.account_id).then_some(named);
    own.ok_or_else(|| Problem::not_found("customer"))
}
