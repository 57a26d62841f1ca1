//! A table that cannot go on stands still, and all others go on.

use devstack::{http, wait_for_async};
use serde_json::{Value, json};

use crate::support::{Event, PATIENCE, World, airport, booking, create, queries, update};

/// An airport after somebody has added a column at the source.
fn wider(lsn: i64, code: &str, elevation: i64) -> Event {
    let mut row = airport(code, "Tomsk");
    row["elevation"] = json!(elevation);
    create("airports", lsn, row)
}

/// The airline's model with that column.
fn grown(model: &str) -> String {
    model
        .replace("timezone = \"text\"\n", "timezone = \"text\"\nelevation = \"integer\"\n")
        .replace("\"latitude\", \"timezone\"]", "\"latitude\", \"timezone\", \"elevation\"]")
        .replace(
            "status = \"sat_airports_status\"",
            "status = \"sat_airports_status\"\nadded_later = [\"elevation\"]",
        )
}

const PAUSES: &str = "
    SELECT partition, kafka_offset, reason
    FROM dwh_control.paused_tables";

const REASON: &str = "table airports has a column elevation that the model does not name";

/// What the loader at this address says of its health.
fn health(listen: &str) -> Value {
    let answer = http::get(&format!("http://{listen}/health")).unwrap();
    serde_json::from_str(&answer.body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_with_an_unknown_column_pauses_and_goes_on_with_the_next_model() {
    let mut world = World::new("drift").await;
    let listen = format!("127.0.0.1:{}", devstack::free_port().unwrap());
    let variables =
        [("VAULT_LOADER__LISTEN", listen.as_str()), ("VAULT_LOADER__BATCH__ROWS_MAX", "7")];
    world.publish(create("airports", 10, airport("AAA", "Omsk"))).await;
    world.publish(wider(20, "BBB", 1)).await;
    let mut loader = world.loader_with("loader", &variables);
    world.paused("airports", REASON).await;
    // Far more than a batch, or what the client fetches ahead, must not keep the other table from going on.
    for number in 0..500 {
        world.publish(wider(30 + number, &format!("C{number:02}"), number)).await;
    }
    for number in 0..50 {
        world.publish(create("bookings", 1000 + number, booking(&format!("{number:06}"), 1))).await;
    }
    world.loaded_up_to("bookings", 0, 50).await;
    world.loaded_up_to("airports", 0, 1).await;
    world.assert_rows(PAUSES, &[&format!("(0,1,\"{REASON}\")")]).await;
    assert_eq!(world.count("dwh_control.quarantine").await, 0);
    let body = health(&listen);
    assert_eq!(
        (&body["status"], &body["paused_tables"][0]["topic"]),
        (&json!("healthy"), &json!(world.topic("airports")))
    );
    assert_eq!(body["paused_tables"][0]["reason"], json!(REASON));
    let remedy = body["paused_tables"][0]["remedy"].as_str().unwrap();
    assert!(remedy.contains("vault-loader migrate"), "{body}");
    let topic = world.topic("airports");
    let gauge =
        format!("vault_loader_paused_tables{{source=\"{}\",topic=\"{topic}\"}} 1", world.source);
    let metrics = http::get(&format!("http://{listen}/metrics")).unwrap().body;
    assert!(metrics.contains(&gauge), "{metrics}");
    let status = world.command(&["status"]);
    assert!(String::from_utf8_lossy(&status.stdout).contains(REASON), "{status:?}");
    assert_eq!(world.log("loader").matches("a table is paused").count(), 1);
    world.end(&mut loader);

    // With the same model the table stops at the same place, and is still paused since then.
    let since = world.rows("SELECT since FROM dwh_control.paused_tables").await;
    let mut loader = world.loader("again");
    world.logged("again", "a table is paused").await;
    assert_eq!(world.rows("SELECT since FROM dwh_control.paused_tables").await, since);
    world.end(&mut loader);

    world.write_model(&grown(&world.model));
    world.migrate(&[]);
    let mut loader = world.loader_with("grown", &variables);
    world.loaded().await;
    world.logged("grown", "a table that stood still goes on").await;
    wait_for_async(PATIENCE, "the pause to be taken out", async || {
        world.count("dwh_control.paused_tables").await == 0
    })
    .await;
    world
        .assert_rows(
            "SELECT count(*), count(elevation), sum(elevation) FROM dwh_detailed.sat_airports WHERE city IS NOT NULL",
            &["(502,501,124751)"],
        )
        .await;
    assert_eq!(health(&listen), json!({"status": "healthy"}));
    world.end(&mut loader);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fence_does_not_end_a_pause() {
    let mut world = World::new("pausefence").await;
    world.publish(wider(10, "AAA", 1)).await;
    world.publish(create("bookings", 20, booking("000001", 1))).await;
    let mut loader = world.loader("loader");
    world.paused("airports", REASON).await;
    world.loaded_up_to("bookings", 0, 1).await;
    // Somebody else loads the next booking.
    world
        .client
        .batch_execute(
            "UPDATE dwh_control.offsets SET next_offset = 2, last_digest = NULL WHERE topic LIKE '%bookings'",
        )
        .await
        .unwrap();
    world.publish(create("bookings", 30, booking("000002", 1))).await;
    world.publish(create("bookings", 40, booking("000003", 1))).await;
    world.logged("loader", "fenced: another loader moved the offsets").await;
    world.loaded_up_to("bookings", 0, 3).await;
    world.publish(update("bookings", 50, booking("000001", 2))).await;
    world.loaded_up_to("bookings", 0, 4).await;
    world.loaded_up_to("airports", 0, 0).await;
    // The pause was kept, so the table was not read again to find the same fault.
    assert_eq!(world.log("loader").matches("a table is paused").count(), 1);
    assert!(!world.log("loader").contains("no longer paused by this loader"));
    world.end(&mut loader);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_goes_with_the_partition_that_holds_the_fault() {
    let mut world = World::new("pausemoves").await;
    world.create_topic("airports", 2).await;
    let listens = [(); 2].map(|()| format!("127.0.0.1:{}", devstack::free_port().unwrap()));
    world.publish(wider(10, "AAA", 1)).await;
    world.publish(Event { partition: 1, ..wider(11, "BBB", 2) }).await;
    let mut first = world.loader_with("first", &[("VAULT_LOADER__LISTEN", &listens[0])]);
    world.paused("airports", REASON).await;
    let mut second = world.loader_with("second", &[("VAULT_LOADER__LISTEN", &listens[1])]);
    // Each of them now has one partition with a fault, and says so.
    let names = |listen: &str| {
        let answer = http::get(&format!("http://{listen}/health")).ok()?;
        let body: Value = serde_json::from_str(&answer.body).ok()?;
        body["paused_tables"][0]["partition"].as_i64()
    };
    wait_for_async(PATIENCE, "each loader to have a paused partition", async || {
        let mut found = [names(&listens[0]), names(&listens[1])];
        found.sort_unstable();
        found == [Some(0), Some(1)]
    })
    .await;
    world.end(&mut first);
    wait_for_async(PATIENCE, "the second to have both partitions", async || {
        world.log("second").contains("\"partition_count\":2")
    })
    .await;
    assert!(names(&listens[1]).is_some());
    assert_eq!(world.rows(queries::CITIES).await.len(), 0);
    world.write_model(&grown(&world.model));
    world.migrate(&[]);
    world.end(&mut second);
    let mut loader = world.loader("grown");
    world.loaded().await;
    wait_for_async(PATIENCE, "the pauses to be taken out", async || {
        world.count("dwh_control.paused_tables").await == 0
    })
    .await;
    assert_eq!(world.rows(queries::CITIES).await.len(), 2);
    world.end(&mut loader);
}
