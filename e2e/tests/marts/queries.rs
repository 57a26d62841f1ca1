//! The analytical queries of `sql/marts/queries`, and the small dimensions, on a data set whose answers were worked out
//! by hand.
//!
//! In: the history and `queries.sql`, as of the twentieth of May 2024. Out: the exact answer of every query.
//! Invariant: a query that has no answer here fails the test; each runs with the rights of mart_reader.

use std::collections::BTreeMap;

use anyhow::Context;
use chrono::NaiveDate;
use devstack::sql_files;

use super::warehouse::{Content, PUT, Warehouse, refresh, rows};

const ANSWERS: [(&str, &[&str]); 14] = [
    (
        "010_revenue_by_route",
        &[
            "SVO-LED|Moscow|Saint Petersburg|599.4|2|5|1550.75|310.15|0.52",
            "SVO-KZN|Moscow|Kazan|742.4|1|2|750.00|375.00|0.51",
            "LED-UFA|Saint Petersburg|Ufa|1637.1|1|1|700.00|700.00|0.43",
            "LED-SVO|Saint Petersburg|Moscow|599.4|1|1|600.00|600.00|1.00",
        ],
    ),
    (
        "020_booking_lead_time",
        &["1|0-1 days|4|40.00|312.56", "2|2-7 days|4|40.00|425.00", "3|8-14 days|2|20.00|400.25"],
    ),
    (
        "030_seat_class_utilisation",
        &[
            "Business|3|5|1|1|20.00|20.00|250.00",
            "Comfort|1|1|1|1|100.00|100.00|350.00",
            "Economy|3|10|5|2|50.00|20.00|2200.25",
        ],
    ),
    (
        "040_peak_booking_hours",
        &["9|2|6|1900.50|40.00|1", "13|2|3|1550.00|40.00|1", "23|1|1|300.25|20.00|3"],
    ),
    (
        "050_customer_segmentation",
        &[
            "2|1 flight|t|1|1|1|450.00|450.00|12.00",
            "3|2 flights|f|1|1|2|1000.00|1000.00|26.66",
            "4|3-4 flights|t|2|4|6|2300.75|1150.38|61.34",
        ],
    ),
    (
        "060_load_factor",
        &[
            "SVO-KZN|1|2|2|1|50.00|50.00|50.00",
            "SVO-LED|1|7|4|2|28.57|28.57|28.57",
            "LED-UFA|1|7|1|1|14.29|14.29|14.29",
        ],
    ),
    (
        "070_on_time_performance",
        &["LED|Saint Petersburg|1|1|100.00|5.0|5.0", "SVO|Moscow|2|1|50.00|405.0|810.0"],
    ),
    ("080_cancellations", &["2024-04-01|2|0|0.00|0|0.00", "2024-05-01|4|1|25.00|1|150.00"]),
    (
        "090_no_shows",
        &[
            "Business|1|0|0.00|0.00|NULL|1.0",
            "Comfort|1|0|0.00|0.00|NULL|5.0",
            "Economy|5|3|60.00|1000.25|0.3|5.0",
        ],
    ),
    (
        "100_fare_changes",
        &[
            "LED-SVO|Economy|2024-04-01|1|600.00|NULL",
            "LED-SVO|Economy|2024-05-01|1|150.00|-75.00",
            "LED-UFA|Economy|2024-05-01|1|700.00|NULL",
            "SVO-KZN|Comfort|2024-04-01|1|350.00|NULL",
            "SVO-KZN|Economy|2024-04-01|1|400.00|NULL",
            "SVO-LED|Business|2024-05-01|1|250.00|NULL",
            "SVO-LED|Economy|2024-05-01|4|325.19|NULL",
        ],
    ),
    ("110_airport_connections", &["LED|SVO|UFA|1|120.0"]),
    (
        "120_repeat_customers",
        &["2024-04-01|2|1|50.00|2550.00|60.78|1.50", "2024-05-01|2|1|50.00|1200.75|62.52|1.50"],
    ),
    (
        "130_retention_by_month",
        &["2024-04-01|0|2|2|100.00", "2024-04-01|1|2|1|50.00", "2024-05-01|0|2|2|100.00"],
    ),
    (
        "140_booking_curve",
        &[
            "Business|30|5|7|0|0.00",
            "Business|21|5|7|0|0.00",
            "Business|14|5|7|0|0.00",
            "Business|7|5|7|0|0.00",
            "Business|3|5|7|0|0.00",
            "Business|1|5|7|1|14.29",
            "Business|0|5|7|1|14.29",
            "Comfort|30|3|3|0|0.00",
            "Comfort|21|3|3|0|0.00",
            "Comfort|14|3|3|0|0.00",
            "Comfort|7|3|3|0|0.00",
            "Comfort|3|3|3|1|33.33",
            "Comfort|1|3|3|1|33.33",
            "Comfort|0|3|3|1|33.33",
            "Economy|30|2|10|0|0.00",
            "Economy|21|2|10|0|0.00",
            "Economy|14|2|10|0|0.00",
            "Economy|7|2|10|0|0.00",
            "Economy|3|2|10|2|20.00",
            "Economy|1|2|10|3|30.00",
            "Economy|0|2|10|4|40.00",
        ],
    ),
];

/// A warehouse with the known data set, its star refreshed.
async fn known(database: &str) -> anyhow::Result<Warehouse> {
    let today = NaiveDate::from_ymd_opt(2024, 5, 20).context("a day")?;
    let warehouse = Warehouse::create_on(database, Content::History, today)?;
    let client = warehouse.connect().await?;
    client
        .batch_execute(&warehouse.dated(&format!("{PUT}{}", include_str!("queries.sql"))))
        .await?;
    refresh(&client).await?;
    Ok(warehouse)
}

#[tokio::test]
async fn every_query_answers_what_was_worked_out_by_hand() -> anyhow::Result<()> {
    let warehouse = known("queries_answers").await?;
    let reader = warehouse.connect_as("mart_reader").await?;
    let answers: BTreeMap<&str, &[&str]> = ANSWERS.into_iter().collect();
    let files = sql_files("sql/marts/queries")?;
    assert_eq!(files.len(), answers.len());
    for file in files {
        let name = file.file_stem().and_then(|name| name.to_str()).context("a name")?;
        let query = std::fs::read_to_string(&file)?;
        for part in ["-- Question: ", "\n-- Grain: ", "\n-- Columns: "] {
            assert!(query.contains(part), "{name} has no {part:?} in its head");
        }
        let wanted = answers.get(name).with_context(|| format!("{name} has no answer"))?;
        assert_eq!(rows(&reader, &query).await?, *wanted, "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn dimensions_of_type_two_hold_each_state_for_its_time() -> anyhow::Result<()> {
    let warehouse = known("queries_type_two").await?;
    let reader = warehouse.connect_as("mart_reader").await?;
    let airports = "SELECT airport_code, airport_name, valid_from, valid_to, is_current
                    FROM dwh_marts.dim_airport
                    ORDER BY airport_code, valid_from";
    assert_eq!(
        rows(&reader, airports).await?,
        [
            "AER|Sochi|1900-01-01 00:00:00+00|2020-01-01 00:00:03+00|f",
            "KZN|Kazan|1900-01-01 00:00:00+00|2020-01-01 00:00:03+00|f",
            "KZN|Kazan|2020-01-01 00:00:04+00|NULL|t",
            "LED|Pulkovo|1900-01-01 00:00:00+00|NULL|t",
            "SVO|Sheremetievo|1900-01-01 00:00:00+00|2020-01-01 00:00:02+00|f",
            "SVO|Sheremetyevo|2020-01-01 00:00:02+00|NULL|t",
            "UFA|Ufa|1900-01-01 00:00:00+00|NULL|t",
        ]
    );
    let aircrafts = "SELECT aircraft_code, model, range, valid_from, valid_to, is_current
                     FROM dwh_marts.dim_aircraft
                     ORDER BY aircraft_code";
    assert_eq!(
        rows(&reader, aircrafts).await?,
        [
            "773|Boeing 777-300|11100|1900-01-01 00:00:00+00|NULL|t",
            "SU9|Sukhoi Superjet-100|3000|1900-01-01 00:00:00+00|NULL|t",
        ]
    );
    Ok(())
}

#[tokio::test]
async fn seats_know_their_place_and_routes_their_length() -> anyhow::Result<()> {
    let warehouse = known("queries_places").await?;
    let reader = warehouse.connect_as("mart_reader").await?;
    let seats = "SELECT aircraft_code, seat_no, fare_conditions, seat_row, seat_letter, position
                 FROM dwh_marts.dim_seat
                 ORDER BY aircraft_code, seat_no";
    assert_eq!(
        rows(&reader, seats).await?,
        [
            "773|1A|Business|1|A|window",
            "773|2B|Comfort|2|B|window",
            "SU9|1A|Business|1|A|window",
            "SU9|1F|Business|1|F|window",
            "SU9|2A|Economy|2|A|window",
            "SU9|2C|Economy|2|C|aisle",
            "SU9|2D|Economy|2|D|aisle",
            "SU9|2E|Economy|2|E|middle",
            "SU9|2F|Economy|2|F|window",
        ]
    );
    let routes = "SELECT * FROM dwh_marts.dim_route ORDER BY route_key";
    assert_eq!(
        rows(&reader, routes).await?,
        [
            "LED-SVO|LED|Saint Petersburg|SVO|Moscow|599.4",
            "LED-UFA|LED|Saint Petersburg|UFA|Ufa|1637.1",
            "SVO-KZN|SVO|Moscow|KZN|Kazan|742.4",
            "SVO-LED|SVO|Moscow|LED|Saint Petersburg|599.4",
        ]
    );
    let days = "SELECT * FROM dwh_marts.dim_date WHERE date_key IN ('2021-01-03', '2024-02-29') ORDER BY 1";
    assert_eq!(
        rows(&reader, days).await?,
        [
            "2021-01-03|2021|1|1|2021-01-01|January|январь|53|3|7|Sunday|воскресенье|t",
            "2024-02-29|2024|1|2|2024-02-01|February|февраль|9|29|4|Thursday|четверг|f",
        ]
    );
    let count = "SELECT count(*), min(date_key), max(date_key) FROM dwh_marts.dim_date";
    assert_eq!(rows(&reader, count).await?, ["14610|2010-01-01|2049-12-31"]);
    Ok(())
}
