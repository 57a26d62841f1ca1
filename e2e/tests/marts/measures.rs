//! The four analytical views and the airport traffic, measured on the history and on an empty vault.
//!
//! In: the history, an empty vault. Out: exact rows. Days are counted back from the day of the history, and none lies
//! at an edge of the window, so a midnight during the test changes nothing.
//! Invariant: what is cancelled, deleted or outside the window does not count; nothing divides by zero.

use super::warehouse::{Content, Warehouse, rows};

#[tokio::test]
async fn airport_traffic_counts_sold_segments_of_flights_that_are_not_cancelled()
-> anyhow::Result<()> {
    let warehouse = Warehouse::create("marts_traffic", Content::History)?;
    let client = warehouse.connect().await?;
    assert_eq!(
        rows(&client, "SELECT * FROM dwh_marts.v_airport_traffic ORDER BY airport_code").await?,
        ["KZN|0|0|1|1", "LED|1|1|2|4", "SVO|3|5|1|1", "UFA|0|0|0|0"]
    );
    assert_eq!(
        rows(&client, "SELECT * FROM dwh_marts.v_airport_traffic_share").await?,
        [
            "SVO|Sheremetyevo|Moscow|4|50.00|6|50.00",
            "LED|Pulkovo|Saint Petersburg|3|37.50|5|41.67",
            "KZN|Kazan|Kazan|1|12.50|1|8.33",
            "UFA|Ufa|Ufa|0|0.00|0|0.00",
        ]
    );
    Ok(())
}

#[tokio::test]
async fn an_airport_is_active_on_the_days_on_which_something_moved() -> anyhow::Result<()> {
    let warehouse = Warehouse::create("marts_active", Content::History)?;
    let client = warehouse.connect().await?;
    let found = rows(
        &client,
        "SELECT *
         FROM dwh_marts.v_active_airports_30d
         WHERE active_airports > 0
         ORDER BY day",
    )
    .await?;
    let expected = [(28, 2), (5, 1), (4, 1)]
        .map(|(days, active)| format!("{}|{active}|2", warehouse.days_ago(days)));
    assert_eq!(found, expected);
    Ok(())
}

#[tokio::test]
async fn passenger_metrics_count_a_returning_passenger_once_in_thirty_days() -> anyhow::Result<()> {
    let warehouse = Warehouse::create("marts_metrics", Content::History)?;
    let client = warehouse.connect().await?;
    let found = rows(
        &client,
        "SELECT *
         FROM dwh_marts.v_passenger_metrics_30d
         WHERE bookings > 0
         ORDER BY day",
    )
    .await?;
    let in_thirty_days = "2|2|1200.75|600.38|2.00";
    assert_eq!(
        found,
        [
            format!("{}|2|1|900.50|900.50|1.50|{in_thirty_days}", warehouse.days_ago(6)),
            format!("{}|1|1|300.25|300.25|1.00|{in_thirty_days}", warehouse.days_ago(5)),
        ]
    );
    Ok(())
}

#[tokio::test]
async fn shares_of_passenger_groups_sum_to_a_hundred_although_thirds_do_not() -> anyhow::Result<()>
{
    let warehouse = Warehouse::create("marts_groups", Content::History)?;
    let client = warehouse.connect().await?;
    assert_eq!(
        rows(&client, "SELECT * FROM dwh_marts.v_passenger_groups_revenue").await?,
        [
            "1|no flights|0|0.00|0|0.00|0.00",
            "2|1 flight|1|33.34|1|450.00|20.45",
            "3|2 flights|1|33.33|2|1000.00|45.44",
            "4|3-4 flights|1|33.33|3|750.75|34.11",
            "5|5-9 flights|0|0.00|0|0.00|0.00",
            "6|10 flights and more|0|0.00|0|0.00|0.00",
        ]
    );
    Ok(())
}

#[tokio::test]
async fn an_empty_vault_has_empty_marts_and_divides_by_nothing() -> anyhow::Result<()> {
    let warehouse = Warehouse::create("marts_empty", Content::Empty)?;
    warehouse.apply_marts()?;
    let client = warehouse.connect().await?;
    let views = rows(
        &client,
        "SELECT viewname
         FROM pg_catalog.pg_views
         WHERE schemaname = 'dwh_marts'
         ORDER BY viewname",
    )
    .await?;
    // 37 by hand or of tables and links; of hubs now and hubs and links in the past 6 + 11; of satellites 20 + 20.
    assert_eq!(views.len(), 37 + 17 + 40, "{views:?}");
    for view in &views {
        let count = rows(&client, &format!("SELECT count(*) FROM dwh_marts.{view}")).await?;
        let expected = match view.as_str() {
            "v_active_airports_30d" | "v_passenger_metrics_30d" => "30",
            "v_passenger_groups_revenue" => "6",
            // of the source, of which nothing is loaded
            "freshness" | "v_dashboard_completeness" => "1",
            _ => "0",
        };
        assert_eq!(count, [expected], "{view}");
    }
    let day = "SELECT * FROM dwh_marts.v_passenger_metrics_30d ORDER BY day DESC LIMIT 1";
    let columns = rows(&client, day).await?;
    assert_eq!(
        columns[0].split_once('|').map(|split| split.1),
        Some("0|0|0.00|NULL|NULL|0|0|0.00|NULL|NULL")
    );
    let group = "SELECT * FROM dwh_marts.v_passenger_groups_revenue WHERE group_no = 1";
    assert_eq!(rows(&client, group).await?, ["1|no flights|0|NULL|0|0.00|NULL"]);
    let active =
        "SELECT DISTINCT active_airports, active_airports_30d FROM dwh_marts.v_active_airports_30d";
    assert_eq!(rows(&client, active).await?, ["0|0"]);
    Ok(())
}

#[tokio::test]
async fn events_by_minute_add_up_the_partitions_of_the_last_hour() -> anyhow::Result<()> {
    let warehouse = Warehouse::create("marts_minutes", Content::Empty)?;
    let client = warehouse.connect().await?;
    client
        .batch_execute(
            "INSERT INTO dwh_control.offsets (topic, partition, next_offset)
             VALUES ('airline.public.bookings', 0, 7), ('airline.public.seats', 0, 0);
             INSERT INTO dwh_control.event_minutes (topic, partition, minute_of_day, minute, events, publish_lag_max_us)
             SELECT
                 'airline.public.bookings',
                 partition,
                 extract(hour FROM minute)::integer * 60 + extract(minute FROM minute)::integer,
                 minute AT TIME ZONE 'UTC',
                 events,
                 lag_us
             FROM (
                 VALUES
                     (0, interval '5 minutes', 3, 1500000),
                     (1, interval '5 minutes', 4, 250000),
                     (0, interval '90 minutes', 100, 9000000)
             ) AS loaded (partition, ago, events, lag_us)
             CROSS JOIN LATERAL (SELECT date_trunc('minute', now() AT TIME ZONE 'UTC') - ago AS minute) AS at",
        )
        .await?;
    let reader = warehouse.connect_as("mart_reader").await?;
    let shown = "SELECT source_table, events, publish_lag_max_s
                 FROM dwh_marts.v_dashboard_events_by_minute
                 WHERE events > 0";
    assert_eq!(rows(&reader, shown).await?, ["bookings|7|1.500"]);
    let minutes = "SELECT source_table, count(*), sum(events)
                   FROM dwh_marts.v_dashboard_events_by_minute
                   GROUP BY source_table
                   ORDER BY source_table";
    assert_eq!(rows(&reader, minutes).await?, ["bookings|61|7", "seats|61|0"]);
    Ok(())
}
