//! The documented erasure of one passenger, run word for word as OPERATIONS.md has it.
//!
//! In: the history, an event in quarantine, a published day. Out: nothing that names the passenger, in any table; the
//! same keys, links, versions and counts; checks that find nothing.

use anyhow::Context;
use e2e::oracle::verify_checks;
use tokio_postgres::Client;

use super::rights::make_presentation;
use super::warehouse::{Content, Warehouse, refresh, rows};

/// The document of the passenger who has the tickets 1 and 3, and what else tells who that is.
const DOCUMENT: &str = "4510 000001";
const TRACES: [&str; 5] =
    [DOCUMENT, "ANNA SERGEEVA", "ANNA ORLOVA", "+70000000001", "+70000000002"];

/// The statements that stand under "Erasing one passenger".
fn procedure() -> anyhow::Result<String> {
    let text = std::fs::read_to_string(devstack::workspace_root().join("docs/OPERATIONS.md"))?;
    let (_, block) =
        text.split_once("```sql\n-- erase one passenger\n").context("no procedure is there")?;
    let (script, _) = block.split_once("```").context("the procedure has no end")?;
    Ok(script.to_owned())
}

/// Every table and view of the warehouse.
async fn relations(client: &Client, kinds: &str) -> anyhow::Result<Vec<String>> {
    let query = format!(
        "SELECT oid::regclass
         FROM pg_catalog.pg_class
         WHERE relkind IN ({kinds})
           AND relnamespace::regnamespace::text ~ '^(dwh_|presentation)'
         ORDER BY 1"
    );
    rows(client, &query).await
}

/// Where the traces are found, as text or as bytes.
async fn found(client: &Client) -> anyhow::Result<Vec<String>> {
    let traces = TRACES.map(|trace| format!("'{trace}'")).join(", ");
    let mut found = Vec::new();
    for relation in relations(client, "'r', 'v', 'm', 'p'").await? {
        // Each relation is read once: some views take long.
        let query = format!(
            "SELECT trace
             FROM (SELECT string_agg(line::text, ' ') AS content FROM {relation} AS line) AS whole,
                  unnest(ARRAY[{traces}]) AS trace
             WHERE position(trace IN content) > 0
                OR position(encode(convert_to(trace, 'UTF8'), 'hex') IN content) > 0
             ORDER BY trace"
        );
        let traces = rows(client, &query).await?;
        found.extend(traces.iter().map(|trace| format!("{relation}: {trace}")));
    }
    Ok(found)
}

/// The number of rows of each table, and the hash keys of each vault table.
async fn shape(client: &Client) -> anyhow::Result<Vec<String>> {
    let mut shape = Vec::new();
    for relation in relations(client, "'r', 'p'").await? {
        let keys = if relation.starts_with("dwh_detailed.") {
            "md5(string_agg(encode(hash_key, 'hex') || load_date, ',' ORDER BY hash_key, load_date))"
        } else {
            "NULL"
        };
        let query = format!("SELECT '{relation}', count(*), {keys} FROM {relation}");
        shape.extend(rows(client, &query).await?);
    }
    Ok(shape)
}

#[tokio::test]
async fn the_documented_erasure_leaves_keys_and_counts_and_nothing_that_names_the_passenger()
-> anyhow::Result<()> {
    let warehouse = Warehouse::create("marts_erasing", Content::History)?;
    make_presentation(&warehouse)?;
    let client = warehouse.connect().await?;
    refresh(&warehouse.connect_as("vault_owner").await?).await?;
    client
        .batch_execute(
            "INSERT INTO dwh_control.quarantine (topic, partition, kafka_offset, value, reason)
             VALUES ('airline.public.tickets', 0, 1, convert_to('{\"ticket_no\":\"0000000000003\",\"n\":\"ANNA ORLOVA\"}', 'UTF8'), 'r'),
                    ('airline.public.tickets', 0, 2, convert_to('{\"passenger_id\":\"4510 000001\"}', 'UTF8'), 'r'),
                    ('airline.public.tickets', 0, 3, convert_to('{\"passenger_id\":\"4510 000002\"}', 'UTF8'), 'r');
             INSERT INTO dwh_control.quarantine
                 (topic, partition, kafka_offset, value, reason, header_names, header_values)
             VALUES ('airline.public.passengers', 0, 4, NULL, 'r', '{__debezium.oldkey}',
                     ARRAY[convert_to('{\"passenger_id\":\"4510 000001\"}', 'UTF8')]);
             INSERT INTO presentation.frequent_flyers
             SELECT '2026-01-01', '4510 00000' || number, number, 'g', 5, 1, 'AAA', '2026-01-01', '2026-01-01'
             FROM generate_series(1, 2) AS number;
             INSERT INTO presentation_staging.frequent_flyers (load_id, passenger_id)
             VALUES ('other', '4510 000002')",
        )
        .await?;
    let named = found(&client).await?;
    for table in
        ["hub_passengers", "sat_ticket_passengers", "quarantine", "current_passengers", "flyers"]
    {
        assert!(named.iter().any(|place| place.contains(table)), "{table} is not in {named:?}");
    }
    let before = shape(&client).await?;
    verify_checks(&client).await?;

    warehouse.run_with("document", DOCUMENT, &procedure()?)?;

    assert_eq!(found(&client).await?, [""; 0]);
    assert_eq!(shape(&client).await?, before);
    verify_checks(&client).await?;
    // Others keep what they have.
    let others = "SELECT (SELECT count(*) FROM dwh_detailed.hub_passengers WHERE passenger_id ~ '^4510'),
                         (SELECT count(*) FROM dwh_control.quarantine WHERE value IS NOT NULL),
                         (SELECT count(*) FROM dwh_control.quarantine WHERE redacted_at IS NOT NULL),
                         (SELECT count(*) FROM presentation.frequent_flyers WHERE passenger_id ~ '^4510'),
                         (SELECT string_agg(passenger_name, ',' ORDER BY passenger_name COLLATE \"C\")
                          FROM dwh_detailed.sat_ticket_passengers)";
    let expected = "4|1|3|1|IVAN ORLOV,OLEG PETROV,OLGA PETROVA,PETR IVANOV,erased,erased";
    assert_eq!(rows(&client, others).await?, [expected]);
    Ok(())
}
