//! Forms: what a browser sends, whether it may, and what a page shows of it when something is wrong.
//!
//! In: the fields of a form or of a query. Out: values by name. A form must carry the token of its visitor in the field
//! `token`. As a second line, a browser that says where the request comes from must say that it comes from this host:
//! `Sec-Fetch-Site`, or `Origin` for browsers that do not send it. Fields are named as the interface names them in
//! problem details, without the first slash, so that a refusal finds its field by itself.

use axum::extract::{FromRequest, RawForm, Request};
use axum::http::header::{CONTENT_TYPE, HOST, ORIGIN};
use axum::http::{HeaderMap, StatusCode};

use super::super::problem::{FieldError, Kind, Problem};
use super::super::state::Service;
use super::visitor::{Member, Visitor};

/// The field with the token of the visitor.
pub(crate) const TOKEN: &str = "token";
/// What forms are sent as.
const FORM: &str = "application/x-www-form-urlencoded";

/// What a page says in place of the words for programs, which name a header.
const CHANGED: &str = "This has changed since the page was loaded. Look at it, and decide again.";

/// Names and texts, in the order in which they came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Values(Vec<(String, String)>);

impl Values {
    pub(crate) const fn new(pairs: Vec<(String, String)>) -> Self {
        Self(pairs)
    }

    /// The first text of a name; empty if there is none.
    pub(crate) fn get(&self, name: &str) -> &str {
        let known = self.0.iter().find(|(known, _)| known == name);
        known.map_or("", |(_, text)| text.as_str())
    }

    /// The text of a name, or nothing if it is empty.
    pub(crate) fn filled(&self, name: &str) -> Option<&str> {
        Some(self.get(name).trim()).filter(|text| !text.is_empty())
    }

    /// The same with another text of a name.
    pub(crate) fn with(mut self, name: &str, text: impl Into<String>) -> Self {
        self.0.retain(|(known, _)| known != name);
        self.0.push((name.to_owned(), text.into()));
        self
    }
}

/// A form as a page shows it: what was typed, and what is wrong with it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Form {
    pub(crate) values: Values,
    errors: Vec<FieldError>,
    /// What is wrong with the form as a whole.
    pub(crate) notice: Option<String>,
}

impl Form {
    /// A form that was not sent yet.
    pub(crate) const fn new(values: Values) -> Self {
        Self { values, errors: Vec::new(), notice: None }
    }

    /// A form that was refused.
    pub(crate) fn refused(values: Values, problem: &Problem) -> Self {
        let words = match problem.kind {
            Kind::PreconditionFailed => CHANGED,
            _ => problem.detail(),
        };
        let notice = problem.errors().is_empty().then(|| words.to_owned());
        Self { values, errors: problem.errors().to_vec(), notice }
    }

    /// The same form; when its key was used for another request, these words say what to do.
    pub(crate) fn used_key(self, problem: &Problem, words: &str) -> Self {
        match problem.kind {
            Kind::KeyReused => Self { notice: Some(words.to_owned()), ..self },
            _ => self,
        }
    }

    /// What was typed.
    pub(crate) fn value(&self, name: &str) -> &str {
        self.values.get(name)
    }

    /// Whether this choice was made.
    pub(crate) fn is(&self, name: &str, choice: &str) -> bool {
        self.values.get(name) == choice
    }

    /// Why a field was refused.
    pub(crate) fn error(&self, name: &str) -> Option<&str> {
        let of = |error: &&FieldError| error.field.trim_start_matches('/') == name;
        self.errors.iter().find(of).map(|error| error.reason.as_str())
    }

    /// Everything that was refused, by name and reason.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.others(&[])
    }

    /// What was refused in fields that the form does not show, by name and reason.
    pub(crate) fn others(&self, shown: &[&str]) -> Vec<String> {
        let is_other = |error: &&FieldError| !shown.contains(&error.field.trim_start_matches('/'));
        let line = |error: &FieldError| {
            let name = error.field.trim_start_matches('/');
            format!("{} {}", if name.is_empty() { "The form" } else { name }, error.reason)
        };
        self.errors.iter().filter(is_other).map(line).collect()
    }
}

/// A form that a visitor of a page of this service has sent.
#[derive(Debug)]
pub(crate) struct Posted {
    pub(crate) visitor: Visitor,
    pub(crate) values: Values,
}

impl FromRequest<Service> for Posted {
    type Rejection = Problem;

    async fn from_request(request: Request, service: &Service) -> Result<Self, Problem> {
        check_site(request.headers())?;
        let visitor = Visitor::of(request.headers(), service).await?;
        let values = read(request, service).await?;
        visitor.check_form(values.get(TOKEN))?;
        Ok(Self { visitor, values })
    }
}

/// The same of a visitor who is signed in.
#[derive(Debug)]
pub(crate) struct PostedByMember {
    pub(crate) member: Member,
    pub(crate) values: Values,
}

impl FromRequest<Service> for PostedByMember {
    type Rejection = Problem;

    async fn from_request(request: Request, service: &Service) -> Result<Self, Problem> {
        check_site(request.headers())?;
        // Who is not signed in any more signs in first; the token is of a session that has ended.
        let member = Member::try_from(Visitor::of(request.headers(), service).await?)?;
        let values = read(request, service).await?;
        member.visitor.check_form(values.get(TOKEN))?;
        Ok(Self { member, values })
    }
}

async fn read(request: Request, service: &Service) -> Result<Values, Problem> {
    let media_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = media_type.and_then(|text| text.split(';').next()).map(str::trim);
    if !essence.is_some_and(|essence| essence.eq_ignore_ascii_case(FORM)) {
        return Err(Problem::new(Kind::MediaType, format!("a form is sent as {FORM}")));
    }
    let RawForm(bytes) = RawForm::from_request(request, service).await.map_err(|rejection| {
        use axum::response::IntoResponse as _;
        if rejection.into_response().status() == StatusCode::PAYLOAD_TOO_LARGE {
            let most = service.options().body_bytes_max;
            return Problem::new(Kind::TooLarge, format!("a form has at most {most} bytes"));
        }
        Problem::new(Kind::Malformed, "the form did not come as a whole")
    })?;
    Ok(Values::new(decode(&bytes)))
}

/// Reads pairs of names and texts. What is no UTF-8 becomes the sign for that.
pub(crate) fn decode(bytes: &[u8]) -> Vec<(String, String)> {
    let pairs = bytes.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let mut parts = pair.splitn(2, |byte| *byte == b'=');
            let mut next = || decoded(parts.next().unwrap_or_default());
            (next(), next())
        })
        .collect()
}

fn decoded(bytes: &[u8]) -> String {
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let escaped = bytes.get(at + 1..at + 3).filter(|_| *byte == b'%');
        let escaped = escaped.and_then(|digits| hex::decode(digits).ok());
        match (byte, escaped) {
            (_, Some(one)) => {
                out.extend(one);
                at += 2;
            }
            (b'+', None) => out.push(b' '),
            (byte, None) => out.push(*byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A text as a part of a query.
pub(crate) fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Refuses what a browser says to come from another site.
pub(crate) fn check_site(headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let from_here = match (text("sec-fetch-site"), text(ORIGIN.as_str())) {
        (Some(site), _) => site == "same-origin",
        (None, Some(origin)) => {
            let host = origin.split_once("://").map(|(_, host)| host);
            host.is_some() && host == text(HOST.as_str())
        }
        (None, None) => true,
    };
    if from_here {
        return Ok(());
    }
    Err(Problem::new(Kind::Forbidden, "the form was sent by a page of another site"))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn forms_are_read_as_browsers_write_them() {
        let values =
            Values::new(decode(b"name=ANN+M%C3%9CLLER&empty=&bare&a=%2&x=1%262&name=second"));
        assert_eq!(values.get("name"), "ANN MÜLLER");
        assert_eq!((values.get("empty"), values.get("bare"), values.get("none")), ("", "", ""));
        assert_eq!((values.get("a"), values.get("x")), ("%2", "1&2"));
        let odd = "a b&c=d/é";
        assert_eq!(decoded(encoded(odd).as_bytes()), odd);
    }

    #[test]
    fn a_form_of_another_site_is_refused() {
        let of = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            check_site(&headers).is_ok()
        };
        assert!(of(&[]) && of(&[("sec-fetch-site", "same-origin")]));
        assert!(of(&[("origin", "https://air.example:4000"), ("host", "air.example:4000")]));
        for site in ["cross-site", "same-site", "none"] {
            assert!(!of(&[("sec-fetch-site", site)]), "{site}");
        }
        assert!(!of(&[("origin", "https://evil.example"), ("host", "air.example")]));
        assert!(!of(&[("origin", "null"), ("host", "air.example")]));
    }

    #[test]
    fn a_refusal_finds_its_field() {
        let errors = ["/email", "/passengers/0/name", "seats"]
            .map(|field| FieldError { field: field.to_owned(), reason: "is wrong".to_owned() });
        let form = Form::refused(Values::default(), &Problem::invalid(errors.to_vec()));
        assert_eq!(form.error("passengers/0/name"), Some("is wrong"));
        assert_eq!(form.others(&["email", "passengers/0/name"]), ["seats is wrong"]);
        assert_eq!(form.notice, None);
        let whole = Form::refused(Values::default(), &Problem::field("/", "is wrong"));
        assert_eq!(whole.lines(), ["The form is wrong"]);
    }
}
