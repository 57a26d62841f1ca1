//! The wholesaler and the airline in one warehouse: two databases that have nothing to do with each other.
//!
//! In: real servers, the built binaries, some days of the wholesaler's history, some seconds of its life. Out: all of
//! it in the vault beside the airline, proven by `verify`, `check` and a rebuild; marts that say what the source says.

use std::process::Output;
use std::time::Duration;

use e2e::rig::{Rig, RigOptions};
use e2e::sql;
use tokio_postgres::Client;

/// Three days of a small wholesaler, with few readings.
const SEED: [&str; 8] = [
    "--days",
    "3",
    "--scale",
    "0.05",
    "--reading-interval",
    "30m",
    "--recent-reading-interval",
    "5m",
];

/// Some seconds of a busy life.
const LIFE: [&str; 4] = ["--duration", "5s", "--speed", "20"];

/// Something of the airline.
const AIRLINE: &str = "
    INSERT INTO airports VALUES
        ('AAA', 'Alpha', 'Alpha', 0, 0, 'UTC'),
        ('BBB', 'Beta', 'Beta', 10, 10, 'UTC');
    INSERT INTO bookings VALUES ('ABCDEF', now(), 500)";

/// Rows of the 31 tables and of the published archive.
const AT_SOURCE: &str = "
    SELECT string_agg(
        format('SELECT %L, count(*) FROM %I.%I', tablename, schemaname, tablename), ' UNION ALL ') || ' ORDER BY 1'
    FROM pg_publication_tables";

/// The same tables by their views over the vault.
const IN_VAULT: &str = "
    SELECT string_agg(format('SELECT %L, count(*) FROM dwh_marts.current_ww_%s', name, name), ' UNION ALL ')
           || ' ORDER BY 1'
    FROM unnest($1::text[]) AS name";

/// Organisations that are customer and supplier.
const BOTH_AT_SOURCE: &str = "
    SELECT c.customer_id, s.supplier_id
    FROM sales.customers AS c
    JOIN purchasing.suppliers AS s ON s.supplier_name = c.customer_name
    ORDER BY 1";
const BOTH_IN_VAULT: &str = "
    SELECT c.customer_id, s.supplier_id
    FROM dwh_marts.current_link_ww_customer_organisations AS c
    JOIN dwh_marts.current_link_ww_supplier_organisations AS s USING (organisation_hash_key)
    ORDER BY 1";

/// Shelves whose quantity has more than one version: stock that moved after the snapshot.
const CHANGED: &str = "
    SELECT count(*)
    FROM (
        SELECT FROM dwh_detailed.sat_ww_stock_item_holdings GROUP BY hash_key HAVING count(*) > 1
    ) AS shelves";

/// Shelves below the level at which more is ordered, and orders to suppliers that are older and came late.
const MORE: &str = "
    UPDATE warehouse.stock_item_holdings SET reorder_level = quantity_on_hand + 1 WHERE stock_item_id % 10 = 0;
    UPDATE purchasing.purchase_orders
    SET order_date = order_date - 9, expected_delivery_date = order_date - 2
    WHERE purchase_order_id % 2 = 0";

/// What the marts have to show, so that a comparison says something.
const NOT_NONE: [&str; 4] = [
    "SELECT count(*) FROM dwh_marts.ww_orders_by_day WHERE still_to_pick > 0",
    "SELECT count(*) FROM dwh_marts.ww_stock WHERE is_below_reorder_level",
    "SELECT count(*) FROM dwh_marts.ww_suppliers WHERE late_orders > 0",
    "SELECT count(*) FROM dwh_marts.ww_suppliers WHERE is_customer",
];

/// Each mart beside a plain query on the source.
const MARTS: [(&str, &str); 5] = [
    (
        "SELECT * FROM dwh_marts.ww_orders_by_day ORDER BY day",
        "SELECT day,
                (SELECT count(*) FROM sales.orders WHERE order_date = day),
                (SELECT count(backorder_order_id) FROM sales.orders WHERE order_date = day),
                (SELECT count(*) FROM sales.order_lines JOIN sales.orders USING (order_id) WHERE order_date = day),
                (SELECT coalesce(sum(quantity * unit_price), 0)
                 FROM sales.order_lines JOIN sales.orders USING (order_id) WHERE order_date = day),
                (SELECT count(*) FROM sales.orders WHERE order_date = day AND picking_completed_when IS NULL),
                (SELECT count(*) FROM sales.orders WHERE picking_completed_when::date = day),
                (SELECT count(*) FROM sales.orders WHERE order_date <= day)
                    - (SELECT count(*) FROM sales.orders WHERE picking_completed_when::date <= day)
         FROM (
             SELECT order_date AS day FROM sales.orders
             UNION
             SELECT picking_completed_when::date FROM sales.orders WHERE picking_completed_when IS NOT NULL
         ) AS days
         ORDER BY day",
    ),
    (
        "SELECT stock_item_id, stock_item_name, supplier_name, bin_location, quantity_on_hand, reorder_level,
                target_stock_level, quantity_on_order, is_below_reorder_level,
                is_to_be_ordered, value_at_cost, is_chiller_stock
         FROM dwh_marts.ww_stock ORDER BY stock_item_id",
        "SELECT s.*,
                s.is_below_reorder_level AND NOT EXISTS (
                    SELECT
                    FROM purchasing.purchase_order_lines AS l
                    WHERE l.stock_item_id = s.stock_item_id AND NOT l.is_order_line_finalized
                ),
                h.quantity_on_hand * h.last_cost_price,
                i.is_chiller_stock
         FROM reports.stock_status AS s
         JOIN warehouse.stock_item_holdings AS h USING (stock_item_id)
         JOIN warehouse.stock_items AS i USING (stock_item_id)
         ORDER BY s.stock_item_id",
    ),
    (
        "SELECT * FROM dwh_marts.ww_supplier_deliveries ORDER BY purchase_order_id",
        "SELECT p.purchase_order_id, supplier_id, supplier_name, order_date, expected_delivery_date,
                is_order_finalized, count(purchase_order_line_id), coalesce(sum(ordered_outers), 0),
                coalesce(sum(received_outers), 0),
                max(last_receipt_date) FILTER (WHERE is_order_finalized),
                max(last_receipt_date) FILTER (WHERE is_order_finalized) - order_date,
                max(last_receipt_date) FILTER (WHERE is_order_finalized) - expected_delivery_date
         FROM purchasing.purchase_orders AS p
         JOIN purchasing.suppliers USING (supplier_id)
         LEFT JOIN purchasing.purchase_order_lines AS l ON l.purchase_order_id = p.purchase_order_id
         GROUP BY p.purchase_order_id, supplier_name
         ORDER BY p.purchase_order_id",
    ),
    (
        "SELECT * FROM dwh_marts.ww_suppliers ORDER BY supplier_id",
        "SELECT supplier_id, supplier_name, supplier_category_name,
                supplier_name IN (SELECT customer_name FROM sales.customers),
                count(purchase_order_id),
                count(*) FILTER (WHERE NOT is_order_finalized),
                count(came) FILTER (WHERE is_order_finalized),
                count(*) FILTER (WHERE is_order_finalized AND came > expected_delivery_date),
                round(avg(came - order_date) FILTER (WHERE is_order_finalized), 2)
         FROM purchasing.suppliers
         JOIN purchasing.supplier_categories USING (supplier_category_id)
         LEFT JOIN purchasing.purchase_orders AS p USING (supplier_id)
         CROSS JOIN LATERAL (
             SELECT max(last_receipt_date) AS came
             FROM purchasing.purchase_order_lines AS l
             WHERE l.purchase_order_id = p.purchase_order_id
         ) AS lines
         GROUP BY supplier_id, supplier_category_name
         ORDER BY supplier_id",
    ),
    (
        "SELECT * FROM dwh_marts.ww_cold_room_alarms ORDER BY cold_room_sensor_number, began_when",
        "SELECT sensor, began, ended, count(*), max(temperature), NOT bool_or(exists_later)
         FROM (
             SELECT w.cold_room_sensor_number AS sensor, w.temperature,
                    coalesce(good_before, '-infinity') AS since,
                    min(w.recorded_when) OVER alarm AS began,
                    max(w.recorded_when) OVER alarm AS ended,
                    EXISTS (
                        SELECT
                        FROM powerbi.cold_room_temperatures AS r
                        WHERE r.cold_room_sensor_number = w.cold_room_sensor_number
                          AND r.temperature <= 6 AND r.recorded_when > w.recorded_when
                    ) AS exists_later
             FROM powerbi.cold_room_temperatures AS w
             CROSS JOIN LATERAL (
                 SELECT max(r.recorded_when) AS good_before
                 FROM powerbi.cold_room_temperatures AS r
                 WHERE r.cold_room_sensor_number = w.cold_room_sensor_number
                   AND r.temperature <= 6 AND r.recorded_when < w.recorded_when
             ) AS last_good
             WHERE w.temperature > 6
             WINDOW alarm AS (PARTITION BY w.cold_room_sensor_number, good_before)
         ) AS warm
         GROUP BY sensor, since, began, ended
         ORDER BY sensor, began",
    ),
];

fn assert_success(what: &str, output: &Output) {
    let text = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{what}: {text}{complaints}");
}

/// `verify` of both sources and the rules of the vault.
fn assert_proven(rig: &Rig, wholesaler: &str) {
    let proofs = [
        ("verify of the wholesaler", rig.prove_wholesaler(wholesaler, &["verify"])),
        ("verify of the airline", rig.prove(&["verify"])),
        ("check", rig.check()),
    ];
    for (what, output) in proofs {
        assert_success(what, &output.unwrap());
    }
}

/// Every captured table has as many rows in the vault as at the source.
async fn assert_all_rows(source: &Client, warehouse: &Client) {
    let counts = sql::one(source, AT_SOURCE).await.unwrap();
    let there = sql::rows(source, &counts).await.unwrap();
    assert_eq!(there.len(), 32, "31 tables and an archive are published");
    let names: Vec<&str> = there.iter().filter_map(|row| row[0].as_deref()).collect();
    let counts: String = warehouse.query_one(IN_VAULT, &[&names]).await.unwrap().get(0);
    assert_eq!(sql::rows(warehouse, &counts).await.unwrap(), there);
}

async fn assert_same(source: &Client, at_source: &str, warehouse: &Client, in_vault: &str) {
    let there = sql::rows(source, at_source).await.unwrap();
    assert!(!there.is_empty(), "the source has nothing to compare: {at_source}");
    assert_eq!(sql::rows(warehouse, in_vault).await.unwrap(), there, "{in_vault}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wholesaler_and_the_airline_share_a_warehouse() {
    let mut rig = Rig::create(RigOptions::of_stack("wholesale")).unwrap();
    let wholesaler = rig.add_wholesaler(&SEED).await.unwrap();
    let airline = sql::connect(&rig.source()).await.unwrap();
    airline.batch_execute(AIRLINE).await.unwrap();
    let readers = [rig.start_reader().unwrap(), rig.start_wholesaler_reader(&wholesaler).unwrap()];
    let mut loader = rig.start_loader().unwrap();
    for reader in &readers {
        rig.wait_until_streaming(reader).unwrap();
    }
    rig.simulate_wholesaler(&wholesaler, &LIFE).unwrap();
    let source = sql::connect(&rig.further_source(&wholesaler)).await.unwrap();
    source.batch_execute(MORE).await.unwrap();
    airline.batch_execute("UPDATE bookings SET total_amount = 700").await.unwrap();
    rig.settle().await.unwrap();

    let warehouse = sql::connect(&rig.warehouse(rig.name())).await.unwrap();
    assert_all_rows(&source, &warehouse).await;
    assert_same(&source, BOTH_AT_SOURCE, &warehouse, BOTH_IN_VAULT).await;
    let reader = rig.as_mart_reader().await.unwrap();
    for (mart, at_source) in MARTS {
        assert_same(&source, at_source, &reader, mart).await;
    }
    for what in NOT_NONE {
        assert_ne!(sql::one(&reader, what).await.unwrap(), "0", "{what}");
    }
    let booking = "SELECT total_amount FROM dwh_marts.current_bookings";
    assert_eq!(sql::one(&warehouse, booking).await.unwrap(), "700.00");
    assert_ne!(sql::one(&warehouse, CHANGED).await.unwrap(), "0", "nothing was changed");
    let waiting = "SELECT count(*) FROM dwh_control.quarantine";
    assert_eq!(sql::one(&warehouse, waiting).await.unwrap(), "0");
    assert_proven(&rig, &wholesaler);
    rig.rebuild_and_compare().unwrap();
    loader.terminate();
    assert_eq!(loader.wait_exit(Duration::from_secs(60)).unwrap(), 0);
}
