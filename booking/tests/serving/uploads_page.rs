//! The page of files: what a refused form keeps, a form that is sent twice, and more files than a page holds.

use super::browser::Browser;
use super::uploads::{BOUNDARY, Desk, file, form, send, text};

const GIF: &[u8] = b"GIF89a; a small one";

/// Sends the form of the page with these fields in place of its own, as a browser does.
async fn post(browser: &mut Browser, typed: &[(&str, &str)], content: &[u8], media_type: &str) {
    let fields = browser.form("/uploads").with(typed).fields;
    let texts = fields.iter().filter(|(name, _)| name != "file");
    let mut parts: Vec<_> = texts.map(|(name, value)| text(name, value)).collect();
    parts.push(file("me.gif", media_type, content));
    let body = String::from_utf8(form(&parts)).unwrap();
    let media_type = format!("multipart/form-data; boundary={BOUNDARY}");
    let headers = [("Content-Type", media_type.as_str()), ("Sec-Fetch-Site", "same-origin")];
    browser.request("POST", "/uploads", &headers, Some(&body)).await;
}

#[tokio::test]
async fn a_refused_form_keeps_what_was_typed_and_says_everything_that_is_wrong() {
    let desk = Desk::open_with(|options| options.file_bytes_max = 1000).await;
    let address = desk.shop.client.address;
    let mut browser = Browser::sign_up(address, "eve@example.org", "EVE EXAMPLE").await;
    browser.go("/uploads").await;
    let typed = [("title", "<b>Me</b>"), ("kind", "photo")];
    post(&mut browser, &typed, GIF, "image/png").await;
    browser.expect(415).shows("begins as image/gif");
    let kept = browser.form("/uploads");
    assert_eq!((kept.value("title"), kept.value("kind")), ("<b>Me</b>", "photo"));
    // Its length is known before the first byte of the form comes.
    post(&mut browser, &typed, &[GIF, &[b' '; 100_000]].concat(), "image/gif").await;
    browser.expect(413).shows("at most 1000 bytes");
    assert_eq!(browser.form("/uploads").value("title"), "<b>Me</b>");
    post(&mut browser, &[("title", "Me"), ("kind", "novel")], GIF, "image/gif").await;
    browser.expect(422).shows("<p class=\"why\">must be one of passport");
    post(&mut browser, &[("color", "red")], GIF, "image/gif").await;
    browser.expect(422).shows("The form has a field that is not known here");
    assert_eq!(desk.rows().await, 0);
}

#[tokio::test]
async fn a_form_that_is_sent_twice_stores_once() {
    let desk = Desk::open().await;
    let address = desk.shop.client.address;
    let mut browser = Browser::sign_up(address, "eve@example.org", "EVE EXAMPLE").await;
    browser.go("/uploads?key=chosen-elsewhere").await;
    let typed = [("title", "Me"), ("kind", "photo")];
    let (mut first, mut second) = (browser.clone(), browser.clone());
    tokio::join!(
        post(&mut first, &typed, GIF, "image/gif"),
        post(&mut second, &typed, GIF, "image/gif")
    );
    first.expect(303);
    second.expect(303);
    assert_eq!(desk.rows().await, 1);
    let key = browser.form("/uploads").value("key").to_owned();
    assert_ne!(key, "chosen-elsewhere");
    // Another file in the same form is the person's to decide.
    post(&mut browser, &typed, b"GIF89a; another one", "image/gif").await;
    browser.expect(422).shows("This form has stored a file already; it is in the list below.");
    assert_eq!(desk.rows().await, 1);
    post(&mut browser, &typed, b"GIF89a; another one", "image/gif").await;
    browser.expect(303);
    assert_eq!(desk.rows().await, 2);
}

#[tokio::test]
async fn a_customer_has_so_many_files_and_the_page_leads_to_all() {
    let desk = Desk::open().await;
    let (client, address) = (&desk.shop.client, desk.shop.client.address);
    let many = "
        INSERT INTO service.uploads (account_id, kind, title, original_name, media_type, byte_count, sha256,
                                     object_key, uploaded_at)
        SELECT account_id, 'other', 'File number ' || n, 'a.gif', 'image/gif', 1, sha256(''), 'none/' || n,
               now() - make_interval(mins => n)
        FROM service.accounts, generate_series(1, 499) AS n";
    desk.shop.airline.client().await.batch_execute(many).await.unwrap();
    let body = form(&[text("title", "The last one"), file("a.gif", "image/gif", GIF)]);
    send(client, "", &body).await.expect(201);
    let refusal = send(client, "", &body).await.expect(409).json();
    assert_eq!(refusal["detail"], "you may have 500 files: remove one before you add another");
    let mut browser = Browser::open(address, "/sign-in").await;
    browser.send("/sign-in", &[("email", "ann@example.org"), ("password", "correct horse")]).await;
    browser.go("/uploads").await;
    browser.expect(200).shows("The last one").shows(">File number 99<").hides(">File number 100<");
    for number in [100, 200, 300, 400] {
        let link = browser.page.body.split("href=\"/uploads?cursor=").nth(1).unwrap();
        let link = format!("/uploads?cursor={}", link.split('"').next().unwrap());
        browser.go(&link).await;
        browser.expect(200).shows(&format!(">File number {number}<"));
    }
    browser.shows(">File number 499<").hides("Earlier files");
    assert_eq!(desk.rows().await, 500);
}
