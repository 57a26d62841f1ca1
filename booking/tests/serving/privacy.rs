//! Whose data is whose, and what never leaves the service.

use std::process::{Command, Stdio};

use std::time::Duration;

use devstack::wait_for_async;
use serde_json::json;

use super::client::Client;
use super::shop::{SOON, Shop, fill, item_path, order, path, sign_up};
use crate::support::Airline;

/// How long a program may take to do what it does at once.
const WAIT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn nobody_sees_or_changes_what_is_somebody_elses() {
    let shop = Shop::open().await;
    let booking = shop.book(SOON).await;
    let (other, other_id) = sign_up(shop.client.address, "bob@example.org").await;
    let tag = [("If-Match", "*")];
    let (booking_path, item) = (path(&booking), item_path(&booking, 0));
    let passenger =
        format!("{booking_path}/passengers/{}", booking["items"][0]["ticket_no"].as_str().unwrap());
    let customer = format!("/api/v1/customers/{}", shop.customer_id);
    let empty = json!({});
    let requests = [
        ("GET", booking_path.clone(), None),
        ("DELETE", booking_path.clone(), None),
        ("PATCH", passenger, Some(&empty)),
        ("PATCH", item.clone(), Some(&empty)),
        ("DELETE", item.clone(), None),
        ("POST", format!("{item}/check-in"), None),
        ("GET", format!("{item}/boarding-pass"), None),
        ("GET", customer.clone(), None),
        ("PATCH", customer, Some(&empty)),
    ];
    for (method, place, body) in requests {
        let stranger = shop.stranger().send(method, &place, &tag, body).await;
        assert_eq!(
            (stranger.status, stranger.problem().as_str()),
            (401, "unauthenticated"),
            "{method} {place}"
        );
        assert_eq!(stranger.headers["www-authenticate"], "Bearer");
        let reply = other.send(method, &place, &tag, body).await;
        assert_eq!(reply.status, 404, "{method} {place}: {reply:?}");
    }
    let list = other.get("/api/v1/bookings").await.expect(200).json();
    assert_eq!(list["bookings"], json!([]));
    assert_ne!(other_id, shop.customer_id);
}

#[tokio::test]
async fn a_session_ends_when_its_customer_says_so_and_after_its_time() {
    let shop = Shop::open().await;
    let body = json!({"email": "ann@example.org", "password": "correct horse"});
    let session = shop.stranger().post("/api/v1/sessions", &body).await.expect(201).json();
    let token = session["token"].as_str().unwrap().to_owned();
    let client = Client { token: Some(token), ..shop.stranger() };
    client.get("/api/v1/bookings").await.expect(200);
    let place = format!("/api/v1/sessions/{}", session["session_id"].as_str().unwrap());
    client.send("DELETE", &place, &[], None).await.expect(204);
    client.get("/api/v1/bookings").await.expect(401);
    shop.client.send("DELETE", &place, &[], None).await.expect(404);
    shop.airline
        .client()
        .await
        .batch_execute("UPDATE service.sessions SET expires_at = now()")
        .await
        .unwrap();
    shop.client.get("/api/v1/bookings").await.expect(401);
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_address_look_the_same() {
    let shop = Shop::open().await;
    let sign_in = async |email: &str, password: &str| {
        let body = json!({"email": email, "password": password});
        shop.stranger().post("/api/v1/sessions", &body).await.expect(401).body
    };
    let wrong = sign_in("ann@example.org", "wrong horse").await;
    assert_eq!(sign_in("nobody@example.org", "correct horse").await, wrong);
}

#[tokio::test]
async fn what_is_stored_of_passwords_and_tokens_are_hashes() {
    let shop = Shop::open().await;
    let token = shop.client.token.as_ref().unwrap();
    let client = shop.airline.client().await;
    let rows = client
        .query("SELECT t::text FROM service.sessions AS t UNION ALL SELECT t::text FROM service.credentials AS t", &[])
        .await
        .unwrap();
    assert_eq!(rows.len(), 2);
    for row in rows {
        let text: String = row.get(0);
        assert!(!text.contains(token.as_str()) && !text.contains("correct horse"), "{text}");
    }
    assert_eq!(
        shop.number(
            "SELECT count(*) FROM service.credentials WHERE password_hash LIKE '$argon2id$%'"
        )
        .await,
        1
    );
}

/// Ends the process when the test ends, however that is.
struct Process(std::process::Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn the_log_of_the_program_has_no_personal_data_and_no_secret() {
    let files = ["010_schema.sql", "020_views.sql", "050_service.sql"];
    let server = &devstack::shared::stack().postgres15;
    let airline = Airline::create_with(server, &devstack::unique("serving"), &files);
    fill(&airline).await;
    let log = tempfile_path(&airline.name);
    let file = std::fs::File::create(&log).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_booking"))
        .args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json"])
        .env("BOOKING_DATABASE_URL", format!("{}?sslmode=disable", airline.url()))
        .env("RUST_LOG", "trace")
        .stderr(Stdio::from(file))
        .spawn()
        .unwrap();
    let mut process = Process(child);
    let read = || std::fs::read_to_string(&log).unwrap_or_default();
    wait_for_async(WAIT, "the service to listen", async || {
        read().contains("\"message\":\"serving\"")
    })
    .await;
    let line =
        read().lines().find(|line| line.contains("\"message\":\"serving\"")).unwrap().to_owned();
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    let address = line["address"].as_str().unwrap().parse().unwrap();
    let (client, _) = sign_up(address, "ann.secret@example.org").await;
    let body = order(SOON, "Economy", &json!("?"));
    client.post("/api/v1/bookings", &body).await.expect(422);
    let body = order(SOON, "Economy", &json!("1A"));
    client
        .send("POST", "/api/v1/bookings", &[("Idempotency-Key", "k-secret")], Some(&body))
        .await
        .expect(201);
    wait_for_async(WAIT, "the line of the last request", async || {
        read().lines().any(|line| line.contains("\"status\":201") && line.contains("/bookings\""))
    })
    .await;
    shut_down(&mut process);
    let text = read();
    std::fs::remove_file(&log).unwrap();
    let token = client.token.unwrap();
    let password = airline.server.password.as_str();
    for secret in
        ["ann.secret", "ANN EXAMPLE", "1234 567890", "correct horse", token.as_str(), "argon2id"]
    {
        assert!(!text.contains(secret), "the log has {secret}");
    }
    assert!(!text.contains(&format!(":{password}@")), "the log has the database's password");
    assert!(text.contains("\"route\":\"/api/v1/bookings\""), "and it has the routes");
    assert!(text.contains("\"message\":\"ended\""), "the first signal ends it in order: {text}");
}

/// Ends the program as an operator would, and waits for it.
fn shut_down(process: &mut Process) {
    let pid = process.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert!(process.0.wait().unwrap().success());
}

fn tempfile_path(name: &str) -> std::path::PathBuf {
    std::env::temp_dir().join(format!("{name}.log"))
}
