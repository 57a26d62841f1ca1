//! The page of a customer's files: a list, a form to add one, and a button to remove each.
//!
//! In: a customer who is signed in, a form with a file. Out: pages, and files for saving. The form is
//! `multipart/form-data`, whose hidden fields come before the file: the token is looked at before any byte of the file
//! is stored. The form has an idempotency key, so a form that is sent twice stores one file.

use askama::Template;
use axum::Json;
use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::super::api::uploads::{KEY, TEXTS, content, list_uploads, remove, take};
use super::super::model::{UploadKind, UploadPage, UploadQuery};
use super::super::page::LIMIT_MAX;
use super::super::passwords::new_token;
use super::super::problem::{Kind, Problem};
use super::super::request::{Customer, Parameters};
use super::super::state::Service;
use super::super::uploads::{Texts, Uploads};
use super::form::{Form, PostedByMember, TOKEN, Values, check_site};
use super::health;
use super::page::{Frame, page, refused, see_other};
use super::visitor::{Member, Visitor};

/// Where the page is.
const PATH: &str = "/uploads";
/// The texts of the form, with its token and its key.
const FIELDS: [&str; 6] = [TEXTS[0], TEXTS[1], TEXTS[2], TEXTS[3], TOKEN, KEY];
/// The fields that say themselves what is wrong with them.
const SHOWN: [&str; 5] = [TEXTS[0], TEXTS[1], TEXTS[2], TEXTS[3], "file"];
/// What the page says when the key of its form was used.
const STORED: &str = "This form has stored a file already; it is in the list below. \
    Send it again to store another one.";

#[derive(Template)]
#[template(path = "uploads.html")]
struct UploadsPage {
    frame: Frame,
    form: Form,
    /// The idempotency key of the form.
    key: String,
    list: UploadPage,
    /// Why no file is taken now.
    away: Option<String>,
    bytes_max: usize,
}

impl UploadsPage {
    const KINDS: [UploadKind; 5] = UploadKind::ALL;

    /// What is wrong with no field that the form shows.
    fn others(&self) -> Vec<String> {
        self.form.others(&SHOWN)
    }

    async fn of(
        service: &Service,
        member: &Member,
        form: Form,
        cursor: Option<String>,
    ) -> Result<Self, Problem> {
        let customer = Customer { account_id: member.account_id };
        let limit = Some(LIMIT_MAX.to_string());
        let query = Parameters(UploadQuery { book_ref: None, limit, cursor });
        let Json(list) = list_uploads(State(service.clone()), customer, query).await?;
        let (away, bytes_max) = match service.uploads() {
            Ok(uploads) => (why_away(uploads).await, uploads.options().file_bytes_max),
            Err(problem) => (Some(problem.detail().to_owned()), 0),
        };
        let frame = Frame::new(service, &member.visitor, "Your files", PATH);
        let key = form.values.filled(KEY).map_or_else(new_token, str::to_owned);
        Ok(Self { frame, form, key, list, away, bytes_max })
    }
}

/// Why the store takes nothing now. A page does not wait for a store that does not answer.
async fn why_away(uploads: &Uploads) -> Option<String> {
    match tokio::time::timeout(health::TIME, uploads.store().probe()).await {
        Ok(Ok(())) => None,
        Ok(Err(failed)) => Some(Problem::from(failed).detail().to_owned()),
        Err(_) => Some("the store of files does not answer".to_owned()),
    }
}

/// A size for people.
fn size(bytes: &i64) -> String {
    let kilobytes = (bytes + 1023) / 1024;
    if kilobytes < 1024 {
        format!("{kilobytes} KB")
    } else {
        format!("{} MB", (kilobytes + 1023) / 1024)
    }
}

/// The page.
pub(crate) async fn show(
    State(service): State<Service>,
    member: Member,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Response, Problem> {
    let values = Values::new(query);
    let cursor = values.filled("cursor").map(str::to_owned);
    // No link of another site says what the key is.
    let form = Form::new(values.with(KEY, ""));
    let template = UploadsPage::of(&service, &member, form, cursor).await?;
    Ok(page(StatusCode::OK, &member.visitor, &template))
}

/// Takes a file.
pub(crate) async fn add(
    State(service): State<Service>,
    request: Request,
) -> Result<Response, Problem> {
    let headers = request.headers().clone();
    check_site(&headers)?;
    let member = Member::try_from(Visitor::of(&headers, &service).await?)?;
    let permit = |texts: &Texts| member.visitor.check_form(texts.get(TOKEN).unwrap_or_default());
    let mut texts = Texts::of(&FIELDS);
    match take(&service, member.account_id, request, permit, &mut texts).await {
        Ok(_) => Ok(see_other(PATH)),
        Err(problem) => {
            let mut values = Values::new(texts.into_pairs());
            if problem.kind == Kind::KeyReused {
                values = values.with(KEY, "");
            }
            let form = Form::refused(values, &problem).used_key(&problem, STORED);
            let template = UploadsPage::of(&service, &member, form, None).await?;
            Ok(refused(&problem, &member.visitor, &template))
        }
    }
}

/// Removes a file.
pub(crate) async fn end(
    State(service): State<Service>,
    Path(upload_id): Path<String>,
    PostedByMember { member, .. }: PostedByMember,
) -> Result<Response, Problem> {
    remove(&service, member.account_id, &upload_id).await?;
    Ok(see_other(PATH))
}

/// The file, for saving.
pub(crate) async fn save(
    State(service): State<Service>,
    member: Member,
    Path(upload_id): Path<String>,
) -> Result<Response, Problem> {
    content(&service, member.account_id, &upload_id).await
}
