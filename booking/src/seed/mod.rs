//! Fills an airline database with a realistic data set. The database is empty before, or holds airports and aircraft
//! models that somebody has entered.
//!
//! In: options and a connection string. Out: rows of all eight tables by COPY, in one transaction. The same seed, scale
//! and day always give the same rows. There is one commit, and the server's constraints hold at it.

mod error;
mod journeys;
mod math;
mod network;
mod rows;

use chrono::{NaiveDate, NaiveTime};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use synthetic::copy::copy_lines;
use tokio_postgres::{Client, Transaction};

use self::math::whole;
use self::network::Network;
use self::rows::Dataset;
use crate::database::Database;
use crate::reference::airports::AIRPORTS;
use crate::reference::fleet::FLEET;
use crate::tables::Table;

pub use self::error::{SCALE_MAX, SeedError};

/// Bookings at scale 1.
pub const BOOKINGS_PER_SCALE: f64 = 10_000.0;

/// What to generate, and what to do with rows that exist.
#[derive(Debug, Clone)]
pub struct SeedOptions {
    /// Size of the data set: 1 is about ten thousand bookings.
    pub scale: f64,
    /// Start of the random numbers.
    pub seed: u64,
    /// The day on whose first moment, UTC, the data set is a snapshot: flights before it have flown.
    pub today: NaiveDate,
    /// Whether rows that are there are removed first.
    pub existing: Existing,
}

/// What to do with rows that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Refuse to seed, unless all that is there are airports and aircraft models of somebody's own.
    Refuse,
    /// Truncate all eight tables in the seeding transaction.
    Truncate,
}

/// How far the seeding is.
#[derive(Debug, Clone, Copy)]
pub struct SeedProgress {
    /// Table being filled.
    pub table: Table,
    /// Rows sent so far, over all tables.
    pub row_count: u64,
    /// The most rows that can be sent. It is a little more than the real number, because not everybody has a boarding
    /// pass.
    pub row_count_max: u64,
}

/// What was written.
#[derive(Debug, Clone)]
pub struct SeedSummary {
    /// Rows by table, in the order of [`Table::ALL`].
    pub row_counts: Vec<(Table, u64)>,
}

impl SeedSummary {
    /// Rows of one table.
    pub fn rows(&self, table: Table) -> u64 {
        self.row_counts.iter().find(|(filled, _)| *filled == table).map_or(0, |(_, count)| *count)
    }
}

/// Generates the data set and writes it in one transaction. `progress` is called after each block and each table.
pub async fn seed(
    database: &Database,
    options: &SeedOptions,
    mut progress: impl FnMut(SeedProgress),
) -> Result<SeedSummary, SeedError> {
    if !(options.scale > 0.0 && options.scale <= SCALE_MAX) {
        return Err(SeedError::Scale(options.scale));
    }
    let mut client = database.connect().await?;
    let tx = client.transaction().await.map_err(SeedError::at("begin"))?;
    clear(&tx, options.existing).await?;
    let dataset = generate(options)?;
    let row_count_max = dataset.row_count();
    let mut row_count = 0;
    let mut row_counts = Vec::new();
    for table in Table::ALL {
        let mut sent = 0;
        let name = format!("public.{}", table.name());
        let written = copy_lines(&tx, &name, table.columns(), dataset.lines(table), |rows| {
            sent += rows;
            progress(SeedProgress { table, row_count: row_count + sent, row_count_max });
        })
        .await
        .map_err(SeedError::at(format!("copy into table {}", table.name())))?;
        row_count += written;
        row_counts.push((table, written));
    }
    tx.batch_execute(
        "SELECT setval('public.flights_flight_id_seq', (SELECT max(flight_id) FROM public.flights))",
    )
    .await
    .map_err(SeedError::at("advance the sequence of flight_id"))?;
    tx.commit().await.map_err(SeedError::at("commit"))?;
    analyze(&client).await?;
    Ok(SeedSummary { row_counts })
}

fn generate(options: &SeedOptions) -> Result<Dataset, SeedError> {
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let reference = options.today.and_time(NaiveTime::MIN).and_utc();
    let booking_count = options.scale * BOOKINGS_PER_SCALE;
    // Tickets a booking, segments a ticket, and passengers a flight of the well-known demonstration database.
    let flight_count = booking_count * 1.40 * 2.85 / 36.0;
    let count = |value: f64| u64::try_from(whole(value.round())).unwrap_or(0).max(1);
    let mut network = Network::plan(count(flight_count), reference, &mut rng);
    let bookings = journeys::sell(&mut network, count(booking_count), reference, &mut rng)?;
    Ok(Dataset::new(network, bookings, options.seed))
}

/// Locks the tables against other writers, so that they stay as they were found, and empties them if that was asked
/// for.
async fn clear(tx: &Transaction<'_>, existing: Existing) -> Result<(), SeedError> {
    let tables = Table::ALL.map(|table| format!("public.{}", table.name())).join(", ");
    match existing {
        Existing::Truncate => tx
            .batch_execute(&format!("TRUNCATE {tables} RESTART IDENTITY"))
            .await
            .map_err(SeedError::at("truncate the tables (only their owner may)")),
        Existing::Refuse => {
            tx.batch_execute(&format!("LOCK TABLE {tables} IN SHARE ROW EXCLUSIVE MODE"))
                .await
                .map_err(SeedError::at("lock the tables of the airline"))?;
            for table in Table::ALL {
                refuse_rows(tx, table).await?;
            }
            Ok(())
        }
    }
}

/// Refuses a table that holds rows with which the data set would collide. Airports and aircraft models that somebody
/// entered by hand may stay, with their seats, because nothing in the data set refers to them.
async fn refuse_rows(tx: &Transaction<'_>, table: Table) -> Result<(), SeedError> {
    let name = table.name();
    let (column, codes): (_, Vec<&str>) = match table {
        Table::Airports => ("airport_code", AIRPORTS.iter().map(|airport| airport.code).collect()),
        Table::Aircrafts | Table::Seats => {
            ("aircraft_code", FLEET.iter().map(|model| model.code).collect())
        }
        _ => {
            let query = format!("SELECT EXISTS (SELECT FROM public.{name})");
            let row = tx
                .query_one(&query, &[])
                .await
                .map_err(SeedError::at(format!("read table {name}")))?;
            return if row.get(0) { Err(SeedError::NotEmpty(name)) } else { Ok(()) };
        }
    };
    let query = format!(
        "SELECT {column}::text FROM public.{name} WHERE {column}::text = ANY ($1) ORDER BY 1 LIMIT 1"
    );
    let taken = tx
        .query_opt(&query, &[&codes])
        .await
        .map_err(SeedError::at(format!("read table {name}")))?;
    match taken {
        Some(row) => Err(SeedError::Taken { table: name, code: row.get(0) }),
        None => Ok(()),
    }
}

/// Gives the planner statistics at once, because the simulation starts before autovacuum does. Only the owner of a
/// table may do so. For other roles autovacuum makes the statistics.
async fn analyze(client: &Client) -> Result<(), SeedError> {
    let step = "analyze the tables";
    for table in Table::ALL {
        let name = format!("public.{}", table.name());
        let row = client
            .query_one(
                "SELECT pg_has_role(relowner, 'USAGE')
                 FROM pg_catalog.pg_class
                 WHERE oid = $1::text::regclass",
                &[&name],
            )
            .await
            .map_err(SeedError::at(step))?;
        if row.get(0) {
            client.batch_execute(&format!("ANALYZE {name}")).await.map_err(SeedError::at(step))?;
        }
    }
    Ok(())
}
