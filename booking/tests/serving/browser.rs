//! A small browser: it keeps cookies, follows redirections, and fills in the forms of the page that it sees.
//!
//! In: an address, a path, what a person types. Out: pages. It sends a form as the page has it, hidden fields included,
//! so that a test needs to know no more of a form than a person does.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::client::{Client, Reply};

/// What a form is sent as.
const FORM: &str = "application/x-www-form-urlencoded";
/// Redirections that are followed at most.
const REDIRECTIONS_MAX: usize = 5;

/// A browser with its cookies and the page that it shows.
#[derive(Debug, Clone)]
pub(crate) struct Browser {
    pub(crate) address: SocketAddr,
    pub(crate) cookies: BTreeMap<String, String>,
    pub(crate) path: String,
    pub(crate) page: Reply,
}

/// A form of a page.
#[derive(Debug, Clone)]
pub(crate) struct Form {
    pub(crate) method: String,
    pub(crate) action: String,
    pub(crate) fields: Vec<(String, String)>,
}

impl Browser {
    /// A browser that shows a page.
    pub(crate) async fn open(address: SocketAddr, path: &str) -> Self {
        let page = Reply { status: 0, headers: [].into(), body: String::new() };
        let mut browser = Self { address, cookies: BTreeMap::new(), path: String::new(), page };
        browser.go(path).await;
        browser
    }

    /// Signs up, and is signed in.
    pub(crate) async fn sign_up(address: SocketAddr, email: &str, name: &str) -> Self {
        let mut browser = Self::open(address, "/sign-up").await;
        let typed = [("email", email), ("name", name), ("password", "correct horse")];
        browser.send("/sign-up", &typed).await;
        browser.expect(200);
        browser
    }

    /// Shows a page, wherever it leads.
    pub(crate) async fn go(&mut self, path: &str) {
        self.request("GET", path, &[], None).await;
        for _ in 0..REDIRECTIONS_MAX {
            if self.page.status != 303 {
                return;
            }
            let path = self.page.headers["location"].clone();
            self.request("GET", &path, &[], None).await;
        }
        panic!("too many redirections: {self:?}");
    }

    /// Fills in the form with this action, sends it, and goes where it leads.
    pub(crate) async fn send(&mut self, action: &str, typed: &[(&str, &str)]) {
        let form = self.form(action);
        self.submit(&form.with(typed)).await;
    }

    /// Sends a form, and goes where it leads.
    pub(crate) async fn submit(&mut self, form: &Form) {
        if form.method == "get" {
            return self.go(&format!("{}?{}", form.action, encode(&form.fields))).await;
        }
        let headers = [("Content-Type", FORM), ("Sec-Fetch-Site", "same-origin")];
        self.request("POST", &form.action, &headers, Some(&encode(&form.fields))).await;
        if self.page.status == 303 {
            let path = self.page.headers["location"].clone();
            self.go(&path).await;
        }
    }

    /// One request, without going anywhere.
    pub(crate) async fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.address);
        head.push_str("Connection: close\r\nAccept: text/html,application/xhtml+xml,*/*;q=0.8\r\n");
        if !self.cookies.is_empty() {
            let cookies: Vec<_> =
                self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            head.push_str(&format!("Cookie: {}\r\n", cookies.join("; ")));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let body = body.unwrap_or_default();
        head.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        let client = Client { address: self.address, token: None };
        self.page = client.raw(head.as_bytes()).await;
        path.clone_into(&mut self.path);
        for cookie in self.page.headers.get("set-cookie").into_iter().flat_map(|all| all.lines()) {
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            if cookie.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> &Self {
        assert_eq!(self.page.status, status, "{}: {}", self.path, self.page.body);
        self
    }

    #[track_caller]
    pub(crate) fn shows(&self, text: &str) -> &Self {
        assert!(self.page.body.contains(text), "no {text:?} on {}: {}", self.path, self.page.body);
        self
    }

    #[track_caller]
    pub(crate) fn hides(&self, text: &str) -> &Self {
        assert!(!self.page.body.contains(text), "{text:?} on {}: {}", self.path, self.page.body);
        self
    }

    /// The first form of the page with this action.
    #[track_caller]
    pub(crate) fn form(&self, action: &str) -> Form {
        self.forms().into_iter().find(|form| form.action == action).unwrap_or_else(|| {
            panic!("no form {action} on {}: {}", self.path, self.page.body);
        })
    }

    /// All forms of the page.
    pub(crate) fn forms(&self) -> Vec<Form> {
        let parts = self.page.body.split("<form").skip(1);
        parts.map(|part| form(part.split("</form>").next().unwrap())).collect()
    }

    /// The path that the page was found at, with its query.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }
}

impl Form {
    /// The same form with other texts; a field that the page does not have is added.
    pub(crate) fn with(mut self, typed: &[(&str, &str)]) -> Self {
        for (name, text) in typed {
            self.fields.retain(|(known, _)| known != name);
            self.fields.push(((*name).to_owned(), (*text).to_owned()));
        }
        self
    }

    /// The text of a field.
    #[track_caller]
    pub(crate) fn value(&self, name: &str) -> &str {
        let field = self.fields.iter().find(|(known, _)| known == name);
        &field.unwrap_or_else(|| panic!("no field {name}: {self:?}")).1
    }
}

/// The form that begins with these attributes.
fn form(text: &str) -> Form {
    let (head, rest) = text.split_once('>').unwrap();
    let method = attribute(head, "method").unwrap_or_else(|| "get".to_owned());
    let action = attribute(head, "action").unwrap();
    let mut fields = Vec::new();
    for tag in rest.split('<').skip(1) {
        let head = tag.split('>').next().unwrap();
        let name = attribute(head, "name");
        if let (true, Some(name)) = (head.starts_with("input"), &name) {
            let kind = attribute(head, "type").unwrap_or_default();
            let is_choice = kind == "radio" || kind == "checkbox";
            if !is_choice || head.contains(" checked") {
                fields.push((name.clone(), attribute(head, "value").unwrap_or_default()));
            }
        }
        if let (true, Some(name)) = (head.starts_with("select"), &name) {
            fields.push((name.clone(), String::new()));
        }
        if head.starts_with("option") && head.contains(" selected") {
            let last = fields.last_mut().unwrap();
            last.1 = attribute(head, "value").unwrap_or_default();
        }
    }
    Form { method, action, fields }
}

/// The value of an attribute, as a browser reads it.
fn attribute(head: &str, name: &str) -> Option<String> {
    let (_, rest) = head.split_once(&format!(" {name}=\""))?;
    let value = rest.split('"').next()?;
    let plain = [("&#60;", "<"), ("&#62;", ">"), ("&#34;", "\""), ("&#39;", "'"), ("&#38;", "&")];
    Some(plain.iter().fold(value.to_owned(), |text, (from, to)| text.replace(from, to)))
}

/// Pairs as a browser sends them.
fn encode(fields: &[(String, String)]) -> String {
    let encoded = |text: &str| {
        let mut out = String::new();
        for byte in text.bytes() {
            if byte.is_ascii_alphanumeric() || b"-_.*".contains(&byte) {
                out.push(char::from(byte));
            } else if byte == b' ' {
                out.push('+');
            } else {
                out.push_str(&format!("%{byte:02X}"));
            }
        }
        out
    };
    let pairs: Vec<_> =
        fields.iter().map(|(name, text)| format!("{}={}", encoded(name), encoded(text))).collect();
    pairs.join("&")
}
