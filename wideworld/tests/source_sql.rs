//! `sql/wideworld`: the schema refuses what is no wholesaler, keeps versions, and each role can do its work and nothing
//! else.

use std::process::Command;

use devstack::sql::connect;
use devstack::{Postgres, PostgresOptions, client_binary};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use wideworld::seed::seed;
use wideworld::tables::ALL;

use crate::support::{PASSWORDS, Wholesaler, names, options};

/// A server of its own, for roles belong to a whole server.
fn server_with_roles(version: u16) -> (Postgres, Wholesaler) {
    let server = Postgres::start(PostgresOptions::new(version).fsync(false)).unwrap();
    let wholesaler = Wholesaler::create_on(server.address(), true);
    (server, wholesaler)
}

async fn as_role(wholesaler: &Wholesaler, role: &str, place: usize) -> Client {
    let password = PASSWORDS[place].1;
    connect(&wholesaler.server.connection_string(&wholesaler.name, role, password)).await.unwrap()
}

/// Runs a statement and takes it back.
async fn attempt(client: &Client, statement: &str) -> Result<(), tokio_postgres::Error> {
    client.batch_execute("BEGIN").await.unwrap();
    let outcome = client.batch_execute(statement).await;
    client.batch_execute("ROLLBACK").await.unwrap();
    outcome
}

async fn assert_allowed(client: &Client, statement: &str) {
    let outcome = attempt(client, statement).await;
    assert!(outcome.is_ok(), "{statement}: {outcome:?}");
}

async fn assert_refused(client: &Client, statement: &str) {
    let code = attempt(client, statement).await.err().and_then(|err| err.code().cloned());
    assert_eq!(code, Some(SqlState::INSUFFICIENT_PRIVILEGE), "{statement}");
}

async fn assert_powerless(client: &Client) {
    for statement in [
        "CREATE TABLE sales.mine (id integer)",
        "CREATE TABLE public.mine (id integer)",
        "CREATE TEMPORARY TABLE mine (id integer)",
        "CREATE SCHEMA mine",
        "CREATE PUBLICATION mine",
        "CREATE ROLE mine",
        "DROP TABLE sales.special_deals",
        "TRUNCATE sales.special_deals",
        "DELETE FROM sales.customers_archive",
        "UPDATE sales.customers_archive SET phone_number = ''",
        "ALTER TABLE sales.customers DISABLE TRIGGER keep_version",
    ] {
        assert_refused(client, statement).await;
    }
}

async fn rights_are_the_least_that_work(version: u16) {
    let (_server, wholesaler) = server_with_roles(version);

    let client = as_role(&wholesaler, "wideworld_capture", 1).await;
    for table in ALL {
        assert_allowed(&client, &format!("SELECT FROM {}", table.name)).await;
        assert_refused(&client, &format!("DELETE FROM {}", table.name)).await;
    }
    assert_allowed(&client, "SELECT FROM warehouse.cold_room_temperatures_archive").await;
    assert_refused(&client, "SELECT FROM sales.customers_archive").await;
    assert_refused(&client, "SELECT FROM website.customers").await;
    assert_refused(&client, "SELECT nextval('sequences.order_id')").await;
    let slot = "SELECT pg_create_logical_replication_slot('probe', 'pgoutput', true)";
    client.batch_execute(slot).await.unwrap();
    client.batch_execute("SELECT pg_drop_replication_slot('probe')").await.unwrap();
    assert_powerless(&client).await;

    let client = as_role(&wholesaler, "data_engineer", 2).await;
    for name in names() {
        assert_allowed(&client, &format!("SELECT FROM {name}")).await;
        assert_refused(&client, &format!("DELETE FROM {name}")).await;
    }
    assert_allowed(&client, "SELECT FROM reports.stock_status").await;
    assert_refused(&client, slot).await;
    assert_powerless(&client).await;

    the_generator_seeds_and_changes(&wholesaler).await;
    members_see_views_and_no_table(&wholesaler).await;
}

async fn the_generator_seeds_and_changes(wholesaler: &Wholesaler) {
    let (user, password) = ("wideworld_generator", PASSWORDS[0].1);
    let mut target = wholesaler.options();
    user.clone_into(&mut target.user);
    target.password = shared::secret::Secret::new(password);
    seed(&target, &options(3, 1), &mut |_, _| ()).await.unwrap();
    let anew = wideworld::seed::SeedOptions {
        existing: wideworld::seed::Existing::Truncate,
        ..options(3, 1)
    };
    let refusal = seed(&target, &anew, &mut |_, _| ()).await.unwrap_err();
    assert!(refusal.to_string().contains("only their owner may"), "{refusal}");
    let client = as_role(wholesaler, user, 0).await;
    // The trigger writes the archive with the owner's rights.
    assert_allowed(&client, "UPDATE sales.customers SET phone_number = ''").await;
    assert_refused(&client, "SELECT FROM website.customers").await;
    assert_refused(&client, "SELECT pg_create_logical_replication_slot('probe', 'pgoutput', true)")
        .await;
    assert_powerless(&client).await;
}

async fn members_see_views_and_no_table(wholesaler: &Wholesaler) {
    let client = wholesaler.client().await;
    client
        .batch_execute(
            "CREATE ROLE visitor LOGIN PASSWORD 'x' IN ROLE website_access;
             CREATE ROLE stranger LOGIN PASSWORD 'x'",
        )
        .await
        .unwrap();
    let visitor = wholesaler.server.connection_string(&wholesaler.name, "visitor", "x");
    let visitor = connect(&visitor).await.unwrap();
    assert_allowed(&visitor, "SELECT FROM website.customers, website.suppliers").await;
    for table in ["sales.customers", "reports.stock_status", "powerbi.sales"] {
        assert_refused(&visitor, &format!("SELECT FROM {table}")).await;
    }
    let stranger = wholesaler.server.connection_string(&wholesaler.name, "stranger", "x");
    let refusal = connect(&stranger).await.err().and_then(|err| err.code().cloned());
    assert_eq!(refusal, Some(SqlState::INSUFFICIENT_PRIVILEGE));
}

#[tokio::test]
async fn rights_are_the_least_that_work_on_postgresql_15() {
    rights_are_the_least_that_work(15).await;
}

#[tokio::test]
async fn rights_are_the_least_that_work_on_postgresql_18() {
    rights_are_the_least_that_work(18).await;
}

#[tokio::test]
async fn applying_the_files_again_changes_nothing() {
    let (_server, wholesaler) = server_with_roles(15);
    let dump = || {
        let output = Command::new(client_binary("pg_dump").unwrap())
            .arg(wholesaler.server.superuser(&wholesaler.name))
            .arg("--schema-only")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        // Newer releases begin a dump with a random token.
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().filter(|line| !line.starts_with('\\')).collect::<Vec<_>>().join("\n")
    };
    let before = dump();
    assert!(before.contains("CREATE TABLE warehouse.stock_items_archive"));
    wholesaler.apply(true);
    assert_eq!(dump(), before);
}

#[tokio::test]
async fn the_tables_and_columns_are_those_that_the_generator_writes() {
    let wholesaler = Wholesaler::create();
    let client = wholesaler.client().await;
    let query = "SELECT n.nspname || '.' || c.relname,
                     string_agg(a.attname, ', ' ORDER BY a.attnum)
                 FROM pg_class AS c
                 JOIN pg_namespace AS n ON n.oid = c.relnamespace
                 JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0
                 WHERE c.relkind = 'r'
                   AND n.nspname IN ('application', 'purchasing', 'sales', 'warehouse')
                 GROUP BY 1
                 ORDER BY 1";
    let rows = client.query(query, &[]).await.unwrap();
    let found: Vec<(String, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let mut expected = Vec::new();
    for table in ALL {
        expected.push((table.name.to_owned(), table.columns.to_owned()));
        expected.extend(table.archive().map(|name| (name, table.columns.to_owned())));
    }
    expected.sort();
    assert_eq!(found, expected);
    let keys = "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND connamespace::regnamespace::text
                IN ('application', 'purchasing', 'sales', 'warehouse')";
    assert_eq!(wholesaler.number(keys).await, 98);
}

#[tokio::test]
async fn the_publication_holds_the_31_tables_the_readings_and_every_change() {
    let wholesaler = Wholesaler::create();
    let client = wholesaler.client().await;
    let query = "SELECT schemaname || '.' || tablename
                 FROM pg_publication_tables
                 WHERE pubname = 'wideworld_publication'
                 ORDER BY 1";
    let rows = client.query(query, &[]).await.unwrap();
    let published: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let mut expected: Vec<String> = ALL.iter().map(|table| table.name.to_owned()).collect();
    expected.push("warehouse.cold_room_temperatures_archive".to_owned());
    expected.sort();
    assert_eq!(published, expected);
    let every = "SELECT (pubinsert AND pubupdate AND pubdelete AND pubtruncate)::integer::bigint
                 FROM pg_publication WHERE pubname = 'wideworld_publication'";
    assert_eq!(wholesaler.number(every).await, 1);
}

#[tokio::test]
async fn what_is_no_wholesaler_is_refused_by_a_named_constraint() {
    let wholesaler = Wholesaler::create();
    wholesaler.seed(20, 1).await;
    let client = wholesaler.client().await;
    let broken = [
        (
            "stock_item_holdings_quantity_check",
            "UPDATE warehouse.stock_item_holdings SET quantity_on_hand = -1",
        ),
        (
            "special_deals_exactly_one_price_check",
            "UPDATE sales.special_deals SET discount_amount = 1, unit_price = 1",
        ),
        ("people_search_name_check", "UPDATE application.people SET full_name = 'Somebody'"),
        ("stock_items_tags_check", "UPDATE warehouse.stock_items SET tags = '[]'"),
        (
            "invoices_confirmed_check",
            "UPDATE sales.invoices SET confirmed_delivery_time = NULL WHERE confirmed_delivery_time IS NOT NULL",
        ),
        (
            "invoice_lines_extended_price_check",
            "UPDATE sales.invoice_lines SET quantity = quantity + 1",
        ),
        (
            "customer_transactions_finalized_check",
            "UPDATE sales.customer_transactions SET finalization_date = NULL",
        ),
        (
            "supplier_transactions_amount_check",
            "UPDATE purchasing.supplier_transactions SET tax_amount = tax_amount + 1",
        ),
        (
            "order_lines_quantity_check",
            "UPDATE sales.order_lines SET picked_quantity = quantity + 1",
        ),
        (
            "purchase_order_lines_outers_check",
            "UPDATE purchasing.purchase_order_lines SET received_outers = -1",
        ),
        (
            "vehicle_temperatures_compressed_check",
            "UPDATE warehouse.vehicle_temperatures SET is_compressed = NOT is_compressed",
        ),
        ("customers_delivery_city_id_fkey", "UPDATE sales.customers SET delivery_city_id = 0"),
        (
            "stock_item_stock_groups_item_group_key",
            "UPDATE warehouse.stock_item_stock_groups SET stock_item_id = 1, stock_group_id = 1",
        ),
    ];
    for (constraint, statement) in broken {
        let refusal = attempt(&client, statement).await.unwrap_err();
        let named = refusal.as_db_error().and_then(|server| server.constraint());
        assert_eq!(named, Some(constraint), "{statement}");
    }
}

#[tokio::test]
async fn versions_are_kept_by_the_database_itself() {
    let wholesaler = Wholesaler::create();
    wholesaler.seed(2, 1).await;
    let client = wholesaler.client().await;
    client
        .batch_execute(
            "INSERT INTO warehouse.colors (color_name, last_edited_by) VALUES ('Umber', 1);
             BEGIN;
             UPDATE warehouse.colors SET color_name = 'Ochre' WHERE color_name = 'Umber';
             UPDATE warehouse.colors SET color_name = 'Sienna' WHERE color_name = 'Ochre';
             COMMIT;
             DELETE FROM warehouse.colors WHERE color_name = 'Sienna'",
        )
        .await
        .unwrap();
    let names =
        "SELECT string_agg(color_name, ' ' ORDER BY valid_from) FROM warehouse.colors_archive";
    let names: String = client.query_one(names, &[]).await.unwrap().get(0);
    assert_eq!(names, "Umber Ochre Sienna");
    wholesaler.assert_sound().await;
}

#[tokio::test]
async fn with_postgis_places_are_geography() {
    let server = Postgres::start(PostgresOptions::new(15).fsync(false)).unwrap();
    let wholesaler = Wholesaler::empty_on(server.address());
    let client = wholesaler.client().await;
    client.batch_execute("CREATE EXTENSION postgis").await.unwrap();
    wholesaler.apply(true);
    wholesaler.seed(2, 1).await;
    let near = "SELECT count(*)
                FROM application.cities AS c
                JOIN application.state_provinces AS sp ON sp.state_province_id = c.state_province_id
                WHERE public.ST_Covers(sp.border, c.location)";
    assert_eq!(wholesaler.number(near).await, 51 * 12);
}
