//! The database goes away and comes back; the service goes on by itself.

use std::time::{Duration, Instant};

use booking::serve::{UploadOptions, UploadStore};
use devstack::{Postgres, PostgresOptions, wait_for_async};
use serde_json::json;
use shared::secret::Secret;
use tokio::net::TcpListener;
use tokio_postgres::Client;

use super::browser::Browser;
use super::chatter::Wire;
use super::shop::{LATER, SOON, Shop, fill, order, path, with_roles};
use super::uploads::{ask, file, form, send, text};
use crate::support::Airline;

/// How long a service may take to notice what happened to its database.
const WAIT: Duration = Duration::from_secs(60);

/// Ends all connections of the service, as a failover does.
async fn end_connections(client: &Client) -> i64 {
    let query = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                 WHERE datname = current_database() AND pid <> pg_backend_pid()
                   AND application_name = 'vaultstream'";
    client.query_one(query, &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bookings_go_on_while_connections_are_ended() {
    let shop = Shop::open().await;
    let admin = shop.airline.client().await;
    let mut buyers = tokio::task::JoinSet::new();
    for buyer in 0..4 {
        let client = shop.client.clone();
        buyers.spawn(async move {
            for number in 0..20 {
                let key = format!("{buyer}-{number}");
                let body = order(LATER, "Economy", &json!(null));
                let headers = [("Idempotency-Key", key.as_str())];
                client.send("POST", "/api/v1/bookings", &headers, Some(&body)).await.expect(201);
            }
        });
    }
    let (mut ended, mut rounds) = (0, 0);
    while !buyers.is_empty() {
        let cut = end_connections(&admin).await;
        ended += cut;
        rounds += i64::from(cut > 0);
        // The next blow comes when a further booking is there, or all are.
        let before = shop.number("SELECT count(*) FROM bookings").await;
        wait_for_async(WAIT, "a further booking", async || {
            while let Some(joined) = buyers.try_join_next() {
                joined.unwrap();
            }
            buyers.is_empty() || shop.number("SELECT count(*) FROM bookings").await > before
        })
        .await;
    }
    assert!(rounds >= 5 && ended >= 5, "{ended} connections in {rounds} rounds");
    assert_eq!(shop.number("SELECT count(*) FROM bookings").await, 80, "each key made one booking");
    assert_eq!(shop.number("SELECT count(*) FROM service.seat_assignments").await, 80);
    shop.airline.assert_sound().await;
}

/// The backends whose commit is done and waits for a replica that does not come; they are ended.
async fn end_commits(client: &Client) -> i64 {
    let query = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    client.query_one(query, &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_whose_commit_lost_its_connection_stays() {
    let server = Postgres::start(PostgresOptions::new(15).fsync(false)).unwrap();
    let files = ["010_schema.sql", "020_views.sql", "050_service.sql", "070_uploads.sql"];
    let airline = Airline::create_with(server.address(), &devstack::unique("serving"), &files);
    fill(&airline).await;
    let directory = tempfile::tempdir().unwrap();
    let store = UploadStore::open(&format!("file://{}", directory.path().display())).unwrap();
    let user = (server.address().user.clone(), server.address().password.clone());
    let shop = Shop::start(airline, (&user.0, &user.1), |options| {
        options.uploads = Some(UploadOptions::new(store));
    })
    .await;
    let admin = shop.airline.client().await;
    admin.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'", &[]).await.unwrap();
    admin.execute("SELECT pg_reload_conf()", &[]).await.unwrap();
    let (mut made, mut lost, deadline) = (Vec::new(), 0, Instant::now() + WAIT);
    while lost < 3 {
        assert!(Instant::now() < deadline, "{lost} commits lost their connection");
        let (client, number) = (shop.client.clone(), made.len());
        let sent = tokio::spawn(async move {
            let content = format!("GIF89a number {number}");
            let body =
                form(&[text("title", "A file"), file("a.gif", "image/gif", content.as_bytes())]);
            let key = format!("Idempotency-Key: file-{number}\r\n");
            (send(&client, &key, &body).await, content)
        });
        let mut ended = 0;
        wait_for_async(WAIT, "the answer of an upload", async || {
            ended += end_commits(&admin).await;
            sent.is_finished()
        })
        .await;
        let (answer, content) = sent.await.unwrap();
        lost += i64::from(ended > 0);
        made.push((answer, content));
    }
    // Also the removal of the test's database waits for replicas.
    admin.execute("ALTER SYSTEM RESET synchronous_standby_names", &[]).await.unwrap();
    admin.execute("SELECT pg_reload_conf()", &[]).await.unwrap();
    let rows = shop.number("SELECT count(*) FROM service.uploads").await;
    assert_eq!(rows, i64::try_from(made.len()).unwrap(), "each key has one row");
    for (answer, content) in made {
        let upload = answer.expect(201).json();
        let got = ask(&shop.client, "GET", upload["content"].as_str().unwrap()).await.expect(200);
        assert_eq!(String::from_utf8(got.body).unwrap(), content);
    }
}

/// A commit waits for a standby that does not come, for longer than the service waits for an answer: the booking is
/// neither confirmed nor seen before a standby has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_booking_that_no_standby_has_is_not_confirmed() {
    let server = Postgres::start(PostgresOptions::new(15).fsync(false)).unwrap();
    let files = ["010_schema.sql", "020_views.sql", "050_service.sql", "070_uploads.sql"];
    let airline = Airline::create_with(server.address(), &devstack::unique("serving"), &files);
    fill(&airline).await;
    let user = (server.address().user.clone(), server.address().password.clone());
    let shop = Shop::start(airline, (&user.0, &user.1), |options| {
        options.request_time = Duration::from_secs(2);
    })
    .await;
    let admin = shop.airline.client().await;
    admin.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'", &[]).await.unwrap();
    admin.execute("SELECT pg_reload_conf()", &[]).await.unwrap();
    let order = order(LATER, "Economy", &json!(null));
    let headers = [("Idempotency-Key", "without-a-standby")];
    for _ in 0..4 {
        let answer = shop.client.send("POST", "/api/v1/bookings", &headers, Some(&order)).await;
        assert!(answer.status >= 500, "{}", answer.status);
    }
    // The service has given up its connections, and PostgreSQL still waits.
    assert_eq!(shop.number("SELECT count(*) FROM bookings").await, 0, "no standby has the booking");
    admin.execute("ALTER SYSTEM RESET synchronous_standby_names", &[]).await.unwrap();
    admin.execute("SELECT pg_reload_conf()", &[]).await.unwrap();
    wait_for_async(WAIT, "the booking to be confirmed", async || {
        let answer = shop.client.send("POST", "/api/v1/bookings", &headers, Some(&order)).await;
        answer.status == 201
    })
    .await;
    assert_eq!(shop.number("SELECT count(*) FROM bookings").await, 1, "the key made one booking");
}

#[tokio::test]
async fn a_server_that_takes_no_writes_is_noticed_and_left() {
    let shop = Shop::open_with(|options| options.request_time = Duration::from_secs(6)).await;
    let admin = shop.airline.client().await;
    let name = &shop.airline.name;
    shop.stranger().get("/health/ready").await.expect(200);
    let read_only =
        |value: &str| format!("ALTER DATABASE {name} SET default_transaction_read_only = {value}");
    admin.batch_execute(&read_only("on")).await.unwrap();
    end_connections(&admin).await;
    let body = order(SOON, "Economy", &json!("1A"));
    let key = [("Idempotency-Key", "once")];
    let refusal = shop.client.send("POST", "/api/v1/bookings", &key, Some(&body)).await.expect(503);
    assert_eq!(refusal.problem(), "unavailable");
    assert_eq!(refusal.headers["retry-after"], "1");
    shop.stranger().get("/health/ready").await.expect(503);
    shop.stranger().get("/health/live").await.expect(200);
    // Reads go on.
    shop.client.get("/api/v1/bookings").await.expect(200);
    // The new primary: the address leads to a server that takes writes. Connections to the old one are still open.
    admin.batch_execute("SET default_transaction_read_only = off").await.unwrap();
    admin.batch_execute(&read_only("off")).await.unwrap();
    shop.client.send("POST", "/api/v1/bookings", &key, Some(&body)).await.expect(201);
    shop.stranger().get("/health/ready").await.expect(200);
    assert_eq!(shop.number("SELECT count(*) FROM bookings").await, 1);
}

#[tokio::test]
async fn an_instance_without_requests_finds_the_new_primary_by_its_readiness() {
    let shop = Shop::open().await;
    let admin = shop.airline.client().await;
    let name = &shop.airline.name;
    admin
        .batch_execute(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on"))
        .await
        .unwrap();
    end_connections(&admin).await;
    shop.stranger().get("/health/ready").await.expect(503);
    admin
        .batch_execute(&format!(
            "SET default_transaction_read_only = off;
             ALTER DATABASE {name} RESET default_transaction_read_only"
        ))
        .await
        .unwrap();
    shop.stranger().get("/health/ready").await.expect(200);
}

#[tokio::test]
async fn a_replica_that_is_away_costs_no_answer() {
    let shop = Shop::open_with(|options| {
        let mut away = options.primary.clone();
        // Nobody listens on the port of discard.
        away.port = 9;
        options.replica = Some(away);
        options.request_time = Duration::from_secs(20);
    })
    .await;
    let flight = shop.stranger().get(&format!("/api/v1/flights/{SOON}")).await.expect(200).json();
    assert_eq!(flight["flight_id"], SOON);
}

#[tokio::test]
async fn a_replica_that_accepts_and_is_silent_costs_no_answer() {
    // Its kernel accepts connections, and nobody reads from them.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let shop = Shop::open_with(|options| {
        let mut replica = options.primary.clone();
        replica.port = port;
        options.replica = Some(replica);
        options.request_time = Duration::from_secs(8);
    })
    .await;
    let flight = format!("/api/v1/flights/{SOON}");
    for _ in 0..2 {
        let flight = shop.stranger().get(&flight).await.expect(200).json();
        assert_eq!(flight["flight_id"], SOON);
    }
}

#[tokio::test]
async fn a_replica_that_hangs_is_left_and_asked_again_once_it_answers() {
    let server = Postgres::start(PostgresOptions::new(15).fsync(false)).unwrap();
    let files = ["010_schema.sql", "020_views.sql", "050_service.sql"];
    let replica = Airline::create_with(server.address(), &devstack::unique("replica"), &files);
    fill(&replica).await;
    let mark = "UPDATE flights SET flight_no = 'RP0001' WHERE flight_id = 1";
    replica.client().await.batch_execute(mark).await.unwrap();
    let shop = Shop::open_with(|options| {
        let mut other = options.primary.clone();
        other.port = server.port();
        other.user.clone_from(&server.address().user);
        other.password = Secret::new(&server.address().password);
        replica.name.clone_into(&mut other.database);
        options.replica = Some(other);
        options.request_time = Duration::from_secs(8);
    })
    .await;
    let stranger = shop.stranger();
    let flight_no = async || {
        let flight = stranger.get(&format!("/api/v1/flights/{SOON}")).await.expect(200).json();
        flight["flight_no"].as_str().unwrap().to_owned()
    };
    assert_eq!(flight_no().await, "RP0001", "the replica answers");
    let frozen = server.freeze().unwrap();
    wait_for_async(WAIT, "a frozen server", async || frozen.is_frozen()).await;
    assert_eq!(flight_no().await, "TT0001", "the primary answers");
    assert_eq!(flight_no().await, "TT0001", "and goes on");
    drop(frozen);
    wait_for_async(WAIT, "an answer of the replica", async || flight_no().await == "RP0001").await;
}

#[tokio::test]
async fn searches_are_answered_by_the_replica() {
    let files = ["010_schema.sql", "020_views.sql", "050_service.sql"];
    let server = &devstack::shared::stack().postgres15;
    // A database of its own stands for a replica: what it answers tells where a read went.
    let replica = Airline::create_with(server, &devstack::unique("replica"), &files);
    fill(&replica).await;
    replica
        .client()
        .await
        .batch_execute("UPDATE flights SET flight_no = 'RP0001' WHERE flight_id = 1")
        .await
        .unwrap();
    let shop = Shop::open_with(|options| {
        let mut other = options.primary.clone();
        replica.name.clone_into(&mut other.database);
        options.replica = Some(other);
    })
    .await;
    let flight = shop.stranger().get(&format!("/api/v1/flights/{SOON}")).await.expect(200).json();
    assert_eq!(flight["flight_no"], "RP0001");
    let booking = shop.book(SOON).await;
    assert_eq!(booking["items"][0]["flight_no"], "TT0001", "a booking is the primary's");
    shop.client.get(&path(&booking)).await.expect(200);
}

#[tokio::test]
async fn the_role_of_the_service_has_the_rights_that_the_service_needs() {
    let server = Postgres::start(PostgresOptions::new(15).fsync(false)).unwrap();
    let (airline, password) = with_roles(&server).await;
    let shop = Shop::start(airline, ("booking_service", password), |_| ()).await;
    use_everything(&shop).await;
}

/// Does everything that the service does.
pub(crate) async fn use_everything(shop: &Shop) {
    shop.stranger().get("/health/ready").await.expect(200);
    let booking = shop
        .client
        .post("/api/v1/bookings", &order(SOON, "Economy", &json!("1A")))
        .await
        .expect(201);
    let tag = [("If-Match", booking.etag()), ("Idempotency-Key", "move")];
    let item = super::shop::item_path(&booking.json(), 0);
    let change = json!({"flight_id": LATER, "fare": "Business"});
    let moved = shop.client.send("PATCH", &item, &tag, Some(&change)).await.expect(200);
    let passenger = format!(
        "{}/passengers/{}",
        path(&moved.json()),
        moved.json()["passengers"][0]["ticket_no"].as_str().unwrap()
    );
    let tag = [("If-Match", moved.etag())];
    let named = shop
        .client
        .send("PATCH", &passenger, &tag, Some(&json!({"name": "ANNA"})))
        .await
        .expect(200);
    let customer = format!("/api/v1/customers/{}", shop.customer_id);
    let now = shop.client.get(&customer).await.expect(200);
    let tag = [("If-Match", now.etag())];
    shop.client.send("PATCH", &customer, &tag, Some(&json!({"name": "ANNA"}))).await.expect(200);
    let second = shop.book(SOON).await;
    let check_in = format!("{}/check-in", super::shop::item_path(&second, 0));
    shop.client.send("POST", &check_in, &[], None).await.expect(201);
    let tag = [("If-Match", named.etag())];
    shop.client.send("DELETE", &path(&moved.json()), &tag, None).await.expect(200);
    let token = shop.client.token.as_deref().unwrap();
    let mut chat = Wire::chat(shop.client.address, token, SOON, None).await.unwrap();
    chat.expect("caught_up").await;
    chat.say("key", "hello").await.unwrap();
    assert_eq!(chat.expect("message").await["text"], "hello");
    let mut editor = Browser::sign_up(shop.client.address, "kim@example.org", "KIM").await;
    booking::staff::grant(&shop.airline.database(), "kim@example.org").await.unwrap();
    for (place, field, text) in [
        ("/reference/airports/AAA", "city", "Elsewhere"),
        ("/reference/aircraft/TST", "model", "Another Plane"),
    ] {
        editor.go(place).await;
        editor.send(place, &[(field, text)]).await;
        editor.expect(200).shows(&format!("<dd>{text}</dd>"));
    }
    editor.go("/").await;
    editor.shows("id=\"role\">primary</dd>");
}
