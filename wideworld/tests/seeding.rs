//! `wideworld seed`: what it writes, that it writes the same again, and what it refuses.

use std::process::Command;

use wideworld::seed::{Existing, SeedError, SeedOptions, seed};

use crate::support::{Wholesaler, names, options};

#[tokio::test]
async fn every_table_has_rows_and_the_rules_hold() {
    let wholesaler = Wholesaler::create();
    let summary = wholesaler.seed(60, 1).await;
    for table in wideworld::tables::ALL {
        assert!(summary.row_counts[table.name] > 0, "{}", table.name);
        assert_eq!(
            wholesaler.number(&format!("SELECT count(*) FROM {}", table.name)).await,
            i64::try_from(summary.row_counts[table.name]).unwrap(),
            "{}",
            table.name
        );
    }
    for archive in ["application.people", "sales.customers", "warehouse.stock_items"] {
        assert!(summary.row_counts[&format!("{archive}_archive")] > 10, "{archive}");
    }
    wholesaler.assert_sound().await;
}

#[tokio::test]
async fn one_seed_gives_one_database_and_two_seeds_give_two() {
    let (first, second, third) = (Wholesaler::create(), Wholesaler::create(), Wholesaler::create());
    first.seed(30, 1).await;
    second.seed(30, 1).await;
    third.seed(30, 2).await;
    let digests = first.digests().await;
    assert_eq!(digests.len(), names().len());
    assert_eq!(digests, second.digests().await);
    let differing = third.digests().await;
    for table in
        ["sales.orders", "warehouse.stock_item_holdings", "warehouse.cold_room_temperatures"]
    {
        assert_ne!(digests[table], differing[table], "{table}");
    }
}

#[tokio::test]
async fn seeding_again_with_truncate_gives_the_same_database() {
    let wholesaler = Wholesaler::create();
    wholesaler.seed(10, 1).await;
    let before = wholesaler.digests().await;
    let refusal = seed(&wholesaler.options(), &options(10, 1), &mut |_, _| ()).await.unwrap_err();
    assert!(matches!(&refusal, SeedError::NotEmpty(table) if table == "application.people"));
    let anew = SeedOptions { existing: Existing::Truncate, ..options(10, 1) };
    seed(&wholesaler.options(), &anew, &mut |_, _| ()).await.unwrap();
    assert_eq!(wholesaler.digests().await, before);
}

#[tokio::test]
async fn new_rows_get_keys_beyond_the_seeded_ones() {
    let wholesaler = Wholesaler::create();
    wholesaler.seed(10, 1).await;
    let client = wholesaler.client().await;
    for table in wideworld::tables::ALL {
        let key = table.columns.split(',').next().unwrap();
        let query = format!(
            "SELECT pg_get_expr(d.adbin, d.adrelid)
             FROM pg_attrdef AS d
             JOIN pg_attribute AS a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
             WHERE d.adrelid = '{}'::regclass AND a.attname = '{key}'",
            table.name
        );
        let next = match client.query_opt(&query, &[]).await.unwrap() {
            Some(row) => row.get::<_, String>(0),
            None if table == wideworld::tables::STOCK_ITEM_HOLDINGS => continue,
            None => format!("nextval(pg_get_serial_sequence('{}', '{key}'))", table.name),
        };
        let is_beyond = format!(
            "SELECT ({next} > coalesce(max({key}), 0))::integer::bigint FROM {}",
            table.name
        );
        assert_eq!(wholesaler.number(&is_beyond).await, 1, "{}", table.name);
    }
}

#[tokio::test]
async fn the_views_answer() {
    let wholesaler = Wholesaler::create();
    wholesaler.seed(30, 1).await;
    for view in [
        "website.customers",
        "website.suppliers",
        "website.vehicle_temperatures",
        "reports.sales_by_month",
        "reports.stock_status",
        "reports.open_receivables",
        "powerbi.sales",
        "powerbi.cold_room_temperatures",
    ] {
        assert!(wholesaler.number(&format!("SELECT count(*) FROM {view}")).await > 0, "{view}");
    }
    let same = "SELECT ((SELECT sum(amount_excluding_tax) FROM reports.sales_by_month)
                      = (SELECT sum(amount_excluding_tax) FROM sales.customer_transactions
                         WHERE invoice_id IS NOT NULL))::integer::bigint";
    assert_eq!(wholesaler.number(same).await, 1);
    let both = "SELECT count(*) FROM purchasing.suppliers JOIN sales.customers ON customer_name = supplier_name";
    assert_eq!(wholesaler.number(both).await, 2, "organisations that are both");
}

#[tokio::test]
async fn what_cannot_be_seeded_is_refused_with_the_remedy() {
    let wholesaler = Wholesaler::create();
    let target = wholesaler.options();
    for (changed, text) in [
        (SeedOptions { days: 0, ..options(1, 1) }, "days"),
        (SeedOptions { scale: f64::NAN, ..options(1, 1) }, "scale"),
        (SeedOptions { scale: 26.0, ..options(1, 1) }, "scale"),
        (SeedOptions { recent_interval: 0, ..options(1, 1) }, "interval"),
    ] {
        let refusal = seed(&target, &changed, &mut |_, _| ()).await.unwrap_err().to_string();
        assert!(refusal.contains(text), "{refusal}");
    }
    let empty = Wholesaler::empty_on(&devstack::shared::stack().postgres15);
    let refusal = seed(&empty.options(), &options(1, 1), &mut |_, _| ()).await.unwrap_err();
    assert!(refusal.to_string().contains("apply the files of sql/wideworld"), "{refusal}");
}

#[test]
fn an_unreachable_server_is_named_without_the_password() {
    let output = Command::new(env!("CARGO_BIN_EXE_wideworld"))
        .args(["seed", "--days", "1"])
        .env("WIDEWORLD_DATABASE_URL", "postgres://admin:hidden@127.0.0.1:1/wideworld")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(complaint.contains("127.0.0.1:1/wideworld"), "{complaint}");
    assert!(!complaint.contains("hidden"), "{complaint}");
}

#[test]
fn wrong_usage_has_exit_code_two() {
    for arguments in
        [vec!["seed", "--scale", "much"], vec!["simulate", "--rate", "strike=1"], vec![]]
    {
        let output =
            Command::new(env!("CARGO_BIN_EXE_wideworld")).args(&arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}
