//! Clocks that are wrong: a publish time that has not come yet, and one before the commit.

use chrono::Utc;
use serde_json::json;

use crate::support::{World, airport, booking, create};

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_time_far_ahead_pauses_its_table_and_is_loaded_when_it_is_allowed() {
    let mut world = World::new("ahead").await;
    world.publish(create("airports", 10, airport("AAA", "Omsk"))).await;
    let mut event = world.envelope(&create("airports", 20, airport("BBB", "Perm")));
    event["ts_us"] = json!(Utc::now().timestamp_micros() + 7_200_000_000_i64);
    world.send("airports", 0, Some("k"), Some(event.to_string().as_bytes())).await;
    let mut loader = world.loader("loader");
    world.paused("airports", "later than this machine's clock and clock_ahead_max_ms allow").await;
    world.publish(create("bookings", 30, booking("000001", 1))).await;
    world.loaded_up_to("bookings", 0, 1).await;
    world.loaded_up_to("airports", 0, 1).await;
    world.end(&mut loader);
    let patient = [("VAULT_LOADER__BATCH__CLOCK_AHEAD_MAX_MS", "86400000")];
    let mut loader = world.loader_with("patient", &patient);
    world.loaded().await;
    world.end(&mut loader);
    assert_eq!(world.count("dwh_detailed.sat_airports").await, 2 + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_date_is_never_before_the_commit() {
    let mut world = World::new("setback").await;
    let mut event = world.envelope(&create("airports", 10, airport("AAA", "Omsk")));
    event["ts_us"] = json!(0);
    world.send("airports", 0, Some("k"), Some(event.to_string().as_bytes())).await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    let dates = "
        SELECT s.load_date = s.applied_date, h.load_date = s.load_date
        FROM dwh_detailed.sat_airports AS s
        JOIN dwh_detailed.hub_airports AS h USING (hash_key)
        WHERE h.airport_code = 'AAA'";
    world.assert_rows(dates, &["(t,t)"]).await;
    world.end(&mut loader);
}
