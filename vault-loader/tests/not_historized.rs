//! Satellites that are not historized: a key has one version for ever, and what contradicts it waits in the quarantine.

use crate::support::{World, booking, create, delete, update};

/// The model, whose satellite of bookings is not historized.
fn fixed(model: &str) -> String {
    let columns = "columns = [\"book_date\", \"total_amount\"]";
    assert!(model.contains(columns));
    model.replacen(columns, &format!("{columns}\nhistorized = false"), 1)
}

/// Each version's booking, amount and source position.
const VERSIONS: &str = "
    SELECT h.book_ref, s.total_amount, s.source_lsn
    FROM dwh_detailed.sat_bookings AS s
    JOIN dwh_detailed.hub_bookings AS h USING (hash_key)
    WHERE s.record_source <> 'SYSTEM'
    ORDER BY h.book_ref, s.load_date";

const WAITING: &str = "
    SELECT source_lsn, at_fault FROM dwh_control.quarantine ORDER BY kafka_offset";

/// Bookings of which the second changes its amount, and the third is deleted and comes with another amount.
async fn publish(world: &mut World) {
    let row = |reference: &str, amount| booking(reference, amount);
    world
        .publish_all([
            create("bookings", 10, row("000001", 100)),
            update("bookings", 20, row("000001", 100)),
            create("bookings", 30, row("000002", 100)),
            update("bookings", 40, row("000002", 200)),
            update("bookings", 50, row("000002", 100)),
            create("bookings", 60, row("000003", 100)),
            delete("bookings", 70, row("000003", 0)),
            create("bookings", 80, row("000003", 300)),
            create("bookings", 90, row("000001", 100)),
            delete("bookings", 100, row("000001", 0)),
            create("bookings", 110, row("000001", 100)),
            // The reader crashed and publishes this again.
            create("bookings", 30, row("000002", 100)),
            create("bookings", 120, row("000004", 400)),
        ])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_has_one_version_and_another_one_waits_until_the_satellite_is_historized() {
    let mut world = World::with_model("fixed", fixed).await;
    publish(&mut world).await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    let once = ["(000001,1.00,10)", "(000002,1.00,30)", "(000003,1.00,60)", "(000004,4.00,120)"];
    world.assert_rows(VERSIONS, &once).await;
    // Behind the event at fault all events of its key wait, whatever they hold. So does the repeat of position 30.
    let waiting = ["(40,t)", "(50,f)", "(80,t)", "(30,f)"];
    world.assert_rows(WAITING, &waiting).await;
    let reasons = "SELECT DISTINCT reason FROM dwh_control.quarantine WHERE at_fault";
    let reasons = world.rows(reasons).await;
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    for words in [
        "table bookings: sat_bookings is not historized, and holds other values of this key",
        "remove historized = false from it",
    ] {
        assert!(reasons[0].contains(words), "{reasons:?}");
    }
    let broken = "SELECT detail FROM dwh_checks.satellite_versions_unique";
    world.assert_rows(broken, &[]).await;
    let current =
        "SELECT count(*), min(total_amount), max(total_amount) FROM dwh_marts.current_sat_bookings";
    world.assert_rows(current, &["(4,1.00,4.00)"]).await;
    world.assert_rows("SELECT to_regclass('dwh_marts.history_sat_bookings')", &["()"]).await;
    world.end(&mut loader);

    // What the operator does who wants a history.
    world.write_model(&world.model);
    world.migrate(&[]);
    let retried = world.command(&["quarantine", "retry", "--all"]);
    assert!(retried.status.success(), "{}", String::from_utf8_lossy(&retried.stderr));
    let all = [
        "(000001,1.00,10)",
        "(000002,1.00,30)",
        "(000002,2.00,40)",
        "(000002,1.00,50)",
        "(000003,1.00,60)",
        "(000003,3.00,80)",
        "(000004,4.00,120)",
    ];
    world.assert_rows(VERSIONS, &all).await;
    world.assert_rows(WAITING, &[]).await;
    let history = "SELECT count(*) FROM dwh_marts.history_sat_bookings";
    world.assert_rows(history, &["(7)"]).await;

    // There is no way back: keys have several versions.
    world.write_model(&fixed(&world.model));
    let refused = world.command(&["migrate"]);
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success(), "{told}");
    assert!(told.contains("satellite sat_bookings is not historized any more"), "{told}");
}

/// The rule finds what the loader would not have written.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_version_breaks_a_rule() {
    let mut world = World::with_model("fixedrule", fixed).await;
    world.publish(create("bookings", 10, booking("000001", 100))).await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    world.end(&mut loader);
    let second = "
        CREATE TEMPORARY TABLE further AS
            SELECT * FROM dwh_detailed.sat_bookings WHERE record_source <> 'SYSTEM';
        UPDATE further SET load_date = load_date + interval '1 second';
        INSERT INTO dwh_detailed.sat_bookings SELECT * FROM further";
    world.client.batch_execute(second).await.unwrap();
    let broken = "
        SELECT table_name, detail LIKE '%has 2 versions of different load dates, and is not historized'
        FROM dwh_checks.satellite_versions_unique";
    world.assert_rows(broken, &["(sat_bookings,t)"]).await;
}
