//! What an operator sees on a bad day: liveness and readiness, lag that moves while nothing commits, mistyped prefixes,
//! exit codes.

use devstack::{Kafka, KafkaOptions, http, wait_for_async};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use serde_json::Value;

use crate::support::{FencedBroker, PATIENCE, World, airport, create};

/// A loader's address and the variable that sets it.
fn listening() -> (String, (&'static str, String)) {
    let listen = format!("127.0.0.1:{}", devstack::free_port().unwrap());
    (listen.clone(), ("VAULT_LOADER__LISTEN", listen))
}

/// Waits until `/ready` answers so.
pub(crate) async fn ready_says(world: &World, listen: &str, code: u16, words: &str) {
    let what = format!("/ready to answer {code} with {words:?}");
    wait_for_async(PATIENCE, &what, async || {
        let answer = http::get(&format!("http://{listen}/ready"))?;
        if answer.status == code && answer.body.contains(words) {
            return Ok(true);
        }
        Err(anyhow::anyhow!("{} {} {}", answer.status, answer.body, world.log("loader")))
    })
    .await;
}

#[track_caller]
fn assert_alive(listen: &str) {
    let answer = http::get(&format!("http://{listen}/health")).unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"status":"healthy"}"#));
}

/// The value of a metric; none when it has no sample or the loader does not answer yet.
fn sample(listen: &str, name: &str) -> Option<f64> {
    let page = http::get(&format!("http://{listen}/metrics")).ok()?.body;
    let rest = page.lines().find_map(|line| {
        line.strip_prefix(name).filter(|rest| rest.starts_with('{') || rest.starts_with(' '))
    })?;
    rest.rsplit(' ').next().map(|value| value.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn while_kafka_is_frozen_or_away_the_loader_lives_and_is_not_ready() {
    let mut kafka = Kafka::start(KafkaOptions::default()).unwrap();
    let mut world = World::at("away", &kafka.bootstrap()).await;
    let (listen, variable) = listening();
    let variables = [(variable.0, variable.1.as_str())];
    let mut loader = world.loader_with("loader", &variables);
    world.publish(create("airports", 10, airport("AAA", "Omsk"))).await;
    world.loaded().await;
    ready_says(&world, &listen, 200, "ready").await;
    let frozen = kafka.freeze().unwrap();
    ready_says(&world, &listen, 503, "no Kafka broker has answered for").await;
    assert!(frozen.is_frozen());
    assert_alive(&listen);
    let asked = |world: &World, last: &[&str]| world.command_with(last, &variables).status.code();
    assert_eq!(asked(&world, &["health"]), Some(0));
    assert_eq!(asked(&world, &["health", "--ready"]), Some(1));
    drop(frozen);
    ready_says(&world, &listen, 200, "ready").await;
    world.publish(create("airports", 20, airport("BBB", "Perm"))).await;
    world.loaded().await;
    kafka.kill9();
    ready_says(&world, &listen, 503, "no Kafka broker has answered for").await;
    assert_alive(&listen);
    kafka.start_again().unwrap();
    ready_says(&world, &listen, 200, "ready").await;
    assert_eq!(asked(&world, &["health", "--ready"]), Some(0));
    world.publish(create("airports", 30, airport("CCC", "Orsk"))).await;
    world.loaded().await;
    world.end(&mut loader);
}

/// Behind a proxy, the loader's client gets into a state out of which it does not come by itself.
async fn a_client_is_replaced(name: &str, reason: &str, set: fn(&FencedBroker, bool)) {
    let mut world = World::new(name).await;
    let broker = FencedBroker::of(&world.bootstrap);
    let direct = std::mem::replace(&mut world.bootstrap, broker.bootstrap());
    let (listen, variable) = listening();
    let mut loader = world.loader_with("loader", &[(variable.0, variable.1.as_str())]);
    world.bootstrap = direct;
    world.publish(create("airports", 10, airport("AAA", "Omsk"))).await;
    world.loaded().await;
    ready_says(&world, &listen, 200, "ready").await;
    set(&broker, true);
    wait_for_async(PATIENCE, reason, async || {
        let log = world.log("loader");
        if log.contains(reason) {
            return Ok(true);
        }
        Err(anyhow::anyhow!("{} answers without brokers; {log}", broker.answered()))
    })
    .await;
    world.publish(create("airports", 20, airport("BBB", "Perm"))).await;
    assert_alive(&listen);
    set(&broker, false);
    world.loaded().await;
    ready_says(&world, &listen, 200, "ready").await;
    world.publish(create("airports", 30, airport("CCC", "Orsk"))).await;
    world.loaded().await;
    world.end(&mut loader);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_has_forgotten_all_brokers_is_replaced() {
    a_client_is_replaced("forgotten", "has forgotten all brokers", FencedBroker::fence).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hears_no_broker_is_replaced() {
    a_client_is_replaced("unheard", "has heard no broker for too long", FencedBroker::mute).await;
}

/// What a real broker does that was frozen for longer than a member's session: it gives the partitions out again, and
/// says at the same time that the cluster has no brokers.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_forgets_all_brokers_while_it_takes_partitions_over_stops_nothing() {
    let mut world = World::new("taking").await;
    let broker = FencedBroker::of(&world.bootstrap);
    let direct = std::mem::replace(&mut world.bootstrap, broker.bootstrap());
    let (listen, variable) = listening();
    let mut loader = world.loader_with("loader", &[(variable.0, variable.1.as_str())]);
    world.bootstrap = direct;
    world.publish(create("airports", 10, airport("AAA", "Omsk"))).await;
    world.loaded().await;
    let says = async |words: &[&str]| {
        wait_for_async(PATIENCE, words[0], async || {
            let log = world.log("loader");
            if words.iter().any(|word| log.contains(word)) { Ok(true) } else { Err(log) }
        })
        .await;
    };
    broker.mute(true);
    says(&["partitions given back"]).await;
    broker.fence(true);
    broker.mute(false);
    says(&["cannot ask for a partition's ends", "has forgotten all brokers"]).await;
    world.publish(create("airports", 20, airport("BBB", "Perm"))).await;
    broker.fence(false);
    world.loaded().await;
    ready_says(&world, &listen, 200, "ready").await;
    world.end(&mut loader);
}

/// A producer whose transactions end with control records, which no consumer sees.
fn transactional(world: &World) -> ThreadedProducer<DefaultProducerContext> {
    let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", &world.bootstrap)
        .set("transactional.id", &world.source)
        .create()
        .unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    producer
}

/// The report of `status --json`.
#[track_caller]
fn status(world: &World, variables: &[(&str, &str)]) -> Value {
    let asked = world.command_with(&["status", "--json"], variables);
    assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
    serde_json::from_slice(&asked.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_status_shows_what_arrives_until_a_signal() {
    let mut world = World::new("watched").await;
    let mut watch = world.loader_arguments("watch", &["status", "--watch", "1", "--json"], &[]);
    let reports = |world: &World| -> Vec<Value> {
        let log = world.log("watch");
        log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    };
    let loaded = |report: &Value| {
        let lines = report["partitions"].as_array().unwrap_or_else(|| panic!("{report}"));
        lines.iter().any(|line| line["next_offset"] == 1)
    };
    wait_for_async(PATIENCE, "a first report", async || {
        Ok::<_, String>(!reports(&world).is_empty())
    })
    .await;
    assert!(!reports(&world).iter().any(loaded));
    let mut loader = world.loader("loader");
    world.publish(create("airports", 10, airport("AAA", "Omsk"))).await;
    world.loaded().await;
    wait_for_async(PATIENCE, "a report of the event", async || {
        let found = reports(&world);
        if found.iter().any(loaded) { Ok(true) } else { Err(format!("{:?}", found.last())) }
    })
    .await;
    world.end(&mut watch);
    world.end(&mut loader);
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_transactional_producer_the_lag_becomes_nothing() {
    let mut world = World::new("control").await;
    world.create_topic("airports", 1).await;
    let (listen, variable) = listening();
    let mut loader = world.loader_with("loader", &[(variable.0, variable.1.as_str())]);
    let producer = transactional(&world);
    let topic = world.topic("airports");
    for (round, is_committed) in [(0, true), (1, false), (2, true)] {
        let row = airport(&format!("A{round:02}"), "Omsk");
        let value = world.envelope(&create("airports", 10 + round, row)).to_string();
        producer.begin_transaction().unwrap();
        let record = BaseRecord::to(&topic).partition(0).key("key").payload(&value);
        producer.send(record).map_err(|(err, _)| err).unwrap();
        producer.flush(PATIENCE).unwrap();
        if is_committed {
            producer.commit_transaction(PATIENCE).unwrap();
        } else {
            producer.abort_transaction(PATIENCE).unwrap();
        }
    }
    wait_for_async(PATIENCE, "both committed airports", async || {
        let keys = "SELECT FROM dwh_detailed.hub_airports WHERE airport_code IS NOT NULL";
        world.rows(keys).await.len() == 2
    })
    .await;
    wait_for_async(PATIENCE, "a lag of nothing", async || {
        match sample(&listen, "vault_loader_lag_events") {
            Some(0.0) => Ok(true),
            found => Err(anyhow::anyhow!("{found:?} {}", world.log("loader"))),
        }
    })
    .await;
    assert_eq!(sample(&listen, "vault_loader_oldest_event_age_seconds"), Some(0.0));
    let report = status(&world, &[]);
    // The control record of the last transaction stands behind everything that was loaded.
    let line = &report["partitions"][0];
    assert_eq!(line["high_watermark"].as_i64(), line["next_offset"].as_i64().map(|next| next + 1));
    assert_eq!((&report["lag_events"], &report["lag_seconds"]), (&0.into(), &0.0.into()));
    ready_says(&world, &listen, 200, "ready").await;
    world.end(&mut loader);
}

#[tokio::test(flavor = "multi_thread")]
async fn ages_move_while_nothing_commits_and_are_absent_while_unknown() {
    let (oldest, committed) =
        ("vault_loader_oldest_event_age_seconds", "vault_loader_last_commit_age_seconds");
    let mut world = World::new("ages").await;
    world.publish(create("airports", 10, airport("AAA", "Omsk"))).await;
    // Whoever loads the topic shares this lock, so the loader waits for as long as we hold it.
    let holder = world.database.connect().await.unwrap();
    let lock = "SELECT pg_advisory_lock(hashtextextended($1, 7))";
    holder.execute(lock, &[&world.topic("airports")]).await.unwrap();
    let (listen, variable) = listening();
    let mut loader = world.loader_with("loader", &[(variable.0, variable.1.as_str())]);
    let mut seen = Vec::new();
    wait_for_async(PATIENCE, "two different ages of the event that waits", async || {
        seen.extend(sample(&listen, oldest).filter(|age| *age > 0.0 && seen.last() != Some(age)));
        if seen.len() > 1 { Ok(true) } else { Err(anyhow::anyhow!("{seen:?}")) }
    })
    .await;
    assert!(seen[0] < seen[1], "{seen:?}");
    assert_eq!(sample(&listen, committed), None);
    let report = status(&world, &[]);
    assert_eq!(report["lag_events"], 1);
    assert!(report["lag_seconds"].as_f64().unwrap() > 0.0, "{report}");
    let size = report["lag_bytes"].as_i64().unwrap();
    assert!(size > 100, "{report}");
    assert_eq!(report["rates"]["loaded_per_second"], 0.0);
    holder.execute("SELECT pg_advisory_unlock_all()", &[]).await.unwrap();
    world.loaded().await;
    wait_for_async(PATIENCE, "no event to wait", async || sample(&listen, oldest) == Some(0.0))
        .await;
    let first = sample(&listen, committed).unwrap();
    wait_for_async(PATIENCE, "the last commit to become older", async || {
        sample(&listen, committed).is_some_and(|age| age > first)
    })
    .await;
    world.end(&mut loader);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistyped_prefix_is_an_error_of_status_and_makes_run_not_ready() {
    let mut world = World::new("prefix").await;
    world.publish(create("airports", 10, airport("AAA", "Omsk"))).await;
    let report = status(&world, &[]);
    let missing = report["missing_topics"].as_array().unwrap();
    assert!(missing.contains(&world.topic("seats").into()), "{report}");
    assert!(!missing.contains(&world.topic("airports").into()), "{report}");
    let (right, wrong) = (world.source.clone(), format!("{}s", world.source));
    world.write_model(&world.model.replace(&right, &wrong));
    // The other model has a warehouse of its own.
    let elsewhere = world.elsewhere("typo").await;
    let (listen, variable) = listening();
    let variables = elsewhere.variables(&[
        (variable.0, variable.1.as_str()),
        ("VAULT_LOADER__LIMITS__TOPICS_WAIT_MS", "500"),
    ]);
    let asked = world.command_with(&["status"], &variables);
    let said = String::from_utf8_lossy(&asked.stderr).into_owned();
    assert_eq!(asked.status.code(), Some(2), "{said}");
    let named = world.topic("airports");
    assert!(said.contains("none of the model's 8 topics exists"), "{said}");
    let mut loader = world.loader_with("mistyped", &variables);
    ready_says(&world, &listen, 503, "none of the model's 8 topics exists").await;
    assert_alive(&listen);
    let log = world.log("mistyped");
    assert!(log.contains("compare source.topic_prefix in the model"), "{log}");
    assert!(said.contains(&named) || said.contains("but Kafka has"), "{said}");
    world.source = wrong;
    world.create_topic("seats", 1).await;
    ready_says(&world, &listen, 200, "ready").await;
    world.end(&mut loader);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_code_says_who_has_to_do_something() {
    let world = World::unmigrated("codes").await;
    let run = |variables: &[(&str, &str)]| {
        let output = world.command_with(&["run"], variables);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = run(&[]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("vault-loader migrate"), "{said}");
    let (code, said) = run(&[("VAULT_LOADER__DATABASE__PASSWORD", "wrong")]);
    assert_eq!(code, Some(2), "{said}");
    let (code, said) = run(&[("VAULT_LOADER__DATABASE__HOST", "warehouse.invalid")]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("database.sslrootcert: is not set"), "{said}");
    let nobody =
        [("VAULT_LOADER__DATABASE__PORT", "1"), ("VAULT_LOADER__LIMITS__START_WAIT_MS", "100")];
    let (code, said) = run(&nobody);
    assert_eq!(code, Some(1), "{said}");
}

/// A static member that comes back within the session time-out gets the partitions that it had. The topics that were
/// made meanwhile would belong to nobody.
#[tokio::test(flavor = "multi_thread")]
async fn a_static_member_gets_the_topics_that_were_made_while_it_was_away() {
    let mut world = World::new("static").await;
    world.create_topic("airports", 1).await;
    let variables = [
        ("VAULT_LOADER__GROUP_INSTANCE_ID", "loader-0"),
        ("VAULT_LOADER__KAFKA__SESSION_TIMEOUT_MS", "45000"),
    ];
    let mut loader = world.loader_with("first", &variables);
    world.publish(create("airports", 10, airport("AAA", "Omsk"))).await;
    world.loaded().await;
    loader.kill9();
    world.create_topic("seats", 2).await;
    world.create_topic("bookings", 1).await;
    let mut loader = world.loader_with("second", &variables);
    let booking = crate::support::booking("00000F", 1250);
    world.publish(create("bookings", 20, booking)).await;
    world.publish(create("airports", 30, airport("BBB", "Perm"))).await;
    world.loaded().await;
    let log = world.log("second");
    let taken: Vec<u64> = devstack::log::lines_with(&log, "partitions taken over")
        .iter()
        .map(|line| line["partition_count"].as_u64().unwrap())
        .collect();
    // Without this event the test would show nothing: at first only the old partition came back.
    assert_eq!((taken.first(), taken.last()), (Some(&1), Some(&4)), "{log}");
    assert!(log.contains("the group has given partitions to nobody"), "{log}");
    world.end(&mut loader);
}

/// A topic that nobody has in a model is named once, and shown.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_the_model_does_not_name_is_named_once() {
    let mut world = World::new("unnamed").await;
    world.create_topic("gates", 1).await;
    world.publish(create("airports", 10, airport("AAA", "Omsk"))).await;
    let mut loader = world.loader("loader");
    let line = "the source publishes a table that the model does not name";
    world.logged("loader", line).await;
    world.loaded().await;
    world.end(&mut loader);
    let log = world.log("loader");
    assert!(log.contains(&world.topic("gates")), "{log}");
    assert_eq!(log.matches(line).count(), 1, "{log}");
    let report = status(&world, &[]);
    assert_eq!(report["topics_not_in_model"], serde_json::json!([world.topic("gates")]));
}

/// Adding partitions moves keys to other partitions.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_a_topic_has_got_is_named_once() {
    let mut world = World::new("further").await;
    world.create_topic("airports", 1).await;
    world.publish(create("airports", 10, airport("AAA", "Omsk"))).await;
    let mut loader = world.loader("first");
    world.loaded().await;
    world.end(&mut loader);
    world.add_partitions("airports", 2).await;
    let mut loader = world.loader("second");
    let line = "the topic has a further partition";
    world.logged("second", line).await;
    world.end(&mut loader);
    let mut loader = world.loader("third");
    world.logged("third", "partitions taken over").await;
    world.end(&mut loader);
    assert!(!world.log("first").contains(line) && !world.log("third").contains(line));
}
