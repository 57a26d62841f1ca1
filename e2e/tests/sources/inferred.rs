//! A source that nobody wrote a model for: a library with everything that schemas have and the airline has not.
//!
//! In: real servers, the built binaries. Out: after random work, during which reader and loader run, each table equals
//! its view over the vault of the inferred model.

use std::time::Duration;

use devstack::shared;
use e2e::oracle;
use e2e::rig::{Rig, RigOptions};
use e2e::sql;

/// The library's tables, and a function that does random work on them.
const LIBRARY: &str = include_str!("library.sql");

/// Transactions of each round, each of so many statements.
const ROUNDS: u32 = 5;
const TRANSACTIONS: u32 = 60;
const STATEMENTS: u32 = 12;

/// The tables that the vault holds, and columns that it does not: a generated one, and an array of a domain.
const TABLES: [(&str, &str, &str); 9] = [
    ("hr.people", "current_people", "full_name,more_mail"),
    ("hr.staff", "current_staff", ""),
    ("\"Authors\"", "current_authors", ""),
    ("books", "current_books", ""),
    ("book_authors", "current_book_authors", ""),
    ("copies", "current_copies", ""),
    ("loans", "current_loans", ""),
    ("categories", "current_categories", ""),
    ("visits", "current_visits", ""),
];

/// Every table is in the vault as it is at the source.
async fn verify(library: &tokio_postgres::Client, warehouse: &tokio_postgres::Client) {
    for (table, view, unpublished) in TABLES {
        let rows = |from: &str| {
            let left_out = format!("string_to_array('{unpublished},has_waiting_events', ',')");
            format!(
                "SELECT to_jsonb(t) - {left_out} FROM {from} AS t
                 ORDER BY (to_jsonb(t) - {left_out})::text COLLATE \"C\""
            )
        };
        let there = sql::rows(library, &rows(table)).await.unwrap();
        assert!(there.len() > 3, "{table} has too few rows to tell anything");
        let here = sql::rows(warehouse, &rows(&format!("dwh_marts.{view}"))).await.unwrap();
        assert_eq!(here, there, "{table}");
    }
}

async fn work(library: &tokio_postgres::Client, round: u32) {
    for transaction in 0..TRANSACTIONS {
        let seed = round * TRANSACTIONS + transaction;
        let work = format!("SELECT library_work({seed}, {STATEMENTS})");
        library.batch_execute(&work).await.unwrap();
    }
}

async fn an_inferred_model_loads_as_it_is(server: devstack::PostgresAddress, version: u32) {
    let stack = shared::stack();
    let name = format!("library{version}_{}", std::process::id());
    let mut rig = Rig::create(RigOptions {
        dir: stack.dir.join("e2e").join(&name),
        name,
        source: server,
        warehouse: stack.warehouse.clone(),
        bootstrap: stack.kafka_bootstrap.clone(),
        partitions: if version == 15 { 1 } else { 3 },
    })
    .unwrap();
    let (further, told) = rig.add_inferred_source(LIBRARY).await.unwrap();
    for left_out in [
        "table public.diary: it has no primary key, and no unique index that tells every row",
        "table public.shifts: it has no primary key, and no unique index that tells every row",
        "table public.scratch: it is unlogged",
    ] {
        assert!(told.contains(left_out), "no {left_out} in {told}");
    }
    let library = sql::connect(&rig.further_source(&further)).await.unwrap();
    work(&library, 0).await;
    let mut readers = [rig.start_reader().unwrap(), rig.start_further_reader(&further).unwrap()];
    let mut loader = rig.start_loader().unwrap();
    for reader in &readers {
        rig.wait_until_streaming(reader).unwrap();
    }
    for round in 1..ROUNDS {
        work(&library, round).await;
    }
    rig.settle().await.unwrap();
    let warehouse = sql::connect(&rig.warehouse(rig.name())).await.unwrap();
    verify(&library, &warehouse).await;
    oracle::verify_checks(&warehouse).await.unwrap();
    let diverted =
        sql::one(&warehouse, "SELECT count(*) FROM dwh_control.quarantine").await.unwrap();
    let paused =
        sql::one(&warehouse, "SELECT count(*) FROM dwh_control.paused_tables").await.unwrap();
    assert_eq!((diverted.as_str(), paused.as_str()), ("0", "0"));
    loader.terminate();
    assert_eq!(loader.wait_exit(Duration::from_secs(60)).unwrap(), 0);
    for reader in &mut readers {
        reader.terminate();
        assert_eq!(reader.wait_exit(Duration::from_secs(60)).unwrap(), 0);
    }
}

#[tokio::test]
async fn an_inferred_model_of_postgresql_15_loads_as_it_is() {
    an_inferred_model_loads_as_it_is(shared::stack().postgres15.clone(), 15).await;
}

#[tokio::test]
async fn an_inferred_model_of_postgresql_18_loads_as_it_is() {
    an_inferred_model_loads_as_it_is(shared::stack().postgres18.clone(), 18).await;
}
