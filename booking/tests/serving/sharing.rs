//! What several instances share: sessions, chats, seats, and what searches have found.

use std::collections::BTreeMap;
use std::time::Duration;

use devstack::{CompanionOptions, Postgres, PostgresOptions, Redis, StopMode, wait_for_async};
use serde_json::json;
use tokio::task::JoinSet;

use booking::serve::{RedisTarget, ServeOptions};

use super::chatter::{Part, Wire, talk};
use super::client::Client;
use super::fleet::{Around, Fleet, metric};
use super::shop::{SOON, Shop, order, path, second};

/// How long something may take that happens by itself.
const WAIT: Duration = Duration::from_secs(60);
/// How long a command to Redis may take where hits are counted: a slow machine must not look like a Redis that is away.
const PATIENT: Duration = Duration::from_secs(10);
/// How long a version of route and day is remembered.
const VERSION_TIME: Duration = Duration::from_secs(60);

fn redis() -> Redis {
    Redis::start(&CompanionOptions::default(), "secret").unwrap()
}

/// Two instances in this process, which share a database and perhaps Redis.
async fn two(redis: Option<&Redis>) -> (Shop, Client) {
    two_with(redis, |_| ()).await
}

/// The same with other settings.
async fn two_with(redis: Option<&Redis>, change: impl Fn(&mut ServeOptions)) -> (Shop, Client) {
    let target = redis.map(|redis| RedisTarget::parse(&redis.url()).unwrap());
    let set = |options: &mut ServeOptions| {
        options.redis.clone_from(&target);
        options.chat_rate = 0.0;
        change(options);
    };
    let shop = Shop::open_with(set).await;
    let other = second(&shop, set).await;
    if redis.is_some() {
        for client in [&shop.client, &other] {
            redis_is(client, "up").await;
        }
    }
    (shop, other)
}

async fn redis_is(client: &Client, state: &str) {
    wait_for_async(WAIT, &format!("redis to be {state}"), async || {
        client.get("/health/ready").await.expect(200).json()["redis"] == state
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_an_instance_loses_no_message_and_no_session() {
    let mut fleet = Fleet::open(3, Around { redis: true, pooler: false }).await;
    let token = fleet.client.token.clone().unwrap();
    let mut guests = JoinSet::new();
    for guest in 0..6 {
        let (address, token) = (fleet.proxy.address(), token.clone());
        guests.spawn(talk(address, token, Part { name: format!("g{guest}"), own: 300, all: 1800 }));
    }
    let open = "booking_live_connections{kind=\"chat\"}";
    wait_for_async(WAIT, "guests at every instance", async || {
        let mut counts = Vec::new();
        for instance in 0..3 {
            counts.push(fleet.metric(instance, open).await);
        }
        counts.iter().all(|count| *count >= 1.0)
    })
    .await;
    let stored = "SELECT count(*) FROM service.messages";
    wait_for_async(WAIT, "the first messages", async || fleet.airline.number(stored).await >= 50)
        .await;
    fleet.instances[1].kill9();
    let at = fleet.airline.number(stored).await;
    let all = guests.join_all().await;
    assert!(at < 1800, "the instance died in the middle: {at} of 1800");
    let rows = fleet
        .airline
        .client()
        .await
        .query("SELECT message_id, body FROM service.messages ORDER BY message_id", &[])
        .await
        .unwrap();
    let truth: Vec<(i64, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(truth.len(), 1800, "each message is stored once");
    for seen in &all {
        assert_eq!(seen.messages, truth, "each came once, and in order");
    }
    let returns: usize = all.iter().map(|seen| seen.returns).sum();
    assert!(returns >= 1, "those of the dead instance came back");
    println!("killed at {at} of 1800 messages; {returns} came back");
    // The session that began before is known to the others.
    for _ in 0..6 {
        fleet.client.get("/api/v1/bookings").await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_instances_talk_without_redis() {
    let (shop, other) = two(None).await;
    let token = shop.client.token.clone().unwrap();
    let mut guests = JoinSet::new();
    for (guest, address) in [shop.client.address, other.address].into_iter().enumerate() {
        guests.spawn(talk(
            address,
            token.clone(),
            Part { name: format!("g{guest}"), own: 10, all: 20 },
        ));
    }
    let all = guests.join_all().await;
    assert_eq!(all[0].messages, all[1].messages);
    assert_eq!(all[0].messages.len(), 20);
    assert_eq!(other.get("/health/ready").await.json()["redis"], "none");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_may_go_and_come_back_in_the_middle_of_a_chat() {
    let mut redis = redis();
    let (shop, other) = two(Some(&redis)).await;
    let token = shop.client.token.clone().unwrap();
    let (mut ann, mut bob) = (
        Wire::chat(shop.client.address, &token, SOON, None).await.unwrap(),
        Wire::chat(other.address, &token, SOON, None).await.unwrap(),
    );
    ann.expect("caught_up").await;
    bob.expect("caught_up").await;
    let mut last = 0;
    for round in ["up", "away", "up again"] {
        match round {
            "away" => {
                redis.kill9();
                redis_is(&other, "away").await;
            }
            "up again" => {
                redis.start_again().unwrap();
                redis_is(&other, "up").await;
                redis_is(&shop.client, "up").await;
            }
            _ => {}
        }
        for number in 0..5 {
            let text = format!("{round} {number}");
            ann.say(&text.replace(' ', "-"), &text).await.unwrap();
            let message = bob.expect("message").await;
            assert_eq!(message["text"], text, "none is lost, none comes before another");
            assert!(message["id"].as_i64().unwrap() > last);
            last = message["id"].as_i64().unwrap();
            // Whoever says it hears it, too.
            assert_eq!(ann.expect("message").await["id"], last);
        }
        let up = if round == "away" { 0.0 } else { 1.0 };
        assert!((metric(&other, "booking_redis_up").await - up).abs() < 0.1, "{round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_that_hangs_is_noticed_and_the_database_answers() {
    let redis = redis();
    let (shop, other) = two(Some(&redis)).await;
    let frozen = redis.freeze().unwrap();
    wait_for_async(WAIT, "a frozen redis", async || frozen.is_frozen()).await;
    shop.book(SOON).await;
    assert_eq!(free_seats(&other).await, 99);
    assert!(searches(&other, "away").await >= 1.0, "the search did not wait for Redis");
    redis_is(&other, "away").await;
    drop(frozen);
    redis_is(&other, "up").await;
}

/// The search of the day on which `SOON` departs.
async fn search(client: &Client) -> serde_json::Value {
    let flight = client.get(&format!("/api/v1/flights/{SOON}")).await.expect(200).json();
    let day = &flight["scheduled_departure"].as_str().unwrap()[..10];
    client.get(&format!("/api/v1/flights?from=AAA&to=BBB&date={day}")).await.expect(200).json()
}

/// Free seats in Economy of `SOON`, as a search shows them.
async fn free_seats(client: &Client) -> i64 {
    let page = search(client).await;
    let flights = page["flights"].as_array().unwrap();
    let soon = flights.iter().find(|flight| flight["flight_id"] == SOON).unwrap();
    let offers = soon["offers"].as_array().unwrap();
    let economy = offers.iter().find(|offer| offer["fare"] == "Economy").unwrap();
    economy["free_seats"].as_i64().unwrap()
}

async fn searches(client: &Client, outcome: &str) -> f64 {
    metric(client, &format!("booking_searches_cached_total{{outcome=\"{outcome}\"}}")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seat_sold_by_one_instance_is_sold_in_a_search_of_another_at_once() {
    let redis = redis();
    // Only a new version ends an entry within this time.
    let (shop, other) = two_with(Some(&redis), |options| {
        options.redis_time = PATIENT;
        options.search_time = Duration::from_secs(600);
    })
    .await;
    for sold in 1..=20 {
        assert_eq!(free_seats(&shop.client).await, 101 - sold);
        assert_eq!(free_seats(&other).await, 101 - sold, "after {} sales", sold - 1);
        shop.book(SOON).await;
    }
    assert_eq!(free_seats(&other).await, 80);
    assert!(searches(&other, "hit").await >= 10.0, "what one found the other showed");
    // Given back through the other instance.
    let mine = Client { token: shop.client.token.clone(), ..other.clone() };
    let booking = shop.book(SOON).await;
    assert_eq!(free_seats(&other).await, 79);
    let now = mine.get(&path(&booking)).await.expect(200);
    let tag = [("If-Match", now.etag())];
    mine.send("DELETE", &path(&booking), &tag, None).await.expect(200);
    assert_eq!(free_seats(&shop.client).await, 80);
    // An item that moves to another class changes both.
    let booking = shop.book(SOON).await;
    assert_eq!(free_seats(&other).await, 79);
    let now = mine.get(&path(&booking)).await.expect(200);
    let tag = [("If-Match", now.etag())];
    let item = super::shop::item_path(&booking, 0);
    mine.send("PATCH", &item, &tag, Some(&json!({"fare": "Business"}))).await.expect(200);
    assert_eq!(free_seats(&shop.client).await, 80);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_airline_itself_sells_is_shown_when_an_entry_ends() {
    let redis = redis();
    let (shop, other) = two(Some(&redis)).await;
    assert_eq!(free_seats(&other).await, 100);
    let sale = format!(
        "INSERT INTO bookings VALUES ('0000AA', now(), 1);
         INSERT INTO tickets VALUES ('0005000000001', '0000AA', '1', 'A', NULL);
         INSERT INTO ticket_flights VALUES ('0005000000001', {SOON}, 'Economy', 1)"
    );
    shop.airline.client().await.batch_execute(&sale).await.unwrap();
    // An entry lasts two seconds, and the versions in its name a minute: they have not ended before it.
    let soon = VERSION_TIME / 2;
    wait_for_async(soon, "the airline's own sale", async || free_seats(&other).await == 99).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_that_is_kept_for_others_is_the_primarys() {
    // A replica that has not heard of a sale, for ever.
    let (stale, redis) = (Shop::open().await, redis());
    let replica = |options: &mut ServeOptions| {
        let mut replica = options.primary.clone();
        replica.database.clone_from(&stale.airline.name);
        options.replica = Some(replica);
    };
    let (shop, other) = two_with(Some(&redis), |options| {
        replica(options);
        options.redis_time = PATIENT;
        options.search_time = Duration::from_secs(600);
    })
    .await;
    let alone = second(&shop, replica).await;
    for sold in 1..=3 {
        shop.book(SOON).await;
        for client in [&shop.client, &other] {
            assert_eq!(free_seats(client).await, 100 - sold);
        }
        assert_eq!(free_seats(&alone).await, 100, "without a cache the replica answers");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_searches_at_once_ask_the_database_once() {
    let redis = redis();
    let target = RedisTarget::parse(&redis.url()).unwrap();
    let shop = Shop::open_with(|options| {
        options.redis = Some(target);
        options.redis_time = PATIENT;
        options.search_time = Duration::from_secs(60);
    })
    .await;
    let mut many = JoinSet::new();
    for _ in 0..60 {
        let client = shop.stranger();
        many.spawn(async move { free_seats(&client).await });
    }
    assert!(many.join_all().await.iter().all(|free| *free == 100));
    let client = shop.stranger();
    assert!((searches(&client, "miss").await - 1.0).abs() < 0.1);
    let others = searches(&client, "hit").await + searches(&client, "shared").await;
    assert!((others - 59.0).abs() < 0.1, "{others}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_searches_are_right_and_counted() {
    let mut redis = redis();
    let (shop, other) = two(Some(&redis)).await;
    assert_eq!(free_seats(&other).await, 100);
    redis.kill9();
    for sold in 1..=5 {
        shop.book(SOON).await;
        assert_eq!(free_seats(&other).await, 100 - sold);
    }
    assert!(searches(&other, "away").await >= 1.0);
    redis.start_again().unwrap();
    redis_is(&other, "up").await;
    redis_is(&shop.client, "up").await;
    shop.book(SOON).await;
    assert_eq!(free_seats(&other).await, 94);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_clients_fight_for_a_hundred_seats_at_three_instances() {
    let fleet = Fleet::open(3, Around { redis: true, pooler: true }).await;
    let body = order(SOON, "Economy", &json!(null));
    let mut requests = JoinSet::new();
    for _ in 0..1000 {
        let (client, body) = (fleet.client.clone(), body.clone());
        requests.spawn(async move { client.post("/api/v1/bookings", &body).await });
    }
    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    for reply in requests.join_all().await {
        let name = match reply.status {
            201 => "sold".to_owned(),
            status => format!("{status} {}", reply.problem()),
        };
        *outcomes.entry(name).or_default() += 1;
    }
    let expected = BTreeMap::from([("409 sold-out".to_owned(), 900), ("sold".to_owned(), 100)]);
    assert_eq!(outcomes, expected);
    let sold = format!("SELECT count(*) FROM ticket_flights WHERE flight_id = {SOON}");
    assert_eq!(fleet.airline.number(&sold).await, 100);
    assert_eq!(fleet.airline.number("SELECT count(*) FROM service.seat_assignments").await, 100);
    let mut by_each = Vec::new();
    for instance in 0..3 {
        by_each.push(fleet.metric(instance, "booking_seats_sold_total").await);
    }
    assert!(by_each.iter().all(|sold| *sold > 0.0), "all instances sold: {by_each:?}");
    println!("sold by each instance: {by_each:?}");
    fleet.airline.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bookings_outlast_a_database_that_is_away_for_some_seconds() {
    let mut server = Postgres::start(PostgresOptions::new(15).fsync(false)).unwrap();
    let fleet = Fleet::open_on(server.address(), 3, Around::default()).await;
    server.stop(StopMode::Immediate).unwrap();
    let book = |key: &'static str| {
        let (client, body) = (fleet.client.clone(), order(SOON, "Economy", &json!(null)));
        let key = [("Idempotency-Key", key)];
        tokio::spawn(
            async move { client.send("POST", "/api/v1/bookings", &key, Some(&body)).await },
        )
    };
    let open = book("open");
    wait_for_async(WAIT, "HAProxy to find no instance ready", async || {
        std::fs::read_to_string(fleet.proxy.log()).unwrap().contains("has no server available")
    })
    .await;
    assert!(!open.is_finished(), "an open request is not cut");
    let late = book("late");
    fleet.client.get("/health/ready").await.expect(503);
    fleet.client.get("/health/live").await.expect(200);
    assert!(!open.is_finished() && !late.is_finished(), "both wait for the database");
    server.start_again().unwrap();
    for booking in [open, late] {
        booking.await.unwrap().expect(201);
    }
    assert_eq!(fleet.airline.number("SELECT count(*) FROM bookings").await, 2);
}
