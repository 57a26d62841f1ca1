//! A service on a small airline: two airports, one aircraft, a handful of flights around now.
//!
//! In: settings that differ from the defaults. Out: an address to ask, and a customer who is signed in.

use std::net::SocketAddr;
use std::time::Duration;

use booking::serve::{ServeOptions, serve};
use devstack::Postgres;
use serde_json::{Value, json};
use shared::postgres::ConnectOptions;
use shared::secret::Secret;
use shared::tls::SslMode;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::client::Client;
use crate::support::{Airline, PASSWORDS};

/// AAA to BBB in 12 hours, so that check-in is open; 100 seats in Economy, 4 in Business.
pub(crate) const SOON: i32 = 1;
/// AAA to BBB in 36 hours.
pub(crate) const LATER: i32 = 2;
/// BBB to AAA in 48 hours.
pub(crate) const BACK: i32 = 3;
/// AAA to BBB, an hour ago.
pub(crate) const GONE: i32 = 4;
/// AAA to BBB in 13 hours: lands after `SOON` has left, and before it lands.
pub(crate) const CROSSING: i32 = 5;
/// No flight.
pub(crate) const NONE: i32 = 999;

/// The airline. Times are whole minutes, as in a timetable.
const FLIGHTS: &str = "
    INSERT INTO airports VALUES
        ('AAA', 'Alpha', 'Alpha', 0, 0, 'UTC'),
        ('BBB', 'Beta', 'Beta', 10, 10, 'UTC'),
        ('CCC', 'Gamma', 'Gamma', 20, 20, 'no such zone');
    INSERT INTO aircrafts VALUES ('TST', 'Test Plane', 5000);
    INSERT INTO seats
    SELECT 'TST', row_no || letter, CASE WHEN row_no > 25 THEN 'Business' ELSE 'Economy' END
    FROM generate_series(1, 26) AS row_no, unnest('{A,B,C,D}'::text[]) AS letter;
    INSERT INTO flights (flight_id, flight_no, scheduled_departure, scheduled_arrival,
                         departure_airport, arrival_airport, status, aircraft_code, actual_departure)
    SELECT id, 'TT000' || id, at, at + interval '2 hours', origin, target, status, 'TST',
           CASE WHEN status = 'Departed' THEN at END
    FROM (VALUES
        (1, 'Scheduled', 12, 'AAA', 'BBB'),
        (2, 'Scheduled', 36, 'AAA', 'BBB'),
        (3, 'Scheduled', 48, 'BBB', 'AAA'),
        (4, 'Departed', -1, 'AAA', 'BBB'),
        (5, 'Scheduled', 13, 'AAA', 'BBB')
    ) AS f (id, status, hours, origin, target),
    LATERAL (SELECT date_trunc('minute', now()) + make_interval(hours => f.hours) AS at) AS t;
    SELECT setval('flights_flight_id_seq', 100)";

/// What of `sql/source` the service needs when it connects as the owner.
pub(crate) const SERVICE_FILES: [&str; 4] =
    ["010_schema.sql", "020_views.sql", "050_service.sql", "072_staff.sql"];

/// An airline on a server of the test's own, with the roles of `sql/source`. Returns the password of `booking_service`
/// too.
pub(crate) async fn with_roles(server: &Postgres) -> (Airline, &'static str) {
    let files = [
        "010_schema.sql",
        "020_views.sql",
        "030_publication.sql",
        "040_roles.sql",
        "050_service.sql",
        "060_service_role.sql",
        "072_staff.sql",
    ];
    let airline = Airline::create_with(server.address(), "airline_tickets", &files);
    fill(&airline).await;
    let [.., password] = PASSWORDS;
    (airline, password)
}

/// A running service.
pub(crate) struct Shop {
    pub(crate) airline: Airline,
    /// Signed in.
    pub(crate) client: Client,
    pub(crate) customer_id: i64,
    pub(crate) stop: CancellationToken,
    pub(crate) running: JoinHandle<()>,
}

impl Shop {
    /// A service with settings for tests: no limit of requests, and patience.
    pub(crate) async fn open() -> Self {
        Self::open_with(|_| ()).await
    }

    /// The same with other settings.
    pub(crate) async fn open_with(change: impl FnOnce(&mut ServeOptions)) -> Self {
        let server = &devstack::shared::stack().postgres15;
        let airline = Airline::create_with(server, &devstack::unique("serving"), &SERVICE_FILES);
        airline.client().await.batch_execute(FLIGHTS).await.unwrap();
        let user = (server.user.as_str(), server.password.as_str());
        Self::start(airline, user, change).await
    }

    /// A service as a role, on an airline that is there.
    pub(crate) async fn start(
        airline: Airline,
        (user, password): (&str, &str),
        change: impl FnOnce(&mut ServeOptions),
    ) -> Self {
        let Instance { address, stop, running } =
            instance(&airline, (user, password), change).await;
        let (client, customer_id) = sign_up(address, "ann@example.org").await;
        Self { airline, client, customer_id, stop, running }
    }

    /// A client who is not signed in.
    pub(crate) fn stranger(&self) -> Client {
        Client { token: None, ..self.client.clone() }
    }

    /// Books a seat of a flight for one passenger.
    pub(crate) async fn book(&self, flight_id: i32) -> Value {
        let body = order(flight_id, "Economy", &Value::Null);
        self.client.post("/api/v1/bookings", &body).await.expect(201).json()
    }

    /// One number that a query gives.
    pub(crate) async fn number(&self, query: &str) -> i64 {
        self.airline.number(query).await
    }
}

/// One of the instances that serve an airline.
pub(crate) struct Instance {
    pub(crate) address: SocketAddr,
    pub(crate) stop: CancellationToken,
    pub(crate) running: JoinHandle<()>,
}

/// One more instance, as the superuser.
pub(crate) async fn again(airline: &Airline, change: impl FnOnce(&mut ServeOptions)) -> Instance {
    let server = &airline.server;
    instance(airline, (&server.user, &server.password), change).await
}

async fn instance(
    airline: &Airline,
    (user, password): (&str, &str),
    change: impl FnOnce(&mut ServeOptions),
) -> Instance {
    let mut options = ServeOptions::new(target(airline, user, password));
    options.rate = 0.0;
    options.sign_in_rate = 0.0;
    options.request_time = Duration::from_secs(60);
    options.pool_wait = Duration::from_secs(60);
    change(&mut options);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let running = tokio::spawn(serve(options, listener, stop.clone()));
    Instance { address, stop, running }
}

/// Another instance of a shop's service, in this process; the client is not signed in. It ends with the test.
pub(crate) async fn second(shop: &Shop, change: impl FnOnce(&mut ServeOptions)) -> Client {
    let server = &shop.airline.server;
    let mut options = ServeOptions::new(target(&shop.airline, &server.user, &server.password));
    options.rate = 0.0;
    options.sign_in_rate = 0.0;
    change(&mut options);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(options, listener, shop.stop.clone()));
    Client { address, token: None }
}

/// Makes the airline's rows in a database that has the schema.
pub(crate) async fn fill(airline: &Airline) {
    airline.client().await.batch_execute(FLIGHTS).await.unwrap();
}

fn target(airline: &Airline, user: &str, password: &str) -> ConnectOptions {
    let server = &airline.server;
    let mut options = ConnectOptions::new(server.host.clone(), server.port, airline.name.clone());
    user.clone_into(&mut options.user);
    options.password = Secret::new(password);
    options.ssl_mode = SslMode::Disable;
    options
}

/// A new customer who is signed in.
pub(crate) async fn sign_up(address: SocketAddr, email: &str) -> (Client, i64) {
    let stranger = Client { address, token: None };
    let password = "correct horse";
    let body = json!({"email": email, "name": "ANN EXAMPLE", "password": password});
    stranger.post("/api/v1/customers", &body).await.expect(201);
    let body = json!({"email": email, "password": password});
    let session = stranger.post("/api/v1/sessions", &body).await.expect(201).json();
    let token = session["token"].as_str().unwrap().to_owned();
    (Client { address, token: Some(token) }, session["customer_id"].as_i64().unwrap())
}

/// A booking of one passenger on one flight; `seat` is a seat or null.
pub(crate) fn order(flight_id: i32, fare: &str, seat: &Value) -> Value {
    json!({
        "passengers": [{"document": "1234 567890", "name": "ANN EXAMPLE"}],
        "segments": [{"flight_id": flight_id, "fare": fare, "seats": [seat]}],
    })
}

/// The path of a booking.
pub(crate) fn path(booking: &Value) -> String {
    format!("/api/v1/bookings/{}", booking["book_ref"].as_str().unwrap())
}

/// The path of an item of a booking.
pub(crate) fn item_path(booking: &Value, at: usize) -> String {
    format!("{}/items/{}", path(booking), booking["items"][at]["item_id"].as_str().unwrap())
}
