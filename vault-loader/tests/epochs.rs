//! Topics that were made again, sources that were restored, and topics with another prefix: nothing is taken for a repeat
//! in silence, one table's trouble stays with that table, and what an operator does about it loads everything.

use devstack::wait_for_async;

use crate::support::queries::{CITIES, STATUS};
use crate::support::{
    Event, PATIENCE, World, airport, booking, create, delete, fingerprint, read, update,
};

const EPOCHS: &str = "
    SELECT epoch, is_new_topic, is_source_back, reason
    FROM dwh_control.epochs
    ORDER BY record_source, epoch";

/// Publishes what a first life of the source leaves, and loads it.
async fn first_life(world: &mut World) {
    world
        .publish_all([
            create("airports", 100, airport("AAA", "Omsk")),
            create("airports", 120, airport("CCC", "Tomsk")),
            create("airports", 150, airport("BBB", "Perm")),
            update("airports", 200, airport("AAA", "Ufa")),
        ])
        .await;
    let mut loader = world.loader("first-life");
    world.loaded().await;
    world.end(&mut loader);
}

/// Runs a command that must succeed, and returns what it prints.
#[track_caller]
fn done(world: &World, arguments: &[&str]) -> String {
    let output = world.command(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Another table goes on while this one stands still.
async fn others_go_on(world: &mut World, lsn: i64) {
    world.publish(create("bookings", lsn, booking(&format!("{lsn:06}"), 1))).await;
    let count = world.published_in(&world.topic("bookings"));
    world.loaded_up_to("bookings", 0, count).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_was_made_again_and_is_longer_is_named_and_loaded() {
    let mut world = World::new("longer").await;
    first_life(&mut world).await;
    world.make_topic_again("airports").await;
    for number in 0..6 {
        let event = update("airports", 300 + number, airport(&format!("D{number:02}"), "Chita"));
        world.publish(event).await;
    }
    world.publish(update("airports", 310, airport("AAA", "Kazan"))).await;
    let mut loader = world.loader("loader");
    world.paused("airports", "is not the record that was loaded from there").await;
    others_go_on(&mut world, 400).await;
    assert!(world.log("loader").contains("--topic-recreated"), "the remedy is named");
    world.end(&mut loader);
    let before = fingerprint(&world.client).await;

    let topic = world.topic("airports");
    let arguments =
        ["epoch", "start", "--topic", &topic, "--topic-recreated", "--reason", "made again"];
    assert!(done(&world, &arguments).contains("epoch 1 started"));
    world.assert_rows(EPOCHS, &["(1,t,f,\"made again\")"]).await;
    assert_eq!(fingerprint(&world.client).await, before, "an epoch alone changes no row");
    let mut loader = world.loader("again");
    world.loaded().await;
    let cities = format!(
        "SELECT airport_code, city FROM ({CITIES}) AS q WHERE airport_code <= 'C' OR city = 'Chita'"
    );
    world
        .assert_rows(
            &cities,
            &[
                "(AAA,Omsk)",
                "(AAA,Ufa)",
                "(AAA,Kazan)",
                "(BBB,Perm)",
                "(D00,Chita)",
                "(D01,Chita)",
                "(D02,Chita)",
                "(D03,Chita)",
                "(D04,Chita)",
                "(D05,Chita)",
            ],
        )
        .await;
    wait_for_async(PATIENCE, "the pause to end", async || {
        world.count("dwh_control.paused_tables").await == 0
    })
    .await;
    world.end(&mut loader);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_was_made_again_and_is_shorter_is_named() {
    let mut world = World::new("shorter").await;
    first_life(&mut world).await;
    world.make_topic_again("airports").await;
    world.publish(update("airports", 300, airport("AAA", "Kazan"))).await;
    let mut loader = world.loader("loader");
    world.paused("airports", "but Kafka ends at 1").await;
    others_go_on(&mut world, 400).await;
    world.end(&mut loader);
}

/// Each partition reports by itself that its offset is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_of_several_partitions_that_is_made_again_under_a_loader_stops_no_other_table() {
    let mut world = World::new("live").await;
    world.create_topic("airports", 3).await;
    let city = |number: i64, city: &str| {
        let row = airport(&format!("A{number:02}"), city);
        Event { partition: i32::try_from(number % 3).unwrap(), ..update("airports", number, row) }
    };
    for number in 0..12 {
        world.publish(city(number, "Omsk")).await;
    }
    let mut loader = world.loader("loader");
    world.loaded().await;
    world.make_topic_again_with("airports", 3).await;
    for number in 0..3 {
        world.publish(city(number, "Perm")).await;
    }
    world.paused("airports", "but Kafka ends at").await;
    others_go_on(&mut world, 400).await;
    let log = world.log("loader");
    assert!(!log.contains("a source stopped"), "{log}");
    world.end(&mut loader);

    let topic = world.topic("airports");
    done(&world, &["epoch", "start", "--topic", &topic, "--topic-recreated"]);
    let mut loader = world.loader("again");
    world.publish(Event { lsn: 500, ..city(0, "Tver") }).await;
    world.loaded().await;
    world.end(&mut loader);
    let tver = format!("SELECT airport_code FROM ({CITIES}) AS q WHERE city = 'Tver'");
    world.assert_rows(&tver, &["(A00)"]).await;
}

/// The topic was filled again with what was in it, and goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_was_filled_again_adds_only_what_is_new() {
    let mut world = World::new("refilled").await;
    let old = || {
        [
            read("airports", airport("AAA", "Omsk")),
            create("airports", 120, airport("BBB", "Perm")),
            update("airports", 200, airport("AAA", "Ufa")),
            delete("airports", 210, airport("BBB", "")),
        ]
    };
    world.publish_all(old()).await;
    let mut loader = world.loader("first");
    world.loaded().await;
    world.end(&mut loader);
    let before = fingerprint(&world.client).await;
    world.make_topic_again("airports").await;
    world.publish_all(old()).await;
    let topic = world.topic("airports");
    done(&world, &["epoch", "start", "--topic", &topic, "--topic-recreated"]);
    let mut loader = world.loader("second");
    world.loaded().await;
    assert_eq!(fingerprint(&world.client).await, before);
    world.publish(create("airports", 220, airport("BBB", "Omsk"))).await;
    world.loaded().await;
    world.assert_rows(STATUS, &["(AAA,r,f)", "(BBB,c,f)", "(BBB,d,t)", "(BBB,c,f)"]).await;
    world.end(&mut loader);
}

/// The procedure of docs/OPERATIONS.md for a source that was restored.
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_source_is_named_and_its_new_snapshot_makes_the_vault_equal() {
    let mut world = World::new("restored").await;
    first_life(&mut world).await;
    // The backup had AAA only. What the source commits now stands below what was loaded.
    world.source_goes_back();
    world.publish(update("airports", 180, airport("AAA", "Kazan"))).await;
    let mut loader = world.loader("loader");
    world.paused("airports", "has a source position that was loaded before").await;
    others_go_on(&mut world, 400).await;
    assert!(world.log("loader").contains("--source-restored"), "the remedy is named");
    world.end(&mut loader);

    let topic = world.topic("airports");
    done(&world, &["epoch", "start", "--topic", &topic, "--source-restored"]);
    // The new snapshot, and what the source does then, at positions of the first life.
    for (code, city) in [("AAA", "Kazan"), ("EEE", "Chita")] {
        world.publish(Event { lsn: 185, ..read("airports", airport(code, city)) }).await;
    }
    world.publish(update("airports", 190, airport("AAA", "Sochi"))).await;
    world.publish(create("airports", 150, airport("FFF", "Anapa"))).await;
    world.publish(delete("airports", 195, airport("EEE", ""))).await;
    let mut loader = world.loader("second");
    world.loaded().await;
    let counted = done(&world, &["epoch", "close-missing", "--topic", &topic]);
    assert!(counted.contains("2 rows would be closed"), "{counted}");
    let closed = done(&world, &["epoch", "close-missing", "--topic", &topic, "--apply"]);
    assert!(closed.contains("2 rows closed"), "{closed}");
    let again = done(&world, &["epoch", "close-missing", "--topic", &topic, "--apply"]);
    assert!(again.contains("0 rows closed"), "{again}");
    let current = format!(
        "SELECT DISTINCT ON (airport_code) airport_code, op, is_deleted
         FROM ({STATUS_WITH_DATES}) AS q
         ORDER BY airport_code, load_date DESC"
    );
    world
        .assert_rows(&current, &["(AAA,r,f)", "(BBB,t,t)", "(CCC,t,t)", "(EEE,d,t)", "(FFF,c,f)"])
        .await;
    let of_aaa = format!("SELECT city FROM ({CITIES}) AS q WHERE airport_code = 'AAA'");
    world.assert_rows(&of_aaa, &["(Omsk)", "(Ufa)", "(Kazan)", "(Sochi)"]).await;
    world.end(&mut loader);

    // A replay of both lives adds nothing.
    let before = fingerprint(&world.client).await;
    let back = "UPDATE dwh_control.offsets SET next_offset = 0, last_digest = NULL";
    world.client.batch_execute(back).await.unwrap();
    let mut loader = world.loader("replay");
    world.loaded().await;
    assert_eq!(fingerprint(&world.client).await, before);
    world.end(&mut loader);
}

const STATUS_WITH_DATES: &str = "
    SELECT h.airport_code, s.op, s.is_deleted, s.load_date
    FROM dwh_detailed.sat_airports_status AS s
    JOIN dwh_detailed.hub_airports AS h USING (hash_key)
    WHERE s.record_source <> 'SYSTEM'";

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_below_what_was_loaded_is_named() {
    let mut world = World::new("readbelow").await;
    first_life(&mut world).await;
    world.source_goes_back();
    world.publish(read("airports", airport("AAA", "Omsk"))).await;
    let mut loader = world.loader("loader");
    world.paused("airports", "was read by a snapshot at a source position below").await;
    world.end(&mut loader);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loader_that_runs_is_fenced_when_an_epoch_starts_and_goes_on() {
    let mut world = World::new("fencedepoch").await;
    world.publish(create("airports", 100, airport("AAA", "Omsk"))).await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    done(&world, &["epoch", "start", "--all", "--source-restored", "--reason", "a test"]);
    world.source_goes_back();
    world.publish(read("airports", airport("AAA", "Perm"))).await;
    world.publish(update("airports", 50, airport("AAA", "Ufa"))).await;
    world.loaded().await;
    world.logged("loader", "fenced: another loader moved the offsets").await;
    world.assert_rows(CITIES, &["(AAA,Omsk,100)", "(AAA,Perm,)", "(AAA,Ufa,50)"]).await;
    let listed = done(&world, &["epoch", "list"]);
    assert!(listed.contains("epoch 1") && listed.contains("a test"), "{listed}");
    world.end(&mut loader);
}

/// Another topic prefix: other topics with places of their own, the same source with the same keys.
#[tokio::test(flavor = "multi_thread")]
async fn another_topic_prefix_changes_no_key_and_no_record_source() {
    let mut world = World::new("prefix").await;
    first_life(&mut world).await;
    let name = world.source.clone();
    world.source = format!("{name}-next");
    let prefixed = format!("name = \"{name}\"\ntopic_prefix = \"{}\"", world.source);
    world.write_model(&world.model.replacen(&format!("name = \"{name}\""), &prefixed, 1));
    world.migrate(&[]);
    world.forget_published();
    // The reader takes a snapshot for its new topics and goes on. The places are those of the first life.
    world.publish(Event { lsn: 210, ..read("airports", airport("AAA", "Ufa")) }).await;
    world.publish(Event { lsn: 210, ..read("airports", airport("BBB", "Perm")) }).await;
    world.publish(update("airports", 220, airport("AAA", "Kazan"))).await;
    world.publish(delete("airports", 230, airport("BBB", ""))).await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    world.assert_rows(EPOCHS, &["(1,t,f,\"the table has another topic than before\")"]).await;
    let of_aaa = format!("SELECT city FROM ({CITIES}) AS q WHERE airport_code = 'AAA'");
    world.assert_rows(&of_aaa, &["(Omsk)", "(Ufa)", "(Kazan)"]).await;
    let sources = "SELECT DISTINCT record_source FROM dwh_detailed.sat_airports WHERE record_source <> 'SYSTEM'";
    world.assert_rows(sources, &[&format!("({name}.public.airports)")]).await;
    assert_eq!(world.count("dwh_detailed.hub_airports").await, 2 + 3);
    world.end(&mut loader);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_epoch_of_an_unknown_topic_exits_2() {
    let world = World::new("epochusage").await;
    for (arguments, expected) in [
        (
            &["epoch", "start", "--topic", "nothing", "--topic-recreated"][..],
            "no table with the topic",
        ),
        (&["epoch", "start", "--all"][..], "--topic-recreated"),
        (&["epoch", "close-missing", "--all"][..], "is still in its first epoch"),
    ] {
        let output = world.command(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(expected), "{error}");
    }
}
