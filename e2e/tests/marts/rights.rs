//! Who may read what, and that everything explains itself.
//!
//! In: the roles of `sql/warehouse`, the marts. Out: rights granted and refused by the server.
//! Invariant: mart_reader reads every mart, later ones included, and nothing that they are made of; mart_refresher has
//! the refresh done for it and cannot do it itself.

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

#[tokio::test]
async fn mart_reader_reads_marts_and_nothing_else() -> anyhow::Result<()> {
    let warehouse = Warehouse::create("marts_rights", Content::History)?;
    let owner = warehouse.connect_as("vault_owner").await?;
    refresh(&owner).await?;
    owner.batch_execute("CREATE VIEW dwh_marts.later AS SELECT 1 AS one").await?;
    let reader = warehouse.connect_as("mart_reader").await?;
    let marts = rows(
        &owner,
        "SELECT relname
         FROM pg_catalog.pg_class
         WHERE relnamespace = 'dwh_marts'::regnamespace
           AND relkind IN ('r', 'v')",
    )
    .await?;
    assert!(marts.len() > 30, "{marts:?}");
    for mart in marts {
        let found = rows(&reader, &format!("SELECT count(*) FROM dwh_marts.{mart}")).await?;
        assert_ne!(found, ["0"], "{mart}");
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
    let check = devstack::workspace_root().join("sql/checks/120_star_equals_vault.sql");
    let found = rows(&checker, &std::fs::read_to_string(check)?).await?;
    assert!(
        found.iter().any(|row| row.starts_with("star equals vault|fact_bookings|")),
        "{found:?}"
    );
    assert_refused(
        &checker,
        &[
            "SELECT * FROM dwh_marts.fact_bookings",
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
