//! A random workload on the airline's eight tables that writes down what it did.
//!
//! In: a seed, a source database without foreign and secondary unique keys (a random key change would hardly ever pass
//! them). Out: for every key the states that it went through, in order, as the source itself printed them.
//! Invariant: a state is written down if and only if its transaction committed and no savepoint took it back; workers
//! own disjoint keys, so each key's order is one worker's order. Truncates happen while no worker has a transaction
//! open.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context;
use rand::RngExt;
use rand::SeedableRng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use tokio::sync::{Mutex, RwLock};
use tokio_postgres::Client;

use crate::airline::{TABLES, Table};
use crate::sql::{self, Row};

/// A row's key as text.
pub type Key = Vec<String>;

/// What keys went through: a row, or nothing after a delete.
pub type Log = BTreeMap<(&'static str, Key), Vec<Option<Row>>>;

/// Keys that each worker has in each table: few, so that they are deleted and come back often.
const KEYS_EACH: u32 = 10;

/// Removes what random rows cannot respect. Primary keys, checks and NOT NULL stay.
pub async fn loosen(client: &Client) -> anyhow::Result<()> {
    client
        .batch_execute(
            "DO $$
             DECLARE
                 found record;
             BEGIN
                 FOR found IN
                     SELECT conrelid::regclass AS table_name, conname
                     FROM pg_constraint
                     WHERE contype IN ('f', 'u') AND connamespace = 'public'::regnamespace
                     ORDER BY contype
                 LOOP
                     EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', found.table_name, found.conname);
                 END LOOP;
             END
             $$",
        )
        .await
        .context("cannot remove constraints")
}

/// What the workload does.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The same seed does the same to the same database, but for how workers interleave.
    pub seed: u64,
    /// Workers at the same time.
    pub workers: u32,
    /// Transactions of each.
    pub transactions: u32,
    /// Whether tables are truncated now and then.
    pub truncates: bool,
}

/// The workload's memory.
#[derive(Default)]
pub struct Workload {
    log: Arc<Mutex<Log>>,
    /// the one table that is truncated; any, unless it is set
    truncated: Option<&'static str>,
}

impl Workload {
    /// A workload that truncates this table and no other one.
    #[must_use]
    pub fn truncating_only(table: &'static str) -> Self {
        Self { truncated: Some(table), ..Self::default() }
    }

    /// Runs the workers to their end.
    pub async fn run(&self, source: &str, options: Options) -> anyhow::Result<()> {
        self.run_on(source, options, 0).await
    }

    /// The same on keys that begin at a number: in tables whose keys are numbers, other numbers are other keys.
    pub async fn run_on(
        &self,
        source: &str,
        options: Options,
        first_key: u32,
    ) -> anyhow::Result<()> {
        let quiet = Arc::new(RwLock::new(()));
        let mut workers = tokio::task::JoinSet::new();
        // From 1: a number printed by PostgreSQL has no leading zero.
        for number in 1..=options.workers {
            let worker = Worker {
                number,
                rng: ChaCha8Rng::seed_from_u64(options.seed * 1000 + u64::from(number)),
                client: sql::connect(source).await?,
                log: Arc::clone(&self.log),
                truncated: self.truncated,
                first_key,
                rows: BTreeMap::new(),
                pending: Vec::new(),
            };
            let quiet = Arc::clone(&quiet);
            workers.spawn(worker.run(options, quiet));
        }
        while let Some(result) = workers.join_next().await {
            result.context("a worker panicked")??;
        }
        Ok(())
    }

    /// Forgets how the rows that exist came about: what a snapshot can see.
    pub async fn forget_past(&self) {
        self.log.lock().await.retain(|_, states| {
            states.drain(..states.len() - 1);
            states[0].is_some()
        });
    }

    /// The source was put back to what it was when `kept` was its log, and a new snapshot was taken: rows that came
    /// since are gone, and all others have their old state again. What was published meanwhile stays in the history.
    pub async fn put_back(&self, kept: &Log) {
        for (place, states) in &mut *self.log.lock().await {
            let then = kept.get(place).and_then(|states| states.last().cloned().flatten());
            if states.last().is_some_and(|last| *last != then) {
                states.push(then);
            }
        }
    }

    /// What every key went through.
    pub async fn log(&self) -> Log {
        self.log.lock().await.clone()
    }
}

struct Worker {
    number: u32,
    rng: ChaCha8Rng,
    client: Client,
    log: Arc<Mutex<Log>>,
    truncated: Option<&'static str>,
    first_key: u32,
    /// This worker's rows as its open transaction sees them.
    rows: BTreeMap<(&'static str, Key), Row>,
    /// States that wait for the commit.
    pending: Vec<((&'static str, Key), Option<Row>)>,
}

impl Worker {
    async fn run(mut self, options: Options, quiet: Arc<RwLock<()>>) -> anyhow::Result<()> {
        self.reload().await;
        for _ in 0..options.transactions {
            if options.truncates && self.rng.random_ratio(1, 60) {
                let _alone = quiet.write().await;
                self.truncate().await?;
            }
            let _shared = quiet.read().await;
            // Another worker may have truncated a table since.
            self.reload().await;
            self.transaction().await?;
        }
        Ok(())
    }

    /// Takes this worker's rows from the log.
    async fn reload(&mut self) {
        let mine = format!("{}", self.number);
        self.rows = self
            .log
            .lock()
            .await
            .iter()
            .filter(|((_, key), _)| key[0].starts_with(&mine))
            .filter_map(|(place, states)| Some((place.clone(), states.last()?.clone()?)))
            .collect();
    }

    async fn truncate(&mut self) -> anyhow::Result<()> {
        let any = TABLES.choose(&mut self.rng).context("no table")?.name;
        let table = self.truncated.unwrap_or(any);
        self.client.batch_execute(&format!("TRUNCATE {table}")).await?;
        for ((name, _), states) in self.log.lock().await.iter_mut() {
            if *name == table && states.last().is_some_and(Option::is_some) {
                states.push(None);
            }
        }
        Ok(())
    }

    async fn transaction(&mut self) -> anyhow::Result<()> {
        let before = self.rows.clone();
        self.pending.clear();
        self.client.batch_execute("BEGIN").await?;
        for _ in 0..self.rng.random_range(1..=6) {
            if self.rng.random_ratio(1, 8) {
                self.savepoint().await?;
            } else {
                self.operation().await?;
            }
        }
        if self.rng.random_ratio(1, 10) {
            self.client.batch_execute("ROLLBACK").await?;
            self.rows = before;
            return Ok(());
        }
        self.client.batch_execute("COMMIT").await?;
        let mut log = self.log.lock().await;
        for (place, state) in self.pending.drain(..) {
            log.entry(place).or_default().push(state);
        }
        Ok(())
    }

    /// Work below a savepoint, kept or taken back.
    async fn savepoint(&mut self) -> anyhow::Result<()> {
        let (rows, pending) = (self.rows.clone(), self.pending.len());
        self.client.batch_execute("SAVEPOINT s").await?;
        for _ in 0..self.rng.random_range(1..=3) {
            self.operation().await?;
        }
        if self.rng.random_bool(0.5) {
            self.client.batch_execute("ROLLBACK TO s; RELEASE s").await?;
            self.rows = rows;
            self.pending.truncate(pending);
        } else {
            self.client.batch_execute("RELEASE s").await?;
        }
        Ok(())
    }

    async fn operation(&mut self) -> anyhow::Result<()> {
        let table = TABLES.choose(&mut self.rng).context("no table")?;
        let key = self.random_key(table);
        let exists = self.rows.contains_key(&(table.name, key.clone()));
        match (exists, self.rng.random_range(0..10)) {
            (false, _) => self.insert(table, &key).await,
            (true, 0..=1) => self.delete(table, &key).await,
            (true, 2) => self.move_key(table, &key).await,
            (true, _) => self.update(table, &key).await,
        }
    }

    fn random_key(&mut self, table: &Table) -> Key {
        let number = self.rng.random_range(0..KEYS_EACH);
        key_of(table, self.number, self.first_key + number)
    }

    async fn insert(&mut self, table: &'static Table, key: &Key) -> anyhow::Result<()> {
        let mut values: Vec<String> = key.iter().map(|part| literal(part)).collect();
        values
            .extend(all_attributes(table.name, &mut self.rng).into_iter().map(|(_, value)| value));
        let sql = format!(
            "INSERT INTO {} ({}) VALUES ({}) RETURNING {}",
            table.name,
            table.columns.join(", "),
            values.join(", "),
            returning(table)
        );
        self.note(table, &sql).await
    }

    async fn update(&mut self, table: &'static Table, key: &Key) -> anyhow::Result<()> {
        let set = match self.rng.random_range(0..6) {
            // Nothing changes, and still the server writes a new row.
            0 => format!("{0} = {0}", table.columns[table.key_columns]),
            1 => assignments(&all_attributes(table.name, &mut self.rng)),
            _ => assignments(&some_attributes(table.name, &mut self.rng)),
        };
        let sql = format!(
            "UPDATE {} SET {set} WHERE {} RETURNING {}",
            table.name,
            condition(table, key),
            returning(table)
        );
        self.note(table, &sql).await
    }

    async fn move_key(&mut self, table: &'static Table, key: &Key) -> anyhow::Result<()> {
        let to = self.random_key(table);
        if self.rows.contains_key(&(table.name, to.clone())) {
            return Ok(());
        }
        let set: Vec<String> = table
            .columns
            .iter()
            .zip(&to)
            .map(|(column, part)| format!("{column} = {}", literal(part)))
            .collect();
        let sql = format!(
            "UPDATE {} SET {} WHERE {} RETURNING {}",
            table.name,
            set.join(", "),
            condition(table, key),
            returning(table)
        );
        self.forget(table, key);
        self.note(table, &sql).await
    }

    async fn delete(&mut self, table: &'static Table, key: &Key) -> anyhow::Result<()> {
        let sql = format!("DELETE FROM {} WHERE {}", table.name, condition(table, key));
        self.client.batch_execute(&sql).await.with_context(|| sql.clone())?;
        self.forget(table, key);
        Ok(())
    }

    fn forget(&mut self, table: &'static Table, key: &Key) {
        self.rows.remove(&(table.name, key.clone()));
        self.pending.push(((table.name, key.clone()), None));
    }

    /// Runs a statement that returns the row it made.
    async fn note(&mut self, table: &'static Table, statement: &str) -> anyhow::Result<()> {
        let rows = sql::rows(&self.client, statement).await?;
        anyhow::ensure!(rows.len() == 1, "{statement} made {} rows", rows.len());
        for row in rows {
            let key: Key = row[..table.key_columns]
                .iter()
                .map(|part| part.clone().unwrap_or_default())
                .collect();
            let place = (table.name, key);
            self.rows.insert(place.clone(), row.clone());
            self.pending.push((place, Some(row)));
        }
        Ok(())
    }
}

/// A key that belongs to a worker: its first part begins with the worker's number. Numbers of the same ten have three
/// tickets among them.
fn key_of(table: &Table, worker: u32, number: u32) -> Key {
    let ticket = format!("{worker}{number:012}");
    match table.name {
        "airports" | "aircrafts" => vec![format!("{worker}{}", SPELLINGS[spelling(number)])],
        "seats" => {
            vec![format!("{worker}S{}", number % 2), format!("5{}", SPELLINGS[spelling(number)])]
        }
        "flights" => vec![format!("{worker}{number:03}")],
        "bookings" => vec![format!("{worker}{number:05X}")],
        "tickets" => vec![ticket],
        _ => {
            let tens = number / KEYS_EACH * KEYS_EACH;
            vec![
                format!("{worker}{:012}", tens + number % KEYS_EACH % 3),
                format!("{}", number + 1),
            ]
        }
    }
}

/// Keys that differ in case, blanks or Unicode form only are keys of different rows.
const SPELLINGS: [&str; KEYS_EACH as usize] =
    ["AA", "aa", "Aa", "B", "b", "\u{e9}", "e\u{301}", " x", "x", "C"];

fn spelling(number: u32) -> usize {
    usize::try_from(number % KEYS_EACH).unwrap_or(0)
}

fn returning(table: &Table) -> String {
    let columns: Vec<String> =
        table.columns.iter().map(|column| format!("{column}::text")).collect();
    columns.join(", ")
}

fn condition(table: &Table, key: &Key) -> String {
    let parts: Vec<String> = table
        .columns
        .iter()
        .zip(key)
        .map(|(column, part)| format!("{column} = {}", literal(part)))
        .collect();
    parts.join(" AND ")
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn assignments(values: &[(&'static str, String)]) -> String {
    let parts: Vec<String> =
        values.iter().map(|(column, value)| format!("{column} = {value}")).collect();
    parts.join(", ")
}

/// A finite double of any size, in digits that mean it and no other.
fn any_double(rng: &mut ChaCha8Rng) -> String {
    loop {
        let value = f64::from_bits(rng.random());
        if value.is_normal() {
            return format!("'{value:e}'");
        }
    }
}

fn some_attributes(table: &str, rng: &mut ChaCha8Rng) -> Vec<(&'static str, String)> {
    let all = all_attributes(table, rng);
    match table {
        // Groups that a check holds together.
        "flights" => match rng.random_range(0..3) {
            0 => all[..3].to_vec(),
            1 => all[3..5].iter().chain(&all[6..7]).cloned().collect(),
            _ => {
                let scheduled = [all[1].clone(), all[2].clone()];
                scheduled.into_iter().chain([all[5].clone()]).chain(all[7..].to_vec()).collect()
            }
        },
        _ => {
            let chosen = rng.random_range(0..all.len());
            vec![all[chosen].clone()]
        }
    }
}

/// Every column outside the key, in the table's order, as SQL expressions.
fn all_attributes(table: &str, rng: &mut ChaCha8Rng) -> Vec<(&'static str, String)> {
    let text = |rng: &mut ChaCha8Rng| {
        let words = ["'x'", "''", "'it''s \"quoted\" \\ / é 漢 😀'", "E'tab\\tline\\n'", "'__'"];
        (*words.choose(rng).unwrap_or(&"'x'")).to_owned()
    };
    // Incompressible and beyond the TOAST threshold.
    let long = "(SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 150))";
    let long_or = |rng: &mut ChaCha8Rng, other: String| {
        if rng.random_ratio(1, 4) { long.to_owned() } else { other }
    };
    match table {
        "airports" => {
            let name = text(rng);
            let double = |rng: &mut ChaCha8Rng| {
                let values = ["0", "1.5", "-129.77000427246094", "1e10", "1e-7", "0.1", "'NaN'"];
                match rng.random_range(0..3) {
                    0 => (*values.choose(rng).unwrap_or(&"0")).to_owned(),
                    // A place on earth with every digit that a double has.
                    1 => format!("{}", rng.random_range(-180.0..180.0)),
                    _ => any_double(rng),
                }
            };
            vec![
                ("airport_name", long_or(rng, name)),
                ("city", text(rng)),
                ("longitude", double(rng)),
                ("latitude", double(rng)),
                ("timezone", text(rng)),
            ]
        }
        "aircrafts" => {
            vec![("model", text(rng)), ("range", rng.random_range(1..i32::MAX).to_string())]
        }
        "seats" => vec![("fare_conditions", fare(rng))],
        "flights" => flight(rng),
        "bookings" => vec![("book_date", instant(rng)), ("total_amount", money(rng))],
        "tickets" => {
            let name = text(rng);
            let contact = match rng.random_range(0..4) {
                0 => "NULL".to_owned(),
                1 => format!("jsonb_build_object('long', {long}, 'n', {})", rng.random_range(0..9)),
                _ => format!(
                    "'{{\"phone\": \"+7{}\", \"a\": [1, 2.50, null]}}'",
                    rng.random_range(0..99)
                ),
            };
            vec![
                ("book_ref", format!("'{}00000'", rng.random_range(0..4))),
                ("passenger_id", format!("'{:04} {:06}'", rng.random_range(0..3), 1)),
                ("passenger_name", long_or(rng, name)),
                ("contact_data", contact),
            ]
        }
        "ticket_flights" => vec![("fare_conditions", fare(rng)), ("amount", money(rng))],
        _ => vec![
            ("boarding_no", rng.random_range(1..400).to_string()),
            ("seat_no", format!("'{}A'", rng.random_range(1..40))),
        ],
    }
}

fn fare(rng: &mut ChaCha8Rng) -> String {
    (*["'Economy'", "'Comfort'", "'Business'"].choose(rng).unwrap_or(&"'Economy'")).to_owned()
}

fn money(rng: &mut ChaCha8Rng) -> String {
    let cents = *[0, 1, 128, 12_345, 9_999_999_999i64, 32_768].choose(rng).unwrap_or(&0);
    format!("{}.{:02}", cents / 100, cents % 100)
}

fn instant(rng: &mut ChaCha8Rng) -> String {
    let days = rng.random_range(-40..40);
    let micros = *[0, 1, 123_456, 100_000].choose(rng).unwrap_or(&0);
    format!("date_trunc('hour', now()) + interval '{days} days {micros} microseconds'")
}

fn flight(rng: &mut ChaCha8Rng) -> Vec<(&'static str, String)> {
    let departure = instant(rng);
    let (status, actual_departure, actual_arrival) = match rng.random_range(0..3) {
        0 => ("'Scheduled'", "NULL".to_owned(), "NULL".to_owned()),
        1 => ("'Departed'", format!("{departure} + interval '5 minutes'"), "NULL".to_owned()),
        _ => (
            "'Arrived'",
            format!("{departure} + interval '5 minutes'"),
            format!("{departure} + interval '3 hours'"),
        ),
    };
    let airport = |rng: &mut ChaCha8Rng| format!("'{}AA'", rng.random_range(0..4));
    vec![
        ("flight_no", format!("'PG{:04}'", rng.random_range(0..3))),
        ("scheduled_departure", departure.clone()),
        ("scheduled_arrival", format!("{departure} + interval '2 hours'")),
        ("departure_airport", airport(rng)),
        ("arrival_airport", airport(rng)),
        ("status", status.to_owned()),
        ("aircraft_code", airport(rng)),
        ("actual_departure", actual_departure),
        ("actual_arrival", actual_arrival),
    ]
}
