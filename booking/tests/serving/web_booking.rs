//! Pages: from a search to a boarding pass, as a person goes, and what keeps a seat from being sold twice.

use chrono::{DateTime, Days, Utc};
use serde_json::json;

use super::browser::Browser;
use super::shop::{BACK, LATER, SOON, Shop, item_path, order};

/// The day of a flight by the clock of its airport, which is UTC.
async fn day(shop: &Shop, flight_id: i32) -> String {
    let query = "SELECT scheduled_departure FROM flights WHERE flight_id = $1";
    let row = shop.airline.client().await.query_one(query, &[&flight_id]).await.unwrap();
    row.get::<_, DateTime<Utc>>(0).date_naive().to_string()
}

/// A browser that is signed in, on the page where a flight with these seats is booked.
async fn chosen(shop: &Shop, flight_id: i32, seats: &[&str]) -> Browser {
    let email = format!("{}@example.org", devstack::unique("b").replace('_', ""));
    let mut browser = Browser::sign_up(shop.client.address, &email, "HAL EXAMPLE").await;
    browser.go(&format!("/flights/{flight_id}?passengers={}&fare=Economy", seats.len())).await;
    let names: Vec<String> = (0..seats.len()).map(|at| format!("seat/{at}")).collect();
    let typed: Vec<(&str, &str)> =
        names.iter().zip(seats).map(|(name, seat)| (name.as_str(), *seat)).collect();
    browser.send("/book", &typed).await;
    browser.expect(200);
    browser
}

#[tokio::test]
async fn a_person_searches_chooses_books_and_checks_in() {
    let shop = Shop::open().await;
    let mut browser = Browser::open(shop.client.address, "/").await;
    let day = day(&shop, SOON).await;
    let typed = [("from", "aaa"), ("to", "BBB"), ("date", &day), ("passengers", "1")];
    browser.send("/flights", &typed).await;
    browser.expect(200).shows("TT0001").shows("100 of 100 free").shows("4 of 4 free");
    let link = format!("/flights/{SOON}?fare=Economy");
    browser.shows(&link);
    browser.go(&format!("{link}&passengers=1&trip=")).await;
    browser
        .expect(200)
        .shows("aria-label=\"7C, Economy, free\"")
        .shows("26A, Business, another class");
    browser.send("/book", &[("seat/0", "7C")]).await;
    // Who is not signed in signs in first, and comes back to the booking.
    browser.expect(200).shows("<h1>Sign in</h1>").shows("href=\"/sign-up?next=%2Fbook%3F");
    browser.send("/sign-in", &[("email", "ann@example.org"), ("password", "correct horse")]).await;
    browser.expect(200).shows("<h1>Book</h1>").shows("<td>7C</td>");
    assert_eq!(browser.form("/book").value("passengers/0/name"), "ANN EXAMPLE");
    browser.send("/book", &[("passengers/0/document", "1234 567890")]).await;
    browser
        .expect(200)
        .shows("ANN EXAMPLE")
        .shows("<span class=\"seat-of-item\">7C</span>")
        .shows("Active");
    let booking = browser.path().to_owned();
    let check_in = action(&browser, "/check-in");
    browser.send(&check_in, &[]).await;
    browser.expect(200).shows("Boarding pass").shows("<dd class=\"seat-no\">7C</dd>");
    browser.go(&booking).await;
    browser.shows("/boarding-pass\">Boarding pass</a>").hides("Check in");
    browser.go("/bookings").await;
    browser.shows(&format!("href=\"{booking}\""));
    let one = "SELECT count(*) FROM boarding_passes WHERE seat_no = '7C' AND flight_id = 1";
    assert_eq!(shop.number(one).await, 1);
}

/// The action of the first form whose action ends so.
fn action(browser: &Browser, end: &str) -> String {
    let form = browser.forms().into_iter().find(|form| form.action.ends_with(end));
    form.unwrap_or_else(|| panic!("no form {end}: {}", browser.page.body)).action
}

/// The action that ends so, in the part of the page about the item with this seat.
fn action_of_seat(browser: &Browser, seat: &str, end: &str) -> String {
    let mut articles = browser.page.body.split("<article").skip(1);
    let article = articles.find(|article| article.contains(&format!(">{seat}</span>"))).unwrap();
    let actions = article.split("action=\"").skip(1).filter_map(|rest| rest.split('"').next());
    actions.into_iter().find(|action| action.ends_with(end)).unwrap().to_owned()
}

#[tokio::test]
async fn several_passengers_and_flights_are_one_booking() {
    let shop = Shop::open().await;
    let mut browser = chosen(&shop, LATER, &["3A", ""]).await;
    browser.shows("3A, any").shows("Add another flight");
    let trip = browser.form("/book").value("trip").to_owned();
    browser.go(&format!("/flights/{BACK}?fare=Business&passengers=2&trip={trip}")).await;
    browser.send("/book", &[("seat/0", "26B"), ("seat/1", "26C")]).await;
    browser.expect(200).shows("26B, 26C").shows("TT0002").shows("TT0003");
    let typed = [
        ("passengers/0/name", "ANN <b>ONE</b>"),
        ("passengers/0/document", "1234 567890"),
        ("passengers/1/name", "BEN TWO"),
        ("passengers/1/document", "1234 567891"),
        ("passengers/1/email", "ben@example.org"),
    ];
    browser.send("/book", &typed).await;
    browser.expect(200).shows("ANN &#60;b&#62;ONE").hides("<b>ONE").shows("BEN TWO");
    assert_eq!(shop.number("SELECT count(*) FROM bookings").await, 1);
    assert_eq!(shop.number("SELECT count(*) FROM ticket_flights").await, 4);
    let seats =
        "SELECT count(*) FROM service.seat_assignments WHERE seat_no IN ('3A', '26B', '26C')";
    assert_eq!(shop.number(seats).await, 3);
}

#[tokio::test]
async fn a_form_that_is_sent_twice_books_once() {
    let shop = Shop::open().await;
    let browser = chosen(&shop, SOON, &["9A"]).await;
    let form = browser.form("/book").with(&[("passengers/0/document", "1234 567890")]);
    let (mut first, mut second) = (browser.clone(), browser);
    tokio::join!(first.submit(&form), second.submit(&form));
    first.expect(200);
    second.expect(200);
    assert_eq!(first.path(), second.path());
    assert!(first.path().starts_with("/bookings/"), "{}", first.path());
    assert_eq!(shop.number("SELECT count(*) FROM bookings").await, 1);
    // The key of a booking that was made is none of another one: the person decides, and the page has a new key.
    let other = [("passengers/0/name", "SOMEBODY ELSE"), ("trip", "1:Economy:9C")];
    first.submit(&form.clone().with(&other)).await;
    first.expect(422).shows("This form has made a booking already; it is under My bookings.");
    assert_eq!(shop.number("SELECT count(*) FROM bookings").await, 1);
    let again = first.form("/book");
    assert_eq!(again.value("passengers/0/name"), "SOMEBODY ELSE");
    first.submit(&again).await;
    first.expect(200).shows("SOMEBODY ELSE");
    assert_eq!(shop.number("SELECT count(*) FROM bookings").await, 2);
}

#[tokio::test]
async fn what_is_wrong_is_told_beside_its_field_and_nothing_is_booked() {
    let shop = Shop::open().await;
    let mut browser = chosen(&shop, SOON, &["9B"]).await;
    let typed = [
        ("passengers/0/document", "x"),
        ("passengers/0/email", "\"'><script>"),
        ("passengers/0/phone", "12"),
    ];
    browser.send("/book", &typed).await;
    browser.expect(422).hides("<script>").shows("id=\"passengers/0/document-why\"");
    browser.shows("must have 3 to 20 characters").shows("must be + and 5 to 15 digits");
    let form = browser.form("/book");
    assert_eq!(form.value("passengers/0/email"), "\"'><script>");
    assert_eq!(form.value("trip"), "1:Economy:9B");
    // Somebody else takes the seat; the form is kept, and says what to do.
    shop.client.post("/api/v1/bookings", &order(SOON, "Economy", &json!("9B"))).await.expect(201);
    let typed =
        [("passengers/0/document", "1234"), ("passengers/0/email", ""), ("passengers/0/phone", "")];
    browser.send("/book", &typed).await;
    browser.expect(409).shows("the seat was given to somebody else");
    assert_eq!(browser.form("/book").value("passengers/0/document"), "1234");
    browser.go(&format!("/flights/{SOON}?passengers=1&fare=Economy")).await;
    browser.shows("aria-label=\"9B, Economy, taken\" data-state=\"taken\" disabled");
    browser.go("/book?trip=1:Economy:26A&passengers=1").await;
    browser.send("/book", &[("passengers/0/document", "1234")]).await;
    browser.expect(422).shows("The seat of passenger 1 on flight 1 of the trip is no Economy seat");
    assert_eq!(shop.number("SELECT count(*) FROM bookings").await, 1);
}

#[tokio::test]
async fn a_seat_is_changed_and_an_item_and_a_booking_are_given_back() {
    let shop = Shop::open().await;
    let mut browser = chosen(&shop, SOON, &["5A", "5B"]).await;
    let typed = [
        ("passengers/0/document", "1234"),
        ("passengers/1/document", "1235"),
        ("passengers/1/name", "BEN TWO"),
    ];
    browser.send("/book", &typed).await;
    let booking = browser.path().to_owned();
    let stale = browser.clone();
    // Tickets have random numbers, so the first item of the page is not always the first passenger's.
    let cancel = action_of_seat(&browser, "5A", "/cancel");
    browser.go(&cancel.replace("/cancel", "/seat")).await;
    browser.expect(200).shows("5A, Economy, yours").shows("5B, Economy, taken");
    let seat = action(&browser, "/seat");
    browser.send(&seat, &[("seat", "5B")]).await;
    browser.expect(409).shows("the seat was given to somebody else");
    browser.send(&seat, &[("seat", "6A")]).await;
    browser.expect(200).shows("seat-of-item\">6A</span>").hides(">5A</span>");
    // A page of before the change changes nothing.
    let mut stale = stale;
    stale.send(&cancel, &[]).await;
    stale
        .expect(412)
        .shows("changed since the page was loaded")
        .hides("If-Match")
        .shows(">6A</span>");
    assert_eq!(shop.number("SELECT count(*) FROM ticket_flights").await, 2);
    stale.send(&cancel, &[]).await;
    stale.expect(200).hides(">6A</span>").shows(">5B</span>");
    stale.send(&format!("{booking}/cancel"), &[]).await;
    stale.expect(200).shows("Cancelled").shows("was given back");
    assert_eq!(shop.number("SELECT count(*) FROM bookings").await, 0);
    assert_eq!(
        shop.number("SELECT count(*) FROM service.orders WHERE cancelled_at IS NOT NULL").await,
        1
    );
}

#[tokio::test]
async fn a_page_of_somebody_elses_booking_is_not_there() {
    let shop = Shop::open().await;
    let booking = shop.book(SOON).await;
    let place = item_path(&booking, 0).replace("/api/v1", "");
    let whole = place.split("/items").next().unwrap().to_owned();
    let mut other = Browser::sign_up(shop.client.address, "ida@example.org", "IDA").await;
    for path in [whole.clone(), format!("{place}/seat"), format!("{place}/boarding-pass")] {
        other.go(&path).await;
        other.expect(404);
    }
    let mut form = other.form("/sign-out");
    for path in ["check-in", "cancel", "seat"] {
        form.action = format!("{place}/{path}");
        other.submit(&form.clone().with(&[("key", "k"), ("state", "*"), ("seat", "1A")])).await;
        other.expect(404);
    }
    form.action = format!("{whole}/cancel");
    other.submit(&form.with(&[("key", "k"), ("state", "*")])).await;
    other.expect(404);
    assert_eq!(shop.number("SELECT count(*) FROM bookings").await, 1);
    let mut nobody = Browser::open(shop.client.address, &whole).await;
    nobody.shows("<h1>Sign in</h1>");
    nobody.request("POST", &format!("{whole}/cancel"), &[], Some("")).await;
    nobody.expect(303);
}

#[tokio::test]
async fn every_form_of_a_booking_needs_the_token_of_its_session() {
    let shop = Shop::open().await;
    let mut browser = chosen(&shop, SOON, &["8A"]).await;
    let other = Browser::sign_up(shop.client.address, "jan@example.org", "JAN").await;
    let foreign = other.form("/sign-out").value("token").to_owned();
    let book = browser.form("/book").with(&[("passengers/0/document", "1234")]);
    for token in ["", foreign.as_str()] {
        browser.submit(&book.clone().with(&[("token", token)])).await;
        browser.expect(403);
    }
    assert_eq!(shop.number("SELECT count(*) FROM bookings").await, 0);
    browser.submit(&book).await;
    browser.expect(200);
    let mut forms = browser.forms();
    let seat = forms.iter().find(|form| form.action.ends_with("/check-in")).unwrap().action.clone();
    browser.go(&seat.replace("/check-in", "/seat")).await;
    forms.extend(browser.forms());
    forms.retain(|form| form.method == "post");
    assert_eq!(forms.len(), 6, "sign out twice, check in, give back, cancel, seat");
    for form in forms {
        for token in ["", foreign.as_str()] {
            browser.submit(&form.clone().with(&[("token", token), ("seat", "1A")])).await;
            browser.expect(403);
        }
    }
    let same = "SELECT count(*) FROM service.seat_assignments WHERE seat_no = '8A'";
    assert_eq!(shop.number(same).await, 1);
    assert_eq!(shop.number("SELECT count(*) FROM boarding_passes").await, 0);
}

#[tokio::test]
async fn a_search_says_what_is_wrong_and_what_is_not_there() {
    let shop = Shop::open().await;
    let mut browser = Browser::open(shop.client.address, "/flights").await;
    browser.expect(200).shows("<option value=\"AAA\">Alpha, Alpha</option>");
    browser.send("/flights", &[("from", "A"), ("to", "ZZZ"), ("date", "soon")]).await;
    browser.expect(422).shows("id=\"from-why\"").shows("id=\"date-why\"");
    assert_eq!(browser.form("/flights").value("date"), "soon");
    let empty = (Utc::now().date_naive() + Days::new(400)).to_string();
    browser.send("/flights", &[("from", "AAA"), ("to", "BBB"), ("date", &empty)]).await;
    browser.expect(200).shows("No flight was found");
    browser.go("/flights/999999").await;
    browser.expect(404);
    browser.go("/flights/4").await;
    browser.expect(200).shows("is not sold any more");
}
