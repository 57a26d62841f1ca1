//! The watermark says as of when all topics are loaded, and nothing more: on an idle source, behind a partition that
//! stands still, under load, with several loaders, and after kills.

use std::time::Duration;

use devstack::{Process, Psql, http, wait_for_async, workspace_root};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{
    BaseRecord, DefaultProducerContext, FutureProducer, FutureRecord, Producer, ThreadedProducer,
};
use serde_json::json;
use shared::debezium::heartbeat::{Reached, heartbeat_key, heartbeat_value};
use shared::position::Lsn;
use tokio_postgres::Client;

use crate::support::{Event, PATIENCE, World, airport, booking, create, record_key};

/// The source's watermark.
const WATERMARK: &str = "
    SELECT source_lsn, source_committed AT TIME ZONE 'UTC', published AT TIME ZONE 'UTC'
    FROM dwh_control.watermark";

/// Sends heartbeats as the reader does.
struct Beats {
    producer: FutureProducer,
    topic: String,
    server: String,
}

/// A heartbeat that names a position, and a publish time of as many seconds since the epoch.
fn at(position: u64, published_s: i64) -> Option<Reached> {
    Some(Reached {
        position: Lsn(position),
        timeline: 1,
        committed_us: Some(1_000_000 * 60),
        published_us: Some(1_000_000 * published_s),
    })
}

impl Beats {
    /// With a topic of heartbeats for the world's source.
    async fn of(world: &World) -> Self {
        let topic = format!("__debezium-heartbeat.{}", world.source);
        let new = NewTopic::new(&topic, 1, TopicReplication::Fixed(1));
        let made = world.admin().create_topics(&[new], &AdminOptions::new()).await.unwrap();
        assert!(made[0].is_ok(), "{made:?}");
        let producer = ClientConfig::new().set("bootstrap.servers", &world.bootstrap).create();
        Self { producer: producer.unwrap(), topic, server: world.source.clone() }
    }

    /// One heartbeat; without a claim it is one of Debezium's.
    async fn send(&self, sent_ms: i64, reached: Option<Reached>) {
        self.send_as(&self.server, sent_ms, reached).await;
    }

    async fn send_as(&self, server: &str, sent_ms: i64, reached: Option<Reached>) {
        let (key, value) = (heartbeat_key(server), heartbeat_value(sent_ms));
        let mut record = FutureRecord::to(&self.topic).partition(0).key(&key).payload(&value);
        for (key, value) in reached.iter().flat_map(Reached::headers) {
            let headers = record.headers.take().unwrap_or_else(OwnedHeaders::new);
            record.headers = Some(headers.insert(Header { key, value: Some(&value) }));
        }
        self.producer.send(record, PATIENCE).await.unwrap();
    }

    /// Sends heartbeats like this one, as the reader does in each interval, until the warehouse's watermark is so.
    async fn until(&self, world: &World, sent_ms: i64, reached: Option<Reached>, expected: &str) {
        wait_for_async(PATIENCE, &format!("the watermark {expected}"), async || {
            self.send(sent_ms, reached).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
            let found = world.rows(WATERMARK).await;
            if found == [expected] {
                return Ok(true);
            }
            Err(format!("{found:?}; {}", world.log("loader")))
        })
        .await;
    }
}

/// The watermark at this position, of this minute and second of 1970.
fn expected(position: &str, time: &str) -> String {
    let committed = if position.is_empty() { "" } else { "\"1970-01-01 00:01:00\"" };
    format!("({position},{committed},\"1970-01-01 {time}\")")
}

#[tokio::test(flavor = "multi_thread")]
async fn on_an_idle_source_the_watermark_follows_the_heartbeats_and_never_goes_back() {
    let mut world = World::new("markidle").await;
    let beats = Beats::of(&world).await;
    world.create_topic("bookings", 3).await;
    world.publish(create("airports", 10, airport("AAA", "Omsk"))).await;
    let listen = format!("127.0.0.1:{}", devstack::free_port().unwrap());
    let mut loader = world.loader_with("loader", &[("VAULT_LOADER__LISTEN", &listen)]);
    beats.until(&world, 1, at(100, 70), &expected("100", "00:01:10")).await;
    beats.until(&world, 1, at(200, 80), &expected("200", "00:01:20")).await;
    // Another connector of the same topic, and an earlier heartbeat of this one.
    beats.send_as("another", 1, at(9_000, 9_000)).await;
    beats.until(&world, 1, at(150, 90), &expected("200", "00:01:30")).await;
    beats.until(&world, 1, at(300, 20), &expected("300", "00:01:30")).await;
    // A reader that has just begun knows a position and no publish time.
    let begun = at(400, 0).map(|reached| Reached { published_us: None, ..reached });
    beats.until(&world, 1, begun, &expected("400", "00:01:30")).await;
    let page = http::get(&format!("http://{listen}/metrics")).unwrap().body;
    let name = format!("vault_loader_watermark_age_seconds{{source=\"{}\"}} ", world.source);
    assert!(page.lines().any(|line| line.starts_with(&name)), "{page}");
    let status = world.command(&["status"]);
    let said = String::from_utf8_lossy(&status.stdout).into_owned();
    let line = format!(
        "watermark of {}: all topics are loaded up to 1970-01-01T00:01:30.000000Z",
        world.source
    );
    assert!(said.contains(&line) && said.contains("log position 0/190"), "{said}");
    // After a promotion, other changes stand at positions that the server before had passed.
    let promoted = at(350, 0).map(|reached| Reached { timeline: 2, published_us: None, ..reached });
    beats.until(&world, 1, promoted, &expected("350", "00:01:30")).await;
    beats.send(1, at(900, 30)).await;
    let further = promoted.map(|reached| Reached { position: Lsn(360), ..reached });
    beats.until(&world, 1, further, &expected("360", "00:01:30")).await;
    // Debezium's heartbeats name no position.
    beats.until(&world, 100_000, None, &expected("", "00:01:40")).await;
    beats.until(&world, 1, at(500, 110), &expected("500", "00:01:50")).await;
    world.end(&mut loader);
}

/// The views of freshness, as the owner of the marts makes them.
fn make_freshness(world: &World) {
    let files = ["080_load_progress.sql", "205_freshness.sql"];
    let files = files.map(|name| workspace_root().join("sql/marts").join(name));
    Psql::new(&world.database.superuser()).unwrap().run_files(files).unwrap();
}

const FRESHNESS: &str = "
    SELECT is_position_known, source_lsn, paused_tables, waiting_events, age > interval '0'
    FROM dwh_marts.freshness";

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_stands_still_holds_the_watermark_up_and_an_event_in_quarantine_does_not() {
    let mut world = World::new("markheld").await;
    make_freshness(&world);
    // Nothing was loaded, so nobody knows which topics are the source's.
    world.assert_rows(FRESHNESS, &["(f,,,,)"]).await;
    let beats = Beats::of(&world).await;
    world.publish(create("airports", 10, airport("AAA", "Omsk"))).await;
    world.publish(create("bookings", 11, booking("000001", 1))).await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    world.assert_rows(FRESHNESS, &["(f,,0,0,)"]).await;
    beats.until(&world, 1, at(100, 70), &expected("100", "00:01:10")).await;
    world.assert_rows(FRESHNESS, &["(t,100,0,0,t)"]).await;
    // An event that is no change goes to quarantine.
    world.send("bookings", 0, Some("{\"book_ref\":\"000002\"}"), Some(b"{}")).await;
    beats.until(&world, 1, at(200, 80), &expected("200", "00:01:20")).await;
    world.assert_rows(FRESHNESS, &["(t,200,0,1,t)"]).await;
    // A column that the model does not name pauses its table.
    let mut wider = airport("BBB", "Perm");
    wider["elevation"] = json!(7);
    world.publish(create("airports", 210, wider)).await;
    world.paused("airports", "has a column elevation").await;
    world.publish(create("bookings", 220, booking("000003", 1))).await;
    world.loaded_up_to("bookings", 0, 3).await;
    for position in 300..315 {
        beats.send(1, at(position, 90)).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(world.rows(WATERMARK).await, [expected("200", "00:01:20")]);
    }
    world.assert_rows(FRESHNESS, &["(t,200,1,1,t)"]).await;
    world.end(&mut loader);
    // A migration takes the watermark away, because another model may have further topics.
    let model = world
        .model
        .replace("timezone = \"text\"\n", "timezone = \"text\"\nelevation = \"integer\"\n")
        .replace("\"latitude\", \"timezone\"]", "\"latitude\", \"timezone\", \"elevation\"]")
        .replace(
            "status = \"sat_airports_status\"",
            "status = \"sat_airports_status\"\nadded_later = [\"elevation\"]",
        );
    world.write_model(&model);
    world.migrate(&[]);
    world.assert_rows(WATERMARK, &[]).await;
    let mut loader = world.loader("loader");
    beats.until(&world, 1, at(400, 90), &expected("400", "00:01:30")).await;
    world.assert_rows(FRESHNESS, &["(t,400,0,1,t)"]).await;
    world.end(&mut loader);
}

/// A transactional producer, as Kafka Connect's when it writes each record once.
fn transactional(world: &World) -> ThreadedProducer<DefaultProducerContext> {
    let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", &world.bootstrap)
        .set("transactional.id", &world.source)
        .create()
        .unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    producer
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_no_consumer_sees_at_a_partitions_end_hold_nothing_up() {
    let mut world = World::new("marktx").await;
    let beats = Beats::of(&world).await;
    let producer = transactional(&world);
    let topic = world.topic("airports");
    let mut publish = |code: &str, lsn| {
        let event = create("airports", lsn, airport(code, "Omsk"));
        let value = world.envelope(&event).to_string();
        let key = record_key(&event).unwrap().to_string();
        producer.begin_transaction().unwrap();
        producer.send(BaseRecord::to(&topic).key(&key).payload(&value)).map_err(|e| e.0).unwrap();
        producer.flush(PATIENCE).unwrap();
    };
    publish("AAA", 10);
    producer.commit_transaction(PATIENCE).unwrap();
    publish("BBB", 20);
    producer.abort_transaction(PATIENCE).unwrap();
    // One that is open: its records are in Kafka, and nobody knows yet whether they count.
    publish("CCC", 30);
    let mut loader = world.loader("loader");
    world.loaded_up_to("airports", 0, 1).await;
    for _ in 0..20 {
        beats.send(1, at(90, 60)).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(world.rows(WATERMARK).await, [""; 0]);
    }
    producer.commit_transaction(PATIENCE).unwrap();
    beats.until(&world, 1, at(100, 70), &expected("100", "00:01:10")).await;
    let loaded = "SELECT count(*) FROM dwh_detailed.sat_airports WHERE city IS NOT NULL";
    world.assert_rows(loaded, &["(2)"]).await;
    world.end(&mut loader);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_was_made_again_proves_nothing_and_its_epoch_begins_without_a_watermark() {
    let mut world = World::new("markagain").await;
    let beats = Beats::of(&world).await;
    for (lsn, code) in [(10, "AAA"), (11, "BBB"), (12, "CCC")] {
        world.publish(create("airports", lsn, airport(code, "Omsk"))).await;
    }
    let mut loader = world.loader("loader");
    beats.until(&world, 1, at(100, 70), &expected("100", "00:01:10")).await;
    world.make_topic_again("airports").await;
    world.publish(create("airports", 110, airport("DDD", "Perm"))).await;
    for _ in 0..15 {
        beats.send(1, at(200, 80)).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(world.rows(WATERMARK).await, [expected("100", "00:01:10")]);
    }
    world.logged("loader", "ends before what was loaded of it").await;
    world.end(&mut loader);
    let topic = world.topic("airports");
    let started = world.command(&["epoch", "start", "--topic", &topic, "--topic-recreated"]);
    assert!(started.status.success(), "{started:?}");
    world.assert_rows(WATERMARK, &[]).await;
    let mut loader = world.loader("loader");
    beats.until(&world, 1, at(50, 90), &expected("50", "00:01:30")).await;
    world.loaded().await;
    world.end(&mut loader);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_heartbeats_the_log_says_once_what_to_do_and_later_ones_are_found() {
    let mut world = World::new("marknone").await;
    let variables = [("VAULT_LOADER__LIMITS__TOPICS_WAIT_MS", "1000")];
    world.publish(create("airports", 10, airport("AAA", "Omsk"))).await;
    let mut loader = world.loader_with("loader", &variables);
    world.loaded().await;
    let words = "no heartbeats come from the source";
    world.logged("loader", words).await;
    world.logged("loader", "set heartbeat.interval.ms in the connector").await;
    world.assert_rows(WATERMARK, &[]).await;
    let said = world.command(&["status"]).stdout;
    let line = format!("watermark of {}: not known", world.source);
    assert!(String::from_utf8_lossy(&said).contains(&line));
    let beats = Beats::of(&world).await;
    beats.until(&world, 1, at(100, 70), &expected("100", "00:01:10")).await;
    assert_eq!(world.log("loader").matches(words).count(), 1);
    world.end(&mut loader);
}

/// How many of the published events are there up to the watermark, and how many have to be: all of them in one
/// statement, which sees one state of the warehouse.
async fn loaded_up_to_watermark(client: &Client) -> Option<(i64, i64)> {
    let sql = "
        SELECT w.source_lsn,
               (SELECT count(*) FROM dwh_detailed.sat_airports WHERE source_lsn <= w.source_lsn AND city IS NOT NULL)
             + (SELECT count(*) FROM dwh_detailed.sat_bookings WHERE source_lsn <= w.source_lsn AND book_date IS NOT NULL)
        FROM dwh_control.watermark AS w";
    let row = client.query_opt(sql, &[]).await.unwrap()?;
    Some((row.get(0), row.get(1)))
}

const EVENTS: i64 = 1_500;

/// Event number `n`, at position `n`, in one of seven partitions.
fn numbered(n: i64) -> Event {
    let partition = i32::try_from(n % 7).unwrap();
    if partition < 4 {
        Event { partition, ..create("airports", n, airport(&format!("{n:03X}"), "Omsk")) }
    } else {
        Event { partition: partition - 4, ..create("bookings", n, booking(&format!("{n:06}"), n)) }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_with_two_loaders_and_kills_everything_up_to_the_watermark_is_there() {
    let mut world = World::new("markload").await;
    let beats = Beats::of(&world).await;
    world.create_topic("airports", 4).await;
    world.create_topic("bookings", 3).await;
    let checker = world.database.connect().await.unwrap();
    let variables = [("VAULT_LOADER__BATCH__ROWS_MAX", "5")];
    let mut loaders: Vec<Process> =
        ["loader", "second"].iter().map(|name| world.loader_with(name, &variables)).collect();
    let mut marks: Vec<i64> = Vec::new();
    let mut check = async |end: i64| {
        let Some((mark, found)) = loaded_up_to_watermark(&checker).await else { return 0 };
        assert_eq!(found, mark, "of the events up to the watermark");
        assert!(mark <= end, "{mark} of {end}");
        assert!(marks.last().is_none_or(|last| *last <= mark), "{mark} after {:?}", marks.last());
        if marks.last() != Some(&mark) {
            marks.push(mark);
        }
        mark
    };
    for n in 1..=EVENTS {
        world.publish(numbered(n)).await;
        if n % 5 == 0 {
            beats.send(1, at(n.cast_unsigned(), n)).await;
        }
        check(n).await;
        if n % 100 == 0 {
            // Without this wait the load might be over before the partitions of a killed loader are free.
            wait_for_async(PATIENCE, "the watermark to get there", async || {
                beats.send(1, at(n.cast_unsigned(), n)).await;
                let mark = check(n).await;
                if mark == n { Ok(true) } else { Err(format!("{mark} of {n}")) }
            })
            .await;
        }
        match n {
            300 | 900 => loaders[0].kill9(),
            400 => loaders[0] = world.loader_with("loader", &variables),
            600 => {
                loaders[1].kill9();
                loaders[1] = world.loader_with("second", &variables);
            }
            1_000 => loaders[0] = world.loader_with("loader", &variables),
            _ => {}
        }
    }
    println!("{} watermarks: {marks:?}", marks.len());
    assert!(marks.len() >= 15 && marks.last() == Some(&EVENTS), "{marks:?}");
    for loader in &mut loaders {
        world.end(loader);
    }
}
