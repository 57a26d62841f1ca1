//! Pages: who is signed in, what a form needs, and what every page has.

use std::time::Duration;

use super::browser::Browser;
use super::shop::{Shop, again};

#[tokio::test]
async fn a_browser_signs_up_out_and_in_again() {
    let shop = Shop::open().await;
    let mut browser = Browser::open(shop.client.address, "/sign-up").await;
    let typed =
        [("email", "Bea@Example.org"), ("name", "BEA EXAMPLE"), ("password", "correct horse")];
    browser.send("/sign-up", &typed).await;
    browser.expect(200).shows("BEA EXAMPLE").shows("Sign out");
    let token = browser.cookies["booking_session"].clone();
    browser.send("/sign-out", &[]).await;
    browser.expect(200).hides("BEA EXAMPLE");
    assert!(!browser.cookies.contains_key("booking_session"));
    // The session has ended for the service, too, and not for the browser alone.
    browser.cookies.insert("booking_session".to_owned(), token);
    browser.go("/").await;
    browser.hides("BEA EXAMPLE");
    browser.go("/sign-in?next=/%3Fback=1").await;
    browser.send("/sign-in", &[("email", "bea@example.org"), ("password", "correct horse")]).await;
    browser.expect(200).shows("BEA EXAMPLE");
    assert_eq!(browser.path(), "/?back=1");
    let hashed = "SELECT count(*) FROM service.sessions WHERE length(token_hash) = 32";
    assert_eq!(shop.number(hashed).await, 2, "one of the interface, one of the browser");
}

#[tokio::test]
async fn a_refused_form_keeps_what_was_typed_and_says_why_beside_the_field() {
    let shop = Shop::open().await;
    let mut browser = Browser::open(shop.client.address, "/sign-up").await;
    let typed = [("email", "no address"), ("name", "\"><script>x</script>"), ("password", "short")];
    browser.send("/sign-up", &typed).await;
    browser.expect(422).shows("id=\"email-why\"").shows("id=\"password-why\"");
    browser.shows("must be an e-mail address").hides("<script>").hides("short\"");
    let form = browser.form("/sign-up");
    assert_eq!(form.value("email"), "no address");
    assert_eq!(form.value("name"), "\"><script>x</script>");
    browser
        .send(
            "/sign-up",
            &[("email", "ann@example.org"), ("name", "ANN"), ("password", "correct horse")],
        )
        .await;
    browser.expect(409).shows("sign in with this address");
    browser.go("/sign-in").await;
    browser.send("/sign-in", &[("email", "ann@example.org"), ("password", "wrong horse")]).await;
    browser.expect(401).shows("the e-mail address or the password is wrong").hides("wrong horse");
    assert!(!browser.cookies.contains_key("booking_session"));
}

#[tokio::test]
async fn a_form_without_the_token_of_its_own_session_does_nothing() {
    let shop = Shop::open().await;
    let address = shop.client.address;
    let typed = [("email", "cora@example.org"), ("name", "CORA"), ("password", "correct horse")];
    let mut browser = Browser::open(address, "/sign-up").await;
    let form = browser.form("/sign-up").with(&typed);
    browser.submit(&form.clone().with(&[("token", "")])).await;
    browser.expect(403).shows("load its page again");
    let other = Browser::open(address, "/sign-up").await;
    browser.submit(&form.clone().with(&[("token", other.form("/sign-up").value("token"))])).await;
    browser.expect(403);
    // Without its cookie a token is worth nothing.
    let mut bare = browser.clone();
    bare.cookies.clear();
    bare.submit(&form).await;
    bare.expect(403);
    assert_eq!(shop.number("SELECT count(*) FROM service.accounts").await, 1);
    browser.submit(&form).await;
    browser.expect(200).shows("CORA");
    // The token of before the sign-in is none of the session, nor is the one of another customer.
    let mut second = Browser::sign_up(address, "dora@example.org", "DORA").await;
    let sign_out = second.form("/sign-out");
    for token in [form.value("token"), browser.form("/sign-out").value("token")] {
        second.submit(&sign_out.clone().with(&[("token", token)])).await;
        second.expect(403);
    }
    second.go("/").await;
    second.shows("DORA");
}

#[tokio::test]
async fn a_form_that_another_site_sends_does_nothing() {
    let shop = Shop::open().await;
    let mut browser = Browser::sign_up(shop.client.address, "eve@example.org", "EVE").await;
    let body = format!("token={}", browser.form("/sign-out").value("token"));
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    for from in [
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
        ("Origin", "https://evil.example"),
        ("Origin", "null"),
    ] {
        browser.request("POST", "/sign-out", &[form, from], Some(&body)).await;
        browser.expect(403).shows("another site");
    }
    browser.go("/").await;
    browser.shows("EVE");
    let origin = format!("http://{}", browser.address);
    browser.request("POST", "/sign-out", &[form, ("Origin", &origin)], Some(&body)).await;
    browser.expect(303);
}

#[tokio::test]
async fn a_session_outlives_the_instance_that_began_it() {
    let shop = Shop::open_with(|options| options.instance = Some("first".to_owned())).await;
    let mut browser = Browser::sign_up(shop.client.address, "fay@example.org", "FAY").await;
    browser.shows("<strong id=\"instance\">first</strong>");
    let second = again(&shop.airline, |options| options.instance = Some("second".to_owned())).await;
    shop.stop.cancel();
    shop.running.await.unwrap();
    browser.address = second.address;
    browser.go("/").await;
    browser.expect(200).shows("FAY").shows("<strong id=\"instance\">second</strong>");
    // A page of the first instance has forms that the second one takes.
    browser.send("/sign-out", &[]).await;
    browser.expect(200).hides("FAY");
}

#[tokio::test]
async fn the_home_page_tells_who_answers_and_what_is_away() {
    let shop = Shop::open().await;
    let system = "SELECT system_identifier FROM pg_control_system()";
    let system = shop.number(system).await.to_string();
    let port = shop.airline.server.port;
    let mut browser = Browser::open(shop.client.address, "/").await;
    browser.expect(200).shows(&format!(":{port}</p>")).shows(&system).shows("takes writes");
    browser.shows("id=\"role\">primary</dd>").hides("Replica");
    let nowhere = again(&shop.airline, |options| {
        options.primary.port = 1;
        options.replica = Some(options.primary.clone());
        options.pool_wait = Duration::from_secs(1);
        options.request_time = Duration::from_secs(8);
    })
    .await;
    browser.address = nowhere.address;
    browser.go("/").await;
    browser.expect(200).shows("The database cannot be reached").shows("Replica").shows("away");
}

#[tokio::test]
async fn pages_and_their_files_have_headers_that_keep_browsers_safe() {
    let shop = Shop::open().await;
    let mut browser = Browser::open(shop.client.address, "/sign-in").await;
    for path in ["/", "/sign-in", "/sign-up", "/nothing"] {
        browser.go(path).await;
        let headers = &browser.page.headers;
        let policy = &headers["content-security-policy"];
        assert!(
            policy.starts_with("default-src 'self'; ") && !policy.contains("unsafe"),
            "{policy}"
        );
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert_eq!(headers["referrer-policy"], "same-origin");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert_eq!(headers["cache-control"], "no-store");
        for within in ["<script>", "<style", " style=", " onclick=", "http://", "https://"] {
            browser.hides(within);
        }
    }
    browser.expect(404).shows("not found");
    browser.go("/").await;
    let style = browser.page.body.split("href=\"/assets/app.css").nth(1).unwrap();
    let style = format!("/assets/app.css{}", style.split('"').next().unwrap());
    browser.go(&style).await;
    browser.expect(200);
    assert!(browser.page.headers["cache-control"].contains("immutable"));
    assert_eq!(browser.page.headers["content-type"], "text/css; charset=utf-8");
    let tag = browser.page.headers["etag"].clone();
    browser.request("GET", "/assets/app.css", &[("If-None-Match", &tag)], None).await;
    browser.expect(304);
    assert_eq!(browser.page.headers["cache-control"], "public, no-cache");
}

#[tokio::test]
async fn cookies_are_for_the_server_and_behind_tls_for_tls() {
    let shop = Shop::open_with(|options| options.behind_proxy = true).await;
    let mut browser = Browser::open(shop.client.address, "/sign-in").await;
    let cookie = &browser.page.headers["set-cookie"];
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
    assert!(!cookie.contains("Secure"), "{cookie}");
    browser.request("GET", "/sign-in", &[("X-Forwarded-Proto", "https")], None).await;
    let cookie = browser.page.headers["set-cookie"].clone();
    assert!(
        cookie.starts_with("__Host-booking_visitor=") && cookie.contains("; Secure"),
        "{cookie}"
    );
    // A cookie that a neighbouring host could have set is not read over TLS.
    let mut signed_in = Browser::sign_up(shop.client.address, "gil@example.org", "GIL").await;
    signed_in.request("GET", "/", &[("X-Forwarded-Proto", "https")], None).await;
    signed_in.hides("GIL");
}

#[tokio::test]
async fn attempts_to_sign_in_are_limited_on_pages_too() {
    let shop = Shop::open_with(|options| {
        options.sign_in_rate = 0.001;
        options.sign_in_burst = 4.0;
    })
    .await;
    // Two attempts were spent to sign up and in.
    let mut browser = Browser::open(shop.client.address, "/sign-in").await;
    let typed = [("email", "ann@example.org"), ("password", "wrong horse")];
    for status in [401, 401, 429] {
        browser.send("/sign-in", &typed).await;
        browser.expect(status);
    }
    browser.shows("this address may ask again in");
}

#[tokio::test]
async fn whoever_asks_for_a_page_gets_refusals_as_pages_and_programs_get_problems() {
    let shop = Shop::open_with(|options| {
        options.rate = 0.001;
        options.burst = 4.0;
    })
    .await;
    let program = shop.stranger().get("/nothing").await.expect(404);
    assert_eq!(program.problem(), "not-found");
    let mut browser = Browser::open(shop.client.address, "/nothing").await;
    browser.expect(404).shows("there is no such path");
    browser.go("/").await;
    browser.expect(429).shows("too many requests");
    assert!(browser.page.headers.contains_key("retry-after"));
}
