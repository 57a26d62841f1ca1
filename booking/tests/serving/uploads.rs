//! Files of customers: what is taken, what is refused and leaves nothing, who sees what, and a store that goes away.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use booking::serve::{ServeOptions, UploadOptions, UploadStore};
use devstack::wait_for_async;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::browser::Browser;
use super::client::Client;
use super::shop::{SOON, Shop, again, sign_up};

/// How long something that happens at once may take.
const WAIT: Duration = Duration::from_secs(60);
pub(crate) const BOUNDARY: &str = "the-boundary";
const PNG: &[u8] = b"\x89PNG\r\n\x1A\n and more bytes \x00\xFF";
const PLACE: &str = "/api/v1/uploads";

/// A service with a store in a directory of its own.
pub(crate) struct Desk {
    pub(crate) shop: Shop,
    root: tempfile::TempDir,
}

impl Desk {
    pub(crate) async fn open() -> Self {
        Self::open_with(|_| ()).await
    }

    pub(crate) async fn open_with(change: impl FnOnce(&mut UploadOptions)) -> Self {
        let root = tempfile::tempdir().unwrap();
        let mut uploads = options(&root.path().join("files"));
        change(&mut uploads);
        let shop = Shop::open_with(|options| options.uploads = Some(uploads)).await;
        shop.airline.apply("070_uploads.sql");
        Self { shop, root }
    }

    fn directory(&self) -> PathBuf {
        self.root.path().join("files")
    }

    /// Every file below the root, also those that are being written.
    fn files(&self) -> Vec<PathBuf> {
        let (mut found, mut open) = (Vec::new(), vec![self.root.path().to_owned()]);
        while let Some(directory) = open.pop() {
            for entry in std::fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { open.push(path) } else { found.push(path) }
            }
        }
        found
    }

    pub(crate) async fn rows(&self) -> i64 {
        self.shop.number("SELECT count(*) FROM service.uploads").await
    }

    /// Neither a row nor a file, soon.
    async fn assert_nothing_is_left(&self, what: &str) {
        let deadline = format!("nothing to be left of {what}");
        wait_for_async(WAIT, &deadline, async || self.files().is_empty()).await;
        assert_eq!(self.rows().await, 0, "{what}");
    }
}

fn options(directory: &Path) -> UploadOptions {
    let url = format!("file://{}", directory.display());
    UploadOptions::new(UploadStore::open(&url).unwrap())
}

/// An answer whose body may be any bytes.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{} {}", self.head, String::from_utf8_lossy(&self.body));
        self
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    #[track_caller]
    fn problem(&self) -> String {
        let kind = self.json()["type"].as_str().unwrap().to_owned();
        kind.strip_prefix("urn:booking:problem:").unwrap().to_owned()
    }

    #[track_caller]
    fn assert_header(&self, line: &str) {
        let has = self.head.lines().any(|known| known.eq_ignore_ascii_case(line));
        assert!(has, "no {line:?} in {}", self.head);
    }
}

/// A part of a form.
pub(crate) fn text(name: &str, value: &str) -> Vec<u8> {
    let head = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
    [head.as_bytes(), value.as_bytes(), b"\r\n"].concat()
}

pub(crate) fn file(name: &str, media_type: &str, bytes: &[u8]) -> Vec<u8> {
    let head = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
         Content-Type: {media_type}\r\n\r\n"
    );
    [head.as_bytes(), bytes, b"\r\n"].concat()
}

pub(crate) fn form(parts: &[Vec<u8>]) -> Vec<u8> {
    [parts.concat(), format!("--{BOUNDARY}--\r\n").into_bytes()].concat()
}

fn titled(name: &str, media_type: &str, bytes: &[u8]) -> Vec<u8> {
    form(&[text("title", "A file"), text("kind", "other"), file(name, media_type, bytes)])
}

/// The head of a request, without the length of its body.
fn head(client: &Client, method: &str, path: &str, further: &str) -> String {
    let token = client.token.as_deref().unwrap_or_default();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n{further}"
    )
}

/// Sends a request. A server that refuses reads no more of it, so only the answer counts.
async fn exchange(client: &Client, request: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(client.address).await.unwrap();
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(&answer)));
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head, body: answer[end + 4..].to_vec() }
}

pub(crate) async fn send(client: &Client, further: &str, body: &[u8]) -> Answer {
    let length = format!("{further}Content-Length: {}\r\n\r\n", body.len());
    let head = head(client, "POST", PLACE, &length);
    exchange(client, &[head.as_bytes(), body].concat()).await
}

pub(crate) async fn ask(client: &Client, method: &str, path: &str) -> Answer {
    exchange(client, head(client, method, path, "\r\n").as_bytes()).await
}

/// Uploads a small image.
async fn upload(client: &Client) -> Value {
    send(client, "", &titled("cat.png", "image/png", PNG)).await.expect(201).json()
}

fn path(upload: &Value) -> String {
    format!("{PLACE}/{}", upload["upload_id"].as_str().unwrap())
}

#[tokio::test]
async fn each_type_is_taken_and_given_back_for_saving_in_a_sandbox() {
    let desk = Desk::open().await;
    let client = &desk.shop.client;
    let booking = desk.shop.book(SOON).await;
    let book_ref = booking["book_ref"].as_str().unwrap();
    let large = [b"%PDF-1.7".as_slice(), &[7; 700_000]].concat();
    for (media_type, bytes) in [
        ("image/jpeg", b"\xFF\xD8\xFF\xE0 and more".as_slice()),
        ("image/png", PNG),
        ("image/gif", b"GIF89a and more"),
        ("image/webp", b"RIFF\x10\0\0\0WEBPVP8 "),
        ("application/pdf", &large),
    ] {
        let body = form(&[
            text("title", "My  cat's passport"),
            text("kind", "passport"),
            text("description", "front\nand back"),
            file("Кот \\\"1\\\".bin", media_type, bytes),
            text("book_ref", &book_ref.to_lowercase()),
        ]);
        let made = send(client, "", &body).await.expect(201);
        let upload = made.json();
        made.assert_header(&format!("Location: {}", path(&upload)));
        assert_eq!(upload["media_type"], media_type);
        assert_eq!(upload["sha256"], hex::encode(Sha256::digest(bytes)));
        assert_eq!(
            (&upload["title"], &upload["kind"]),
            (&json!("My cat's passport"), &json!("passport"))
        );
        assert_eq!(
            (&upload["book_ref"], &upload["byte_count"]),
            (&json!(book_ref), &json!(bytes.len()))
        );
        assert_eq!(ask(client, "GET", &path(&upload)).await.expect(200).json(), upload);
        let content = upload["content"].as_str().unwrap();
        let got = ask(client, "GET", content).await.expect(200);
        assert!(got.body == bytes, "{media_type}");
        got.assert_header(&format!("Content-Type: {media_type}"));
        got.assert_header(&format!("Content-Length: {}", bytes.len()));
        got.assert_header("X-Content-Type-Options: nosniff");
        got.assert_header(
            "Content-Security-Policy: sandbox; default-src 'none'; frame-ancestors 'none'",
        );
        got.assert_header(&format!("ETag: \"{}\"", upload["sha256"].as_str().unwrap()));
        let saved = "Content-Disposition: attachment; filename=\"";
        assert!(got.head.contains(&saved.to_lowercase()), "{}", got.head);
        assert_eq!(ask(client, "HEAD", content).await.expect(200).body.len(), 0);
    }
    let hashes = "SELECT count(DISTINCT sha256) FROM service.uploads WHERE byte_count > 0";
    assert_eq!(desk.shop.number(hashes).await, 5);
    let list = ask(client, "GET", &format!("{PLACE}?limit=2&book_ref={book_ref}")).await.json();
    assert_eq!(list["uploads"][0]["media_type"], "application/pdf");
    let next = format!("{PLACE}?limit=5&cursor={}", list["next_cursor"].as_str().unwrap());
    let rest = ask(client, "GET", &next).await.expect(200).json();
    assert_eq!(
        (rest["uploads"].as_array().unwrap().len(), rest["next_cursor"].is_null()),
        (3, true)
    );
    let metrics = desk.shop.stranger().get("/metrics").await.body;
    assert!(metrics.contains("booking_uploads_total 5"), "{metrics}");
}

#[tokio::test]
async fn what_is_wrong_is_named_and_leaves_nothing() {
    let desk = Desk::open().await;
    let client = &desk.shop.client;
    let png = || file("a.png", "image/png", PNG);
    let title = || text("title", "A file");
    let cases: [(Vec<u8>, u16, &str); 14] = [
        (titled("a.png", "image/jpeg", PNG), 415, "file-type"),
        (titled("a.png", "application/octet-stream", PNG), 415, "file-type"),
        (
            titled("a.svg", "image/svg+xml", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
            415,
            "file-type",
        ),
        (titled("a.png", "image/png", b"<script>alert(1)</script>"), 415, "file-type"),
        (titled("a.png", "image/png", b"\x89PNG"), 415, "file-type"),
        (titled("a.png", "image/png", b""), 422, "invalid"),
        (form(&[png()]), 422, "invalid"),
        (form(&[title()]), 422, "invalid"),
        (form(&[title(), png(), png()]), 422, "invalid"),
        (form(&[title(), png(), title()]), 422, "invalid"),
        (form(&[title(), png(), text("color", "red")]), 422, "invalid"),
        (form(&[title(), text("kind", "novel"), png()]), 422, "invalid"),
        (form(&[title(), png(), text("book_ref", "ABCDEF")]), 422, "invalid"),
        (form(&[text("title", &"x".repeat(10_000)), png()]), 422, "invalid"),
    ];
    for (number, (body, status, kind)) in cases.iter().enumerate() {
        let answer = send(client, "", body).await.expect(*status);
        assert_eq!(answer.problem(), *kind, "case {number}");
        desk.assert_nothing_is_left(&format!("case {number}")).await;
    }
    let length = "Content-Length: 2\r\n\r\n{}";
    let json =
        head(client, "POST", PLACE, length).replace("multipart/form-data", "application/json");
    assert_eq!(exchange(client, json.as_bytes()).await.expect(415).problem(), "media-type");
    ask(client, "GET", &format!("{PLACE}/..%2F..%2Fetc%2Fpasswd")).await.expect(422);
}

#[tokio::test]
async fn a_file_that_is_too_large_is_refused_whatever_it_says_of_its_length() {
    let desk = Desk::open_with(|options| options.file_bytes_max = 300_000).await;
    let client = &desk.shop.client;
    let sized = |length: usize| [PNG, &vec![1; length - PNG.len()]].concat();
    let body = titled("a.png", "image/png", &sized(300_001));
    assert_eq!(send(client, "", &body).await.expect(413).problem(), "too-large");
    desk.assert_nothing_is_left("a byte too many").await;
    let body = titled("a.png", "image/png", &sized(3_000_000));
    assert_eq!(send(client, "", &body).await.expect(413).problem(), "too-large");
    // Without a length nobody knows before the bytes come.
    let mut chunked =
        head(client, "POST", PLACE, "Transfer-Encoding: chunked\r\n\r\n").into_bytes();
    for chunk in body.chunks(50_000) {
        chunked.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        chunked.extend(chunk);
        chunked.extend(b"\r\n");
    }
    chunked.extend(b"0\r\n\r\n");
    assert_eq!(exchange(client, &chunked).await.expect(413).problem(), "too-large");
    // What stands before the first part of a form is counted too.
    let preamble = [vec![b'x'; 3_000_000], titled("a.png", "image/png", PNG)].concat();
    send(client, "", &preamble).await.expect(413);
    desk.assert_nothing_is_left("what is too large").await;
    send(client, "", &titled("a.png", "image/png", &sized(300_000))).await.expect(201);
}

#[tokio::test]
async fn a_name_is_no_path() {
    let desk = Desk::open().await;
    for (name, kept) in [
        ("../../../etc/passwd", "passwd"),
        ("..\\\\..\\\\evil.png", "evil.png"),
        ("/etc/shadow", "shadow"),
        ("..", "file"),
        ("%2e%2e%2fevil.png", "%2e%2e%2fevil.png"),
    ] {
        let body = titled(name, "image/png", PNG);
        let made = send(&desk.shop.client, "", &body).await.expect(201).json();
        assert_eq!(made["name"], kept, "{name}");
    }
    let files = desk.files();
    assert_eq!(files.len(), 5);
    for file in files {
        let below = file.strip_prefix(desk.directory()).unwrap();
        let parts: Vec<String> =
            below.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
        let is_ours = parts.len() == 2 && parts[1].len() == 32 && parts[1].starts_with(&parts[0]);
        assert!(is_ours && parts[1].bytes().all(|byte| byte.is_ascii_hexdigit()), "{below:?}");
    }
}

#[tokio::test]
async fn a_connection_that_is_cut_in_the_middle_leaves_nothing() {
    let desk = Desk::open().await;
    let client = &desk.shop.client;
    let body = titled("a.png", "image/png", &[PNG, &[1; 2_000_000]].concat());
    let length = format!("Content-Length: {}\r\n\r\n", body.len());
    for part in [600, 500_000, 1_500_000] {
        let head = head(client, "POST", PLACE, &length);
        let mut stream = TcpStream::connect(client.address).await.unwrap();
        stream.write_all(&[head.as_bytes(), &body[..part]].concat()).await.unwrap();
        if part == 1_500_000 {
            // The object is begun: there is a file, which is not visible as an object.
            wait_for_async(WAIT, "a part to be written", async || !desk.files().is_empty()).await;
        }
        drop(stream);
        desk.assert_nothing_is_left(&format!("{part} bytes")).await;
    }
    let list = ask(client, "GET", PLACE).await.expect(200).json();
    assert_eq!(list["uploads"], json!([]));
}

#[tokio::test]
async fn a_file_that_comes_too_slowly_is_given_up() {
    let root = tempfile::tempdir().unwrap();
    let mut uploads = options(&root.path().join("files"));
    uploads.time = Duration::from_secs(3);
    let shop = Shop::open_with(|options| {
        options.request_time = Duration::from_secs(3);
        options.uploads = Some(uploads);
    })
    .await;
    shop.airline.apply("070_uploads.sql");
    let desk = Desk { shop, root };
    let client = &desk.shop.client;
    let body = titled("a.png", "image/png", &[PNG, &[1; 2_000_000]].concat());
    let length = format!("Content-Length: {}\r\n\r\n", body.len());
    let head = head(client, "POST", PLACE, &length);
    // The rest never comes, and the connection stays open.
    let refusal =
        exchange(client, &[head.as_bytes(), &body[..1_000_000]].concat()).await.expect(503);
    assert_eq!(refusal.problem(), "outcome-unknown");
    desk.assert_nothing_is_left("a slow file").await;
}

#[tokio::test]
async fn somebody_elses_file_does_not_exist() {
    let desk = Desk::open().await;
    let made = upload(&desk.shop.client).await;
    let booking = desk.shop.book(SOON).await;
    let (bob, _) = sign_up(desk.shop.client.address, "bob@example.org").await;
    let stranger = desk.shop.stranger();
    for (method, place) in
        [("GET", path(&made)), ("GET", format!("{}/content", path(&made))), ("DELETE", path(&made))]
    {
        assert_eq!(ask(&bob, method, &place).await.expect(404).problem(), "not-found");
        ask(&stranger, method, &place).await.expect(401);
    }
    send(&stranger, "", &titled("a.png", "image/png", PNG)).await.expect(401);
    assert_eq!(ask(&bob, "GET", PLACE).await.expect(200).json()["uploads"], json!([]));
    let for_booking = form(&[
        text("title", "Mine"),
        file("a.png", "image/png", PNG),
        text("book_ref", booking["book_ref"].as_str().unwrap()),
    ]);
    let refusal = send(&bob, "", &for_booking).await.expect(422);
    assert_eq!(refusal.json()["errors"][0]["field"], "/book_ref");
    wait_for_async(WAIT, "the refused file to go", async || desk.files().len() == 1).await;
    ask(&desk.shop.client, "DELETE", &path(&made)).await.expect(204);
    ask(&desk.shop.client, "GET", &path(&made)).await.expect(404);
    ask(&desk.shop.client, "DELETE", &path(&made)).await.expect(404);
    desk.assert_nothing_is_left("a removed upload").await;
}

#[tokio::test]
async fn a_customers_files_have_a_limit_together() {
    let size = PNG.len();
    let desk = Desk::open_with(|options| {
        options.account_bytes_max = u64::try_from(2 * size + 5).unwrap();
    })
    .await;
    let client = &desk.shop.client;
    let first = upload(client).await;
    upload(client).await;
    let refusal = send(client, "", &titled("a.png", "image/png", PNG)).await.expect(409);
    assert_eq!(refusal.problem(), "store-full");
    wait_for_async(WAIT, "the refused file to go", async || desk.files().len() == 2).await;
    let (bob, _) = sign_up(client.address, "bob@example.org").await;
    upload(&bob).await;
    ask(client, "DELETE", &path(&first)).await.expect(204);
    upload(client).await;
    assert_eq!((desk.rows().await, desk.files().len()), (3, 3));
}

#[tokio::test]
async fn slow_forms_of_one_customer_keep_nobody_else_out() {
    let desk = Desk::open().await;
    let client = &desk.shop.client;
    let body = titled("a.png", "image/png", &[PNG, &[1; 2_000_000]].concat());
    let head = head(client, "POST", PLACE, &format!("Content-Length: {}\r\n\r\n", body.len()));
    let mut slow = Vec::new();
    for count in 1..=2 {
        let mut stream = TcpStream::connect(client.address).await.unwrap();
        stream.write_all(&[head.as_bytes(), &body[..1_000_000]].concat()).await.unwrap();
        slow.push(stream);
        wait_for_async(WAIT, "a file to come", async || desk.files().len() == count).await;
    }
    let refusal = send(client, "", &titled("a.png", "image/png", PNG)).await.expect(429);
    assert_eq!(refusal.problem(), "too-many-requests");
    refusal.assert_header("Retry-After: 1");
    let (bob, _) = sign_up(client.address, "bob@example.org").await;
    upload(&bob).await;
    drop(slow);
    wait_for_async(WAIT, "a place to be free", async || {
        send(client, "", &titled("a.png", "image/png", PNG)).await.status == 201
    })
    .await;
}

#[tokio::test]
async fn a_request_with_a_key_is_stored_once() {
    let desk = Desk::open().await;
    let client = &desk.shop.client;
    let key = "Idempotency-Key: same\r\n";
    let body = titled("cat.png", "image/png", PNG);
    let first = send(client, key, &body).await.expect(201);
    let again = send(client, key, &body).await.expect(201);
    again.assert_header("Idempotent-Replayed: true");
    assert_eq!(first.json(), again.json());
    let other = titled("dog.png", "image/png", PNG);
    assert_eq!(send(client, key, &other).await.expect(422).problem(), "key-reused");
    wait_for_async(WAIT, "the second and third file to go", async || desk.files().len() == 1).await;
    assert_eq!(desk.rows().await, 1);
    ask(client, "GET", first.json()["content"].as_str().unwrap()).await.expect(200);
}

#[tokio::test]
async fn while_the_store_is_away_only_uploads_are_refused() {
    let desk = Desk::open_with(|options| options.look_every = Duration::from_millis(50)).await;
    let client = &desk.shop.client;
    let made = upload(client).await;
    let ready = async || client.get("/health/ready").await.expect(200).json()["uploads"].clone();
    let becomes = async |state: &str| {
        let what = format!("the store to be {state}");
        wait_for_async(WAIT, &what, async || ready().await == state).await;
    };
    becomes("ready").await;
    let elsewhere = desk.root.path().join("elsewhere");
    std::fs::rename(desk.directory(), &elsewhere).unwrap();
    let content = format!("{}/content", path(&made));
    for answer in [
        send(client, "", &titled("a.png", "image/png", PNG)).await,
        ask(client, "GET", &content).await,
    ] {
        let answer = answer.expect(503);
        assert_eq!(answer.problem(), "unavailable");
        answer.assert_header("Retry-After: 1");
    }
    becomes("away").await;
    assert!(!desk.directory().exists(), "nobody makes the directory anew");
    ask(client, "GET", &path(&made)).await.expect(200);
    desk.shop.book(SOON).await;
    std::fs::rename(&elsewhere, desk.directory()).unwrap();
    becomes("ready").await;
    ask(client, "GET", &content).await.expect(200);

    // A file that is lost is told from a store that is away.
    let lost = desk.files().pop().unwrap();
    std::fs::remove_file(lost).unwrap();
    assert_eq!(ask(client, "GET", &content).await.expect(410).problem(), "gone");
    ask(client, "DELETE", &path(&made)).await.expect(204);

    let without = Shop::open().await;
    without.airline.apply("070_uploads.sql");
    let answer = send(&without.client, "", &titled("a.png", "image/png", PNG)).await.expect(503);
    assert_eq!(answer.problem(), "unavailable");
    assert_eq!(without.client.get("/health/ready").await.expect(200).json()["uploads"], "off");
}

#[tokio::test]
async fn instances_share_the_store_and_remove_what_has_no_row() {
    let desk = Desk::open().await;
    let made = upload(&desk.shop.client).await;
    std::fs::create_dir_all(desk.directory().join("ab")).unwrap();
    let orphan = desk.directory().join("ab").join("ab".repeat(16));
    std::fs::write(&orphan, PNG).unwrap();
    let young = desk.directory().join("ab").join("cd".repeat(16));
    std::fs::write(&young, PNG).unwrap();
    let old = SystemTime::now() - Duration::from_secs(2 * 3600);
    for file in desk.files().into_iter().filter(|file| *file != young) {
        std::fs::File::options().write(true).open(file).unwrap().set_modified(old).unwrap();
    }
    let mut uploads = options(&desk.directory());
    // The first time soon, the next one after longer than this test waits.
    uploads.sweep_first = Duration::from_millis(100);
    let change = |options: &mut ServeOptions| options.uploads = Some(uploads);
    let second = again(&desk.shop.airline, change).await;
    wait_for_async(WAIT, "the orphan to go", async || !orphan.exists()).await;
    assert!(young.exists(), "its row may still come");
    let client = Client { address: second.address, ..desk.shop.client.clone() };
    let content = ask(&client, "GET", made["content"].as_str().unwrap()).await.expect(200);
    assert!(content.body == PNG);
    let other = upload(&client).await;
    ask(&desk.shop.client, "GET", other["content"].as_str().unwrap()).await.expect(200);
    second.stop.cancel();
}

#[tokio::test]
async fn the_page_takes_lists_and_removes_a_file_of_a_form_of_its_own() {
    let desk = Desk::open().await;
    let address = desk.shop.client.address;
    let mut browser = Browser::sign_up(address, "eve@example.org", "EVE EXAMPLE").await;
    browser.go("/uploads").await;
    browser.expect(200).shows("Nothing yet").hides("No file is taken");
    let token = browser.form("/uploads").value("token").to_owned();
    let media_type = format!("multipart/form-data; boundary={BOUNDARY}");
    let headers = [("Content-Type", media_type.as_str()), ("Sec-Fetch-Site", "same-origin")];
    let gif = b"GIF89a; a small one";
    let body = |token: &str| {
        let parts = [
            text("token", token),
            text("title", "<b>Me</b>"),
            text("kind", "photo"),
            text("description", ""),
            text("book_ref", ""),
            file("me.gif", "image/gif", gif),
        ];
        String::from_utf8(form(&parts)).unwrap()
    };
    browser.request("POST", "/uploads", &headers, Some(&body("somebody else's"))).await;
    browser.expect(403);
    let foreign = [headers[0], ("Sec-Fetch-Site", "cross-site")];
    browser.request("POST", "/uploads", &foreign, Some(&body(&token))).await;
    browser.expect(403);
    desk.assert_nothing_is_left("a form of another page").await;
    let lying = body(&token).replace("image/gif", "image/png");
    browser.request("POST", "/uploads", &headers, Some(&lying)).await;
    browser.expect(415).shows("begins as image/gif");
    browser.request("POST", "/uploads", &headers, Some(&body(&token))).await;
    browser.expect(303);
    browser.go("/uploads").await;
    browser.expect(200).shows("me.gif").shows("&#60;b&#62;Me").hides("<b>Me");
    browser.go("/").await;
    browser.shows("takes files");
    browser.go("/uploads").await;
    let remove = browser.forms().into_iter().find(|form| form.action.ends_with("/remove")).unwrap();
    let content = remove.action.replace("/remove", "/content");
    browser.request("GET", &content, &[], None).await;
    assert_eq!(browser.page.body.as_bytes(), gif);
    assert!(browser.page.headers["content-security-policy"].starts_with("sandbox"));
    browser.go("/uploads").await;
    browser.submit(&remove).await;
    browser.expect(200).shows("Nothing yet");
    desk.assert_nothing_is_left("a removed file").await;
    let stranger = Browser::open(address, "/uploads").await;
    assert!(stranger.path().starts_with("/sign-in"), "{}", stranger.path());
}
