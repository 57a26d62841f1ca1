//! Reference data: airports, aircraft models and their seats, looked at by everybody and edited by staff.
//!
//! In: codes, new values with the state that they are based on. Out: rows, or a refusal. Whether an account is staff is
//! asked in the transaction that changes, and the row is locked before its state is compared, so of two editors of one
//! state the second is refused.

use serde::Serialize;
use tokio_postgres::types::Type;
use tokio_postgres::{Row, Transaction};

use super::super::answer::IfMatch;
use super::super::problem::{Kind, Problem};
use super::super::work::{Failure, Mode, Work};

/// An airport as it is edited.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct AirportRow {
    pub(crate) airport_code: String,
    pub(crate) airport_name: String,
    pub(crate) city: String,
    pub(crate) longitude: f64,
    pub(crate) latitude: f64,
    pub(crate) timezone: String,
}

/// An aircraft model as it is edited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct AircraftRow {
    pub(crate) aircraft_code: String,
    pub(crate) model: String,
    pub(crate) range: i32,
}

/// Whether an account may edit reference data.
#[derive(Debug)]
pub(crate) struct IsStaff {
    pub(crate) account_id: i64,
}

impl Work for IsStaff {
    type Output = bool;

    async fn run(&self, tx: &Transaction<'_>) -> Result<bool, Failure> {
        is_staff(tx, self.account_id).await
    }

    fn mode(&self) -> Mode {
        Mode::Read
    }
}

async fn is_staff(tx: &Transaction<'_>, account_id: i64) -> Result<bool, Failure> {
    let row = tx
        .query_typed_one(
            "SELECT EXISTS (
                 SELECT
                 FROM service.staff
                 WHERE account_id = $1
             )",
            &[(&account_id, Type::INT8)],
        )
        .await?;
    Ok(row.get(0))
}

/// Refuses an account that may not edit.
async fn check_staff(tx: &Transaction<'_>, account_id: i64) -> Result<(), Failure> {
    if is_staff(tx, account_id).await? {
        return Ok(());
    }
    Err(Problem::new(Kind::Forbidden, "only staff edits reference data").into())
}

/// One airport.
#[derive(Debug)]
pub(crate) struct OneAirport {
    pub(crate) code: String,
}

impl Work for OneAirport {
    type Output = Option<AirportRow>;

    async fn run(&self, tx: &Transaction<'_>) -> Result<Option<AirportRow>, Failure> {
        airport(tx, &self.code, "").await
    }

    fn mode(&self) -> Mode {
        Mode::Read
    }
}

async fn airport(
    tx: &Transaction<'_>,
    code: &str,
    lock: &str,
) -> Result<Option<AirportRow>, Failure> {
    let query = format!(
        "SELECT airport_code, airport_name, city, longitude, latitude, timezone
         FROM public.airports
         WHERE airport_code = $1
         {lock}"
    );
    let row = tx.query_typed_opt(&query, &[(&code, Type::BPCHAR)]).await?;
    Ok(row.map(|row| AirportRow {
        airport_code: row.get(0),
        airport_name: row.get(1),
        city: row.get(2),
        longitude: row.get(3),
        latitude: row.get(4),
        timezone: row.get(5),
    }))
}

/// A changed airport.
#[derive(Debug)]
pub(crate) struct ChangedAirport {
    pub(crate) account_id: i64,
    pub(crate) if_match: IfMatch,
    pub(crate) new: AirportRow,
}

impl Work for ChangedAirport {
    type Output = ();

    async fn run(&self, tx: &Transaction<'_>) -> Result<(), Failure> {
        check_staff(tx, self.account_id).await?;
        let now = airport(tx, &self.new.airport_code, "FOR NO KEY UPDATE").await?;
        self.if_match.check(&now.ok_or_else(|| Problem::not_found("airport"))?)?;
        let zone = tx
            .query_typed_one(
                "SELECT EXISTS (
                     SELECT
                     FROM pg_catalog.pg_timezone_names
                     WHERE name = $1
                 )",
                &[(&self.new.timezone, Type::TEXT)],
            )
            .await?;
        if !zone.get::<_, bool>(0) {
            let reason = "must be an IANA time zone such as Europe/Moscow";
            return Err(Problem::field("timezone", reason).into());
        }
        tx.execute_typed(
            "UPDATE public.airports
             SET airport_name = $2, city = $3, longitude = $4, latitude = $5, timezone = $6
             WHERE airport_code = $1",
            &[
                (&self.new.airport_code, Type::BPCHAR),
                (&self.new.airport_name, Type::TEXT),
                (&self.new.city, Type::TEXT),
                (&self.new.longitude, Type::FLOAT8),
                (&self.new.latitude, Type::FLOAT8),
                (&self.new.timezone, Type::TEXT),
            ],
        )
        .await?;
        Ok(())
    }

    fn mode(&self) -> Mode {
        Mode::Once
    }
}

/// All aircraft models with the number of their seats, by code.
#[derive(Debug)]
pub(crate) struct Fleet;

impl Work for Fleet {
    type Output = Vec<(AircraftRow, i64)>;

    async fn run(&self, tx: &Transaction<'_>) -> Result<Self::Output, Failure> {
        let rows = tx
            .query_typed(
                "SELECT a.aircraft_code, a.model, a.range, count(s.seat_no)
                 FROM public.aircrafts AS a
                 LEFT JOIN public.seats AS s ON s.aircraft_code = a.aircraft_code
                 GROUP BY a.aircraft_code
                 ORDER BY a.aircraft_code",
                &[],
            )
            .await?;
        Ok(rows.iter().map(|row| (aircraft(row), row.get(3))).collect())
    }

    fn mode(&self) -> Mode {
        Mode::Read
    }
}

fn aircraft(row: &Row) -> AircraftRow {
    AircraftRow { aircraft_code: row.get(0), model: row.get(1), range: row.get(2) }
}

async fn one_aircraft(
    tx: &Transaction<'_>,
    code: &str,
    lock: &str,
) -> Result<Option<AircraftRow>, Failure> {
    let query = format!(
        "SELECT aircraft_code, model, range
         FROM public.aircrafts
         WHERE aircraft_code = $1
         {lock}"
    );
    let row = tx.query_typed_opt(&query, &[(&code, Type::BPCHAR)]).await?;
    Ok(row.as_ref().map(aircraft))
}

/// One aircraft model with its seats: class and the seats' names.
#[derive(Debug)]
pub(crate) struct OneAircraft {
    pub(crate) code: String,
}

impl Work for OneAircraft {
    type Output = Option<(AircraftRow, Vec<(String, Vec<String>)>)>;

    async fn run(&self, tx: &Transaction<'_>) -> Result<Self::Output, Failure> {
        let Some(aircraft) = one_aircraft(tx, &self.code, "").await? else { return Ok(None) };
        let rows = tx
            .query_typed(
                "SELECT fare_conditions::text, array_agg(seat_no::text ORDER BY lpad(seat_no, 4, '0'))
                 FROM public.seats
                 WHERE aircraft_code = $1
                 GROUP BY fare_conditions
                 ORDER BY fare_conditions",
                &[(&self.code, Type::BPCHAR)],
            )
            .await?;
        let cabins = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        Ok(Some((aircraft, cabins)))
    }

    fn mode(&self) -> Mode {
        Mode::Read
    }
}

/// A changed aircraft model.
#[derive(Debug)]
pub(crate) struct ChangedAircraft {
    pub(crate) account_id: i64,
    pub(crate) if_match: IfMatch,
    pub(crate) new: AircraftRow,
}

impl Work for ChangedAircraft {
    type Output = ();

    async fn run(&self, tx: &Transaction<'_>) -> Result<(), Failure> {
        check_staff(tx, self.account_id).await?;
        let now = one_aircraft(tx, &self.new.aircraft_code, "FOR NO KEY UPDATE").await?;
        self.if_match.check(&now.ok_or_else(|| Problem::not_found("aircraft"))?)?;
        tx.execute_typed(
            "UPDATE public.aircrafts
             SET model = $2, range = $3
             WHERE aircraft_code = $1",
            &[
                (&self.new.aircraft_code, Type::BPCHAR),
                (&self.new.model, Type::TEXT),
                (&self.new.range, Type::INT4),
            ],
        )
        .await?;
        Ok(())
    }

    fn mode(&self) -> Mode {
        Mode::Once
    }
}
