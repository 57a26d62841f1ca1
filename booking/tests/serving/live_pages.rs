//! The pages of the departures board and of a flight's chat, as a browser without scripts shows them.

use super::browser::Browser;
use super::chatter::Wire;
use super::shop::{NONE, SOON, Shop};

#[tokio::test]
async fn the_chat_works_by_its_form_and_reaches_those_who_listen() {
    let shop = Shop::open_with(|options| {
        options.chat_rate = 0.01;
        options.chat_burst = 2.0;
    })
    .await;
    let address = shop.client.address;
    let chat = format!("/flights/{SOON}/chat");
    let token = shop.client.token.as_deref().unwrap();
    let mut listener = Wire::chat(address, token, SOON, None).await.unwrap();
    listener.expect("caught_up").await;
    let stranger = Browser::open(address, &chat).await;
    stranger.expect(200).shows("<h1>Sign in</h1>");
    let mut browser = Browser::sign_up(address, "kim@example.org", "KIM EXAMPLE").await;
    browser.go(&format!("/flights/{SOON}")).await;
    browser.shows(&format!("href=\"{chat}\""));
    browser.go(&chat).await;
    browser.expect(200).shows("Chat of flight TT0001");
    let text = "<script>alert(1)</script> & so on";
    browser.send(&chat, &[("text", text)]).await;
    browser.expect(200).shows("KIM E.").shows("&#60;script&#62;").hides("<script>alert");
    assert_eq!(listener.expect("message").await["text"], text);
    browser.send(&chat, &[("text", "  ")]).await;
    browser.expect(422).shows("must have 1 to 2000 characters");
    // The same form twice: the message is stored once.
    browser.go(&chat).await;
    let form = browser.form(&chat).with(&[("text", "once")]);
    for _ in 0..2 {
        browser.submit(&form).await;
    }
    assert_eq!(listener.expect("message").await["text"], "once");
    assert_eq!(shop.number("SELECT count(*) FROM service.messages").await, 2);
    browser.expect(429);
    browser.go(&format!("/flights/{NONE}/chat")).await;
    browser.expect(404);
}

#[tokio::test]
async fn the_board_is_a_page_also_without_its_script() {
    let shop = Shop::open().await;
    let mut browser = Browser::open(shop.client.address, "/departures").await;
    browser.expect(200).hides("id=\"board\"");
    browser.send("/departures", &[("airport", "A1")]).await;
    browser.expect(422).shows("airport");
    browser.send("/departures", &[("airport", "AAA")]).await;
    browser.expect(200).shows("Departures of AAA").shows("TT0005").shows("Beta (BBB)");
    browser.hides("TT0004").shows("live.js");
    browser.go("/assets/live.js").await;
    browser.expect(200).shows("/live/departures");
}
