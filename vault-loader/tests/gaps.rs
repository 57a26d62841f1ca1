//! Events that Kafka deleted before they were loaded: their table pauses, and what is lost is shown, accepted one by
//! one, and never forgotten.

use devstack::http;
use devstack::wait_for_async;

use crate::support::{PATIENCE, World, airport, booking, create};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

async fn with_airports(name: &str, count: i64) -> World {
    let mut world = World::new(name).await;
    for number in 0..count {
        let code = format!("A{number:02}");
        world.publish(create("airports", 10 + number, airport(&code, "Omsk"))).await;
    }
    world
}

fn accept<'a>(topic: &'a str, from: &'a str, to: &'a str) -> [&'a str; 10] {
    ["gap", "accept", "--topic", topic, "--partition", "0", "--from", from, "--to", to]
}

const OFFSETS: &str = "SELECT next_offset FROM dwh_control.offsets WHERE topic LIKE '%.airports'";

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_is_accepted_by_its_exact_range_once_and_stays_visible() {
    let world = with_airports("accept", 6).await;
    let topic = world.topic("airports");
    assert_eq!(text(&world.command(&["gap", "list"]).stdout), "no gaps\n");
    world.delete_before("airports", 3).await;
    let old = world.command(&["run", "--accept-gap"]);
    assert_eq!(old.status.code(), Some(2));
    assert!(text(&old.stderr).contains("vault-loader gap accept"), "{}", text(&old.stderr));

    let listed = text(&world.command(&["gap", "list"]).stdout);
    let command = format!("vault-loader gap accept --topic {topic} --partition 0 --from 0 --to 2");
    assert!(listed.contains(&world.source) && listed.contains(&command), "{listed}");
    for (from, to) in [("0", "1"), ("0", "3"), ("1", "2")] {
        let other = world.command(&accept(&topic, from, to));
        assert_eq!(other.status.code(), Some(1), "{from} to {to}");
        let why = text(&other.stderr);
        assert!(why.contains("nothing was changed") && why.contains(&command), "{why}");
    }
    let unknown = world.command(&accept("elsewhere.public.airports", "0", "2"));
    assert!(text(&unknown.stderr).contains("no model that was given reads the topic"));
    assert_eq!(world.count("dwh_control.gaps").await, 0);

    let accepted = world.command(&accept(&topic, "0", "2"));
    assert!(accepted.status.success(), "{}", text(&accepted.stderr));
    assert!(text(&accepted.stdout).contains("goes on at offset 3"), "{}", text(&accepted.stdout));
    world.assert_rows(OFFSETS, &["(3)"]).await;
    let recorded = format!(
        "SELECT source = '{}', topic = '{topic}', partition, first_offset, last_offset,
                accepted_by = session_user, accepted_at BETWEEN now() - interval '10 min' AND now()
         FROM dwh_control.gaps",
        world.source
    );
    world.assert_rows(&recorded, &["(t,t,0,0,2,t,t)"]).await;
    let again = world.command(&accept(&topic, "0", "2"));
    assert!(text(&again.stderr).contains("there is no gap"), "{}", text(&again.stderr));
    assert_eq!(world.count("dwh_control.gaps").await, 1);
    let listed = text(&world.command(&["gap", "list"]).stdout);
    assert!(listed.contains("lost: ") && listed.contains("the offsets 0 to 2"), "{listed}");

    let listen = format!("127.0.0.1:{}", devstack::free_port().unwrap());
    let mut loader = world.loader_with("loader", &[("VAULT_LOADER__LISTEN", listen.as_str())]);
    world.loaded().await;
    let metric =
        format!("vault_loader_lost_offsets{{source=\"{}\",topic=\"{topic}\"}} 3", world.source);
    wait_for_async(PATIENCE, "the metric of what is lost", async || {
        let page = http::get(&format!("http://{listen}/metrics"))?.body;
        anyhow::Ok(page.contains(&metric))
    })
    .await;
    world.end(&mut loader);
    let status = world.command(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    let line = status["partitions"]
        .as_array()
        .unwrap()
        .iter()
        .find(|line| line["topic"] == topic.as_str());
    assert_eq!(line.unwrap()["lost_offsets"], 3, "{status}");
}

/// What was accepted yesterday says nothing about a gap of today.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_gap_of_the_same_partition_is_refused_again() {
    let mut world = with_airports("again", 4).await;
    world.delete_before("airports", 2).await;
    let topic = world.topic("airports");
    assert!(world.command(&accept(&topic, "0", "1")).status.success());
    let mut loader = world.loader("first");
    world.loaded().await;
    world.end(&mut loader);
    for number in 4..8 {
        let code = format!("A{number:02}");
        world.publish(create("airports", 10 + number, airport(&code, "Omsk"))).await;
    }
    world.delete_before("airports", 7).await;
    let mut loader = world.loader("second");
    world.paused("airports", "refusing to skip 3 events").await;
    // Everything else is loaded meanwhile.
    world.publish(create("bookings", 100, booking("000001", 1))).await;
    world.loaded_up_to("bookings", 0, 1).await;
    world.loaded_up_to("airports", 0, 4).await;
    world.end(&mut loader);
    let log = world.log("second");
    assert!(log.contains("a table is paused") && log.contains("--from 4 --to 6"), "{log}");
    assert!(world.command(&accept(&topic, "4", "6")).status.success());
    let mut loader = world.loader("third");
    world.loaded().await;
    world.end(&mut loader);
    assert_eq!(world.count("dwh_control.paused_tables").await, 0);
    let lost = "SELECT first_offset, last_offset FROM dwh_control.gaps ORDER BY id";
    world.assert_rows(lost, &["(0,1)", "(4,6)"]).await;
}

/// The topic was made again, its beginning was deleted before it was loaded, and the old topic had more offsets.
#[tokio::test(flavor = "multi_thread")]
async fn a_gap_at_the_beginning_of_a_topic_that_was_made_again_is_accepted() {
    let mut world = with_airports("epoch", 4).await;
    let mut loader = world.loader("first");
    world.loaded().await;
    world.end(&mut loader);
    world.make_topic_again("airports").await;
    for number in 4..9 {
        let code = format!("A{number:02}");
        world.publish(create("airports", 10 + number, airport(&code, "Omsk"))).await;
    }
    let topic = world.topic("airports");
    let start = ["epoch", "start", "--topic", &topic, "--topic-recreated"];
    assert!(world.command(&start).status.success());
    world.delete_before("airports", 2).await;
    let mut loader = world.loader("second");
    world.paused("airports", "refusing to skip 2 events").await;
    world.end(&mut loader);

    let accepted = world.command(&accept(&topic, "0", "1"));
    assert!(accepted.status.success(), "{}", text(&accepted.stderr));
    let mut loader = world.loader("third");
    world.loaded().await;
    world.end(&mut loader);
    let codes = "SELECT airport_code FROM dwh_detailed.hub_airports WHERE airport_code IS NOT NULL";
    let codes = world.rows(&format!("{codes} ORDER BY airport_code")).await;
    assert_eq!(codes, ["(A00)", "(A01)", "(A02)", "(A03)", "(A06)", "(A07)", "(A08)"]);
    world.assert_rows("SELECT first_offset, last_offset FROM dwh_control.gaps", &["(0,1)"]).await;
}
