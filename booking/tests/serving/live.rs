//! The chat and the departures board: who may, what comes, and how connections end.

use std::time::Duration;

use devstack::wait_for_async;
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};

use super::chatter::{Came, Part, Wire, chat_path, talk};
use super::fleet::metric;
use super::shop::{LATER, NONE, SOON, Shop, sign_up};

/// How long something may take that happens by itself.
const WAIT: Duration = Duration::from_secs(60);

async fn enter(shop: &Shop, after: Option<i64>) -> Wire {
    let token = shop.client.token.as_deref().unwrap();
    let mut wire = Wire::chat(shop.client.address, token, SOON, after).await.unwrap();
    assert_eq!(wire.expect("welcome").await["customer_id"], shop.customer_id);
    wire
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_says_all_read_and_who_comes_back_reads_what_is_new() {
    let shop = Shop::open().await;
    let (mut ann, mut other) = (enter(&shop, None).await, enter(&shop, None).await);
    for wire in [&mut ann, &mut other] {
        assert_eq!(wire.expect("caught_up").await["last"], 0);
    }
    ann.say("one", "Is there a delay?\nI am late.").await.unwrap();
    let stored = ann.expect("stored").await;
    let message = other.expect("message").await;
    assert_eq!(message["id"], stored["id"]);
    assert_eq!(message["text"], "Is there a delay?\nI am late.");
    assert_eq!(message["name"], "ANN E.", "strangers do not see the whole name");
    // The same key again: the same message, and nobody hears it twice.
    ann.say("one", "Is there a delay?\nI am late.").await.unwrap();
    assert_eq!(ann.expect("stored").await["id"], stored["id"]);
    ann.say("one", "something else").await.unwrap();
    assert_eq!(ann.expect("refused").await["reason"], "the key is another message's");
    ann.say("two", "two").await.unwrap();
    assert_eq!(other.expect("message").await["text"], "two");
    let mut back = enter(&shop, stored["id"].as_i64()).await;
    let Came::Text(first) = back.next().await else { panic!("it is closed") };
    assert_eq!(first["text"], "two", "only what is new");
    back.expect("caught_up").await;
    // Whoever names a message that is not there has seen what there is.
    let mut ahead = enter(&shop, Some(i64::MAX)).await;
    ahead.expect("caught_up").await;
    ann.say("three", "three").await.unwrap();
    assert_eq!(ahead.expect("message").await["text"], "three");
    assert_eq!(shop.number("SELECT count(*) FROM service.messages").await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_talk_at_once_all_read_everything_once_and_in_order() {
    let shop = Shop::open_with(|options| options.chat_rate = 0.0).await;
    let mut guests = tokio::task::JoinSet::new();
    for guest in 0..8 {
        let token = shop.client.token.clone().unwrap();
        guests.spawn(talk(
            shop.client.address,
            token,
            Part { name: format!("g{guest}"), own: 30, all: 240 },
        ));
    }
    let all = guests.join_all().await;
    for seen in &all {
        assert_eq!((seen.messages.len(), seen.returns), (240, 0));
        assert_eq!(seen.messages, all[0].messages);
    }
    assert_eq!(shop.number("SELECT count(*) FROM service.messages").await, 240);
}

#[tokio::test]
async fn a_message_that_nobody_rang_for_is_found() {
    let shop = Shop::open().await;
    let mut ann = enter(&shop, None).await;
    ann.expect("caught_up").await;
    let statement = format!(
        "INSERT INTO service.messages (flight_id, account_id, body)
         VALUES ({SOON}, {}, 'from elsewhere')",
        shop.customer_id
    );
    shop.airline.client().await.batch_execute(&statement).await.unwrap();
    assert_eq!(ann.expect("message").await["text"], "from elsewhere");
}

#[tokio::test]
async fn only_who_is_signed_in_comes_in_and_only_as_long_as_that_lasts() {
    let shop = Shop::open().await;
    let address = shop.client.address;
    let token = shop.client.token.clone().unwrap();
    let mut stranger = Wire::chat(address, "no token", SOON, None).await.unwrap();
    assert_eq!(stranger.closed().await, Some(4401));
    let open = async |path: &str, headers: &[(&'static str, &str)]| {
        let stream = TcpStream::connect(address).await.unwrap();
        Wire::open(stream, path, headers).await
    };
    let hello = json!({"type": "hello"});
    let mut nobody = open(&chat_path(SOON), &[]).await.unwrap();
    nobody.send(&hello).await.unwrap();
    assert_eq!(nobody.closed().await, Some(4401));
    let bearer = format!("Bearer {token}");
    let cookie = format!("a=b; booking_session={token}");
    for header in [("authorization", bearer.as_str()), ("cookie", &cookie)] {
        let mut known = open(&chat_path(SOON), &[header]).await.unwrap();
        known.send(&hello).await.unwrap();
        assert_eq!(known.expect("welcome").await["customer_id"], shop.customer_id);
    }
    let mut rude = open(&chat_path(SOON), &[]).await.unwrap();
    rude.say("key", "no hello").await.unwrap();
    assert_eq!(rude.closed().await, Some(1008));
    assert_eq!(open(&chat_path(NONE), &[]).await.unwrap_err(), Some(404));
    let mut ann = enter(&shop, None).await;
    ann.expect("caught_up").await;
    shop.airline.client().await.batch_execute("DELETE FROM service.sessions").await.unwrap();
    ann.say("late", "I have signed out").await.unwrap();
    assert_eq!(ann.closed().await, Some(4401));
    assert_eq!(shop.number("SELECT count(*) FROM service.messages").await, 0);
}

#[tokio::test]
async fn a_page_of_another_site_gets_no_connection() {
    let shop = Shop::open_with(|options| {
        options.allowed_origins = vec!["https://partner.example".to_owned()];
    })
    .await;
    let address = shop.client.address;
    let own = format!("http://{address}");
    let cookie = format!("booking_session={}", shop.client.token.as_ref().unwrap());
    let open = async |path: &str, origin: &str| {
        let stream = TcpStream::connect(address).await.unwrap();
        Wire::open(stream, path, &[("origin", origin), ("cookie", &cookie)]).await.err()
    };
    for path in [chat_path(SOON), "/live/departures?airport=AAA".to_owned()] {
        assert_eq!(open(&path, "https://evil.example").await, Some(Some(403)));
        assert_eq!(open(&path, &own).await, None);
        assert_eq!(open(&path, "https://partner.example").await, None);
    }
}

#[tokio::test]
async fn who_says_too_much_or_too_long_is_refused() {
    let shop = Shop::open_with(|options| {
        options.chat_rate = 0.01;
        options.chat_burst = 2.0;
    })
    .await;
    let mut ann = enter(&shop, None).await;
    for (key, text, reason) in [
        ("key", "", "characters"),
        ("key", "\u{7}", "control"),
        ("", "text", "key"),
        ("two words", "text", "key"),
    ] {
        ann.say(key, text).await.unwrap();
        let refusal = ann.expect("refused").await;
        assert!(refusal["reason"].as_str().unwrap().contains(reason), "{refusal}");
    }
    let long = "ж".repeat(2000);
    ann.say("long", &long).await.unwrap();
    ann.expect("stored").await;
    ann.say("longer", &format!("{long}ж")).await.unwrap();
    ann.expect("refused").await;
    ann.say("last", "of two").await.unwrap();
    ann.expect("stored").await;
    ann.say("more", "than two").await.unwrap();
    let refusal = ann.expect("refused").await;
    assert!(refusal["retry_after_s"].as_u64().unwrap() > 10, "{refusal}");
    // Another customer has a limit of their own.
    let (bob, _) = sign_up(shop.client.address, "bob@example.org").await;
    let token = bob.token.unwrap();
    let mut bob = Wire::chat(shop.client.address, &token, SOON, None).await.unwrap();
    bob.say("one", "hello").await.unwrap();
    bob.expect("stored").await;
    bob.say("huge", &"x".repeat(100_000)).await.unwrap();
    assert_eq!(bob.closed().await, Some(1008));
}

#[tokio::test]
async fn connections_are_bounded_for_each_and_for_all() {
    let shop = Shop::open_with(|options| {
        options.live_connections_max = 3;
        options.live_connections_each_max = 2;
    })
    .await;
    let mut kept = vec![enter(&shop, None).await, enter(&shop, None).await];
    let token = shop.client.token.as_deref().unwrap();
    let mut third = Wire::chat(shop.client.address, token, SOON, None).await.unwrap();
    assert_eq!(third.closed().await, Some(4429));
    drop(third);
    let board = async || {
        let stream = TcpStream::connect(shop.client.address).await.unwrap();
        Wire::open(stream, "/live/departures?airport=AAA", &[]).await
    };
    // The place of the third is free once the instance has noticed.
    let board_of_all = wait_for_async(WAIT, "a free place", async || board().await.ok()).await;
    assert_eq!(board().await.unwrap_err(), Some(503));
    drop((board_of_all, kept.pop()));
    wait_for_async(WAIT, "a free place", async || board().await.ok()).await;
}

#[tokio::test]
async fn strangers_of_one_address_leave_places_for_others() {
    let shop = Shop::open_with(|options| {
        options.live_connections_each_max = 2;
        options.behind_proxy = true;
    })
    .await;
    let open = async |from: &str| {
        let stream = TcpStream::connect(shop.client.address).await.unwrap();
        Wire::open(stream, &chat_path(SOON), &[("x-forwarded-for", from)]).await
    };
    // They say nothing.
    let mut quiet = [open("2001:db8::1").await.unwrap(), open("2001:db8::2").await.unwrap()];
    assert_eq!(open("2001:db8::3").await.unwrap_err(), Some(503), "one network is one client");
    open("192.0.2.1").await.unwrap();
    // Whoever says who they are counts as a customer.
    let hello = json!({"type": "hello", "token": shop.client.token});
    quiet[0].send(&hello).await.unwrap();
    quiet[0].expect("welcome").await;
    let next = open("2001:db8::3").await.unwrap();
    assert_eq!(open("2001:db8::4").await.unwrap_err(), Some(503));
    drop(next);
    wait_for_async(WAIT, "a free place", async || open("2001:db8::4").await.ok()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_after_a_failover_that_lost_messages_is_let_in() {
    let shop = Shop::open().await;
    let mut ann = enter(&shop, None).await;
    ann.say("kept", "kept").await.unwrap();
    let kept = ann.expect("stored").await["id"].clone();
    ann.say("lost", "lost").await.unwrap();
    let lost = ann.expect("message").await;
    let lost = if lost["text"] == "lost" { lost } else { ann.expect("message").await };
    assert_eq!(lost["text"], "lost");
    // What the new primary never had.
    let lose = format!("DELETE FROM service.messages WHERE message_id > {kept}");
    shop.airline.client().await.batch_execute(&lose).await.unwrap();
    let mut bob = enter(&shop, None).await;
    assert_eq!(bob.closed().await, Some(1013));
    assert_eq!(ann.closed().await, Some(1013), "all who follow the chat come again");
    let mut bob = enter(&shop, None).await;
    let mut ann = enter(&shop, lost["id"].as_i64()).await;
    for wire in [&mut ann, &mut bob] {
        assert_eq!(wire.expect("caught_up").await["last"], kept);
    }
    ann.say("new", "new").await.unwrap();
    assert_eq!(bob.expect("message").await["text"], "new");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_takes_nothing_is_dropped_and_disturbs_nobody() {
    let shop = Shop::open().await;
    let token = shop.client.token.clone().unwrap();
    // A small window, so that what the client does not read fills it soon.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let stream = socket.connect(shop.client.address).await.unwrap();
    let mut slow = Wire::open(stream, &chat_path(SOON), &[]).await.unwrap();
    slow.send(&json!({"type": "hello", "token": token})).await.unwrap();
    slow.expect("caught_up").await;
    let quick = tokio::spawn(talk(
        shop.client.address,
        token,
        Part { name: "quick".to_owned(), own: 0, all: 2000 },
    ));
    let flood = format!(
        "INSERT INTO service.messages (flight_id, account_id, body)
         SELECT {SOON}, {}, repeat('ж', 2000) FROM generate_series(1, 2000)",
        shop.customer_id
    );
    shop.airline.client().await.batch_execute(&flood).await.unwrap();
    let line = "booking_live_closed_total{reason=\"too-slow\"}";
    let client = shop.stranger();
    wait_for_async(WAIT, "the end of the slow client", async || metric(&client, line).await >= 1.0)
        .await;
    assert_eq!(quick.await.unwrap().messages.len(), 2000);
    // What was on the way may still be read, and then there is nothing.
    slow.closed().await;
    let open = "booking_live_connections{kind=\"chat\"}";
    wait_for_async(WAIT, "all to be gone", async || metric(&client, open).await == 0.0).await;
}

#[tokio::test]
async fn an_instance_that_ends_sends_its_clients_elsewhere() {
    let shop = Shop::open().await;
    let mut ann = enter(&shop, None).await;
    ann.expect("caught_up").await;
    let stream = TcpStream::connect(shop.client.address).await.unwrap();
    let mut board = Wire::open(stream, "/live/departures?airport=AAA", &[]).await.unwrap();
    board.expect("board").await;
    shop.stop.cancel();
    assert_eq!(ann.closed().await, Some(1001));
    assert_eq!(board.closed().await, Some(1001));
    tokio::time::timeout(Duration::from_secs(5), shop.running).await.unwrap().unwrap();
}

fn line(board: &Value, flight_id: i32) -> Option<Value> {
    let departures = board["departures"].as_array().unwrap();
    departures.iter().find(|line| line["flight_id"] == flight_id).cloned()
}

#[tokio::test]
async fn the_board_shows_what_departs_and_what_the_airline_changes() {
    let shop = Shop::open().await;
    let open = async |query: &str| {
        let stream = TcpStream::connect(shop.client.address).await.unwrap();
        Wire::open(stream, &format!("/live/departures{query}"), &[]).await
    };
    assert_eq!(open("?airport=nowhere").await.unwrap_err(), Some(422));
    assert_eq!(open("").await.unwrap_err(), Some(422));
    let mut board = open("?airport=AAA").await.unwrap();
    let first = board.expect("board").await;
    let ids: Vec<_> = first["departures"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line["flight_id"].clone())
        .collect();
    assert_eq!(ids, [1, 5, 2], "by time, without the one that has left: {first}");
    assert_eq!(line(&first, SOON).unwrap()["status"], "Scheduled");
    let airline = shop.airline.client().await;
    let delay = format!(
        "UPDATE flights
         SET status = 'Delayed', scheduled_departure = scheduled_departure + interval '1 hour',
             scheduled_arrival = scheduled_arrival + interval '1 hour'
         WHERE flight_id = {LATER}"
    );
    airline.batch_execute(&delay).await.unwrap();
    let second = board.expect("board").await;
    assert_eq!(line(&second, LATER).unwrap()["status"], "Delayed", "{second}");
    let mut other = open("?airport=ZZZ").await.unwrap();
    assert_eq!(other.expect("board").await["departures"], json!([]));
    board.say("key", "hello").await.unwrap();
    assert_eq!(board.closed().await, Some(1008));
}
