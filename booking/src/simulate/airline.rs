//! One worker's view of the airline: its connection, its generator and the clock. It runs one transaction at a time.
//!
//! In: a kind of transaction. Out: its outcome. The transaction is committed or rolled back when [`Airline::transact`]
//! returns, unless the connection was lost.

use chrono::{DateTime, Duration, Utc};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use synthetic::session::Session;
use tokio_postgres::{Error, Row};

use super::clock::AirlineClock;
use super::mix::Kind;
use super::seating::HAS_SERVICE;
use crate::tables::FREE_SEATS;

/// What a transaction did before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    /// It is to be committed.
    Commit,
    /// It is to be rolled back on purpose.
    GiveUp,
    /// There was nothing for it to do.
    Nothing,
}

/// The outcome of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It changed so many rows.
    Committed { row_count: u64 },
    /// It was rolled back on purpose.
    RolledBack,
    /// There was nothing for it to do.
    NothingToDo,
}

/// A worker's airline.
pub(crate) struct Airline {
    pub(super) session: Session,
    pub(super) rng: ChaCha8Rng,
    pub(super) clock: AirlineClock,
    /// The last few flights that this worker cancelled. Their passengers may want their money back.
    pub(super) cancelled: Vec<i32>,
    /// Whether the database has the tables of the booking service; looked up once.
    has_service: Option<bool>,
}

/// A flight that can still be sold, as the departure board shows it.
pub(super) struct OpenFlight {
    pub(super) flight_id: i32,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) departs: DateTime<Utc>,
    pub(super) arrives: DateTime<Utc>,
    pub(super) aircraft_code: String,
    pub(super) status: String,
}

impl OpenFlight {
    pub(super) fn of(row: &Row) -> Self {
        Self {
            flight_id: row.get("flight_id"),
            from: row.get("departure_airport"),
            to: row.get("arrival_airport"),
            departs: row.get("scheduled_departure"),
            arrives: row.get("scheduled_arrival"),
            aircraft_code: row.get("aircraft_code"),
            status: row.get("status"),
        }
    }
}

impl Airline {
    pub(crate) fn new(session: Session, rng: ChaCha8Rng, clock: AirlineClock) -> Self {
        Self { session, rng, clock, cancelled: Vec::new(), has_service: None }
    }

    /// The same worker on a new connection.
    pub(crate) fn reconnected(self, session: Session) -> Self {
        Self { session, ..self }
    }

    /// Whether the booking service may have sold seats in this database.
    pub(super) async fn has_service(&mut self) -> Result<bool, Error> {
        if let Some(has_service) = self.has_service {
            return Ok(has_service);
        }
        let row = self.session.first(HAS_SERVICE, &[]).await?;
        let has_service = row.is_some_and(|row| row.get(0));
        self.has_service = Some(has_service);
        Ok(has_service)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.session.is_closed()
    }

    /// Draws what happens next.
    pub(crate) fn draw(&mut self) -> Kind {
        Kind::draw(&mut self.rng)
    }

    /// Runs one transaction to its end.
    pub(crate) async fn transact(&mut self, kind: Kind) -> Result<Outcome, Error> {
        self.session.begin().await?;
        match self.body(kind).await {
            Ok(Done::Commit) => Ok(Outcome::Committed { row_count: self.session.commit().await? }),
            Ok(Done::GiveUp) => {
                self.session.rollback().await?;
                Ok(Outcome::RolledBack)
            }
            Ok(Done::Nothing) => {
                self.session.rollback().await?;
                Ok(Outcome::NothingToDo)
            }
            Err(err) => {
                self.session.rollback_after_error().await;
                Err(err)
            }
        }
    }

    async fn body(&mut self, kind: Kind) -> Result<Done, Error> {
        match kind {
            Kind::Book => self.book().await,
            Kind::BookWithSavepoint => self.book_with_savepoint().await,
            Kind::Abandon => self.abandon().await,
            Kind::ChangePrice => self.change_price().await,
            Kind::ChangeContact => self.change_contact().await,
            Kind::Refund => self.refund().await,
            Kind::Rebook => self.rebook().await,
            Kind::CheckIn => self.check_in().await,
            Kind::Depart => self.depart().await,
            Kind::Arrive => self.arrive().await,
            Kind::Announce => self.announce().await,
            Kind::Retime => self.retime().await,
            Kind::SwapAircraft => self.swap_aircraft().await,
            Kind::Cancel => self.cancel().await,
            Kind::ScheduleFlight => self.schedule_flight().await,
            Kind::EditReference => self.edit_reference().await,
        }
    }

    /// An open flight that leaves between `from` and `to` from now.
    pub(super) async fn open_flight(
        &mut self,
        from: Duration,
        to: Duration,
    ) -> Result<Option<OpenFlight>, Error> {
        let now = self.clock.now();
        let after = self.rng.random_range(from.num_seconds()..to.num_seconds());
        let row = self
            .session
            .first(
                "SELECT flight_id, departure_airport, arrival_airport, scheduled_departure,
                        scheduled_arrival, aircraft_code, status
                 FROM public.flights
                 WHERE status IN ('Scheduled', 'On Time', 'Delayed')
                   AND scheduled_departure >= $1
                   AND scheduled_departure <= $2
                 ORDER BY scheduled_departure, flight_id
                 LIMIT 1",
                &[&(now + Duration::seconds(after)), &(now + to)],
            )
            .await?;
        Ok(row.as_ref().map(OpenFlight::of))
    }

    /// Some booking, each about as likely as the others.
    pub(super) async fn some_booking(&mut self) -> Result<Option<String>, Error> {
        let probe = format!("{:06X}", self.rng.random_range(0..1 << 24));
        for from in [probe.as_str(), ""] {
            let row = self
                .session
                .first(
                    "SELECT book_ref
                     FROM public.bookings
                     WHERE book_ref >= $1
                     ORDER BY book_ref
                     LIMIT 1",
                    &[&from],
                )
                .await?;
            if let Some(row) = row {
                return Ok(Some(row.get(0)));
            }
        }
        Ok(None)
    }

    /// Some booking that has a segment on a flight.
    pub(super) async fn booking_on(&mut self, flight_id: i32) -> Result<Option<String>, Error> {
        let skipped = self.rng.random_range(0..30_i64);
        for offset in [skipped, 0] {
            let row = self
                .session
                .first(
                    "SELECT t.book_ref
                     FROM public.ticket_flights AS tf
                     JOIN public.tickets AS t ON t.ticket_no = tf.ticket_no
                     WHERE tf.flight_id = $1
                     ORDER BY t.ticket_no
                     LIMIT 1
                     OFFSET $2",
                    &[&flight_id, &offset],
                )
                .await?;
            if let Some(row) = row {
                return Ok(Some(row.get(0)));
            }
        }
        Ok(None)
    }

    /// Locks a booking, so that its segments and its total change together. A transaction that locks both a booking and
    /// flights locks the booking first.
    pub(super) async fn lock_booking(&mut self, book_ref: &str) -> Result<bool, Error> {
        let row = self
            .session
            .first(
                "SELECT book_ref
                 FROM public.bookings
                 WHERE book_ref = $1
                 FOR UPDATE",
                &[&book_ref],
            )
            .await?;
        Ok(row.is_some())
    }

    /// Locks flights in the order of their ids and gives those that can still be sold.
    pub(super) async fn lock_open_flights(
        &mut self,
        flight_ids: &[i32],
    ) -> Result<Vec<OpenFlight>, Error> {
        let rows = self
            .session
            .rows(
                "SELECT flight_id, departure_airport, arrival_airport, scheduled_departure,
                        scheduled_arrival, aircraft_code, status
                 FROM public.flights
                 WHERE flight_id = ANY ($1)
                   AND status IN ('Scheduled', 'On Time', 'Delayed')
                 ORDER BY flight_id
                 FOR NO KEY UPDATE",
                &[&flight_ids],
            )
            .await?;
        Ok(rows.iter().map(OpenFlight::of).collect())
    }

    /// Seats of a class that are not sold on a flight. The number holds only while the flight is locked.
    pub(super) async fn free_seats(&mut self, flight_id: i32, fare: &str) -> Result<i64, Error> {
        let row = self.session.first(FREE_SEATS, &[&flight_id, &fare]).await?;
        Ok(row.map_or(0, |row| row.get(0)))
    }

    /// Sets a locked booking's total to the sum of its segments.
    pub(super) async fn settle_total(&mut self, book_ref: &str) -> Result<(), Error> {
        self.session
            .change(
                "UPDATE public.bookings
                 SET total_amount = (
                     SELECT coalesce(sum(tf.amount), 0)
                     FROM public.tickets AS t
                     JOIN public.ticket_flights AS tf ON tf.ticket_no = t.ticket_no
                     WHERE t.book_ref = $1
                 )
                 WHERE book_ref = $1",
                &[&book_ref],
            )
            .await?;
        Ok(())
    }
}
