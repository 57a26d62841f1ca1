//! Who may read what, and that everything explains itself.
//!
//! In: the roles of `sql/warehouse`, the marts. Out: rights granted and refused by the server.
//! Invariant: mart_reader reads the columns in `harmless_columns.txt` and no other, whoever is in mart_reader_personal
//! reads all marts, and neither reads what they are made of; mart_refresher has the refresh done for it and cannot do
//! it itself.

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::warehouse::{Content, Warehouse, refresh, rows};

/// The server must refuse each statement for want of a right.
async fn assert_refused(client: &Client, statements: &[&str]) {
    for refused in statements {
        let error = client.batch_execute(refused).await.expect_err(refused);
        assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{refused}: {error:?}");
    }
}

/// The columns that mart_reader may read, and no others: one line for each table or view.
const HARMLESS: &str = include_str!("harmless_columns.txt");

/// Makes the tables of schema presentation, as Airflow does.
pub(super) fn make_presentation(warehouse: &Warehouse) -> anyhow::Result<()> {
    let folder = devstack::workspace_root().join("sql/presentation");
    let schemas = std::fs::read_to_string(folder.join("create_schemas.sql"))?;
    for table in ["frequent_flyers", "airport_passenger_flow"] {
        let text = std::fs::read_to_string(folder.join(table).join("create_schema.sql"))?;
        let include = "{% include 'presentation/create_schemas.sql' %}";
        anyhow::ensure!(text.contains(include), "{table} does not include the schemas");
        warehouse.run_as("presentation_writer", &text.replace(include, &schemas))?;
    }
    Ok(())
}

/// Every column outside of the server's own schemas that a role may read.
async fn readable(client: &Client, role: &str) -> anyhow::Result<Vec<String>> {
    let query = format!(
        "SELECT c.relnamespace::regnamespace::text || '.' || c.relname || ': '
                    || string_agg(a.attname, ' ' ORDER BY a.attnum)
         FROM pg_catalog.pg_class AS c
         JOIN pg_catalog.pg_attribute AS a
             ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
         WHERE c.relkind IN ('r', 'v', 'm', 'p', 'f')
           AND c.relnamespace::regnamespace::text NOT LIKE 'pg\\_%'
           AND c.relnamespace <> 'information_schema'::regnamespace
           AND has_column_privilege('{role}', c.oid, a.attnum, 'SELECT')
         GROUP BY c.relnamespace, c.relname
         ORDER BY 1"
    );
    rows(client, &query).await
}

#[tokio::test]
async fn mart_reader_reads_harmless_columns_and_nothing_else() -> anyhow::Result<()> {
    let warehouse = Warehouse::create("marts_rights", Content::History)?;
    make_presentation(&warehouse)?;
    let owner = warehouse.connect_as("vault_owner").await?;
    refresh(&owner).await?;
    owner.batch_execute("CREATE VIEW dwh_marts.later AS SELECT 1 AS one").await?;
    let client = warehouse.connect().await?;
    // What is read as of the watermark has rows when there is one.
    let watermark = "INSERT INTO dwh_control.watermark (source_system_id, published, updated_at) VALUES (1, now(), now())";
    client.batch_execute(watermark).await?;
    let harmless: Vec<&str> = HARMLESS.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(harmless.len() > 30, "{harmless:?}");
    assert_eq!(readable(&client, "mart_reader").await?, harmless);
    // A function would read with the rights of its owner.
    let functions = "SELECT p.oid::regprocedure
                     FROM pg_catalog.pg_proc AS p
                     WHERE p.pronamespace::regnamespace::text NOT LIKE 'pg\\_%'
                       AND p.pronamespace <> 'information_schema'::regnamespace
                       AND has_function_privilege('mart_reader', p.oid, 'EXECUTE')
                       AND has_schema_privilege('mart_reader', p.pronamespace, 'USAGE')";
    assert_eq!(rows(&client, functions).await?, [""; 0]);
    let reader = warehouse.connect_as("mart_reader").await?;
    for line in &harmless {
        let (table, columns) = line.split_once(": ").unwrap();
        let columns = columns.replace(' ', ", ");
        let query = format!("SELECT count(*) FROM (SELECT {columns} FROM {table}) AS rows");
        let found = rows(&reader, &query).await?;
        assert!(table.starts_with("presentation.") || found != ["0"], "{table}");
    }
    // The role is read-only by default, but a default is no right: it may turn that off and must still be refused.
    reader.batch_execute("SET default_transaction_read_only = off").await?;
    assert_refused(
        &reader,
        &[
            "SELECT * FROM dwh_detailed.hub_airports",
            "SELECT * FROM dwh_detailed.sat_ticket_passengers",
            "SELECT * FROM dwh_star.tickets",
            "SELECT * FROM dwh_star.offsets",
            "SELECT passenger_name FROM dwh_marts.current_tickets",
            "SELECT * FROM dwh_marts.current_passengers",
            "SELECT passenger_id FROM presentation.frequent_flyers",
            "SELECT * FROM dwh_marts.later",
            "SET ROLE mart_reader_personal",
            "CREATE TABLE dwh_marts.own (one integer)",
            "DROP VIEW dwh_marts.later",
            "CREATE TEMPORARY TABLE own (one integer)",
            "DELETE FROM dwh_marts.fact_bookings",
            "SELECT * FROM dwh_marts.refresh_star()",
            "SELECT * FROM dwh_marts.rebuild_star()",
        ],
    )
    .await;
    Ok(())
}

#[tokio::test]
async fn members_of_mart_reader_personal_read_all_marts_and_nothing_behind_them()
-> anyhow::Result<()> {
    let warehouse = Warehouse::create("marts_personal", Content::History)?;
    make_presentation(&warehouse)?;
    let owner = warehouse.connect_as("vault_owner").await?;
    refresh(&owner).await?;
    let person = warehouse.connect().await?;
    person.batch_execute("SET ROLE mart_reader_personal").await?;
    for table in ["current_tickets", "current_passengers", "current_link_ticket_passengers"] {
        let found = rows(&person, &format!("SELECT * FROM dwh_marts.{table}")).await?;
        assert!(!found.is_empty(), "{table}");
    }
    rows(&person, "SELECT passenger_id FROM presentation.frequent_flyers").await?;
    // What others read, members of this role read too.
    assert!(!rows(&person, "SELECT * FROM dwh_marts.v_airport_traffic").await?.is_empty());
    assert_refused(
        &person,
        &[
            "SELECT * FROM dwh_detailed.sat_ticket_passengers",
            "SELECT * FROM dwh_control.quarantine",
            "SELECT * FROM presentation_staging.frequent_flyers",
        ],
    )
    .await;
    Ok(())
}

#[tokio::test]
async fn mart_refresher_refreshes_and_reads_how_that_went() -> anyhow::Result<()> {
    let warehouse = Warehouse::create("marts_refresher", Content::History)?;
    let refresher = warehouse.connect_as("mart_refresher").await?;
    assert!(refresh(&refresher).await?.starts_with("full|"));
    assert!(refresh(&refresher).await?.starts_with("idle|"));
    let last = "SELECT outcome, refreshes FROM dwh_marts.mart_refreshes";
    assert_eq!(rows(&refresher, last).await?, ["idle|2"]);
    assert_refused(
        &refresher,
        &[
            "SELECT * FROM dwh_marts.fact_bookings",
            "SELECT * FROM dwh_marts.current_passengers",
            "SELECT * FROM dwh_detailed.hub_airports",
            "SELECT * FROM dwh_control.offsets",
            "SELECT * FROM dwh_star.refresh(true)",
            "SELECT * FROM dwh_marts.rebuild_star()",
            "DELETE FROM dwh_marts.mart_refreshes",
            "CREATE TEMPORARY TABLE own (one integer)",
        ],
    )
    .await;
    Ok(())
}

#[tokio::test]
async fn vault_checker_compares_the_star_and_reads_none_of_it() -> anyhow::Result<()> {
    let warehouse = Warehouse::create("marts_checker", Content::History)?;
    let owner = warehouse.connect_as("vault_owner").await?;
    refresh(&owner).await?;
    owner.batch_execute("UPDATE dwh_marts.fact_bookings SET amount = amount + 1").await?;
    let checker = warehouse.connect_as("vault_checker").await?;
    let check = "SELECT rule, table_name, detail FROM dwh_checks.star_equals_vault";
    let found = rows(&checker, check).await?;
    assert!(
        found.iter().any(|row| row.starts_with("star equals vault|fact_bookings|")),
        "{found:?}"
    );
    assert_refused(
        &checker,
        &[
            "SELECT * FROM dwh_marts.fact_bookings",
            "SELECT * FROM dwh_detailed.hub_airports",
            "SELECT * FROM dwh_star.tickets",
            "SELECT * FROM dwh_star.pending()",
            "SELECT * FROM dwh_star.refresh(false)",
        ],
    )
    .await;
    Ok(())
}

#[tokio::test]
async fn every_table_view_and_column_has_a_comment() -> anyhow::Result<()> {
    let warehouse = Warehouse::create("marts_comments", Content::Empty)?;
    let client = warehouse.connect().await?;
    let silent = rows(
        &client,
        "SELECT view.relname, attribute.attname
         FROM pg_catalog.pg_class AS view
         JOIN pg_catalog.pg_attribute AS attribute ON attribute.attrelid = view.oid
         WHERE view.relnamespace = 'dwh_marts'::regnamespace
           AND view.relkind IN ('r', 'v')
           AND attribute.attnum > 0
           AND (
               obj_description(view.oid, 'pg_class') IS NULL
               OR col_description(view.oid, attribute.attnum) IS NULL
           )",
    )
    .await?;
    assert_eq!(silent, Vec::<String>::new());
    Ok(())
}
