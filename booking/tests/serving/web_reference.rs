//! Pages: reference data, which everybody sees and staff edits.

use booking::staff::{StaffError, grant, revoke};

use super::browser::Browser;
use super::shop::Shop;

const AIRPORT: &str = "/reference/airports/AAA";

/// A browser of an account that may edit.
pub(super) async fn staff(shop: &Shop, email: &str) -> Browser {
    let browser = Browser::sign_up(shop.client.address, email, "STAFF").await;
    grant(&shop.airline.database(), email).await.unwrap();
    browser
}

async fn city(shop: &Shop) -> String {
    let client = shop.airline.client().await;
    let query = "SELECT city FROM airports WHERE airport_code = 'AAA'";
    client.query_one(query, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn everybody_sees_reference_data_and_only_staff_changes_it() {
    let shop = Shop::open().await;
    let mut browser = Browser::open(shop.client.address, "/reference").await;
    browser
        .expect(200)
        .shows("Test Plane")
        .shows("<td>Gamma</td>")
        .shows("class=\"number\">104</td>");
    browser.go("/reference/aircraft/TST").await;
    browser.expect(200).shows("26A 26B 26C 26D").hides("Save");
    let mut editor = staff(&shop, "kim@example.org").await;
    editor.go(AIRPORT).await;
    let form = editor.form(AIRPORT).with(&[("city", "Alphaville")]);
    // A customer with the form of staff and a token of their own is refused.
    let mut customer = Browser::sign_up(shop.client.address, "lou@example.org", "LOU").await;
    customer.go(AIRPORT).await;
    customer.expect(200).hides("Save");
    let token = customer.form("/sign-out").value("token").to_owned();
    customer.submit(&form.clone().with(&[("token", &token)])).await;
    customer.expect(403).shows("only staff edits reference data");
    customer.submit(&form).await;
    customer.expect(403);
    browser.submit(&form).await;
    browser.shows("<h1>Sign in</h1>");
    assert_eq!(city(&shop).await, "Alpha");
    editor.submit(&form).await;
    editor.expect(200).shows("<dd>Alphaville</dd>");
    assert_eq!(city(&shop).await, "Alphaville");
    editor.go("/reference/aircraft/TST").await;
    editor.send("/reference/aircraft/TST", &[("range", "4321")]).await;
    editor.expect(200).shows("4321 km");
    // Who is no longer staff edits no longer, whatever page is still open.
    assert!(revoke(&shop.airline.database(), "kim@example.org").await.unwrap());
    editor.send("/reference/aircraft/TST", &[("range", "1")]).await;
    editor.expect(403);
    assert_eq!(shop.number("SELECT range::bigint FROM aircrafts").await, 4321);
    let nobody = grant(&shop.airline.database(), "nobody@example.org").await;
    assert!(matches!(nobody, Err(StaffError::NoAccount)), "{nobody:?}");
}

#[tokio::test]
async fn of_two_editors_the_second_sees_what_the_first_wrote() {
    let shop = Shop::open().await;
    let mut first = staff(&shop, "kim@example.org").await;
    first.go(AIRPORT).await;
    let mut second = staff(&shop, "max@example.org").await;
    second.go(AIRPORT).await;
    first.send(AIRPORT, &[("city", "Firsttown")]).await;
    first.expect(200);
    second.send(AIRPORT, &[("city", "Secondtown"), ("airport_name", "New name")]).await;
    second.expect(412).shows("changed since the page was loaded").shows("<dd>Firsttown</dd>");
    assert_eq!(second.form(AIRPORT).value("city"), "Secondtown");
    assert_eq!(city(&shop).await, "Firsttown");
    // Having seen it, the second one decides anew.
    second.send(AIRPORT, &[]).await;
    second.expect(200).shows("<dd>Secondtown</dd>");
    // The airline itself counts, too.
    let client = shop.airline.client().await;
    client.batch_execute("UPDATE airports SET latitude = 1").await.unwrap();
    second.send(AIRPORT, &[("latitude", "2")]).await;
    second.expect(412);
}

#[tokio::test]
async fn what_is_wrong_with_reference_data_is_told_and_shown_as_text() {
    let shop = Shop::open().await;
    let mut editor = staff(&shop, "kim@example.org").await;
    editor.go(AIRPORT).await;
    let typed = [("longitude", "181"), ("latitude", "NaN"), ("city", ""), ("timezone", "UTC")];
    editor.send(AIRPORT, &typed).await;
    editor
        .expect(422)
        .shows("id=\"longitude-why\"")
        .shows("id=\"latitude-why\"")
        .shows("id=\"city-why\"");
    let typed = [("longitude", "1.5"), ("latitude", "2"), ("city", "A"), ("timezone", "Mars/Base")];
    editor.send(AIRPORT, &typed).await;
    editor.expect(422).shows("must be an IANA time zone");
    let name = "<script>alert(1)</script>\"'&";
    editor.send(AIRPORT, &[("timezone", "Europe/Moscow"), ("airport_name", name)]).await;
    editor.expect(200);
    for path in [AIRPORT, "/reference", "/flights", "/"] {
        editor.go(path).await;
        editor
            .expect(200)
            .hides("<script>alert")
            .shows("&#60;script&#62;alert(1)&#60;/script&#62;&#34;&#39;&#38;");
    }
    editor.go("/reference/airports/XYZ").await;
    editor.expect(404);
}
