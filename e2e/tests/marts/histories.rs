//! The histories that `migrate` makes: what they show for a moment is what the vault says about that moment.
//!
//! In: the history, with deletes, keys that come back, links that move. Out: for each moment at which something
//! changed, the rows of each view, and the same asked of the tables, one key after the other.

use super::warehouse::{Content, Warehouse, rows};

/// The moments: each load date, a microsecond before it, and the time before everything.
const MOMENTS: &str = "
    CREATE TEMPORARY TABLE moments AS
    SELECT DISTINCT load_date + step AS moment
    FROM (
        SELECT load_date FROM dwh_detailed.sat_tickets_status
        UNION SELECT load_date FROM dwh_detailed.sat_flights_status
        UNION SELECT load_date FROM dwh_detailed.sat_seats_status
        UNION SELECT load_date FROM dwh_detailed.sat_flight_routes_effectivity
        UNION SELECT load_date FROM dwh_detailed.sat_booking_tickets_effectivity
    ) AS changes,
    (VALUES (interval '0'), (interval '-1 microsecond')) AS steps (step)";

/// Whether a key of a table existed at a moment.
fn existed(status: &str, key: &str) -> String {
    format!(
        "coalesce((SELECT NOT s.is_deleted FROM dwh_detailed.{status} AS s
                   WHERE s.hash_key = {key} AND s.record_source <> 'SYSTEM' AND s.load_date <= moment
                   ORDER BY s.load_date DESC LIMIT 1), false)"
    )
}

async fn assert_same(client: &tokio_postgres::Client, what: &str, shown: &str, truth: &str) {
    let shown = rows(client, shown).await.expect(what);
    let truth = rows(client, truth).await.expect(what);
    assert!(truth.len() > 3, "{what}: too few rows to tell anything");
    assert_eq!(shown, truth, "{what}");
}

fn shown(view: &str, key: &str) -> String {
    format!(
        "SELECT moment, encode({key}, 'hex') FROM moments
         JOIN dwh_marts.{view} AS h ON h.load_date <= moment AND moment < h.load_end_date ORDER BY 1, 2"
    )
}

#[tokio::test]
async fn a_link_or_hub_shows_at_each_moment_what_existed_then() -> anyhow::Result<()> {
    let warehouse = Warehouse::create("marts_histories", Content::History)?;
    let client = warehouse.connect().await?;
    client.batch_execute(MOMENTS).await?;
    for (link, status, effectivity) in [
        ("link_booking_tickets", "sat_tickets_status", "sat_booking_tickets_effectivity"),
        ("link_ticket_passengers", "sat_tickets_status", "sat_ticket_passengers_effectivity"),
        ("link_flight_routes", "sat_flights_status", "sat_flight_routes_effectivity"),
    ] {
        let truth = format!(
            "SELECT moment, encode(e.link_hash_key, 'hex') FROM moments
             JOIN dwh_detailed.{effectivity} AS e ON e.load_date <= moment AND e.record_source <> 'SYSTEM'
                 AND NOT EXISTS (SELECT FROM dwh_detailed.{effectivity} AS n WHERE n.hash_key = e.hash_key
                                 AND n.load_date > e.load_date AND n.load_date <= moment)
             WHERE {} ORDER BY 1, 2",
            existed(status, "e.hash_key")
        );
        assert_same(&client, link, &shown(&format!("history_{link}"), "h.hash_key"), &truth).await;
    }
    for (table, status) in [
        ("link_aircraft_seats", "sat_seats_status"),
        ("hub_tickets", "sat_tickets_status"),
        ("hub_flights", "sat_flights_status"),
    ] {
        let truth = format!(
            "SELECT moment, encode(k.hash_key, 'hex') FROM moments, dwh_detailed.{table} AS k
             WHERE k.record_source <> 'SYSTEM' AND {} ORDER BY 1, 2",
            existed(status, "k.hash_key")
        );
        assert_same(&client, table, &shown(&format!("history_{table}"), "h.hash_key"), &truth)
            .await;
    }
    let truth = "SELECT DISTINCT moment, encode(h.passenger_hash_key, 'hex') FROM moments
                 JOIN dwh_marts.history_link_ticket_passengers AS h
                     ON h.load_date <= moment AND moment < h.load_end_date ORDER BY 1, 2";
    let hubs = shown("history_hub_passengers", "h.hash_key");
    assert_same(&client, "hub_passengers", &hubs, truth).await;
    Ok(())
}

#[tokio::test]
async fn the_current_views_show_what_the_histories_have_not_ended() -> anyhow::Result<()> {
    let warehouse = Warehouse::create("marts_current_keys", Content::History)?;
    let client = warehouse.connect().await?;
    let tables = rows(
        &client,
        "SELECT substr(view_name, 9) FROM dwh_control.made_views
         WHERE view_name ~ '^history_(hub|link)_' ORDER BY 1",
    )
    .await?;
    assert_eq!(tables.len(), 11);
    for table in tables {
        let keys = |from: String| {
            format!("SELECT encode(hash_key, 'hex') FROM dwh_marts.{from} ORDER BY 1")
        };
        let history = keys(format!("history_{table} WHERE is_current"));
        let current = rows(&client, &keys(format!("current_{table}"))).await?;
        assert!(!current.is_empty(), "{table}");
        assert_eq!(current, rows(&client, &history).await?, "{table}");
    }
    Ok(())
}

#[tokio::test]
async fn a_satellite_shows_at_each_moment_the_version_that_was_loaded_or_committed_last()
-> anyhow::Result<()> {
    let warehouse = Warehouse::create("marts_versions", Content::History)?;
    let client = warehouse.connect().await?;
    client.batch_execute(MOMENTS).await?;
    for satellite in ["sat_flight_operations", "sat_tickets_status", "sat_ticket_flights"] {
        for (from, until, order) in [
            ("load_date", "load_end_date", "load_date DESC"),
            ("applied_date", "applied_end_date", "applied_date DESC, load_date DESC"),
        ] {
            let shown = format!(
                "SELECT moment, encode(hash_key, 'hex'), load_date FROM moments
                 JOIN dwh_marts.history_{satellite} ON {from} <= moment AND moment < {until} ORDER BY 1, 2"
            );
            let truth = format!(
                "SELECT moment, encode(hash_key, 'hex'), load_date FROM (
                     SELECT DISTINCT ON (moment, hash_key) moment, hash_key, load_date FROM moments
                     JOIN dwh_detailed.{satellite} ON record_source <> 'SYSTEM' AND {from} <= moment
                     ORDER BY moment, hash_key, {order}
                 ) AS latest ORDER BY 1, 2"
            );
            assert_same(&client, satellite, &shown, &truth).await;
        }
    }
    Ok(())
}
