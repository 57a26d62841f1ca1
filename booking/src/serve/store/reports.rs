//! What the reports read in the warehouse: marts, and up to when they are complete.
//!
//! In: a report and a number of days. Out: rows of texts, ready for a table and a file. Nothing here knows the vault:
//! the marts of `dwh_marts` are the interface, and the role `mart_reader` is enough. Days are UTC days, today is the
//! last.

use chrono::{DateTime, Utc};
use tokio_postgres::Transaction;
use tokio_postgres::types::Type;

use super::super::model::time;
use super::super::work::{Failure, Mode, Work};

/// Bookings, items and revenue of each day.
const SALES_PER_DAY: &str = "
    SELECT
        to_char(days.day, 'YYYY-MM-DD'),
        count(DISTINCT item.book_ref)::text,
        count(item.segment_key)::text,
        coalesce(sum(item.amount), 0.00)::text
    FROM generate_series(
        (now() AT TIME ZONE 'UTC')::date - ($1 - 1),
        (now() AT TIME ZONE 'UTC')::date,
        interval '1 day'
    ) AS days (day)
    LEFT JOIN dwh_marts.fact_bookings AS item ON item.book_date = days.day::date
    GROUP BY days.day
    ORDER BY days.day";

/// Flights, seats, sold and boarded of each day of departure; cancelled flights have no seats.
const SEAT_UTILISATION: &str = "
    SELECT
        to_char(days.day, 'YYYY-MM-DD'),
        count(flight.flight_key)::text,
        coalesce(sum(flight.seats_total), 0)::text,
        coalesce(sum(flight.passengers_booked), 0)::text,
        coalesce(sum(flight.passengers_boarded), 0)::text,
        coalesce(round(100 * sum(flight.passengers_booked) / nullif(sum(flight.seats_total), 0), 1), 0.0)::text
    FROM generate_series(
        (now() AT TIME ZONE 'UTC')::date - ($1 - 1),
        (now() AT TIME ZONE 'UTC')::date,
        interval '1 day'
    ) AS days (day)
    LEFT JOIN dwh_marts.fact_flight_operations AS flight
        ON flight.departure_day = days.day::date
        AND flight.status <> 'Cancelled'
    GROUP BY days.day
    ORDER BY days.day";

/// The ten routes with the highest revenue of what was booked.
const TOP_ROUTES: &str = "
    WITH sold AS (
        SELECT
            flight.route_key,
            count(DISTINCT flight.flight_key) AS flights,
            count(*)                          AS items,
            sum(item.amount)                  AS revenue
        FROM dwh_marts.fact_bookings AS item
        JOIN dwh_marts.dim_flight AS flight ON flight.flight_key = item.flight_key
        WHERE item.book_date > (now() AT TIME ZONE 'UTC')::date - $1
            AND item.book_date <= (now() AT TIME ZONE 'UTC')::date
            AND NOT flight.is_cancelled
            AND flight.route_key IS NOT NULL
        GROUP BY flight.route_key
        ORDER BY sum(item.amount) DESC NULLS LAST, flight.route_key
        LIMIT 10
    )
    SELECT
        sold.route_key,
        coalesce(route.departure_city, ''),
        coalesce(route.arrival_city, ''),
        sold.flights::text,
        sold.items::text,
        coalesce(sold.revenue, 0.00)::text
    FROM sold
    LEFT JOIN dwh_marts.dim_route AS route ON route.route_key = sold.route_key
    ORDER BY sold.revenue DESC NULLS LAST, sold.route_key";

/// A report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Report {
    SalesPerDay,
    SeatUtilisation,
    TopRoutes,
}

impl Report {
    const fn query(self) -> &'static str {
        match self {
            Self::SalesPerDay => SALES_PER_DAY,
            Self::SeatUtilisation => SEAT_UTILISATION,
            Self::TopRoutes => TOP_ROUTES,
        }
    }
}

/// Up to when the warehouse is complete. What is not known is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fresh {
    /// Everything that was published by then is in the vault.
    pub(crate) complete_up_to: Option<String>,
    /// The moment whose state of the vault the marts show.
    pub(crate) refreshed_at: Option<String>,
    /// Events that could not be loaded, and so are in no report.
    pub(crate) waiting_events: i64,
}

/// A report about so many days.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReportOf {
    pub(crate) report: Report,
    pub(crate) days: i32,
}

impl Work for ReportOf {
    type Output = (Vec<Vec<String>>, Fresh);

    async fn run(&self, tx: &Transaction<'_>) -> Result<Self::Output, Failure> {
        let fresh = fresh(tx).await?;
        let rows = tx.query_typed(self.report.query(), &[(&self.days, Type::INT4)]).await?;
        let texts = |row: &tokio_postgres::Row| (0..row.len()).map(|at| row.get(at)).collect();
        Ok((rows.iter().map(texts).collect(), fresh))
    }

    fn mode(&self) -> Mode {
        Mode::Read
    }
}

/// Whether the warehouse answers, and up to when it is complete.
#[derive(Debug)]
pub(crate) struct Freshness;

impl Work for Freshness {
    type Output = Fresh;

    async fn run(&self, tx: &Transaction<'_>) -> Result<Fresh, Failure> {
        fresh(tx).await
    }

    fn mode(&self) -> Mode {
        Mode::Read
    }
}

async fn fresh(tx: &Transaction<'_>) -> Result<Fresh, Failure> {
    let row = tx
        .query_typed_one(
            "SELECT
                 (SELECT refreshed_at FROM dwh_marts.mart_refreshes),
                 to_regclass('dwh_marts.freshness') IS NOT NULL",
            &[],
        )
        .await?;
    let moment = |at: Option<DateTime<Utc>>| at.map(time);
    let mut fresh = Fresh { refreshed_at: moment(row.get(0)), ..Fresh::default() };
    // A vault without a loader has no watermark.
    if row.get(1) {
        let row = tx
            .query_typed_opt(
                "SELECT published, coalesce(waiting_events, 0)
                 FROM dwh_marts.freshness
                 ORDER BY source <> 'airline', source
                 LIMIT 1",
                &[],
            )
            .await?;
        if let Some(row) = row {
            fresh.complete_up_to = moment(row.get(0));
            fresh.waiting_events = row.get(1);
        }
    }
    Ok(fresh)
}
