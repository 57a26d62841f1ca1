//! Forms in which values travel: envelopes with their schema, infinite times, JSON's spellings, types that are written
//! as others.

use serde_json::json;

use crate::support::queries::CITIES;
use crate::support::{World, airport, create, flight, update};

#[tokio::test(flavor = "multi_thread")]
async fn an_envelope_with_its_schema_is_loaded_alike() {
    let mut world = World::new("schema").await;
    let payload = world.envelope(&create("airports", 10, airport("SVO", "Moscow")));
    let value =
        json!({"schema": {"type": "struct", "fields": [], "optional": false}, "payload": payload});
    world.send("airports", 0, Some("k"), Some(value.to_string().as_bytes())).await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    world.assert_rows(CITIES, &["(SVO,Moscow,10)"]).await;
    world.end(&mut loader);
}

/// `json` keeps its spelling, so a new spelling is a version; of `jsonb` only the document counts.
#[tokio::test(flavor = "multi_thread")]
async fn infinite_times_and_spellings_of_json_arrive_as_they_are() {
    let mut world = World::with_model("forms", |model| {
        model
            .replace("airport_name = \"text\"", "airport_name = \"json\"")
            .replace("timezone = \"text\"", "timezone = \"jsonb\"")
            .replace("city = \"text\"", "city = \"timestamp(3)\"")
    })
    .await;
    let row = |spelling: &str, time: i64| {
        let mut row = airport("AAA", "");
        row["airport_name"] = json!(spelling);
        row["timezone"] = json!(spelling);
        row["city"] = json!(time);
        row
    };
    let mut endless = flight(1, "773", "Scheduled");
    endless["scheduled_departure"] = json!("-infinity");
    endless["scheduled_arrival"] = json!("infinity");
    let mut same_document = row("{ }", 0);
    same_document["airport_name"] = json!("{}");
    world
        .publish_all([
            create("airports", 10, row("{}", 0)),
            update("airports", 20, same_document),
            update("airports", 30, row("{ }", 0)),
            update("airports", 40, row("{ }", 9_223_372_036_825_200)),
            update("airports", 50, row("{ }", -9_223_372_036_832_400)),
            create("flights", 60, endless),
        ])
        .await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    world
        .assert_rows(
            "SELECT airport_name, timezone, city, source_lsn
             FROM dwh_detailed.sat_airports
             WHERE city IS NOT NULL
             ORDER BY load_date",
            &[
                "({},{},\"1970-01-01 00:00:00\",10)",
                "(\"{ }\",{},\"1970-01-01 00:00:00\",30)",
                "(\"{ }\",{},infinity,40)",
                "(\"{ }\",{},-infinity,50)",
            ],
        )
        .await;
    world
        .assert_rows(
            "SELECT scheduled_departure, scheduled_arrival
             FROM dwh_detailed.sat_flight_schedules
             WHERE scheduled_arrival IS NOT NULL",
            &["(-infinity,infinity)"],
        )
        .await;
    assert_eq!(world.count("dwh_control.quarantine").await, 0);
    world.end(&mut loader);
}

/// What Debezium writes for them is proven beside Debezium, in the reader's tests.
#[tokio::test(flavor = "multi_thread")]
async fn types_that_travel_in_another_form_arrive_as_values() {
    let mut world = World::with_model("types", |model| {
        model
            .replace("airport_name = \"text\"", "airport_name = \"time(3) with time zone\"")
            .replace("city = \"text\"", "city = \"bit(10)\"")
            .replace("timezone = \"text\"", "timezone = \"interval\"")
            .replacen("longitude = \"double precision\"", "longitude = \"money\"", 1)
            .replacen("latitude = \"double precision\"", "latitude = \"inet\"", 1)
    })
    .await;
    let row = |time: &str, bits: &str| {
        json!({
            "airport_code": "AAA", "airport_name": time, "city": bits, "longitude": "/qI=", "latitude": "10.0.0.1/8",
            "timezone": 14_706_789_000i64
        })
    };
    world
        .publish_all([
            create("airports", 10, row("07:11:12.5Z", "AQI=")),
            update("airports", 20, row("24:00:00Z", "")),
        ])
        .await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    world
        .assert_rows(
            "SELECT airport_name, city, timezone, longitude, latitude
             FROM dwh_detailed.sat_airports
             WHERE city IS NOT NULL
             ORDER BY load_date",
            &[
                "(07:11:12.5+00,1000000001,14706789000,-3.50,10.0.0.1/8)",
                "(24:00:00+00,0000000000,14706789000,-3.50,10.0.0.1/8)",
            ],
        )
        .await;
    assert_eq!(world.count("dwh_control.quarantine").await, 0);
    world.end(&mut loader);
}
