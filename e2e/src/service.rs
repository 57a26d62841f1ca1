//! The booking service on a database, and a customer of it.
//!
//! In: the URL of a database with the schema, options of `booking serve`. Out: a process that is ready; bookings that a
//! customer has made through it.
//! Invariant: the service asks nobody to go slowly, because all customers of a test have one address.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use devstack::http::{self, Answer};
use devstack::{Process, ProcessOptions, free_port, try_wait_for};
use serde_json::{Value, json};

/// How long it may take until it is ready.
const READY_DEADLINE: Duration = Duration::from_secs(60);

/// A running `booking serve`; dropping it kills it.
#[derive(Debug)]
pub struct Service {
    process: Process,
    port: u16,
}

impl Service {
    /// Starts it with these further words and variables, and waits until it is ready. Its log lies in `dir`.
    ///
    /// # Errors
    /// When it ends, or is not ready in time.
    pub fn start(
        database: &str,
        dir: &Path,
        words: &[&str],
        variables: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let port = free_port()?;
        let options = ProcessOptions::new(devstack::binary("booking")?, dir.join("booking.log"))
            .args(["serve", "--listen", &format!("127.0.0.1:{port}")])
            .args(["--rate", "0", "--sign-in-rate", "0"])
            .args(words)
            .env("BOOKING_DATABASE_URL", database)
            .envs(variables.iter().copied())
            .without_env("RUST_LOG");
        let mut service = Self { process: Process::start(&options)?, port };
        let url = service.url("/health/ready");
        try_wait_for(READY_DEADLINE, "the booking service to be ready", || {
            if let Some(code) = service.process.exit_code()? {
                return Ok(Some(Err(code)));
            }
            let answer = http::get(&url)?;
            anyhow::ensure!(answer.status == 200, "{}", answer.body);
            anyhow::Ok(Some(Ok(())))
        })?
        .map_err(|code| {
            let log = service.process.last_lines(5);
            anyhow::anyhow!("the booking service has ended with exit code {code}:\n{log}")
        })?;
        Ok(service)
    }

    /// Its port on this machine.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of a path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// What it exports for Prometheus, without comments.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn metrics(&self) -> anyhow::Result<Vec<String>> {
        let page = http::get(&self.url("/metrics"))?;
        anyhow::ensure!(page.status == 200, "status {}", page.status);
        Ok(page.body.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect())
    }

    /// Its process.
    #[must_use]
    pub fn into_process(self) -> Process {
        self.process
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.process.pid()
    }

    /// A new customer, signed in.
    ///
    /// # Errors
    /// When the service refuses.
    pub fn customer(&self, email: &str) -> anyhow::Result<Customer> {
        let password = "a long password";
        let new = json!({"email": email, "name": "ANN EXAMPLE", "password": password}).to_string();
        expect(201, http::request("POST", &self.url("/api/v1/customers"), Some(&new))?)?;
        let credentials = json!({"email": email, "password": password}).to_string();
        let session = http::request("POST", &self.url("/api/v1/sessions"), Some(&credentials))?;
        let session = expect(201, session)?;
        let token = session["token"].as_str().context("a session without a token")?;
        Ok(Customer { bookings: self.url("/api/v1/bookings"), token: token.to_owned() })
    }
}

/// A customer who is signed in.
#[derive(Debug)]
pub struct Customer {
    bookings: String,
    token: String,
}

impl Customer {
    /// The secret of the session.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Asks for a seat in Economy for one passenger, and gives the answer, whatever it is.
    ///
    /// # Errors
    /// When there is none.
    pub fn try_to_book(&self, flight_id: i32) -> anyhow::Result<Answer> {
        self.send("POST", &self.bookings, &[], &order(flight_id, &[]))
    }

    /// Books such a seat, and gives the booking's reference.
    ///
    /// # Errors
    /// When the service refuses.
    pub fn book(&self, flight_id: i32) -> anyhow::Result<String> {
        reference(expect(201, self.try_to_book(flight_id)?)?)
    }

    /// The customer, at another address of the service.
    #[must_use]
    pub fn at(self, address: std::net::SocketAddr) -> Self {
        Self { bookings: format!("http://{address}/api/v1/bookings"), ..self }
    }

    /// Asks for this seat under an idempotency key, and gives the answer, whatever it is.
    ///
    /// # Errors
    /// When there is none.
    pub fn try_to_book_seat(
        &self,
        flight_id: i32,
        seat: &str,
        key: &str,
    ) -> anyhow::Result<Answer> {
        let order = order(flight_id, &[seat]);
        self.send("POST", &self.bookings, &[("idempotency-key", key)], &order)
    }

    /// Books this seat under an idempotency key, and gives the booking's reference.
    ///
    /// # Errors
    /// When the service refuses.
    pub fn book_seat(&self, flight_id: i32, seat: &str, key: &str) -> anyhow::Result<String> {
        reference(expect(201, self.try_to_book_seat(flight_id, seat, key)?)?)
    }

    /// Cancels a booking, in whatever state it is.
    ///
    /// # Errors
    /// When the service refuses.
    pub fn cancel(&self, book_ref: &str) -> anyhow::Result<()> {
        let url = format!("{}/{book_ref}", self.bookings);
        expect(200, self.send("DELETE", &url, &[("if-match", "*")], &Value::Null)?)?;
        Ok(())
    }

    fn send(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> anyhow::Result<Answer> {
        let bearer = format!("Bearer {}", self.token);
        let headers = [&[("authorization", bearer.as_str())], headers].concat();
        let body = (!body.is_null()).then(|| body.to_string());
        http::send(method, url, &headers, body.as_deref())
    }
}

fn order(flight_id: i32, seats: &[&str]) -> Value {
    let mut segment = json!({"flight_id": flight_id, "fare": "Economy"});
    if !seats.is_empty() {
        segment["seats"] = json!(seats);
    }
    json!({
        "passengers": [{"document": "1234 567890", "name": "ANN EXAMPLE"}],
        "segments": [segment],
    })
}

fn reference(booking: Value) -> anyhow::Result<String> {
    let reference = booking["book_ref"].as_str().context("a booking without a reference")?;
    Ok(reference.to_owned())
}

fn expect(status: u16, answer: Answer) -> anyhow::Result<Value> {
    anyhow::ensure!(answer.status == status, "status {}: {}", answer.status, answer.body);
    answer.json()
}
