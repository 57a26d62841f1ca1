//! Customers who book without a pause, and the ledger of what the service has confirmed to them.
//!
//! In: the address of the service's instances, a rate. Out: every confirmed booking with its seat and the times of
//! request and answer. Each request is for a seat that nobody else asks for, under a key of its own, and is sent again
//! with the same key until it is confirmed. So a seat that is refused as taken was sold without being confirmed to
//! whom it was sold, which is an error.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use e2e::service::{Customer, Service};

/// Customers at the same time.
const CUSTOMERS: u32 = 24;

/// Flights, and seats of each. Flights are what sales wait for each other at.
const FLIGHTS: u32 = 2_000;
const SEATS: u32 = 300;

/// The pause before a request is sent again.
const PAUSE: Duration = Duration::from_millis(50);

/// How long a request is repeated. A failover that lasts longer has failed.
const PATIENCE: Duration = Duration::from_secs(120);

/// Flights on which one ticket is sold for each seat.
pub(super) fn flights() -> String {
    format!(
        "INSERT INTO airports VALUES
             ('AAA', 'Alpha', 'Alpha', 0, 0, 'UTC'),
             ('BBB', 'Beta', 'Beta', 10, 10, 'UTC');
         INSERT INTO aircrafts VALUES ('TST', 'Test Plane', 5000);
         INSERT INTO seats SELECT 'TST', row_no || 'A', 'Economy' FROM generate_series(1, {SEATS}) AS row_no;
         INSERT INTO flights (flight_id, flight_no, scheduled_departure, scheduled_arrival,
                              departure_airport, arrival_airport, status, aircraft_code)
         SELECT number, 'TT' || to_char(number, 'FM0000'), at, at + interval '2 hours', 'AAA', 'BBB', 'Scheduled', 'TST'
         FROM (SELECT date_trunc('minute', now()) + interval '2 days' AS at) AS t, generate_series(1, {FLIGHTS}) AS number"
    )
}

/// A confirmed booking.
#[derive(Debug, Clone)]
pub(super) struct Sale {
    pub(super) flight_id: i32,
    pub(super) seat: String,
    pub(super) book_ref: String,
    /// When the request was sent first.
    pub(super) asked_at: Instant,
    /// When the answer was there.
    pub(super) confirmed_at: Instant,
}

/// What all customers share.
#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    next: AtomicU32,
    repeats: AtomicU32,
    sales: Mutex<Vec<Sale>>,
}

/// Customers at work.
#[derive(Debug)]
pub(super) struct Load {
    shared: Arc<Shared>,
    customers: Vec<JoinHandle<anyhow::Result<()>>>,
}

impl Load {
    /// Signs customers up at one instance, and lets them book at the address of all, `rate` bookings a second in all.
    pub(super) fn start(service: &Service, address: SocketAddr, rate: u32) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared::default());
        let each = Duration::from_secs(1) * CUSTOMERS / rate;
        let customers = (0..CUSTOMERS)
            .map(|number| {
                let email = format!("customer{number}@example.org");
                let customer = service.customer(&email)?.at(address);
                let shared = Arc::clone(&shared);
                Ok(std::thread::spawn(move || shared.book(&customer, each)))
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Self { shared, customers })
    }

    /// How many bookings are confirmed that were asked for after this moment.
    pub(super) fn confirmed_since(&self, moment: Instant) -> usize {
        self.shared.sales().iter().rev().filter(|sale| sale.asked_at > moment).count()
    }

    /// The longest time without a confirmation between two moments.
    pub(super) fn longest_pause(&self, from: Instant, to: Instant) -> Duration {
        let sales = self.shared.sales();
        let within =
            sales.iter().map(|sale| sale.confirmed_at).filter(|at| (from..to).contains(at));
        let mut moments: Vec<Instant> = within.chain([from, to]).collect();
        moments.sort_unstable();
        moments.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }

    /// Whether a customer has ended although nobody asked for that.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let ended = self.customers.iter().filter(|customer| customer.is_finished()).count();
        anyhow::ensure!(ended == 0, "{ended} customers have ended; the reason is told at the end");
        Ok(())
    }

    /// Lets the open requests end, and gives the ledger with the number of repeated requests.
    pub(super) fn end(self) -> anyhow::Result<(Vec<Sale>, u32)> {
        self.shared.stop.store(true, Ordering::Relaxed);
        for customer in self.customers {
            customer.join().map_err(|_| anyhow::anyhow!("a customer panicked"))??;
        }
        let sales = self.shared.sales().clone();
        Ok((sales, self.shared.repeats.load(Ordering::Relaxed)))
    }
}

impl Shared {
    fn sales(&self) -> std::sync::MutexGuard<'_, Vec<Sale>> {
        self.sales.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Books one seat after the other, at most one in each interval.
    fn book(&self, customer: &Customer, each: Duration) -> anyhow::Result<()> {
        let mut due = Instant::now();
        while !self.stop.load(Ordering::Relaxed) {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            // What a failover has held up is not made up for.
            due = Instant::now().max(due) + each;
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            anyhow::ensure!(number < FLIGHTS * SEATS, "all seats are sold");
            let sale = self.sell(customer, number)?;
            self.sales().push(sale);
        }
        Ok(())
    }

    /// Asks for a seat until it is confirmed.
    fn sell(&self, customer: &Customer, number: u32) -> anyhow::Result<Sale> {
        let flight_id = i32::try_from(number % FLIGHTS + 1)?;
        let seat = format!("{}A", number / FLIGHTS + 1);
        let key = format!("booking-{number}");
        let asked_at = Instant::now();
        loop {
            let last = match customer.try_to_book_seat(flight_id, &seat, &key) {
                Ok(answer) if answer.status == 201 => {
                    let booking = answer.json()?;
                    let book_ref = booking["book_ref"].as_str().context("no reference")?.to_owned();
                    let confirmed_at = Instant::now();
                    return Ok(Sale { flight_id, seat, book_ref, asked_at, confirmed_at });
                }
                Ok(answer) if is_passing(answer.status, &answer.body) => answer.body,
                Ok(answer) => anyhow::bail!(
                    "seat {seat} of flight {flight_id} is refused with status {}: {}",
                    answer.status,
                    answer.body
                ),
                Err(error) => format!("{error:#}"),
            };
            anyhow::ensure!(
                asked_at.elapsed() < PATIENCE,
                "no answer for {PATIENCE:?}, the last one was {last}"
            );
            self.repeats.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(PAUSE);
        }
    }
}

/// Whether a request may be sent again: the service or the proxy is not able to answer, or the request under the same
/// key is still under way.
fn is_passing(status: u16, body: &str) -> bool {
    status >= 500 || status == 409 && body.contains("under way")
}
