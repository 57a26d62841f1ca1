//! Uploads: images and documents of a customer or of one of their bookings.
//!
//! A file comes as `multipart/form-data` and is handed on to the store while it comes. Its row is made when all of it
//! is there, so an upload that was seen once can be read.

use axum::Json;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, FromRequest as _, Multipart, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, Utc};
use futures_util::TryStreamExt as _;
use tokio_postgres::Transaction;

use super::super::answer::Answer;
use super::super::field::{Fields, book_ref, upload_description, upload_id, upload_title};
use super::super::idempotency::{Change, Once};
use super::super::model::{FileContent, Upload, UploadForm, UploadKind, UploadPage, UploadQuery};
use super::super::page;
use super::super::problem::{Kind, Problem};
use super::super::request::{Customer, Key, Named, Parameters, set_key};
use super::super::state::Service;
use super::super::store::uploads::{
    EndUpload, Found, NewUpload, OneUpload, Room, Uploads as Listed, WithRow,
};
use super::super::uploads::{StoredFile, Texts, Uploads, disposition, receive};
use super::super::work::Failure;

/// The texts of the form beside the file.
pub(crate) const TEXTS: [&str; 4] = ["title", "kind", "description", "book_ref"];
/// The field of a page's form with its idempotency key.
pub(crate) const KEY: &str = "key";
/// What a file may do in a browser that shows it: nothing.
const SANDBOX: &str = "sandbox; default-src 'none'; frame-ancestors 'none'";

/// Key of a page of uploads: time in microseconds, and number.
type Cursor = (i64, String);

/// Upload a file
///
/// JPEG, PNG, GIF, WebP and PDF are taken. The type is told by the first bytes of the file and must be the one in the
/// `Content-Type` of the part `file`.
#[utoipa::path(post, path = "/api/v1/uploads", tag = "uploads",
    request_body(content = UploadForm, content_type = "multipart/form-data"),
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 200,
        pattern = "^[!-~]+$",
        description = "a request with the same key and content is answered again and stored once")),
    responses(
        (status = CREATED, description = "the upload", body = Upload,
            headers(("ETag" = String, description = "tag of this state"),
                    ("Location" = String, description = "path of the upload"))),
        (status = BAD_REQUEST, description = "the form did not come as a whole"),
        (status = CONFLICT, description = "the customer's files have all the bytes that they may"),
        (status = PAYLOAD_TOO_LARGE, description = "the file is too large"),
        (status = UNSUPPORTED_MEDIA_TYPE, description = "the file is of another type, or of another than it says"),
    ), security(("session" = [])))]
pub(crate) async fn make_upload(
    State(service): State<Service>,
    Customer { account_id }: Customer,
    request: Request,
) -> Result<Answer, Problem> {
    take(&service, account_id, request, |_| Ok(()), &mut Texts::of(&TEXTS)).await
}

/// Takes a form with a file: of the interface, or of a page, whose form has a token that `permit` looks at, and the key
/// that a program sends as a header. `texts` has what was typed, also when the form is refused.
pub(crate) async fn take(
    service: &Service,
    account_id: i64,
    mut request: Request,
    permit: impl Fn(&Texts) -> Result<(), Problem>,
    texts: &mut Texts,
) -> Result<Answer, Problem> {
    let mut headers = request.headers().clone();
    let uploads = service.uploads()?;
    let _place = uploads.place(account_id)?;
    let account_bytes_max = i64::try_from(uploads.options().account_bytes_max).unwrap_or(i64::MAX);
    service.on_primary(&Room { account_id, account_bytes_max }).await?;
    DefaultBodyLimit::max(uploads.body_bytes_max()).apply(&mut request);
    let form = Multipart::from_request(request, service).await.map_err(|_| {
        Problem::new(
            Kind::MediaType,
            "send the header Content-Type: multipart/form-data with a boundary",
        )
    })?;
    // What is too large is refused at its file: a page shows the texts, which came before it, again.
    let permit = |texts: &Texts| permit(texts).and_then(|()| check_length(uploads, &headers));
    let file = receive(uploads, form, permit, texts).await?;
    if let Some(key) = texts.get(KEY) {
        set_key(&mut headers, key)?;
    }
    keep(service, account_id, &headers, (texts, file), account_bytes_max).await
}

/// Refuses at once what says that it is too large.
fn check_length(uploads: &Uploads, headers: &HeaderMap) -> Result<(), Problem> {
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let length = length.and_then(|text| text.parse::<usize>().ok());
    if length.is_some_and(|length| length > uploads.body_bytes_max()) {
        let most = uploads.options().file_bytes_max;
        return Err(Problem::new(Kind::TooLarge, format!("a file has at most {most} bytes")));
    }
    Ok(())
}

/// Makes the row of a file that is in the store, or removes the file.
async fn keep(
    service: &Service,
    account_id: i64,
    headers: &HeaderMap,
    (texts, mut file): (&Texts, StoredFile),
    account_bytes_max: i64,
) -> Result<Answer, Problem> {
    let change = described(texts, &file, account_bytes_max)?;
    let parts: [&[u8]; 7] = [
        b"POST /api/v1/uploads",
        change.kind.as_str().as_bytes(),
        change.title.as_bytes(),
        change.description.as_deref().unwrap_or_default().as_bytes(),
        change.book_ref.as_deref().unwrap_or_default().as_bytes(),
        change.original_name.as_bytes(),
        &change.sha256,
    ];
    let key = Key::of(headers, &parts)?;
    let (object_key, byte_count) = (change.object_key.clone(), file.byte_count);
    // The commit may succeed although nobody waits for it any more.
    file.keep();
    let outcome = service.on_primary(&Once { account_id, key, change }).await;
    let is_unused = match &outcome {
        Ok(answer) if answer.replayed => {
            service.metrics().count_replay();
            has_no_row(service, &object_key).await
        }
        Ok(_) => {
            service.metrics().count_upload(byte_count);
            false
        }
        // A refusal was decided in a transaction that ended with it. A request under the same key that is under way may
        // be this one's first attempt, whose connection was lost at its commit.
        Err(problem) => problem.status().is_client_error() && problem.kind != Kind::InProgress,
    };
    // Whatever is left here and has no row is found by the sweep.
    if is_unused {
        service.uploads()?.store().remove_or_leave(&object_key).await;
    }
    outcome
}

/// Whether no row names the object of a request whose answer was given before. The answer may be the request's own:
/// a commit whose connection was lost has made the row, and doing the work again finds the key.
async fn has_no_row(service: &Service, object_key: &str) -> bool {
    let asked = WithRow { object_keys: vec![object_key.to_owned()] };
    service.on_primary(&asked).await.is_ok_and(|known| !known.contains(object_key))
}

/// The file with what the form says of it.
fn described(
    texts: &Texts,
    file: &StoredFile,
    account_bytes_max: i64,
) -> Result<NewUpload, Problem> {
    let mut fields = Fields::default();
    let title = fields.take("/title", upload_title(texts.get("title").unwrap_or_default()));
    let kind = fields.take("/kind", UploadKind::read(texts.get("kind").unwrap_or("other")));
    let description =
        fields.take("/description", texts.get("description").map(upload_description).transpose());
    let book_ref = fields.take("/book_ref", texts.get("book_ref").map(book_ref).transpose());
    let ((title, kind), (description, book_ref)) =
        fields.all(title.zip(kind).zip(description.zip(book_ref)))?;
    Ok(NewUpload {
        kind,
        title,
        description,
        book_ref,
        original_name: file.original_name.clone(),
        media_type: file.media_type.as_str(),
        byte_count: i64::try_from(file.byte_count).unwrap_or(i64::MAX),
        sha256: file.sha256.clone(),
        object_key: file.object_key.clone(),
        account_bytes_max,
    })
}

impl Change for NewUpload {
    async fn make(&self, tx: &Transaction<'_>, account_id: i64) -> Result<Answer, Failure> {
        let upload = self.insert(tx, account_id).await?;
        let place = format!("/api/v1/uploads/{}", upload.upload_id);
        Ok(Answer::tagged(StatusCode::CREATED, &upload)?.at(place))
    }
}

/// List one's uploads, newest first
#[utoipa::path(get, path = "/api/v1/uploads", tag = "uploads", params(UploadQuery),
    responses((status = OK, description = "a page of uploads", body = UploadPage)),
    security(("session" = [])))]
pub(crate) async fn list_uploads(
    State(service): State<Service>,
    Customer { account_id }: Customer,
    Parameters(query): Parameters<UploadQuery>,
) -> Result<Json<UploadPage>, Problem> {
    let mut fields = Fields::default();
    let limit = fields.take("limit", page::limit(query.limit.as_deref()));
    let before = fields.take("cursor", before(query.cursor.as_deref()));
    let book_ref = fields.take("book_ref", query.book_ref.as_deref().map(book_ref).transpose());
    let ((limit, before), book_ref) = fields.all(limit.zip(before).zip(book_ref))?;
    let mut found = service.on_primary(&Listed { account_id, book_ref, before, limit }).await?;
    let next_cursor = page::cut(&mut found, limit, |found| {
        (found.uploaded_at.timestamp_micros(), found.upload.upload_id.clone())
    });
    let uploads = found.into_iter().map(|found| found.upload).collect();
    Ok(Json(UploadPage { uploads, next_cursor }))
}

/// The upload after which the page begins.
fn before(text: Option<&str>) -> Result<Option<(DateTime<Utc>, String)>, String> {
    let Some((at, named)) = page::cursor::<Cursor>(text)? else { return Ok(None) };
    let wrong = |_| "must be the next_cursor of an earlier answer".to_owned();
    Ok(Some((page::moment(at)?, upload_id(&named).map_err(wrong)?)))
}

/// Read what is known of an upload
#[utoipa::path(get, path = "/api/v1/uploads/{upload_id}", tag = "uploads",
    params(("upload_id" = String, Path, description = "number of the upload",
        pattern = "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$")),
    responses(
        (status = OK, description = "the upload", body = Upload,
            headers(("ETag" = String, description = "tag of this state"))),
        (status = NOT_FOUND, description = "there is no such upload, or it is somebody else's"),
    ), security(("session" = [])))]
pub(crate) async fn read_upload(
    State(service): State<Service>,
    Customer { account_id }: Customer,
    Named(named): Named<String>,
) -> Result<Answer, Problem> {
    Answer::tagged(StatusCode::OK, &one(&service, account_id, &named).await?.upload)
}

/// Read the file of an upload
#[utoipa::path(get, path = "/api/v1/uploads/{upload_id}/content", tag = "uploads",
    params(("upload_id" = String, Path, description = "number of the upload",
        pattern = "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$")),
    responses(
        (status = OK, description = "the file, for saving",
            content((FileContent = "image/jpeg"), (FileContent = "image/png"), (FileContent = "image/gif"),
                    (FileContent = "image/webp"), (FileContent = "application/pdf")),
            headers(("ETag" = String, description = "SHA-256 of the file"),
                    ("Content-Disposition" = String, description = "the name that the file had"))),
        (status = NOT_FOUND, description = "there is no such upload, or it is somebody else's"),
        (status = GONE, description = "the store has lost the file"),
    ), security(("session" = [])))]
pub(crate) async fn read_content(
    State(service): State<Service>,
    Customer { account_id }: Customer,
    Named(named): Named<String>,
) -> Result<Response, Problem> {
    content(&service, account_id, &named).await
}

/// The file of an upload as an answer, which is read from the store while it is sent.
pub(crate) async fn content(
    service: &Service,
    account_id: i64,
    named: &str,
) -> Result<Response, Problem> {
    let Found { upload, object_key, .. } = one(service, account_id, named).await?;
    let object = service.uploads()?.store().read(&object_key).await.inspect_err(|failed| {
        tracing::error!(upload_id = upload.upload_id, %failed, "a file cannot be read");
    })?;
    if i64::try_from(object.meta.size).ok() != Some(upload.byte_count) {
        tracing::error!(
            upload_id = upload.upload_id,
            size = object.meta.size,
            "a file has another size"
        );
        return Err(Problem::new(
            Kind::Gone,
            "the store has another file in the place of this one",
        ));
    }
    let stream = object.into_stream().inspect_err(|error| {
        tracing::warn!(%error, "a file cannot be read to its end");
    });
    let mut response = Body::from_stream(stream).into_response();
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, upload.media_type),
        (CONTENT_LENGTH, upload.byte_count.to_string()),
        (CONTENT_DISPOSITION, disposition(&upload.name)),
        (ETAG, format!("\"{}\"", upload.sha256)),
    ] {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(SANDBOX));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    Ok(response)
}

/// Remove an upload
#[utoipa::path(delete, path = "/api/v1/uploads/{upload_id}", tag = "uploads",
    params(("upload_id" = String, Path, description = "number of the upload",
        pattern = "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$")),
    responses(
        (status = NO_CONTENT, description = "it is gone"),
        (status = NOT_FOUND, description = "there is no such upload, or it is somebody else's"),
    ), security(("session" = [])))]
pub(crate) async fn delete_upload(
    State(service): State<Service>,
    Customer { account_id }: Customer,
    Named(named): Named<String>,
) -> Result<StatusCode, Problem> {
    remove(&service, account_id, &named).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Removes the row, and then the file.
pub(crate) async fn remove(service: &Service, account_id: i64, named: &str) -> Result<(), Problem> {
    let uploads = service.uploads()?;
    let upload_id = number(named)?;
    let key = service.on_primary(&EndUpload { account_id, upload_id }).await?;
    let key = key.ok_or_else(|| Problem::not_found("upload"))?;
    uploads.store().remove_or_leave(&key).await;
    Ok(())
}

async fn one(service: &Service, account_id: i64, named: &str) -> Result<Found, Problem> {
    let upload_id = number(named)?;
    let found = service.on_primary(&OneUpload { account_id, upload_id }).await?;
    found.ok_or_else(|| Problem::not_found("upload"))
}

fn number(named: &str) -> Result<String, Problem> {
    upload_id(named).map_err(|reason| Problem::field("upload_id", reason))
}
