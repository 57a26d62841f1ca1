//! A mart that is read as of the watermark shows whole transactions only.
//!
//! In: transactions that move amounts between bookings and sell and cancel bookings, each of them over two to four
//! tables in three partitions each, with kills of reader and loaders. After each transaction every booking costs what
//! its segments cost. Out: at no moment does `v_booking_totals_as_of_watermark` show a booking that does not. With one
//! table held back, `v_booking_totals` does, and so would a look at the versions up to the watermark's position.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use devstack::{Process, shared, wait_for_async};
use e2e::rig::Rig;
use e2e::sql;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio_postgres::Client;

use super::{rig, seed};

const BOOKINGS: u32 = 30;

const WORKERS: u32 = 3;

/// So many watermarks are seen before the work ends.
const WATERMARKS_MIN: usize = 30;

const DEADLINE: Duration = Duration::from_secs(240);

/// Thirty bookings with two tickets each, and two segments for each ticket.
const PREPARE: &str = "
    INSERT INTO airports VALUES ('AAA', 'A', 'Omsk', 1, 2, 'UTC'), ('BBB', 'B', 'Perm', 1, 2, 'UTC');
    INSERT INTO aircrafts VALUES ('320', 'A', 100);
    INSERT INTO flights
    SELECT n, 'PG000' || n, '2026-05-01 10:00+00', '2026-05-01 12:00+00', 'AAA', 'BBB', 'Scheduled', '320'
    FROM generate_series(1, 2) AS n;
    INSERT INTO bookings SELECT lpad(n::text, 6, '0'), now(), 400000 FROM generate_series(1, 30) AS n;
    INSERT INTO tickets
    SELECT lpad(b::text, 6, '0') || '000000' || t, lpad(b::text, 6, '0'), 'P' || b, 'N', NULL
    FROM generate_series(1, 30) AS b, generate_series(1, 2) AS t;
    INSERT INTO ticket_flights
    SELECT ticket_no, flight_id, 'Economy', 100000 FROM tickets CROSS JOIN flights";

/// Moves an amount from one booking to another one. Each of the two rows of `bookings` changes twice.
fn move_amount(rng: &mut ChaCha8Rng) -> String {
    let from = rng.random_range(1..=BOOKINGS);
    let to = (from + rng.random_range(1..BOOKINGS)) % BOOKINGS + 1;
    let (amount, ticket, flight) =
        (rng.random_range(1..50), rng.random_range(1..=2), rng.random_range(1..=2));
    let change = |booking: u32, sign: &str| {
        format!(
            "UPDATE ticket_flights SET amount = amount {sign} {amount}
             WHERE ticket_no = '{booking:06}000000{ticket}' AND flight_id = {flight};
             UPDATE bookings SET total_amount = total_amount {sign} 1000 WHERE book_ref = '{booking:06}';
             UPDATE bookings SET total_amount = total_amount {sign} ({amount} - 1000) WHERE book_ref = '{booking:06}';"
        )
    };
    // The rows of bookings are locked first, in their order, so that two workers never wait for each other.
    format!(
        "BEGIN;
         SELECT FROM bookings WHERE book_ref IN ('{from:06}', '{to:06}') ORDER BY book_ref FOR UPDATE;
         {} {} COMMIT",
        change(from, "-"),
        change(to, "+")
    )
}

/// Every segment costs one more, and every booking four.
const RAISE: &str = "
    BEGIN;
    SELECT FROM bookings WHERE book_ref < '100000' ORDER BY book_ref FOR UPDATE;
    UPDATE ticket_flights SET amount = amount + 1 WHERE ticket_no < '1000000000000';
    UPDATE bookings SET total_amount = total_amount + 4 WHERE book_ref < '100000';
    COMMIT";

/// Sells a booking of a worker.
fn sell(worker: u32, number: u32) -> String {
    let booking = 100_000 * (worker + 1) + number;
    format!(
        "BEGIN;
         INSERT INTO bookings VALUES ('{booking}', now(), 70);
         INSERT INTO tickets SELECT '{booking}000000' || t, '{booking}', 'P', 'N', NULL FROM generate_series(1, 2) AS t;
         INSERT INTO ticket_flights
         SELECT '{booking}000000' || t, t, 'Economy', 35 FROM generate_series(1, 2) AS t;
         COMMIT"
    )
}

/// Takes a segment back, or the whole booking.
fn cancel(worker: u32, number: u32) -> String {
    let booking = 100_000 * (worker + 1) + number;
    let tickets = format!("ticket_no LIKE '{booking}%'");
    if (number / 8).is_multiple_of(2) {
        return format!(
            "BEGIN; DELETE FROM ticket_flights WHERE {tickets} AND flight_id = 1;
             UPDATE bookings SET total_amount = 35 WHERE book_ref = '{booking}'; COMMIT"
        );
    }
    format!(
        "BEGIN; DELETE FROM ticket_flights WHERE {tickets}; DELETE FROM tickets WHERE {tickets};
         DELETE FROM bookings WHERE book_ref = '{booking}'; COMMIT"
    )
}

/// Works until it is enough; gives the number of transactions.
async fn work(source: Client, worker: u32, seed: u64, is_enough: Arc<AtomicBool>) -> u32 {
    let mut rng = ChaCha8Rng::seed_from_u64(seed + u64::from(worker));
    let mut number = 0;
    while !is_enough.load(Ordering::Relaxed) {
        let transaction = match number % 8 {
            5 => sell(worker, number),
            6 => cancel(worker, number - 1),
            7 if worker == 0 => RAISE.to_owned(),
            _ => move_amount(&mut rng),
        };
        source.batch_execute(&transaction).await.unwrap();
        number += 1;
        tokio::time::sleep(Duration::from_millis(12)).await;
    }
    number
}

/// What one statement finds: up to when the mart is complete, its bookings, and those whose sum is violated, in it and
/// in the mart that shows what is loaded now.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    complete_up_to: String,
    bookings: i64,
    violated: i64,
    violated_now: i64,
}

async fn look(warehouse: &Client) -> Option<Seen> {
    let sql = "
        SELECT max(complete_up_to)::text, count(*), count(*) FILTER (WHERE difference IS DISTINCT FROM 0),
               (SELECT count(*) FROM dwh_marts.v_booking_totals WHERE difference IS DISTINCT FROM 0)
        FROM dwh_marts.v_booking_totals_as_of_watermark";
    let row = warehouse.query_one(sql, &[]).await.unwrap();
    Some(Seen {
        complete_up_to: row.get::<_, Option<String>>(0)?,
        bookings: row.get(1),
        violated: row.get(2),
        violated_now: row.get(3),
    })
}

/// Watches the mart while the workers work and programs are killed. Gives what was seen at each watermark, and how many
/// looks found a violated sum in the mart that shows what is loaded now.
async fn watch(
    rig: &Rig,
    warehouse: &Client,
    reader: &mut Process,
    loaders: &mut [Process; 2],
) -> (Vec<Seen>, usize) {
    let (mut seen, mut violated_now, mut kills) = (Vec::<Seen>::new(), 0, 0);
    let started = Instant::now();
    while seen.len() < WATERMARKS_MIN || kills < 4 {
        assert!(started.elapsed() < DEADLINE, "{kills} kills, {:?}", seen.last());
        tokio::time::sleep(Duration::from_millis(20)).await;
        let Some(now) = look(warehouse).await else { continue };
        assert_eq!(now.violated, 0, "{now:?} behind {:?}", seen.last());
        violated_now += usize::from(now.violated_now > 0);
        if seen.last().is_none_or(|before| before.complete_up_to != now.complete_up_to) {
            seen.push(now);
        }
        match (seen.len(), kills) {
            (5.., 0) | (15.., 2) => {
                reader.kill9();
                *reader = rig.start_reader().unwrap();
                kills += 1;
            }
            (10.., 1) | (20.., 3) => {
                let killed = &mut loaders[kills / 2];
                killed.kill9();
                *killed = rig.start_loader().unwrap();
                kills += 1;
            }
            _ => {}
        }
    }
    (seen, violated_now)
}

/// The bookings with their totals, as one text.
async fn totals(client: &Client, bookings: &str) -> String {
    let sql = format!(
        "SELECT string_agg(book_ref || ' ' || total_amount, ', ' ORDER BY book_ref) FROM {bookings}"
    );
    sql::one(client, &sql).await.unwrap()
}

/// The source's position as a number.
async fn position(source: &Client) -> i64 {
    let sql = "SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint::text";
    sql::one(source, sql).await.unwrap().parse().unwrap()
}

async fn wait_until(warehouse: &Client, what: &str, condition: &str) {
    wait_for_async(DEADLINE, what, async || {
        sql::one(warehouse, condition)
            .await
            .map(|answer| answer == "t")
            .map_err(|error| error.to_string())
    })
    .await;
}

/// Holds the table of bookings back while a transaction is loaded that changes bookings and segments.
async fn hold_bookings_back(rig: &Rig, source: &Client, warehouse: &Client) {
    let early = sql::connect(&rig.source()).await.unwrap();
    let change = "BEGIN; UPDATE ticket_flights SET amount = amount + 5 WHERE ticket_no = '0000010000001' AND flight_id = 1";
    early.batch_execute(change).await.unwrap();
    // A later transaction commits before, and the watermark passes it.
    source.batch_execute("UPDATE aircrafts SET range = range + 1").await.unwrap();
    let passed = position(source).await;
    let is_passed = format!("SELECT source_lsn >= {passed} FROM dwh_marts.freshness");
    wait_until(warehouse, "the watermark to pass the later transaction", &is_passed).await;
    // From here on events of bookings do not fit the model, and the loader pauses the table.
    let other_type = "ALTER TABLE bookings ALTER COLUMN book_date TYPE text";
    source.batch_execute(other_type).await.unwrap();
    let before = look(warehouse).await.unwrap();
    assert_eq!((before.violated, before.violated_now), (0, 0), "{before:?}");
    let rest =
        "UPDATE bookings SET total_amount = total_amount + 5 WHERE book_ref = '000001'; COMMIT";
    early.batch_execute(rest).await.unwrap();
    let end = position(source).await;
    let half = "SELECT count(*) = 1 FROM dwh_marts.v_booking_totals WHERE difference <> 0 AND book_ref = '000001'";
    wait_until(warehouse, "half of the transaction", half).await;
    let paused = "SELECT paused_tables = 1 FROM dwh_marts.freshness";
    wait_until(warehouse, "the table to pause", paused).await;
    let held = look(warehouse).await.unwrap();
    assert_eq!((held.violated, held.violated_now), (0, 1), "{held:?}");
    // The change of the segment stands before the watermark's position, and its transaction does not.
    let by_position = "
        SELECT count(*) = 1
        FROM dwh_detailed.sat_ticket_flights AS version, dwh_marts.freshness AS watermark
        WHERE version.source_lsn <= watermark.source_lsn AND version.load_date > watermark.published";
    wait_until(warehouse, "a change that stands before the watermark", by_position).await;
    // Further heartbeats come. A watermark that was on its way may still arrive, none reaches the held transaction.
    let later = "SELECT count(*) = 1 FROM dwh_marts.current_aircrafts WHERE range = 107";
    for _ in 0..6 {
        source.batch_execute("UPDATE aircrafts SET range = range + 1").await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_held(warehouse, &held, end).await;
    }
    wait_until(warehouse, "the other tables to go on", later).await;
    assert_held(warehouse, &held, end).await;
}

/// The watermark is before `end`, where the held transaction ends, and the mart shows nothing of the transaction.
async fn assert_held(warehouse: &Client, held: &Seen, end: i64) {
    let now = look(warehouse).await.unwrap();
    let expected = Seen { complete_up_to: now.complete_up_to.clone(), ..held.clone() };
    assert_eq!(now, expected);
    let before = format!("SELECT source_lsn < {end} FROM dwh_marts.freshness");
    assert_eq!(sql::one(warehouse, &before).await.unwrap(), "t", "{now:?}");
}

#[tokio::test]
async fn a_mart_as_of_the_watermark_never_shows_a_transaction_in_part() {
    let stack = shared::stack();
    let rig = rig("asof", &stack.postgres18, &stack.kafka_bootstrap, 3);
    let source = sql::connect(&rig.source()).await.unwrap();
    source.batch_execute(PREPARE).await.unwrap();
    let mut reader = rig.start_reader().unwrap();
    let mut loaders = [rig.start_loader().unwrap(), rig.start_loader().unwrap()];
    rig.wait_until_streaming(&reader).unwrap();
    let warehouse = sql::connect(&rig.warehouse(rig.name())).await.unwrap();
    let (is_enough, seed) = (Arc::new(AtomicBool::new(false)), seed());
    let mut workers = Vec::new();
    for worker in 0..WORKERS {
        let client = sql::connect(&rig.source()).await.unwrap();
        workers.push(tokio::spawn(work(client, worker, seed, Arc::clone(&is_enough))));
    }
    let (seen, violated_now) = watch(&rig, &warehouse, &mut reader, &mut loaders).await;
    is_enough.store(true, Ordering::Relaxed);
    let mut transactions = 0;
    for worker in workers {
        transactions += worker.await.unwrap();
    }
    println!(
        "{transactions} transactions, {} watermarks; looks that found a part in the other mart: {violated_now}",
        seen.len()
    );
    assert!(seen.iter().all(|seen| seen.bookings >= i64::from(BOOKINGS)), "{seen:?}");
    // When nothing comes any more, the mart shows everything.
    let end = position(&source).await;
    let is_there = format!("SELECT source_lsn >= {end} FROM dwh_marts.freshness");
    wait_until(&warehouse, "the watermark to get there", &is_there).await;
    let expected = totals(&source, "bookings").await;
    wait_for_async(DEADLINE, "the mart to be complete", async || {
        let found = totals(&warehouse, "dwh_marts.v_booking_totals_as_of_watermark").await;
        if found == expected { Ok(true) } else { Err(format!("{found} instead of {expected}")) }
    })
    .await;
    hold_bookings_back(&rig, &source, &warehouse).await;
}
