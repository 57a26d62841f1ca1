//! Who may read what, and that everything explains itself.
//!
//! In: the roles of `sql/warehouse`, the marts. Out: rights granted and refused by the server.
//! Invariant: mart_reader reads every mart, later ones included, and nothing that they are made of.

use tokio_postgres::error::SqlState;

use super::warehouse::{Content, Warehouse, rows};

#[tokio::test]
async fn mart_reader_reads_marts_and_nothing_else() -> anyhow::Result<()> {
    let warehouse = Warehouse::create("marts_rights", Content::History)?;
    let owner = warehouse.connect_as("vault_owner").await?;
    owner.batch_execute("CREATE VIEW dwh_marts.later AS SELECT 1 AS one").await?;
    let reader = warehouse.connect_as("mart_reader").await?;
    let views =
        rows(&owner, "SELECT viewname FROM pg_catalog.pg_views WHERE schemaname = 'dwh_marts'")
            .await?;
    assert!(views.len() > 1);
    for view in views {
        let found = rows(&reader, &format!("SELECT count(*) FROM dwh_marts.{view}")).await?;
        assert_ne!(found, ["0"], "{view}");
    }
    // The role is read-only by default, but a default is no right: it may turn that off and must still be refused.
    reader.batch_execute("SET default_transaction_read_only = off").await?;
    for refused in [
        "SELECT * FROM dwh_detailed.hub_airports",
        "SELECT * FROM dwh_detailed.sat_ticket_passengers",
        "CREATE TABLE dwh_marts.own (one integer)",
        "DROP VIEW dwh_marts.later",
        "CREATE TEMPORARY TABLE own (one integer)",
    ] {
        let error = reader.batch_execute(refused).await.expect_err(refused);
        assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{refused}: {error:?}");
    }
    Ok(())
}

#[tokio::test]
async fn every_view_and_column_has_a_comment() -> anyhow::Result<()> {
    let warehouse = Warehouse::create("marts_comments", Content::Empty)?;
    let client = warehouse.connect().await?;
    let silent = rows(
        &client,
        "SELECT view.relname, attribute.attname
         FROM pg_catalog.pg_class AS view
         JOIN pg_catalog.pg_attribute AS attribute ON attribute.attrelid = view.oid
         WHERE view.relnamespace = 'dwh_marts'::regnamespace
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
