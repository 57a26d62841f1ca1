//! The watermark over the whole pipeline: at each moment the vault has every row that the source had committed at or
//! before the watermark's position, in all tables together.
//!
//! In: transactions that write two tables, most of them small and some large, and kills of reader and loaders. The
//! source tells a position behind each commit. Out: for each watermark that was seen, the rows that one statement found
//! with it, compared with the rows that were committed by then.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use devstack::shared;
use e2e::rig::Member;
use e2e::sql;
use tokio_postgres::Client;

use super::rig;

/// An airport's code has three hexadecimal digits here.
const TRANSACTIONS_MAX: i64 = 4_000;

/// The pause between two transactions, so that the work outlasts the kills.
const PACE: Duration = Duration::from_millis(20);

/// So many watermarks are seen before the work ends.
const WATERMARKS_MIN: usize = 25;

/// How long the work and what follows may take.
const DEADLINE: Duration = Duration::from_secs(240);

/// A transaction inserts one airport, and as many bookings.
fn bookings_of(transaction: i64) -> i64 {
    if transaction % 60 == 59 { 3_000 } else { 1 + transaction % 5 }
}

/// A position behind a commit, and the rows of each table that were committed by then.
#[derive(Debug, Clone, Copy)]
struct Committed {
    position: i64,
    airports: i64,
    bookings: i64,
}

const POSITION: &str = "SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint::text";

/// Works until it is enough.
async fn work(source: Client, is_enough: Arc<AtomicBool>) -> Vec<Committed> {
    let (mut committed, mut bookings) = (Vec::new(), 0);
    for transaction in 0..TRANSACTIONS_MAX {
        if is_enough.load(Ordering::Relaxed) {
            break;
        }
        let count = bookings_of(transaction);
        let script = format!(
            "BEGIN;
             INSERT INTO airports VALUES (upper(lpad(to_hex({transaction}), 3, '0')), 'A', 'Omsk', 1, 2, 'UTC');
             INSERT INTO bookings
             SELECT lpad(to_hex({bookings} + n), 6, '0'), now(), n FROM generate_series(1, {count}) AS n;
             COMMIT"
        );
        source.batch_execute(&script).await.unwrap();
        bookings += count;
        let position = sql::one(&source, POSITION).await.unwrap().parse().unwrap();
        committed.push(Committed { position, airports: transaction + 1, bookings });
        tokio::time::sleep(PACE).await;
    }
    committed
}

/// What one statement found: the watermark, and the rows of each table.
#[derive(Debug, Clone, Copy)]
struct Seen {
    watermark: i64,
    airports: i64,
    bookings: i64,
}

async fn look(warehouse: &Client) -> Option<Seen> {
    let sql = "
        SELECT source_lsn,
               (SELECT count(*) FROM dwh_detailed.sat_airports WHERE city IS NOT NULL),
               (SELECT count(*) FROM dwh_detailed.sat_bookings WHERE book_date IS NOT NULL)
        FROM dwh_control.watermark
        WHERE source_lsn IS NOT NULL";
    let row = warehouse.query_opt(sql, &[]).await.unwrap()?;
    Some(Seen { watermark: row.get(0), airports: row.get(1), bookings: row.get(2) })
}

#[tokio::test]
async fn every_row_that_was_committed_by_the_watermark_is_in_the_vault_at_that_moment() {
    let stack = shared::stack();
    let rig = rig("watermark", &stack.postgres18, &stack.kafka_bootstrap, 3);
    let mut reader = rig.start_reader().unwrap();
    let start = |number: usize| {
        let (database, name) = (rig.name(), ["one", "two"][number]);
        let (is_static, rows_max, writers) = (true, 10_000, 2);
        rig.start_member(&Member { database, name, is_static, rows_max, writers }).unwrap()
    };
    let mut loaders = [start(0), start(1)];
    rig.wait_until_streaming(&reader).unwrap();
    let source = sql::connect(&rig.source()).await.unwrap();
    let warehouse = sql::connect(&rig.warehouse(rig.name())).await.unwrap();
    let is_enough = Arc::new(AtomicBool::new(false));
    let worker = sql::connect(&rig.source()).await.unwrap();
    let working = tokio::spawn(work(worker, Arc::clone(&is_enough)));
    let mut seen: Vec<Seen> = Vec::new();
    let mut kills = 0;
    let mut last = None;
    let started = Instant::now();
    loop {
        assert!(started.elapsed() < DEADLINE, "{:?}", seen.last());
        if working.is_finished() && last.is_none() {
            last = Some(sql::one(&source, POSITION).await.unwrap().parse::<i64>().unwrap());
        }
        let Some(now) = look(&warehouse).await else { continue };
        if seen.last().is_none_or(|before| before.watermark != now.watermark) {
            assert!(seen.last().is_none_or(|before| before.watermark < now.watermark), "{now:?}");
            seen.push(now);
        }
        if last.is_some_and(|last| now.watermark >= last) {
            break;
        }
        match (seen.len(), kills) {
            (4.., 0) | (10.., 2) => {
                reader.kill9();
                reader = rig.start_reader().unwrap();
                kills += 1;
            }
            (7.., 1) | (13.., 3) => {
                loaders[kills / 2].kill9();
                loaders[kills / 2] = start(kills / 2);
                kills += 1;
            }
            (WATERMARKS_MIN.., 4) => is_enough.store(true, Ordering::Relaxed),
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let committed = working.await.unwrap();
    let mut about_rows = 0;
    for now in &seen {
        let by_then = committed.iter().take_while(|at| at.position <= now.watermark).last();
        let Some(by_then) = by_then else { continue };
        about_rows += 1;
        assert!(
            now.airports >= by_then.airports && now.bookings >= by_then.bookings,
            "{now:?} of {by_then:?}"
        );
    }
    println!(
        "{} watermarks, {about_rows} of them about rows, {kills} kills, {:?}",
        seen.len(),
        started.elapsed()
    );
    assert!(about_rows + 5 >= WATERMARKS_MIN, "{seen:?}");
    let (end, all) = (seen.last().unwrap(), committed.last().unwrap());
    assert_eq!((end.airports, end.bookings), (all.airports, all.bookings));
    let freshness = "SELECT is_position_known AND published IS NOT NULL AND paused_tables = 0 AND waiting_events = 0
                     FROM dwh_marts.freshness";
    assert_eq!(sql::one(&warehouse, freshness).await.unwrap(), "t");
}
