//! The page of a customer's files: a list, a form to add one, and a button to remove each.
//!
//! In: a customer who is signed in, a form with a file. Out: pages, and files for saving. The form is
//! `multipart/form-data`, whose hidden fields come before the file: the token is looked at before any byte of the file
//! is stored.

use askama::Template;
use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::super::api::uploads::{TEXTS, content, remove, take};
use super::super::model::{Upload, UploadKind};
use super::super::page::LIMIT_MAX;
use super::super::problem::Problem;
use super::super::state::Service;
use super::super::store::uploads::Uploads;
use super::form::{Form, PostedByMember, TOKEN, Values, check_site};
use super::page::{Frame, page, refused, see_other};
use super::visitor::{Member, Visitor};

/// Where the page is.
const PATH: &str = "/uploads";
/// The texts of the form, with its token.
const FIELDS: [&str; 5] = [TEXTS[0], TEXTS[1], TEXTS[2], TEXTS[3], TOKEN];

#[derive(Template)]
#[template(path = "uploads.html")]
struct UploadsPage {
    frame: Frame,
    form: Form,
    uploads: Vec<Upload>,
    /// Why no file is taken now.
    away: Option<String>,
    bytes_max: usize,
}

impl UploadsPage {
    const KINDS: [UploadKind; 5] = UploadKind::ALL;

    async fn of(service: &Service, member: &Member, form: Form) -> Result<Self, Problem> {
        let wanted = Uploads {
            account_id: member.account_id,
            book_ref: None,
            before: None,
            limit: LIMIT_MAX,
        };
        let mut found = service.on_primary(&wanted).await?;
        found.truncate(usize::try_from(LIMIT_MAX).unwrap_or(usize::MAX));
        let (away, bytes_max) = match service.uploads() {
            Ok(uploads) => {
                let problem = uploads.store().probe().await.err().map(Problem::from);
                let away = problem.map(|problem| problem.detail().to_owned());
                (away, uploads.options().file_bytes_max)
            }
            Err(problem) => (Some(problem.detail().to_owned()), 0),
        };
        let frame = Frame::new(service, &member.visitor, "Your files", PATH);
        let uploads = found.into_iter().map(|found| found.upload).collect();
        Ok(Self { frame, form, uploads, away, bytes_max })
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
    let template = UploadsPage::of(&service, &member, Form::new(Values::new(query))).await?;
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
    let permit = |texts: &super::super::uploads::Texts| {
        member.visitor.check_form(texts.get(TOKEN).unwrap_or_default())
    };
    match take(&service, member.account_id, request, &FIELDS, permit).await {
        Ok(_) => Ok(see_other(PATH)),
        Err(problem) => {
            let form = Form::refused(Values::default(), &problem);
            let template = UploadsPage::of(&service, &member, form).await?;
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
