//! The marts over the airline's inferred model, with the names that `connectors/airline/inferred-names.sql` gives it.
//!
//! In: real servers, the built binaries, the airline's own simulator. Out: two warehouses of the same topics, one by the
//! model by hand and one by a model that was inferred and not edited. Everything that `sql/marts` makes is the same in
//! both, row by row and with all hash keys, after a full refresh of the star, after one that is not, and after another
//! migration.

use std::path::PathBuf;
use std::time::Duration;

use devstack::{Psql, shared, sql_files};
use e2e::rig::{Rig, RigOptions};
use e2e::sql;
use tokio_postgres::Client;

use super::star::{booking, refresh};

/// What `sql/marts` makes, the tables and views that the star is made of, and the views of the model that people read.
/// The watermark says when a loader saw which heartbeat, and each warehouse has its own.
const RELATIONS: &str = "
    SELECT n.nspname || '.' || c.relname
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname IN ('dwh_marts', 'dwh_star')
        AND c.relkind IN ('r', 'v')
        AND c.relname !~ '^(freshness|v_dashboard_completeness)$|_as_of_watermark$'
        AND c.relname !~ '^(current|history)_(hub|sat)_|^history_link_'
    ORDER BY 1";

/// Columns that say when a program did something, and how long it took.
const OF_THE_CLOCK: [&str; 7] = [
    "loaded_at",
    "seconds_since_load",
    "load_lag_s",
    "refreshed_at",
    "changed_at",
    "duration_ms",
    "seconds_since_refresh",
];

/// The views of links that only one of the two models has.
const OF_ONE_MODEL: [&str; 5] = [
    "dwh_marts.current_link_flights_aircraft",
    "dwh_marts.current_link_flights_arrival_airport",
    "dwh_marts.current_link_flights_departure_airport",
    "dwh_marts.current_link_seats",
    "dwh_marts.current_link_tickets_book",
];

/// Views look at the clock, and a day or a flight's departure may fall between two questions.
const TRIES: usize = 3;

fn names() -> PathBuf {
    devstack::workspace_root().join("connectors/airline/inferred-names.sql")
}

/// The rows of a relation in order, each as one line.
async fn lines(warehouse: &Client, relation: &str) -> Vec<sql::Row> {
    let lines = format!(
        "SELECT line
         FROM (SELECT (to_jsonb(t) - '{{{}}}'::text[])::text AS line FROM {relation} AS t) AS t
         ORDER BY line COLLATE \"C\"",
        OF_THE_CLOCK.join(", ")
    );
    sql::rows(warehouse, &lines).await.unwrap()
}

/// Everything that the marts show is the same in both. Returns how many rows were compared.
async fn assert_same(by_hand: &Client, inferred: &Client, after: &str) -> usize {
    let relations = sql::rows(by_hand, RELATIONS).await.unwrap();
    let relations: Vec<String> = relations.into_iter().flatten().flatten().collect();
    let other = sql::rows(inferred, RELATIONS).await.unwrap();
    let other = other.into_iter().flatten().flatten();
    let other: Vec<String> = other.filter(|name| !OF_ONE_MODEL.contains(&name.as_str())).collect();
    assert_eq!(relations, other, "{after}");
    let mut count = 0;
    for relation in relations {
        for attempt in 1..=TRIES {
            let (ours, theirs) =
                tokio::join!(lines(by_hand, &relation), lines(inferred, &relation));
            if ours == theirs {
                count += ours.len();
                break;
            }
            let only = ours.iter().find(|line| !theirs.contains(line));
            let added = theirs.iter().find(|line| !ours.contains(line));
            assert!(
                attempt < TRIES,
                "{relation} after {after}: {} rows and {} rows\nonly by hand: {only:?}\nonly inferred: {added:?}",
                ours.len(),
                theirs.len()
            );
        }
    }
    for query in sql_files("sql/marts/queries").unwrap() {
        let text = std::fs::read_to_string(&query).unwrap();
        let text: Vec<&str> = text.lines().filter(|line| !line.starts_with('\\')).collect();
        let text = text.join("\n");
        let (ours, theirs) = tokio::join!(sql::rows(by_hand, &text), sql::rows(inferred, &text));
        assert_eq!(ours.unwrap(), theirs.unwrap(), "{} after {after}", query.display());
    }
    count
}

#[tokio::test]
async fn the_marts_over_the_inferred_airline_are_those_over_the_model_by_hand() {
    let stack = shared::stack();
    let name = format!("names_{}", std::process::id());
    let rig = Rig::create(RigOptions {
        dir: stack.dir.join("e2e").join(&name),
        name: name.clone(),
        source: stack.postgres15.clone(),
        warehouse: stack.warehouse.clone(),
        bootstrap: stack.kafka_bootstrap.clone(),
        partitions: 2,
    })
    .unwrap();
    let other = format!("{name}_inferred");
    let model = rig.create_inferred_warehouse(&other, &names()).unwrap();
    booking(&rig, &["seed", "--scale", "0.05"]);
    let mut reader = rig.start_reader().unwrap();
    let mut loaders = [rig.start_loader().unwrap(), rig.start_loader_of(&other, &model).unwrap()];
    // The slot of a snapshot that has only begun looks as if everything were in Kafka.
    rig.wait_until_streaming(&reader).unwrap();
    let simulate = ["simulate", "--rate", "0", "--transactions"];
    booking(&rig, &[&simulate[..], &["800", "--seed", "7"]].concat());
    let settled = async || {
        rig.settle().await.unwrap();
        rig.settle_loader(&other).await.unwrap();
    };
    settled().await;
    let by_hand = sql::connect(&rig.warehouse(rig.name())).await.unwrap();
    let inferred = sql::connect(&rig.warehouse(&other)).await.unwrap();
    for warehouse in [&by_hand, &inferred] {
        assert_eq!(refresh(warehouse).await, "full");
    }
    let rows = assert_same(&by_hand, &inferred, "the first refresh").await;
    assert!(rows > 40_000, "only {rows} rows were compared");

    // What changed is found over the views, too.
    booking(&rig, &[&simulate[..], &["200", "--seed", "8"]].concat());
    settled().await;
    for warehouse in [&by_hand, &inferred] {
        assert_eq!(refresh(warehouse).await, "incremental");
    }
    println!("{} rows are the same", assert_same(&by_hand, &inferred, "more work").await);

    // A migration leaves the names alone, and both files may be applied again.
    rig.migrate_to(&other, std::slice::from_ref(&model)).unwrap();
    rig.apply_over_inferred(&other, &names()).unwrap();
    for warehouse in [&by_hand, &inferred] {
        assert_eq!(refresh(warehouse).await, "idle");
    }
    assert_same(&by_hand, &inferred, "another migration").await;

    for process in loaders.iter_mut().chain(std::iter::once(&mut reader)) {
        process.terminate();
        assert_eq!(process.wait_exit(Duration::from_secs(60)).unwrap(), 0);
    }
    // Passengers would have keys that everybody can try.
    let noted = "UPDATE dwh_control.warehouse SET key_secret_fingerprint = sha256('secret')";
    inferred.batch_execute(noted).await.unwrap();
    let refused = Psql::new(&rig.warehouse(&other)).unwrap().run_files([names()]);
    let refused = format!("{:#}", refused.unwrap_err());
    assert!(refused.contains("the hash keys of this warehouse have a secret"), "{refused}");
}
