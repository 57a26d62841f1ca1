//! Deletes of rows that vanished, published late: with the position and the time of a moment at which the row was not
//! there, a delete ends the row of before that moment, and no row that came behind it, wherever it stands in the topic.

use crate::replaying::load_twice;
use crate::support::{Event, World, airport, create, delete, read, update};

/// Position of the moment.
const MOMENT: i64 = 150;

/// The statuses of each airport in their order: what said so, and at which position.
const STATUSES: &str = "
    SELECT h.airport_code || '|' || string_agg(s.op || coalesce(s.source_lsn::text, ''), ' ' ORDER BY s.load_date)
    FROM dwh_detailed.sat_airports_status AS s
    JOIN dwh_detailed.hub_airports AS h USING (hash_key)
    WHERE s.record_source <> 'SYSTEM'
    GROUP BY h.airport_code
    ORDER BY h.airport_code";

/// The events of each airport in a record-tracking satellite.
const TRACKED: &str = "
    SELECT h.airport_code || '|' || string_agg(t.op || coalesce(t.record_lsn::text, ''), ' ' ORDER BY t.load_date)
    FROM dwh_detailed.sat_airports_tracking AS t
    JOIN dwh_detailed.hub_airports AS h USING (hash_key)
    WHERE t.record_source <> 'SYSTEM'
    GROUP BY h.airport_code
    ORDER BY h.airport_code";

fn tracked(model: &str) -> String {
    let status = "status = \"sat_airports_status\"";
    model.replacen(status, &format!("{status}\ntracking = \"sat_airports_tracking\""), 1)
}

/// The delete of a row that was not there at the moment.
fn vanished(code: &str) -> Event {
    delete("airports", MOMENT, airport(code, code))
}

/// What happens to one airport, and what its statuses and tracked events have to be.
struct Life {
    code: &'static str,
    events: Vec<Event>,
    statuses: &'static str,
    tracked: &'static str,
}

fn lives() -> Vec<Life> {
    let row = |code: &str, city: &str| airport(code, city);
    let born = |code: &str, lsn: i64| create("airports", lsn, row(code, "Perm"));
    let life = |code, events, statuses, tracked| Life { code, events, statuses, tracked };
    vec![
        // The row is gone, and the command was run twice.
        life("AAA", vec![vanished("AAA"), vanished("AAA")], "r d150", "r1 d150"),
        // It comes again behind the delete, also at exactly the position.
        life(
            "BBB",
            vec![vanished("BBB"), born("BBB", MOMENT), update("airports", 160, row("BBB", "Omsk"))],
            "r d150 c150",
            "r1 d150 c150 u160",
        ),
        life("CCC", vec![vanished("CCC"), born("CCC", 200)], "r d150 c200", "r1 d150 c200"),
        // It was there again before the delete arrived, also at exactly the position.
        life("DDD", vec![born("DDD", 200), vanished("DDD")], "r c200", "r1 c200"),
        life("EEE", vec![born("EEE", MOMENT), vanished("EEE")], "r c150", "r1 c150"),
        life(
            "FFF",
            vec![born("FFF", 200), update("airports", 210, row("FFF", "Tver")), vanished("FFF")],
            "r c200",
            "r1 c200 u210",
        ),
        // It was there again, and went again.
        life(
            "GGG",
            vec![born("GGG", 200), delete("airports", 210, row("GGG", "Perm")), vanished("GGG")],
            "r c200 d210",
            "r1 c200 d210",
        ),
        // Killed between two lives, and run again.
        life(
            "HHH",
            vec![vanished("HHH"), born("HHH", 200), vanished("HHH")],
            "r d150 c200",
            "r1 d150 c200",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_delete_ends_no_row_that_came_after_the_moment() {
    let mut world = World::with_model("vanished", tracked).await;
    for Life { code, .. } in &lives() {
        world.publish(read("airports", airport(code, code))).await;
    }
    // Nothing that happens later was committed before this moment.
    let _ = world.envelope(&vanished("AAA"));
    for Life { events, .. } in lives() {
        world.publish_all(events).await;
    }
    load_twice(&mut world).await;
    let told = |of: fn(&Life) -> &'static str| {
        lives().iter().map(|life| format!("{}|{}", life.code, of(life))).collect::<Vec<_>>()
    };
    assert_eq!(lines(&world, STATUSES).await, told(|life| life.statuses));
    assert_eq!(lines(&world, TRACKED).await, told(|life| life.tracked));
    // The updates behind an end and a late delete arrive.
    let cities = "SELECT airport_code || '|' || city FROM dwh_marts.current_airports ORDER BY 1";
    let cities = lines(&world, cities).await;
    let alive = ["BBB|Omsk", "CCC|Perm", "DDD|Perm", "EEE|Perm", "FFF|Tver", "HHH|Perm"];
    assert_eq!(cities, alive);
    assert_eq!(world.count("dwh_control.quarantine").await, 0);
    assert_eq!(world.count("dwh_control.paused_tables").await, 0);
}

async fn lines(world: &World, query: &str) -> Vec<String> {
    world.client.query(query, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}
