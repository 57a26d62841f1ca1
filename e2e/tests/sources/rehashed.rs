//! What stands on hash keys follows when all of them are made anew: the current views, the marts, the star schema.
//!
//! In: real servers, the built binaries, the airline's own simulator. Out: the same rows of every mart before and after,
//! but for the keys; a star that was built anew by itself; and a source that goes on.

use std::time::Duration;

use e2e::airline::TABLES;
use e2e::rig::{Rig, RigOptions};
use e2e::{oracle, sql};
use tokio_postgres::Client;

use super::star::{self, booking};

const SECRET: &str = "a secret of more than thirty-two bytes";

/// The tables and views that `sql/marts` makes.
const MARTS: &str = "
    SELECT n.nspname || '.' || c.relname
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname IN ('dwh_marts', 'dwh_star')
        AND c.relkind IN ('r', 'v')
        AND c.relname !~ '^(current|history)_|^v_dashboard_(mart|table|completeness)|_as_of_watermark$|^mart_refreshes$|^load_progress$|^freshness$|^state$'
    ORDER BY 1";

/// Refreshes the star; gives the outcome and the reason.
async fn refresh(warehouse: &Client) -> String {
    let outcome = star::refresh(warehouse).await;
    let reason = "SELECT coalesce(reason, '-') FROM dwh_marts.mart_refreshes";
    format!("{outcome}, {}", sql::one(warehouse, reason).await.unwrap())
}

/// Every row of every mart, without the columns that hold hash keys.
async fn marts(warehouse: &Client) -> Vec<(String, Vec<sql::Row>)> {
    let mut found = Vec::new();
    for name in sql::rows(warehouse, MARTS).await.unwrap().into_iter().flatten().flatten() {
        let lines = format!(
            "SELECT line
             FROM (
                 SELECT (SELECT jsonb_object_agg(key, value)
                         FROM jsonb_each(to_jsonb(t))
                         WHERE jsonb_typeof(value) <> 'string' OR NOT value #>> '{{}}' LIKE '\\\\x%')::text AS line
                 FROM {name} AS t
             ) AS t
             ORDER BY line COLLATE \"C\""
        );
        let rows = sql::rows(warehouse, &lines).await.unwrap();
        found.push((name, rows));
    }
    found
}

#[tokio::test]
async fn marts_and_star_follow_when_all_hash_keys_are_made_anew() {
    let options = RigOptions { partitions: 2, ..RigOptions::of_stack("rehashed") };
    let mut rig = Rig::create(options).unwrap();
    booking(&rig, &["seed", "--scale", "0.05"]);
    let mut reader = rig.start_reader().unwrap();
    let mut loader = rig.start_loader().unwrap();
    // The slot of a snapshot that has only begun looks as if everything were in Kafka.
    rig.wait_until_streaming(&reader).unwrap();
    let simulate = ["simulate", "--rate", "0", "--transactions", "300", "--seed"];
    booking(&rig, &[&simulate[..], &["7"]].concat());
    rig.settle().await.unwrap();
    let end = |process: &mut devstack::Process| {
        process.terminate();
        assert_eq!(process.wait_exit(Duration::from_secs(60)).unwrap(), 0);
    };
    end(&mut loader);
    let warehouse = sql::connect(&rig.warehouse(rig.name())).await.unwrap();
    assert_eq!(refresh(&warehouse).await, "full, the star has never been built");
    let before = marts(&warehouse).await;
    let old = "CREATE TABLE public.old_keys AS SELECT hash_key FROM dwh_detailed.hub_flights WHERE source_system_id <> 0";
    warehouse.batch_execute(old).await.unwrap();

    let told = rig.rehash(Some(SECRET)).unwrap();
    println!("{told}");
    assert_eq!(refresh(&warehouse).await, "full, the vault has another model");
    let after = marts(&warehouse).await;
    assert!(before.len() > 25, "{} marts", before.len());
    for ((name, before), (_, after)) in before.iter().zip(&after) {
        assert_eq!(before.len(), after.len(), "{name}");
        // Whether a moment has passed is another answer a moment later.
        assert!(before == after || name.contains(".v_"), "{name} has other rows");
    }
    for (table, key) in [
        ("dwh_marts.dim_flight", "flight_key"),
        ("dwh_marts.fact_bookings", "flight_key"),
        ("dwh_star.seat_steps", "flight_key"),
    ] {
        let left = format!("SELECT count(*) FROM {table} JOIN public.old_keys ON hash_key = {key}");
        assert_eq!(sql::one(&warehouse, &left).await.unwrap(), "0", "{table} has old keys");
        let known = format!(
            "SELECT count(*) > 0 AND count(*) = count(hub.hash_key) FROM {table} LEFT JOIN dwh_detailed.hub_flights AS hub ON hash_key = {key}"
        );
        assert_eq!(sql::one(&warehouse, &known).await.unwrap(), "t", "{table} lacks new keys");
    }

    let mut loader = rig.start_loader().unwrap();
    booking(&rig, &[&simulate[..], &["8"]].concat());
    rig.settle().await.unwrap();
    assert_eq!(refresh(&warehouse).await, "incremental, -");
    oracle::verify_checks(&warehouse).await.unwrap();
    let airline = sql::connect(&rig.source()).await.unwrap();
    for table in TABLES {
        let count = |from: String| format!("SELECT count(*) FROM {from}");
        let there = sql::one(&airline, &count(table.name.to_owned())).await.unwrap();
        let view = count(format!("dwh_marts.current_{}", table.name));
        assert_eq!(sql::one(&warehouse, &view).await.unwrap(), there, "{}", table.name);
    }
    end(&mut loader);
    end(&mut reader);
}
